"""The values that travel along the line, from a finding to its record. All are frozen; none knows AWS's SDK."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

_INSTANCE_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):ec2:(?P<region>[a-z0-9-]{5,30}):(?P<account>\d{12})"
    r":instance/(?P<instance_id>i-[0-9a-f]{8,17})",
    re.ASCII,
)


class Decision(StrEnum):
    """What a verdict says."""

    ENFORCE = "enforce"
    HOLD = "hold"
    SKIP = "skip"


class Reason(StrEnum):
    """Why: the rows of the verdict table, the gates, and EC2's refusals."""

    OUT_OF_SCOPE = "out_of_scope"
    UNREACHABLE = "unreachable"
    GONE = "gone"
    ALREADY_REQUIRED = "already_required"
    ENDPOINT_DISABLED = "endpoint_disabled"
    EXEMPT = "exempt"
    EXEMPTION_UNREADABLE = "exemption_unreadable"
    HELD_BY_PERSON = "held_by_person"
    BROKE_BEFORE = "broke_before"
    CHANGED_BACK = "changed_back"
    NOT_READY = "not_ready"
    EVIDENCE_INCOMPLETE = "evidence_incomplete"
    HOP_LIMIT_FALLBACK = "hop_limit_fallback"
    V1_IN_USE = "v1_in_use"
    V1_AT_BOOT = "v1_at_boot"
    NO_EVIDENCE = "no_evidence"
    TOO_YOUNG = "too_young"
    BOOT_NOT_OBSERVABLE = "boot_not_observable"
    UNUSED = "unused"
    SWITCHED_OFF = "switched_off"
    POLICY_UNREADABLE = "policy_unreadable"
    SUPPRESSED = "suppressed"
    BREAKER_OPEN = "breaker_open"
    CANARY_WAIT = "canary_wait"
    APPROVAL_REQUIRED = "approval_required"
    NOTICE_GIVEN = "notice_given"
    CALENDAR_CLOSED = "calendar_closed"
    CAP_REACHED = "cap_reached"
    MANAGED_ELSEWHERE = "managed_elsewhere"
    UNTAGGABLE = "untaggable"


class Status(StrEnum):
    """Where an instance stands in the ledger."""

    WOULD_ENFORCE = "would_enforce"
    ENFORCING = "enforcing"
    ENFORCED = "enforced"
    VERIFIED = "verified"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    HELD = "held"
    SKIPPED = "skipped"
    FAILED = "failed"


class Source(StrEnum):
    """Which way in named the instance."""

    SECURITYHUB = "securityhub"
    SECURITYHUB_V2 = "securityhub_v2"
    CUSTOM_ACTION = "custom_action"
    CONFIG = "config"
    MANUAL = "manual"
    REVISIT = "revisit"
    SWEEP = "sweep"
    GUARD = "guard"


