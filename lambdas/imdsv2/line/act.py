"""The second half of the line: gates -> enforcement -> record, for evaluated instances of one account and Region."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.aws import metadata_options as action
from imdsv2.aws import tagging
from imdsv2.aws.ec2 import unreachable
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.history import History
from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Policy
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.domain.verdict_table.decision import decide_unseen
from imdsv2.errors import LedgerContended
from imdsv2.ledger.shared_writes import SharedWrites
from imdsv2.ledger.transactions import Written
from imdsv2.line import record
from imdsv2.line.enforce import Enforcement
from imdsv2.line.judgement import willing
from imdsv2.line.look_again import LookAgain
from imdsv2.line.verdict_record import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients, Role
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.change import Change
    from imdsv2.ledger.record import Record
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

    clients: MemberClients
    ledger: Ledger
    gates: Gates
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def act(
        self, judged: Sequence[Judgement], look_further: LookFurther, request_id: str
    ) -> tuple[list[Judgement], Written]:
        """Act on the judgements. Returns them in their final form, and what became of their writes.

        An instance is overtaken if another writer changed its record in the meantime.
        """
        asked = self.gates.ask(willing(judged), look_further)
        enforced, ahead = self._enforce(asked.open, request_id)
        ended = [
            enforced.get(each.arn) or asked.held.get(each.arn) or each for each in judged if each.arn not in ahead.lost
        ]
        ended = [replace(each, is_told_already=each.is_told_already or _is_still_denied(each, asked)) for each in ended]
        self.gates.denials.note(ended, asked.tried)
        recorded, written = self._record(self._untagged(ended), asked.summoned, request_id)
        # Only after the results are written, which stand whatever becomes of it.
        self._settle_room(asked, enforced)
        return recorded, ahead | written

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
            permitted, problem = action.is_permitted(self.clients.ec2(judgement.arn, "write"), judgement.arn)
        except CALL_FAILURES as error:
            permitted, problem = None, describe_error(error)
        unknown = {"code": "PermissionUnknown", "message": problem} if problem else None
        return replace(judgement, permitted=permitted, error=unknown)

    def take_over(
        self, records: Mapping[InstanceArn, Record], request_id: str
    ) -> tuple[dict[InstanceArn, Record], Written]:
        """Make unfinished enforcements this invocation's own. Returns all records, and what became of the writes."""
        changes = [
            record.taken_over(each, request_id, self.lease, self.now())
            for each in records.values()
            if each.is_unfinished
        ]
        written = self.ledger.write(changes, self.now()) if changes else Written()
        taken = {change.arn: change.applied() for change in changes if change.arn not in written.lost}
        return {**records, **taken}, written

    def _enforce(self, open_to: Sequence[Judgement], request_id: str) -> tuple[dict[InstanceArn, Judgement], Written]:
        """Enforce the instances that passed all gates. Returns their judgements, and what became of their writes."""
        try:
            enforcement = self._enforcement(open_to, request_id)
        except CALL_FAILURES as error:
            return {each.arn: self._unwritable(each, error) for each in open_to}, Written()
        ahead = [record.enforcing(each, self._signed(each, request_id), self.lease, self.now()) for each in open_to]
        written = self.ledger.write(ahead, self.now())
        taken = {change.arn: change.applied() for change in ahead if change.arn not in written.lost}
        mine = [replace(each, record=taken[each.arn], status=Status.ENFORCING) for each in open_to if each.arn in taken]
        return {each.arn: each for each in enforcement.run(mine)} if enforcement and mine else {}, written

    def _enforcement(self, open_to: Sequence[Judgement], request_id: str) -> Enforcement | None:
        if not open_to:
            return None
        there = open_to[0].arn
        return Enforcement(
            read=self.clients.ec2(there, "read"),
            write=self.clients.ec2(there, "write"),
            turn=partial(self.clients.turn, there, "ModifyInstanceMetadataOptions"),
            has_time=self.clients.has_time,
            again=partial(
                LookAgain,
                request_id=request_id,
                read_ledger=self.ledger.read,
                ask_gates=self.gates.ask_again,
                policy=lambda: self.gates.policies.current(self.now()).policy,
                now=self.now,
            ),
            ask_policy=self.gates.ask_policy,
            record=partial(
                self._record_enforced,
                SharedWrites(lambda changes: self.ledger.write(changes, self.now())),
                request_id=request_id,
            ),
            now=self.now,
            logger=self.logger,
        )

    def _record_enforced(self, writes: SharedWrites, judgement: Judgement, *, request_id: str) -> Judgement:
        """Write that EC2 has taken the change. What could not be written is written with the rest, at the end; what another run
        has taken over is left to it."""
        change = self._final_write(judgement, request_id)
        written = writes.write(change).logged(self.logger)
        if written.overtaken:
            return replace(judgement, status=Status.ENFORCING)
        return judgement if written.failed else replace(judgement, record=change.applied())

    def _record(
        self, ended: Sequence[Judgement], summoned: Sequence[Judgement], request_id: str
    ) -> tuple[list[Judgement], Written]:
        """Write every final verdict. Returns the judgements as recorded, and what became of their writes."""
        final = {each.arn: change for each in ended if (change := self._final(each, request_id)) is not None}
        others = [
            record.summoned(each, self._signed(each, request_id), self.now())
            for each in summoned
            if each.arn not in final
        ]
        # Whoever summons a canary that cannot be written summons it again: it holds the rest.
        written = self.ledger.write([*final.values(), *others], self.now()).of(final)
        return [_as_recorded(each, final) for each in ended if each.arn not in written.lost], written

    def _final(self, judgement: Judgement, request_id: str) -> Change | None:
        """The last write for an instance; None where nothing is left to be written, or it is left to a takeover."""
        if judgement.status is Status.ENFORCING:
            return None
        if judgement.status is Status.ENFORCED and judgement.record.status == Status.ENFORCED:
            return record.read_back(judgement)
        return self._final_write(judgement, request_id)

    def _final_write(self, judgement: Judgement, request_id: str) -> Change:
        now = self.now()
        digest = self.gates.policies.current(now).policy.digest
        return record.final(judgement, self._signed(judgement, request_id), now, digest)

    def _signed(self, judgement: Judgement, request_id: str) -> Signature:
        role: Role = "write" if judgement.verdict.decision is Decision.ENFORCE else "read"
        return Signature(request_id=request_id, session=self.clients.session_name(judgement.arn, role))

    def _unwritable(self, judgement: Judgement, error: Exception) -> Judgement:
        verdict = decide_unseen(unreachable(judgement.arn, error), History(), Policy(), self.now())
        return replace(judgement, verdict=verdict, status=Status.HELD)

    def _settle_room(self, asked: Asked, enforced: Mapping[InstanceArn, Judgement]) -> None:
        begun = [each for each in enforced.values() if each.status in {Status.ENFORCING, Status.ENFORCED}]
        if not asked.open:
            return
        there = asked.open[0].arn
        try:
            self.gates.settle(there, asked.reservation, [each.asked_at or self.now() for each in begun])
        except (*CALL_FAILURES, LedgerContended) as error:
            problem = {"account": there.account, "region": there.region, "problem": describe_error(error)}
            self.logger.warning("room under the cap not given back; it is free again in an hour", extra=problem)

    def _untagged(self, ended: Iterable[Judgement]) -> list[Judgement]:
        """The judgements, after the tag that an unfinished enforcement left behind was removed from what is not enforced."""
        ended = list(ended)
        left = {each.arn for each in ended if _left_its_tag(each)}
        tagged = [each.arn for each in ended if each.arn in left and _shows_tag(each)]
        try:
            still = tagging.untag(self.clients.ec2(tagged[0], "write"), tagged) if tagged else set()
        except CALL_FAILURES as error:
            self.logger.warning("tag left behind", extra={"targets": tagged, "problem": describe_error(error)})
            still = set(tagged)
        unseen = {each.arn for each in ended if each.arn in left and each.instance is None}
        return [replace(each, tag_left=each.arn in still | unseen) if each.arn in left else each for each in ended]


def _is_still_denied(judgement: Judgement, asked: Asked) -> bool:
    return judgement.is_denied_to_all and judgement.denied_with in asked.tried


def _left_its_tag(judgement: Judgement) -> bool:
    """Whether an earlier run may have left its tag on an instance that this one does not enforce either."""
    if not judgement.record.is_unfinished or judgement.is_untouched:
        return False
    if judgement.status in {Status.ENFORCING, Status.ENFORCED} or judgement.leaves_enforcement_standing:
        return False
    return judgement.verdict.reason is not Reason.GONE


def _shows_tag(judgement: Judgement) -> bool:
    return judgement.instance is not None and ENFORCED_TAG in judgement.instance.tags


def _as_recorded(judgement: Judgement, final: Mapping[InstanceArn, Change]) -> Judgement:
    if judgement.arn not in final:
        return judgement
    written = final[judgement.arn].applied()
    return replace(judgement, record=written, status=Status(str(written.status)))
