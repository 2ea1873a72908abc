"""What launched an instance, and who manages what launched it: told from tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imdsv2.source.origin import Kind, Origin, origin_of
from imdsv2.source.owner import CLOUDFORMATION, TERRAFORM, Owner, owner_of
from tests.unit.source_builders import OWN_IMAGE, PUBLIC_IMAGE, instance

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = {"aws:autoscaling:groupName": "g-1"}
TEMPLATE = {"aws:ec2launchtemplate:id": "lt-01", "aws:ec2launchtemplate:version": "4"}
STACK = {
    "aws:cloudformation:stack-name": "s-1",
    "aws:cloudformation:logical-id": "L1",
    "aws:cloudformation:stack-id": "x",
}
FLEET = {"aws:ec2:fleet-id": "fleet-01"}
SPOT = {"aws:ec2spot:fleet-request-id": "sfr-01"}
NODE_GROUP = {"eks:cluster-name": "c-1", "eks:nodegroup-name": "n-1", "kubernetes.io/cluster/c-1": "owned"}
KARPENTER = {"karpenter.sh/nodepool": "p-1", "karpenter.k8s.aws/ec2nodeclass": "k-1", "eks:eks-cluster-name": "c-1"}
BEANSTALK = {"elasticbeanstalk:environment-name": "e-1", "elasticbeanstalk:environment-id": "e-abc"}
EMR = {"aws:elasticmapreduce:job-flow-id": "j-1", "aws:elasticmapreduce:instance-group-role": "TASK"}
BATCH_GROUP = {"aws:autoscaling:groupName": "AWSBatch-night-run-asg-0a1b2c3d-0a1b-0c2d-0e3f-0a1b2c3d4e5f"}
TERRAFORM_TAGS = {"ManagedBy": "terraform"}

ORIGINS: list[tuple[Mapping[str, str], Origin]] = [
    (GROUP, Origin(kind=Kind.AUTO_SCALING_GROUP, name="g-1", group="g-1")),
    (GROUP | TEMPLATE | STACK | FLEET, Origin(kind=Kind.AUTO_SCALING_GROUP, name="g-1", group="g-1")),
    (GROUP | {"AmazonECSManaged": ""}, Origin(kind=Kind.ECS_CAPACITY_PROVIDER, name="g-1", group="g-1")),
    (
        GROUP | TEMPLATE | STACK | NODE_GROUP,
        Origin(kind=Kind.EKS_NODE_GROUP, name="n-1", within="c-1", group="g-1"),
    ),
    (GROUP | STACK | BEANSTALK, Origin(kind=Kind.BEANSTALK, name="e-1", group="g-1")),
    (BATCH_GROUP, Origin(kind=Kind.BATCH, name="night-run", group=BATCH_GROUP["aws:autoscaling:groupName"])),
    (GROUP | {"AWSBatchServiceTag": "batch"}, Origin(kind=Kind.BATCH, name="g-1", group="g-1")),
    (KARPENTER | TEMPLATE | FLEET, Origin(kind=Kind.KARPENTER, name="p-1", within="c-1", detail="k-1")),
    ({"karpenter.sh/provisioner-name": "old"}, Origin(kind=Kind.KARPENTER, name="old")),
    (EMR | FLEET | STACK, Origin(kind=Kind.EMR, name="TASK", within="j-1")),
    (SPOT | TEMPLATE, Origin(kind=Kind.SPOT_FLEET, name="sfr-01")),
    (FLEET | TEMPLATE, Origin(kind=Kind.EC2_FLEET, name="fleet-01", template="lt-01")),
    (STACK, Origin(kind=Kind.STACK_INSTANCE, name="L1", within="s-1")),
    (STACK | TEMPLATE, Origin(kind=Kind.STACK_INSTANCE, name="L1", within="s-1", template="lt-01")),
    (TEMPLATE, Origin(kind=Kind.LAUNCH_TEMPLATE, name="lt-01", template="lt-01")),
    (TEMPLATE | TERRAFORM_TAGS, Origin(kind=Kind.LAUNCH_TEMPLATE, name="lt-01", template="lt-01")),
    (TERRAFORM_TAGS, Origin(kind=Kind.TERRAFORM_INSTANCE, name=PUBLIC_IMAGE)),
    ({"Name": "a box"}, Origin(kind=Kind.BY_HAND, name=PUBLIC_IMAGE)),
]


@pytest.mark.parametrize(("tags", "origin"), ORIGINS)
def test_tags_tell_what_launched_an_instance(tags: Mapping[str, str], origin: Origin) -> None:
    """The service nearest to a person counts, although its instances bear the tags of what it uses, too."""
    assert origin == origin_of(instance(tags))


@pytest.mark.parametrize(
    ("principal", "tags", "origin"),
    [
        ("eks.amazonaws.com", KARPENTER, Origin(kind=Kind.EKS_AUTO_MODE, name="c-1", detail="p-1")),
        ("eks.amazonaws.com", {}, Origin(kind=Kind.EKS_AUTO_MODE, name="unknown cluster")),
        ("ecs.amazonaws.com", {"aws:ecs:clusterName": "c-2"}, Origin(kind=Kind.ECS_MANAGED_INSTANCES, name="c-2")),
        ("workspaces.amazonaws.com", TEMPLATE, Origin(kind=Kind.OTHER_SERVICE, name="workspaces.amazonaws.com")),
    ],
)
def test_what_a_service_manages_is_its_own(principal: str, tags: Mapping[str, str], origin: Origin) -> None:
    """EC2 names the service; tags only tell which cluster."""
    assert origin == origin_of(instance(tags, managed_by=principal))


def test_launches_by_hand_are_one_source_for_each_ami() -> None:
    """A person's next launch from it is as the account and the AMI make it."""
    assert origin_of(instance()) == origin_of(instance({"Name": "another"}))
    assert origin_of(instance()) != origin_of(instance(image=OWN_IMAGE))


