"""What launched an instance, from the tags and the manager that EC2 shows of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imdsv2.source.owner import is_of_terraform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2.domain.instance import Instance

GROUP_TAG = "aws:autoscaling:groupName"
TEMPLATE_TAG = "aws:ec2launchtemplate:id"
VERSION_TAG = "aws:ec2launchtemplate:version"
STACK_TAG = "aws:cloudformation:stack-name"
LOGICAL_ID_TAG = "aws:cloudformation:logical-id"

POOL_TAG = "karpenter.sh/nodepool"

_POOL_TAGS = (POOL_TAG, "karpenter.sh/provisioner-name")
_CLUSTER_TAGS = ("eks:cluster-name", "aws:eks:cluster-name", "eks:eks-cluster-name", "alpha.eksctl.io/cluster-name")
_CLUSTER_PREFIX = "kubernetes.io/cluster/"
_BATCH_GROUP = re.compile(
    r"(?P<prefix>AWSBatch-)?(?P<environment>.+)-asg-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII
)
"""AWS Batch names its groups after the compute environment. No tag names it."""


class Kind(StrEnum):
    """The kinds of source. The value is what answers call them."""

    EKS_AUTO_MODE = "eks_auto_mode"
    ECS_MANAGED_INSTANCES = "ecs_managed_instances"
    OTHER_SERVICE = "aws_service"
    BEANSTALK = "beanstalk_environment"
    EMR = "emr_instance_group"
    KARPENTER = "karpenter_node_pool"
    EKS_NODE_GROUP = "eks_node_group"
    BATCH = "batch_compute_environment"
    ECS_CAPACITY_PROVIDER = "ecs_capacity_provider"
    AUTO_SCALING_GROUP = "auto_scaling_group"
    SPOT_FLEET = "spot_fleet"
    EC2_FLEET = "ec2_fleet"
    STACK_INSTANCE = "cloudformation_instance"
    LAUNCH_TEMPLATE = "launch_template"
    TERRAFORM_INSTANCE = "terraform_instance"
    BY_HAND = "by_hand"


MANAGED = frozenset({Kind.EKS_AUTO_MODE, Kind.ECS_MANAGED_INSTANCES, Kind.OTHER_SERVICE})
"""Kinds whose metadata options only an AWS service can set."""


FLEETS = frozenset({Kind.EC2_FLEET, Kind.SPOT_FLEET})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Origin:
    """What launched an instance. Equal origins are one source.

    Args:
        kind: the kind of source.
        name: its name or id, as the service that owns it shows it.
        within: what contains it: a cluster, an EMR cluster, a stack; "" if nothing does.
        group: the Auto Scaling group behind it, or "".
        template: the launch template that the instance was launched from directly, or "".
        detail: what a remedy needs besides: a Karpenter node class, the role of an EMR instance group.
    """

    kind: Kind
    name: str
    within: str = ""
    group: str = ""
    template: str = ""
    detail: str = ""


def origin_of(instance: Instance) -> Origin:
    """What launched an instance. The service nearest to a person wins: a Beanstalk environment also has a group, and a group's
    instances also bear a fleet and a template. An instance that nothing else explains was launched by hand: its AMI names it."""
    tags = instance.tags
    if instance.managed_by:
        return _managed(instance.managed_by, tags)
    for question in _QUESTIONS:
        if found := question(tags):
            return found
    kind = Kind.TERRAFORM_INSTANCE if is_of_terraform(tags) else Kind.BY_HAND
    return Origin(kind=kind, name=instance.image_id or instance.arn.instance_id)


def _managed(principal: str, tags: Mapping[str, str]) -> Origin:
    cluster = _cluster(tags)
    if principal.startswith("eks."):
        return Origin(kind=Kind.EKS_AUTO_MODE, name=cluster or "unknown cluster", detail=_first(tags, _POOL_TAGS))
    if principal.startswith("ecs."):
        return Origin(kind=Kind.ECS_MANAGED_INSTANCES, name=tags.get("aws:ecs:clusterName") or "unknown cluster")
    return Origin(kind=Kind.OTHER_SERVICE, name=principal)


def _beanstalk(tags: Mapping[str, str]) -> Origin | None:
    name = tags.get("elasticbeanstalk:environment-name")
    return Origin(kind=Kind.BEANSTALK, name=name, group=tags.get(GROUP_TAG, "")) if name else None


def _emr(tags: Mapping[str, str]) -> Origin | None:
    cluster = tags.get("aws:elasticmapreduce:job-flow-id")
    role = tags.get("aws:elasticmapreduce:instance-group-role") or "unknown role"
    return Origin(kind=Kind.EMR, name=role, within=cluster) if cluster else None


def _karpenter(tags: Mapping[str, str]) -> Origin | None:
    pool = _first(tags, _POOL_TAGS)
    if not pool:
        return None
    node_class = tags.get("karpenter.k8s.aws/ec2nodeclass", "")
    return Origin(kind=Kind.KARPENTER, name=pool, within=_cluster(tags), detail=node_class)


def _node_group(tags: Mapping[str, str]) -> Origin | None:
    name = tags.get("eks:nodegroup-name")
    if not name:
        return None
    return Origin(kind=Kind.EKS_NODE_GROUP, name=name, within=_cluster(tags), group=tags.get(GROUP_TAG, ""))


def _group(tags: Mapping[str, str]) -> Origin | None:
    name = tags.get(GROUP_TAG)
    if not name:
        return None
    batch = _BATCH_GROUP.fullmatch(name)
    if tags.get("AWSBatchServiceTag") == "batch" or (batch and batch["prefix"]):
        return Origin(kind=Kind.BATCH, name=batch["environment"] if batch else name, group=name)
    kind = Kind.ECS_CAPACITY_PROVIDER if "AmazonECSManaged" in tags else Kind.AUTO_SCALING_GROUP
    return Origin(kind=kind, name=name, group=name)


def _spot_fleet(tags: Mapping[str, str]) -> Origin | None:
    request = tags.get("aws:ec2spot:fleet-request-id")
    return Origin(kind=Kind.SPOT_FLEET, name=request) if request else None


def _fleet(tags: Mapping[str, str]) -> Origin | None:
    fleet = tags.get("aws:ec2:fleet-id")
    return Origin(kind=Kind.EC2_FLEET, name=fleet, template=tags.get(TEMPLATE_TAG, "")) if fleet else None


def _stack(tags: Mapping[str, str]) -> Origin | None:
    stack, logical_id = tags.get(STACK_TAG), tags.get(LOGICAL_ID_TAG)
    if not stack or not logical_id:
        return None
    return Origin(kind=Kind.STACK_INSTANCE, name=logical_id, within=stack, template=tags.get(TEMPLATE_TAG, ""))


def _template(tags: Mapping[str, str]) -> Origin | None:
    template = tags.get(TEMPLATE_TAG)
    return Origin(kind=Kind.LAUNCH_TEMPLATE, name=template, template=template) if template else None


_QUESTIONS: tuple[Callable[[Mapping[str, str]], Origin | None], ...] = (
    *(_beanstalk, _emr, _karpenter, _node_group, _group),
    *(_spot_fleet, _fleet, _stack, _template),
)
"""Asked in this order; the first answer counts."""


def _cluster(tags: Mapping[str, str]) -> str:
    named = _first(tags, _CLUSTER_TAGS)
    return named or next(
        (key.removeprefix(_CLUSTER_PREFIX) for key in sorted(tags) if key.startswith(_CLUSTER_PREFIX)), ""
    )


def _first(tags: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((tags[key] for key in keys if tags.get(key)), "")
