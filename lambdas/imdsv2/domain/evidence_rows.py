"""Rows 11b to 19 of the verdict table: what the evidence says, in their order. First row that matches wins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.commands import how_to_move, how_to_restart, mended
from imdsv2.domain.container_host import is_container_host
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS, BootEvidence
from imdsv2.domain.verdict import DAILY, HOURLY, SOON, Decision, Reason, Verdict
from imdsv2.domain.weighing import FRESH_HOURS
from imdsv2.domain.words import calls, count, day, hour, minute, were

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence import Evidence, Start
    from imdsv2.domain.history import Acceptance, History
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy

ACCEPTABLE = frozenset(
    {
        Reason.HOP_LIMIT_FALLBACK,
        Reason.V1_IN_USE,
        Reason.V1_AT_BOOT,
        Reason.V1_RECURS,
        Reason.TOO_YOUNG,
        Reason.BOOT_NOT_OBSERVABLE,
    }
)
"""The rows that a person may accept for one instance; every other one still binds."""

_OVERLAY_HOPS = 3
_FIRST_HOURS = timedelta(hours=4)
"""By then an instance has had three whole hours."""
_LISTED = timedelta(minutes=15)
"""How long CloudWatch may take to show a datapoint."""


def from_evidence(
    instance: Instance, evidence: Evidence | None, history: History, policy: Policy, now: datetime
) -> Verdict:
    """The verdict on an instance that only the evidence can settle."""
    if evidence is None or evidence.problem is not None:
        problem = evidence.problem if evidence else "CloudWatch gave no answer"
        why = f"The metric could not be read completely ({problem}); without it nothing is changed."
        passes = evidence is not None and evidence.passes
        return _hold(Reason.EVIDENCE_INCOMPLETE, why, now + (SOON if passes else DAILY))
    if evidence.stopped_too_long:
        return stopped_too_long(now)
    acceptance = history.acceptance if history.acceptance and history.acceptance.in_force(now) else None
    accepted: list[Verdict] = []
    for row in (
        _from_use,
        _from_refused,
        _from_start,
        _from_recurrence,
        _from_coverage,
        _from_hours,
        _from_unseen_start,
    ):
        verdict = row(instance, evidence, policy, now)
        if verdict is None:
            continue
        if acceptance is None or verdict.reason not in ACCEPTABLE:
            return verdict
        accepted.append(verdict)
    return _accepted(acceptance, accepted, now) if acceptance and accepted else _unused(instance, evidence, now)


def stopped_too_long(now: datetime) -> Verdict:
    """Row 11b: nothing of its life is left in CloudWatch."""
    why = (
        f"It has been stopped for longer than CloudWatch remembers ({LONGEST_MEMORY_DAYS} days), so nothing is known of what it "
        "calls. Start it, so that it is judged by what it does then, or terminate it."
    )
    return _hold(Reason.STOPPED_TOO_LONG, why, now + DAILY)


def _from_use(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Rows 13 and 14."""
    use = evidence.use
    if use.calls == 0:
        return None
    used = f"{calls(use.calls)} in {count(use.hours, 'hour')} on {count(use.days, 'day')}"
    ends_at = _ends_at(instance, use.last, policy)
    used += f" ({use.pattern}), the last {hour(use.last)}. {_ends(ends_at)}"
    revisit_at = min(now + DAILY, ends_at or now + DAILY)
    after = f"After that {mended(instance.arn, now)}"
    if instance.options.hop_limit == 1 and is_container_host(instance.tags):
        why = (
            f"{used} It is a container host with hop limit 1, so there are two possible causes. Containers: tokens do not reach "
            "them there and their software falls back to IMDSv1; with hop limit 2 such calls end within the hour, but containers "
            "can then reach the instance role, which many keep from them by the limit of 1. Or software of the host itself: AWS's "
            f"IMDS packet analyzer on the host names it; update it. {after}"
        )
        return _hold(Reason.HOP_LIMIT_FALLBACK, why, revisit_at)
    why = f"{used} Find the software that makes them (AWS's IMDS packet analyzer names the process), and update it. {after}"
    if instance.options.hop_limit == 1:
        why += (
            " If it runs containers: with the hop limit of 1 tokens do not reach them, and their software falls back to IMDSv1; "
            "raise it to 2, and such calls end within the hour."
        )
    elif instance.options.hop_limit < _OVERLAY_HOPS and is_container_host(instance.tags):
        why += (
            " Or the hop limit is the cause: it is a container host with hop limit 2, and where its containers have a network of their "
            "own (an overlay), tokens need 3 to reach them, and their software falls back to IMDSv1; raise it to 3, and such calls end "
            "within the hour."
        )
    return _hold(Reason.V1_IN_USE, why, revisit_at)


