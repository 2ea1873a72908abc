"""What the ledger remembers of each cohort's members, in an item beside the cohort's: so that those that have ended since are still
looked at while in the window, and none is looked at again and again. Of a source (the part of a key before the version): the newest
calls by any of its versions."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.domain.batches import batched
from imdsv2.domain.evidence.pool import Member, Trace
from imdsv2.domain.instance import InstanceArn
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import pause, put_unless_overtaken, read_batch, to_text, to_time
from imdsv2.ledger.trail import Provenance, puts
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.ledger.trail import Event

MOST_MEMBERS = 4000
"""So many take about 150 KB, and 240 KB with calls of each; an item has room for 400 KB."""
_POOL = "pool"
_ITEMS_A_CALL = 25
"""A call returns at most 16 MB; what is left over is asked for again."""
_ATTEMPTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPool:
    """What is remembered of a cohort, or of its source.

    ``read_at``: when all its members were last looked at (None: never), and ``lookback_days`` how far back (None: not known). ``before``: the newest calls of another version from the
    same source, or of what has ended and nobody knows of which; ``before_key`` that version. ``settled_at``: until when a person has settled all calls. ``doubt``: as in `Pool`.
    """

    key: str
    version: int = 0
    read_at: datetime | None = None
    lookback_days: int | None = None
    members: tuple[Member, ...] = ()
    before: Trace | None = None
    before_key: str | None = None
    settled_at: datetime | None = None
    doubt: str | None = None

    def through(self, lookback_days: int) -> KeptPool:
        """The same for a window of so many days: who was looked at through a shorter one is to be looked at anew."""
        if self.lookback_days is not None and self.lookback_days >= lookback_days:
            return self
        return replace(self, read_at=None, members=tuple(replace(each, looked_at=None) for each in self.members))


class Pools:
    """The pool items. Every method may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance | None = None) -> None:
        self._provenance = provenance or Provenance()
        self._dynamodb = dynamodb
        self._table = table

    def read(self, keys: Iterable[str]) -> dict[str, KeptPool]:
        """Read pools by the cohort's key; one that is not in the ledger is returned empty, with version 0."""
        found = {key: KeptPool(key=key) for key in keys}
        for names in batched([*found], _ITEMS_A_CALL):
            keys_asked = [_key(name) for name in names]
            read = map(_pool, read_batch(self._dynamodb, self._table, keys_asked))
            found |= {each.key: each for each in read}
        return found

    def save(self, pool: KeptPool, events: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Write a pool. False if it has changed since it was read. ``events``: what is told of it."""
        attributes = {
            "read_at": to_text(pool.read_at) if pool.read_at else None,
            "lookback_days": pool.lookback_days,
            "members": _packed(pool.members) if pool.members else None,
            "before": json.dumps(_trace_row(pool.before)) if pool.before else None,
            "before_arn": str(pool.before.arn) if pool.before else None,
            "before_key": pool.before_key,
            "settled_at": to_text(pool.settled_at) if pool.settled_at else None,
            "doubt": pool.doubt,
        }
        return put_unless_overtaken(self._dynamodb, self._table, _key(pool.key), pool.version, attributes, events)

    def settle(self, key: str, until: datetime, event: Event, now: datetime) -> None:
        """Note that what the members did until then is settled, on a person's word, of which ``event`` tells."""

        def settled(pool: KeptPool) -> KeptPool:
            return replace(pool, settled_at=max(until, pool.settled_at or until))

        self.change(key, settled, lambda: list(puts(self._table, cohort_pk(key), [event], now, self._provenance)))

    def change(
        self,
        key: str,
        change: Callable[[KeptPool], KeptPool],
        events: Callable[[], Sequence[Mapping[str, Any]]] = lambda: (),
    ) -> None:
        """Read, change and write a pool, with retries on conflict; nothing is written where nothing changes."""
        for attempt in range(_ATTEMPTS):
            known = self.read([key])[key]
            changed = change(known)
            if changed == known or self.save(changed, events()):
                return
            pause(attempt)
        raise LedgerContended(f"others keep changing the evidence of {key} in the ledger; this is tried again")


def cohort_pk(name: str) -> str:
    """The partition of a cohort, by its key: its items and its events."""
    return f"cohort#{name}"


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": cohort_pk(name)}, "sk": {"S": _POOL}}


def _pool(item: Mapping[str, Any]) -> KeptPool:
    values = {name: deserialize(value) for name, value in item.items()}
    key = values["pk"].removeprefix("cohort#")
    before = values.get("before")
    return KeptPool(
        key=key,
        version=int(values["version"]),
        read_at=to_time(values.get("read_at")),
        lookback_days=int(values["lookback_days"]) if "lookback_days" in values else None,
        members=_unpacked(values["members"], key) if "members" in values else (),
        before=_trace(InstanceArn.parse(values["before_arn"]), json.loads(before)) if before else None,
        before_key=values.get("before_key"),
        settled_at=to_time(values.get("settled_at")),
        doubt=values.get("doubt"),
    )


def _packed(members: Iterable[Member]) -> str:
    rows = [
        [
            each.arn.instance_id.removeprefix("i-"),
            _seconds(each.launched_at),
            _seconds(each.ended_at),
            _seconds(each.looked_at),
            each.hours,
            int(each.started),
            _trace_row(each.used),
            _trace_row(each.refused),
        ]
        for each in members
    ]
    return base64.b85encode(zlib.compress(json.dumps(rows, separators=(",", ":")).encode())).decode()


def _unpacked(packed: str, key: str) -> tuple[Member, ...]:
    partition, account, region, _ = key.split("/", 3)
    members = []
    for name, launched_at, ended_at, looked_at, hours, started, used, refused in json.loads(
        zlib.decompress(base64.b85decode(packed))
    ):
        arn = InstanceArn(partition, region, account, f"i-{name}")
        members.append(
            Member(
                arn=arn,
                launched_at=_time(launched_at),
                ended_at=_time(ended_at),
                looked_at=_time(looked_at),
                hours=hours,
                started=bool(started),
                used=_trace(arn, used),
                refused=_trace(arn, refused),
            )
        )
    return tuple(members)


def _trace_row(trace: Trace | None) -> list[int] | None:
    if trace is None:
        return None
    times = [int(each.timestamp()) for each in trace.times]
    return [trace.calls, int(trace.last.timestamp()), int(trace.refused), int(trace.gone), trace.strays, *times]


def _trace(arn: InstanceArn, row: list[int] | None) -> Trace | None:
    if row is None:
        return None
    calls, last, refused, gone, *more = row
    return Trace(
        arn=arn,
        calls=calls,
        last=datetime.fromtimestamp(last, UTC),
        refused=bool(refused),
        gone=bool(gone),
        strays=sum(more[:1]),
        times=tuple(datetime.fromtimestamp(each, UTC) for each in more[1:]),
    )


def _seconds(when: datetime | None) -> int | None:
    return int(when.timestamp()) if when else None


def _time(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
