"""What an organisation forbids for all instances alike: said once per cohort, and tried again once a day, by one instance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.cohort import in_order
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import DAILY, HOURLY, Decision, Reason, Verdict
from imdsv2.errors import LedgerContended

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.cohort import Cohort
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.cohort import Cohorts
    from imdsv2.line.judgement import Judgement

_SPREAD = timedelta(minutes=30)
"""A look that was planned for a day later may come this much too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """``held``: instances that are not tried now, with the verdict; ``tried``: cohorts of which one instance is."""

    held: dict[InstanceArn, Verdict] = field(default_factory=dict)
    tried: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denials:
    """Keeps in the cohorts' items what was forbidden. ``now``: the clock."""

    cohorts: Cohorts
    now: Callable[[], datetime]
    logger: Logger

    def ask(self, willing: Sequence[Judgement]) -> Denied:
        """Which instances wait because the change was forbidden to another that runs the same software. A day later, one of them is
        let through. May raise ClientError or LedgerContended."""
        by_cohort: dict[str, list[InstanceArn]] = {}
        for each in willing:
            by_cohort.setdefault(each.denied_with or "", []).append(each.arn)
        by_cohort.pop("", None)
        held: dict[InstanceArn, Verdict] = {}
        tried: set[str] = set()
        for key, cohort in self.cohorts.read(by_cohort).items():
            if cohort.denied_at is None:
                continue
            now = self.now()
            waiting = in_order(by_cohort[key])
            if _is_over(cohort.denied_at, now):
                tried.add(key)
                waiting = waiting[1:]
            held |= {arn: _verdict(cohort, cohort.denied_at, now) for arn in waiting}
        return Denied(held=held, tried=frozenset(tried))

    def note(self, ended: Iterable[Judgement], tried: Collection[str]) -> None:
        """Note what was forbidden, and what no longer is. What cannot be noted is tried again, and noted then."""
        ended = list(ended)
        denied = {each.denied_with: each.verdict for each in ended if each.is_denied_to_all}
        allowed = {each.denied_with for each in ended if each.status is Status.ENFORCED} & {*tried} - denied.keys()
        for key, verdict in [*denied.items(), *((key, None) for key in allowed)]:
            if key is None:
                continue
            try:
                self._note(key, verdict)
            except (*CALL_FAILURES, LedgerContended) as error:
                self.logger.warning("denial not noted", extra={"cohort": key, "problem": describe_error(error)})

    def _note(self, key: str, denied: Verdict | None) -> None:
        at = self.now() if denied is not None else None
        why, reason = (denied.explanation, str(denied.reason)) if denied is not None else (None, None)
        self.cohorts.change(key, lambda cohort: replace(cohort, denied_at=at, denied_why=why, denied_reason=reason))


def _verdict(cohort: Cohort, denied_at: datetime, now: datetime) -> Verdict:
    """That an instance waits: an hour for what comes of the one that is tried now, or an hour longer than the one that is tried next."""
    why = f"It was refused to another instance that runs the same software. {cohort.denied_why or ''}".rstrip()
    revisit_at = now + HOURLY if _is_over(denied_at, now) else denied_at + DAILY + HOURLY
    reason = Reason(cohort.denied_reason or Reason.MANAGED_ELSEWHERE)
    return Verdict(decision=Decision.HOLD, reason=reason, explanation=why, revisit_at=revisit_at)


def _is_over(denied_at: datetime, now: datetime) -> bool:
    return now - denied_at >= DAILY - _SPREAD
