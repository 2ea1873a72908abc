"""Cohorts: which instances run the same software, how many of them are canaries, and in which order they go."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.cohort import canaries_wanted, cohort_of, in_order
from tests.unit.builders import ACCOUNT, REGION, arn, instance

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn

GROUP, TEMPLATE = "aws:autoscaling:groupName", "aws:ec2launchtemplate:id"
PLACE = f"aws/{ACCOUNT}/{REGION}"


@pytest.mark.parametrize(
    ("tags", "image_id", "kind"),
    [
        ({GROUP: "web", TEMPLATE: "lt-1"}, "ami-1", "group:web"),
        ({TEMPLATE: "lt-1"}, "ami-1", "template:lt-1"),
        ({"Name": "web"}, "ami-1", "image:ami-1"),
        ({}, "", f"instance:{arn().instance_id}"),
    ],
)
def test_a_cohort_is_the_group_else_the_template_else_the_image(tags: dict[str, str], image_id: str, kind: str) -> None:
    """The most specific attribute counts; an instance without any of them forms its own cohort."""
    assert f"{PLACE}/{kind}" == cohort_of(instance(tags=tags, image_id=image_id))


def test_a_group_and_a_template_of_one_name_are_two_cohorts() -> None:
    """A group and a template may share a name without sharing software."""
    by_group = cohort_of(instance(tags={GROUP: "web"}))
    assert by_group != cohort_of(instance(tags={TEMPLATE: "web"}))
    assert by_group != cohort_of(instance(image_id="web"))


@pytest.mark.parametrize("elsewhere", [{"account": "333333333333"}, {"region": "us-east-1"}, {"region": "cn-north-1"}])
def test_a_cohort_does_not_reach_beyond_its_account_and_region(elsewhere: dict[str, Any]) -> None:
    """A group of the same name elsewhere runs other software."""
    here, there = (cohort_of(instance(arn=each, tags={GROUP: "web"})) for each in (arn(), arn(**elsewhere)))
    assert here != there


@pytest.mark.parametrize(
    ("share", "candidates", "wanted"),
    [(0.1, 1, 1), (0.1, 10, 1), (0.1, 11, 2), (0.1, 20, 2), (0.5, 3, 2), (1.0, 7, 7), (0.001, 40, 1), (0.1, 0, 1)],
)
def test_the_share_is_rounded_up_and_at_least_one(share: float, candidates: int, wanted: int) -> None:
    """Rounding down would leave small cohorts without a canary."""
    assert wanted == canaries_wanted(share, candidates)


@given(percent=st.integers(1, 100), candidates=st.integers(1, 100_000))
def test_the_share_is_exact_whatever_floats_make_of_it(percent: int, candidates: int) -> None:
    """0.07 * 100 is a little more than 7 in floating point, and must still give seven."""
    assert math.ceil(Fraction(percent, 100) * candidates) == canaries_wanted(percent / 100, candidates)


@given(st.permutations([arn(number) for number in range(12)]))
def test_the_order_does_not_depend_on_who_asks(arns: list[InstanceArn]) -> None:
    """Every function puts the same instances in the same order."""
    assert in_order(arn(number) for number in range(12)) == in_order(arns)


def test_the_order_is_not_that_of_the_ids() -> None:
    """Consecutive ids were launched together; canaries must be spread over all of them."""
    by_id = [arn(number) for number in range(50)]
    ordered = in_order(by_id)
    assert set(by_id) == set(ordered)
    firsts = [by_id.index(each) for each in ordered[:10]]
    assert min(firsts) < 15
    assert max(firsts) > 35


@given(st.sets(st.integers(0, 999), min_size=2))
def test_who_joins_or_leaves_does_not_change_the_order_of_the_others(numbers: set[int]) -> None:
    """A replaced canary is replaced by the next instance in order; the other canaries stay."""
    gone, *left = numbers
    assert in_order(map(arn, left)) == [each for each in in_order(map(arn, numbers)) if each != arn(gone)]