def _ends_at(instance: Instance, last: datetime | None, policy: Policy) -> datetime | None:
    """When the last hour with calls will have left the window; None where it does not move on."""
    return last + timedelta(hours=1, days=policy.lookback_days) if last and instance.state == "running" else None


def _ends(ends_at: datetime | None) -> str:
    if ends_at is None:
        return "It is stopped, and so this does not end by itself."
    return f"Without another call this hold ends by itself on {minute(ends_at)}."


def _from_refused(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Row 14b."""
    refused = evidence.refused
    if refused.calls == 0:
        return None
    ends = ""
    if refused.last is not None and instance.state == "running":
        ends = f" Without another one this hold ends by itself on {day(refused.last + timedelta(days=policy.lookback_days + 1))}."
    why = (
        f"{calls(refused.calls)} {were(refused.calls)} refused while tokens were required, the last on {day(refused.last)}: its software asks for "
        f"IMDSv1.{ends} Find the software (AWS's IMDS packet analyzer names the process), update and restart it, then "
        f"{mended(instance.arn, now)}"
    )
    return _hold(Reason.V1_REFUSED, why, now + DAILY)


def _from_start(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:  # noqa: ARG001
    """Row 15."""
    start = evidence.start
    if start is None or start.calls == 0:
        return None
    why = (
        f"{calls(start.calls)} in the two hours from its last start on {minute(start.at)} on, and none since: software that runs at "
        f"boot needs IMDSv1. Update its boot scripts, then {how_to_restart(instance, now)}"
    )
    return _hold(Reason.V1_AT_BOOT, why, now + DAILY)


def _from_recurrence(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:  # noqa: ARG001
    """Row 15b."""
    older = evidence.older
    if older.ends_at is None or now >= older.ends_at:
        return None
    why = (
        f"No IMDSv1 call since {minute(evidence.window_start)}, but use that comes again: {calls(older.calls)} in "
        f"{older.bursts} bursts before that, the last in the week from {day(older.last)}. It is held until the silence has been "
        f"twice as long as the longest before, on {day(older.ends_at)}. If its software was updated and restarted since, "
        f"{mended(instance.arn, now)}"
    )
    return _hold(Reason.V1_RECURS, why, min(older.ends_at, now + DAILY))


def _from_coverage(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Row 16: coverage, gaps, and whether it is fresh."""
    if not evidence.window_known:
        why = (
            "Nobody can tell when it was stopped: EC2 does not say so, and it left no CPUUtilization. Start it, so that it is "
            "judged by what it does then."
        )
        return _hold(Reason.NO_EVIDENCE, why, now + DAILY)
    unknown = "no datapoint does not mean no call"
    if not evidence.fresh and (evidence.newest is not None or evidence.coverage >= policy.min_coverage):
        newest = f"after {minute(evidence.newest)}" if evidence.newest else "at all"
        why = (
            f"It has no MetadataNoToken datapoint {newest}, though it ran; one of the last "
            f"{FRESH_HOURS} whole hours must have one, because {unknown}. See whether its other metrics go on; if none does, "
            f"{how_to_move(instance)}."
        )
        return _hold(Reason.NO_EVIDENCE, why, now + HOURLY)
    if evidence.coverage < policy.min_coverage:
        why = (
            f"Only {evidence.coverage:.0%} of the hours in which it ran since {minute(evidence.window_start)} have a "
            f"MetadataNoToken datapoint, {policy.min_coverage:.0%} are needed; {unknown}."
        )
        return _hold(Reason.NO_EVIDENCE, why, _after_first_hours(instance, evidence, now))
    if evidence.gap.hours > policy.max_gap_hours:
        begins = minute(evidence.gap.begins) if evidence.gap.begins else "an unknown time"
        why = (
            f"It has no MetadataNoToken datapoint for {evidence.gap.hours} hours in a row from {begins} on, in which it ran; at most "
            f"{policy.max_gap_hours} are allowed (max_gap_hours), because {unknown}. It is judged again daily, until they have left "
            f"the {policy.lookback_days} days looked at."
        )
        return _hold(Reason.NO_EVIDENCE, why, now + DAILY)
    return None


def _after_first_hours(instance: Instance, evidence: Evidence, now: datetime) -> datetime:
    """When to look again at what may only be too new to have datapoints."""
    first_hours_over = max(evidence.window_start, instance.launched_at) + _FIRST_HOURS + _LISTED
    if instance.state == "running" and now < first_hours_over:
        return first_hours_over
    return now + DAILY


def _from_hours(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:  # noqa: ARG001
    """Row 17."""
    if evidence.observed_hours >= policy.min_observed_hours:
        return None
    seen = f"It was observed for {count(evidence.observed_hours, 'hour')}, {policy.min_observed_hours} are needed"
    if evidence.enough_at is not None:
        why = f"{seen}; if it keeps running it has them on {minute(evidence.enough_at)}, and is judged again then."
        return _hold(Reason.TOO_YOUNG, why, max(evidence.enough_at, now))
    why = (
        f"{seen}, and it runs too little to reach them within the {policy.lookback_days} days looked at; "
        "let it run longer, raise lookback_days, or lower min_observed_hours."
    )
    return _hold(Reason.TOO_YOUNG, why, now + DAILY)


def _from_unseen_start(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Row 18."""
    start = evidence.start
    if policy.boot_evidence is BootEvidence.IGNORE or (start is not None and start.observed):
        return None
    if start is None:
        return _hold(Reason.BOOT_NOT_OBSERVABLE, "Its last start was not looked at.", now + DAILY)
    if start.observable_at is not None and now < (ready := start.observable_at + HOURLY) and not start.resumable:
        why = (
            f"The two hours from its last start on {minute(start.at)} on are not over, or CloudWatch does not show them yet; judged "
            f"again on {minute(ready)}."
        )
        return _hold(Reason.BOOT_NOT_OBSERVABLE, why, ready)
    why = f"{_unseen(start)}, so what runs at boot was not seen. To have it seen, {how_to_restart(instance, now)}"
    return _hold(Reason.BOOT_NOT_OBSERVABLE, why, now + DAILY)


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
    return f"Of the two hours from its last start on {when} on, {start.missing} of {start.periods} periods have no whole datapoint"


def _accepted(acceptance: Acceptance, accepted: list[Verdict], now: datetime) -> Verdict:
    reasons = ", ".join(verdict.reason for verdict in accepted)
    why = (
        f"{acceptance.owner} accepts the change until {acceptance.until.isoformat()} in spite of {reasons}: {acceptance.reason} It is "
        f"watched, and put back if it breaks. {accepted[0].explanation}"
    )
    return Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why, revisit_at=now + DAILY)


def _unused(instance: Instance, evidence: Evidence, now: datetime) -> Verdict:
    start = evidence.start
    if start is None or not start.observed:
        seen = "none seen at its last start (which was not observed, as the policy allows)"
    else:
        seen = f"none at its last start on {minute(start.at)}"
    why = (
        f"No IMDSv1 call since {minute(evidence.window_start)} ({count(evidence.observed_hours, 'hour')} observed, "
        f"{evidence.coverage:.0%} of the time it ran), and {seen}."
    )
    if evidence.refused.earlier:
        why += f" {calls(evidence.refused.earlier)} {were(evidence.refused.earlier)} refused before {_since(evidence)}; a person has settled these."
    if evidence.older.calls:
        why += (
            f" Before that there were {calls(evidence.older.calls)}, the last in the week from {day(evidence.older.last)}; "
            "they are too old, and too rare, to hold it."
        )
    if instance.state == "stopped":
        why += " It is stopped: the change applies when it starts."
    return Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why, revisit_at=now + DAILY)


def _since(evidence: Evidence) -> str:
    return minute(evidence.refused.since) if evidence.refused.since else "that"


def _hold(reason: Reason, explanation: str, revisit_at: datetime) -> Verdict:
    return Verdict(decision=Decision.HOLD, reason=reason, explanation=explanation, revisit_at=revisit_at)
