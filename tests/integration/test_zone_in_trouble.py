"""An Availability Zone in trouble: a description that names one of its instances fails as a whole."""

from __future__ import annotations

import math
import random
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.aws.ec2 import describe
from imdsv2.domain.instance import Instance, Missing, Unreachable
from tests.integration.builders import arn_of
from tests.integration.test_target import answer, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imdsv2.domain.instance import InstanceArn


def failure(code: str, status: int = 400, message: str = "no") -> ClientError:
    """An error as the SDK raises it in the end."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "DescribeInstances")


class Region:
    """EC2 of a Region: a call that names an id in ``down`` fails; it does not know ``unknown``."""

    def __init__(self, down: Collection[InstanceArn] = (), unknown: Collection[InstanceArn] = ()) -> None:
        self.error: Callable[[], Exception] = lambda: failure("InternalError", 500)
        self.calls: list[list[str]] = []
        self._down = {arn.instance_id for arn in down}
        self._unknown = {arn.instance_id for arn in unknown}
        self._lock = Lock()

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """EC2's answer; unknown ids are refused before anything else."""
        ids = request["InstanceIds"]
        with self._lock:
            self.calls.append(ids)
        if strange := sorted(self._unknown & {*ids}):
            raise failure("InvalidInstanceID.NotFound", message=f"The instance IDs '{', '.join(strange)}' do not exist")
        if self._down & {*ids}:
            raise self.error()
        return answer(*(shown(arn_of(each.removeprefix("i-").lstrip("0"))) for each in ids))

    def look(self, arns: list[InstanceArn]) -> dict[InstanceArn, type]:
        """How each is described."""
        ec2: Any = self
        return {arn: type(target) for arn, target in describe(ec2, arns).items()}


def instances(count: int) -> list[InstanceArn]:
    """That many."""
    return [arn_of(f"{number:x}") for number in range(1, count + 1)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.data())
def test_only_what_cannot_be_read_is_unreachable(count: int, data: st.DataObject) -> None:
    """Whichever ids lie in the zone in trouble, and whichever EC2 does not know, as long as some can be read."""
    arns = instances(count)
    kinds = data.draw(st.lists(st.sampled_from([Instance, Unreachable, Missing]), min_size=count, max_size=count))
    region = Region(
        *([arn for arn, is_ in zip(arns, kinds, strict=True) if is_ is kind] for kind in (Unreachable, Missing))
    )
    seen = region.look(arns)
    assert {arn for arn, is_ in seen.items() if is_ is Missing} == {
        arn for arn, is_ in zip(arns, kinds, strict=True) if is_ is Missing
    }
    if count <= 6 or kinds.count(Unreachable) < 6:
        assert dict(zip(arns, kinds, strict=True)) == seen


@pytest.mark.parametrize("at", [0, 499, 999])
def test_one_of_a_thousand_costs_two_calls_for_each_halving(at: int) -> None:
    """999 are read."""
    arns = instances(1000)
    region = Region([arns[at]])
    assert [arns[at]] == [arn for arn, is_ in region.look(arns).items() if is_ is not Instance]
    assert len(region.calls) <= 1 + 2 * math.ceil(math.log2(1000))


def test_a_third_of_a_region_leaves_the_others_seen() -> None:
    """The ids of a zone lie among those of the others, so that both halves fail, and their halves."""
    arns = instances(60)
    down = arns[::3]
    seen = Region(down).look(arns)
    assert {*down} == {arn for arn, is_ in seen.items() if is_ is Unreachable}
    assert {*arns} - {*down} == {arn for arn, is_ in seen.items() if is_ is Instance}


@pytest.mark.parametrize("seed", range(40))
def test_many_in_the_zone_cost_a_bounded_number_of_calls(seed: int) -> None:
    """Most of what can be read and was not asked for again is read at another time, whichever ones chance asks for first."""
    random.seed(seed)
    arns = instances(900)
    region = Region(arns[::3])
    assert list(region.look(arns).values()).count(Instance) > 40
    assert len(region.calls) <= 129


@pytest.mark.parametrize("count", [2, 8, 1000])
def test_a_region_that_is_down_costs_few_calls(count: int) -> None:
    """Two halves and six single instances are enough to know."""
    arns = instances(count)
    region = Region(arns)
    assert {Unreachable} == set(region.look(arns).values())
    assert len(region.calls) <= 9


@pytest.mark.parametrize(
    "error",
    [
        failure("RequestLimitExceeded", 503),
        failure("UnauthorizedOperation", 403),
        failure("AuthFailure", 401),
        failure("OptInRequired", 401),
        ConnectTimeoutError(endpoint_url="https://ec2.eu-west-1.amazonaws.com"),
    ],
    ids=lambda error: type(error).__name__ if not isinstance(error, ClientError) else error.response["Error"]["Code"],
)
def test_what_is_not_of_some_instances_is_asked_once(error: Exception) -> None:
    """Throttling, a refusal of the caller, and no answer: more calls would only make it worse."""
    arns = instances(8)
    region = Region(arns[:1])
    region.error = lambda: error
    assert {Unreachable} == set(region.look(arns).values())
    assert 1 == len(region.calls)


@pytest.mark.parametrize("code", ["Unavailable", "ServiceUnavailable", "InternalFailure", "SomethingNew"])
def test_server_errors_of_any_name_are_taken_apart(code: str) -> None:
    """EC2 does not say with which error it refuses to name a zone's instances."""
    arns = instances(8)
    region = Region(arns[:1])
    region.error = lambda: failure(code, 503)
    assert 7 == list(region.look(arns).values()).count(Instance)


def test_throttling_while_it_is_taken_apart_ends_soon() -> None:
    """What was throttled is told as such, so that it is tried again soon."""
    arns = instances(8)
    region = Region(arns[:1])
    region.error = lambda: failure("InternalError", 500) if len(region.calls) == 1 else failure("Throttling", 503)
    ec2: Any = region
    seen = describe(ec2, arns)
    assert arns[:4] == [arn for arn, each in seen.items() if isinstance(each, Unreachable) and each.throttled]
    assert arns[4:] == [arn for arn, each in seen.items() if isinstance(each, Instance)]
