"""Cohorts: instances that run the same software, and which of them go first."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.model import Instance, InstanceArn

_GROUP_TAG = "aws:autoscaling:groupName"
_TEMPLATE_TAG = "aws:ec2launchtemplate:id"


def cohort_of(instance: Instance) -> str:
    """The name of its cohort: its Auto Scaling group, else its launch template, else its AMI, in one account and Region.

    AWS sets both tags itself. An instance of which none is known is a cohort of its own.
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


def canaries_wanted(share: float, candidates: int) -> int:
    """How many of a cohort's enforceable instances go first: the share, rounded up, at least one."""
    return max(1, math.ceil(round(share * candidates, 9)))


def in_order(arns: Iterable[InstanceArn]) -> list[InstanceArn]:
    """The order in which instances become canaries: the same whoever asks, and spread over ids as chance would."""
    return sorted(arns, key=lambda arn: hashlib.sha256(arn.instance_id.encode()).digest())
