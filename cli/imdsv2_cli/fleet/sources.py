"""What the ledger says of sources that the service changed and that wait for somebody: read from one partition, for there are few."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet import ledger

if TYPE_CHECKING:
    from imdsv2_cli.base import App

_STANDS = frozenset({"fixed", "verified"})
_BACK = "going_back"


def left_broken(app: App) -> list[dict[str, Any]]:
    """The sources of which software broke and which are not back yet, or are left to people by the policy, those first that broke first.
    What a person has cleared since is settled."""
    suspects = [each for each in ledger.sources(app) if each.get("status") == _BACK or _broke_and_stands(each)]
    broken = {str(each["broken_by"]) for each in suspects if _broke_and_stands(each)}
    cleared = {str(each.arn): each.cleared_at for each in ledger.records(app, broken)}
    left = [each for each in suspects if each["status"] == _BACK or not _is_settled(each, cleared)]
    told = ("status", "broken_by", "hindered_by", "explanation")
    found = [
        {
            "source": each["sk"],
            "since": each.get("broken_at") or each.get("at"),
            **{name: each.get(name) for name in told},
        }
        for each in left
    ]
    return sorted(found, key=lambda each: (str(each["since"]), each["source"]))


def _broke_and_stands(item: dict[str, Any]) -> bool:
    return item.get("status") in _STANDS and bool(item.get("broken_by")) and bool(item.get("broken_at"))


def _is_settled(item: dict[str, Any], cleared: dict[str, datetime | None]) -> bool:
    cleared_at = cleared.get(str(item["broken_by"]))
    return cleared_at is not None and cleared_at >= datetime.fromisoformat(item["broken_at"])
