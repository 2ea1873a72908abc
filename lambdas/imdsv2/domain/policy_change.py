"""Which instances a change of the policy concerns: those whose latest verdict rests on a field that has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.verdict import MAY_CHANGE, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.policy import Policy

_NOBODY: frozenset[Reason] = frozenset()
_BY_EVIDENCE = frozenset(
    {
        Reason.UNUSED,
        Reason.COHORT_UNUSED,
        Reason.V1_IN_USE,
        Reason.COHORT_USES_V1,
        Reason.V1_REFUSED,
        Reason.V1_RECURS,
        Reason.V1_AT_BOOT,
        Reason.HOP_LIMIT_FALLBACK,
        Reason.NO_EVIDENCE,
        Reason.TOO_YOUNG,
        Reason.BOOT_NOT_OBSERVABLE,
    }
)
_BY_SCOPE = MAY_CHANGE | {Reason.OUT_OF_SCOPE}
_BY_COHORT = MAY_CHANGE | {Reason.V1_RECURS, Reason.NO_EVIDENCE, Reason.TOO_YOUNG, Reason.BOOT_NOT_OBSERVABLE}
"""Where little is known of an instance, its cohort or its own starts may make up for it; only what they do is asked for older use."""

RESTS_ON: Mapping[str, frozenset[Reason]] = {
    "mode": MAY_CHANGE | {Reason.SWITCHED_OFF},
    "lookback_days": _BY_EVIDENCE,
    "min_observed_hours": _BY_EVIDENCE,
    "min_clean_starts": _BY_COHORT,
    "min_coverage": _BY_EVIDENCE,
    "max_gap_hours": _BY_EVIDENCE,
    "boot_evidence": _BY_EVIDENCE,
    "cohort_evidence": _BY_COHORT,
    "cohort_tag": _BY_COHORT | {Reason.COHORT_USES_V1, Reason.CANARY_WAIT},
    "exempt_tag": MAY_CHANGE | {Reason.EXEMPT, Reason.EXEMPTION_UNREADABLE},
    "max_exemption_days": MAY_CHANGE | {Reason.EXEMPT},
    "include_accounts": _BY_SCOPE,
    "exclude_accounts": _BY_SCOPE,
    "exclude_regions": _BY_SCOPE,
    "max_enforcements_per_hour": frozenset({Reason.CAP_REACHED}),
    "canary": frozenset({Reason.CANARY_WAIT}),
    "change_calendar": frozenset({Reason.CALENDAR_CLOSED}),
    "approval": frozenset({Reason.APPROVAL_REQUIRED}),
    # Whoever only observes gives no notice, and says so of what needs one.
    "notice_hours": frozenset({Reason.NOTICE_GIVEN, Reason.SWITCHED_OFF}),
    "owner_tag": frozenset({Reason.NOTICE_GIVEN}),
    # What the guard does is asked at each of its passes; no verdict rests on these.
    "watch_hours": _NOBODY,
    "watch": _NOBODY,
    "rollback": _NOBODY,
    "rejected_threshold": _NOBODY,
    "rejected_periods": _NOBODY,
    "rollback_tag": _NOBODY,
    # Who tells people asks it.
    "digest": _NOBODY,
    # The sweep asks it of sources.
    "source": _NOBODY,
}
"""By field of the policy, the reasons of the verdicts that rest on it."""


def concerned(before: Policy, after: Policy) -> frozenset[Reason]:
    """The reasons of the verdicts that may come out otherwise under a new policy."""
    return frozenset().union(
        *(reasons for name, reasons in RESTS_ON.items() if getattr(before, name) != getattr(after, name))
    )
