"""Cohorts: instances that run the same software, and the order in which they become canaries."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2.domain.instance import Instance, InstanceArn

_GROUP_TAG = "aws:autoscaling:groupName"
_TEMPLATE_TAG = "aws:ec2launchtemplate:id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Instances that run the same software, with their canaries.

    ``wanted``: how many canaries there are to be. ``broken_by``, ``broken_at``: the instance whose software
    broke, and when; that holds the cohort until a person has cleared that instance since. ``unexplained``: nobody
    knows yet whether it broke. ``denied_at``, ``denied_why``: when, and with which words, the organisation last forbade the change
    to one of them, and so to all.
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

    def renewed(self) -> Cohort:
        """The cohort without canaries and breakage. What the organisation forbids stays forbidden."""
        return Cohort(key=self.key, version=self.version, denied_at=self.denied_at, denied_why=self.denied_why)

    def is_held(self, cleared_at: datetime | None) -> bool:
        """Whether what broke holds it. ``cleared_at``: when a person last cleared the instance that broke."""
        if self.broken_by is None or self.broken_at is None:
            return False
        return cleared_at is None or cleared_at < self.broken_at


def cohort_of(instance: Instance) -> str:
    """The cohort key: Auto Scaling group, else launch template, else AMI, within one account and Region.

    AWS sets both tags itself. An instance with none of the three is its own cohort.
    """
    arn, tags = instance.arn, instance.tags
    if group := tags.get(_GROUP_TAG):
        kind = f"group:{group}"
    elif template := tags.get(_TEMPLATE_TAG):
        kind = f"template:{template}"
    elif instance.image_id:
        kind = f"image:{instance.image_id}"
    else:
        kind = f"instance:{arn.instance_id}"
    return f"{arn.partition}/{arn.account}/{arn.region}/{kind}"


def canaries_wanted(share: float, candidates: int, *, unseen: int = 0) -> int:
    """The number of canaries among a cohort's enforceable instances: the share, rounded up, at least one. ``unseen``: instances
    that may be enforceable too."""
    return max(1, math.ceil(round(share * (candidates + unseen), 9)))


def in_order(arns: Iterable[InstanceArn]) -> list[InstanceArn]:
    """The order in which instances become canaries: deterministic, and spread evenly by a hash of the id."""
    return sorted(arns, key=lambda arn: hashlib.sha256(arn.instance_id.encode()).digest())
