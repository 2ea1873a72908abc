"""Rollback: makes tokens optional again, changes nothing else, and only if the options are as the service left them.

Ledger (`rolling_back`) -> EC2 -> read back -> tag -> ledger (`rolled_back`, with what it owes). Triggered by the guard if software
broke, or by a person. Neither gates nor caps apply. EC2's answer is the confirmation: until it shows the change, a look minutes later
has to settle it, and the record stays `rolling_back`.

IAM: ``ec2:ModifyInstanceMetadataOptions``, ``ec2:CreateTags`` and ``ec2:DeleteTags`` for the rollback role,
``ec2:DescribeInstances`` for the read role.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imdsv2.aws import metadata_options as action
from imdsv2.aws import tagging
from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_have_been_done, may_pass
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.errors import QuotaExhausted
from imdsv2.guard.obstacle import GONE, explain_refusal, obstacle
from imdsv2.guard.rollback_request import End, RollbackResult
from imdsv2.ledger.change import Change
from imdsv2.ledger.record_values import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.guard.rollback_request import RollbackRequest
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.record import Record

_CALLS_AT_ONCE = 8
_SHOWN_AFTER = timedelta(minutes=10)
"""If EC2 does not show what it accepted by then, somebody else has changed it again."""
_REQUIRED_AGAIN = "EC2 took the call, but shows tokens as required again; somebody else may be changing them."
_ENDPOINT_CLOSED = (
    "EC2 demands that the endpoint is enabled in the same call, and it is disabled or cannot be read now. Put it back by hand if that "
    "is wanted."
)
_SIGNATURE = ("source", "caller", "request_id", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Rolls back instances of one account and Region at a time.

    Args:
        lease: duration of a lease; longer than the function's time limit.
        now: the clock.
    """

    clients: MemberClients
    writer: Writer
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def run(self, asked: Sequence[RollbackRequest], request_id: str) -> list[RollbackResult]:
        """Roll back what is permitted; the rest is left, with the reason. Raises ClientError if the ledger fails."""
        left = [
            RollbackResult(asked=each, end=End.LEFT, record=each.record, problem=problem)
            for each in asked
            if (problem := obstacle(each.record, each.target) or self._is_refuted(each)) is not None
        ]
        hindered = {each.arn for each in left}
        in_doubt = [each for each in asked if each.arn not in hindered and each.is_in_doubt]
        willing = [each for each in asked if each.arn not in hindered and each not in in_doubt]
        # Restore the earlier status of rollbacks that were begun and can no longer be made.
        begun = [each for each in left if each.record.status == Status.ROLLING_BACK]
        left = [each for each in left if each not in begun] + self._record(begun, request_id)
        left += [RollbackResult(asked=each, end=End.LATER, record=each.record) for each in in_doubt]
        return left + self._put_back_all(willing, request_id) if willing else left

    def replace_tags(self, records: Sequence[Record]) -> set[InstanceArn]:
        """Replace the tags that rolled-back instances of one account and Region owe. Returns those that owe them no longer."""
        if not records:
            return set()
        try:
            left = self._mark([each.arn for each in records], self.clients.ec2(records[0].arn, "rollback"))
        except CALL_FAILURES as error:
            self._log_tags_left({each.arn: error for each in records})
            return set()
        return {each.arn for each in records} - left

    def _is_refuted(self, each: RollbackRequest) -> str | None:
        """Why a rollback that EC2 accepted did not last, once it had the time to show it."""
        accepted_at = each.record.returned_at
        is_over = each.is_in_doubt and accepted_at is not None and self.now() - accepted_at > _SHOWN_AFTER
        return _REQUIRED_AGAIN if is_over else None

    def _put_back_all(self, willing: Sequence[RollbackRequest], request_id: str) -> list[RollbackResult]:
        try:
            read = self.clients.ec2(willing[0].arn, "read")
            way_back = self.clients.ec2(willing[0].arn, "rollback")
        except CALL_FAILURES as error:
            shut_out = [self._refused(each, each.record, error) for each in willing]
            begun = [each for each in shut_out if each.is_begun_in_vain]
            return [each for each in shut_out if each not in begun] + self._record(begun, request_id)
        ahead = [self._ahead(each, request_id) for each in willing]
        overtaken = self.writer.write(ahead).lost
        taken = {change.arn: change.applied() for change in ahead if change.arn not in overtaken}
        late = [
            RollbackResult(asked=each, end=End.LATER, record=each.record) for each in willing if each.arn in overtaken
        ]
        mine = [each for each in willing if each.arn in taken]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            ended = list(pool.map(lambda each: self._put_back(each, taken[each.arn], way_back, read), mine))
        ended = self._read_back(ended, read)
        untagged = self._mark([each.arn for each in ended if each.end is End.ROLLED_BACK], way_back)
        ended = [replace(each, owes_tag=each.arn in untagged) for each in ended]
        return late + self._record(ended, request_id)

    def _ahead(self, each: RollbackRequest, request_id: str) -> Change:
        now = self.now()
        after = replace(
            each.record,
            status=Status.ROLLING_BACK,
            status_before=each.record.status_before or each.record.status,
            watch=OPEN,  # If this run crashes, the guard must finish, but its watch may already be over.
            broken_at=now if each.broken and not each.record.is_broken else each.record.broken_at,
            explanation=each.why,
            owner=request_id,
            lease_until=now + self.lease,
            revisit_at=now + self.lease,
        )
        signed = self._signed(after, each, request_id)
        return Change(before=each.record, after=signed, says=("status", "explanation", *_SIGNATURE))

    def _signed(self, record: Record, each: RollbackRequest, request_id: str) -> Record:
        return replace(
            record,
            source=each.source,
            caller=each.caller,
            request_id=request_id,
            session=self.clients.session_name(each.arn, "rollback"),
        )

    def _put_back(self, each: RollbackRequest, record: Record, ec2: EC2Client, read: EC2Client) -> RollbackResult:
        done = RollbackResult(asked=each, end=End.ROLLED_BACK, record=record)
        if each.is_done_already:
            return done
        try:
            with self.clients.turn(each.arn, "ModifyInstanceMetadataOptions"):
                answer = action.set_tokens(
                    ec2,
                    lambda: describe(read, [each.arn])[each.arn],
                    each.arn,
                    "optional",
                    is_settled=action.is_settled(record.endpoint_wanted_at, self.now()),
                )
        except CALL_FAILURES as error:
            if not isinstance(error, ClientError | QuotaExhausted) or may_have_been_done(error):
                # It is unknown whether EC2 received the call: the item stays `rolling_back`, and the guard checks
                # later.
                self.logger.warning(
                    "rollback left unfinished", extra={"target": str(each.arn), "problem": describe_error(error)}
                )
                return replace(done, end=End.LATER)
            return self._refused(each, record, error)
        match answer:
            case action.Answer.ACCEPTED:
                return replace(done, is_accepted=True)
            case action.Answer.WANTS_ENDPOINT:
                return replace(done, end=End.LATER, wants_endpoint=True)
            case action.Answer.ENDPOINT_CLOSED:
                return replace(done, end=End.LEFT, problem=_ENDPOINT_CLOSED)

    def _refused(self, each: RollbackRequest, record: Record, error: Exception) -> RollbackResult:
        if may_pass(error):
            problem = f"it could not be done now, and is tried again by itself ({describe_error(error)})"
            self.logger.warning("rollback put off", extra={"target": str(each.arn), "problem": problem})
            return RollbackResult(asked=each, end=End.LATER, record=record, problem=problem)
        said, kind = explain_refusal(error)
        return RollbackResult(asked=each, end=End.LEFT, record=record, problem=said, kind=kind)

    def _read_back(self, ended: Sequence[RollbackResult], read: EC2Client) -> list[RollbackResult]:
        awaited = [each.arn for each in ended if each.end is End.ROLLED_BACK]
        seen = action.read_back(lambda arns: describe(read, arns), awaited)
        return [_seen(each, seen[each.arn]) if each.arn in seen else each for each in ended]

    def _mark(self, arns: Sequence[InstanceArn], ec2: EC2Client) -> set[InstanceArn]:
        """Replace tags. Returns the instances of which that is still to be done."""
        left = tagging.mark_rolled_back(ec2, arns, self.now())
        self._log_tags_left(left)
        return set(left)

    def _log_tags_left(self, left: Mapping[InstanceArn, Exception]) -> None:
        if left:
            problems = sorted({describe_error(each) for each in left.values()})
            self.logger.warning("tag left behind", extra={"targets": sorted(map(str, left)), "problems": problems})

    def _record(self, ended: Iterable[RollbackResult], request_id: str) -> list[RollbackResult]:
        """Write each result; an unfinished rollback is not written, but left to the invocation that finishes it."""
        ended = list(ended)
        changes = {each.arn: change for each in ended if (change := self._end(each, request_id)) is not None}
        overtaken = self.writer.write(changes.values()).lost
        return [
            replace(each, end=End.LATER)
            if each.arn in overtaken
            else replace(each, record=changes[each.arn].applied() if each.arn in changes else each.record)
            for each in ended
        ]

    def _end(self, each: RollbackResult, request_id: str) -> Change | None:
        now = self.now()
        if each.end is End.ROLLED_BACK:
            after, says = each.rolled_back(now), ["status", "decision", "reason", "explanation"]
        elif each.end is End.LEFT or each.problem is not None:
            after, says = each.as_before(now), ["status"]
        elif each.is_accepted:
            after, says = each.accepted(now), ["status"]
        elif each.wants_endpoint:
            after, says = each.wanting_endpoint(now), ["status"]
        else:
            return None
        signed = self._signed(after, each.asked, request_id)
        return Change(before=each.record, after=signed, says=(*says, *_SIGNATURE))


def _seen(each: RollbackResult, target: Target) -> RollbackResult:
    """What a first look says of a change that EC2 accepted. That it is not there settles nothing yet: EC2 may show an older state."""
    match target:
        case Instance(state="terminated" | "shutting-down"):
            return replace(each, end=End.LEFT, problem=GONE)
        case Instance() if target.options.http_tokens == "optional" or target.state == "stopped":
            return each
        case _:
            return replace(each, end=End.LATER)
