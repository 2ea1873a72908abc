"""Isolated calls of one member: when they hold its cohort, and when they are taken for strays or probes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.evidence.hours import HOUR, Series
from imdsv2.domain.evidence.pool import Member, Pool, Trace, member_of, pool_of
from imdsv2.domain.evidence.weighing import use_of
from imdsv2.domain.evidence.window import window_of
from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, evidence, instance, refused, start, unseen_start, use

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Evidence, Refused, Use
    from imdsv2.domain.verdict import Verdict

AN_HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SINCE = NOW - 35 * DAY
KEY = f"aws/{ACCOUNT}/{REGION}/group:till@lt-0e2f+11+ami-05"
POLICY = Policy()
ENOUGH = 30 * 168
LAUNCHED = NOW - 26 * DAY


def member(number: int, **fields: Any) -> Member:
    """A living member that was seen for 26 days and made no call."""
    defaults: dict[str, Any] = {"launched_at": LAUNCHED, "looked_at": NOW, "hours": 620, "started": True}
    return Member(arn=arn(number), **(defaults | fields))


def stray(number: int, last: datetime = NOW - 6 * DAY, **fields: Any) -> Trace:
    """One call, six days ago."""
    values: dict[str, Any] = {"calls": 1, "strays": 1} | fields
    return Trace(arn=arn(number), last=last, **values)


def herd(*loud: Member, hours: int = ENOUGH, **fields: Any) -> Pool:
    """Two that made no call, with so many hours together, and these."""
    quiet = (member(2, hours=hours // 2), member(3, hours=hours - hours // 2), member(4, hours=0), member(5, hours=0))
    return pool_of(KEY, [*quiet, *loud], since=SINCE, now=NOW, **fields)


def judge(pool: Pool, policy: Policy = POLICY) -> Verdict:
    """The verdict on a quiet member that shows enough of its own."""
    return decide(instance(), evidence(), History(), policy, NOW, pool)


def seen(used: Use | None = None, rejected: Refused | None = None, **fields: Any) -> Member:
    """A member as evidence shows it, that was launched 26 days ago."""
    known = Member(arn=arn(9), launched_at=LAUNCHED)
    own: dict[str, Any] = {"start": start(at=LAUNCHED), "window_start": LAUNCHED}
    shown = evidence(**(own | ({"use": used} if used else {}) | ({"refused": rejected} if rejected else {}) | fields))
    return member_of(known, shown, NOW, SINCE)


def once(calls: int = 1, **fields: Any) -> Use:
    """Calls in one hour, six days ago."""
    return use(calls, **({"last": NOW.replace(minute=0) - 6 * DAY} | fields))


# --- What is isolated ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "isolated"),
    [
        (once(), True),
        (once(2), True),
        (once(3), False),
        (once(4, hours=2, most=2), True),
        (once(4, hours=2, most=3), False),
        (once(3, hours=3, most=1), False),
        (once(near_start=True), False),
        (once(last=LAUNCHED + AN_HOUR), False),
        (once(last=LAUNCHED - timedelta(minutes=30)), False),
        (once(last=LAUNCHED + 2 * AN_HOUR), True),
    ],
    ids=[
        "one",
        "two",
        "three",
        "two hours",
        "three in one of two hours",
        "three hours",
        "a start before",
        "its start",
        "the hour of its start",
        "after its start",
    ],
)
def test_a_use_is_isolated_by_its_calls_its_hour_and_its_distance_from_starts(used: Use, isolated: bool) -> None:
    """What runs on, or at boot, is none."""
    trace = seen(used).used
    assert trace is not None
    assert isolated is trace.isolated


@pytest.mark.parametrize(
    ("rejected", "changes", "isolated"),
    [
        (refused(), {}, True),
        (refused(2), {}, False),
        (refused(2, days=2, most=1), {}, True),
        (refused(3, days=3, most=1), {}, False),
        (refused(last=LAUNCHED.replace(hour=0, minute=0)), {}, False),
        (refused(), {"start": unseen_start(at=LAUNCHED + 4 * DAY)}, False),
        (refused(), {"start": start(at=LAUNCHED + 4 * DAY)}, True),
        (refused(), {"start": unseen_start(at=LAUNCHED)}, True),
        (refused(), {"start": unseen_start(at=SINCE - DAY), "window_start": SINCE}, True),
        (refused(), {"start": None}, False),
    ],
    ids=[
        "one",
        "two on a day",
        "on two days",
        "on three days",
        "on the day of its start",
        "an earlier start may have called, too",
        "its last start did not",
        "there was no earlier start",
        "no start in the window",
        "nothing known",
    ],
)
def test_a_refusal_is_isolated_if_it_is_one_and_none_at_a_start(
    rejected: Refused, changes: dict[str, Any], isolated: bool
) -> None:
    """Two may be the pattern that the guard takes for breakage."""
    trace = seen(rejected=rejected, **changes).refused
    assert trace is not None
    assert isolated is trace.isolated


def test_a_refusal_of_which_nobody_knows_how_near_its_launch_was_is_not_isolated() -> None:
    """Of what a group has ended, the launch may be unknown."""
    unknown = member_of(
        Member(arn=arn(9), ended_at=NOW - DAY), evidence(refused=refused(), start=start(at=SINCE)), NOW, SINCE
    )
    assert unknown.refused is not None
    assert not unknown.refused.isolated


@pytest.mark.parametrize(("silent_before", "near"), [((), False), ((1,), True), ((3,), True), ((4,), False)])
def test_a_start_shows_by_the_hours_before_it(silent_before: tuple[int, ...], near: bool) -> None:
    """Where the hours before a call have datapoints, it had been running."""
    call = int((NOW - 6 * DAY).timestamp()) // HOUR
    hours = dict.fromkeys(range(call - 90, call + 90), 0.0) | {call: 1.0}
    for before in silent_before:
        del hours[call - before]
    window = window_of(instance(), History(), POLICY, NOW, stopped_at=None)
    assert near is use_of(window, Series(values=hours), None).near_start


@pytest.mark.parametrize(("strays", "together"), [(1, 2), (2, 0)])
def test_who_used_it_and_was_refused_did_so_more_than_once(strays: int, together: int) -> None:
    """All its hours are counted together."""
    both = member(9, used=stray(9, strays=strays), refused=stray(9, refused=True))
    assert [together] == [each.strays for each in herd(both).traces]


# --- What isolated calls hold --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strays", "hours", "holds"),
    [(1, ENOUGH, False), (1, ENOUGH - 1, True), (2, 2 * ENOUGH, False), (2, 2 * ENOUGH - 1, True)],
)
@pytest.mark.parametrize("kind", ["used", "refused"])
def test_each_isolated_call_is_outweighed_by_seven_months_of_hours(
    kind: str, strays: int, hours: int, holds: bool
) -> None:
    """Of members that made none."""
    loud = [
        member(10 + each, hours=0, **{kind: stray(10 + each, NOW - (3 + 5 * each) * DAY, refused=kind == "refused")})
        for each in range(strays)
    ]
    assert (Reason.COHORT_USES_V1 if holds else Reason.UNUSED) is judge(herd(*loud, hours=hours)).reason


def test_the_hours_of_who_called_outweigh_nothing() -> None:
    """They are the ones in question; and nothing else of it counts either."""
    loud = member(9, used=stray(9), hours=800)
    assert (ENOUGH, 4) == (herd(loud).hours, herd(loud).starts)
    assert Reason.COHORT_USES_V1 is judge(herd(loud, hours=ENOUGH - 700)).reason


def test_a_policy_that_asks_for_few_hours_asks_for_no_fewer_here() -> None:
    """What runs once a month does so under any policy; one that asks for more is heeded."""
    loud = member(9, used=stray(9))
    assert Reason.COHORT_USES_V1 is judge(herd(loud, hours=3000), Policy(min_observed_hours=24)).reason
    assert Reason.COHORT_USES_V1 is judge(herd(loud), Policy(min_observed_hours=200)).reason


def test_one_that_is_not_isolated_holds_whatever_else_is_known() -> None:
    """And is the one that is named."""
    others = [member(8, used=stray(8)), member(9, used=stray(9, NOW - 11 * DAY, calls=40, strays=0))]
    verdict = judge(herd(*others, hours=90 * ENOUGH))
    assert Reason.COHORT_USES_V1 is verdict.reason
    assert f"{arn(9).instance_id}, which runs the same software" in verdict.explanation


@pytest.mark.parametrize(
    ("days", "holds"),
    [
        ((0, 0, 0), True),
        ((1, 2, 3), True),
        ((1, 8, 15), True),
        ((3, 9, 10, 17, 24), True),
        ((2, 2), False),
        ((2, 9), False),
        ((2, 9, 23), False),
        ((1, 3, 4, 9), False),
    ],
)
@pytest.mark.parametrize("later", [timedelta(), AN_HOUR, 2 * AN_HOUR])
def test_what_has_a_timetable_is_no_stray(days: tuple[int, ...], holds: bool, later: timedelta) -> None:
    """A job that runs on one of them at a time, every day or week, or on several at once. It may begin an hour later."""
    times = [
        NOW - each * DAY + (later if index == 1 else timedelta())
        for index, each in enumerate(sorted(days, reverse=True))
    ]
    loud = [member(10 + index, used=stray(10 + index, when - 2 * AN_HOUR)) for index, when in enumerate(times)]
    expected = holds and later <= AN_HOUR
    assert expected is (judge(herd(*loud, hours=9 * ENOUGH)).decision is Decision.HOLD)


def test_policies_that_take_nothing_for_a_stray() -> None:
    """One refused call is breakage, or a cohort does not speak."""
    asked = member(9, refused=stray(9, refused=True))
    assert Reason.UNUSED is judge(herd(asked)).reason
    assert Reason.COHORT_USES_V1 is judge(herd(asked), Policy(rejected_periods=1)).reason
    assert Reason.UNUSED is judge(herd(member(9, used=stray(9))), Policy(rejected_periods=1)).reason
    assert Reason.COHORT_USES_V1 is judge(herd(member(9, used=stray(9))), Policy(cohort_evidence=False)).reason


def test_it_is_told_whoever_is_enforced() -> None:
    """Who, when and how much."""
    words = f"{arn(9).instance_id} made 1 IMDSv1 call, the last on 2026-11-14 between 14:30 and 15:30 UTC"
    verdict = judge(herd(member(9, used=stray(9))))
    assert words in verdict.explanation
    assert "5040 hours" in verdict.explanation
    own = start(at=NOW - 9 * AN_HOUR)
    young = evidence(window_start=NOW - 9 * AN_HOUR, observed_hours=8, clean_starts=1, start=own)
    by_cohort = decide(
        instance(launched_at=NOW - 9 * AN_HOUR), young, History(), POLICY, NOW, herd(member(9, used=stray(9)))
    )
    assert Reason.COHORT_UNUSED is by_cohort.reason
    assert words in by_cohort.explanation
    assert "any other of its cohort" not in by_cohort.explanation


def test_who_is_held_learns_what_would_show_that_it_was_a_stray() -> None:
    """How many hours are there, and are needed."""
    why = judge(herd(member(9, used=stray(9)), hours=4100)).explanation
    assert "5040 hours, of which there are 4100" in why
    assert "5040" not in judge(herd(member(9, used=stray(9, strays=0)), hours=4100)).explanation


# --- Properties ----------------------------------------------------------------------------------------------------

traces = st.builds(
    lambda number, days, calls, strays, rejected: stray(
        number, NOW - days * DAY, calls=calls, strays=strays, refused=rejected
    ),
    st.integers(11, 19),
    st.integers(0, 40),
    st.integers(1, 3),
    st.sampled_from([1, 1, 2, 0]),
    st.booleans(),
)
louds = st.builds(
    lambda trace, hours: member(
        int(trace.arn.instance_id[2:], 16), hours=hours, **{"refused" if trace.refused else "used": trace}
    ),
    traces,
    st.integers(0, 700),
)
herds = st.lists(louds, max_size=4, unique_by=lambda each: each.arn)
policies = st.builds(
    Policy,
    min_observed_hours=st.sampled_from([24, 168]),
    rejected_periods=st.integers(1, 2),
    cohort_evidence=st.booleans(),
)
own = st.sampled_from(
    [
        evidence(),
        evidence(start=unseen_start(observable_at=NOW - 3 * DAY)),
        evidence(window_start=NOW - 9 * AN_HOUR, observed_hours=8, clean_starts=1, start=start(at=NOW - 9 * AN_HOUR)),
    ]
)


def permits(own: Evidence, members: list[Member], policy: Policy) -> bool:
    """Whether an instance would be enforced whose cohort these are."""
    target = instance(launched_at=max(own.window_start, NOW - 100 * DAY))
    pool = pool_of(KEY, members, since=SINCE, now=NOW)
    return decide(target, own, History(), policy, NOW, pool).decision is Decision.ENFORCE


QUIET = st.lists(st.integers(0, 6000), min_size=1, max_size=4).map(
    lambda several: [member(2 + index, hours=hours) for index, hours in enumerate(several)]
)


@given(own, QUIET, herds, louds, policies)
def test_another_member_with_use_never_makes_it_more_permissive(
    own: Evidence, quiet: list[Member], loud: list[Member], more: Member, policy: Policy
) -> None:
    """Isolated or not, whatever else it brings."""
    more = replace(more, arn=arn(30), used=stray(30, NOW - 4 * DAY), refused=None, looked_at=NOW)
    assert permits(own, [*quiet, *loud], policy) or not permits(own, [*quiet, *loud, more], policy)


@given(own, QUIET, herds, st.integers(1, 6000), policies)
def test_fewer_hours_never_make_it_more_permissive(
    own: Evidence, quiet: list[Member], loud: list[Member], fewer: int, policy: Policy
) -> None:
    """Of one or of all."""
    less = [replace(each, hours=max(0, each.hours - fewer)) for each in quiet]
    for poorer in (less, less[:1] + quiet[1:]):
        assert permits(own, [*quiet, *loud], policy) or not permits(own, [*poorer, *loud], policy)


@given(own, QUIET, herds, policies)
def test_whoever_starts_to_call_never_makes_it_more_permissive(
    own: Evidence, quiet: list[Member], loud: list[Member], policy: Policy
) -> None:
    """A quiet member is found to have made one call."""
    called = [replace(quiet[0], used=stray(2)), *quiet[1:]]
    assert permits(own, [*quiet, *loud], policy) or not permits(own, [*called, *loud], policy)
