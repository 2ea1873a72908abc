"""Enforcement: requires tokens on instances of one account and Region whose gates are open.

Ledger (`enforcing`) -> tag -> then each for itself: quota, look again, EC2, ledger (`enforced`) -> read back. `act` writes the
first ledger entry, and the last one of what was not changed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws import metadata_options as action
from imdsv2.aws import tagging
from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.instance import ENFORCED_TAG, Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.errors import QuotaExhausted
from imdsv2.line.look_again import too_late

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.change_refusal import Refusal
    from imdsv2.domain.instance import InstanceArn, MetadataOptions
    from imdsv2.line.judgement import Judgement
    from imdsv2.line.look_again import LookAgain

_CALLS_AT_ONCE = 32
_TO_ASK = timedelta(seconds=3)
"""How long after a look EC2 is asked at the latest: together with what a look is good for, 15 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """Enforces instances that are `enforcing` in the ledger, under this invocation's lease.

    Args:
        read, write: EC2 clients with the account's read and write roles.
        turn: waits for the quota of one change, which is made inside; raises QuotaExhausted if that would take too long.
        has_time: whether this invocation may begin anything new.
        again: makes the look again for the instances that are about to be changed.
        ask_policy: checks only the policy's gates, right before each call, so that mode `off` takes effect at once.
        record: writes `enforced` for one instance.
        now: the clock.
    """

    read: EC2Client
    write: EC2Client
    turn: Callable[[], AbstractContextManager[None]]
    has_time: Callable[[], bool]
    again: Callable[..., LookAgain]
    ask_policy: Callable[[Judgement], Judgement | None]
    record: Callable[[Judgement], Judgement]
    now: Callable[[], datetime]
    logger: Logger
    _denied: dict[str, Judgement] = field(default_factory=dict)
    """By cohort, one of this run to which the organisation forbade the change: the others are not asked for as well."""

    def run(self, judgements: Sequence[Judgement]) -> list[Judgement]:
        """Returns every judgement in its final form. One still `enforcing` is unfinished and is taken over later."""
        instances = [each.instance for each in judgements if each.instance is not None]
        cohorts = {each.arn: each.denied_with for each in judgements}
        untaggable = tagging.tag(self.write, instances, self.now(), cohorts)
        ended = {each.arn: _refused(each, untaggable[each.arn]) for each in judgements if each.arn in untaggable}
        changed = self._change_all([each for each in judgements if each.arn not in ended])
        seen = action.read_back(
            lambda arns: describe(self.read, arns),
            [arn for arn, each in changed.items() if each.status is Status.ENFORCED],
            has_time=self.has_time,
        )
        ended |= changed | {
            arn: replace(changed[arn], after=target.options)
            for arn, target in seen.items()
            if isinstance(target, Instance) and target.options.http_tokens == "required"
        }
        return self._untagged(list(ended.values()), set(untaggable))

    def _change_all(self, judgements: Sequence[Judgement]) -> dict[InstanceArn, Judgement]:
        """One of each cohort goes ahead: the others know then whether the organisation forbids the change to all of them."""
        first, others = _one_of_each(judgements)
        waiting = {each.arn: each for each in (*first, *others)}
        again = self.again(waiting=waiting, look=lambda arns: describe(self.read, arns))
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            changed = [*pool.map(lambda each: self._change_alone(each, again), first)]
            changed += pool.map(lambda each: self._change_alone(each, again), others)
        return {each.arn: each for each in changed}

    def _change_alone(self, judgement: Judgement, again: LookAgain) -> Judgement:
        """Change one instance. Whatever goes wrong stops none of the others."""
        try:
            return self._change(judgement, again)
        except CALL_FAILURES as error:
            # It is unknown whether EC2 received the call: the item stays `enforcing`, and the next run looks at EC2.
            self.logger.warning(
                "enforcement left unfinished", extra={"target": str(judgement.arn), "problem": describe_error(error)}
            )
        except Exception:
            self.logger.exception("enforcement left unfinished", extra={"target": str(judgement.arn)})
        return judgement

    def _change(self, judgement: Judgement, again: LookAgain) -> Judgement:
        try:
            with self.turn():
                judgement = again.at(judgement)
                if not judgement.is_untouched:
                    judgement = self._ask_policy(judgement, self.now())
                return judgement if judgement.is_untouched else self._ask_ec2(judgement)
        except QuotaExhausted as error:
            return _refused(judgement, action.deferred(error, self.now()))

    def _ask_policy(self, judgement: Judgement, looked_at: datetime) -> Judgement:
        """The judgement after the policy's gates; untouched too where they, or a pause of this process, have let the look grow old."""
        shut = self.ask_policy(judgement)
        if shut is not None:
            return replace(shut, is_untouched=True)
        now = self.now()
        return judgement if now - looked_at <= _TO_ASK else too_late(judgement, now)

    def _ask_ec2(self, judgement: Judgement) -> Judgement:
        denied = self._denied.get(judgement.denied_with or "")
        if denied is not None:
            return replace(judgement, verdict=denied.verdict, status=denied.status, is_untouched=True)
        judgement = replace(judgement, asked_at=self.now())
        instance = judgement.instance
        assert instance is not None  # noqa: S101 - only an instance that EC2 shows is ever enforced
        refusal = action.require_tokens(
            self.write,
            lambda: describe(self.read, [instance.arn])[instance.arn],
            instance,
            self.now(),
            judgement.record.endpoint_wanted_at,
        )
        if refusal is not None:
            refused = _refused(judgement, refusal)
            if refused.is_denied_to_all and refused.denied_with is not None:
                self._denied[refused.denied_with] = refused
            return refused
        return self.record(replace(judgement, status=Status.ENFORCED, after=_expected(instance.options)))

    def _untagged(self, ended: Sequence[Judgement], untaggable: set[InstanceArn]) -> list[Judgement]:
        """The judgements, after the tag was removed from what was not changed after all."""
        tagged = [
            each.arn
            for each in ended
            if each.status not in {Status.ENFORCED, Status.ENFORCING}
            and each.verdict.reason is not Reason.GONE
            and (each.arn not in untaggable or each.tag_left or _bore_tag(each))
        ]
        left = tagging.untag(self.write, tagged)
        if left:
            self.logger.warning("tag left behind", extra={"targets": sorted(map(str, left))})
        return [replace(each, tag_left=each.arn in left) for each in ended]


