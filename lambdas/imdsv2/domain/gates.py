"""Gates: pure functions that turn an `enforce` into a `hold`, whatever the evidence says.

They apply to enforcement only, never to a rollback or an undo. `line.gate` checks them in this order: switched_off,
policy_unreadable, suppressed, breaker_open, approval_required, notice_given, canary_wait, calendar_closed, cap_reached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.policy import Approval, Mode
from imdsv2.domain.texts.commands import account_command, command, hold_command
from imdsv2.domain.texts.words import are, count
from imdsv2.domain.verdict import DAILY, HOURLY, SOON, Decision, Reason, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.account import Account
    from imdsv2.domain.history import Answer
    from imdsv2.domain.in_force import PolicyInForce
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy

NOTICE_HOLDS_FOR = timedelta(days=7)
"""How long a notice remains valid after its end; after that, the owner gets a new notice."""

_ANNOUNCED, _UNDELIVERED = "IMDSv1 will be switched off after", "The notice to its owner,"
"""How the two texts about a notice begin."""

_OF_LATENESS = 4
"""Canaries that are late by so many hours are asked about in an hour."""
_HOLD_FOR = timedelta(days=30)
"""How long the hold lasts that a notice proposes to whoever objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarState:
    """The state of a change calendar. ``closed``: a sentence that explains why it is closed; None if it is open."""

    closed: str | None
    changes_at: datetime | None = None


def ask_policy(in_force: PolicyInForce, now: datetime) -> Verdict | None:
    """Hold if the mode is `off` or the policy has a problem; None if it permits enforcement."""
    if in_force.policy.mode is Mode.OFF:
        why = 'The service is switched off ("mode": "off" in the policy); it is judged again once it is on.'
        return _hold(Reason.SWITCHED_OFF, why, now)
    if in_force.problem is not None:
        why = f"{in_force.problem} Until then nothing is enforced."
        held = _hold(Reason.POLICY_UNREADABLE, why, now)
        return held if in_force.is_refused else replace(held, revisit_at=now + HOURLY)
    return None


def ask_suppressed(suppressed: str | None, now: datetime, *, may_pass: bool = False) -> Verdict | None:
    """Hold if a finding of the instance is suppressed; ``suppressed`` says which, or why this is unknown. ``may_pass``: Security Hub
    only cannot be asked at present, which is no suppression."""
    if suppressed is None:
        return None
    if may_pass:
        return Verdict(decision=Decision.HOLD, reason=Reason.NOT_READY, explanation=suppressed, revisit_at=now + SOON)
    return _hold(Reason.SUPPRESSED, suppressed, now)


def ask_breaker(account: Account, now: datetime) -> Verdict | None:
    """Hold if the account's circuit breaker is open; only a person closes it."""
    if account.breaker_opened_at is None:
        return None
    number = account.key.rpartition("/")[2]
    why = (
        f"Too many instances of account {number} had to be rolled back; since {_minute(account.breaker_opened_at)} nothing is "
        f"enforced there. Find out why; then: {account_command('close_breaker', number)}"
    )
    return _hold(Reason.BREAKER_OPEN, why, now)


def ask_approval(policy: Policy, answer: Answer | None, arn: InstanceArn, now: datetime) -> Verdict | None:
    """Hold if the policy requires an approval and there is none, it was refused, or it has expired."""
    if policy.approval is Approval.NONE:
        return None
    ask = f"To approve it: {command('approve', arn)}"
    if answer is None:
        return _hold(Reason.APPROVAL_REQUIRED, f"The evidence allows the change; it waits for approval. {ask}", now)
    if answer.is_refusal:
        why = f"{answer.by} refused the change on {answer.at:%Y-%m-%d}{_because(answer)}. {ask}"
        return _hold(Reason.APPROVAL_REQUIRED, why, now)
    if answer.expires_at is None or now >= answer.expires_at:
        why = f"The approval by {answer.by} expired on {answer.expires_at or answer.at:%Y-%m-%d}. {ask}"
        return _hold(Reason.APPROVAL_REQUIRED, why, now)
    return None


def notice_not_given(policy: Policy, now: datetime) -> Verdict:
    """Hold where a person asks for a change that needs notice while the mode is `observe`: nothing would be changed when the notice ends,
    so nothing is announced."""
    why = (
        f"The evidence allows the change, but its owner must have {count(policy.notice_hours, 'hour')} of notice first (notice_hours), and in the mode "
        "observe none is given, because no change follows. Set the mode enforce, or notice_hours to 0, and it is judged again."
    )
    return _hold(Reason.SWITCHED_OFF, why, now)


