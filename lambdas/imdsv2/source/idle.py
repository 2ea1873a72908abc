"""Groups without instances that would change with a source: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.source.fixing import steps_of
from imdsv2.source.launching import DEFAULT, LATEST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Group


def idle_follower(source: Source, idle: Iterable[Group]) -> str | None:
    """Why a person has to change a source whose new version, or new default, a group without instances would launch from; None if there
    is no such group. ``idle``: the groups of the place that have no instance."""
    steps = steps_of(source)
    names = {each.name: each.template for each in steps}
    changed = {(each.template, LATEST) for each in steps}
    changed |= {(each.template, DEFAULT) for each in steps if each.moves_default}
    for group in idle:
        if group.name == source.origin.group:
            continue
        if any((ref.id or names.get(ref.name, ""), ref.version) in changed for ref in group.refs):
            return (
                f"The Auto Scaling group {group.name} follows its launch template and has no instance now, so nothing proves that its "
                "software does without IMDSv1: wait until it has some and they are judged, point it to the number of the version that it "
                "is to keep, delete it if nobody needs it, or apply one of the remedies."
            )
    return None
