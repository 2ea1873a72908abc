"""Rows 11b to 19 of the verdict table: what the evidence says, in their order. First row that matches wins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.weighing import FRESH_HOURS, starts_suffice
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS, BootEvidence
from imdsv2.domain.texts.commands import how_to_move, how_to_show_a_start
from imdsv2.domain.texts.words import are, calls, count, day, minute, sentence, were
from imdsv2.domain.verdict import DAILY, HOURLY, SOON, Decision, Reason, Verdict
from imdsv2.domain.verdict_table.cohort_rows import from_siblings, others_told, with_cohort
from imdsv2.domain.verdict_table.use_rows import from_recurrence, from_refused, from_start, from_use

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence.pool import Pool
    from imdsv2.domain.evidence.values import Evidence, Start
    from imdsv2.domain.history import Acceptance, History
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy

ACCEPTABLE = frozenset(
    {
        Reason.HOP_LIMIT_FALLBACK,
        Reason.V1_IN_USE,
        Reason.COHORT_USES_V1,
        Reason.V1_AT_BOOT,
        Reason.V1_RECURS,
        Reason.TOO_YOUNG,
        Reason.BOOT_NOT_OBSERVABLE,
    }
)
"""The rows that a person may accept for one instance; every other one still binds."""

OF_LITTLE_EVIDENCE = frozenset({Reason.NO_EVIDENCE, Reason.TOO_YOUNG, Reason.BOOT_NOT_OBSERVABLE})
"""Rows 16 to 18: nothing speaks against the instance, but too little for it. Its cohort may."""

_DENIALS = ("Forbidden", "AccessDenied")
"""With which CloudWatch refuses what only a person can allow: the `StatusCode` of a result (API reference, MetricDataResult), and how the
codes of a refused call begin (CloudWatch API reference, "Common errors")."""

_FIRST_HOURS = timedelta(hours=4)
"""By then an instance has had three whole hours."""
_LISTED = timedelta(minutes=15)
"""How long CloudWatch may take to show a datapoint."""


def from_evidence(
    instance: Instance,
    evidence: Evidence | None,
    history: History,
    policy: Policy,
    now: datetime,
    pool: Pool | None = None,
) -> Verdict:
    """The verdict on an instance that only the evidence can settle. ``pool``: that of its cohort, where it was asked for."""
    if evidence is None:
        return _incomplete("CloudWatch gave no answer", now, passes=False)
    if evidence.problem is not None:
        return _incomplete(evidence.problem, now, passes=evidence.passes)
    if evidence.stopped_too_long:
        return stopped_too_long(now)
    acceptance = history.acceptance if history.acceptance and history.acceptance.in_force(now) else None
    accepted: list[Verdict] = []
    for row in (
        from_use,
        from_refused,
        partial(from_siblings, pool=pool),
        from_start,
        from_recurrence,
        _from_coverage,
        _from_hours,
        _from_unseen_start,
    ):
        verdict = row(instance, evidence, policy, now)
        if verdict is None:
            continue
        if verdict.reason in OF_LITTLE_EVIDENCE and pool is not None and not accepted:
            verdict = with_cohort(verdict, instance, evidence, pool, policy, now)
            if verdict.decision is Decision.ENFORCE:
                return verdict
        if acceptance is None or verdict.reason not in ACCEPTABLE:
            return verdict
        accepted.append(verdict)
    if acceptance and accepted:
        return _accepted(acceptance, accepted, now)
    verdict = _unused(instance, evidence, policy, now)
    return replace(verdict, explanation=verdict.explanation + others_told(instance, pool, policy))


def _incomplete(problem: str, now: datetime, *, passes: bool) -> Verdict:
    """Row 12. ``passes``: whether it may have gone by the next time, without anybody."""
    why = f"The metric could not be read completely ({problem}); without it nothing is changed."
    if any(each in problem for each in _DENIALS):
        why += (
            " Deploy the member roles of this version there, or have lifted what keeps the read role from cloudwatch:GetMetricData; it "
            "is asked again within a day."
        )
    else:
        why += f" It is asked again {'in 15 minutes' if passes else 'within a day'}, and nobody has to do anything."
    return Verdict.hold(Reason.EVIDENCE_INCOMPLETE, why, now + (SOON if passes else DAILY))


def stopped_too_long(now: datetime) -> Verdict:
    """Row 11b: nothing of its life is left in CloudWatch."""
    why = (
        f"It has been stopped for longer than CloudWatch remembers ({LONGEST_MEMORY_DAYS} days), so nothing is known of what it "
        "calls. Start it, so that it is judged by what it does then, or terminate it."
    )
    return Verdict.hold(Reason.STOPPED_TOO_LONG, why, now + DAILY)


def _from_coverage(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Row 16: coverage, gaps, and whether it is fresh."""
    if not evidence.window_known:
        why = (
            "Nobody can tell when it was stopped: EC2 does not say so, and it left no CPUUtilization. Start it, so that it is "
            "judged by what it does then."
        )
        return Verdict.hold(Reason.NO_EVIDENCE, why, now + DAILY)
    unknown = "no datapoint does not mean no call"
    if not evidence.fresh and (evidence.newest is not None or evidence.coverage >= policy.min_coverage):
        newest = f"after {minute(evidence.newest)}" if evidence.newest else "at all"
        why = (
            f"It has no MetadataNoToken datapoint {newest}, though it ran; one of the last "
            f"{FRESH_HOURS} whole hours must have one, because {unknown}. See whether its other metrics go on; if none does, "
            f"{how_to_move(instance)}."
        )
        return Verdict.hold(Reason.NO_EVIDENCE, why, now + HOURLY)
    if evidence.coverage < policy.min_coverage:
        why = (
            f"Only {evidence.coverage:.0%} of the hours in which it ran since {minute(evidence.window_start)} have a "
            f"MetadataNoToken datapoint, {policy.min_coverage:.0%} are needed; {unknown}. It is judged again by itself, as hours come in; if that "
            "takes more than days, see in CloudWatch whether its other metrics have gaps, too."
        )
        return Verdict.hold(Reason.NO_EVIDENCE, why, _after_first_hours(instance, evidence, now))
    if evidence.gap.hours > policy.max_gap_hours:
        begins = minute(evidence.gap.begins) if evidence.gap.begins else "an unknown time"
        why = (
            f"It has no MetadataNoToken datapoint for {count(evidence.gap.hours, 'hour')} in a row from {begins} on, in which it ran; at most "
            f"{policy.max_gap_hours} {are(policy.max_gap_hours)} allowed (max_gap_hours), because {unknown}. It is judged again daily, until "
            f"they have left the {count(policy.lookback_days, 'day')} looked at."
        )
        return Verdict.hold(Reason.NO_EVIDENCE, why, now + DAILY)
    return None


