"""Evidence from CloudWatch, read through an in-memory CloudWatch that tests/integration compares with moto's."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.aws.cloudwatch import DATAPOINTS_A_CALL, QUERIES_A_CALL, pack
from imdsv2.domain.decision import decide
from imdsv2.domain.history import History
from imdsv2.domain.hours import Hours
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.line.gather import gather
from tests.unit.builders import ACCOUNT, NOW, arn, at, instance
from tests.world.cloudwatch import DATAPOINTS, HOUR, MEMORY, CloudWatch, hour_of
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.verdict import Verdict

DAY = timedelta(days=1)
USE = "MetadataNoToken"
RAN = "CPUUtilization"
POLICY = Policy()


def hours(start: datetime, end: datetime) -> list[datetime]:
    """The start of every hour that overlaps the given time range."""
    first = hour_of(start)
    return [first + HOUR * number for number in range(math.ceil((end - first) / HOUR))]


def report(
    cloudwatch: CloudWatch,
    target: Instance,
    start: datetime,
    end: datetime,
    metrics: Iterable[str] = (USE, RAN),
    value: float = 0,
) -> None:
    """A datapoint in each hour of the range, as a running instance sends it."""
    for metric in metrics:
        for hour in hours(start, end):
            cloudwatch.put(metric, target.arn.instance_id, hour, value)


def look(cloudwatch: CloudWatch, target: Instance, policy: Policy = POLICY, now: datetime = NOW) -> Evidence:
    """The evidence of one instance."""
    return gather(cloudwatch.client, [target], policy, now)[target.arn]


def verdict_on(cloudwatch: CloudWatch, target: Instance, policy: Policy = POLICY, now: datetime = NOW) -> Verdict:
    """The verdict on one instance, from its evidence."""
    return decide(target, look(cloudwatch, target, policy, now), History(), policy, now)


@pytest.fixture
def cloudwatch() -> CloudWatch:
    """A CloudWatch without datapoints."""
    return CloudWatch(lambda: NOW)


@pytest.fixture
def steady(cloudwatch: CloudWatch) -> Instance:
    """An instance that has run for 100 days, and never used IMDSv1."""
    target = instance()
    report(cloudwatch, target, target.launched_at, NOW)
    return target


# --- The in-memory CloudWatch --------------------------------------------------------------------------------------


def test_the_double_refuses_what_cloudwatch_refuses(cloudwatch: CloudWatch) -> None:
    """Too many queries, a period shorter than the retention allows, an empty range, an unknown token."""
    query = {
        "Id": "m0",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/EC2",
                "MetricName": USE,
                "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}],
            },
            "Period": 3600,
            "Stat": "Sum",
        },
    }
    good: dict[str, Any] = {"MetricDataQueries": [query], "StartTime": NOW - 70 * DAY, "EndTime": NOW}
    assert cloudwatch.get_metric_data(**good)
    for bad in (
        {"MetricDataQueries": [query | {"Id": f"m{number}"} for number in range(501)]},
        {"MetricDataQueries": [query, query]},
        {"MetricDataQueries": [query | {"MetricStat": query["MetricStat"] | {"Period": 300}}]},  # type: ignore[operator]
        {"StartTime": NOW},
        {"NextToken": "never given"},
        {"MaxDatapoints": DATAPOINTS + 1},
        {"StartTyme": NOW},
    ):
        with pytest.raises(ClientError):
            cloudwatch.get_metric_data(**(good | bad))


# --- The window ----------------------------------------------------------------------------------------------------


def test_a_steady_instance_is_seen_whole(cloudwatch: CloudWatch, steady: Instance) -> None:
    """35 days from half past to half past contain 839 whole hours; one call reads them, another one older use."""
    seen = look(cloudwatch, steady)
    assert (NOW - 35 * DAY, NOW) == (seen.window_start, seen.window_end)
    assert (839, 1.0) == (seen.observed_hours, seen.coverage)
    assert (0, None, 0) == (seen.tokenless_calls, seen.last_tokenless_call, seen.boot_tokenless_calls)
    assert seen.boot_observed
    assert seen.problem is None
    assert 3600 == seen.period_seconds
    assert Reason.UNUSED is verdict_on(cloudwatch, steady).reason


@pytest.mark.parametrize(
    ("now", "hour", "counts"),
    [
        (NOW, at("2026-10-16 14:00"), True),  # holds the beginning of the window, 14:30
        (NOW, at("2026-10-16 13:00"), False),
        (NOW, at("2026-11-20 14:00"), True),  # the hour under way
        (at("2026-11-20 14:00"), at("2026-10-16 14:00"), True),
        (at("2026-11-20 14:00"), at("2026-10-16 13:00"), False),  # ends where the window begins
        (at("2026-11-20 14:00:01"), at("2026-11-20 14:00"), True),
    ],
)
def test_use_counts_in_every_hour_that_touches_the_window(
    cloudwatch: CloudWatch, steady: Instance, now: datetime, hour: datetime, counts: bool
) -> None:
    """Use just before the window is reported as older use."""
    cloudwatch.put(USE, steady.arn.instance_id, hour, 7)
    seen = look(cloudwatch, steady, now=now)
    assert (7, hour) if counts else (0, None) == (seen.tokenless_calls, seen.last_tokenless_call)
    assert (0 if counts else 7) == seen.older_tokenless_calls
    assert (Reason.V1_IN_USE if counts else Reason.UNUSED) is verdict_on(cloudwatch, steady, now=now).reason


@pytest.mark.parametrize(
    ("now", "observed"), [(NOW, 47), (at("2026-11-20 14:00"), 48), (at("2026-11-20 14:00:01"), 47)]
)
def test_only_hours_wholly_inside_are_observed(
    cloudwatch: CloudWatch, steady: Instance, now: datetime, observed: int
) -> None:
    """Two days from half past to half past contain 47 whole hours."""
    assert observed == look(cloudwatch, steady, Policy(lookback_days=2, min_observed_hours=1), now).observed_hours


def test_use_is_added_up_and_dated_by_its_last_hour(cloudwatch: CloudWatch, steady: Instance) -> None:
    """In whatever order CloudWatch returns the hours."""
    for when, calls in ((at("2026-11-10 03:00"), 2), (at("2026-11-19 04:00"), 1), (at("2026-11-01 05:00"), 40)):
        cloudwatch.put(USE, steady.arn.instance_id, when, calls)
    seen = look(cloudwatch, steady)
    assert (43, at("2026-11-19 04:00")) == (seen.tokenless_calls, seen.last_tokenless_call)


def test_a_fraction_of_a_call_is_a_call(cloudwatch: CloudWatch, steady: Instance) -> None:
    """CloudWatch counts in floats; no value above zero is rounded down to zero."""
    cloudwatch.put(USE, steady.arn.instance_id, at("2026-11-10 03:00"), 0.01)
    assert 1 == look(cloudwatch, steady).tokenless_calls


def test_the_window_begins_with_the_first_launch_not_the_last(cloudwatch: CloudWatch) -> None:
    """Use before the last start counts: a restart must not hide it."""
    first = NOW - 10 * DAY
    target = instance(launched_at=NOW - 3 * DAY, first_launched_at=first)
    report(cloudwatch, target, first, NOW)
    cloudwatch.put(USE, target.arn.instance_id, NOW - 9 * DAY, 1)
    seen = look(cloudwatch, target)
    assert first == seen.window_start
    assert 239 == seen.observed_hours
    assert Reason.V1_IN_USE is verdict_on(cloudwatch, target).reason


def test_without_a_known_first_launch_the_whole_window_is_looked_at(cloudwatch: CloudWatch) -> None:
    """Nothing is assumed from an attribute that EC2 does not show."""
    target = instance(launched_at=NOW - 3 * DAY, first_launched_at=None)
    report(cloudwatch, target, NOW - 30 * DAY, NOW)
    cloudwatch.put(USE, target.arn.instance_id, NOW - 30 * DAY, 1)
    seen = look(cloudwatch, target)
    assert (NOW - 35 * DAY, 1) == (seen.window_start, seen.tokenless_calls)


def test_a_stopped_instance_is_looked_at_before_it_stopped(cloudwatch: CloudWatch) -> None:
    """Its window ends when it stopped, even if that was months ago."""
    stopped_at = NOW - 90 * DAY
    target = instance(state="stopped", launched_at=NOW - 200 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, target.launched_at, stopped_at)
    seen = look(cloudwatch, target)
    assert (stopped_at - 35 * DAY, stopped_at) == (seen.window_start, seen.window_end)
    assert (839, 1.0, True) == (seen.observed_hours, seen.coverage, seen.boot_observed)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason
    cloudwatch.put(USE, target.arn.instance_id, hour_of(stopped_at), 1)
    assert Reason.V1_IN_USE is verdict_on(cloudwatch, target).reason


def test_an_unreadable_stop_time_leaves_no_window(cloudwatch: CloudWatch, steady: Instance) -> None:
    """Row 16, and no query, because the window is unknown."""
    target = replace(steady, state="stopped", stopped_at=None)
    assert not look(cloudwatch, target).window_known
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason
    assert [] == cloudwatch.asked


@pytest.mark.parametrize(
    "target",
    [
        instance(state="stopped", launched_at=NOW - 700 * DAY, stopped_at=at("2025-01-31 07:00")),
        instance(launched_at=NOW - timedelta(seconds=20)),
        instance(launched_at=NOW),
    ],
    ids=["stopped long ago, on the hour", "just launched", "launched this second"],
)
def test_an_answer_that_is_complete_but_empty_is_coverage_zero(cloudwatch: CloudWatch, target: Instance) -> None:
    """Row 16, not row 12: the query was valid, and CloudWatch had no data."""
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason
    assert (0.0, 0) == (look(cloudwatch, target).coverage, look(cloudwatch, target).observed_hours)


def test_an_instance_launched_on_the_hour_of_the_question_has_no_window_yet(cloudwatch: CloudWatch) -> None:
    """CloudWatch rejects an empty range; it is not queried, and there is no evidence."""
    now = at("2026-11-20 14:00")
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, instance(launched_at=now), now=now).reason


# --- Coverage ------------------------------------------------------------------------------------------------------


def office_hours(end: datetime = NOW) -> list[datetime]:
    """The running hours of an instance that is started at 7 and stopped at 19, over 40 days."""
    return [hour for hour in hours(end - 40 * DAY, end) if hour.hour in range(7, 19)]


def test_hours_in_which_it_did_not_run_are_not_missed(cloudwatch: CloudWatch) -> None:
    """An office-hours instance has full coverage; CPUUtilization shows that it was off at night."""
    target = instance(launched_at=at("2026-11-20 07:00"), first_launched_at=NOW - 40 * DAY)
    for hour in office_hours():
        cloudwatch.put(USE, target.arn.instance_id, hour, 0)
        cloudwatch.put(RAN, target.arn.instance_id, hour, 1.5)
    seen = look(cloudwatch, target)
    assert (419, 1.0) == (seen.observed_hours, seen.coverage)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def test_no_datapoint_is_never_zero(cloudwatch: CloudWatch) -> None:
    """Hours in which it ran without a datapoint of the metric count against it, although they were probably quiet."""
    target = instance(launched_at=at("2026-11-20 07:00"), first_launched_at=NOW - 40 * DAY)
    for number, hour in enumerate(office_hours()):
        cloudwatch.put(RAN, target.arn.instance_id, hour, 1.5)
        if number % 4:
            cloudwatch.put(USE, target.arn.instance_id, hour, 0)
    seen = look(cloudwatch, target)
    assert 0.75 == pytest.approx(seen.coverage, abs=0.01)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason


@pytest.mark.parametrize("metrics", [[], [RAN]])
def test_silence_covers_nothing(cloudwatch: CloudWatch, metrics: list[str]) -> None:
    """Neither an instance without any datapoints, nor one that ran and did not report, has coverage."""
    target = instance()
    report(cloudwatch, target, target.launched_at, NOW, metrics)
    seen = look(cloudwatch, target)
    assert (0, 0.0, 0) == (seen.observed_hours, seen.coverage, seen.tokenless_calls)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason


def test_an_hour_with_the_metric_is_an_hour_in_which_it_ran(cloudwatch: CloudWatch, steady: Instance) -> None:
    """Even if CPUUtilization has gaps."""
    for hour in list(cloudwatch.points[USE, steady.arn.instance_id])[::3]:
        del cloudwatch.points[USE, steady.arn.instance_id][hour]
    del cloudwatch.points[RAN, steady.arn.instance_id]
    seen = look(cloudwatch, steady)
    assert 1.0 == seen.coverage
    assert 560 == pytest.approx(seen.observed_hours, abs=2)


def test_processor_load_is_asked_for_only_where_the_metric_falls_short(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """And only for the hours that need it: from the first to the last missing one."""
    short = replace(steady, arn=arn(2))
    used = replace(steady, arn=arn(3))
    report(cloudwatch, short, NOW - 100 * DAY, NOW)
    for hour in hours(NOW - 20 * DAY, NOW - 10 * DAY):
        del cloudwatch.points[USE, short.arn.instance_id][hour]
    report(cloudwatch, used, NOW - 2 * DAY, NOW, [USE], 1)
    gather(cloudwatch.client, [steady, short, used], POLICY, NOW)
    (call,) = cloudwatch.calls_for(RAN)
    (query,) = call["MetricDataQueries"]
    assert short.arn.instance_id == query["MetricStat"]["Metric"]["Dimensions"][0]["Value"]
    assert (hour_of(NOW - 20 * DAY), hour_of(NOW - 10 * DAY) + HOUR) == (call["StartTime"], call["EndTime"])


def test_processor_load_is_not_asked_for_where_a_few_hours_are_missing(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """The metric alone proves 90% or more, whatever the instance did in the other hours."""
    for hour in hours(NOW - 13 * DAY, NOW - 10 * DAY):
        del cloudwatch.points[USE, steady.arn.instance_id][hour]
    seen = look(cloudwatch, steady)
    assert [] == cloudwatch.calls_for(RAN)
    assert POLICY.min_coverage <= seen.coverage < 1


# --- Around the last start -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("launched_at", "needed"),
    [
        (at("2026-11-15 14:00"), [14]),
        (at("2026-11-15 14:00:01"), [14, 15]),
        (at("2026-11-15 14:45:00"), [14, 15]),
        (at("2026-11-15 14:45:01"), [15]),
        (at("2026-11-15 14:50"), [15]),
        (at("2026-11-15 13:59:59"), [14]),
    ],
)
def test_the_start_is_observed_where_its_hours_have_datapoints(launched_at: datetime, needed: list[int]) -> None:
    """The first whole hour after the start, and the hour of the start if at least 15 minutes of it remained."""
    target = instance(launched_at=launched_at, first_launched_at=NOW - 100 * DAY)
    for missing in (None, 13, 14, 15, 16):
        cloudwatch = CloudWatch(lambda: NOW)
        report(cloudwatch, target, NOW - 100 * DAY, NOW)
        if missing is not None:
            del cloudwatch.points[USE, target.arn.instance_id][launched_at.replace(hour=missing, minute=0, second=0)]
        verdict = verdict_on(cloudwatch, target)
        expected = Reason.BOOT_NOT_OBSERVABLE if missing in needed else Reason.UNUSED
        assert expected is verdict.reason, missing


@pytest.mark.parametrize(
    ("launched_at", "now", "observed"),
    [
        (at("2026-11-20 12:20"), at("2026-11-20 13:59:59"), False),
        (at("2026-11-20 12:20"), at("2026-11-20 14:00"), True),
        (at("2026-11-20 12:00"), at("2026-11-20 12:59:59"), False),
        (at("2026-11-20 12:00"), at("2026-11-20 13:00"), True),
    ],
)
def test_the_first_whole_hour_must_be_over(launched_at: datetime, now: datetime, observed: bool) -> None:
    """The datapoint of the current hour may still grow."""
    target = instance(launched_at=launched_at, first_launched_at=NOW - 100 * DAY)
    cloudwatch = CloudWatch(lambda: now)
    report(cloudwatch, target, NOW - 100 * DAY, now)
    verdict = verdict_on(cloudwatch, target, now=now)
    assert (Reason.UNUSED if observed else Reason.BOOT_NOT_OBSERVABLE) is verdict.reason
    if not observed:
        assert hour_of(launched_at + HOUR - timedelta(seconds=1)) + 2 * HOUR == verdict.revisit_at


@pytest.mark.parametrize(("minute", "calls"), [(55, 1), (45, 0)], ids=["it may have run on", "it had long been off"])
def test_what_calls_while_the_machine_shuts_down_is_use(cloudwatch: CloudWatch, minute: int, calls: int) -> None:
    """EC2 reports when the stop was requested; software runs for some minutes more, possibly into the next hour."""
    stopped_at = hour_of(NOW - 5 * DAY) + timedelta(minutes=minute)
    target = instance(state="stopped", launched_at=NOW - 60 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, target.launched_at, stopped_at)
    cloudwatch.put(USE, target.arn.instance_id, hour_of(stopped_at) + HOUR, 1)
    assert calls == look(cloudwatch, target).tokenless_calls


def test_a_stopped_instance_showed_its_start_if_the_hours_have_datapoints(cloudwatch: CloudWatch) -> None:
    """It need not have run to the end of the first whole hour: the hour is over, and its calls were counted."""
    launched_at, stopped_at = at("2026-11-20 10:20"), at("2026-11-20 11:40")
    target = instance(
        state="stopped", launched_at=launched_at, first_launched_at=NOW - 100 * DAY, stopped_at=stopped_at
    )
    report(cloudwatch, target, NOW - 100 * DAY, stopped_at)
    assert look(cloudwatch, target).boot_observed


def test_a_start_before_the_window_gets_a_look_of_its_own(cloudwatch: CloudWatch, steady: Instance) -> None:
    """A query for the hours that overlap the two hours from the start, and no others."""
    for hour, calls in (
        (steady.launched_at - HOUR, 100),
        (steady.launched_at, 1),
        (steady.launched_at + HOUR, 2),
        (steady.launched_at + 2 * HOUR, 4),
        (steady.launched_at + 3 * HOUR, 200),
    ):
        cloudwatch.put(USE, steady.arn.instance_id, hour_of(hour), calls)
    seen = look(cloudwatch, steady)
    assert (0, 7) == (seen.tokenless_calls, seen.boot_tokenless_calls)
    assert Reason.V1_AT_BOOT is verdict_on(cloudwatch, steady).reason
    begin = hour_of(steady.launched_at)
    assert (begin, begin + 3 * HOUR) in [(call["StartTime"], call["EndTime"]) for call in cloudwatch.calls_for(USE)]


def test_a_start_within_the_window_is_looked_at_with_it(cloudwatch: CloudWatch) -> None:
    """One call reads both."""
    target = instance(launched_at=NOW - 5 * DAY, first_launched_at=NOW - 35 * DAY)
    report(cloudwatch, target, NOW - 35 * DAY, NOW)
    assert look(cloudwatch, target).boot_observed
    assert 1 == len(cloudwatch.asked)


def test_a_start_that_straddles_the_beginning_of_the_window_is_seen_whole(cloudwatch: CloudWatch) -> None:
    """The hour of the start is before the window, the following hours are inside."""
    launched_at = NOW - 35 * DAY - HOUR
    target = instance(launched_at=launched_at)
    report(cloudwatch, target, launched_at, NOW)
    assert look(cloudwatch, target).boot_observed
    cloudwatch.put(USE, target.arn.instance_id, hour_of(launched_at), 1)
    seen = look(cloudwatch, target)
    assert (0, 1) == (seen.tokenless_calls, seen.boot_tokenless_calls)


@pytest.mark.parametrize(("age", "forgotten"), [(MEMORY - DAY, False), (MEMORY + timedelta(minutes=1), True)])
@pytest.mark.parametrize("lookback_days", [35, 455])
def test_a_start_beyond_the_memory_of_the_metric_is_forgotten(
    cloudwatch: CloudWatch, age: timedelta, forgotten: bool, lookback_days: int
) -> None:
    """CloudWatch keeps hourly data for 455 days; datapoints of an older start are not used, even if some remain."""
    cloudwatch.memory = MEMORY + DAY
    target = instance(launched_at=NOW - age)
    report(cloudwatch, target, target.launched_at, NOW, [USE])
    policy = Policy(lookback_days=lookback_days)
    verdict = verdict_on(cloudwatch, target, policy)
    assert (Reason.BOOT_NOT_OBSERVABLE if forgotten else Reason.UNUSED) is verdict.reason
    assert ("no longer remembers" in verdict.explanation) is forgotten
    ignoring = replace(policy, boot_evidence=BootEvidence.IGNORE)
    assert Reason.UNUSED is verdict_on(cloudwatch, target, ignoring).reason


def test_no_question_reaches_beyond_the_memory_of_the_metric(cloudwatch: CloudWatch) -> None:
    """Expired datapoints count against the limits all the same."""
    targets = [
        instance(launched_at=NOW - 900 * DAY),
        instance(arn=arn(2), launched_at=NOW - 3 * DAY, first_launched_at=None),
    ]
    report(cloudwatch, targets[0], NOW - 400 * DAY, NOW)
    gather(cloudwatch.client, targets, POLICY, NOW)
    assert all(call["StartTime"] >= hour_of(NOW - MEMORY) for call in cloudwatch.asked)


# --- Older use -----------------------------------------------------------------------------------------------------


def test_older_use_is_told_where_the_window_speaks_for_enforcing(cloudwatch: CloudWatch, steady: Instance) -> None:
    """The number of calls, and the week of the last one."""
    cloudwatch.put(USE, steady.arn.instance_id, at("2026-09-30 08:00"), 5)
    cloudwatch.put(USE, steady.arn.instance_id, at("2026-09-01 08:00"), 6)
    seen = look(cloudwatch, steady)
    assert 11 == seen.older_tokenless_calls
    assert seen.older_last_tokenless_call is not None
    assert timedelta() <= at("2026-09-30 08:00") - seen.older_last_tokenless_call < 7 * DAY
    verdict = verdict_on(cloudwatch, steady)
    assert Reason.UNUSED is verdict.reason
    assert "11 IMDSv1 calls" in verdict.explanation


def test_older_use_is_not_asked_for_where_it_cannot_matter(cloudwatch: CloudWatch, steady: Instance) -> None:
    """Not if the window already holds the instance, and not if there is no older time."""
    young = instance(arn=arn(2), launched_at=NOW - 20 * DAY)
    report(cloudwatch, young, young.launched_at, NOW)
    cloudwatch.put(USE, steady.arn.instance_id, NOW - DAY, 1)
    gather(cloudwatch.client, [steady, young], POLICY, NOW)
    assert {3600} == {query["MetricStat"]["Period"] for call in cloudwatch.asked for query in call["MetricDataQueries"]}


# --- Answers that are not complete ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
@pytest.mark.parametrize("metric", [USE, RAN])
def test_anything_but_complete_is_no_evidence(cloudwatch: CloudWatch, status: str, metric: str) -> None:
    """Row 12 for the affected instance only."""
    target, other = instance(launched_at=NOW - 30 * DAY), instance(arn=arn(2), launched_at=NOW - 30 * DAY)
    for each in (target, other):
        report(cloudwatch, each, NOW - 30 * DAY, NOW, [RAN])
        report(cloudwatch, each, NOW - 20 * DAY, NOW, [USE])
    cloudwatch.statuses[metric, target.arn.instance_id] = status
    seen = gather(cloudwatch.client, [target, other], POLICY, NOW)
    assert status in str(seen[target.arn].problem)
    assert Reason.EVIDENCE_INCOMPLETE is decide(target, seen[target.arn], History(), POLICY, NOW).reason
    assert seen[other.arn].problem is None


@pytest.mark.parametrize("page", [1, 7, 100, 839, 840, 841, 842, 1700])
def test_pages_are_followed_to_the_end(cloudwatch: CloudWatch, page: int) -> None:
    """`PartialData` with a further page is not final; a window split at any point is the same window."""
    policy = Policy(lookback_days=2, min_observed_hours=24) if page < 100 else POLICY
    targets = [instance(arn=arn(number), launched_at=NOW - 36 * DAY) for number in (1, 2)]
    for target in targets:
        report(cloudwatch, target, target.launched_at, NOW)
    cloudwatch.put(USE, targets[1].arn.instance_id, hour_of(NOW - DAY), 3)
    whole = gather(cloudwatch.client, targets, policy, NOW)
    cloudwatch.page = page
    assert whole == gather(cloudwatch.client, targets, policy, NOW)
    assert [0, 3] == [whole[target.arn].tokenless_calls for target in targets]


@pytest.mark.parametrize("status", ["InternalError", "Forbidden"])
def test_a_failure_on_one_page_is_not_made_good_by_the_next(
    cloudwatch: CloudWatch, steady: Instance, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page lacked is missing, whatever the last page says."""
    cloudwatch.page = 500
    answer = cloudwatch.get_metric_data

    def spoilt(**request: Any) -> dict[str, Any]:
        page = answer(**request)
        if "NextToken" in page:
            page["MetricDataResults"][0]["StatusCode"] = status
        return page

    monkeypatch.setattr(cloudwatch, "get_metric_data", spoilt)
    assert status in str(look(cloudwatch, steady).problem)