KEYS = st.sampled_from(sorted({key for tags, _ in ORIGINS for key in tags}))


@example({"aws:elasticmapreduce:job-flow-id": "j-1", "aws:elasticmapreduce:instance-group-role": ""})
@given(st.dictionaries(KEYS, st.text(max_size=30), max_size=8))
def test_whatever_the_tags_there_is_one_origin(tags: dict[str, str]) -> None:
    """Empty values included; equal tags are one source."""
    origin = origin_of(instance(tags))
    assert origin == origin_of(instance(tags))
    assert origin.name


@pytest.mark.parametrize(
    "tags",
    [
        {"ManagedBy": "Terraform"},
        {"managed-by": "terraform"},
        {"managed_by": "OpenTofu"},
        {"Managed By": "Terragrunt"},
        {"provisioner": "hashicorp/terraform 1.9"},
        {"IaC": "terraform"},
        {"terraform": "true"},
        {"Terraform": "yes"},
        {"terraform-module": "network"},
        {"tf_workspace": "prod"},
        {"TerraformWorkspace": "prod"},
    ],
)
def test_terraform_is_known_by_its_usual_tags(tags: Mapping[str, str]) -> None:
    """It sets none of its own: people do, each in their way."""
    assert Owner(manager=TERRAFORM) == owner_of(tags)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"ManagedBy": "ops"},
        {"terraform": "false"},
        {"terraform": ""},
        {"team": "terraform"},
        {"ManagedBy": "terraformers of Mars, a team"},
        {"Name": "terraform-runner"},
    ],
)
def test_other_tags_name_no_owner(tags: Mapping[str, str]) -> None:
    """A word alone is no proof."""
    assert owner_of(tags) is None


def test_a_stack_owns_what_bears_its_tags() -> None:
    """With the logical id, by which a person finds it in the template."""
    owner = owner_of(STACK | TERRAFORM_TAGS)
    assert Owner(manager=CLOUDFORMATION, stack="s-1", logical_id="L1") == owner
    assert "CloudFormation stack s-1, logical id L1" == owner.said


@pytest.mark.parametrize("tags", [NODE_GROUP, BEANSTALK, {"AWSBatchServiceTag": "batch"}])
def test_what_a_service_made_for_itself_belongs_to_the_service(tags: Mapping[str, str]) -> None:
    """Also where the service used a stack to make it."""
    owner = owner_of({**tags, **STACK})
    assert owner is not None
    assert not {CLOUDFORMATION, TERRAFORM} & {owner.manager}
    assert owner.said.startswith("the AWS service ")
