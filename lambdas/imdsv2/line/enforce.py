"""Enforcement: requires tokens on instances of one account and Region whose gates are open.

Ledger (`enforcing`) -> tag -> gates again -> EC2 -> read back. `act` writes the first and the final ledger entry.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.aws import metadata_options as action
from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import DAILY, Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.line.judgement import Judgement

_CALLS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """Enforces instances that are `enforcing` in the ledger, under this invocation's lease.

    Args:
        read, write: EC2 clients with the account's read and write roles.
        ask_gates: checks every gate again, in bulk; returns the instances for which one has closed.
        ask_policy: checks only the policy's gates, right before each call, so that mode `off` takes effect at once.
        now: the clock.
    """

    read: EC2Client
    write: EC2Client
    ask_gates: Callable[[Sequence[Judgement]], Mapping[InstanceArn, Judgement]]
    ask_policy: Callable[[Judgement], Judgement | None]
    now: Callable[[], datetime]
    logger: Logger

    def run(self, judgements: Sequence[Judgement]) -> list[Judgement]:
        """Returns every judgement in its final form. One still `enforcing` is unfinished and is taken over later."""
        instances = [each.instance for each in judgements if each.instance is not None]
        untaggable = action.tag(self.write, instances, self.now())
        ended = {each.arn: _refused(each, untaggable[each.arn]) for each in judgements if each.arn in untaggable}
        ended |= self.ask_gates([each for each in judgements if each.arn not in ended])
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            changed = {
                each.arn: each
                for each in pool.map(self._change, [each for each in judgements if each.arn not in ended])
            }
        awaited = [arn for arn, each in changed.items() if each.status is Status.ENFORCED]
        seen = action.read_back(lambda arns: describe(self.read, arns), awaited)
        ended |= changed | {arn: _read_back(changed[arn], target, self.now()) for arn, target in seen.items()}
        unchanged = [arn for arn, each in ended.items() if each.status not in {Status.ENFORCED, Status.ENFORCING}]
        self._untag(
            [arn for arn in unchanged if arn not in untaggable and ended[arn].verdict.reason is not Reason.GONE]
        )
        return list(ended.values())

    def _change(self, judgement: Judgement) -> Judgement:
        shut = self.ask_policy(judgement)
        if shut is not None:
            return shut
        instance = judgement.instance
        assert instance is not None  # noqa: S101 - only an instance that EC2 shows is ever enforced
        try:
            refusal = action.require_tokens(
                self.write, lambda: describe(self.read, [instance.arn])[instance.arn], instance, self.now()
            )
        except CALL_FAILURES as error:
            # It is unknown whether EC2 received the call: the item stays `enforcing`, and the next run looks at EC2.
            self.logger.warning(
                "enforcement left unfinished", extra={"target": str(instance.arn), "problem": describe_error(error)}
            )
            return judgement
        return _refused(judgement, refusal) if refusal else replace(judgement, status=Status.ENFORCED)

    def _untag(self, arns: Sequence[InstanceArn]) -> None:
        try:
            action.untag(self.write, arns)
        except CALL_FAILURES as error:
            self.logger.warning(
                "tag left behind", extra={"targets": [str(arn) for arn in arns], "problem": describe_error(error)}
            )


def _refused(judgement: Judgement, refusal: action.Refusal) -> Judgement:
    match refusal.verdict.decision:
        case Decision.ENFORCE:
            status = Status.FAILED
        case Decision.HOLD:
            status = Status.HELD
        case Decision.SKIP:
            status = Status.SKIPPED
    return replace(judgement, verdict=refusal.verdict, status=status, error=refusal.error)


def _read_back(judgement: Judgement, target: Target, now: datetime) -> Judgement:
    match target:
        case Instance() if target.options.http_tokens == "required" or target.state == "stopped":
            return replace(judgement, after=target.options)
        case Instance() if target.state not in {"terminated", "shutting-down"}:
            why = "EC2 took the change, but shows tokens as optional again; somebody else may be changing them."
            verdict = replace(judgement.verdict, explanation=why, revisit_at=now + DAILY)
            error = {"code": "NotApplied", "message": why}
            return replace(judgement, after=target.options, verdict=verdict, status=Status.FAILED, error=error)
        case Instance() | Missing():
            return replace(judgement, verdict=action.GONE, status=Status.SKIPPED)
        case Unreachable():
            return replace(judgement, status=Status.ENFORCING)
