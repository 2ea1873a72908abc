"""Exemptions by a tag: how long the policy follows them, and tags that are almost the right one."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.exemption import LongExemption, from_tags
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW

TAG = "imdsv2:exempt-until"
TODAY = NOW.date()
DAY = timedelta(days=1)
FOREVER = date(9999, 12, 31)


def day(days: int) -> str:
    """A day from today."""
    return (TODAY + days * DAY).isoformat()


@pytest.mark.parametrize("days", [0, 1, 399, 400])
def test_an_exemption_within_the_limit_is_in_force_to_its_end(days: int) -> None:
    """The last day included."""
    verdict = from_tags({TAG: day(days)}, None, Policy(), NOW)
    assert verdict is not None
    assert (Decision.SKIP, Reason.EXEMPT, day(days)) == (verdict.decision, verdict.reason, str(verdict.ends_on))
    assert verdict.cut_exemption is None
    assert "max_exemption_days" not in verdict.explanation


@pytest.mark.parametrize(("end", "limit"), [(day(401), 400), (str(FOREVER), 400), (day(31), 30)])
def test_a_longer_one_is_followed_for_so_long_and_says_so(end: str, limit: int) -> None:
    """With the day on which it ends, and what to do then."""
    verdict = from_tags({TAG: end}, None, Policy(max_exemption_days=limit), NOW)
    assert verdict is not None
    assert (Reason.EXEMPT, day(limit)) == (verdict.reason, str(verdict.ends_on))
    assert LongExemption(until=date.fromisoformat(end), seen_at=NOW) == verdict.cut_exemption
    for words in (end, day(limit), f"at most {limit} days", "max_exemption_days", "renew it"):
        assert words in verdict.explanation


@given(st.integers(0, 900), st.integers(1, 500), st.integers(1, 3000))
def test_its_days_count_from_when_it_was_first_seen(later: int, limit: int, end: int) -> None:
    """They do not begin anew at each look; and what is shorter is never cut."""
    policy, tags, now = Policy(max_exemption_days=limit), {TAG: day(end)}, NOW + later * DAY
    first = from_tags(tags, None, policy, NOW)
    assert first is not None
    verdict = from_tags(tags, first.cut_exemption, policy, now)
    assert (verdict is not None) == (later <= (min(end, limit) if first.cut_exemption else end))


def test_another_day_on_the_tag_counts_anew() -> None:
    """Somebody has decided again."""
    known = LongExemption(until=FOREVER, seen_at=NOW - 401 * DAY)
    assert from_tags({TAG: str(FOREVER)}, known, Policy(), NOW) is None
    renewed = from_tags({TAG: day(300)}, known, Policy(), NOW)
    assert renewed is not None
    assert day(300) == str(renewed.ends_on)


@pytest.mark.parametrize(
    "key",
    [
        "imdsv2:Exempt-Until", "IMDSv2:exempt-until", "imdsv2:exempt_until", "imdsv2-exempt-until", "imdsv2:exemptuntil",
        "imdsv2: exempt-until", "imdsv2/exempt/until",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [day(30), "", "forever"])
def test_a_tag_that_is_almost_the_exempt_tag_is_told_and_nothing_is_changed(key: str, value: str) -> None:
    """Whoever wrote it believes that the instance is exempt."""
    verdict = from_tags({"Name": "web", key: value}, None, Policy(), NOW)
    assert verdict is not None
    assert (Decision.HOLD, Reason.EXEMPTION_UNREADABLE) == (verdict.decision, verdict.reason)
    assert f"Its tag {key} looks like the exempt tag {TAG}, and is not" in verdict.explanation
    assert "remove it" in verdict.explanation


@pytest.mark.parametrize(
    "tags",
    [
        {"imdsv2:Exempt-Until": day(-1)},
        {"imdsv2:exempt": day(30)},
        {"exempt-until": day(30)},
        {"imdsv2:exempt-until-2": day(30)},
        {"Name": TAG},
        {},
    ],
    ids=str,
)
def test_other_tags_and_past_days_are_nothing(tags: dict[str, str]) -> None:
    """A day that is past would exempt nothing under the right name either."""
    assert from_tags(tags, None, Policy(), NOW) is None


def test_the_right_tag_speaks_alone() -> None:
    """Whatever stands beside it."""
    verdict = from_tags({"imdsv2:Exempt-Until": "forever", TAG: day(3)}, None, Policy(), NOW)
    assert verdict is not None
    assert Reason.EXEMPT is verdict.reason
    assert from_tags({"imdsv2:Exempt-Until": "forever", TAG: day(-3)}, None, Policy(), NOW) is None


def test_the_policys_own_tag_is_what_others_are_compared_with() -> None:
    """It may be called anything."""
    verdict = from_tags({"KEEP v1": day(3)}, None, Policy(exempt_tag="Keep-V1"), NOW)
    assert verdict is not None
    assert "looks like the exempt tag Keep-V1" in verdict.explanation
