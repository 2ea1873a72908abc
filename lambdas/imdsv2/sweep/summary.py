"""The last step of a sweep: what all places came to, in the files of the sweep, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.sweep.join import join
from imdsv2.sweep.plan import order_key
from imdsv2.sweep.scope import LEFT_OUT, in_scope, marked
from imdsv2.sweep.tally import add_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.s3 import SweepFiles
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.sweeps import Sweeps
    from imdsv2.sweep.digest import DailyDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepEnd:
    """What the state machine knows of a sweep whose places are done. ``manifest``, ``unreachable``: the files of the places' tallies,
    and of the accounts that could not be entered."""

    execution: str
    manifest: str
    unreachable: str
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a sweep came to. ``document``: its totals, with every error and every account that could not be entered; ``key``: the file
    that has it. ``fleet``: the file of the fleet. ``is_whole``: whether all accounts and Regions were looked at."""

    key: str
    document: Mapping[str, Any]
    tallies: Sequence[Mapping[str, Any]]
    fleet: str
    is_whole: bool

    @property
    def looked_for(self) -> int:
        """The places that were to be looked at."""
        return sum(LEFT_OUT not in each for each in self.tallies)

    @property
    def errors(self) -> int:
        return len(self.document["errors"])

    @property
    def blocked(self) -> int:
        """The accounts that could not be entered."""
        return len(self.document["unreachable"])

    def totals(self) -> dict[str, Any]:
        """The numbers alone: with a thousand accounts, the errors exceed what a state may pass on or a log line may hold."""
        return {**self.document, "errors": self.errors, "unreachable": self.blocked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summing:
    """Adds up a sweep, and ends it."""

    files: SweepFiles
    policies: PolicySource
    sweeps: Sweeps
    digest: DailyDigest
    now: Callable[[], datetime]
    logger: Logger

    def run(self, end: SweepEnd) -> Summary:
        """Add up the places, and join their rows into the file of the fleet. Raises ClientError."""
        now = self.now()
        policy = self.policies.current(now).policy
        tallies = marked(self.files.tallies(end.manifest), policy, now)
        unreachable = in_scope(self.files.read(end.unreachable), policy)
        document = {"dry_run": end.dry_run, **add_up(tallies), "unreachable": unreachable}
        key = f"{end.execution}/summary.json"
        self.files.write(key, {**document, "places": tallies})
        fleet = join(
            self.files,
            tallies,
            execution=end.execution,
            dry_run=end.dry_run,
            unreachable=unreachable,
            now=self.now(),
        )
        return Summary(
            key=key,
            document=document,
            tallies=tallies,
            fleet=fleet["key"],
            is_whole=self._is_whole(end.execution),
        )

    def conclude(self, fleet: str, execution: str) -> dict[str, Any]:
        """Note that a sweep of everything has ended, and tell every owner of the day, from the file of the fleet. What fails is told by
        the next night's run: the sweep itself is not repeated for it. Raises ClientError if the end cannot be noted."""
        self.sweeps.ended(self.now())
        try:
            sent = self.digest.run(self.files, fleet, execution)
        except CALL_FAILURES:
            self.logger.exception("digest not sent; the next sweep does it")
            return {}
        return {"digests": sent.document()} if sent else {}

    def _is_whole(self, execution: str) -> bool:
        """Whether the sweep looked at all accounts and Regions; of one that began under an earlier version, that is not known."""
        try:
            return bool(self.files.read(order_key(execution))["whole"])
        except CALL_FAILURES:
            return False
