"""Back to what was there before: tokens optional again, that alone, and only on what is still as we left it.

Ledger (`rolling_back`) -> EC2 -> read back -> tag -> ledger (`rolled_back`). The guard does so where software broke, a
person where he asks for it. No gate binds it, and no cap.

IAM: ``ec2:ModifyInstanceMetadataOptions``, ``ec2:CreateTags`` and ``ec2:DeleteTags`` by the rollback role,
``ec2:DescribeInstances`` by the read role.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws import metadata_options as action
from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import (
    CALL_FAILURES,
    describe_error,
    error_code,
    error_message,
    is_throttling,
    may_have_been_done,
)
from imdsv2.domain.documents import options_document
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import DAILY, Decision, Reason
from imdsv2.errors import QuotaExhausted
from imdsv2.ledger.table import OPEN, OVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.domain.request import Source
    from imdsv2.ledger.table import Entry, Ledger

_CALLS_AT_ONCE = 8
_OURS_TO_UNDO = frozenset({Status.ENFORCED, Status.VERIFIED, Status.ROLLING_BACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """An instance that is to be put back, and why, in a sentence. ``broken``: its software broke, nobody asked for it."""

    entry: Entry
    target: Target
    why: str
    broken: bool
    source: Source
    caller: str | None = None

    @property
    def arn(self) -> InstanceArn:
        return self.entry.arn


class End(StrEnum):
    """How it ended."""

    ROLLED_BACK = "rolled_back"
    LEFT = "left"
    """It may not or cannot be put back; a person is told why."""
    LATER = "later"
    """AWS asks to come back, or somebody else was quicker: the next pass sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What became of a return; ``problem`` says why it was left."""

    asked: Return
    end: End
    entry: Entry
    problem: str | None = None


def obstacle(entry: Entry, target: Target) -> str | None:
    """Why an instance must be left as it is, whatever broke; None where it is still as we left it."""
    match target:
        case Missing() | Instance(state="terminated" | "shutting-down"):
            return "The instance has gone."
        case Unreachable():
            return target.problem
    if entry.status == Status.ROLLING_BACK and target.options.http_tokens == "optional":
        return None  # Whoever was putting it back died after EC2 had done it.
    if entry.status not in _OURS_TO_UNDO:
        return "The service has no enforcement of its own to take back here."
    if not entry.history.confirmed:
        return (
            "It is not certain that the service made the change: it found tokens required when it came back to an enforcement that "
            "had been interrupted. Put it back by hand if it was not meant."
        )
    left = {**entry.attributes.get("after", {}), "HttpTokens": "required"}
    now_there = options_document(target.options) or {}
    changed = sorted(name for name, value in left.items() if now_there.get(name) != value)
    if changed:
        return (
            f"Somebody has changed {', '.join(changed)} since, so the options are no longer what the service left; it does not touch "
            "what others have changed. Put it back by hand if that is wanted."
        )
    if action.ENFORCED_TAG not in target.tags:
        return (
            f"Its tag {action.ENFORCED_TAG} is gone, without which the service may not set tokens to optional. Put it back by hand, or "
            f"set the tag again to {entry.attributes.get('enforced_at', 'any time')}."
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Puts instances back, of one account and Region at a time.

    Args:
        lease: longer than the function may run.
        now: the clock.
    """

    members: Members
    ledger: Ledger
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def run(self, asked: Sequence[Return], request_id: str) -> list[Returned]:
        """Put back what may be; the rest is left, with the reason. Raises ClientError where the ledger fails."""
        left = [
            Returned(asked=each, end=End.LEFT, entry=each.entry, problem=problem)
            for each in asked
            if (problem := obstacle(each.entry, each.target)) is not None
        ]
        hindered = {each.asked.arn for each in left}
        willing = [each for each in asked if each.arn not in hindered]
        # One that was left behind half-way is what it was before again.
        begun = [each for each in left if each.entry.status == Status.ROLLING_BACK]
        left = [each for each in left if each not in begun] + self._record(begun, request_id)
        if not willing:
            return left
        try:
            read = self.members.ec2(willing[0].arn, "read")
            way_back = self.members.ec2(willing[0].arn, "rollback")
        except CALL_FAILURES as error:
            shut_out = [self._refused(each, each.entry, error) for each in willing]
            begun = [each for each in shut_out if _is_begun_in_vain(each)]
            return left + [each for each in shut_out if each not in begun] + self._record(begun, request_id)
        ahead = [self._ahead(each, request_id) for each in willing]
        overtaken = self.ledger.write(ahead, self.now())
        taken = {change.entry.arn: change.applied() for change in ahead if change.entry.arn not in overtaken}
        late = [Returned(asked=each, end=End.LATER, entry=each.entry) for each in willing if each.arn in overtaken]
        mine = [each for each in willing if each.arn in taken]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            ended = list(pool.map(lambda each: self._put_back(each, taken[each.arn], way_back), mine))
        ended = self._read_back(ended, read)
        self._mark([each for each in ended if each.end is End.ROLLED_BACK], way_back)
        return left + late + self._record(ended, request_id)

    def _ahead(self, each: Return, request_id: str) -> Change:
        now = self.now()
        before = each.entry.attributes.get("status_before") or each.entry.status
        attributes = {
            "status": Status.ROLLING_BACK,
            "status_before": before,
            "watch": OPEN,  # Whoever dies half-way leaves it to the guard, whose watch of it may have been over.
            "explanation": each.why,
            "owner": request_id,
            "lease_until": now + self.lease,
            "revisit_at": now + self.lease,
            **self._signature(each, request_id),
        }
        return Change(entry=each.entry, attributes=attributes)

    def _signature(self, each: Return, request_id: str) -> dict[str, Any]:
        return {
            "source": each.source,
            "caller": each.caller,
            "request_id": request_id,
            "session": self.members.session_name(each.arn, "rollback"),
        }

    def _put_back(self, each: Return, entry: Entry, ec2: EC2Client) -> Returned:
        done = Returned(asked=each, end=End.ROLLED_BACK, entry=entry)
        if isinstance(each.target, Instance) and each.target.options.http_tokens == "optional":
            return done
        try:
            ec2.modify_instance_metadata_options(InstanceId=each.arn.instance_id, HttpTokens="optional")
        except CALL_FAILURES as error:
            if not isinstance(error, ClientError | QuotaExhausted) or may_have_been_done(error):
                # Nobody knows whether EC2 got the call: the item stays `rolling_back`, and the guard looks again.
                self.logger.warning(
                    "rollback left unfinished", extra={"target": str(each.arn), "problem": describe_error(error)}
                )
                return replace(done, end=End.LATER)
            return self._refused(each, entry, error)
        return done

    def _refused(self, each: Return, entry: Entry, error: Exception) -> Returned:
        if is_throttling(error):
            problem = f"EC2 asks to come back later ({describe_error(error)})"
            self.logger.warning("rollback throttled", extra={"target": str(each.arn), "problem": problem})
            return Returned(asked=each, end=End.LATER, entry=entry, problem=problem)
        return Returned(asked=each, end=End.LEFT, entry=entry, problem=_explain(error))

    def _read_back(self, ended: Sequence[Returned], read: EC2Client) -> list[Returned]:
        awaited = [each.asked.arn for each in ended if each.end is End.ROLLED_BACK]
        seen = action.read_back(lambda arns: describe(read, arns), awaited)
        return [_seen(each, seen[each.asked.arn]) if each.asked.arn in seen else each for each in ended]

    def _mark(self, ended: Sequence[Returned], ec2: EC2Client) -> None:
        try:
            action.mark_rolled_back(ec2, [each.asked.arn for each in ended], self.now())
        except CALL_FAILURES as error:
            self.logger.warning(
                "tag left behind",
                extra={"targets": [str(each.asked.arn) for each in ended], "problem": describe_error(error)},
            )

    def _record(self, ended: Iterable[Returned], request_id: str) -> list[Returned]:
        changes: dict[InstanceArn, Change] = {}
        for each in ended:
            if each.end is End.ROLLED_BACK:
                attributes = _rolled_back(each, self.now())
            elif each.end is End.LEFT or each.problem is not None:
                attributes = {"status": each.entry.attributes["status_before"]}
                attributes |= {
                    "status_before": None,
                    "owner": None,
                    "lease_until": None,
                    "revisit_at": self.now() + DAILY,
                }
            else:
                continue
            changes[each.asked.arn] = Change(
                entry=each.entry, attributes=attributes | self._signature(each.asked, request_id)
            )
        overtaken = self.ledger.write(list(changes.values()), self.now())
        return [
            replace(each, end=End.LATER)
            if each.asked.arn in overtaken
            else replace(each, entry=_applied(each, changes))
            for each in ended
        ]


