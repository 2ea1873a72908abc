"""The audit trail: every decision of a person or of the service as an item of its own, which nobody changes or overwrites.

An event is written in the transaction that makes the change it tells of, so there is neither a change without its event nor an event
without its change. Events of an instance lie beside its record (changes of its status as ``event#<time>#<id>``, everything else as
``decision#<time>#<id>``), those of an account under
``account#<partition>/<account>``, those of a cohort beside its item, those of the policy under ``policy``, those of a source, an AMI or an
account's defaults under ``source#``, ``image#`` and ``defaults#``. A sparse index by day holds all of them, spread over shards.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import to_text
from imdsv2.ledger.values import serialize
from imdsv2.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

TRAIL_INDEX = "trail"
TRAIL_SHARDS = 8
"""Partitions for each day: a night's sweep may write more than one partition takes in a second."""
EVENT = "event#"
"""The beginning of the sort key of every change of status: whoever reads only these knows the life of an instance."""
DECISION = "decision#"
"""The beginning of the sort key of every other event."""
SCHEMA = 1
"""The version of what events hold; it grows when an attribute changes its meaning or goes, not when one is added."""


class Kind(StrEnum):
    """What an event tells of. Also its detail type on the bus."""

    STATUS_CHANGED = "status_changed"
    REASON_CHANGED = "reason_changed"
    APPROVED = "approved"
    REFUSED = "refused"
    HOLD_SET = "hold_set"
    HOLD_RELEASED = "hold_released"
    HOLD_ENDED = "hold_ended"
    CLEARED = "cleared"
    ACCEPTED = "accepted"
    MENDED = "mended"
    UNDO_REQUESTED = "undo_requested"
    EXEMPTION_SEEN = "exemption_seen"
    EXEMPTION_ENDED = "exemption_ended"
    NOTICE_DELIVERED = "notice_delivered"
    BROKE = "broke"
    LEFT = "left"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    POLICY_CHANGED = "policy_changed"
    POLICY_REFUSED = "policy_refused"
    CAPTURE_BEGUN = "capture_begun"
    CAPTURE_SENT = "capture_sent"
    CAPTURED = "captured"
    SOURCE_ANNOUNCED = "source_announced"
    SOURCE_FIXING = "source_fixing"
    SOURCE_FIXED = "source_fixed"
    SOURCE_VERIFIED = "source_verified"
    SOURCE_BROKE = "source_broke"
    SOURCE_GOING_BACK = "source_going_back"
    SOURCE_GONE_BACK = "source_gone_back"
    SOURCE_LEFT = "source_left"
    SOURCE_FAILED = "source_failed"
    IMAGE_REQUIRING = "image_requiring"
    IMAGE_REQUIRED = "image_required"
    IMAGE_FAILED = "image_failed"
    DEFAULTS_LOCKING = "defaults_locking"
    DEFAULTS_LOCKED = "defaults_locked"
    DEFAULTS_UNLOCKING = "defaults_unlocking"
    DEFAULTS_UNLOCKED = "defaults_unlocked"
    DEFAULTS_FAILED = "defaults_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who made a change: the caller as claimed, the request (which finds the true one in CloudTrail), the event source, and the
    reason that the caller gave."""

    caller: str | None = None
    request_id: str | None = None
    source: str | None = None
    because: str | None = None

    def said(self) -> dict[str, Any]:
        """As attributes of an event."""
        return {"caller": self.caller, "request_id": self.request_id, "source": self.source, "because": self.because}


@dataclass(slots=True)
class Provenance:
    """What every event of a function says of it: the invocation, and the version of the policy parameter that it read last.

    ``request_id``: returns the id of the current invocation, None outside one.
    """

    request_id: Callable[[], str | None] = lambda: None
    policy_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event before it is written. ``details``: attributes in stored form; None is left out."""

    kind: Kind
    details: Mapping[str, Any]


def puts(
    table: str, pk: str, events: Sequence[Event], now: datetime, provenance: Provenance
) -> Iterator[dict[str, Any]]:
    """The actions of a transaction that write events about one thing, in their order."""
    ids = sorted(uuid.uuid4().hex[:12] for _ in events)
    for event, own in zip(events, ids, strict=True):
        attributes = {
            "request_id": provenance.request_id(),
            **{name: value for name, value in event.details.items() if value is not None},
            "kind": str(event.kind),
            "schema": SCHEMA,
            "policy_version": provenance.policy_version,
            "service_version": VERSION,
            "pk": pk,
            "sk": f"{EVENT if event.kind is Kind.STATUS_CHANGED else DECISION}{to_text(now)}#{own}",
            "trail_day": trail_day(now, pk),
        }
        item = {name: serialize(value) for name, value in attributes.items() if value is not None}
        yield {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}


def time_of(sk: str) -> str:
    """When an event happened, from its sort key."""
    return sk.split("#")[1]


def trail_day(when: datetime, pk: str) -> str:
    """The partition of the index in which an event lies."""
    return f"{when.astimezone(UTC):%Y-%m-%d}#{zlib.crc32(pk.encode()) % TRAIL_SHARDS}"


def trail_days(since: datetime, until: datetime) -> Iterable[str]:
    """The partitions of the index that hold the events between two times, in the order of their days."""
    day = since.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        yield from (f"{day:%Y-%m-%d}#{shard}" for shard in range(TRAIL_SHARDS))
        day += timedelta(days=1)
