"""Resolves the scope of a command to records: named instances, or those of an account, Region or cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.lifecycle import OURS
from imdsv2.domain.verdict import Reason
from imdsv2.ledger.items import account_key
from imdsv2.people.strangers import BEGINNING, Strangers, known_in

if TYPE_CHECKING:
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.command_request import Command, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """Resolves scopes. ``region``: the home Region; account ids belong to its partition.

    Methods raise InvalidRequest for an account, Region or cohort of which the ledger knows nothing.
    """

    ledger: Ledger
    accounts: Accounts
    region: str

    @property
    def strangers(self) -> Strangers:
        """Tells what the ledger does not know, and what was probably meant."""
        return Strangers(ledger=self.ledger, accounts=self.accounts)

    def named(self, scope: Scope) -> list[Record]:
        """The named instances, whether or not they are in the ledger."""
        return list(self.ledger.read(scope.targets).values())

    def waiting(self, command: Command) -> list[Record]:
        """The named instances, or those of an account or cohort that wait for approval or have an unused answer."""
        scope = command.scope
        if scope.targets:
            return self.named(scope)
        known = [
            each
            for key in self._accounts_of(scope)
            for each in self.ledger.read(self.ledger.indexes.waiting(key)).values()
        ]
        return self._known([each for each in known if awaits_answer(each) and _is_within(each, scope)], command)

    def enforced(self, command: Command) -> list[Record]:
        """The named instances, or those of an account or cohort that are enforced, optionally since a time."""
        scope = command.scope
        if scope.targets:
            return self.named(scope)
        since = max(scope.since or BEGINNING, BEGINNING)
        arns = [row.arn for key in self._accounts_of(scope) for row in self.ledger.indexes.enforced_since(key, since)]
        records = self.ledger.read(arns).values()
        return self._known([each for each in records if each.stands and _is_within(each, scope)], command)

    def all(self, command: Command) -> list[Record]:
        """The named instances, or those of an account or cohort that wait for anything or were ever enforced."""
        scope = command.scope
        if scope.targets:
            return self.named(scope)
        arns = {arn for key in self._accounts_of(scope) for arn in known_in(self.ledger, key)}
        return self._known(
            [each for each in self.ledger.read(sorted(arns)).values() if _is_within(each, scope)], command
        )

    def account(self, number: str) -> Place:
        """An account in the home Region's partition."""
        return Place(partition_of(self.region), self.region, number)

    def _known(self, found: list[Record], command: Command) -> list[Record]:
        """What was found; where that is nothing, it is worth asking whether the scope exists at all."""
        scope = command.scope
        if not found and (scope.account or scope.cohort):
            (key,) = self._accounts_of(scope)
            self.strangers.refuse(command, key)
        return found

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
    return not scope.cohort or (
        record.cohort is not None and scope.cohort in {record.cohort, lineage_of(record.cohort)}
    )
