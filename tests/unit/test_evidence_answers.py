"""Answers of CloudWatch that are refused, incomplete or spread over pages, and how many calls a look costs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import NOW, arn, instance
from tests.unit.evidence_builders import (
    DAY,
    FIVE,
    POLICY,
    RAN,
    REFUSED,
    UNKNOWN,
    USE,
    call,
    look,
    look_at_all,
    lose,
    report,
    report_start,
    verdict_on,
)
from tests.world.cloudwatch import DATAPOINTS, HOUR, CloudWatch, hour_of
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance

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


# --- Answers that are not complete ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "wait"), [("PartialData", DAY), ("InternalError", 3 * FIVE), ("Forbidden", DAY)])
@pytest.mark.parametrize("metric", [USE, RAN, REFUSED])
def test_anything_but_complete_is_no_evidence(cloudwatch: CloudWatch, status: str, wait: Any, metric: str) -> None:
    """Row 12 for the affected instance only; what went wrong inside AWS is asked again in a quarter of an hour."""
    target, other = (
        instance(arn=arn(number), launched_at=NOW - 5 * DAY, first_launched_at=NOW - 30 * DAY) for number in (1, 2)
    )
    for each in (target, other):
        report(cloudwatch, each, NOW - 30 * DAY, NOW)
        lose(cloudwatch, each, NOW - 30 * DAY, NOW - 20 * DAY)
    cloudwatch.statuses[metric, target.arn.instance_id] = status
    seen = look_at_all(cloudwatch, [target, other])
    assert status in str(seen[0].problem)
    verdict = decide(target, seen[0], UNKNOWN, POLICY, NOW)
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + wait) == (verdict.reason, verdict.revisit_at)
    assert seen[1].problem is None


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("MaxMetricsExceeded", "Maximum number of allowed metrics exceeded"),
        ("PartialData", "Some of the requested metrics could not be retrieved."),
        ("Unavailable", "Data of one of the zones is temporarily unavailable."),
        ("Forbidden", "The caller may read no metrics of account 333333333333."),
        ("MetricsDropped", "3 metrics were dropped from this request."),
    ],
)
def test_a_message_that_data_is_missing_is_no_evidence(
    cloudwatch: CloudWatch, code: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 12, though each result says `Complete`: what is not there is not said to be missing anywhere else."""
    target = instance(launched_at=NOW - 5 * DAY, first_launched_at=NOW - 30 * DAY)
    report(cloudwatch, target, NOW - 30 * DAY, NOW)
    assert Reason.EVIDENCE_INCOMPLETE is not verdict_on(cloudwatch, target).reason
    cloudwatch.messages = [{"Code": "Greeting", "Value": "Hello."}, {"Code": code, "Value": value}]
    verdict = verdict_on(cloudwatch, target)
    assert Reason.EVIDENCE_INCOMPLETE is verdict.reason
    assert f"CloudWatch says: {code}: {value}" in verdict.explanation
    assert value in caplog.text


