"""Gates: what turns an `enforce` into a `hold`, whatever the evidence says. Asked when judging, and again before EC2.

They bind enforcement only. In the order in which they are asked: switched_off, policy_unreadable, suppressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.decision import HOURLY
from imdsv2.model import Decision, Reason, Verdict
from imdsv2.policy import Mode

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.policy_source import PolicyInForce


def ask_policy(in_force: PolicyInForce, now: datetime) -> Verdict | None:
    """Whether the policy lets anything be enforced at all; None where it does."""
    if in_force.policy.mode is Mode.OFF:
        why = 'The service is switched off ("mode": "off" in the policy); it is judged again once it is on.'
        return _hold(Reason.SWITCHED_OFF, why, now)
    if in_force.problem is not None:
        return _hold(Reason.POLICY_UNREADABLE, f"{in_force.problem} Until then nothing is enforced.", now)
    return None


def ask_suppressed(suppressed: str | None, now: datetime) -> Verdict | None:
    """Whether somebody has suppressed a finding of the instance; ``suppressed`` says which, or why it is not known."""
    return _hold(Reason.SUPPRESSED, suppressed, now) if suppressed is not None else None


def _hold(reason: Reason, explanation: str, now: datetime) -> Verdict:
    return Verdict(decision=Decision.HOLD, reason=reason, explanation=explanation, revisit_at=now + HOURLY)
