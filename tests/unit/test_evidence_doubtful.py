"""Datapoints that cannot be true, or contradict each other: nothing is concluded from them, and nothing fails because of them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, read
from imdsv2.domain.evidence.hours import Hours
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.guard.signs import Begin, gather_signs
from tests.unit.builders import NOW, arn, instance
from tests.unit.evidence_builders import (
    DAY,
    FIVE,
    MINUTE,
    POLICY,
    RAN,
    REFUSED,
    UNKNOWN,
    USE,
    look_at_all,
    lose,
    report,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, hour_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import Instance
    from tests.world.cloudwatch import CloudWatch


def quiet(cloudwatch: CloudWatch, number: int = 1) -> Instance:
    """An instance that may be enforced."""
    target = instance(arn=arn(number), launched_at=NOW - 50 * DAY)
    report(cloudwatch, target, NOW - 50 * DAY, NOW)
    return target


def answering(
    cloudwatch: CloudWatch,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[dict[str, Any]], list[dict[str, Any]]],
    *,
    metric: str = USE,
) -> None:
    """What CloudWatch answers about a metric of the first instance is put in other results."""
    answer = cloudwatch.get_metric_data

    def changed(**request: Any) -> dict[str, Any]:
        page = answer(**request)
        asked = {each["Id"]: each["MetricStat"]["Metric"] for each in request["MetricDataQueries"]}
        concerned = {
            name
            for name, each in asked.items()
            if each["MetricName"] == metric and each["Dimensions"][0]["Value"] == arn().instance_id
        }
        results = [
            one
            for each in page["MetricDataResults"]
            for one in (change(each) if each["Id"] in concerned and each["Values"] else [each])
        ]
        return page | {"MetricDataResults": results}

    monkeypatch.setattr(cloudwatch, "get_metric_data", changed)


def with_value(value: Any) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """The newest datapoint has another value."""
    return lambda result: [result | {"Values": [value, *result["Values"][1:]]}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, -0.25, None, "7"])
def test_a_value_that_no_count_has_is_no_evidence(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """A negative one would be set off against calls; nothing at all is taken for zero."""
    target = quiet(cloudwatch)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason
    answering(cloudwatch, monkeypatch, with_value(value))
    verdict = verdict_on(cloudwatch, target)
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + 3 * FIVE) == (verdict.reason, verdict.revisit_at)
    assert "CloudWatch answered" in verdict.explanation


@pytest.mark.parametrize("metric", [USE, RAN, REFUSED])
def test_one_doubtful_answer_holds_one_instance(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """The others of the same call are judged; whatever the metric."""
    targets = [
        instance(arn=arn(number), launched_at=NOW - 5 * DAY, first_launched_at=NOW - 30 * DAY) for number in (1, 2)
    ]
    for each in targets:
        report(cloudwatch, each, NOW - 30 * DAY, NOW)
        lose(cloudwatch, each, NOW - 30 * DAY, NOW - 20 * DAY)
        cloudwatch.put(REFUSED, each.arn.instance_id, NOW - 3 * DAY, 0.0)
    answering(cloudwatch, monkeypatch, with_value(math.nan), metric=metric)
    doubtful, other = look_at_all(cloudwatch, targets)
    assert "no number" in str(doubtful.problem)
    assert other.problem is None
    assert Reason.EVIDENCE_INCOMPLETE is decide(targets[0], doubtful, UNKNOWN, POLICY, NOW).reason


@pytest.mark.parametrize("minutes", [0, 5, 59])
def test_two_values_for_one_hour_are_no_evidence(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """Whichever comes last; at the same time, or at one that lies in the same hour."""
    target = quiet(cloudwatch)
    cloudwatch.put(USE, target.arn.instance_id, hour_of(NOW - MINUTE), 3.0)
    assert Reason.V1_IN_USE is verdict_on(cloudwatch, target).reason
    later = timedelta(minutes=minutes)
    answering(
        cloudwatch,
        monkeypatch,
        lambda result: [
            result | {"StatusCode": "PartialData"},
            result | {"Timestamps": [result["Timestamps"][0] + later], "Values": [0.0]},
        ],
    )
    verdict = verdict_on(cloudwatch, target)
    assert Reason.EVIDENCE_INCOMPLETE is verdict.reason
    assert "two values for the same period" in verdict.explanation


def test_two_values_in_one_result_are_no_evidence(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a second page."""
    target = quiet(cloudwatch)

    def twice(result: dict[str, Any]) -> list[dict[str, Any]]:
        stamps, values = result["Timestamps"], result["Values"]
        return [result | {"Timestamps": [stamps[0], *stamps], "Values": [4.0, *values]}]

    answering(cloudwatch, monkeypatch, twice)
    assert Reason.EVIDENCE_INCOMPLETE is verdict_on(cloudwatch, target).reason


