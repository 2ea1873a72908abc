"""The verdict table: a pure function from an instance, its evidence and its history to a verdict. The first row wins.

Neither this module nor its imports use the AWS SDK, the clock or the environment.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.instance import Instance, InstanceArn, Missing, Unreachable
from imdsv2.domain.policy import BootEvidence
from imdsv2.domain.verdict import DAILY, HOURLY, SOON, Decision, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.history import History, Hold
    from imdsv2.domain.instance import Target
    from imdsv2.domain.policy import Policy


_SETTLING = timedelta(minutes=10)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CONTAINER_HOST_TAGS = {"eks:cluster-name", "aws:eks:cluster-name", "karpenter.sh/nodepool", "AmazonECSManaged"}
_CONTAINER_HOST_TAG_PREFIX = "kubernetes.io/cluster/"


def decide(target: Target, evidence: Evidence | None, history: History, policy: Policy, now: datetime) -> Verdict:
    """Decide on one instance.

    Args:
        target: the instance as EC2 shows it, or why it cannot be shown.
        evidence: the evidence from CloudWatch; None if there is none.
        history: what the ledger knows about the instance.
        policy: the policy in force.
        now: the time of the decision, timezone-aware.
    """
    settled = decide_without_evidence(target, history, policy, now)
    if settled is not None:
        return settled
    assert isinstance(target, Instance)  # noqa: S101 - the rows above settle every other kind of target
    return _from_evidence(target, evidence, policy, now)


def decide_without_evidence(target: Target, history: History, policy: Policy, now: datetime) -> Verdict | None:
    """Rows 1 to 11: those that need no CloudWatch data. None if the evidence has to decide."""
    scope = decide_scope(target.arn, policy, now)
    if scope is not None:
        return scope
    match target:
        case Unreachable():
            return _hold(Reason.UNREACHABLE, target.problem, now + (SOON if target.throttled else DAILY))
        case Missing():
            return _skip(Reason.GONE, "EC2 knows no such instance; there is nothing to do.", None)
        case Instance():
            return _from_instance(target, history, policy, now)


def decide_scope(arn: InstanceArn, policy: Policy, now: datetime) -> Verdict | None:
    """Row 1, checked before any call to the account. None if the instance is in scope."""
    if policy.include_accounts and arn.account not in policy.include_accounts:
        why = f"Account {arn.account} is not among include_accounts of the policy."
    elif arn.account in policy.exclude_accounts:
        why = f"Account {arn.account} is among exclude_accounts of the policy."
    elif arn.region in policy.exclude_regions:
        why = f"Region {arn.region} is among exclude_regions of the policy."
    else:
        return None
    return _skip(Reason.OUT_OF_SCOPE, why, now + DAILY)


def _from_instance(instance: Instance, history: History, policy: Policy, now: datetime) -> Verdict | None:
    options = instance.options
    if instance.state in {"terminated", "shutting-down"}:
        return _skip(Reason.GONE, f"The instance is {instance.state}; there is nothing to do.", None)
    if options.http_tokens == "required":
        return _skip(Reason.ALREADY_REQUIRED, "The instance already requires IMDSv2 tokens.", None)
    if options.http_endpoint == "disabled":
        why = "Its metadata endpoint is disabled, so it cannot serve IMDSv1; the service never opens what was closed."
        return _skip(Reason.ENDPOINT_DISABLED, why, now + DAILY)
    exemption = instance.tags.get(policy.exempt_tag)
    if exemption is not None:
        verdict = _from_exemption(policy.exempt_tag, exemption, now)
        if verdict is not None:
            return verdict
    if history.hold is not None and history.hold.in_force(now):
        return _from_hold(history.hold, now)
    if history.broke:
        return _from_breakage(history, now)
    if history.stands:
        return _from_changed_back(instance, history, now)
    if instance.state not in {"running", "stopped"}:
        why = f"The instance is {instance.state}; it is judged once it is running or stopped."
        return _hold(Reason.NOT_READY, why, now + SOON)
    return None


def _from_exemption(tag: str, value: str, now: datetime) -> Verdict | None:
    end = _date(value)
    if end is None:
        why = f"Its tag {tag} has the value {value[:40]!r}, which is no date; write YYYY-MM-DD, or remove the tag."
        return _hold(Reason.EXEMPTION_UNREADABLE, why, now + DAILY)
    if end < now.astimezone(UTC).date():
        return None
    why = f"Its tag {tag} exempts it until {end.isoformat()} (that day included, UTC)."
    return replace(_skip(Reason.EXEMPT, why, _day_after(end)), ends_on=end)


def _day_after(day: date) -> datetime:
    return datetime.combine(min(day, date.max - timedelta(days=1)) + timedelta(days=1), time(), UTC)


def _date(value: str) -> date | None:
    if _DATE.fullmatch(value) is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _from_hold(hold: Hold, now: datetime) -> Verdict:
    why = (
        f"{hold.owner} holds it until {hold.until.isoformat()} (that day included, UTC): {hold.reason} "
        'To end that sooner, invoke the service by hand with "release".'
    )
    verdict = _hold(Reason.HELD_BY_PERSON, why, min(_day_after(hold.until), now + DAILY))
    return replace(verdict, ends_on=hold.until)


def _from_breakage(history: History, now: datetime) -> Verdict:
    assert history.rolled_back_at is not None  # noqa: S101 - only called for what was rolled back
    why = (
        f"Tokens were required here before, and it was put back on {_minute(history.rolled_back_at)}. Find what called "
        'IMDSv1 and update it; then invoke the service by hand with "clear": true.'
    )
    return _hold(Reason.BROKE_BEFORE, why, now + DAILY)


def _from_changed_back(instance: Instance, history: History, now: datetime) -> Verdict:
    assert history.enforced_at is not None  # noqa: S101 - only called for what was enforced here
    when = _minute(history.enforced_at)
    if instance.state == "stopped":
        why = (
            f"Tokens were required here on {when}; the instance is stopped, and EC2 applies the change when it starts."
        )
        return _hold(Reason.NOT_READY, why, now + SOON)
    if is_settling(instance, history.enforced_at, now):
        why = f"Tokens were required here on {when}; EC2 may still be applying it, so it is looked at again shortly."
        return _hold(Reason.NOT_READY, why, now + SOON)
    why = (
        f"Tokens were required here on {when}, and somebody has made them optional since; the service does not fight "
        'that. When the reason is settled, invoke it by hand with "clear": true.'
    )
    return _hold(Reason.CHANGED_BACK, why, now + DAILY)


def is_settling(instance: Instance, enforced_at: datetime, now: datetime) -> bool:
    """Whether EC2 may not have applied the change of ``enforced_at`` yet; stopped instances apply it when started."""
    return instance.state == "stopped" or now - enforced_at <= _SETTLING or instance.options.state == "pending"


def _from_evidence(instance: Instance, evidence: Evidence | None, policy: Policy, now: datetime) -> Verdict:
    if evidence is None or evidence.problem is not None:
        problem = evidence.problem if evidence else "CloudWatch gave no answer"
        why = f"The metric could not be read completely ({problem}); without it nothing is changed."
        throttled = evidence is not None and evidence.throttled
        return _hold(Reason.EVIDENCE_INCOMPLETE, why, now + (SOON if throttled else DAILY))
    return (
        _from_use(instance, evidence, now)
        or _from_coverage(evidence, policy, now)
        or _from_observed_hours(instance, evidence, policy, now)
        or _from_boot(instance, evidence, policy, now)
        or _unused(instance, evidence, now)
    )


def _from_use(instance: Instance, evidence: Evidence, now: datetime) -> Verdict | None:
    used = f"{_calls(evidence.tokenless_calls)}, the last on {_last(evidence.last_tokenless_call)}"
    if evidence.tokenless_calls > 0:
        if _is_container_host(instance.tags) and instance.options.hop_limit == 1:
            why = (
                f"{used}, on a container host whose hop limit is 1: tokens do not reach containers there, so their "
                "software falls back to IMDSv1. Set the hop limit to 2 and this ends by itself; the price is that "
                "containers can then reach the instance role, which many keep from them by the limit of 1 (give the "
                "containers roles of their own first)."
            )
            return _hold(Reason.HOP_LIMIT_FALLBACK, why, now + DAILY)
        why = f"{used}; find the software that makes them on the instance (e.g. with AWS's IMDS packet analyzer) and update it."
        return _hold(Reason.V1_IN_USE, why, now + DAILY)
    if evidence.boot_tokenless_calls > 0:
        why = (
            f"{_calls(evidence.boot_tokenless_calls)} around its last start on {_minute(instance.launched_at)}, none since: "
            "software that runs at boot needs IMDSv1. Update its boot scripts, then restart it."
        )
        return _hold(Reason.V1_AT_BOOT, why, now + DAILY)
    return None


def _from_coverage(evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    if not evidence.window_known:
        why = "EC2 does not say when the instance was stopped, so there is no window to look at; start it, or judge by hand."
        return _hold(Reason.NO_EVIDENCE, why, now + DAILY)
    if evidence.coverage >= policy.min_coverage:
        return None
    why = (
        f"Only {evidence.coverage:.0%} of the hours in which it ran since {_minute(evidence.window_start)} have a "
        f"MetadataNoToken datapoint, {policy.min_coverage:.0%} are needed; no datapoint does not mean no call."
    )
    return _hold(Reason.NO_EVIDENCE, why, now + DAILY)


def _from_observed_hours(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    missing = policy.min_observed_hours - evidence.observed_hours
    if missing <= 0:
        return None
    seen = f"It was observed for {_count(evidence.observed_hours, 'hour')}, {policy.min_observed_hours} are needed"
    ready = now + timedelta(hours=missing)
    still_in_window = ready - timedelta(days=policy.lookback_days) <= evidence.window_start
    if instance.state == "running" and still_in_window:
        return _hold(Reason.TOO_YOUNG, f"{seen}; if it keeps running it is judged again on {_minute(ready)}.", ready)
    why = (
        f"{seen}, and it runs too little to reach them within the {policy.lookback_days} days looked at; "
        "let it run longer, raise lookback_days, or lower min_observed_hours."
    )
    return _hold(Reason.TOO_YOUNG, why, now + DAILY)


def _from_boot(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    if evidence.boot_observed or policy.boot_evidence is BootEvidence.IGNORE:
        return None
    start = f"its last start on {_minute(instance.launched_at)}"
    remedy = 'Restart it, or accept the risk with "boot_evidence": "ignore".'
    if evidence.boot_forgotten:
        why = f"The metric no longer remembers {start}, so what runs at boot was not seen. {remedy}"
    elif evidence.boot_observable_at is not None and now < (ready := evidence.boot_observable_at + HOURLY):
        why = f"The hours around {start} are not over, or CloudWatch does not show them yet; judged again on {_minute(ready)}."
        return _hold(Reason.BOOT_NOT_OBSERVABLE, why, ready)
    else:
        why = f"There is no datapoint for the hours around {start}, so what runs at boot was not seen. {remedy}"
    return _hold(Reason.BOOT_NOT_OBSERVABLE, why, now + DAILY)


def _unused(instance: Instance, evidence: Evidence, now: datetime) -> Verdict:
    start = (
        "at its last start"
        if evidence.boot_observed
        else "seen at its last start (which was not observed, as the policy allows)"
    )
    why = (
        f"No IMDSv1 call since {_minute(evidence.window_start)} ({_count(evidence.observed_hours, 'hour')} observed, "
        f"{evidence.coverage:.0%} of the time it ran), and none {start} on {_minute(instance.launched_at)}."
    )
    if evidence.older_tokenless_calls > 0:
        why += (
            f" Before that there were {_calls(evidence.older_tokenless_calls)}, the last in the week from "
            f"{_day(evidence.older_last_tokenless_call)}; they are too old to hold it."
        )
    if instance.state == "stopped":
        why += " It is stopped: the change applies when it starts."
    return Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why, revisit_at=now + HOURLY)


def _is_container_host(tags: Mapping[str, str]) -> bool:
    return any(key in _CONTAINER_HOST_TAGS or key.startswith(_CONTAINER_HOST_TAG_PREFIX) for key in tags)


def _hold(reason: Reason, explanation: str, revisit_at: datetime) -> Verdict:
    return Verdict(decision=Decision.HOLD, reason=reason, explanation=explanation, revisit_at=revisit_at)


def _skip(reason: Reason, explanation: str, revisit_at: datetime | None) -> Verdict:
    return Verdict(decision=Decision.SKIP, reason=reason, explanation=explanation, revisit_at=revisit_at)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _calls(number: int) -> str:
    return _count(number, "IMDSv1 call")


def _last(when: datetime | None) -> str:
    return _minute(when) if when else "an unknown date"


def _minute(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _day(when: datetime | None) -> str:
    return when.astimezone(UTC).date().isoformat() if when else "an unknown date"
