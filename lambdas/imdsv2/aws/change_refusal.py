"""What becomes of an instance that EC2 refuses to tag or to change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.verdict import DAILY, SOON, Decision, Reason, Verdict
from imdsv2.errors import QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NO_SUCH_INSTANCE = "InvalidInstanceID.NotFound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """EC2's final refusal of a change: a verdict, and EC2's error if the attempt counts as failed. ``tag_left``: the
    service's tag may be there all the same. ``wants_endpoint``: `Answer.WANTS_ENDPOINT`. ``is_of_all``: others would be refused in the
    same way."""

    verdict: Verdict
    error: Mapping[str, str] | None = None
    tag_left: bool = False
    wants_endpoint: bool = False
    is_of_all: bool = False


GONE = Verdict(decision=Decision.SKIP, reason=Reason.GONE, explanation="The instance has gone meanwhile.")


def throttled(error: Exception, explanation: str, now: datetime) -> Verdict:
    """It is judged again soon, or when the quota allows for it."""
    verdict = hold(Reason.NOT_READY, explanation, now)
    ready_in = timedelta(seconds=error.ready_in) if isinstance(error, QuotaExhausted) else SOON
    return replace(verdict, revisit_at=now + ready_in)


def hold(reason: Reason, explanation: str, now: datetime) -> Verdict:
    """It is judged again in a day, or soon where AWS is only not ready."""
    revisit_in = SOON if reason is Reason.NOT_READY else DAILY
    return Verdict.hold(reason, explanation, now + revisit_in)