def ask_notice(
    policy: Policy, ends_at: datetime | None, owner: str, arn: InstanceArn, now: datetime, *, undelivered: bool = False
) -> Verdict | None:
    """Hold until the owner's notice has ended. ``ends_at``: when the notice that was delivered ends; None if none was.
    ``undelivered``: whether it was tried, and failed.

    The verdict's ``revisit_at`` is the end of the notice, or the next try to deliver it.
    """
    if policy.notice_hours == 0 or (ends_at is not None and ends_at <= now < ends_at + NOTICE_HOLDS_FOR):
        return None
    if undelivered:
        return Verdict(
            decision=Decision.HOLD,
            reason=Reason.NOTICE_GIVEN,
            explanation=notice_undelivered(owner),
            revisit_at=now + SOON,
        )
    if ends_at is None or ends_at <= now:
        ends_at = now + timedelta(hours=policy.notice_hours)
    why = notice(policy, ends_at, owner, arn)
    return Verdict(decision=Decision.HOLD, reason=Reason.NOTICE_GIVEN, explanation=why, revisit_at=ends_at)


def notice(policy: Policy, ends_at: datetime, owner: str, arn: InstanceArn) -> str:
    """What the owner is told before the change."""
    return (
        f"{_ANNOUNCED} {_minute(ends_at)}, unless it is used until then. Owner: {owner}. To object, set the tag "
        f"{policy.exempt_tag} to a date (YYYY-MM-DD), or have it held: {hold_command(arn, owner, (ends_at + _HOLD_FOR).date())}"
    )


def notice_undelivered(owner: str) -> str:
    """What is said while the notice has reached nobody."""
    return (
        f"{_UNDELIVERED} {owner}, could not be delivered yet: check the notification topic, its subscriptions and its encryption key. "
        "It is tried again in 15 minutes, and the notice begins when it has been delivered."
    )


def with_notice(explanation: str, text: str) -> str:
    """The explanation of a hold for notice with another text of it; what precedes the notice is kept."""
    begins = [at for at in map(explanation.find, (_ANNOUNCED, _UNDELIVERED)) if at >= 0]
    return explanation[: min(begins, default=0)] + text


def ask_calendar(state: CalendarState, now: datetime) -> Verdict | None:
    """Hold if the change calendar is closed."""
    if state.closed is None:
        return None
    changes_at = state.changes_at
    # A time that has come says that the answer is a few seconds old; without one, its opening makes due what waits for it.
    opens_at = now + DAILY if changes_at is None else changes_at if changes_at > now else now + HOURLY
    why = f"{state.closed} It is judged again then."
    return Verdict(
        decision=Decision.HOLD,
        reason=Reason.CALENDAR_CLOSED,
        explanation=why,
        revisit_at=min(opens_at, now + DAILY),
    )


def cap_reached(policy: Policy, opens_at: datetime, now: datetime) -> Verdict:
    """The hold for an instance beyond the hourly cap; ``opens_at`` is when the cap has room again."""
    limit = policy.max_enforcements_per_hour
    why = (
        f"{count(limit, 'instance')} an hour {are(limit)} changed in an account and Region (max_enforcements_per_hour); "
        f"it has its turn after {_minute(opens_at)}."
    )
    return Verdict(
        decision=Decision.HOLD,
        reason=Reason.CAP_REACHED,
        explanation=why,
        revisit_at=max(opens_at, now + timedelta(minutes=1)),
    )


def canary_wait(explanation: str, opens_at: datetime | None, now: datetime) -> Verdict:
    """The hold for an instance whose cohort waits for its canaries, or is broken. ``opens_at``: when the wait ends at the earliest, None
    where that is not known. The later canaries are, because they are off or publish nothing, the less often is asked, once a day at least:
    each time, all evidence is read."""
    opens_at = opens_at or now + HOURLY
    return Verdict(
        decision=Decision.HOLD,
        reason=Reason.CANARY_WAIT,
        explanation=explanation,
        revisit_at=max(opens_at, now + min(max((now - opens_at) / _OF_LATENESS, SOON), DAILY)),
    )


def _hold(reason: Reason, explanation: str, now: datetime) -> Verdict:
    """A hold until a person opens the gate, which makes due what waits there; without that, a day is soon enough."""
    return Verdict.hold(reason, explanation, now + DAILY)


def _because(answer: Answer) -> str:
    return f" ({answer.reason.rstrip('.')})" if answer.reason else ""


def _minute(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M UTC}"
