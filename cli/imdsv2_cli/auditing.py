"""The rows of `imdsv2 audit`: what allows IMDSv1 now, and what was decided, in one shape."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet.joined import arn_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2_cli.fleet.file import Row

Item = dict[str, Any]

ALLOWS = "allows_imdsv1"
"""The kind of the rows that tell of a state, not of an event."""
_SERVICE, _SOMEBODY, _NOBODY = "the service", "somebody", "nobody yet"
_TAGGER = "whoever set the exempt tag"
_CLOSED = frozenset({"already_required", "endpoint_disabled", "gone"})
_STANDS = frozenset({"enforced", "verified"})


def open_row(record: Mapping[str, Any]) -> Item | None:
    """The row of an instance that allows IMDSv1, or may; None if it does not."""
    if record.get("status") in _STANDS or record.get("reason") in _CLOSED:
        return None
    who, why_so = _decided(record)
    return {
        "at": record.get("changed_at") or record.get("decided_at"),
        "kind": ALLOWS,
        **place_of(str(record["pk"])),
        "status": record.get("status"),
        "reason": record.get("reason"),
        "who": who,
        "because": why_so,
        "until": record.get("ends_on") or record.get("notice_ends_at"),
        "request_id": record.get("request_id"),
        "source": record.get("source"),
        "cohort": record.get("cohort"),
        "explanation": record.get("explanation"),
    }


def swept_row(row: Row) -> Item:
    """The row of an instance that allows IMDSv1, as the file of the fleet has it. Its verdict is that of a sweep, which may be a dry one."""
    who = {"held_by_person": _named(row["hold_owner"]), "exempt": _TAGGER, "": _NOBODY}.get(row["reason"], _SERVICE)
    told = ("status", "reason", "cohort", "explanation")
    return {
        "at": row["since"] or row["as_of"],
        "kind": ALLOWS,
        **place_of(arn_of(row)),
        **{name: row[name] or None for name in told},
        "who": who,
        "because": None,
        "until": row["ends_on"] or row["notice_ends_at"] or None,
        "request_id": None,
        "source": "sweep",
    }


def event_row(event: Mapping[str, Any]) -> Item:
    """The row of an event."""
    difference = json.loads(event["difference"]) if event.get("difference") else {}
    changes = "; ".join(f"{name}: {each['before']} -> {each['after']}" for name, each in difference.items())
    names = (
        *("status", "status_before", "reason", "reason_before", "because", "until", "request_id", "source", "cohort"),
        *("approved_by", "owner", "before", "after", "error", "left_because", "session"),
    )
    return {
        "at": str(event["sk"]).split("#")[1],
        "kind": event.get("kind"),
        **place_of(str(event["pk"])),
        **{name: _plain(event.get(name)) for name in names},
        "who": event.get("caller") or _SERVICE,
        "replaces": _said(event.get("replaces")),
        "explanation": changes or event.get("explanation"),
        "policy_version": _number(event.get("parameter_version") or event.get("policy_version")),
        "service_version": event.get("service_version"),
        "cloudtrail_event": event.get("cloudtrail_event"),
    }


def place_of(pk: str) -> Item:
    """Account, Region and instance that an item's key names, as far as it names them; ``about``: which source, AMI or defaults."""
    if pk.startswith("arn:"):
        _, _, _, region, account, resource = pk.split(":", 5)
        return {"account": account, "region": region, "instance": resource.partition("/")[2], "target": pk}
    kind, _, rest = pk.partition("#")
    parts = rest.split("/", 3)
    if kind in {"source", "image", "defaults"}:
        there = {"account": parts[1], "region": parts[2]}
        return {**there, "instance": None, "about": _about(kind, parts), "target": pk}
    if kind == "cohort" and len(parts) == 4:
        return {"account": parts[1], "region": parts[2], "instance": None, "target": rest}
    return {"account": parts[-1] or None, "region": None, "instance": None, "target": pk}


def _about(kind: str, parts: Sequence[str]) -> str:
    """A source by its kind and name, an AMI by its id."""
    return parts[3].replace(":", " ", 1) if len(parts) == 4 else f"metadata {kind}"


def with_cloudtrail(events: Iterable[Item], written: Iterable[Mapping[str, Any]]) -> list[Item]:
    """The events, those of the policy with the id of CloudTrail's event of the same second, where there is one."""
    by_second = {f"{each['EventTime']:%Y-%m-%dT%H:%M:%S}": each["EventId"] for each in written}
    return [
        {**each, "cloudtrail_event": by_second.get(str(each["modified_at"])[:19])} if each.get("modified_at") else each
        for each in events
    ]


def _decided(record: Mapping[str, Any]) -> tuple[str, str | None]:
    """Who decided that an instance stays as it is, as claimed, and the reason that they gave."""
    hold, approval, undone = record.get("hold") or {}, record.get("approval") or {}, record.get("undone_by")
    match record.get("reason"):
        case "held_by_person":
            return _named(hold.get("by") or hold.get("owner")), hold.get("reason")
        case "undone_by_person" if undone:
            return str(undone), None
        case "approval_required" if approval.get("word") == "refused":
            return _named(approval.get("by")), approval.get("reason")
        case "exempt":
            return _TAGGER, None
    return _SERVICE, None


def _named(by: object) -> str:
    """Of whom no name is known, or whose word has ended since, somebody is left."""
    return str(by) if by else _SOMEBODY


def _plain(value: Any) -> Any:
    """A value of the ledger as JSON has it: its numbers are whole."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return int(value) if isinstance(value, Decimal) else value


def _said(word: Mapping[str, Any] | None) -> str | None:
    if not word:
        return None
    return ", ".join(f"{name} {value}" for name, value in word.items() if value is not None)


def _number(value: Any) -> int | None:
    return int(value) if value is not None else None
