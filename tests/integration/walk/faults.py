"""What may go wrong while a function is at work: crashes, AWS's ways of failing, and news that people bring."""

from __future__ import annotations

from dataclasses import dataclass

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


class Crash(BaseException):
    """Lambda ends the process: nothing in it can catch that."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens when the service passes a point for the nth time."""

    point: str
    kind: str
    countdown: int = 0
