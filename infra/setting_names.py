"""Names under `context` that are written almost like a setting's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def refuse_likenesses(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that differs from a setting's in hyphens, spaces or capitals only.

    The CDK has names with hyphens of its own in the context, so that unknown ones pass; but `-c role-prefix=acme-` would deploy roles
    without the prefix, and their names cannot be changed later.
    """
    settings = {_plain(each): each for each in known}
    for name in names:
        meant = settings.get(_plain(name))
        if meant is not None and name != meant:
            raise SettingRefused(name, f"is no setting; write {meant}")


def _plain(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())
