"""Findings about launch templates that a service made for itself: judged as what the service launches with them, and changed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.source_name import Named, SourceName
from imdsv2.source.assembly import Source, assemble
from imdsv2.source.launching import Group, Ref
from imdsv2.source.named import named_source, unused
from imdsv2.source.origin import TEMPLATE_TAG, VERSION_TAG, origin_of
from imdsv2.source.owner import owner_of
from imdsv2.source.remedies import remedies_of
from imdsv2.source.verdict import SourceVerdict, Word, judge
from tests.unit.source_builders import PLACE, TEMPLATE, found, instance, template, versions, with_template

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance

NAME = SourceName(PLACE.partition, PLACE.region, PLACE.account, Named.TEMPLATE_DEFAULT, TEMPLATE)
LAUNCHED = {TEMPLATE_TAG: TEMPLATE, VERSION_TAG: "2"}
NODES = {"eks:cluster-name": "green", "eks:nodegroup-name": "arm"}
JOBS = "nightly-asg-1b2c3d4e-0a1b-0c2d-0e3f-0a1b2c3d4e5f"
STACK_OF_BEANSTALK = {
    "aws:cloudformation:stack-name": "awseb-e-abc-stack",
    "aws:cloudformation:logical-id": "AWSEBEC2LaunchTemplate",
}
# What the instances bear, the group behind them, what the template bears, and the language of the remedy.
MADE: dict[str, tuple[dict[str, str], str, dict[str, str], str]] = {
    "eks_node_group": (NODES, "eks-arm-1", NODES, "eksctl"),
    "beanstalk_environment": (
        {"elasticbeanstalk:environment-name": "shop"},
        "awseb-e-abc",
        {"elasticbeanstalk:environment-name": "shop", **STACK_OF_BEANSTALK},
        "beanstalk",
    ),
    "batch_compute_environment": ({"AWSBatchServiceTag": "batch"}, JOBS, {"AWSBatchServiceTag": "batch"}, "aws-cli"),
    "karpenter_node_pool": (
        {"karpenter.sh/nodepool": "spot", "karpenter.k8s.aws/ec2nodeclass": "default"},
        "",
        {"karpenter.k8s.aws/cluster": "green"},
        "karpenter",
    ),
}


def named(instances: list[Instance], tags: dict[str, str], group: str = "") -> Source:
    """What a finding about the template names."""
    read: dict[str, Any] = {"templates": {TEMPLATE: template(name="made", tags=tags)}, "versions": versions(v2={})}
    if group:
        read["groups"] = {group: Group(name=group, arn=f"arn:{group}", refs=(Ref(id=TEMPLATE, version="2"),))}
    origins: dict[Any, list[Instance]] = {}
    for each in instances:
        origins.setdefault(origin_of(each), []).append(each)
    everything = found(**read)
    return named_source(NAME, PLACE, assemble(PLACE, origins, everything), everything)


@pytest.mark.parametrize("kind", MADE)
def test_it_is_changed_by_the_service_s_own_setting(kind: str) -> None:
    """A version of the template would be undone by the service, or be nobody's."""
    tags, group, of_template, language = MADE[kind]
    marked = tags | LAUNCHED | ({"aws:autoscaling:groupName": group} if group else {})
    source = named([instance(marked), instance(marked)], of_template, group)
    assert (kind, 2) == (source.origin.kind, len(source.instances))
    words = {each.arn: Word(decision="enforce", reason="unused") for each in source.instances}
    assert SourceVerdict.FIX_SOURCE is judge(source, words).verdict
    remedies = remedies_of(source)
    assert language == remedies[0].language
    assert not [each for each in remedies if "create-launch-template-version" in each.text]
    assert not [each for each in remedies if "modify-launch-template" in each.text]


@pytest.mark.parametrize("kind", MADE)
def test_use_on_one_of_its_instances_holds_it(kind: str) -> None:
    """As it holds the node group or environment itself."""
    tags, group, of_template, _ = MADE[kind]
    marked = tags | LAUNCHED | ({"aws:autoscaling:groupName": group} if group else {})
    source = named([instance(marked), instance(marked)], of_template, group)
    words = {source.instances[0].arn: Word(decision="hold", reason="v1_in_use")}
    assert SourceVerdict.HOLD is judge(source, words).verdict


def test_two_node_pools_of_one_node_class_are_one_source_of_it() -> None:
    """Karpenter makes one template for both; all of their nodes count."""
    pools = [instance({"karpenter.sh/nodepool": name} | LAUNCHED) for name in ("spot", "on-demand")]
    assert {each.arn for each in pools} == {each.arn for each in named(pools, {}).instances}


@pytest.mark.parametrize("kind", MADE)
def test_one_that_has_launched_nothing_that_exists_is_left_to_the_service(kind: str) -> None:
    """Whoever deleted it would break what the service launches next."""
    source = named([], MADE[kind][2])
    assert [] == remedies_of(source)
    judged = unused(source, NAME.kind)
    assert judged is not None
    assert SourceVerdict.HOLD is judged.verdict
    assert "neither change nor delete it" in judged.explanation


def test_whoever_launches_from_it_beside_the_service_is_told_no_command_that_changes_it() -> None:
    """It is the service's, also where a group of somebody else's names it."""
    assert [] == remedies_of(with_template(template_tags=NODES))
    (remedy,) = [
        each for each in remedies_of(with_template(template_tags={"team": "web"})) if each.language == "aws-cli"
    ]
    assert "create-launch-template-version" in remedy.text


def test_karpenter_marks_what_it_makes() -> None:
    """The tag by which Karpenter finds its templates again; that by which it finds networks is everybody's."""
    owner = owner_of({"karpenter.k8s.aws/cluster": "green"})
    assert "Karpenter" == (owner and owner.said)
    assert owner_of({"karpenter.sh/discovery": "green"}) is None
