"""CloudWatch refuses to be read: nothing ends that by itself, so the explanation says who does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, evidence
from tests.unit.decisions import judge

REMEDY = "Deploy the member roles"


@pytest.mark.parametrize(
    "problem",
    [
        "CloudWatch answered Forbidden",
        "AccessDenied to GetMetricData: not authorized to perform cloudwatch:GetMetricData because no identity-based policy allows it",
        "AccessDeniedException to GetMetricData: with an explicit deny in a service control policy",
    ],
)
def test_a_denial_is_told_with_what_ends_it(problem: str) -> None:
    """Until then it is asked once a day."""
    verdict = judge(seen=evidence(problem=problem))
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + timedelta(days=1)) == (verdict.reason, verdict.revisit_at)
    assert problem in verdict.explanation
    assert REMEDY in verdict.explanation


@pytest.mark.parametrize(
    "problem",
    [
        "CloudWatch answered PartialData",
        "CloudWatch answered InternalError",
        "CloudWatch says that metrics you are not authorized to view were omitted",
        "Throttling to GetMetricData: Rate exceeded",
    ],
)
def test_what_passes_by_itself_asks_nothing_of_anybody(problem: str) -> None:
    """The service asks again."""
    assert REMEDY not in judge(seen=evidence(problem=problem, passes=True)).explanation
