"""The table: which call of which path meets what, and what running a row comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.proof.wire.faults import UNTIL_TIMEOUT, Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.demo.fleet import Launched
    from tests.proof.wire.world import Behind

ALWAYS = 99
"""More often than any client tries."""
CALLS = (
    "sts:AssumeRole",
    "ec2:DescribeInstances",
    "cloudwatch:GetMetricData",
    "dynamodb:TransactWriteItems",
    "ec2:CreateTags",
    "ec2:ModifyInstanceMetadataOptions",
    "sns:Publish",
)
FUNCTIONS = {"remediate": "imdsv2-remediation-remediate", "rollback": "imdsv2-remediation-guard"}
"""By path, the function that meets the fault."""
ENDS = {"remediate": ("required", {"enforced"}), "rollback": ("optional", {"rolled_back"})}
"""By path, how it ends without a fault: tokens in EC2, status in the ledger."""


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A path whose ``nth`` call of an operation meets a kind, so many times."""

    path: str
    operation: str
    kind: Kind
    times: int = 1
    nth: int = 1

    def __str__(self) -> str:
        how_often = "always" if self.times == ALWAYS else f"{self.times} times"
        return f"{self.path} | {self.operation}#{self.nth} | {self.kind}, {how_often}"

    @property
    def fault(self) -> Fault:
        """What the proxy is told."""
        return Fault(operation=self.operation, kind=self.kind, nth=self.nth, times=self.times)


def rows(path: str, operation: str) -> Iterator[Row]:
    """Every row of a call: what botocore's retries may heal, and what they cannot. What takes until a time-out comes once."""
    for kind in Kind:
        yield Row(path, operation, kind)
        if kind not in UNTIL_TIMEOUT | {Kind.TRICKLE, Kind.HUNG_UP}:
            yield Row(path, operation, kind, ALWAYS)


def run(row: Row, behind: Behind) -> list[str]:
    """What is wrong about a row: invariants, the end, or that its fault was never met."""
    world = behind.world
    behind.begins()
    if row.operation == "sts:AssumeRole":
        behind.starts_anew(FUNCTIONS[row.path])
    one = world.launch_one()
    message = behind.found(one)
    if row.path == "rollback":
        assert behind.takes(message)
        assert world.current(one)["status"] == "enforced"
        world.reject(one)
    behind.proxy.faults([row.fault])
    if row.path == "rollback":
        behind.runs(world.guard)
        waits = False
    else:
        waits = not behind.takes(message)
    unmet = [] if behind.proxy.met else ["its call was never made"]
    behind.goes_on(one, message if waits else None)
    may_repeat = row.operation == "sns:Publish"
    found = [*unmet, *_end(row, behind, one), *behind.wrong(one, may_repeat=may_repeat)]
    return [f"{row}: {each}" for each in found]


def _end(row: Row, behind: Behind, one: Launched) -> Iterator[str]:
    tokens, statuses = ENDS[row.path]
    is_, status = behind.world.options(one)["HttpTokens"], behind.world.current(one).get("status")
    if is_ != tokens or status not in statuses:
        yield f"ends with tokens {is_} and status {status}, not {tokens} and {', '.join(statuses)}"
