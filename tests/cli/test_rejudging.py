"""What is said to become of a verdict under another policy is what the verdict table says, wherever anything is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.documents import evidence_document
from imdsv2.domain.evidence.values import Evidence, Gap, Refused, Start
from imdsv2.domain.history import History
from imdsv2.domain.policy import Approval, BootEvidence, Mode, Policy
from imdsv2.domain.verdict_table.decision import decide
from imdsv2_cli.rejudging import Outcome, rejudge
from tests.unit.builders import ACCOUNT, NOW, REGION, evidence, instance, use

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Policy(mode=Mode.ENFORCE)

policies: st.SearchStrategy[Policy] = st.builds(
    Policy,
    mode=st.sampled_from([Mode.OBSERVE, Mode.ENFORCE]),
    min_observed_hours=st.sampled_from([24, 168, 400]),
    min_coverage=st.sampled_from([0.5, 0.9, 1.0]),
    max_gap_hours=st.sampled_from([4, 24, 72]),
    boot_evidence=st.sampled_from(BootEvidence),
    min_clean_starts=st.sampled_from([1, 3]),
    cohort_evidence=st.booleans(),
    exclude_accounts=st.sampled_from([frozenset[str](), frozenset({ACCOUNT})]),
)


@st.composite
def seen(draw: Callable[..., Any]) -> Evidence:
    """What CloudWatch may have shown."""
    started = NOW - timedelta(days=40)
    return evidence(
        use=use(draw(st.sampled_from([1, 7]))) if draw(st.integers(0, 3)) == 0 else evidence().use,
        refused=Refused(calls=draw(st.sampled_from([0, 0, 0, 2])), last=NOW - timedelta(days=3)),
        start=Start(at=started, observed=draw(st.booleans()), calls=draw(st.sampled_from([0, 0, 0, 1])), periods=24),
        observed_hours=draw(st.sampled_from([10, 100, 200, 800])),
        coverage=draw(st.sampled_from([0.4, 0.8, 0.95, 1.0])),
        gap=Gap(hours=draw(st.sampled_from([0, 12, 48, 100]))),
        fresh=draw(st.sampled_from([True, True, True, False])),
        clean_starts=draw(st.sampled_from([0, 1, 4])),
    )


def item(reason: str, found: Evidence | None) -> dict[str, Any]:
    """As the ledger keeps it."""
    return {"pk": str(instance().arn), "reason": reason, "evidence": evidence_document(found)}


@given(found=seen(), before=policies, after=policies)
def test_whatever_is_said_is_what_the_table_says(found: Evidence, before: Policy, after: Policy) -> None:
    """With any evidence and thresholds; and what is said not to change does not."""
    target = instance()
    was, becomes = (decide(target, found, History(), policy, NOW).reason for policy in (before, after))
    outcome = rejudge(item(was, found), before, after, NOW)
    if outcome is None:
        assert was == becomes
    else:
        assert outcome.reason in {None, becomes}
        assert outcome.why


def said(reason: str, found: Evidence | None, **changes: Any) -> Outcome | None:
    """What becomes of a verdict under the default policy, in the mode enforce, when fields of it change."""
    return rejudge(item(reason, found), POLICY, replace(POLICY, **changes), NOW)


@pytest.mark.parametrize(
    ("reason", "found", "changes", "becomes"),
    [
        ("unused", evidence(), {"mode": Mode.OFF}, "switched_off"),
        ("unused", evidence(), {"exclude_regions": frozenset({REGION})}, "out_of_scope"),
        ("too_young", evidence(observed_hours=100), {"min_observed_hours": 72}, "unused"),
        ("boot_not_observable", evidence(start=None), {"boot_evidence": BootEvidence.IGNORE}, "unused"),
        ("no_evidence", evidence(coverage=0.5), {"min_coverage": 0.8, "cohort_evidence": False}, "no_evidence"),
        ("v1_in_use", evidence(use=use()), {"min_coverage": 0.5}, "v1_in_use"),
        ("v1_in_use", evidence(use=use()), {"lookback_days": 60}, "v1_in_use"),
        ("calendar_closed", evidence(), {"change_calendar": None}, "unused"),
        ("notice_given", evidence(), {"notice_hours": 0}, "unused"),
    ],
)
def test_what_the_ledger_tells(reason: str, found: Evidence, changes: dict[str, Any], becomes: str) -> None:
    """From its numbers, or from the policy alone."""
    before = (
        replace(POLICY, change_calendar="freeze", notice_hours=48)
        if reason in {"calendar_closed", "notice_given"}
        else POLICY
    )
    outcome = rejudge(item(reason, found), before, replace(before, **changes), NOW)
    assert outcome is not None
    assert becomes == outcome.reason


@pytest.mark.parametrize(
    ("reason", "found", "changes", "why"),
    [
        ("exempt", None, {"exempt_tag": "keep"}, "does not keep tags"),
        ("unused", evidence(), {"lookback_days": 90}, "CloudWatch has to be asked"),
        ("unused", evidence(coverage=0.95), {"min_coverage": 0.99}, "lower bound"),
        ("unused", evidence(observed_hours=200), {"min_observed_hours": 300}, "its starts or its cohort"),
        ("no_evidence", evidence(coverage=0.5), {"min_coverage": 0.4}, "before the window"),
        ("cap_reached", evidence(), {"max_enforcements_per_hour": 99}, "at its turn"),
        ("cohort_uses_v1", evidence(), {"cohort_tag": "app"}, "its cohort has to be looked at"),
        (
            "v1_in_use",
            evidence(use=use(last=NOW - timedelta(days=20))),
            {"lookback_days": 10},
            "CloudWatch has to be asked",
        ),
        ("unused", None, {"min_coverage": 0.5}, "no evidence"),
    ],
)
def test_what_the_ledger_does_not_tell(reason: str, found: Evidence | None, changes: dict[str, Any], why: str) -> None:
    """It says what would have to be known."""
    outcome = said(reason, found, **changes)
    assert outcome is not None
    assert (None, True) == (outcome.reason, why in outcome.why)


def test_what_does_not_rest_on_a_change_is_left_out() -> None:
    """The guard's fields concern no verdict."""
    assert said("v1_in_use", evidence(use=use()), mode=Mode.OBSERVE) is None
    assert said("unused", evidence(), watch_hours=48) is None


def test_an_approval_that_is_no_longer_needed_opens_its_gate() -> None:
    """In the mode observe, nothing is changed all the same."""
    before = replace(POLICY, mode=Mode.OBSERVE, approval=Approval.REQUIRED)
    outcome = rejudge(item("approval_required", evidence()), before, replace(before, approval=Approval.NONE), NOW)
    assert Outcome("unused", "would be changed") == outcome  # type: ignore[arg-type]