def _after_first_hours(instance: Instance, evidence: Evidence, now: datetime) -> datetime:
    """When to look again at what may only be too new to have datapoints."""
    first_hours_over = max(evidence.window_start, instance.launched_at) + _FIRST_HOURS + _LISTED
    if instance.state == "running" and now < first_hours_over:
        return first_hours_over
    return now + DAILY


def _from_hours(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:  # noqa: ARG001
    """Row 17. Starts stand for the hours that an office-hours or batch machine never collects."""
    if evidence.observed_hours >= policy.min_observed_hours or starts_suffice(evidence, policy):
        return None
    seen = f"It was observed for {count(evidence.observed_hours, 'hour')}, {policy.min_observed_hours} {are(policy.min_observed_hours)} needed"
    if evidence.enough_at is not None:
        why = f"{seen}; if it keeps running it has them on {minute(evidence.enough_at)}, and is judged again then."
        return Verdict.hold(Reason.TOO_YOUNG, why, max(evidence.enough_at, now))
    why = (
        f"{seen}, and it runs too little to reach them within the {count(policy.lookback_days, 'day')} looked at; "
        "let it run longer, raise lookback_days, or lower min_observed_hours."
    )
    return Verdict.hold(Reason.TOO_YOUNG, why, now + DAILY)


def _from_unseen_start(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Row 18."""
    start = evidence.start
    if policy.boot_evidence is BootEvidence.IGNORE or (start is not None and start.observed):
        return None
    if start is None:
        return Verdict.hold(Reason.BOOT_NOT_OBSERVABLE, "Its last start was not looked at.", now + DAILY)
    if start.observable_at is not None and now < (ready := start.observable_at + HOURLY) and not start.resumable:
        why = (
            f"The two hours from its last start on {minute(start.at)} on are not over, or CloudWatch does not show them yet; judged "
            f"again on {minute(ready)}."
        )
        return Verdict.hold(Reason.BOOT_NOT_OBSERVABLE, why, ready)
    why = f"{_unseen(start)}, so what runs at boot was not seen. To have it seen, {how_to_show_a_start(instance, now)}"
    return Verdict.hold(Reason.BOOT_NOT_OBSERVABLE, why, now + DAILY)


def _unseen(start: Start) -> str:
    when = minute(start.at)
    if start.periods == 0 and not start.forgotten:
        return f"It was stopped within minutes of its last start on {when}"
    if start.forgotten:
        return f"The metric no longer remembers its last start on {when}"
    if start.resumable:
        return f"It can hibernate, and its last start on {when} may have been a resume, at which no boot software runs"
    if start.missing == start.periods:
        return f"There is no datapoint for the two hours from its last start on {when} on"
    return f"Of the two hours from its last start on {when} on, {start.missing} of {start.periods} periods {'has' if start.missing == 1 else 'have'} no whole datapoint"


def _accepted(acceptance: Acceptance, accepted: list[Verdict], now: datetime) -> Verdict:
    reasons = ", ".join(verdict.reason for verdict in accepted)
    why = (
        f"{acceptance.owner} accepts the change until {acceptance.until.isoformat()} in spite of {reasons}: {sentence(acceptance.reason)} It is "
        f"watched, and put back if it breaks. {accepted[0].explanation}"
    )
    return Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why, revisit_at=now + DAILY)


def _unused(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict:
    start = evidence.start
    if start is None or not start.observed:
        seen = "none seen at its last start (which was not observed, as the policy allows)"
    else:
        what = "last reboot through EC2" if start.at == evidence.rebooted_at else "last start"
        seen = f"none at its {what} on {minute(start.at)}"
    why = (
        f"No IMDSv1 call since {minute(evidence.window_start)} ({count(evidence.observed_hours, 'hour')} observed, "
        f"{evidence.coverage:.0%} of the time it ran), and {seen}."
    )
    if evidence.observed_hours < policy.min_observed_hours:
        why += (
            f" It runs now and then: {count(evidence.clean_starts, 'start')} that {were(evidence.clean_starts)} seen to make no "
            f"call {'stands' if evidence.clean_starts == 1 else 'stand'} for the {count(policy.min_observed_hours, 'hour')} that "
            f"{are(policy.min_observed_hours)} needed otherwise."
        )
    if evidence.refused.earlier:
        why += f" {calls(evidence.refused.earlier)} {were(evidence.refused.earlier)} refused before {_since(evidence)}; a person has settled these."
    if evidence.older.calls:
        why += (
            f" Before that there {were(evidence.older.calls)} {calls(evidence.older.calls)}, the last in the week from {day(evidence.older.last)}; "
            f"{'it is' if evidence.older.calls == 1 else 'they are'} too old, and too rare, to hold it."
        )
    if instance.state == "stopped":
        why += " It is stopped: the change applies when it starts."
    return Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why, revisit_at=now + DAILY)


def _since(evidence: Evidence) -> str:
    return minute(evidence.refused.since) if evidence.refused.since else "that"
