"""What a change of the policy concerns: the verdicts that rest on a field that has changed."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from imdsv2.domain.policy import Approval, BootEvidence, Mode, Policy, RollbackMode, Watch
from imdsv2.domain.policy_change import RESTS_ON, concerned
from imdsv2.domain.verdict import Reason

POLICY = Policy()


def test_every_field_says_what_rests_on_it() -> None:
    """A new field has to say so."""
    assert {each.name for each in fields(Policy)} == RESTS_ON.keys()


def test_nothing_is_concerned_by_the_same_policy() -> None:
    """Written anew, it changes nothing."""
    assert frozenset() == concerned(POLICY, replace(POLICY))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mode": Mode.ENFORCE}, Reason.UNUSED),
        ({"mode": Mode.OFF}, Reason.UNUSED),
        ({"lookback_days": 60}, Reason.V1_IN_USE),
        ({"min_observed_hours": 12}, Reason.TOO_YOUNG),
        ({"min_coverage": 0.5}, Reason.NO_EVIDENCE),
        ({"max_gap_hours": 90}, Reason.NO_EVIDENCE),
        ({"boot_evidence": BootEvidence.IGNORE}, Reason.BOOT_NOT_OBSERVABLE),
        ({"exempt_tag": "keep"}, Reason.EXEMPT),
        ({"exclude_regions": frozenset({"eu-west-1"})}, Reason.OUT_OF_SCOPE),
        ({"max_enforcements_per_hour": 9}, Reason.CAP_REACHED),
        ({"canary": None}, Reason.CANARY_WAIT),
        ({"change_calendar": "freeze"}, Reason.CALENDAR_CLOSED),
        ({"approval": Approval.REQUIRED}, Reason.APPROVAL_REQUIRED),
        ({"notice_hours": 7}, Reason.NOTICE_GIVEN),
        ({"notice_hours": 7}, Reason.SWITCHED_OFF),
    ],
)
def test_who_waits_for_a_field_is_concerned_in_both_directions(changed: dict[str, object], reason: Reason) -> None:
    """Whether the gate opens or closes: what is shown as its reason is no longer so."""
    after = replace(POLICY, **changed)  # type: ignore[arg-type]
    assert reason in concerned(POLICY, after)
    assert concerned(POLICY, after) == concerned(after, POLICY)


def test_several_fields_concern_together_what_each_does() -> None:
    """One writing of the parameter may change many."""
    after = replace(POLICY, approval=Approval.REQUIRED, canary=None)
    assert {Reason.APPROVAL_REQUIRED, Reason.CANARY_WAIT} == concerned(POLICY, after)


def test_what_the_guard_follows_concerns_no_verdict() -> None:
    """It asks for it at each of its passes."""
    after = replace(POLICY, watch_hours=9, watch=Watch.SLOW, rollback=RollbackMode.ALERT, rejected_periods=7)
    assert frozenset() == concerned(POLICY, after)
