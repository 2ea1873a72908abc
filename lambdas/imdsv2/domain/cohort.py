"""Cohorts: instances that run the same software, and the order in which they become canaries."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2.domain.instance import Instance, InstanceArn, Placed

_TEMPLATE_TAG = "aws:ec2launchtemplate:id"
_TEMPLATE_VERSION_TAG = "aws:ec2launchtemplate:version"
"""Its number, also where the launch asked for `$Latest` or `$Default`."""

_SOURCES = (
    ("group", ("aws:autoscaling:groupName",)),
    ("nodegroup", ("eks:cluster-name", "eks:nodegroup-name")),
    ("nodepool", ("aws:eks:cluster-name", "karpenter.sh/nodepool")),
    ("nodepool", ("eks:eks-cluster-name", "karpenter.sh/nodepool")),
    ("nodepool", ("karpenter.sh/nodepool",)),
    ("nodepool", ("karpenter.sh/provisioner-name",)),
    ("fleet", ("aws:ec2:fleet-id",)),
    ("spotfleet", ("aws:ec2spot:fleet-request-id",)),
    ("environment", ("elasticbeanstalk:environment-id",)),
    ("emr", ("aws:elasticmapreduce:job-flow-id", "aws:elasticmapreduce:instance-group-role")),
    ("batch", ("aws:batch:compute-environment",)),
)
"""What launches instances, the nearest first, by the tags that tell it. Instances of ECS capacity providers, Elastic Beanstalk and most
of AWS Batch belong to an Auto Scaling group of their own."""
KINDS = {
    "tag": "instances tagged",
    "group": "Auto Scaling group",
    "nodegroup": "EKS node group",
    "nodepool": "Karpenter node pool",
    "fleet": "EC2 Fleet",
    "spotfleet": "Spot Fleet",
    "environment": "Elastic Beanstalk environment",
    "emr": "EMR cluster",
    "batch": "Batch compute environment",
    "template": "launch template",
    "image": "AMI",
    "instance": "instance",
}
_EDITION = re.compile(r"@(lt-[0-9a-f]+(\+\d+)?\+?|\d+\+?)?(ami-[0-9a-f]+)?$")
"""The last part of a key: launch template, version and AMI, as far as they are known."""
_VERSION = re.compile(r"@lt-[0-9a-f]+\+\d+")
_LAUNCH_AS_THE_TEMPLATE_SAYS = frozenset({"group", "nodegroup", "fleet", "spotfleet", "batch"})
"""Sources whose instances all get the user data of the launch template; who launches by hand may give others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Instances that run the same software, with their canaries.

    ``wanted``: how many canaries there are to be. ``broken_by``, ``broken_at``: the instance whose software
    broke, and when; that holds the cohort until a person has cleared that instance since. ``unexplained``: nobody
    knows yet whether it broke. ``denied_at``, ``denied_why``, ``denied_reason``: when, with which words, and with which reason of a verdict
    the organisation last forbade the change to one of them, and so to all.
    """

    key: str
    version: int = 0
    canaries: tuple[InstanceArn, ...] = ()
    wanted: int = 0
    opened_at: datetime | None = None
    broken_by: InstanceArn | None = None
    broken_at: datetime | None = None
    unexplained: bool = False
    denied_at: datetime | None = None
    denied_why: str | None = None
    denied_reason: str | None = None

    def renewed(self) -> Cohort:
        """The cohort without canaries and breakage. What the organisation forbids stays forbidden."""
        return Cohort(
            key=self.key,
            version=self.version,
            denied_at=self.denied_at,
            denied_why=self.denied_why,
            denied_reason=self.denied_reason,
        )

    def is_held(self, cleared_at: datetime | None) -> bool:
        """Whether what broke holds it. ``cleared_at``: when a person last cleared the instance that broke."""
        if self.broken_by is None or self.broken_at is None:
            return False
        return cleared_at is None or cleared_at < self.broken_at


def cohort_of(instance: Instance, *, tag: str | None = None, own_image: bool = True) -> str | None:
    """The cohort key: what launched it, with its launch template's version and its AMI, within one account and Region.

    What launched it is the nearest of the sources whose tags AWS or Karpenter set; else the launch template; else the AMI, if it is
    the account's own: of what runs on somebody else's AMI nothing is known, and it is in no cohort.

    Args:
        instance: as EC2 shows it.
        tag: a tag that names the cohort in place of all that (the policy's ``cohort_tag``).
        own_image: whether its AMI is the account's own, as far as is known.
    """
    arn, tags = instance.arn, instance.tags
    place = f"{arn.partition}/{arn.account}/{arn.region}"
    if tag is not None and tags.get(tag):
        return f"{place}/tag:{tags[tag]}"
    template, version = tags.get(_TEMPLATE_TAG, ""), tags.get(_TEMPLATE_VERSION_TAG, "")
    image = instance.image_id
    if source := _source_of(tags):
        kind, name = source
        # Karpenter makes a launch template for each few nodes.
        made_from = [] if kind == "nodepool" else [template, version]
        return f"{place}/{kind}:{name}{_edition(*made_from, image)}"
    if template:
        return f"{place}/template:{template}{_edition(version, image)}"
    return image_key(arn, image) if image and own_image else None


def image_key(place: Placed, image: str) -> str:
    """The key of what runs on an AMI in one account and Region."""
    return f"{place.partition}/{place.account}/{place.region}/image:{image}"


def is_named_by_image(instance: Instance, tag: str | None) -> bool:
    """Whether only its AMI can say what software it runs."""
    tags = instance.tags
    is_named = (tag is not None and tags.get(tag)) or tags.get(_TEMPLATE_TAG) or _source_of(tags)
    return not is_named and bool(instance.image_id)


def lineage_of(key: str) -> str:
    """The cohort's source, whatever version it launches: what one version is known to need holds the next."""
    return _EDITION.sub("", key)


def describe_cohort(key: str) -> str:
    """A cohort as people know it."""
    kind = kind_of(key)
    edition = _EDITION.search(key)
    made_from = edition[0].removeprefix("@").replace("+", ", ") if edition else ""
    return f"{KINDS.get(kind, kind)} {source_name(key)}" + (f" ({made_from})" if made_from else "")


def kind_of(key: str) -> str:
    """What makes a cohort: one of `KINDS`."""
    return key.split("/", 3)[-1].partition(":")[0]


def source_name(key: str) -> str:
    """The name of a cohort's source, without its kind, version and AMI."""
    return lineage_of(key).split("/", 3)[-1].partition(":")[2]


def shares_user_data(key: str) -> bool:
    """Whether all members of a cohort are known to have the same user data: one version of a launch template, by a source that
    cannot override it."""
    return kind_of(key) in _LAUNCH_AS_THE_TEMPLATE_SAYS and _VERSION.search(key) is not None


def filter_of(instance: Instance, tag: str | None) -> tuple[str, str]:
    """The filter of DescribeInstances, name and value, that shows all from an instance's source, and perhaps others.

    Args:
        instance: a member of the cohort.
        tag: the policy's ``cohort_tag``.
    """
    tags = instance.tags
    if tag is not None and tags.get(tag):
        return f"tag:{tag}", tags[tag]
    for _, names in _SOURCES:
        if all(tags.get(name) for name in names):
            return f"tag:{names[-1]}", tags[names[-1]]
    if tags.get(_TEMPLATE_TAG):
        return f"tag:{_TEMPLATE_TAG}", tags[_TEMPLATE_TAG]
    return "image-id", instance.image_id


def _source_of(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """The nearest source that tags tell: its kind and name."""
    for kind, names in _SOURCES:
        values = [tags.get(name, "") for name in names]
        if all(values):
            return kind, "/".join(values)
    return None


def _edition(*parts: str) -> str:
    known = "+".join(part for part in parts if part)
    return f"@{known}" if known else ""


def canaries_wanted(share: float, candidates: int, *, unseen: int = 0) -> int:
    """The number of canaries among a cohort's enforceable instances: the share, rounded up, at least one. ``unseen``: instances
    that may be enforceable too."""
    return max(1, math.ceil(round(share * (candidates + unseen), 9)))


def in_order(arns: Iterable[InstanceArn]) -> list[InstanceArn]:
    """The order in which instances become canaries: deterministic, and spread evenly by a hash of the id."""
    return sorted(arns, key=lambda arn: hashlib.sha256(arn.instance_id.encode()).digest())