def test_an_instance_that_the_answer_leaves_out_has_no_evidence(
    cloudwatch: CloudWatch, steady: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing result is not an empty one."""
    answer = cloudwatch.get_metric_data

    def leaving_out(**request: Any) -> dict[str, Any]:
        return answer(**request) | {"MetricDataResults": []}

    monkeypatch.setattr(cloudwatch, "get_metric_data", leaving_out)
    assert look(cloudwatch, steady).problem is not None


@pytest.mark.parametrize(
    ("error", "throttled"),
    [
        (refusal("AccessDenied", "not authorized to perform: cloudwatch:GetMetricData", "GetMetricData"), False),
        (refusal("Throttling", "Rate exceeded", "GetMetricData"), True),
        (refusal("ThrottlingException", "Rate exceeded", "GetMetricData"), True),
        (refusal("InternalServiceFault", "refused", "GetMetricData"), False),
        (ReadTimeoutError(endpoint_url="https://monitoring.eu-west-1.amazonaws.com"), False),
    ],
)
@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_refused_call_is_no_evidence_and_no_exception(
    cloudwatch: CloudWatch, steady: Instance, error: Exception, throttled: bool, call: int
) -> None:
    """Whichever query failed: window, start, or older use."""
    cloudwatch.refusals[call] = error
    seen = look(cloudwatch, steady)
    assert seen.problem is not None
    assert throttled is seen.throttled
    assert Reason.EVIDENCE_INCOMPLETE is decide(steady, seen, History(), POLICY, NOW).reason


def test_a_page_that_fails_half_way_takes_its_call_with_it_and_no_other(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instances of that call are judged without evidence; those of the next call are not affected."""
    monkeypatch.setattr("imdsv2.aws.cloudwatch._CALLS_AT_ONCE", 1)  # makes it certain which page is the second
    targets = [instance(arn=arn(number), launched_at=NOW - 30 * DAY) for number in range(1, 201)]
    for target in targets:
        report(cloudwatch, target, NOW - 30 * DAY, NOW, [USE])
    cloudwatch.page = 80_000
    cloudwatch.refusals[1] = refusal("InternalServiceFault", "refused", "GetMetricData")
    seen = gather(cloudwatch.client, targets, POLICY, NOW)
    asked = [
        {query["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for query in call["MetricDataQueries"]}
        for call in cloudwatch.calls_for(USE)
    ]
    assert 2 == len(asked)
    assert asked[0] == {each.instance_id for each, found in seen.items() if found.problem is not None}


# --- Number of calls -----------------------------------------------------------------------------------------------


def datapoints(call: dict[str, Any]) -> int:
    """The number of datapoints that a request asks for."""
    return sum(
        math.ceil((call["EndTime"] - call["StartTime"]).total_seconds() / query["MetricStat"]["Period"])
        for query in call["MetricDataQueries"]
    )


def test_three_hundred_instances_cost_three_calls_for_the_window(cloudwatch: CloudWatch) -> None:
    """35 days are 841 hourly datapoints per instance, 119 instances per call, without further pages."""
    targets = [instance(arn=arn(number), launched_at=NOW - 34 * DAY) for number in range(300)]
    for target in targets:
        report(cloudwatch, target, target.launched_at, NOW, [USE])
    assert {1.0} == {seen.coverage for seen in gather(cloudwatch.client, targets, POLICY, NOW).values()}
    assert 3 == len(cloudwatch.asked)


def test_a_fleet_with_a_past_costs_one_call_more_for_it(cloudwatch: CloudWatch) -> None:
    """The starts are before the window and at the same time; starts and older use take one call each."""
    targets = [instance(arn=arn(number), launched_at=NOW - 100 * DAY) for number in range(300)]
    for target in targets:
        report(cloudwatch, target, target.launched_at, NOW, [USE])
    assert {0} == {seen.older_tokenless_calls for seen in gather(cloudwatch.client, targets, POLICY, NOW).values()}
    assert 5 == len(cloudwatch.asked)
    assert max(map(datapoints, cloudwatch.asked)) <= DATAPOINTS
    assert 300 * 841 == sum(datapoints(call) for call in cloudwatch.asked if datapoints(call) > 20_000)


def test_nothing_to_look_at_costs_nothing(cloudwatch: CloudWatch) -> None:
    """No instances, no call."""
    assert {} == gather(cloudwatch.client, [], POLICY, NOW)
    assert [] == cloudwatch.asked


spans = st.builds(
    lambda first, length: Hours(first, first + length), st.integers(480_000, 500_000), st.integers(1, 10_920)
)


@given(st.lists(spans, max_size=700), st.sampled_from([1, 168]))
@settings(max_examples=60)
def test_packing_keeps_the_limits_and_loses_nobody(wanted: list[Hours], hours_a_period: int) -> None:
    """Every instance is in one call, and CloudWatch accepts every call and answers it on one page."""
    asked = {arn(number): span for number, span in enumerate(wanted)}
    groups = pack(asked, hours_a_period)
    assert sorted(asked) == sorted(each for group in groups for each in group)
    for group in groups:
        first, end = min(asked[each].first for each in group), max(asked[each].end for each in group)
        assert 1 <= len(group) <= QUERIES_A_CALL
        assert math.ceil((end - first) / hours_a_period) * len(group) <= DATAPOINTS_A_CALL


def test_short_questions_are_packed_by_the_number_of_queries() -> None:
    """500 a call, the maximum."""
    wanted = {arn(number): Hours(500_000, 500_003) for number in range(1001)}
    assert [500, 500, 1] == [len(group) for group in pack(wanted)]


# --- Property tests: any fleet, any history ------------------------------------------------------------------------

BRIEF = Policy(lookback_days=2, min_observed_hours=8)
PAST = 84
"""Hours of history with arbitrary events; longer than the window and the start before it."""


@st.composite
def fleets(draw: st.DrawFn, size: int = 1) -> tuple[datetime, list[Instance], CloudWatch]:
    """Instances launched, used, stopped and started at arbitrary times in recent days, with gaps."""
    now = NOW.replace(minute=0) + timedelta(minutes=draw(st.integers(0, 59)))
    cloudwatch = CloudWatch(lambda: now)
    targets = [draw(histories(cloudwatch, number, now)) for number in range(1, size + 1)]
    return now, targets, cloudwatch


@st.composite
def histories(draw: st.DrawFn, cloudwatch: CloudWatch, number: int, now: datetime) -> Instance:
    """One instance with its history."""
    minutes = st.integers(0, PAST * 60)
    first, last = sorted((draw(minutes), draw(minutes)), reverse=True)
    stopped = draw(st.none() | st.integers(0, max(0, last - 1)))
    target = instance(
        arn=arn(number),
        state="running" if stopped is None else "stopped",
        first_launched_at=now - timedelta(minutes=first),
        launched_at=now - timedelta(minutes=last),
        stopped_at=None if stopped is None else now - timedelta(minutes=stopped),
    )
    gaps = draw(st.sets(st.integers(0, PAST), max_size=20))
    asleep = draw(st.sets(st.integers(0, PAST), max_size=20))
    used = draw(st.sets(st.integers(0, PAST), max_size=2))
    for ago, hour in enumerate(reversed(hours(now - timedelta(minutes=first), target.stopped_at or now))):
        if ago not in gaps:
            cloudwatch.put(USE, target.arn.instance_id, hour, float(ago in used))
        if ago not in asleep:
            cloudwatch.put(RAN, target.arn.instance_id, hour, 1.0)
    return target


def plain_reason(cloudwatch: CloudWatch, target: Instance, policy: Policy, now: datetime) -> Reason:
    """Rows 13 to 19, computed directly from the datapoints as the contract defines them, without calls or pages."""
    calls = cloudwatch.points.get((USE, target.arn.instance_id), {})
    ran = calls.keys() | cloudwatch.points.get((RAN, target.arn.instance_id), {}).keys()
    end = target.stopped_at or now
    start = max(end - timedelta(days=policy.lookback_days), target.first_launched_at or end)

    def used(begin: datetime, until: datetime) -> bool:
        return any(value for hour, value in calls.items() if hour < until and hour + HOUR > begin)

    def inside(hours_of_it: Iterable[datetime]) -> int:
        return sum(start <= hour and hour + HOUR <= end for hour in hours_of_it)

    if used(start, end):
        return Reason.V1_IN_USE
    if used(target.launched_at, target.launched_at + 2 * HOUR):
        return Reason.V1_AT_BOOT
    if inside(ran) == 0 or inside(calls) / inside(ran) < policy.min_coverage:
        return Reason.NO_EVIDENCE
    if inside(calls) < policy.min_observed_hours:
        return Reason.TOO_YOUNG
    containing = hour_of(target.launched_at)
    whole = containing if containing == target.launched_at else containing + HOUR
    if whole not in calls or whole + HOUR > now:
        return Reason.BOOT_NOT_OBSERVABLE
    if containing + HOUR - target.launched_at >= timedelta(minutes=15) and containing not in calls:
        return Reason.BOOT_NOT_OBSERVABLE
    return Reason.UNUSED


@given(fleets())
@settings(max_examples=200)
def test_the_verdict_is_what_the_datapoints_say(fleet: tuple[datetime, list[Instance], CloudWatch]) -> None:
    """However the queries are split, the result equals the direct computation."""
    now, (target,), cloudwatch = fleet
    expected = plain_reason(cloudwatch, target, BRIEF, now)
    assert expected is verdict_on(cloudwatch, target, BRIEF, now).reason


@given(fleets(size=4), st.sampled_from([DATAPOINTS, 37]))
@settings(max_examples=80)
def test_the_company_an_instance_is_asked_about_in_changes_nothing(
    fleet: tuple[datetime, list[Instance], CloudWatch], page: int
) -> None:
    """Instances share calls, and a call has one time range for all; each verdict is as if the instance were alone."""
    now, targets, cloudwatch = fleet
    alone = {target.arn: look(cloudwatch, target, BRIEF, now) for target in targets}
    cloudwatch.page = page
    together = gather(cloudwatch.client, targets, BRIEF, now)
    assert list(map(told, alone.values())) == [told(together[each]) for each in alone]


def test_use_that_only_a_neighbour_s_longer_range_shows_is_not_this_instance_s_business(cloudwatch: CloudWatch) -> None:
    """An office-hours instance with use before its window still has its CPUUtilization read."""
    stopped = instance(arn=arn(2), state="stopped", launched_at=NOW - 60 * DAY, stopped_at=NOW - 5 * DAY)
    report(cloudwatch, stopped, stopped.launched_at, NOW - 5 * DAY)
    target = instance(launched_at=at("2026-11-20 07:00"), first_launched_at=NOW - 60 * DAY)
    for hour in office_hours():
        cloudwatch.put(USE, target.arn.instance_id, hour, float(hour < NOW - 36 * DAY))
        cloudwatch.put(RAN, target.arn.instance_id, hour, 1.5)
    together = gather(cloudwatch.client, [target, stopped], POLICY, NOW)
    assert Reason.UNUSED is decide(target, together[target.arn], History(), POLICY, NOW).reason


def told(seen: Evidence) -> Evidence:
    """Evidence without the week of older use, which begins where the call began."""
    return replace(seen, older_last_tokenless_call=None)


@given(fleets(), st.data())
@settings(max_examples=150)
def test_a_call_more_never_permits(fleet: tuple[datetime, list[Instance], CloudWatch], data: st.DataObject) -> None:
    """One call in any hour that overlaps the window or the start rules out enforcement."""
    now, (target,), cloudwatch = fleet
    end = target.stopped_at or now
    start = max(end - 2 * DAY, target.first_launched_at or end)
    boot_end = min(target.launched_at + 2 * HOUR, end)
    touched = hours(start, end) + hours(target.launched_at, boot_end)
    if not touched:
        return
    cloudwatch.put(USE, target.arn.instance_id, data.draw(st.sampled_from(touched)), 1)
    assert Decision.HOLD is verdict_on(cloudwatch, target, BRIEF, now).decision


@given(fleets(), st.data())
@settings(max_examples=150)
def test_a_datapoint_less_never_permits(
    fleet: tuple[datetime, list[Instance], CloudWatch], data: st.DataObject
) -> None:
    """Removing datapoints without use never makes a verdict more permissive."""
    now, (target,), cloudwatch = fleet
    before = verdict_on(cloudwatch, target, BRIEF, now).decision
    calls = cloudwatch.points.get((USE, target.arn.instance_id), {})
    quiet = [hour for hour, value in calls.items() if not value]
    if not quiet:
        return
    for hour in data.draw(st.sets(st.sampled_from(quiet), min_size=1)):
        del calls[hour]
    after = verdict_on(cloudwatch, target, BRIEF, now).decision
    assert before is Decision.ENFORCE or after is Decision.HOLD


@pytest.mark.parametrize("account", [ACCOUNT, "333333333333"])
def test_the_instance_is_named_to_cloudwatch_by_its_id(cloudwatch: CloudWatch, account: str) -> None:
    """Account and Region belong to the client; the result has the full ARN."""
    target = instance(arn=arn(7, account=account))
    assert [target.arn] == list(gather(cloudwatch.client, [target], POLICY, NOW))
