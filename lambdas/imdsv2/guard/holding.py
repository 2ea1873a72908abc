"""Holds the cohorts of what broke: nothing that runs the same software is enforced until a person clears it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.cohort import lineage_of
from imdsv2.errors import LedgerContended
from imdsv2.guard.obstacle import obstacle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.cohort import Cohort
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.guard.rollback_request import RollbackRequest
    from imdsv2.ledger.cohort import Cohorts
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortHolds:
    """Holds cohorts. ``now``: the clock."""

    ledger: Ledger
    cohorts: Cohorts
    now: Callable[[], datetime]
    logger: Logger

    def hold(self, records: Iterable[Record], *, unexplained: bool) -> None:
        """One that breaks holds all that run the same software, and what its source launches next, until a person clears it.
        ``unexplained``: nobody knows yet whether it broke. Another that holds the cohort already goes on doing so, unless that
        is now known to be breakage."""
        records = list(records)
        by_cohort = {
            key: each.arn
            for each in records
            if each.cohort is not None
            for key in (each.cohort, lineage_of(each.cohort))
        }
        known = unexplained or any(each.is_broken for each in records)
        held = self._held(by_cohort, unexplained=unexplained) if known and by_cohort else set()
        for cohort, arn in by_cohort.items():
            if cohort not in held:
                self.cohorts.change(cohort, partial(_held_by, arn, self.now(), unexplained=unexplained))

    def hold_each_source(self, wanted: Iterable[RollbackRequest]) -> list[RollbackRequest]:
        """Hold each source by itself. Returns those whose cohort could not be held: they are the next pass's, and keep no other back."""
        by_source: dict[str, list[RollbackRequest]] = defaultdict(list)
        for each in wanted:
            by_source[lineage_of(each.record.cohort or "")].append(each)
        unheld: list[RollbackRequest] = []
        for source, several in by_source.items():
            unexplained = [each for each in several if not each.broken and obstacle(each.record, each.target) is None]
            try:
                self.hold([each.record for each in several if each.broken], unexplained=False)
                self.hold([each.record for each in unexplained], unexplained=True)
            except (*CALL_FAILURES, LedgerContended) as error:
                self.logger.warning("cohort not held", extra={"cohort": source, "problem": describe_error(error)})
                unheld += several
        return unheld

    def _held(self, keys: Iterable[str], *, unexplained: bool) -> set[str]:
        """The cohorts that are held already; not ``unexplained``: because something broke."""
        cohorts = self.cohorts.read(keys)
        records = self.ledger.read({each.broken_by for each in cohorts.values() if each.broken_by is not None})
        return {
            key
            for key, each in cohorts.items()
            if each.broken_by
            and each.is_held(records[each.broken_by].cleared_at)
            and (unexplained or not each.unexplained)
        }


def _held_by(arn: InstanceArn, now: datetime, known: Cohort, *, unexplained: bool) -> Cohort:
    return replace(known.renewed(), broken_by=arn, broken_at=now, unexplained=unexplained)
