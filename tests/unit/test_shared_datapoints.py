"""Instances of which CloudWatch sends the same share what was made of it, and none sees what another has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.cloudwatch import TOKENLESS_CALLS, read
from imdsv2.domain.evidence.hours import HOUR, Hours
from imdsv2.domain.instance import InstanceArn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST = 400_000
HOURS = 6
_POINTS = st.dictionaries(st.integers(0, HOURS - 1), st.sampled_from([0.0, 1.0, 2.5]))


class Answering:
    """A client that answers in pages: each is a list of results, `(instance, {hour: value})`; a result may come in several."""

    def __init__(self, pages: Sequence[Sequence[tuple[int, Mapping[int, float]]]]) -> None:
        self._pages = pages

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        number = int(request.get("NextToken", "0"))
        results = [
            {
                "Id": f"m{instance}",
                "StatusCode": "Complete",
                "Timestamps": [(FIRST + hour) * HOUR for hour in points],
                "Values": list(points.values()),
            }
            for instance, points in self._pages[number]
        ]
        following = {"NextToken": str(number + 1)} if number + 1 < len(self._pages) else {}
        return {"MetricDataResults": results, "Messages": [], **following}


def series_of(pages: Sequence[Sequence[tuple[int, Mapping[int, float]]]], instances: int) -> list[Any]:
    """What is read of so many instances."""
    arns = [InstanceArn("aws", "eu-west-1", "111111111111", f"i-{number:017x}") for number in range(instances)]
    client: Any = Answering(pages)
    done = read(client, TOKENLESS_CALLS, dict.fromkeys(arns, Hours(FIRST, FIRST + HOURS)))
    return [done[arn] for arn in arns]


@given(st.lists(_POINTS, min_size=1, max_size=5))
def test_what_is_shared_is_what_each_was_sent(sent: list[dict[int, float]]) -> None:
    """Whatever the neighbours have."""
    for points, series in zip(sent, series_of([list(enumerate(sent))], len(sent)), strict=True):
        assert dict(series.values) == {FIRST + hour: value for hour, value in points.items()}
        assert series.problem is None


@given(st.lists(st.tuples(_POINTS, _POINTS), min_size=1, max_size=4))
def test_a_second_page_changes_none_but_its_own_instance(sent: list[tuple[dict[int, float], dict[int, float]]]) -> None:
    """Of one period with two values the larger one counts, and the series cannot be relied on."""
    pages = [[(each, halves[page]) for each, halves in enumerate(sent)] for page in (0, 1)]
    for (one, other), series in zip(sent, series_of(pages, len(sent)), strict=True):
        whole = {hour: max(one.get(hour, 0.0), other.get(hour, 0.0)) for hour in {**one, **other}}
        assert dict(series.values) == {FIRST + hour: value for hour, value in whole.items()}
        differs = any(one[hour] != other[hour] for hour in one.keys() & other.keys())
        assert (series.problem is not None) == differs


def test_quiet_instances_take_the_memory_of_one() -> None:
    """A hundred of them in one call share one mapping, whatever stands between them; one that differs has its own."""
    quiet = dict.fromkeys(range(HOURS), 0.0)
    sent = [(number, quiet if number % 2 else {**quiet, 3: 1.0 + number}) for number in range(100)]
    series = series_of([sent], 100)
    assert len({id(each.values) for each in series[1::2]}) == 1
    assert len({id(each.values) for each in series}) == 1 + 50
