"""Cohorts: which instances run the same software, how many of them are canaries, and in which order they go."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.cohort import (
    canaries_wanted,
    cohort_of,
    describe_cohort,
    filter_of,
    in_order,
    is_named_by_image,
    kind_of,
    lineage_of,
    source_name,
)
from tests.unit.builders import ACCOUNT, REGION, arn, instance

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn

GROUP, TEMPLATE, VERSION = "aws:autoscaling:groupName", "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"
FROM_TEMPLATE = {TEMPLATE: "lt-0a1b", VERSION: "7"}
PLACE = f"aws/{ACCOUNT}/{REGION}"


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        (FROM_TEMPLATE | {GROUP: "web"}, "group:web@lt-0a1b+7+ami-0c"),
        ({GROUP: "web"}, "group:web@ami-0c"),
        (
            FROM_TEMPLATE | {GROUP: "eks-1", "eks:cluster-name": "blue", "eks:nodegroup-name": "gpu"},
            "group:eks-1@lt-0a1b+7+ami-0c",
        ),
        (
            FROM_TEMPLATE | {"eks:cluster-name": "blue", "eks:nodegroup-name": "gpu"},
            "nodegroup:blue/gpu@lt-0a1b+7+ami-0c",
        ),
        (
            FROM_TEMPLATE | {"aws:eks:cluster-name": "blue", "karpenter.sh/nodepool": "spot"},
            "nodepool:blue/spot@ami-0c",
        ),
        (FROM_TEMPLATE | {"karpenter.sh/nodepool": "spot"}, "nodepool:spot@ami-0c"),
        (FROM_TEMPLATE | {"aws:ec2:fleet-id": "fleet-1"}, "fleet:fleet-1@lt-0a1b+7+ami-0c"),
        ({"elasticbeanstalk:environment-id": "e-1"}, "environment:e-1@ami-0c"),
        (
            {"aws:elasticmapreduce:job-flow-id": "j-1", "aws:elasticmapreduce:instance-group-role": "CORE"},
            "emr:j-1/CORE@ami-0c",
        ),
        (FROM_TEMPLATE | {"aws:batch:compute-environment": "night"}, "batch:night@lt-0a1b+7+ami-0c"),
        (FROM_TEMPLATE, "template:lt-0a1b@7+ami-0c"),
        ({"Name": "web"}, "image:ami-0c"),
    ],
)
def test_a_cohort_is_its_nearest_source_with_template_version_and_image(tags: dict[str, str], kind: str) -> None:
    """Else the launch template with its version, else the AMI. Karpenter's generated templates tell nothing."""
    assert f"{PLACE}/{kind}" == cohort_of(instance(tags=tags, image_id="ami-0c"))


@pytest.mark.parametrize(
    "other",
    [
        {"tags": FROM_TEMPLATE | {GROUP: "web", VERSION: "8"}, "image_id": "ami-0c"},
        {"tags": FROM_TEMPLATE | {GROUP: "web"}, "image_id": "ami-0d"},
        {"tags": FROM_TEMPLATE | {GROUP: "web", TEMPLATE: "lt-0a1c"}, "image_id": "ami-0c"},
    ],
    ids=["version", "image", "template"],
)
def test_a_new_version_or_image_is_a_new_cohort_of_the_same_lineage(other: dict[str, Any]) -> None:
    """It has canaries of its own; what an earlier one is known to need holds it all the same."""
    one = cohort_of(instance(tags=FROM_TEMPLATE | {GROUP: "web"}, image_id="ami-0c"))
    two = cohort_of(instance(**other))
    assert one is not None
    assert two is not None
    assert one != two
    assert {f"{PLACE}/group:web"} == {lineage_of(one), lineage_of(two)}


