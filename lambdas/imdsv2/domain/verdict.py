"""Verdicts: the decision on an instance, its reason, and when to evaluate again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from imdsv2.domain.exemption import LongExemption


SOON = timedelta(minutes=15)
HOURLY = timedelta(hours=1)
DAILY = timedelta(hours=24)
"""Intervals until an instance is evaluated again: while EC2 or a quota settles, while a gate is closed, otherwise."""


class Decision(StrEnum):
    """The decision of a verdict."""

    ENFORCE = "enforce"
    HOLD = "hold"
    SKIP = "skip"


class Reason(StrEnum):
    """The reason of a verdict: a row of the verdict table, a gate, or a refusal by EC2."""

    OUT_OF_SCOPE = "out_of_scope"
    UNREACHABLE = "unreachable"
    GONE = "gone"
    ALREADY_REQUIRED = "already_required"
    ENDPOINT_DISABLED = "endpoint_disabled"
    EXEMPT = "exempt"
    EXEMPTION_UNREADABLE = "exemption_unreadable"
    HELD_BY_PERSON = "held_by_person"
    BROKE_BEFORE = "broke_before"
    UNDONE_BY_PERSON = "undone_by_person"
    CHANGED_BACK = "changed_back"
    NOT_READY = "not_ready"
    STOPPED_TOO_LONG = "stopped_too_long"
    EVIDENCE_INCOMPLETE = "evidence_incomplete"
    HOP_LIMIT_FALLBACK = "hop_limit_fallback"
    V1_IN_USE = "v1_in_use"
    V1_REFUSED = "v1_refused"
    COHORT_USES_V1 = "cohort_uses_v1"
    V1_AT_BOOT = "v1_at_boot"
    V1_RECURS = "v1_recurs"
    NO_EVIDENCE = "no_evidence"
    TOO_YOUNG = "too_young"
    BOOT_NOT_OBSERVABLE = "boot_not_observable"
    COHORT_UNUSED = "cohort_unused"
    UNUSED = "unused"
    SWITCHED_OFF = "switched_off"
    POLICY_UNREADABLE = "policy_unreadable"
    SUPPRESSED = "suppressed"
    BREAKER_OPEN = "breaker_open"
    CANARY_WAIT = "canary_wait"
    APPROVAL_REQUIRED = "approval_required"
    NOTICE_GIVEN = "notice_given"
    CALENDAR_CLOSED = "calendar_closed"
    CAP_REACHED = "cap_reached"
    MANAGED_ELSEWHERE = "managed_elsewhere"
    UNTAGGABLE = "untaggable"


NOTHING_TO_DO = frozenset(
    {
        Reason.CANARY_WAIT,
        Reason.CAP_REACHED,
        Reason.CALENDAR_CLOSED,
        Reason.NOT_READY,
        Reason.EVIDENCE_INCOMPLETE,
    }
)
"""Reasons that pass by themselves: nobody is sent a message because of them."""

MAY_CHANGE = frozenset({Reason.UNUSED, Reason.COHORT_UNUSED})
"""The reasons to enforce."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision with its reason, an actionable explanation, and when to evaluate again (None: never).

    ``ends_on``: the last day of the exemption or hold behind the verdict; people are reminded of it. ``cut_exemption``: an exemption
    that the policy does not follow to its end.
    """

    decision: Decision
    reason: Reason
    explanation: str
    revisit_at: datetime | None = None
    ends_on: date | None = None
    cut_exemption: LongExemption | None = None

    @classmethod
    def hold(cls, reason: Reason, explanation: str, revisit_at: datetime) -> Verdict:
        """That an instance waits."""
        return cls(decision=Decision.HOLD, reason=reason, explanation=explanation, revisit_at=revisit_at)

    @classmethod
    def skip(cls, reason: Reason, explanation: str, revisit_at: datetime | None) -> Verdict:
        """That nothing is to be done about an instance."""
        return cls(decision=Decision.SKIP, reason=reason, explanation=explanation, revisit_at=revisit_at)
