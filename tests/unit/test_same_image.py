"""Where only the AMI is known to be the same, calls of few members hold nobody else; those of many do, and so do all within a group."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.evidence.pool import Member, Pool, Trace, pool_of
from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Decision, Reason, Verdict
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, evidence, instance

DAY = timedelta(days=1)
PLACE = f"aws/{ACCOUNT}/{REGION}/"
IMAGE, BY_HAND = f"{PLACE}image:ami-0c1d", f"{PLACE}template:lt-07@3+ami-0c1d"
OF_ONE_KIND = (f"{PLACE}group:till@lt-07+3+ami-0c1d", f"{PLACE}nodepool:spare@ami-0c1d", f"{PLACE}tag:payments")
POLICY = Policy()


def quiet(number: int) -> Member:
    return Member(arn=arn(number), launched_at=NOW - 30 * DAY, looked_at=NOW, hours=700, started=True)


def caller(number: int) -> Member:
    """Its software calls every day."""
    used = Trace(arn=arn(number), calls=58, last=NOW - 5 * DAY)
    return replace(quiet(number), used=used)


def pool(key: str, members: int, callers: int) -> Pool:
    """So many members, the one that is judged among them, of which so many call."""
    several = [quiet(1), *(quiet(number) for number in range(2, members - callers + 1))]
    return pool_of(key, [*several, *(caller(100 + number) for number in range(callers))], since=NOW - 35 * DAY, now=NOW)


def judge(key: str, members: int, callers: int, **own: Any) -> Verdict:
    return decide(instance(), evidence(**own), History(), POLICY, NOW, pool(key, members, callers))


@pytest.mark.parametrize("key", [IMAGE, BY_HAND])
@pytest.mark.parametrize(
    ("members", "callers", "holds"), [(2, 1, True), (10, 1, True), (11, 1, False), (40, 4, True), (40, 3, False)]
)
def test_one_in_ten_holds_what_shares_an_image(key: str, members: int, callers: int, *, holds: bool) -> None:
    """Below that, whoever shows enough of its own goes on."""
    verdict = judge(key, members, callers)
    expected = (Decision.HOLD, Reason.COHORT_USES_V1) if holds else (Decision.ENFORCE, Reason.UNUSED)
    assert expected == (verdict.decision, verdict.reason)


@pytest.mark.parametrize("key", OF_ONE_KIND)
def test_one_of_many_holds_a_group(key: str) -> None:
    """All are known to run the same."""
    assert Reason.COHORT_USES_V1 == judge(key, 60, 1).reason


def test_whoever_goes_on_is_told_who_called() -> None:
    """By name and number, and why that does not hold it."""
    told = judge(IMAGE, 30, 2).explanation
    assert all(each in told for each in (arn(100).instance_id, "58", "fewer than one in 10"))


def test_a_young_one_is_not_spoken_for() -> None:
    """Its cohort is not quiet, so its own evidence has to do."""
    verdict = judge(IMAGE, 30, 1, observed_hours=9)
    assert (Decision.HOLD, Reason.TOO_YOUNG) == (verdict.decision, verdict.reason)


@given(members=st.integers(2, 60), callers=st.integers(0, 12))
def test_another_caller_never_frees_anybody(members: int, callers: int) -> None:
    """Although it is one member more."""
    callers = min(callers, members - 1)
    if judge(IMAGE, members + 1, callers + 1).decision is Decision.ENFORCE:
        assert judge(IMAGE, members, callers).decision is Decision.ENFORCE