def _is_begun_in_vain(each: Returned) -> bool:
    """Whether a rollback was left behind before EC2 had done it."""
    target = each.asked.target
    is_open = isinstance(target, Instance) and target.options.http_tokens == "optional"
    return each.entry.status == Status.ROLLING_BACK and not is_open


def _applied(each: Returned, changes: Mapping[InstanceArn, Change]) -> Entry:
    change = changes.get(each.asked.arn)
    return change.applied() if change else each.entry


def _rolled_back(each: Returned, now: datetime) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "status": Status.ROLLED_BACK,
        "decision": Decision.HOLD,
        "reason": Reason.BROKE_BEFORE,
        "explanation": f"{each.asked.why} Tokens are optional again, as they were before. It is held until a person clears it: "
        'invoke the service by hand with "clear": true.',
        "rolled_back_at": now,
        "changed_at": now,
        "decided_at": now,
        "watch": OVER,
        "left_because": None,
        "undo": None,
        "status_before": None,
        "owner": None,
        "lease_until": None,
        "revisit_at": now + DAILY,
    }
    return attributes | ({"broken_at": now} if each.asked.broken else {})


def _seen(each: Returned, target: Target) -> Returned:
    match target:
        case Instance() if target.options.http_tokens == "optional" or target.state == "stopped":
            return each
        case Instance() if target.state not in {"terminated", "shutting-down"}:
            why = "EC2 took the call, but shows tokens as required again; somebody else may be changing them."
            return replace(each, end=End.LEFT, problem=why)
        case Instance() | Missing():
            return replace(each, end=End.LEFT, problem="The instance has gone.")
        case Unreachable():
            return replace(each, end=End.LATER)


def _explain(error: Exception) -> str:
    """EC2's refusal to go back, in words that say what a person can do."""
    code, message = error_code(error), error_message(error)
    said = f"({code}: {message})"
    if "HttpTokensEnforced" in message:
        return (
            f"The account's setting HttpTokensEnforced forbids going back {said}. Set it to disabled for as long "
            "(ModifyInstanceMetadataDefaults) and put the instance back by hand, or update its software."
        )
    if action.MANAGED_ELSEWHERE.search(message):
        return f"A declarative policy or another service forbids going back {said}. Change it there, or update the software."
    if code in {"UnauthorizedOperation", "AccessDenied"} and "service control policy" in message:
        return f"A service control policy forbids going back {said}. Change it, or update the software."
    if code in {"UnauthorizedOperation", "AccessDenied"}:
        return f"The role imdsv2-remediation-rollback cannot be used or may not do it {said}. Deploy the member roles again."
    return f"EC2 refused to go back {said}. Put it back by hand, or update the software."
