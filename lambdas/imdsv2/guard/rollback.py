"""Rollback: makes tokens optional again, changes nothing else, and only if the options are as the service left them.

Ledger (`rolling_back`) -> EC2 -> read back -> tag -> ledger (`rolled_back`). Triggered by the guard if software broke,
or by a person. Neither gates nor caps apply.

IAM: ``ec2:ModifyInstanceMetadataOptions``, ``ec2:CreateTags`` and ``ec2:DeleteTags`` for the rollback role,
``ec2:DescribeInstances`` for the read role.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imdsv2.aws import metadata_options as action
from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import CALL_FAILURES, describe_error, is_throttling, may_have_been_done
from imdsv2.domain.commands import command
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.domain.verdict import DAILY, Decision, Reason
from imdsv2.errors import QuotaExhausted
from imdsv2.guard.obstacle import GONE, explain_refusal, obstacle
from imdsv2.ledger.record import OPEN, OVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_CALLS_AT_ONCE = 8
_SIGNATURE = ("source", "caller", "request_id", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """An instance that is to be put back, and why, in a sentence. ``broken``: its software broke, whoever wants it back."""

    record: Record
    target: Target
    why: str
    broken: bool
    source: Source
    caller: str | None = None

    @property
    def arn(self) -> InstanceArn:
        return self.record.arn

    @property
    def is_by_person(self) -> bool:
        return self.source is Source.MANUAL

    @property
    def is_done_already(self) -> bool:
        """Whether EC2 shows tokens as optional already: an earlier run crashed after the change."""
        return isinstance(self.target, Instance) and self.target.options.http_tokens == "optional"


class End(StrEnum):
    """The result of a rollback."""

    ROLLED_BACK = "rolled_back"
    LEFT = "left"
    """It is not permitted or not possible; a person is told why."""
    LATER = "later"
    """Throttled, unfinished, or another run was faster: the next pass continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The result of a `Return`; ``problem`` says why it was not made."""

    asked: Return
    end: End
    record: Record
    problem: str | None = None

    @property
    def arn(self) -> InstanceArn:
        return self.asked.arn

    @property
    def is_begun_in_vain(self) -> bool:
        """Whether an earlier run crashed before EC2 made the change."""
        return self.record.status == Status.ROLLING_BACK and not self.asked.is_done_already

    def rolled_back(self, now: datetime) -> Record:
        """The record once tokens are optional again. What the guard recorded as broken stays so, whoever put it back."""
        asked = self.asked
        record = replace(
            self.record,
            status=Status.ROLLED_BACK,
            decision=Decision.HOLD,
            reason=Reason.BROKE_BEFORE if asked.broken else Reason.UNDONE_BY_PERSON,
            explanation=f"{asked.why} Tokens are optional again, as they were before. It is held, and what runs the same software "
            f"waits, until a person clears it: {command('clear', self.arn)}",
            changed_at=now,
            decided_at=now,
            watch=OVER,
            left_because=None,
            undo=None,
            status_before=None,
            owner=None,
            lease_until=None,
            revisit_at=now + DAILY,
        )
        if asked.is_by_person:
            record = replace(record, undone_at=now, undone_by=asked.caller)
        if asked.broken:
            broken_at = record.broken_at if record.is_broken else now
            record = replace(record, rolled_back_at=now, broken_at=broken_at)
        return record

    def as_before(self, now: datetime) -> Record:
        """The record after a rollback that changed nothing: its earlier status is restored."""
        return replace(
            self.record,
            status=self.record.status_before,
            status_before=None,
            owner=None,
            lease_until=None,
            revisit_at=now + DAILY,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Rolls back instances of one account and Region at a time.

    Args:
        lease: duration of a lease; longer than the function's time limit.
        now: the clock.
    """

    members: Members
    ledger: Ledger
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def run(self, asked: Sequence[Return], request_id: str) -> list[Returned]:
        """Roll back what is permitted; the rest is left, with the reason. Raises ClientError if the ledger fails."""
        left = [
            Returned(asked=each, end=End.LEFT, record=each.record, problem=problem)
            for each in asked
            if (problem := obstacle(each.record, each.target)) is not None
        ]
        hindered = {each.arn for each in left}
        willing = [each for each in asked if each.arn not in hindered]
        # Restore the earlier status of rollbacks that were begun and can no longer be made.
        begun = [each for each in left if each.record.status == Status.ROLLING_BACK]
        left = [each for each in left if each not in begun] + self._record(begun, request_id)
        return left + self._put_back_all(willing, request_id) if willing else left

    def _put_back_all(self, willing: Sequence[Return], request_id: str) -> list[Returned]:
        try:
            read = self.members.ec2(willing[0].arn, "read")
            way_back = self.members.ec2(willing[0].arn, "rollback")
        except CALL_FAILURES as error:
            shut_out = [self._refused(each, each.record, error) for each in willing]
            begun = [each for each in shut_out if each.is_begun_in_vain]
            return [each for each in shut_out if each not in begun] + self._record(begun, request_id)
        ahead = [self._ahead(each, request_id) for each in willing]
        overtaken = self.ledger.write(ahead, self.now())
        taken = {change.arn: change.applied() for change in ahead if change.arn not in overtaken}
        late = [Returned(asked=each, end=End.LATER, record=each.record) for each in willing if each.arn in overtaken]
        mine = [each for each in willing if each.arn in taken]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            ended = list(pool.map(lambda each: self._put_back(each, taken[each.arn], way_back), mine))
        ended = self._read_back(ended, read)
        self._mark([each for each in ended if each.end is End.ROLLED_BACK], way_back)
        return late + self._record(ended, request_id)

    def _ahead(self, each: Return, request_id: str) -> Change:
        now = self.now()
        after = replace(
            each.record,
            status=Status.ROLLING_BACK,
            status_before=each.record.status_before or each.record.status,
            watch=OPEN,  # If this run crashes, the guard must finish, but its watch may already be over.
            explanation=each.why,
            owner=request_id,
            lease_until=now + self.lease,
            revisit_at=now + self.lease,
        )
        signed = self._signed(after, each, request_id)
        return Change(before=each.record, after=signed, says=("status", "explanation", *_SIGNATURE))

    def _signed(self, record: Record, each: Return, request_id: str) -> Record:
        return replace(
            record,
            source=each.source,
            caller=each.caller,
            request_id=request_id,
            session=self.members.session_name(each.arn, "rollback"),
        )

    def _put_back(self, each: Return, record: Record, ec2: EC2Client) -> Returned:
        done = Returned(asked=each, end=End.ROLLED_BACK, record=record)
        if each.is_done_already:
            return done
        try:
            ec2.modify_instance_metadata_options(InstanceId=each.arn.instance_id, HttpTokens="optional")
        except CALL_FAILURES as error:
            if not isinstance(error, ClientError | QuotaExhausted) or may_have_been_done(error):
                # It is unknown whether EC2 received the call: the item stays `rolling_back`, and the guard checks
                # later.
                self.logger.warning(
                    "rollback left unfinished", extra={"target": str(each.arn), "problem": describe_error(error)}
                )
                return replace(done, end=End.LATER)
            return self._refused(each, record, error)
        return done

    def _refused(self, each: Return, record: Record, error: Exception) -> Returned:
        if is_throttling(error):
            problem = f"EC2 asks to come back later ({describe_error(error)})"
            self.logger.warning("rollback throttled", extra={"target": str(each.arn), "problem": problem})
            return Returned(asked=each, end=End.LATER, record=record, problem=problem)
        return Returned(asked=each, end=End.LEFT, record=record, problem=explain_refusal(error))

    def _read_back(self, ended: Sequence[Returned], read: EC2Client) -> list[Returned]:
        awaited = [each.arn for each in ended if each.end is End.ROLLED_BACK]
        seen = action.read_back(lambda arns: describe(read, arns), awaited)
        return [_seen(each, seen[each.arn]) if each.arn in seen else each for each in ended]

    def _mark(self, ended: Sequence[Returned], ec2: EC2Client) -> None:
        try:
            action.mark_rolled_back(ec2, [each.arn for each in ended], self.now())
        except CALL_FAILURES as error:
            self.logger.warning(
                "tag left behind",
                extra={"targets": [str(each.arn) for each in ended], "problem": describe_error(error)},
            )

    def _record(self, ended: Iterable[Returned], request_id: str) -> list[Returned]:
        """Write each result; an unfinished rollback is not written, but left to the invocation that finishes it."""
        ended = list(ended)
        changes = {each.arn: change for each in ended if (change := self._end(each, request_id)) is not None}
        overtaken = self.ledger.write(list(changes.values()), self.now())
        return [
            replace(each, end=End.LATER)
            if each.arn in overtaken
            else replace(each, record=changes[each.arn].applied() if each.arn in changes else each.record)
            for each in ended
        ]

    def _end(self, each: Returned, request_id: str) -> Change | None:
        now = self.now()
        if each.end is End.ROLLED_BACK:
            after, says = each.rolled_back(now), ["status", "decision", "reason", "explanation"]
        elif each.end is End.LEFT or each.problem is not None:
            after, says = each.as_before(now), ["status"]
        else:
            return None
        signed = self._signed(after, each.asked, request_id)
        return Change(before=each.record, after=signed, says=(*says, *_SIGNATURE))


def _seen(each: Returned, target: Target) -> Returned:
    match target:
        case Instance() if target.options.http_tokens == "optional" or target.state == "stopped":
            return each
        case Instance() if target.state not in {"terminated", "shutting-down"}:
            why = "EC2 took the call, but shows tokens as required again; somebody else may be changing them."
            return replace(each, end=End.LEFT, problem=why)
        case Instance() | Missing():
            return replace(each, end=End.LEFT, problem=GONE)
        case Unreachable():
            return replace(each, end=End.LATER)
