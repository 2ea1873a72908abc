"""The second half of the line: gates -> enforcement -> record, for evaluated instances of one account and Region."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.aws import metadata_options as action
from imdsv2.aws.ec2 import unreachable
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.decision import decide_without_evidence
from imdsv2.domain.history import History
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.line import record
from imdsv2.line.enforce import Enforcement
from imdsv2.line.judgement import willing
from imdsv2.line.record import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members, Role
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.record import Change
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.canaries import LookFurther
    from imdsv2.line.gate import Asked, Gates
    from imdsv2.line.judgement import Judgement

_CALLS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Checks the gates, enforces and records.

    Args:
        lease: duration of a lease; longer than the function's time limit.
        now: the clock.
    """

    members: Members
    ledger: Ledger
    gates: Gates
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def act(
        self, judged: Sequence[Judgement], look_further: LookFurther, request_id: str
    ) -> tuple[list[Judgement], set[InstanceArn]]:
        """Act on the judgements. Returns them in their final form, and the instances that were overtaken.

        An instance is overtaken if another writer changed its record in the meantime.
        """
        asked = self.gates.ask(willing(judged), look_further)
        enforced, overtaken = self._enforce(asked.open, request_id)
        ended = [
            enforced.get(each.arn) or asked.held.get(each.arn) or each for each in judged if each.arn not in overtaken
        ]
        self._untag_leftovers(ended)
        recorded, overtaken_late = self._record(ended, asked.summoned, request_id)
        # Only after the results are written: if this fails, it only costs some cap for an hour.
        self._give_back_room(asked, enforced)
        return recorded, overtaken | overtaken_late

    def rehearse(self, judged: Sequence[Judgement], look_further: LookFurther) -> list[Judgement]:
        """Dry run of `act`: checks the gates and asks EC2 whether it would permit the change; writes nothing."""
        held = self.gates.ask(willing(judged), look_further, dry_run=True).held
        judged = [held.get(each.arn, each) for each in judged]
        # Only for requests from people: a sweep does not report it, and each dry run may count against the quota.
        of_interest = [each for each in willing(judged) if each.case.lead.asked_by_person]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            asked = {each.arn: each for each in pool.map(self._ask_ec2, of_interest)}
        return [asked.get(each.arn, each) for each in judged]

    def _ask_ec2(self, judgement: Judgement) -> Judgement:
        try:
            permitted, problem = action.is_permitted(self.members.ec2(judgement.arn, "write"), judgement.arn)
        except CALL_FAILURES as error:
            permitted, problem = None, describe_error(error)
        unknown = {"code": "PermissionUnknown", "message": problem} if problem else None
        return replace(judgement, permitted=permitted, error=unknown)

    def _enforce(
        self, open_to: Sequence[Judgement], request_id: str
    ) -> tuple[dict[InstanceArn, Judgement], set[InstanceArn]]:
        """Enforce the instances that passed all gates. Returns their judgements, and the overtaken instances."""
        try:
            enforcement = self._enforcement(open_to)
        except CALL_FAILURES as error:
            return {each.arn: self._unwritable(each, error) for each in open_to}, set()
        ahead = [record.enforcing(each, self._signed(each, request_id), self.lease, self.now()) for each in open_to]
        overtaken = self.ledger.write(ahead, self.now())
        taken = {change.arn: change.applied() for change in ahead if change.arn not in overtaken}
        mine = [replace(each, record=taken[each.arn], status=Status.ENFORCING) for each in open_to if each.arn in taken]
        return {each.arn: each for each in enforcement.run(mine)} if enforcement and mine else {}, overtaken

    def _enforcement(self, open_to: Sequence[Judgement]) -> Enforcement | None:
        if not open_to:
            return None
        return Enforcement(
            read=self.members.ec2(open_to[0].arn, "read"),
            write=self.members.ec2(open_to[0].arn, "write"),
            ask_gates=self.gates.ask_again,
            ask_policy=self.gates.ask_policy,
            now=self.now,
            logger=self.logger,
        )

    def _record(
        self, ended: Sequence[Judgement], summoned: Sequence[Judgement], request_id: str
    ) -> tuple[list[Judgement], set[InstanceArn]]:
        """Write every final verdict. Returns the judgements as recorded, and the overtaken instances."""
        final = {
            each.arn: record.final(each, self._signed(each, request_id), self.now())
            for each in ended
            if each.status is not Status.ENFORCING
        }
        others = [
            record.summoned(each, self._signed(each, request_id), self.now())
            for each in summoned
            if each.arn not in final
        ]
        overtaken = self.ledger.write([*final.values(), *others], self.now()) & final.keys()
        return [_as_recorded(each, final) for each in ended if each.arn not in overtaken], overtaken

    def _signed(self, judgement: Judgement, request_id: str) -> Signature:
        role: Role = "write" if judgement.verdict.decision is Decision.ENFORCE else "read"
        return Signature(request_id=request_id, session=self.members.session_name(judgement.arn, role))

    def _unwritable(self, judgement: Judgement, error: Exception) -> Judgement:
        verdict = decide_without_evidence(unreachable(judgement.arn, error), History(), Policy(), self.now())
        assert verdict is not None  # noqa: S101 - row 2 settles what cannot be reached
        return replace(judgement, verdict=verdict, status=Status.HELD)

    def _give_back_room(self, asked: Asked, enforced: Mapping[InstanceArn, Judgement]) -> None:
        unused = [each for each in asked.open if not _has_begun(enforced.get(each.arn))]
        self.gates.give_back(unused, asked.reserved_at)

    def _untag_leftovers(self, ended: Iterable[Judgement]) -> None:
        """Remove the tag that a crashed run left behind, from instances that are not enforced after all."""
        left = [
            each.arn
            for each in ended
            if each.record.status == Status.ENFORCING
            and each.status not in {Status.ENFORCING, Status.ENFORCED}
            and not each.leaves_enforcement_standing
            and each.verdict.reason is not Reason.GONE
            and each.instance is not None
            and action.ENFORCED_TAG in each.instance.tags
        ]
        if not left:
            return
        try:
            action.untag(self.members.ec2(left[0], "write"), left)
        except CALL_FAILURES as error:
            self.logger.warning(
                "tag left behind", extra={"targets": [str(arn) for arn in left], "problem": describe_error(error)}
            )


def _has_begun(enforced: Judgement | None) -> bool:
    """Whether the change was made, or may have been made."""
    if enforced is None:
        return False
    return enforced.status in {Status.ENFORCING, Status.ENFORCED} or enforced.after is not None


def _as_recorded(judgement: Judgement, final: Mapping[InstanceArn, Change]) -> Judgement:
    if judgement.arn not in final:
        return judgement
    written = final[judgement.arn].applied()
    return replace(judgement, record=written, status=Status(str(written.status)))
