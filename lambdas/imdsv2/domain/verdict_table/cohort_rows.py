"""Rows 14c and 18b of the verdict table: what an instance's cohort says against it, and for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.cohort import describe_cohort, lineage_of, shares_user_data
from imdsv2.domain.evidence.pool import FEW_OF
from imdsv2.domain.evidence.strays import hours_to_outweigh
from imdsv2.domain.evidence.weighing import is_covered, is_young, starts_suffice
from imdsv2.domain.texts.commands import cohort_command, command, mended
from imdsv2.domain.texts.words import calls, count, day, hour, minute, were
from imdsv2.domain.verdict import DAILY, HOURLY, SOON, Decision, Reason, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence.pool import Pool, Trace
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy

_STRAYS_TOLD = 3


def from_siblings(
    instance: Instance,
    evidence: Evidence,  # noqa: ARG001 - all rows take the same
    policy: Policy,
    now: datetime,
    pool: Pool | None,
) -> Verdict | None:
    """Row 14c: another member of its cohort, living or gone, used IMDSv1 in the window, or was refused. What could not be read of
    the others is row 12."""
    if pool is None:
        return None
    others = pool.beside(instance.arn)
    if (held := others.binding(policy)) and others.is_of_one_kind:
        return _held_by(held, others, policy, now)
    if pool.problem is not None:
        why = (
            f"What others in its cohort ({describe_cohort(pool.key)}) did could not be read completely ({pool.problem}); without it "
            "nothing is changed. It is asked again in 15 minutes."
        )
        return Verdict.hold(Reason.EVIDENCE_INCOMPLETE, why, now + SOON)
    return None


def others_told(instance: Instance, pool: Pool | None, policy: Policy) -> str:
    """The calls of others, which do not hold an instance that is enforced: who, when and how much, and why not."""
    strays = pool.beside(instance.arn).traces if pool is not None else ()
    if pool is None or not strays:
        return ""
    told = "; ".join(f"{each.arn.instance_id} {_what(each)}" for each in strays[:_STRAYS_TOLD])
    more = f"; and {len(strays) - _STRAYS_TOLD} more" if len(strays) > _STRAYS_TOLD else ""
    if pool.beside(instance.arn).binding(policy):
        return (
            f" Of others in its cohort ({describe_cohort(pool.key)}), {told}{more}. That alone does not say that they run the same software, and fewer "
            f"than one in {FEW_OF} of them made calls: it is judged by its own evidence."
        )
    return (
        f" Of others in its cohort, {told}{more}. {'That is' if len(strays) == 1 else 'Each is'} taken for a stray call or a probe: "
        f"members without any call were observed for {count(pool.hours, 'hour')}."
    )


def _what(trace: Trace) -> str:
    if trace.refused:
        return f"was refused {calls(trace.calls)} while tokens were required, the last on {day(trace.last)}"
    return f"made {calls(trace.calls)}, the last {hour(trace.last)}"


def _held_by(held: list[Trace], pool: Pool, policy: Policy, now: datetime) -> Verdict:
    trace = held[0]
    ends_at = trace.over_at + timedelta(days=policy.lookback_days)
    who = f"{trace.arn.instance_id}, which runs the same software ({describe_cohort(pool.key)}) {'and has ended' if trace.gone else ''}"
    others = len(pool.traces) - 1
    beside = f"; so did {count(others, 'other member')}" if others > 0 else ""
    why = (
        f"{who.rstrip()}, {_what(trace)}{beside}.{_lacking(held, pool, policy)} Without another call this hold ends by itself on {minute(ends_at)}. Find the software (AWS's IMDS "
        f"packet analyzer names the process), update it where these instances come from, then {_settle(trace, pool, now)}"
    )
    return Verdict.hold(Reason.COHORT_USES_V1, why, min(max(ends_at, now + HOURLY), now + DAILY))


def _lacking(held: list[Trace], pool: Pool, policy: Policy) -> str:
    """What would show that isolated calls are strays."""
    if not all(each.isolated for each in held) or not policy.cohort_evidence:
        return ""
    needed = hours_to_outweigh(held, policy)
    if pool.hours >= needed:
        return ""
    return (
        f" It may be a stray call or a probe: it no longer holds the others once members without any call were observed for "
        f"{count(needed, 'hour')}, of which there are {pool.hours}."
    )


def _settle(trace: Trace, pool: Pool, now: datetime) -> str:
    """How a person says that what a member did is settled."""
    if trace.gone:
        return f"say so: {cohort_command('clear', pool.key)}"
    return f"say so: {command('clear', trace.arn)}" if trace.refused else mended(trace.arn, now)


def with_cohort(
    verdict: Verdict, instance: Instance, evidence: Evidence, pool: Pool, policy: Policy, now: datetime
) -> Verdict:
    """Row 18b: the verdict of an instance of which too little is known, if its cohort may speak for it; else the verdict as it is,
    with what is missing, and a time at which the cohort may have it."""
    if not policy.cohort_evidence or pool.quiet_members < 2:
        return verdict
    if pool.before is not None:
        return _behind(verdict, pool.before, pool.key, policy)
    if pool.doubt is not None:
        return replace(verdict, explanation=f"{verdict.explanation} Its cohort cannot speak for it: {pool.doubt}.")
    if not pool.is_quiet(policy) or not evidence.fresh or not evidence.window_known:
        return verdict
    if evidence.start is None or evidence.start.calls or not _hours_suffice(instance, evidence, pool, policy):
        return _waiting(verdict, evidence, pool, policy, now)
    if evidence.start.observed:
        seen = f"its own start on {minute(evidence.start.at)} was seen to make none"
    elif _start_is_represented(instance, evidence, pool, now):
        stood_for = count(pool.starts, "other")
        seen = f"its own start was not seen, but {stood_for} from the same version of the launch template {were(pool.starts)}, and made none"
    else:
        return _waiting(verdict, evidence, pool, policy, now)
    others = "the others" if pool.traces or pool.settled else "any other"
    why = (
        f"No IMDSv1 call since {minute(pool.since)} by it or by {others} of its cohort ({describe_cohort(pool.key)}): "
        f"{count(pool.members, 'instance')} ({pool.living} there, {pool.gone} gone), {count(pool.hours, 'hour')} observed together, "
        f"{count(pool.starts, 'start')} seen without a call. Of its own {count(evidence.observed_hours, 'hour')}, and {seen}."
        f"{others_told(instance, pool, policy)}{_settled_told(pool)}"
    )
    if evidence.older.calls:
        why += f" It made {calls(evidence.older.calls)} before that, too long ago and too rarely to hold it."
    if instance.state == "stopped":
        why += " It is stopped: the change applies when it starts."
    return Verdict(decision=Decision.ENFORCE, reason=Reason.COHORT_UNUSED, explanation=why, revisit_at=now + DAILY)


def _settled_told(pool: Pool) -> str:
    if not pool.settled:
        return ""
    return f" {count(pool.settled, 'member')} made calls that a person has settled, and {'counts' if pool.settled == 1 else 'count'} for nothing here."


def _hours_suffice(instance: Instance, evidence: Evidence, pool: Pool, policy: Policy) -> bool:
    """Whether it was observed for at least an hour, and its own hours and starts, with those of its cohort, are enough."""
    if not evidence.observed_hours:
        return False
    if _is_new(instance, evidence, policy) and evidence.gap.hours <= policy.max_gap_hours and pool.is_proved(policy):
        return True
    if not is_covered(evidence, policy):
        return False
    if evidence.observed_hours >= policy.min_observed_hours:
        return True
    of_others = pool.starts - (evidence.start is not None and evidence.start.observed and not evidence.start.calls)
    return starts_suffice(evidence, policy, of_others=max(of_others, 0))


def _is_new(instance: Instance, evidence: Evidence, policy: Policy) -> bool:
    """Whether it is young by its life. What has lived longer, and is looked at only since it was mended, once ran other software than
    its cohort, or used it otherwise."""
    first = instance.first_launched_at
    has_lived = evidence.window_end - first if first is not None else None
    is_new = has_lived is not None and has_lived < timedelta(hours=policy.min_observed_hours)
    return is_new and is_young(evidence, policy)


def _start_is_represented(instance: Instance, evidence: Evidence, pool: Pool, now: datetime) -> bool:
    """Whether the observed start of another stands for its own, which nobody saw. Both have run the same boot software: the user
    data are the same, and neither was resumed from hibernation. What is not over yet has to be waited for."""
    start = evidence.start
    if start is None or instance.hibernates or start.resumable or not shares_user_data(pool.key):
        return False
    is_over = start.forgotten or (start.observable_at is not None and now >= start.observable_at + HOURLY)
    return is_over and pool.starts > 0


def _waiting(verdict: Verdict, evidence: Evidence, pool: Pool, policy: Policy, now: datetime) -> Verdict:
    """The verdict as it is; judged again when its own start is over, if that is all that its cohort waits for, and else daily."""
    latest = verdict.revisit_at or now + DAILY
    if not pool.is_proved(policy):
        why = (
            f" Its cohort ({describe_cohort(pool.key)}) does not speak for it yet: {count(pool.members, 'instance')} "
            f"{were(pool.members)} observed for {count(pool.hours, 'hour')}, and {count(pool.starts, 'start')} seen without a call; "
            f"{policy.min_observed_hours} and {policy.min_clean_starts} are needed."
        )
        return replace(verdict, explanation=verdict.explanation + why, revisit_at=min(latest, now + DAILY))
    start = evidence.start
    ready = start.observable_at + HOURLY if start is not None and start.observable_at is not None else None
    if ready is not None and ready > now:
        why = f" Its cohort speaks for it once its own start has been seen, on {minute(ready)}."
        return replace(verdict, explanation=verdict.explanation + why, revisit_at=min(latest, ready))
    return replace(verdict, revisit_at=min(latest, now + DAILY))


def _behind(verdict: Verdict, before: Trace, key: str, policy: Policy) -> Verdict:
    ends_at = before.over_at + timedelta(days=policy.lookback_days)
    why = (
        f" Its cohort cannot speak for it until {minute(ends_at)}: {before.arn.instance_id}, from the same source, of another version (or one "
        f"that nobody knows), {'was refused' if before.refused else 'made'} {calls(before.calls)}. If that is settled, say so: "
        f"{cohort_command('clear', lineage_of(key))}"
    )
    return replace(verdict, explanation=verdict.explanation + why, revisit_at=verdict.revisit_at)
