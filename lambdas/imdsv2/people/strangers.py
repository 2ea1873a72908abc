"""What a command names and the ledger does not know, with what was probably meant: a typing error must not look like "done"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.instance import Missing, Unreachable
from imdsv2.errors import InvalidRequest
from imdsv2.ledger.items import account_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.command_request import Command

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Earlier than any enforcement; the index compares times as text, so years must have four digits."""

_ACCOUNTS_SEARCHED = 5
"""Accounts that are searched for what unknown instances may have been meant to be."""
_LIKE = 0.6
_LIKE_AN_ID = 0.8
"""Two random ids are half alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strangers:
    """Asks the ledger only about scopes in which a command has found nothing, and instances without a record."""

    ledger: Ledger
    accounts: Accounts

    def refuse(self, command: Command, key: str) -> None:
        """Raises InvalidRequest if the ledger knows nothing of the account (its ledger key), Region or cohort of a scope
        without targets."""
        scope, arns = command.scope, known_in(self.ledger, key)
        accounts = [each.key for each in self.accounts.all()]
        number, numbers = key.rpartition("/")[2], [each.rpartition("/")[2] for each in accounts]
        if not arns and key not in accounts:
            raise _unknown(
                f"{command.kind}.{'cohort' if scope.cohort else 'account'}", f"account {number}", number, numbers
            )
        regions = {arn.region for arn in arns}
        if scope.region and regions and scope.region not in regions:
            what = f"instance of account {number} in {scope.region}"
            raise _unknown(f"{command.kind}.region", what, scope.region, regions)
        if scope.cohort:
            known = {each.cohort for each in self.ledger.read(arns).values() if each.cohort}
            cohorts = known | set(map(lineage_of, known))
            if scope.cohort not in cohorts:
                raise _unknown(f"{command.kind}.cohort", f"cohort {scope.cohort}", scope.cohort, cohorts)

    def among(self, records: Iterable[Record]) -> dict[InstanceArn, str]:
        """The problem of each instance that has no record."""
        unknown = [each.arn for each in records if not each.version]
        accounts = dict.fromkeys(account_key(arn) for arn in unknown)
        known = {key: known_in(self.ledger, key) for key in islice(accounts, _ACCOUNTS_SEARCHED)}
        return {arn: _stranger(arn, known.get(account_key(arn), [])) for arn in unknown}

    def unseen(
        self, records: Iterable[Record], look: Callable[[Iterable[InstanceArn]], Mapping[InstanceArn, Target]]
    ) -> dict[InstanceArn, str]:
        """The problem of each instance that has no record, and that EC2 does not show either (``look`` asks it)."""
        unknown = self.among(records)
        problems = {}
        for arn, target in look(unknown).items():
            if isinstance(target, Missing):
                problems[arn] = f"EC2 knows no such instance in account {arn.account}, {arn.region}. {unknown[arn]}"
            elif isinstance(target, Unreachable):
                problems[arn] = f"Whether it exists cannot be asked: {target.problem} {unknown[arn]}"
        return problems


def known_in(ledger: Ledger, key: str) -> list[InstanceArn]:
    """The instances of an account that wait for anything, or were ever enforced."""
    return sorted({*ledger.indexes.waiting(key), *(row.arn for row in ledger.indexes.enforced_since(key, BEGINNING))})


def _unknown(field: str, what: str, given: str, known: Iterable[str]) -> InvalidRequest:
    likely = get_close_matches(given, sorted(known), n=1, cutoff=_LIKE)
    unjudged = "" if likely else ": nothing there was judged yet, and a dry sweep does not count"
    return InvalidRequest(field, f"the ledger knows no {what}{unjudged}{_did_you_mean(likely)}")


def _stranger(arn: InstanceArn, known: Sequence[InstanceArn]) -> str:
    # One typing error leaves the beginning or the end of an id as it is.
    beginning, end = arn.instance_id[:10], arn.instance_id[-8:]
    alike = {
        each.instance_id: each
        for each in known
        if each.instance_id.startswith(beginning) or each.instance_id.endswith(end)
    }
    likely = get_close_matches(arn.instance_id, alike, n=1, cutoff=_LIKE_AN_ID)
    return f"The ledger does not know it: not judged yet{_did_you_mean([str(alike[each]) for each in likely])}"


def _did_you_mean(likely: Sequence[str]) -> str:
    return f"; did you mean {likely[0]}?" if likely else "."
