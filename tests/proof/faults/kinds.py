"""The ways in which AWS fails a call, as scripts: what each attempt of botocore's meets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fault(StrEnum):
    """What one attempt meets. "After": the world does what was asked, and the answer is lost."""

    NONE = "none"
    THROTTLED = "throttled"
    ERROR = "error"
    ERROR_AFTER = "error after"
    UNAVAILABLE = "unavailable"
    RESET = "reset"
    RESET_AFTER = "reset after"
    TIMEOUT = "timeout"
    TIMEOUT_AFTER = "timeout after"
    SLOW = "slow"
    DENIED = "denied"
    EXPIRED = "expired"
    UNREADABLE = "unreadable"
    WRONG = "wrong"
    PARTIAL = "partial"
    EMPTY_PAGE = "empty page"
    STALE = "stale"


DONE = {Fault.RESET_AFTER, Fault.TIMEOUT_AFTER, Fault.ERROR_AFTER, Fault.UNREADABLE, Fault.WRONG}
"""What is met after the world has done what was asked."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault of a call: ``script`` has what its first attempts meet, ``rest`` what all later ones do."""

    script: tuple[Fault, ...]
    rest: Fault = Fault.NONE

    def at(self, attempt: int) -> Fault:
        """What an attempt meets; they are counted from 1."""
        return self.script[attempt - 1] if attempt <= len(self.script) else self.rest


def _always(fault: Fault) -> Kind:
    return Kind((), fault)


KINDS: Mapping[str, Kind] = {
    "throttled once": Kind((Fault.THROTTLED,)),
    "error once": Kind((Fault.ERROR,)),
    "unavailable once": Kind((Fault.UNAVAILABLE,)),
    "reset once": Kind((Fault.RESET,)),
    "lost once": Kind((Fault.RESET_AFTER,)),
    "timeout once": Kind((Fault.TIMEOUT,)),
    "timeout once, done": Kind((Fault.TIMEOUT_AFTER,)),
    "slow": _always(Fault.SLOW),
    "expired": Kind((Fault.EXPIRED,)),
    "throttled": _always(Fault.THROTTLED),
    "error": _always(Fault.ERROR),
    "error, done": _always(Fault.ERROR_AFTER),
    "reset": _always(Fault.RESET),
    "lost": _always(Fault.RESET_AFTER),
    "timeout": _always(Fault.TIMEOUT),
    "timeout, done": _always(Fault.TIMEOUT_AFTER),
    "lost, then denied": Kind((Fault.RESET_AFTER,), Fault.DENIED),
    "lost, then throttled": Kind((Fault.RESET_AFTER,), Fault.THROTTLED),
    "denied": _always(Fault.DENIED),
    "unreadable": _always(Fault.UNREADABLE),
    "wrong": _always(Fault.WRONG),
    "partial": _always(Fault.PARTIAL),
    "empty page": _always(Fault.EMPTY_PAGE),
    "stale": _always(Fault.STALE),
}

_LISTS = {
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeLaunchTemplateVersions",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeLaunchConfigurations",
    "cloudtrail:LookupEvents",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "dynamodb:Query",
    "securityhub:GetFindings",
    "securityhub:GetFindingsV2",
    "organizations:ListAccounts",
    "ssm:ListInventoryEntries",
}
"""Operations that answer page by page."""
ONLY: Mapping[str, set[str]] = {
    "partial": {
        "cloudwatch:GetMetricData",
        "dynamodb:BatchGetItem",
        "securityhub:BatchUpdateFindings",
        "securityhub:BatchUpdateFindingsV2",
    },
    "empty page": _LISTS,
    "stale": {"ec2:DescribeInstances", "dynamodb:Query", "securityhub:GetFindings", "securityhub:GetFindingsV2"},
}
"""Kinds that only some operations have. Stale: what AWS documents as eventually consistent."""


def kinds_of(operation: str) -> list[str]:
    """The kinds that an operation may meet."""
    return [kind for kind in KINDS if operation in ONLY.get(kind, {operation})]
