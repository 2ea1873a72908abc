"""Resolves the scope of a command to records: named instances, or those of an account, Region or cohort."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.lifecycle import OURS
from imdsv2.domain.verdict import Reason
from imdsv2.ledger.items import account_key

if TYPE_CHECKING:
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.request import Scope

_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Earlier than any enforcement; the index compares times as text, so years must have four digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """Resolves scopes. ``region``: the home Region; account ids belong to its partition."""

    ledger: Ledger
    accounts: Accounts
    region: str

    def named(self, scope: Scope) -> list[Record]:
        """The named instances, whether or not they are in the ledger."""
        return list(self.ledger.read(scope.targets).values())

    def waiting(self, scope: Scope) -> list[Record]:
        """The named instances, or those of an account or cohort that wait for approval or have an unused answer."""
        if scope.targets:
            return self.named(scope)
        known = [
            each for key in self._accounts_of(scope) for each in self.ledger.read(self.ledger.waiting(key)).values()
        ]
        return [each for each in known if awaits_answer(each) and _is_within(each, scope)]

    def enforced(self, scope: Scope) -> list[Record]:
        """The named instances, or those of an account or cohort that are enforced, optionally since a time."""
        if scope.targets:
            return self.named(scope)
        since = max(scope.since or _BEGINNING, _BEGINNING)
        arns = [row.arn for key in self._accounts_of(scope) for row in self.ledger.enforced_since(key, since)]
        return [each for each in self.ledger.read(arns).values() if each.stands and _is_within(each, scope)]

    def account(self, number: str) -> Place:
        """An account in the home Region's partition."""
        return Place(partition_of(self.region), self.region, number)

    def _accounts_of(self, scope: Scope) -> list[str]:
        """The ledger keys of the accounts that a scope without targets applies to."""
        if scope.cohort is not None:
            return ["/".join(scope.cohort.split("/")[:2])]
        if scope.account is not None:
            return [account_key(self.account(scope.account))]
        return [each.key for each in self.accounts.all()]


def awaits_answer(record: Record) -> bool:
    """Whether the instance waits for approval, or has an answer that can still be replaced."""
    waits = record.reason == Reason.APPROVAL_REQUIRED or record.approval is not None
    return waits and record.status not in OURS


def _is_within(record: Record, scope: Scope) -> bool:
    if scope.region and record.arn.region != scope.region:
        return False
    return not scope.cohort or record.cohort == scope.cohort
