"""The verdict table: a pure function from an instance, its evidence and its history to a verdict. The first row wins.

Neither this module nor its imports use the AWS SDK, the clock or the environment.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.exemption import day_after, from_tags
from imdsv2.domain.instance import ROLLED_BACK_TAG, Instance, Missing, Unreachable
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS
from imdsv2.domain.texts.commands import command
from imdsv2.domain.texts.words import minute, sentence
from imdsv2.domain.verdict import DAILY, SOON, Reason, Verdict
from imdsv2.domain.verdict_table.evidence_rows import from_evidence, stopped_too_long

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence.pool import Pool
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.history import History, Hold
    from imdsv2.domain.instance import Placed, Target
    from imdsv2.domain.policy import Policy


_SETTLING = timedelta(minutes=10)


def decide(
    target: Target,
    evidence: Evidence | None,
    history: History,
    policy: Policy,
    now: datetime,
    pool: Pool | None = None,
) -> Verdict:
    """Decide on one instance.

    Args:
        target: the instance as EC2 shows it, or why it cannot be shown.
        evidence: the evidence from CloudWatch; None if there is none.
        history: what the ledger knows about the instance.
        policy: the policy in force.
        now: the time of the decision, timezone-aware.
        pool: the evidence of its cohort; None if it was not asked for, or if it is in none.
    """
    if not isinstance(target, Instance):
        return decide_unseen(target, history, policy, now)
    settled = decide_without_evidence(target, history, policy, now)
    return settled or from_evidence(target, evidence, history, policy, now, pool)


def decide_without_evidence(target: Target, history: History, policy: Policy, now: datetime) -> Verdict | None:
    """Rows 1 to 11: those that need no CloudWatch data. None if the evidence has to decide."""
    if not isinstance(target, Instance):
        return decide_unseen(target, history, policy, now)
    return decide_scope(target.arn, policy, now) or _from_instance(target, history, policy, now)


def decide_unseen(target: Missing | Unreachable, history: History, policy: Policy, now: datetime) -> Verdict:
    """The rows for what EC2 does not show: they always decide."""
    scope = decide_scope(target.arn, policy, now)
    if scope is not None:
        return scope
    match target:
        case Unreachable():
            return Verdict.hold(Reason.UNREACHABLE, target.problem, now + (SOON if target.passes else DAILY))
        case Missing():
            return _from_missing(history, now)


def _from_missing(history: History, now: datetime) -> Verdict:
    """EC2 may not know an instance yet that was launched moments ago, so it is looked for once more."""
    look_again_at = (history.missing_since or now) + SOON
    if now < look_again_at:
        why = "EC2 knows no such instance; as it may just have been launched, it is looked for once more in 15 minutes."
        return Verdict.skip(Reason.GONE, why, look_again_at)
    return Verdict.skip(Reason.GONE, "EC2 knows no such instance; there is nothing to do.", None)


def decide_scope(there: Placed, policy: Policy, now: datetime) -> Verdict | None:
    """Row 1, checked before any call to the account. None if the account and Region are in scope."""
    why = why_left_out(there.account, policy)
    if why is None and there.region in policy.exclude_regions:
        why = f"Region {there.region} is among exclude_regions of the policy."
    return None if why is None else Verdict.skip(Reason.OUT_OF_SCOPE, why, now + DAILY)


def why_left_out(account: str, policy: Policy) -> str | None:
    """Why the policy leaves out an account, whatever the Region; None if it does not."""
    if policy.include_accounts and account not in policy.include_accounts:
        return f"Account {account} is not among include_accounts of the policy."
    if account in policy.exclude_accounts:
        return f"Account {account} is among exclude_accounts of the policy."
    return None


def decide_doubt(target: Target, history: History, scope: Verdict, now: datetime) -> Verdict:
    """The verdict on an enforcement that was interrupted, in an account and Region that has left the scope since: what EC2 may have
    taken is looked at and watched all the same. ``scope``: the verdict of `decide_scope`."""
    match target:
        case Unreachable():
            return Verdict.hold(Reason.UNREACHABLE, target.problem, now + SOON)
        case Missing():
            return _from_missing(history, now)
        case Instance():
            return _from_tokens(target) or scope


def _from_tokens(instance: Instance) -> Verdict | None:
    """Rows 3 and 4, for what EC2 shows."""
    if instance.state in {"terminated", "shutting-down"}:
        return Verdict.skip(Reason.GONE, f"The instance is {instance.state}; there is nothing to do.", None)
    if instance.options.http_tokens == "required":
        return Verdict.skip(Reason.ALREADY_REQUIRED, "The instance already requires IMDSv2 tokens.", None)
    return None


def _from_instance(instance: Instance, history: History, policy: Policy, now: datetime) -> Verdict | None:
    options = instance.options
    settled = _from_tokens(instance)
    if settled is not None:
        return settled
    if options.http_endpoint == "disabled":
        why = "Its metadata endpoint is disabled, so it cannot serve IMDSv1; the service never opens what was closed."
        return Verdict.skip(Reason.ENDPOINT_DISABLED, why, now + DAILY)
    if options.http_tokens != "optional":
        # What is not shown could be neither recorded nor put back: it may be required, or closed, all the same.
        why = "EC2 does not show its metadata options; without them nothing is changed. It is looked at again in a quarter of an hour."
        return Verdict.hold(Reason.UNREACHABLE, why, now + SOON)
    exemption = from_tags(instance.tags, history.long_exemption, policy, now)
    if exemption is not None:
        return exemption
    known = _from_history(instance, history, now)
    if known is not None:
        return known
    if instance.state not in {"running", "stopped"}:
        why = f"The instance is {instance.state}; it is judged once it is running or stopped."
        return Verdict.hold(Reason.NOT_READY, why, now + SOON)
    if instance.stopped_at is not None and now - instance.stopped_at > timedelta(days=LONGEST_MEMORY_DAYS):
        return stopped_too_long(now)
    return None


def _from_history(instance: Instance, history: History, now: datetime) -> Verdict | None:
    """Rows 8 to 10."""
    if history.hold is not None and history.hold.in_force(now):
        return _from_hold(instance, history.hold, now)
    if history.uncleared_rollback_at is not None:
        return _from_breakage(instance, history.uncleared_rollback_at, now)
    if history.uncleared_undo_at is not None:
        return _from_undo(instance, history.uncleared_undo_at, history.undone_by, now)
    required_at = history.enforced_at if history.stands else history.uncleared_required_seen_at
    if required_at is not None:
        return _from_changed_back(instance, required_at, now, ours=history.stands)
    if ROLLED_BACK_TAG in instance.tags and history.is_blank:
        return _from_tag(instance, now)
    return None


def _from_hold(instance: Instance, hold: Hold, now: datetime) -> Verdict:
    why = (
        f"{hold.owner} holds it until {hold.until.isoformat()} (that day included, UTC): {sentence(hold.reason)} "
        f"To end that sooner: {command('release', instance.arn)}"
    )
    verdict = Verdict.hold(Reason.HELD_BY_PERSON, why, min(day_after(hold.until), now + DAILY))
    return replace(verdict, ends_on=hold.until)


def decide_by_people(instance: Instance, history: History, policy: Policy, now: datetime) -> Verdict | None:
    """What people say of an instance, whether it requires tokens already or not: for what is launched in its place. None if nothing."""
    exemption = from_tags(instance.tags, history.long_exemption, policy, now)
    if exemption is not None:
        return exemption
    if history.hold is not None and history.hold.in_force(now):
        return _from_hold(instance, history.hold, now)
    return None


def _from_breakage(instance: Instance, rolled_back_at: datetime, now: datetime) -> Verdict:
    why = (
        f"Tokens were required here before, and it was put back on {minute(rolled_back_at)} because its software broke. "
        f"Find what called IMDSv1, update and restart it; then: {command('clear', instance.arn)}"
    )
    return Verdict.hold(Reason.BROKE_BEFORE, why, now + DAILY)


def _from_undo(instance: Instance, undone_at: datetime, undone_by: str | None, now: datetime) -> Verdict:
    why = (
        f"{undone_by or 'Somebody'} had it put back on {minute(undone_at)}. When the reason is settled: "
        f"{command('clear', instance.arn)}"
    )
    return Verdict.hold(Reason.UNDONE_BY_PERSON, why, now + DAILY)


def _from_changed_back(instance: Instance, required_at: datetime, now: datetime, *, ours: bool) -> Verdict:
    """Tokens were required, by the service (``ours``) or by others, and are optional now."""
    known = (
        f"Tokens were required here on {minute(required_at)}"
        if ours
        else f"Tokens were seen required here on {minute(required_at)}"
    )
    if ours and instance.state == "stopped":
        why = f"{known}; the instance is stopped, and EC2 applies the change when it starts."
        return Verdict.hold(Reason.NOT_READY, why, now + SOON)
    if ours and is_settling(instance, required_at, now):
        why = f"{known}; EC2 may still be applying it, so it is looked at again shortly."
        return Verdict.hold(Reason.NOT_READY, why, now + SOON)
    why = (
        f"{known}, and somebody has made them optional since; the service does not fight that. When the reason is settled: "
        f"{command('clear', instance.arn)}"
    )
    return Verdict.hold(Reason.CHANGED_BACK, why, now + DAILY)


def _from_tag(instance: Instance, now: datetime) -> Verdict:
    why = (
        f"Its tag {ROLLED_BACK_TAG} ({instance.tags[ROLLED_BACK_TAG][:40]}) says that tokens were required here before and it was put "
        "back, of which the ledger knows nothing: it is a new one, or was restored. Find out why it was put back. When that is settled: "
        f"{command('clear', instance.arn)}"
    )
    return Verdict.hold(Reason.CHANGED_BACK, why, now + DAILY)


def is_settling(instance: Instance, enforced_at: datetime, now: datetime) -> bool:
    """Whether EC2 may not have applied the change of ``enforced_at`` yet; stopped instances apply it when started."""
    return instance.state == "stopped" or now - enforced_at <= _SETTLING or instance.options.state == "pending"
