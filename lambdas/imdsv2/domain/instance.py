"""Instances, their metadata options and their location: frozen values, without the AWS SDK."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ACCOUNT = re.compile(r"\d{12}", re.ASCII)
"""The form of an account id."""
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", re.ASCII)
"""The form of a Region's name; `regions` knows which there are."""
_INSTANCE_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):ec2:(?P<region>[a-z0-9-]{5,30}):(?P<account>\d{12})"
    r":instance/(?P<instance_id>i-[0-9a-f]{8,17})",
    re.ASCII,
)


_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "eusc-": "aws-eusc",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
}
"""Beginning of a Region's name to its partition; all others are in `aws`."""


class Placed(Protocol):
    """Anything in an account and Region: an instance, or the place itself."""

    @property
    def partition(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def account(self) -> str: ...


ENFORCED_TAG = "imdsv2:enforced-at"
"""The service's tag on what it changes, with the time. Written before the change; the rollback role may act only where it is."""
ROLLED_BACK_TAG = "imdsv2:rolled-back-at"
"""The tag in its place once tokens are optional again."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One account and Region."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, there: Placed) -> Place:
        """The account and Region of anything that lies in one."""
        return cls(there.partition, there.region, there.account)

    def instance(self, instance_id: str) -> InstanceArn:
        """The instance of this id there."""
        return InstanceArn(self.partition, self.region, self.account, instance_id)


@dataclass(frozen=True, slots=True, order=True)
class InstanceArn:
    """The ARN of one EC2 instance, in parts."""

    partition: str
    region: str
    account: str
    instance_id: str

    @classmethod
    def parse(cls, text: str) -> InstanceArn:
        """Parse ``arn:<partition>:ec2:<region>:<account>:instance/<id>``; raises ValueError for anything else."""
        match = _INSTANCE_ARN.fullmatch(text)
        if match is None:
            raise ValueError("takes the ARN of an EC2 instance, arn:aws:ec2:<region>:<account>:instance/i-<hex>")
        return cls(**match.groupdict())

    @classmethod
    def of(cls, *, region: str, account: str, instance_id: str) -> InstanceArn:
        """Build the ARN from its parts; the Region determines the partition. Raises ValueError for a malformed part."""
        return cls.parse(f"arn:{partition_of(region)}:ec2:{region}:{account}:instance/{instance_id}")

    def __str__(self) -> str:
        return f"arn:{self.partition}:ec2:{self.region}:{self.account}:instance/{self.instance_id}"


def partition_of(region: str) -> str:
    """The partition of a Region, derived from the prefix of its name."""
    return next((partition for prefix, partition in _PARTITIONS.items() if region.startswith(prefix)), "aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """The metadata options that the service reads and records."""

    http_tokens: str
    http_endpoint: str
    hop_limit: int
    state: str = "applied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance as EC2 shows it.

    ``launched_at`` is the *last* start. ``first_launched_at`` is None where EC2 does not show it, and then nothing
    may be concluded from it. ``stopped_at`` is None while it runs, and where EC2's words cannot be read. ``hibernates``: its
    last start may have been a resume. ``stoppable``: not a Spot instance, and its root lies on EBS.
    ``has_role``: it has an instance profile, so that the metadata service delivers credentials.
    """

    arn: InstanceArn
    state: str
    launched_at: datetime
    first_launched_at: datetime | None
    stopped_at: datetime | None
    options: MetadataOptions
    image_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    managed_by: str | None = None
    hibernates: bool = False
    stoppable: bool = True
    has_role: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """EC2 does not know this instance, or no longer does."""

    arn: InstanceArn


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """The account, the Region or the instance cannot be read. ``passes``: AWS throttled, failed or did not answer, so the next
    look may succeed although nobody has done anything about it."""

    arn: InstanceArn
    problem: str
    throttled: bool = False
    passes: bool = False


Target = Instance | Missing | Unreachable
