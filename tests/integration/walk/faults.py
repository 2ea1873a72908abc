"""What may go wrong while a function is at work: crashes, AWS's ways of failing, and news that people bring."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn

POINTS = (
    "ledger before",
    "ledger after",
    "describe",
    "tag",
    "tagged",
    "modify",
    "modified",
    "untag",
    "annotate",
    "publish",
)
"""What the service passes."""

NEWS = {"mode off", "calendar closes", "suppression"}
"""What a person may decide while a function is at work."""

FAULTS = (
    *((point, "crash") for point in POINTS),
    ("ledger before", "ProvisionedThroughputExceededException"),
    ("describe", "RequestLimitExceeded"),
    ("tag", "RequestLimitExceeded"),
    ("tag", "TagLimitExceeded"),
    ("modify", "RequestLimitExceeded"),
    ("modify", "UnsupportedOperation"),
    ("modify", "unanswered"),
    ("modified", "unanswered"),
    ("untag", "UnauthorizedOperation"),
    ("annotate", "InternalError"),
    ("publish", "InternalError"),
    ("tagged", "mode off"),
    ("tagged", "calendar closes"),
    ("tagged", "suppression"),
    ("modified", "mode off"),
)
"""Where, and what: a crash, news, no answer, or an error code."""


LOSSES = (
    ("ledger answered", "unanswered"),
    ("ledger answered", "repeated"),
    ("put accounts", "unanswered"),
    ("put accounts", "repeated"),
    ("put cohort", "unanswered"),
    ("put cohort", "repeated"),
    ("put policy", "unanswered"),
    ("put policy", "repeated"),
    ("tagged", "unanswered"),
    ("tagged", "repeated, throttled"),
    ("untagged", "unanswered"),
    ("untagged", "repeated, throttled"),
    ("modified", "unanswered"),
    ("modified", "repeated"),
    ("modified", "repeated, throttled"),
    ("published", "unanswered"),
    ("published", "repeated"),
)
"""Where the answer to what AWS has done gets lost: for good, or so that the SDK sends it again and meets its own effect, or is
throttled then."""


class Crash(BaseException):
    """Lambda ends the process: nothing in it can catch that."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens when the service passes a point for the nth time."""

    point: str
    kind: str
    countdown: int = 0


class Part(StrEnum):
    """What fails for one instance while others go through."""

    ITEM = "item"
    """Its item is throttled: a transaction with it is cancelled because of it."""
    TAGS = "tags"
    """Its tags may not be changed: a call that names it changes none."""
    HALF_OF_TAGS = "half of tags"
    """A call that names it ends in a server error when those named before it have been changed; it gets tags, and keeps them."""


@dataclass(slots=True, kw_only=True)
class Failing:
    """The instance that fails, in what, and how many more times."""

    arn: InstanceArn
    part: Part
    times: int