def test_a_datapoint_that_comes_twice_is_one(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same value at the same time, on two pages: nothing is doubtful, and nothing counts twice."""
    target = quiet(cloudwatch)
    answering(
        cloudwatch,
        monkeypatch,
        lambda result: [
            result | {"StatusCode": "PartialData"},
            result | {name: result[name][:2] for name in ("Timestamps", "Values")},
        ],
    )
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def test_more_times_than_values_are_no_evidence(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows which value belongs to which time."""
    target = quiet(cloudwatch)
    answering(cloudwatch, monkeypatch, lambda result: [result | {"Values": result["Values"][1:]}])
    verdict = verdict_on(cloudwatch, target)
    assert Reason.EVIDENCE_INCOMPLETE is verdict.reason
    assert "cannot be read" in verdict.explanation


@pytest.mark.parametrize("left_out", ["Id", "StatusCode", "Timestamps", "Values"])
def test_a_result_without_one_of_its_members_is_never_taken_for_quiet(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """It holds that instance; the other's is whole."""
    targets = [quiet(cloudwatch, number) for number in (1, 2)]
    answering(
        cloudwatch,
        monkeypatch,
        lambda result: [{name: value for name, value in result.items() if name != left_out}],
    )
    one, other = look_at_all(cloudwatch, targets)
    assert Reason.EVIDENCE_INCOMPLETE is decide(targets[0], one, UNKNOWN, POLICY, NOW).reason
    assert Reason.UNUSED is decide(targets[1], other, UNKNOWN, POLICY, NOW).reason


def test_a_result_that_nobody_asked_for_is_passed_over(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It concerns no instance of the call."""
    target = quiet(cloudwatch)
    answering(cloudwatch, monkeypatch, lambda result: [result, result | {"Id": "m700", "Values": [9.0]}])
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def test_an_answer_whose_pages_go_round_in_circles_holds(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all who were asked about, and for a quarter of an hour."""
    target = quiet(cloudwatch)
    answer = cloudwatch.get_metric_data

    def circling(**request: Any) -> dict[str, Any]:
        return answer(**{name: each for name, each in request.items() if name != "NextToken"}) | {"NextToken": "again"}

    monkeypatch.setattr(cloudwatch, "get_metric_data", circling)
    verdict = verdict_on(cloudwatch, target)
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + 3 * FIVE) == (verdict.reason, verdict.revisit_at)
    assert "read already" in verdict.explanation


def test_refused_calls_beside_a_doubtful_value_still_count(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard puts back what broke; that it is clean nobody can say. Of two values, the larger one counts."""
    target = quiet(cloudwatch)
    for minutes, calls in ((40, 2.0), (30, 5.0), (20, 0.0)):
        cloudwatch.put(REFUSED, target.arn.instance_id, NOW - timedelta(minutes=minutes), calls)

    def doubtful(result: dict[str, Any]) -> list[dict[str, Any]]:
        stamps, values = result["Timestamps"], result["Values"]
        return [result | {"Timestamps": [*stamps, stamps[1], NOW - FIVE], "Values": [*values, 0.0, math.nan]}]

    answering(cloudwatch, monkeypatch, doubtful, metric=REFUSED)
    begins = {target.arn: Begin(watch=NOW - HOUR, count=NOW - HOUR)}
    signs = gather_signs(cloudwatch.client, begins, set(), NOW)[target.arn]
    assert (2 + 5, True) == (signs.rejected_calls, signs.problem is not None)


@pytest.mark.parametrize("metric", [TOKENLESS_CALLS, REJECTED_CALLS])
def test_fractions_are_values_like_any_other(cloudwatch: CloudWatch, metric: Any) -> None:
    """A sum need not be a whole number to be one."""
    target = quiet(cloudwatch)
    first = int(hour_of(NOW - DAY).timestamp()) // 3600
    cloudwatch.put(metric.name, target.arn.instance_id, hour_of(NOW - DAY), 0.3)
    series = read(cloudwatch.client, metric, {target.arn: Hours(first, first + 1)})[target.arn]
    assert (None, {first: 0.3}) == (series.problem, dict(series.values))
