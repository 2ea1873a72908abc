"""A Region that AWS does not have is refused wherever people name one, with the one that was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from imdsv2.domain.policy import Policy
from imdsv2.domain.regions import REGIONS, unknown_region
from imdsv2.errors import InvalidRequest, PolicyRefused, RemediationError, TargetRefused
from imdsv2.people.fields import instance
from imdsv2.people.request import parse
from imdsv2.sweep.order import parse_order

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = "222222222222"
MISTYPED = {
    "eu-wset-1": "eu-west-1",
    "us-eats-2": "us-east-2",
    "ap-southest-2": "ap-southeast-2",
    "us-gov-wst-1": "us-gov-west-1",
    "eu-central-11": "eu-central-1",
    "cn-nort-1": "cn-north-1",
    "eu-west1": "eu-west-1",
}
PEOPLE = ["approve", "refuse", "clear", "undo"]


def test_they_are_those_of_the_sdk() -> None:
    """A new SDK with a new Region fails here, and the table is to be completed."""
    loader: Any = botocore.session.Session().get_component("data_loader")
    partitions = loader.load_data("partitions")["partitions"]
    known = {region for each in partitions for region in each["regions"] if not region.endswith("-global")}
    assert known == REGIONS


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_each_region_may_be_named(region: str) -> None:
    """In the policy, in a sweep and in a command."""
    assert unknown_region(region) is None
    assert frozenset({region}) == Policy.from_document({"exclude_regions": [region]}).exclude_regions
    assert (region,) == parse_order({"regions": [region]}).regions
    parse({"approve": {"account": ACCOUNT, "region": region}})


def _by_policy(region: str) -> object:
    return Policy.from_document({"exclude_regions": ["eu-west-1", region]})


def _by_sweep(region: str) -> object:
    return parse_order({"regions": ["eu-west-1", region], "dry_run": False})


def _by_command(steer: str) -> Callable[[str], object]:
    return lambda region: parse({steer: {"account": ACCOUNT, "region": region}})


def _by_target(region: str) -> object:
    return parse(
        {"release": {"targets": [{"account": ACCOUNT, "region": region, "instance_id": "i-0123456789abcdef0"}]}}
    )


def _by_question(name: str, **more: Any) -> Callable[[str], object]:
    return lambda region: parse({name: {"account": ACCOUNT, "region": region, **more}})


def _by_place(region: str) -> object:
    return parse({"find": {"places": [{"account": ACCOUNT, "region": region}]}})


QUESTIONS = {
    "sources": _by_question("sources"),
    "sources, to be changed": _by_question("sources", fix=True),
    "images": _by_question("images", image_ids=["ami-0123456789abcdef0"]),
    "find": _by_question("find"),
    "find in places": _by_place,
    "graduate": _by_question("graduate"),
    "guardrails": _by_question("guardrails"),
}
WAYS = (
    QUESTIONS
    | {"policy": _by_policy, "sweep": _by_sweep, "target": _by_target}
    | {each: _by_command(each) for each in PEOPLE}
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("region", MISTYPED)
def test_a_mistyped_one_is_refused_with_the_likely_one(way: str, region: str) -> None:
    """Accepted, it would do nothing, in silence."""
    with pytest.raises((PolicyRefused, InvalidRequest)) as refused:
        WAYS[way](region)
    assert f"{region} is no Region that this version knows; did you mean {MISTYPED[region]}?" in str(refused.value)


def test_capitals_are_no_reason_to_know_none() -> None:
    """As whoever reads the name in a console may write it."""
    with pytest.raises(
        InvalidRequest, match=r"EU-West-1 is no Region that this version knows; did you mean eu-west-1\?"
    ):
        parse({"sources": {"account": ACCOUNT, "region": "EU-West-1"}})


def test_what_is_like_none_is_refused_without_a_guess() -> None:
    """A wrong proposal is worse than none."""
    with pytest.raises(RemediationError) as refused:
        Policy.from_document({"exclude_regions": ["zz-qqqqqq-99"]})
    assert str(refused.value).endswith("zz-qqqqqq-99 is no Region that this version knows")


def test_one_target_of_an_order_is_refused_for_itself() -> None:
    """The others are judged."""
    read = instance("arn:aws:ec2:eu-wset-1:222222222222:instance/i-0123456789abcdef0")
    assert isinstance(read, TargetRefused)
    assert "eu-west-1" in read.problem
