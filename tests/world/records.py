"""Records and changes of the ledger for tests, from values as they are written here or as they are stored."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.change import Change
from imdsv2.ledger.record import Record
from imdsv2.ledger.serialisation import stored, typed_attributes

if TYPE_CHECKING:
    from imdsv2.domain.request import Finding

EVENT = ("status", "decision", "reason", "explanation", "source", "request_id", "session", "caller", "before", "after")
"""What the events of changes made here may say."""


def record_with(record: Record, **attributes: Any) -> Record:
    """The record with other attributes; times and documents may be given as they are stored."""
    removed = {name: False if name in {"canary", "canary_lost"} else None for name in attributes}
    values = {name: stored(value) for name, value in attributes.items()}
    return replace(record, **(removed | typed_attributes(values)))


def change(record: Record, *findings: Finding, **attributes: Any) -> Change:
    """A change of attributes, of which the event tells those that are given."""
    says = tuple(name for name in EVENT if name in attributes)
    return Change(before=record, after=record_with(record, **attributes), findings=findings, says=says)


def attributes_of(record: Record) -> dict[str, Any]:
    """The attributes that a record has, by name."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def changed(change: Change) -> dict[str, Any]:
    """What a change makes of those attributes that it changes, by name."""
    return {
        each.name: getattr(change.after, each.name)
        for each in fields(Record)
        if getattr(change.after, each.name) != getattr(change.before, each.name)
    }
