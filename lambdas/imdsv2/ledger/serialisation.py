"""Serialisation between a record and its item: the only module that knows how each attribute is stored.

Times are fixed-width UTC text, days are ISO dates, fractions are decimals with four digits. None and False are omitted,
except `confirmed`, where False differs from None.
"""

from __future__ import annotations

import zlib
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from imdsv2.domain.history import Acceptance, Answer, Hold, Undo
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Finding
from imdsv2.ledger.change import Enforced
from imdsv2.ledger.items import account_key, to_text, to_time
from imdsv2.ledger.record import Record
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from collections.abc import Mapping

_Nested = Acceptance | Answer | Hold | Undo

REVISIT_SHARDS = 8
"""The number of partitions in the index of due instances."""

_NESTED = {each.__name__: each for each in (Acceptance, Answer, Hold, Undo)}
"""What a map in an item stands for, by the name of its class."""
_NOT_ATTRIBUTES = {"arn", "version", "written_by", "findings"}
_ATTRIBUTES = tuple(each for each in fields(Record) if each.name not in _NOT_ATTRIBUTES)
_NAMES = tuple(each.name for each in _ATTRIBUTES)
_values_of = attrgetter(*_NAMES)


def record_from(item: Mapping[str, Any]) -> Record:
    """The record from an item as DynamoDB returns it; unknown attributes are ignored."""
    values = {name: deserialize(value) for name, value in item.items()}
    return Record(
        arn=InstanceArn.parse(values["pk"]),
        version=int(values["version"]),
        written_by=values.get("written_by"),
        findings={key: _finding(each) for key, each in values.get("findings", {}).items()},
        **typed_attributes(values),
    )


def typed_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Record attributes from their stored form; unknown names are ignored."""
    return {each.name: _typed(each.type, value) for each in _ATTRIBUTES if (value := values.get(each.name)) is not None}


def changed_attributes(before: Record, after: Record) -> dict[str, Any]:
    """The attributes that a write must set, in stored form; None for those that it must remove."""
    changed = {}
    for name, old, new in zip(_NAMES, _values_of(before), _values_of(after), strict=True):
        if old is new or old == new:  # As most are, of which the stored form need not be made.
            continue
        if (written := _written(name, new)) != _written(name, old):
            changed[name] = written
    old_keys = _index_keys(before)
    return changed | {name: key for name, key in _index_keys(after).items() if key != old_keys[name]}


def stored(value: object) -> Any:
    """A value in its stored form, before DynamoDB's own encoding."""
    match value:
        case str() | None | bool() | int():
            return value
        case datetime():
            return to_text(value)
        case date():
            return value.isoformat()
        case float():
            return Decimal(str(round(value, 4)))
        case Answer():
            answer = {"word": value.word, "by": value.by, "request_id": value.request_id, "at": to_text(value.at)}
            answer |= {"expires_at": to_text(value.expires_at)} if value.expires_at else {}
            return answer | ({"reason": value.reason} if value.reason else {})
        case Acceptance() | Hold() | Undo():
            return {each.name: stored(getattr(value, each.name)) for each in fields(value)}
        case frozenset():
            return sorted(value)
        case dict():
            return {name: stored(each) for name, each in value.items()}
        case _:
            return value


def finding_item(finding: Finding) -> dict[str, Any]:
    """A finding as an entry in a record's map."""
    return {each.name: stored(getattr(finding, each.name)) for each in fields(finding)}


def enforced_from(item: Mapping[str, Any]) -> Enforced:
    """A row of the index of enforced instances."""
    values = {name: deserialize(value) for name, value in item.items()}
    return Enforced(
        arn=InstanceArn.parse(values["pk"]),
        status=values["status"],
        enforced_at=datetime.fromisoformat(values["enforced_at"]),
        restarted_at=to_time(values.get("restarted_at")),
        cohort=values.get("cohort"),
        asked_back="undo" in values,
        broken="broken_at" in values,
    )


def enforced_key(record: Record) -> str | None:
    """The sort key in the index of enforced instances; None for what was never enforced."""
    return f"{record.watch}#{to_text(record.enforced_at)}" if record.enforced_at is not None else None


def shard_of(arn: InstanceArn) -> int:
    """The instance's partition in the index of due instances."""
    return zlib.crc32(arn.instance_id.encode()) % REVISIT_SHARDS


def _written(name: str, value: object) -> Any:
    """The stored form of an attribute; None for what is omitted."""
    return stored(value) if value or (name == "confirmed" and value is not None) else None


def _index_keys(record: Record) -> dict[str, Any]:
    """The keys of the indexes that follow from a record; None for those that it does not have."""
    is_watched = record.watch is not None
    return {
        "revisit_shard": shard_of(record.arn) if record.revisit_at is not None else None,
        "enforced_in": account_key(record.arn) if is_watched else None,
        "enforced_key": enforced_key(record) if is_watched else None,
    }


def _typed(type_name: object, value: Any) -> Any:
    """Convert a stored value to the type that a dataclass declares (``type_name`` is its annotation, a string)."""
    match name := str(type_name).removesuffix(" | None"):
        case "datetime":
            return datetime.fromisoformat(value)
        case "date":
            return date.fromisoformat(value)
        case "frozenset[str]":
            return frozenset(value)
        case _ if name in _NESTED:
            return _nested(_NESTED[name], value)
        case _:
            return value


def _nested(kind: type[_Nested], item: Mapping[str, Any]) -> _Nested:
    """A map of an item as the value that it stands for. Raises KeyError for what must not be missing."""
    values: dict[str, Any] = {}
    for each in fields(kind):
        value = item.get(each.name) if str(each.type).endswith(" | None") else item[each.name]
        values[each.name] = _typed(each.type, value) if value is not None else None
    return kind(**values)


def _finding(item: Mapping[str, Any]) -> Finding:
    times = {name: datetime.fromisoformat(item[name]) for name in ("updated_at", "annotated_at") if item.get(name)}
    return Finding(id=item["id"], product_arn=item["product_arn"], region=item["region"], **times)


def age(finding: Finding) -> datetime:
    """Sort key by age; a finding without ``updated_at``, which has no final verdict yet, counts as newest."""
    return finding.updated_at or datetime.max.replace(tzinfo=UTC)
