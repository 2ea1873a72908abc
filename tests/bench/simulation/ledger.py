"""The ledger of the safety simulation, in memory.

It is replaced at its methods, one level above its storage: the items of ten thousand instances for a quarter of a year would
take a table in memory hours. It refuses what the table would refuse: a write that has not seen the newest version, and a
move that no life makes. Nothing else in the simulation knows what an item looks like.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from imdsv2.domain.lifecycle import Status, check
from imdsv2.domain.verdict import Reason
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.change import Enforced
from imdsv2.ledger.items import account_key
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.trail import Provenance
from imdsv2.ledger.transactions import Written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.change import Change, Until
    from imdsv2.ledger.indexes import Indexes
    from imdsv2.ledger.told import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an instance stands, as far as it decides when it has to be looked at again. Times are seconds since 1970.

    ``call_seen_at``: the last call, where calls are the reason. ``is_canary``: a canary that has not proved healthy yet;
    ``is_lost``: one that cannot prove it any more.
    """

    status: Status
    reason: Reason
    revisit_at: float | None
    enforced_at: float | None
    restarted_at: float | None
    call_seen_at: float | None
    is_watched: bool
    is_canary: bool
    is_lost: bool

    @property
    def is_enforced(self) -> bool:
        """Whether its software may be refused a call."""
        enforced = self.is_watched or self.status in {Status.ENFORCED, Status.VERIFIED}
        return enforced and self.enforced_at is not None


class MemoryLedger(Ledger):
    """The ledger's items of instances. ``touched``: what was written since somebody last looked."""

    def __init__(self) -> None:
        self._records: dict[InstanceArn, Record] = {}
        self.provenance = Provenance()
        self.indexes = cast("Indexes", self)  # It finds its rows without any.
        self.touched: set[InstanceArn] = set()
        self.looked_at: Collection[InstanceArn] | None = None
        """What the guard gets to see of the watched; None: all."""

    def knows(self, arn: InstanceArn) -> bool:
        """Whether an instance was ever judged."""
        return arn in self._records

    def standing(self, arn: InstanceArn) -> Standing:
        """Where an instance stands that was written before."""
        record = self._records[arn]
        reason = Reason(str(record.reason))
        seen = (record.evidence or {}).get("last_tokenless_call") if reason is Reason.V1_IN_USE else None
        return Standing(
            status=Status(str(record.status)),
            reason=reason,
            revisit_at=_seconds(record.revisit_at),
            enforced_at=_seconds(record.enforced_at),
            restarted_at=_seconds(record.restarted_at),
            call_seen_at=_seconds(datetime.fromisoformat(seen)) if seen else None,
            is_watched=record.is_watched,
            is_canary=record.awaits_canary_proof,
            is_lost=record.canary_lost,
        )

    def read(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Record]:
        return {arn: self._records.get(arn) or Record(arn=arn) for arn in arns}

    def write(self, changes: Iterable[Change], now: datetime) -> Written:
        overtaken: set[InstanceArn] = set()
        for change in changes:
            known = self._records.get(change.arn)
            if change.before.version != (known.version if known else 0):
                overtaken.add(change.arn)
                continue
            applied = change.applied()
            if applied.status is not None:
                check(change.before.status, applied.status)
            self._records[applied.arn] = applied
            self.touched.add(applied.arn)
        return Written(frozenset(overtaken))

    def mark_told(self, told: Mapping[InstanceArn, Told], now: datetime) -> Written:
        for arn, each in told.items():
            if self._records[arn].version == each.record.version:
                self._records[arn] = replace(each.after(now), notified_at=now)
                self.touched.add(arn)
        return Written()

    def waiting(self, account: str | None = None) -> list[InstanceArn]:
        waits = (arn for arn, record in self._records.items() if record.revisit_at is not None)
        return sorted(arn for arn in waits if account in {None, account_key(arn)})

    def claim(self, due: Mapping[InstanceArn, str], until: Until) -> list[InstanceArn]:
        for arn in due:
            self._records[arn] = replace(
                self._records[arn], revisit_at=until if isinstance(until, datetime) else until[arn]
            )
            self.touched.add(arn)
        return list(due)

    def watched(self, account: str) -> list[Enforced]:
        candidates = self._records if self.looked_at is None else self.looked_at
        return [
            _enforced(record)
            for arn in sorted(candidates)
            if account_key(arn) == account and (record := self._records[arn]).is_watched
        ]

    def enforced_since(self, account: str, since: datetime) -> list[Enforced]:
        return [
            _enforced(record)
            for arn, record in self._records.items()
            if account_key(arn) == account and (when := record.enforced_at) is not None and when >= since
        ]


def _enforced(record: Record) -> Enforced:
    enforced_at = record.enforced_at
    assert enforced_at is not None
    return Enforced(
        arn=record.arn,
        status=str(record.status),
        enforced_at=enforced_at,
        restarted_at=record.restarted_at,
        cohort=record.cohort,
        asked_back=False,
    )


def _seconds(when: datetime | None) -> float | None:
    return when.timestamp() if when else None


class MemoryAccounts(Accounts):
    """The real accounts' items. ``looked_at``: the accounts that the guard gets to see; None: all."""

    looked_at: Collection[str] | None = None

    def all(self) -> list[Account]:
        if self.looked_at is None:
            return super().all()
        return [self._read(key) for key in sorted(self.looked_at)]

    def were_guarded(self, keys: Iterable[str], when: datetime) -> None:
        """The guard's passes go on where nothing happens, and are left out: when the last of them was."""
        for key in keys:
            self._change(key, lambda known: replace(known, guarded_at=when))
