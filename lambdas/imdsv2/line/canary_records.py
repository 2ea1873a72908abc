"""What the ledger's records say of canaries: whether they go first, are through, or have ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.domain.lifecycle import UNDER_WAY, Status
from imdsv2.domain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.domain.cohort import Cohort
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.record import Record
    from imdsv2.line.judgement import Judgement

CHANGED = frozenset({Status.ENFORCING, Status.ENFORCED, Status.VERIFIED})
_ITS_TURN_WILL_COME = frozenset(
    {
        Reason.UNUSED,
        Reason.COHORT_UNUSED,
        Reason.SWITCHED_OFF,
        Reason.POLICY_UNREADABLE,
        Reason.BREAKER_OPEN,
        Reason.APPROVAL_REQUIRED,
        Reason.NOTICE_GIVEN,
        Reason.CANARY_WAIT,
        Reason.CALENDAR_CLOSED,
        Reason.CAP_REACHED,
        Reason.NOT_READY,
    }
)
_REFUSED = frozenset({Reason.SUPPRESSED, Reason.MANAGED_ELSEWHERE, Reason.UNTAGGABLE})
"""Refusals that the evidence does not predict: without this, such an instance would be chosen again and again."""


def goes_first(arn: InstanceArn, willing: Sequence[Judgement], records: Mapping[InstanceArn, Record]) -> bool:
    """Whether a canary is still valid; one that stopped, is gone, is held or can prove nothing is replaced."""
    asked = next((each for each in willing if each.arn == arn), None)
    if asked is not None:
        return asked.instance is not None and asked.instance.state == "running"
    record = records.get(arn)
    if record is None:
        return False
    if is_clean(record):
        return True
    if record.status in CHANGED or record.is_watched:
        # What somebody has changed back is watched until the guard has seen whether it broke.
        return not record.canary_lost
    return record.status != Status.FAILED and record.reason in _ITS_TURN_WILL_COME


def without_ended(cohort: Cohort, records: Mapping[InstanceArn, Record]) -> Cohort:
    """The cohort without the canaries that have ended before they were through, and broke nothing: where others go through the same
    hours, nobody has to begin anew."""
    left = tuple(arn for arn in cohort.canaries if not _has_ended(records.get(arn)))
    goes_on = any((record := records.get(arn)) is not None and record.status in CHANGED for arn in left)
    gone = len(cohort.canaries) - len(left)
    return replace(cohort, canaries=left, wanted=cohort.wanted - gone) if gone and goes_on else cohort


def _has_ended(record: Record | None) -> bool:
    """Whether a canary was ended (by its group, or by Spot) while nothing was known against it. What was refused before it went
    holds the cohort; see `guard.departures`."""
    if record is None or not record.canary_lost or is_clean(record):
        return False
    if record.is_broken or record.left_because is not None or record.enforced_at is None:
        return False
    return record.reason == Reason.GONE or (record.status in CHANGED and not record.is_watched)


def may_be_summoned(record: Record) -> bool:
    """Whether an instance that nobody asked about may be chosen."""
    return record.status not in UNDER_WAY | {Status.FAILED} and record.reason not in _REFUSED


def is_clean(record: Record | None) -> bool:
    """Whether a canary has gone through its hours; that outlives it."""
    if record is None or record.is_broken or not (record.status in CHANGED or record.reason == Reason.GONE):
        return False
    clean_at, enforced_at = record.clean_at, record.enforced_at
    return clean_at is not None and enforced_at is not None and clean_at >= enforced_at


def proves_itself_later(record: Record | None) -> bool:
    return record is not None and record.status in CHANGED and record.is_watched
