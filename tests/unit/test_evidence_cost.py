"""How many calls of CloudWatch a look costs, and how instances are put together into one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.aws.cloudwatch import DATAPOINTS_A_CALL, QUERIES_A_CALL, pack
from imdsv2.domain.evidence.hours import Hours
from imdsv2.line.evidence.gather import gather
from tests.unit.builders import ACCOUNT, NOW, arn, instance
from tests.unit.evidence_builders import (
    DAY,
    POLICY,
    REFUSED,
    UNKNOWN,
    USE,
    look,
    look_at_all,
    report,
)
from tests.world.cloudwatch import DATAPOINTS, CloudWatch

# --- The in-memory CloudWatch --------------------------------------------------------------------------------------


# --- Number of calls -----------------------------------------------------------------------------------------------


def datapoints(asked: dict[str, Any]) -> int:
    """The number of datapoints that a request asks for."""
    return sum(
        math.ceil((asked["EndTime"] - asked["StartTime"]).total_seconds() / query["MetricStat"]["Period"])
        for query in asked["MetricDataQueries"]
    )


def kinds(cloudwatch: CloudWatch) -> list[tuple[str, str, int]]:
    """Metric, statistic and period of each call."""
    stats = [each["MetricDataQueries"][0]["MetricStat"] for each in cloudwatch.asked]
    return [(each["Metric"]["MetricName"], each["Stat"], each["Period"]) for each in stats]


def test_three_hundred_young_instances_cost_three_calls_for_the_window_and_two_looks(cloudwatch: CloudWatch) -> None:
    """35 days are 841 hourly datapoints per instance, 119 instances per call; the coarse look at refused calls and the fine
    one at starts take one call each."""
    targets = [instance(arn=arn(number), launched_at=NOW - 34 * DAY) for number in range(300)]
    for target in targets:
        report(cloudwatch, target, target.launched_at, NOW, [USE])
    assert {1.0} == {each.coverage for each in look_at_all(cloudwatch, targets)}
    window, refused, start = (USE, "Sum", 3600), (REFUSED, "Sum", 86400), (USE, "SampleCount", 300)
    assert [window, window, window, refused, start] == kinds(cloudwatch)


def test_a_fleet_with_a_past_costs_a_call_for_older_use_and_two_for_starts(cloudwatch: CloudWatch) -> None:
    """The starts are before the window and at the same time: accepted and refused calls around them."""
    targets = [instance(arn=arn(number), launched_at=NOW - 100 * DAY) for number in range(300)]
    for target in targets:
        report(cloudwatch, target, target.launched_at, NOW, [USE])
    assert {0} == {each.older.calls for each in look_at_all(cloudwatch, targets)}
    expected = [*[(USE, "Sum", 3600)] * 3, (REFUSED, "Sum", 86400)]
    expected += [(USE, "Sum", 3600), (REFUSED, "Sum", 3600), (USE, "Sum", 604800)]
    assert expected == kinds(cloudwatch)
    assert max(map(datapoints, cloudwatch.asked)) <= DATAPOINTS
    assert 300 * 841 == sum(datapoints(each) for each in cloudwatch.asked if datapoints(each) > 20_000)


def test_proofs_that_are_kept_cost_nothing(cloudwatch: CloudWatch) -> None:
    """No look at the start of an instance of which the ledger knows that it was seen."""
    target = instance(launched_at=NOW - 34 * DAY)
    report(cloudwatch, target, target.launched_at, NOW)
    first = look(cloudwatch, target).start
    assert first is not None
    assert first.observed
    cloudwatch.asked.clear()
    known = look(cloudwatch, target, history=replace(UNKNOWN, proved_start=first.at)).start
    assert known is not None
    assert (first.at, True) == (known.at, known.observed)
    assert [(USE, "Sum", 3600), (REFUSED, "Sum", 86400)] == kinds(cloudwatch)


def test_nothing_to_look_at_costs_nothing(cloudwatch: CloudWatch) -> None:
    """No instances, no call."""
    assert [] == look_at_all(cloudwatch, [])
    assert [] == cloudwatch.asked


spans = st.builds(
    lambda first, length: Hours(first, first + length), st.integers(480_000, 500_000), st.integers(1, 10_920)
)


@given(st.lists(spans, max_size=700), st.sampled_from([300, 3600, 86_400, 604_800]))
@settings(max_examples=60)
def test_packing_keeps_the_limits_and_loses_nobody(wanted: list[Hours], period: int) -> None:
    """Every instance is in one call, and CloudWatch accepts every call and answers it on one page, but for an instance whose
    own hours have more datapoints than that."""
    asked = {arn(number): span for number, span in enumerate(wanted)}
    groups = pack(asked, period)
    assert sorted(asked) == sorted(each for group in groups for each in group)
    for group in groups:
        first, end = min(asked[each].first for each in group), max(asked[each].end for each in group)
        assert 1 <= len(group) <= QUERIES_A_CALL
        assert math.ceil((end - first) * 3600 / period) * len(group) <= DATAPOINTS_A_CALL or len(group) == 1


def test_short_questions_are_packed_by_the_number_of_queries() -> None:
    """500 a call, the maximum."""
    wanted = {arn(number): Hours(500_000, 500_003) for number in range(1001)}
    assert [500, 500, 1] == [len(group) for group in pack(wanted)]


@pytest.mark.parametrize("account", [ACCOUNT, "333333333333"])
def test_the_instance_is_named_to_cloudwatch_by_its_id(cloudwatch: CloudWatch, account: str) -> None:
    """Account and Region belong to the client; the result has the full ARN."""
    target = instance(arn=arn(7, account=account))
    assert [target.arn] == list(gather(cloudwatch.client, [target], {target.arn: UNKNOWN}, POLICY, NOW))