@pytest.mark.parametrize(
    ("key", "lineage"),
    [
        ("template:lt-0a1b@7+ami-0c", "template:lt-0a1b"),
        ("group:web@ami-0c", "group:web"),
        ("group:web", "group:web"),
        ("group:web@lt-0a1b+7+ami-0c", "group:web"),
        ("group:me@home@lt-0a1b+ami-0c", "group:me@home"),
        ("image:ami-0c", "image:ami-0c"),
        ("tag:billing@night", "tag:billing@night"),
    ],
)
def test_the_lineage_is_the_key_without_version_and_image(key: str, lineage: str) -> None:
    """Keys of earlier releases had no more than that: what holds them goes on holding."""
    assert f"{PLACE}/{lineage}" == lineage_of(f"{PLACE}/{key}")


def test_a_tag_of_the_policy_names_the_cohort() -> None:
    """People know best what runs the same software."""
    tags = FROM_TEMPLATE | {GROUP: "web", "app": "billing/night"}
    assert f"{PLACE}/tag:billing/night" == cohort_of(instance(tags=tags), tag="app")
    assert cohort_of(instance(tags=tags)) == cohort_of(instance(tags=tags), tag="absent")
    assert cohort_of(instance(tags=tags | {"app": ""}), tag="app") == cohort_of(instance(tags=tags))


@pytest.mark.parametrize(("image", "own"), [("ami-0c", False), ("", True)])
def test_what_runs_on_an_image_of_others_is_in_no_cohort(image: str, own: bool) -> None:
    """Of two instances of a public AMI nothing says that they run the same software."""
    assert cohort_of(instance(tags={"Name": "web"}, image_id=image), own_image=own) is None


@pytest.mark.parametrize(
    ("tags", "by_image"),
    [({}, True), ({"app": "x"}, False), ({GROUP: "web"}, False), (FROM_TEMPLATE, False), ({"Name": "web"}, True)],
)
def test_an_image_is_asked_about_only_where_nothing_else_names_the_software(
    tags: dict[str, str], by_image: bool
) -> None:
    """Each question is a call."""
    assert by_image is is_named_by_image(instance(tags=tags, image_id="ami-0c"), "app")


@pytest.mark.parametrize(
    ("tags", "tag", "shown_by"),
    [
        (FROM_TEMPLATE | {GROUP: "web"}, None, (f"tag:{GROUP}", "web")),
        (FROM_TEMPLATE | {GROUP: "web", "app": "x"}, "app", ("tag:app", "x")),
        (
            {"aws:eks:cluster-name": "blue", "karpenter.sh/nodepool": "spot"},
            None,
            ("tag:karpenter.sh/nodepool", "spot"),
        ),
        (FROM_TEMPLATE, "app", (f"tag:{TEMPLATE}", "lt-0a1b")),
        ({}, None, ("image-id", "ami-0c")),
    ],
)
def test_one_filter_shows_all_from_a_source(tags: dict[str, str], tag: str | None, shown_by: tuple[str, str]) -> None:
    """And perhaps others, whose keys tell them apart."""
    assert shown_by == filter_of(instance(tags=tags, image_id="ami-0c"), tag)


@pytest.mark.parametrize(
    ("key", "kind", "name"),
    [
        ("group:me@home/x@lt-0a1b+7+ami-0c", "group", "me@home/x"),
        ("nodepool:blue/spot@ami-0c", "nodepool", "blue/spot"),
        ("image:ami-0c", "image", "ami-0c"),
    ],
)
def test_a_key_tells_kind_and_name_of_the_source(key: str, kind: str, name: str) -> None:
    """What Auto Scaling is asked about is a name as it was given."""
    assert (kind, name) == (kind_of(f"{PLACE}/{key}"), source_name(f"{PLACE}/{key}"))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("group:web@lt-0a1b+7+ami-0c", "Auto Scaling group web (lt-0a1b, 7, ami-0c)"),
        ("group:web", "Auto Scaling group web"),
        ("nodepool:blue/spot@ami-0c", "Karpenter node pool blue/spot (ami-0c)"),
        ("tag:billing", "instances tagged billing"),
        ("image:ami-0c", "AMI ami-0c"),
    ],
)
def test_people_read_of_a_cohort_as_they_know_it(key: str, words: str) -> None:
    """The key itself is for commands."""
    assert words == describe_cohort(f"{PLACE}/{key}")


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
