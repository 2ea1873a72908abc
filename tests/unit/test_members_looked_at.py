"""What a close look at members of a cohort finds: all of the cohort's window, and nothing that lies before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.evidence.hours import HOUR as SECONDS
from imdsv2.domain.evidence.pool import Member, Pool, pool_of
from imdsv2.domain.history import History
from imdsv2.ledger.pool import KeptPool
from imdsv2.line.evidence.glance import glance, look_closely
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, instance
from tests.unit.evidence_builders import DAY, MINUTE, POLICY, RAN, REFUSED, START, USE, call, report, report_start
from tests.world.cloudwatch import HOUR

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imdsv2.domain.instance import Instance
    from tests.world.cloudwatch import CloudWatch

SINCE = NOW - POLICY.lookback_days * DAY
KEY = f"aws/{ACCOUNT}/{REGION}/template:lt-0d3c@6+ami-0a"


def looked_at(
    cloudwatch: CloudWatch, target: Instance, *, ended_at: datetime | None = None, history: History | None = None
) -> Member:
    """A member as a close look shows it; EC2 shows it no more once it has ended."""
    known = Member(arn=target.arn, launched_at=target.launched_at, ended_at=ended_at)
    there = {} if ended_at else {target.arn: target}
    (seen,) = look_closely(cloudwatch.client, [known], there, {target.arn: history or History()}, POLICY, NOW)
    return seen


def pooled(*members: Member) -> Pool:
    return pool_of(KEY, members, since=SINCE, now=NOW)


def restarted(cloudwatch: CloudWatch, *, ago: timedelta = 4 * DAY, **fields: object) -> Instance:
    """It has lived for a hundred days, and was stopped and started some days ago."""
    target = instance(arn=arn(7), launched_at=NOW - ago, first_launched_at=NOW - 100 * DAY, **fields)
    report(cloudwatch, target, NOW - 100 * DAY, NOW)
    return target


# --- What has ended ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [USE, REFUSED])
@pytest.mark.parametrize("days", [5, 11, 34])
def test_what_called_before_its_last_start_still_holds_once_it_has_ended(
    cloudwatch: CloudWatch, metric: str, days: int
) -> None:
    """Nobody knows when it was first launched, so the whole window is looked at."""
    target = restarted(cloudwatch)
    call(cloudwatch, target, NOW - days * DAY, calls=9, metric=metric)
    alive, gone = looked_at(cloudwatch, target), looked_at(cloudwatch, target, ended_at=NOW - HOUR)
    for seen in (alive, gone):
        (trace,) = pooled(seen).traces
        assert (9, metric == REFUSED) == (trace.calls, trace.refused)
    assert pooled(gone).traces[0].gone


def test_what_a_glance_finds_a_close_look_does_not_lose(cloudwatch: CloudWatch) -> None:
    """Whether a member lives or not, and whenever it was last started."""
    target = restarted(cloudwatch, ago=2 * HOUR)
    call(cloudwatch, target, NOW - 20 * DAY, calls=3)
    for ended_at in (None, NOW - MINUTE):
        known = Member(arn=target.arn, launched_at=target.launched_at, ended_at=ended_at)
        quiet, loud = glance(cloudwatch.client, [known], SINCE, NOW)
        assert ([], [known]) == (quiet, loud)
        assert not looked_at(cloudwatch, target, ended_at=ended_at).is_quiet


def test_a_close_look_asks_for_no_more_than_says_something_of_others(cloudwatch: CloudWatch) -> None:
    """Neither whether it ran in the hours that it did not report, nor what it used before the window."""
    target = instance(arn=arn(7), launched_at=NOW - 3 * DAY)
    report(cloudwatch, target, target.launched_at, NOW - DAY)
    assert 47 <= looked_at(cloudwatch, target, ended_at=NOW - DAY).hours <= 48
    assert [] == cloudwatch.calls_for(RAN)
    queries = [query for request in cloudwatch.asked for query in request["MetricDataQueries"]]
    assert 24 * SECONDS == max(query["MetricStat"]["Period"] for query in queries)


# --- What is stopped -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "most"), [(36, 0), (400, 0), (34, 23), (20, 15 * 24 - 1)])
def test_what_was_stopped_shows_no_more_than_the_cohorts_window_holds_of_its_life(
    cloudwatch: CloudWatch, days: int, most: int
) -> None:
    """Its own window ends when it was stopped, which may be long ago; of its hours, the whole ones count."""
    stopped_at = NOW - days * DAY
    target = instance(arn=arn(7), state="stopped", stopped_at=stopped_at, launched_at=stopped_at - 40 * DAY)
    report(cloudwatch, target, target.launched_at, stopped_at)
    herd = pooled(looked_at(cloudwatch, target))
    assert most == herd.hours
    assert herd.starts <= bool(most)
    assert () == herd.traces


@pytest.mark.parametrize("days", [35, 36, 60])
def test_what_called_until_it_was_stopped_proves_nothing_once_its_calls_have_left_the_window(
    cloudwatch: CloudWatch, days: int
) -> None:
    """It holds nobody, and is no example of software that makes no calls either."""
    stopped_at = NOW - days * DAY - 2 * HOUR
    target = instance(arn=arn(7), state="stopped", stopped_at=stopped_at, launched_at=stopped_at - 20 * DAY)
    report(cloudwatch, target, target.launched_at, stopped_at, value=4)
    herd = pooled(looked_at(cloudwatch, target))
    assert ((), 0, 0, 0) == (herd.traces, herd.quiet_members, herd.hours, herd.starts)


def test_where_nobody_knows_when_it_was_stopped_its_calls_in_the_window_are_found(cloudwatch: CloudWatch) -> None:
    """EC2 gives no time, and since its last start it left no sign of life."""
    target = instance(
        arn=arn(7), state="stopped", stopped_at=None, launched_at=NOW - DAY, first_launched_at=NOW - 90 * DAY
    )
    report(cloudwatch, target, NOW - 90 * DAY, NOW - 3 * DAY)
    call(cloudwatch, target, NOW - 13 * DAY, calls=30)
    (trace,) = pooled(looked_at(cloudwatch, target)).traces
    assert 30 == trace.calls


# --- What calls at its start ---------------------------------------------------------------------------------------


def test_a_start_in_the_window_at_which_a_member_called_is_no_clean_one(cloudwatch: CloudWatch) -> None:
    """Although the hours of the window tell of the calls as well."""
    target = restarted(cloudwatch, ago=6 * DAY)
    call(cloudwatch, target, target.launched_at + 10 * MINUTE, calls=2)
    seen = looked_at(cloudwatch, target)
    assert not seen.started
    assert seen.used is not None
    assert not seen.used.isolated


def test_of_two_calls_one_at_a_reboot_is_no_stray(cloudwatch: CloudWatch) -> None:
    """The hours before a reboot have datapoints; the other call came days later, and looks like one."""
    target = restarted(cloudwatch, ago=80 * DAY)
    history = History(rebooted_at=NOW - 9 * DAY)
    report_start(cloudwatch, target, NOW - 9 * DAY - 5 * MINUTE, NOW - 9 * DAY + START)
    call(cloudwatch, target, NOW - 9 * DAY + 4 * MINUTE, NOW - 2 * DAY)
    used = looked_at(cloudwatch, target, history=history).used
    assert used is not None
    assert not used.isolated


# --- Through a window of another length ------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "serves"), [(35, True), (60, True), (34, False), (7, False), (None, False)])
def test_who_was_looked_at_through_a_shorter_window_is_looked_at_anew(days: int | None, serves: bool) -> None:
    """A policy that looks back farther knows nothing yet of the time before; earlier versions did not keep how far."""
    known = KeptPool(key=KEY, read_at=NOW, lookback_days=days, members=(Member(arn=arn(3), looked_at=NOW, hours=90),))
    through = known.through(35)
    assert serves is (through.read_at is not None)
    assert serves is (through.members[0].looked_at is not None)
    assert replace(through.members[0], looked_at=NOW) == known.members[0]