class Placed(Protocol):
    """What lies in an account and Region: an instance, or the place itself."""

    @property
    def partition(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def account(self) -> str: ...


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One account and Region."""

    partition: str
    region: str
    account: str


@dataclass(frozen=True, slots=True, order=True)
class InstanceArn:
    """One EC2 instance: where it lives and its id."""

    partition: str
    region: str
    account: str
    instance_id: str

    @classmethod
    def parse(cls, text: str) -> InstanceArn:
        """Read ``arn:<partition>:ec2:<region>:<account>:instance/<id>``; raises ValueError for anything else."""
        match = _INSTANCE_ARN.fullmatch(text)
        if match is None:
            raise ValueError("takes the ARN of an EC2 instance, arn:aws:ec2:<region>:<account>:instance/i-<hex>")
        return cls(**match.groupdict())

    @classmethod
    def of(cls, *, region: str, account: str, instance_id: str) -> InstanceArn:
        """Build the ARN from its parts; the Region tells the partition. Raises ValueError if a part is malformed."""
        return cls.parse(f"arn:{partition_of(region)}:ec2:{region}:{account}:instance/{instance_id}")

    def __str__(self) -> str:
        return f"arn:{self.partition}:ec2:{self.region}:{self.account}:instance/{self.instance_id}"


def partition_of(region: str) -> str:
    """The partition of a Region, by its name: AWS names Regions after their partition."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
    return next((partition for prefix, partition in prefixes.items() if region.startswith(prefix)), "aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding that named an instance, as Security Hub identifies it."""

    id: str
    product_arn: str
    region: str
    updated_at: datetime | None = None
    annotated_at: datetime | None = None

    @property
    def is_v2(self) -> bool:
        """Whether the newer Security Hub (OCSF) sent it; it has operations of its own."""
        return "::productv2/" in self.product_arn


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One instance to judge: what every way in produces."""

    arn: InstanceArn
    source: Source
    finding: Finding | None = None
    suppressed: bool = False
    clear: bool = False
    caller: str | None = None

    @property
    def asked_by_person(self) -> bool:
        """Whether somebody asked for this very instance: such a request acts in `observe` too, and is no echo."""
        return self.source in {Source.MANUAL, Source.CUSTOM_ACTION}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """The part of an instance's metadata options that the service reads and records."""

    http_tokens: str
    http_endpoint: str
    hop_limit: int
    state: str = "applied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance as EC2 shows it.

    ``launched_at`` is the *last* start. ``first_launched_at`` is None where EC2 does not show it, and then nothing
    may be concluded from it. ``stopped_at`` is None while it runs, and where EC2's words cannot be read.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """EC2 knows no such instance (any more)."""

    arn: InstanceArn


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """The account, the Region or the instance cannot be read."""

    arn: InstanceArn
    problem: str
    throttled: bool = False


Target = Instance | Missing | Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What CloudWatch remembers of an instance's use of IMDSv1.

    ``problem`` is set where an answer was not complete; then nothing else here may be relied on. ``coverage`` is the
    share of the hours in which the instance ran that have a datapoint; where the metric alone shows enough, it is a
    lower bound, because the hours in which the instance did not run were not asked for.
    """

    window_start: datetime
    window_end: datetime
    window_known: bool = True
    problem: str | None = None
    throttled: bool = False
    tokenless_calls: int = 0
    last_tokenless_call: datetime | None = None
    boot_observed: bool = False
    boot_observable_at: datetime | None = None
    boot_forgotten: bool = False
    boot_tokenless_calls: int = 0
    observed_hours: int = 0
    coverage: float = 0.0
    older_tokenless_calls: int = 0
    older_last_tokenless_call: datetime | None = None
    period_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person's word that an instance is not to be changed, up to the end of the day ``until`` (UTC), in the ledger
    because not everybody may tag every instance."""

    owner: str
    reason: str
    until: date

    def in_force(self, now: datetime) -> bool:
        return now.astimezone(UTC).date() <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger knows of an instance and no later verdict overwrites."""

    enforced_at: datetime | None = None
    confirmed: bool = False
    rolled_back_at: datetime | None = None
    cleared_at: datetime | None = None
    hold: Hold | None = None

    @property
    def broke(self) -> bool:
        """Whether it was put back after it was changed here, and no person has cleared that since."""
        if self.rolled_back_at is None:
            return False
        return self.cleared_at is None or self.cleared_at < self.rolled_back_at

    @property
    def stands(self) -> bool:
        """Whether a confirmed enforcement of ours has been neither rolled back nor cleared."""
        if self.enforced_at is None or not self.confirmed:
            return False
        if self.rolled_back_at is not None and self.rolled_back_at >= self.enforced_at:
            return False
        # A call with `clear` enforces at the time at which it clears: what it voids is earlier.
        return self.cleared_at is None or self.cleared_at <= self.enforced_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision with its reason, a sentence a person can act on, and when to judge again (None: never).

    ``ends_on`` is the last day of the exemption or hold that it rests on, of which people are reminded.
    """

    decision: Decision
    reason: Reason
    explanation: str
    revisit_at: datetime | None = None
    ends_on: date | None = None