def test_a_message_about_one_result_counts_for_that_one(
    cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """CloudWatch may say it of a result, and not of the operation."""
    targets = [instance(arn=arn(number), launched_at=NOW - 50 * DAY) for number in (1, 2)]
    for target in targets:
        report(cloudwatch, target, NOW - 40 * DAY, NOW)
    answer = cloudwatch.get_metric_data

    def saying(**request: Any) -> dict[str, Any]:
        page = answer(**request)
        said = [{"Code": "Dropped", "Value": "Datapoints of one day were dropped."}]
        return page | {
            "MetricDataResults": [
                each | ({"Messages": said} if each["Id"] == "m1" else {}) for each in page["MetricDataResults"]
            ]
        }

    monkeypatch.setattr(cloudwatch, "get_metric_data", saying)
    fine, spoilt = look_at_all(cloudwatch, targets)
    assert (None, "CloudWatch says: Dropped: Datapoints of one day were dropped.") == (fine.problem, spoilt.problem)
    assert "Dropped" in caplog.text


@pytest.mark.parametrize("lost", [USE, REFUSED])
def test_calls_that_only_the_longer_periods_show_are_not_taken_for_none(
    cloudwatch: CloudWatch, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When in the hour, or the day, they were made decides; and the five minutes of which they are put together are not shown."""
    mended = NOW - 12 * DAY + timedelta(minutes=17)
    target = instance(launched_at=NOW - 50 * DAY)
    report(cloudwatch, target, NOW - 50 * DAY, NOW)
    report_start(cloudwatch, target, mended, mended + 2 * HOUR)
    call(cloudwatch, target, mended - timedelta(minutes=14), metric=lost, calls=5)
    history = History(mended_at=mended)
    assert Reason.UNUSED is verdict_on(cloudwatch, target, history=history).reason
    answer = cloudwatch.get_metric_data

    def without_the_finest(**request: Any) -> dict[str, Any]:
        page = answer(**request)
        asked = request["MetricDataQueries"][0]["MetricStat"]
        if asked["Period"] > 300 or asked["Stat"] != "Sum" or asked["Metric"]["MetricName"] != lost:
            return page
        none = [each | {"Timestamps": [], "Values": []} for each in page["MetricDataResults"]]
        return page | {"MetricDataResults": none}

    monkeypatch.setattr(cloudwatch, "get_metric_data", without_the_finest)
    verdict = verdict_on(cloudwatch, target, history=history)
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + 3 * FIVE) == (verdict.reason, verdict.revisit_at)


def test_a_message_that_says_nothing_of_the_kind_is_logged(
    cloudwatch: CloudWatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It changes no verdict."""
    target = instance(launched_at=NOW - 5 * DAY, first_launched_at=NOW - 30 * DAY)
    report(cloudwatch, target, NOW - 30 * DAY, NOW)
    before = look(cloudwatch, target)
    cloudwatch.messages = [{"Code": "Notice", "Value": "A new statistic is offered for this namespace."}]
    assert before == look(cloudwatch, target)
    assert "Notice: A new statistic is offered" in caplog.text


def test_an_incomplete_answer_about_the_last_sign_of_life_is_none(cloudwatch: CloudWatch) -> None:
    """When it stopped is then not known yet, rather than not to be known."""
    target = instance(state="stopped", launched_at=NOW - 60 * DAY)
    report(cloudwatch, target, target.launched_at, NOW - DAY)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason
    cloudwatch.statuses[RAN, target.arn.instance_id] = "InternalError"
    verdict = verdict_on(cloudwatch, target)
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + 3 * FIVE) == (verdict.reason, verdict.revisit_at)


@pytest.mark.parametrize("page", [1, 7, 100, 839, 840, 841, 842, 1700])
def test_pages_are_followed_to_the_end(cloudwatch: CloudWatch, page: int) -> None:
    """`PartialData` with a further page is not final; a window split at any point is the same window."""
    policy = Policy(lookback_days=2, min_observed_hours=24) if page < 100 else POLICY
    targets = [instance(arn=arn(number), launched_at=NOW - 36 * DAY) for number in (1, 2)]
    for target in targets:
        report(cloudwatch, target, target.launched_at, NOW)
    call(cloudwatch, targets[1], hour_of(NOW - DAY), calls=3)
    whole = look_at_all(cloudwatch, targets, policy)
    cloudwatch.page = page
    assert whole == look_at_all(cloudwatch, targets, policy)
    assert [0, 3] == [each.use.calls for each in whole]


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
    ("error", "passes"),
    [
        (refusal("AccessDenied", "not authorized to perform: cloudwatch:GetMetricData", "GetMetricData"), False),
        (refusal("Throttling", "Rate exceeded", "GetMetricData"), True),
        (refusal("ThrottlingException", "Rate exceeded", "GetMetricData"), True),
        (refusal("InternalServiceFault", "refused", "GetMetricData", status=500), True),
        (ReadTimeoutError(endpoint_url="https://monitoring.eu-west-1.amazonaws.com"), True),
    ],
)
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_a_refused_call_is_no_evidence_and_no_exception(
    cloudwatch: CloudWatch, steady: Instance, error: Exception, passes: bool, number: int
) -> None:
    """Whichever query failed: window, refused calls, both looks at the start, or older use."""
    cloudwatch.refusals[number] = error
    seen = look(cloudwatch, steady)
    assert seen.problem is not None
    assert passes is seen.passes
    verdict = decide(steady, seen, UNKNOWN, POLICY, NOW)
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + (3 * FIVE if passes else DAY)) == (verdict.reason, verdict.revisit_at)


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
    seen = look_at_all(cloudwatch, targets)
    asked = [
        {query["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for query in each["MetricDataQueries"]}
        for each in cloudwatch.calls_for(USE)
        if each["MetricDataQueries"][0]["MetricStat"]["Period"] == 3600
    ]
    assert 2 == len(asked)
    failed = {each.arn.instance_id for each, found in zip(targets, seen, strict=True) if found.problem is not None}
    assert asked[0] == failed