def _one_of_each(judgements: Sequence[Judgement]) -> tuple[list[Judgement], list[Judgement]]:
    """The first of those to which a refusal would apply alike, and the others."""
    by_cohort: dict[str, Judgement] = {}
    others = [each for each in judgements if by_cohort.setdefault(each.denied_with or str(each.arn), each) is not each]
    return [*by_cohort.values()], others


def _bore_tag(judgement: Judgement) -> bool:
    """Whether an earlier attempt, which died after it had tagged the instance, has left the service's tag."""
    return judgement.instance is not None and ENFORCED_TAG in judgement.instance.tags


def _expected(options: MetadataOptions) -> MetadataOptions:
    """The options as EC2 will show them once it has applied the change."""
    return replace(options, http_tokens="required")


def _refused(judgement: Judgement, refusal: Refusal) -> Judgement:
    match refusal.verdict.decision:
        case Decision.ENFORCE:
            status = Status.FAILED
        case Decision.HOLD:
            status = Status.HELD
        case Decision.SKIP:
            status = Status.SKIPPED
    return replace(
        judgement,
        verdict=refusal.verdict,
        status=status,
        error=refusal.error,
        is_untouched=True,
        tag_left=refusal.tag_left,
        wants_endpoint=refusal.wants_endpoint,
        is_denied_to_all=refusal.is_of_all,
    )
