"""What of a member counts for others and against them, where a short cut would take it for more, or for less, than it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.evidence.pool import Member, Pool, Trace, pool_of
from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.line.evidence.glance import glance, look_closely
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, instance
from tests.unit.evidence_builders import DAY, MINUTE, POLICY, RAN, REFUSED, START, USE, call, report, report_start
from tests.world.cloudwatch import HOUR

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import Instance
    from tests.world.cloudwatch import CloudWatch

SINCE = NOW - POLICY.lookback_days * DAY
KEY = f"aws/{ACCOUNT}/{REGION}/group:kiln@lt-0c4d+8+ami-07"
LAUNCHED = NOW - 20 * DAY


def closely(
    cloudwatch: CloudWatch,
    target: Instance,
    *,
    history: History | None = None,
    ended_at: datetime | None = None,
    hibernates: bool = False,
) -> Member:
    """A member as a close look shows it."""
    known = Member(arn=target.arn, launched_at=target.launched_at, ended_at=ended_at)
    there = {} if ended_at else {target.arn: target}
    said = {target.arn: history or History()}
    hibernating = {target.arn} if hibernates else set()
    (seen,) = look_closely(cloudwatch.client, [known], there, said, POLICY, NOW, hibernating=hibernating)
    return seen


def pooled(*members: Member) -> Pool:
    """The evidence of these."""
    return pool_of(KEY, members, since=SINCE, now=NOW)


def oven(cloudwatch: CloudWatch) -> Instance:
    """It has run for twenty days, its start was seen, and it made no call."""
    target = instance(arn=arn(3), launched_at=LAUNCHED)
    report(cloudwatch, target, LAUNCHED, NOW)
    return target


def isolated(member: Member) -> int:
    """In how many hours and days its calls came, where they look like strays."""
    return sum(each.strays for each in pooled(member).traces)


# --- Refused calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "strays"), [((70,), 1), ((70, 95), 0), ((70, 130, 190), 0)])
def test_two_refused_calls_on_the_day_of_a_persons_word_are_no_strays(
    cloudwatch: CloudWatch, minutes: tuple[int, ...], strays: int
) -> None:
    """On that day they are known by five minutes; that does not make two days of one."""
    target, word = oven(cloudwatch), (NOW - 4 * DAY).replace(hour=9)
    call(cloudwatch, target, *(word + each * MINUTE for each in minutes), metric=REFUSED)
    assert strays == isolated(closely(cloudwatch, target, history=History(cleared_at=word)))


@pytest.mark.parametrize(("first", "strays"), [(timedelta(minutes=12), 0), (timedelta(hours=5), 0), (2 * DAY, 2)])
def test_a_refused_call_on_the_day_of_the_start_is_none_because_another_came_later(
    cloudwatch: CloudWatch, first: timedelta, strays: int
) -> None:
    """What asks at boot asks again at the next."""
    target = oven(cloudwatch)
    call(cloudwatch, target, LAUNCHED + first, LAUNCHED + 9 * DAY, metric=REFUSED)
    assert strays == isolated(closely(cloudwatch, target))


def test_who_counts_one_refused_call_as_breakage_counts_it_beside_an_accepted_one(cloudwatch: CloudWatch) -> None:
    """Whichever came later."""
    for used, refused in ((5, 9), (9, 5)):
        target = oven(cloudwatch)
        for metric in (USE, REFUSED):
            cloudwatch.points.pop((metric, target.arn.instance_id), None)
        report(cloudwatch, target, LAUNCHED, NOW)
        call(cloudwatch, target, NOW - used * DAY)
        call(cloudwatch, target, NOW - refused * DAY, metric=REFUSED)
        others = [Member(arn=arn(10 + each), looked_at=NOW, hours=839, started=True) for each in range(13)]
        herd = pooled(closely(cloudwatch, target), *others)
        assert 2 == herd.traces[0].strays
        assert [] == herd.binding(Policy())
        assert [target.arn] == [each.arn for each in herd.binding(Policy(rejected_periods=1))]


# --- Timetables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [((10, 9), (8,), True), ((8, 10), (9,), True), ((12, 5), (19,), True), ((10, 9), (6,), False), ((9,), (8,), False)],
    ids=["two days, then one", "on both sides", "three weeks", "no row", "two are none"],
)
def test_both_calls_of_a_member_belong_to_a_timetable(
    cloudwatch: CloudWatch, one: tuple[int, ...], other: tuple[int, ...], holds: bool
) -> None:
    """A job that moves from one member to the next may run twice on one."""
    members = []
    for number, days in ((3, one), (4, other)):
        target = instance(arn=arn(number), launched_at=NOW - 30 * DAY)
        report(cloudwatch, target, NOW - 30 * DAY, NOW)
        call(cloudwatch, target, *(NOW - each * DAY for each in days))
        members.append(closely(cloudwatch, target))
    quiet = [Member(arn=arn(10 + each), looked_at=NOW, hours=839, started=True) for each in range(20)]
    herd = pooled(*members, *quiet)
    assert all(each.isolated for each in herd.traces)
    assert holds is bool(herd.binding(POLICY))


# --- Before the window ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [False, True])
def test_hours_before_the_cohorts_window_prove_nothing_of_what_ran_again_for_a_moment(
    cloudwatch: CloudWatch, gone: bool
) -> None:
    """It ran for weeks, was off for weeks, and on for three hours ten days ago."""
    again = NOW - 10 * DAY
    target = instance(
        arn=arn(5),
        state="stopped",
        first_launched_at=NOW - 60 * DAY,
        launched_at=again,
        stopped_at=again + 3 * HOUR,
    )
    report(cloudwatch, target, NOW - 60 * DAY, NOW - 37 * DAY)
    report(cloudwatch, target, again, again + 3 * HOUR)
    seen = closely(cloudwatch, target, ended_at=target.stopped_at if gone else None)
    assert 2 <= pooled(seen).hours <= 4


def test_hours_under_required_tokens_count_no_farther_back_than_the_window_either(cloudwatch: CloudWatch) -> None:
    """It was enforced seven weeks ago, and ended a week ago: of 42 days, 28 lie in the window."""
    target = instance(arn=arn(6), launched_at=NOW - 80 * DAY)
    closed_at, ended_at = NOW - 49 * DAY, NOW - 7 * DAY
    report(cloudwatch, target, target.launched_at, closed_at)
    report(cloudwatch, target, closed_at, ended_at, metrics=[RAN])
    history = History(enforced_at=closed_at, confirmed=True)
    seen = closely(cloudwatch, target, history=history, ended_at=ended_at)
    assert 28 * 24 - 1 <= pooled(seen).hours <= 28 * 24


@pytest.mark.parametrize("days", [3, 17, 30])
def test_hours_before_and_after_tokens_were_required_count_together(cloudwatch: CloudWatch, days: int) -> None:
    """However many of each there are; and an hour of which both metrics tell counts once."""
    target, closed_at = instance(arn=arn(6), launched_at=NOW - 80 * DAY), NOW - days * DAY
    closed = replace(target, options=replace(target.options, http_tokens="required"))
    report(cloudwatch, target, target.launched_at, closed_at + 9 * HOUR)
    report(cloudwatch, target, closed_at, NOW, metrics=[RAN])
    history = History(enforced_at=closed_at, confirmed=True)
    assert 35 * 24 - 1 == pooled(closely(cloudwatch, closed, history=history)).hours


@pytest.mark.parametrize(("days", "started"), [(20, True), (34, True), (36, False), (90, False)])
def test_a_glance_forgets_the_start_of_what_was_stopped_before_the_window(
    cloudwatch: CloudWatch, days: int, started: bool
) -> None:
    """Day after day nobody judges it, and it makes no call."""
    launched = NOW - days * DAY - 2 * DAY
    member = Member(arn=arn(8), launched_at=launched, looked_at=launched + 2 * DAY, hours=47, started=True)
    for ago in range(days - 1, -1, -1):
        now = NOW - ago * DAY
        (member,), _ = glance(cloudwatch.client, [member], now - 35 * DAY, now)
    assert started is member.started


def test_the_last_start_of_what_has_ended_may_have_been_a_resume(cloudwatch: CloudWatch) -> None:
    """EC2 no longer says whether it could hibernate; that others of its cohort can is known."""
    target = instance(arn=arn(7), launched_at=NOW - 6 * DAY, first_launched_at=NOW - 60 * DAY)
    report(cloudwatch, target, NOW - 60 * DAY, NOW - DAY)
    for hibernates in (False, True):
        seen = closely(cloudwatch, target, ended_at=NOW - DAY, hibernates=hibernates)
        assert hibernates is not seen.started


def test_what_earlier_versions_kept_of_calls_is_read_as_before() -> None:
    """They did not keep when the first of two came."""
    kept = Trace(arn=arn(9), calls=2, last=NOW - DAY, strays=2)
    assert ((NOW - DAY,), True) == (kept.used_at, kept.holds_refused)
    assert (NOW - 2 * DAY, NOW - DAY) == replace(kept, times=(NOW - 2 * DAY, NOW - DAY)).used_at


# --- What a person has settled -------------------------------------------------------------------------------------


def test_who_was_refused_proves_nothing_after_a_person_has_settled_it(cloudwatch: CloudWatch) -> None:
    """It holds nobody, is counted among the settled ones, and its hours and start are no example of software that makes no calls."""
    target = oven(cloudwatch)
    call(cloudwatch, target, NOW - 9 * DAY, calls=40, metric=REFUSED)
    herd = pool_of(
        KEY,
        [closely(cloudwatch, target, history=History(cleared_at=NOW - 8 * DAY))],
        since=SINCE,
        now=NOW,
        settled={target.arn: NOW - 8 * DAY},
    )
    assert ((), 0, 0, 0, 1) == (herd.traces, herd.quiet_members, herd.hours, herd.starts, herd.settled)


def test_who_was_mended_begins_anew_on_the_day_on_which_calls_were_refused(cloudwatch: CloudWatch) -> None:
    """Its evidence begins there: hours and start since then count."""
    target, word = oven(cloudwatch), (NOW - 4 * DAY).replace(hour=11)
    call(cloudwatch, target, word - 3 * HOUR, calls=40, metric=REFUSED)
    report_start(cloudwatch, target, word - 5 * MINUTE, word + START)
    herd = pooled(closely(cloudwatch, target, history=History(mended_at=word)))
    assert (1, 1) == (herd.quiet_members, herd.starts)
    assert 98 <= herd.hours <= 100
