"""Answers are read as botocore reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.parsers import ResponseParserError, ResponseParserFactory
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.parsing import metrics_session, new_session, to_time

FORMS = (
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%M:%SZ",
    "%Y%m%dT%H%M%SZ",
    "%Y-%m-%dT%H:%M:%S+00:00",
    "%Y-%m-%dT%H:%M:%S-07:00",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%Y-%m-%d",
)


@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - the form tells the zone
    st.sampled_from(FORMS),
)
def test_every_form_is_read_as_botocore_reads_it(when: datetime, form: str) -> None:
    """Also those that take the shorter way."""
    text = when.strftime(form)
    assert parse_timestamp(text) == to_time(text)


@pytest.mark.parametrize("value", [0, 1_772_366_400, 1_772_366_400.25, "1772366400"])
def test_numbers_are_seconds(value: float | str) -> None:
    """Since 1970, as in JSON."""
    assert datetime.fromtimestamp(float(value), UTC) == to_time(value)


@pytest.mark.parametrize("value", ["", "Z", "soon", "2026-13-01T00:00:00Z", "2026-03-01T25:00:00Z", None])
def test_what_is_no_time_is_refused(value: Any) -> None:
    """As botocore does; the session makes one error of it."""
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        to_time(value)
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        parse_timestamp(value)


SHAPE: Any = new_session().get_service_model("cloudwatch").operation_model("GetMetricData").output_shape
SECONDS = st.integers(0, 4_000_000_000) | st.floats(0, 4e9).map(lambda each: round(each, 3))


def page(*results: dict[str, Any]) -> dict[str, Any]:
    """An answer of GetMetricData as it comes from the wire."""
    body = json.dumps({"MetricDataResults": results, "Messages": []}).encode()
    return {"body": body, "headers": {}, "status_code": 200}


def read(answer: dict[str, Any]) -> Any:
    """What the clients for CloudWatch make of it."""
    factory = metrics_session(new_session()).get_component("response_parser_factory")
    return factory.create_parser("json").parse(answer, SHAPE)


@given(st.lists(st.tuples(SECONDS, st.integers() | st.floats(allow_nan=False, allow_infinity=False))))
def test_a_page_of_datapoints_is_what_botocore_makes_of_it(points: list[tuple[float, float]]) -> None:
    """But for the times, which stay numbers."""
    stamps, values = [stamp for stamp, _ in points], [value for _, value in points]
    answer = page({"Id": "m0", "StatusCode": "Complete", "Timestamps": stamps, "Values": values})
    (theirs,) = ResponseParserFactory().create_parser("json").parse(answer, SHAPE)["MetricDataResults"]
    (ours,) = read(answer)["MetricDataResults"]
    assert theirs["Values"] == ours["Values"]
    assert theirs["Timestamps"] == [parse_timestamp(each) for each in ours["Timestamps"]]
    assert ours.keys() == theirs.keys()


def test_what_is_no_number_is_read_by_botocore() -> None:
    """A time as text, among numbers; and what no metric has."""
    answer = page({"Id": "m0", "Timestamps": [1_772_366_400, "2026-03-01T13:00:00Z"], "Values": [0.0, "NaN"]})
    (result,) = read(answer)["MetricDataResults"]
    assert [1_772_366_400, datetime(2026, 3, 1, 13, tzinfo=UTC)] == result["Timestamps"]
    assert [0.0, "NaN"] == result["Values"]


@pytest.mark.parametrize("stamps", [["yesterday"], [None, "never"], [[1]], {"a": 1}])
def test_a_time_that_is_none_makes_the_answer_unreadable(stamps: Any) -> None:
    """As everywhere."""
    with pytest.raises(ResponseParserError):
        read(page({"Id": "m0", "Timestamps": stamps, "Values": [1.0]}))
