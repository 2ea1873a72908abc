"""One account and Region in a pass of the guard: EC2 (options unchanged? restarted?) -> CloudWatch (rejected calls, signs of life) ->
health -> what broke is put back; after that the ledger (`verified`), notes and messages, which may hang or be throttled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import look
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.guard.watch import is_dormant, is_lost, noticed, resumed, watched
from imdsv2.ledger.change import Change
from imdsv2.ledger.record_values import TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn, Place, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.departures import Departures
    from imdsv2.guard.judging import Judged, Judging
    from imdsv2.guard.listing import Listing
    from imdsv2.guard.response import Response
    from imdsv2.guard.untagged import Untagged
    from imdsv2.guard.watch import Watched
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.change import Enforced
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger


@dataclass(kw_only=True)
class Pass:
    """The counts of one pass of the guard. ``accounts_left``: those that a pass of the last minutes has looked after."""

    watched: int = 0
    verified: int = 0
    rolled_back: int = 0
    left_broken: int = 0
    breakers_open: int = 0
    failed: int = 0
    accounts_left: int = 0

    def add(self, other: Pass) -> None:
        self.watched += other.watched
        self.verified += other.verified
        self.rolled_back += other.rolled_back
        self.left_broken += other.left_broken
        self.failed += other.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """What the first part did, and what is to follow: ``later``, which never raises. ``is_complete``: whether all has been looked at that
    had to be."""

    done: Pass
    later: Callable[[], Pass]
    is_complete: bool


@dataclass(slots=True, kw_only=True)
class _Rest:
    """What the first part leaves to the second."""

    unseen: list[tuple[Record, Unreachable]]
    lost: list[Record]
    owing: list[Record]
    """What an earlier pass, or whoever died in it, left owed."""
    told: list[Record] = field(default_factory=list)
    """What this pass put back or left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Looks after one account and Region at a time. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    policies: PolicySource
    judging: Judging
    departures: Departures
    untagged: Untagged
    response: Response
    writer: Writer
    now: Callable[[], datetime]
    logger: Logger

    def look_after(
        self, place: Place, rows: Sequence[Enforced], refusing: Sequence[InstanceArn], listing: Listing, request_id: str
    ) -> First:
        """Put back what broke, or what a person wants back. Raises what the ledger raises.

        Args:
            place: the account and Region.
            rows: what is under watch there.
            refusing: what refuses calls, under watch or not, and is read in any case.
            listing: what is known before anything is read.
            request_id: of the invocation.
        """
        done = Pass(watched=len(rows))
        targets = look(self.clients, list({*(each.arn for each in rows), *refusing}))
        awake = {each.arn for each in rows if not is_dormant(each, targets[each.arn])}
        recalled = {arn for arn in refusing if arn not in awake and isinstance(targets[arn], Instance)}
        records = self._in_force(awake, recalled)
        policy = self.policies.current(self.now()).policy
        unseen = {arn: target for arn in records if isinstance(target := targets[arn], Unreachable)}
        done.left_broken += sum(_is_left(records[arn]) for arn in unseen)
        done.failed += _is_out_of_sight(records, unseen)
        asked_back = [arn for arn, record in records.items() if record.is_to_go_back and arn not in unseen]
        open_ = [each for arn, each in records.items() if arn not in asked_back and not each.is_let_go]
        lost = [each for each in open_ if is_lost(each, targets[each.arn], self.now())]
        under_watch = self._watch([each for each in open_ if each not in lost], targets, policy)
        judged = self.judging.judge(place, under_watch, recalled, listing, policy)
        self._tell_refused(judged)
        rest = _Rest(
            unseen=[(records[arn], target) for arn, target in unseen.items() if not records[arn].is_let_go],
            lost=lost,
            owing=[each for arn, each in records.items() if arn not in asked_back and (each.is_let_go or each.owes)],
        )
        wanted = [*judged.broken, *(resumed(records[arn], targets[arn]) for arn in asked_back)]
        try:
            answered = self.response.put_back(wanted, policy, request_id)
        except Exception:
            self.logger.exception("nothing put back", extra={"account": place.account, "region": place.region})
            done.failed += 1
        else:
            done.failed += bool(answered.failed)
            done.rolled_back += answered.rolled_back
            done.left_broken += answered.left_broken
            rest.told += answered.owing
        unasked = any(isinstance(targets[arn], Unreachable) for arn in refusing)
        later = partial(self._follow_up, place, targets, judged, rest, policy, request_id)
        return First(done=done, later=later, is_complete=not done.failed and not unasked)

    def _tell_refused(self, judged: Judged) -> None:
        """A line for each instance whose calls are refused, with how many since they count: the dashboard lists them."""
        for arn, signs in judged.signs.items():
            if signs.refused:
                told = {"refused_calls": signs.rejected_calls, "last_call": to_seconds(signs.last_rejected_call)}
                self.logger.info("calls refused", extra={"target": str(arn), **told})

    def _follow_up(
        self,
        place: Place,
        targets: Mapping[InstanceArn, Target],
        judged: Judged,
        rest: _Rest,
        policy: Policy,
        request_id: str,
    ) -> Pass:
        """Let go of what has left, record what is healthy, and discharge what is owed; each for itself."""
        done = Pass()

        def let_go() -> None:
            rest.told += self.departures.let_go(place, rest.lost, targets, policy, request_id)

        def conclude() -> None:
            done.verified, owing = self.judging.conclude(judged, policy)
            rest.told += owing

        def out_of_sight() -> None:
            rest.told += self.judging.out_of_sight(rest.unseen)

        def discharge() -> None:
            tagged = self.response.rollback.replace_tags(self._owing_tags_still(rest.owing, targets))
            tagged |= {each.arn for each in rest.owing if _is_tag_void(each, targets[each.arn])}
            self.response.discharge([*rest.told, *rest.owing], tagged)

        def untagged() -> None:
            rest.told += self.untagged.note(targets)

        for step in (let_go, conclude, out_of_sight, untagged, discharge):
            try:
                step()
            except Exception:
                self.logger.exception("place not settled", extra={"account": place.account, "region": place.region})
                done.failed = 1
        return done

    def _owing_tags_still(self, owing: Iterable[Record], targets: Mapping[InstanceArn, Target]) -> list[Record]:
        """What is to be tagged, as the ledger has it now: since this pass began, a person may have cleared an instance, and another
        function required tokens again, which needs the tag that this would remove."""
        owed = _owing_tags(owing, targets)
        records = self.ledger.read(each.arn for each in owed) if owed else {}
        return [
            each
            for each in records.values()
            if TAG in each.owes and each.is_put_back and not each.is_leased(self.now())
        ]

    def _in_force(
        self, awake: AbstractSet[InstanceArn], recalled: AbstractSet[InstanceArn]
    ) -> dict[InstanceArn, Record]:
        """The records that are under watch or recalled, and that no other invocation holds a lease on."""
        records = self.ledger.read(sorted(awake | recalled))
        return {
            arn: record
            for arn, record in records.items()
            if (record.is_watched or (arn in recalled and record.stands)) and not record.is_leased(self.now())
        }

    def _watch(
        self, records: Iterable[Record], targets: Mapping[InstanceArn, Target], policy: Policy
    ) -> dict[InstanceArn, Watched]:
        """The watches of the instances that EC2 shows. Records new starts, and canaries that stopped; if that fails, the next pass
        does it, and what broke is put back all the same."""
        under_watch: dict[InstanceArn, Watched] = {}
        notes: list[Change] = []
        for record in records:
            instance = targets[record.arn]
            if not isinstance(instance, Instance):
                continue
            noted = noticed(record, instance)
            if noted != record:
                note = Change(before=record, after=noted)
                notes.append(note)
                noted = note.applied()
            under_watch[record.arn] = watched(noted, instance, policy, self.now())
        written = self.writer.write(notes)
        unwritten = {note.arn: note.before for note in notes if note.arn in written.failed}
        return {
            arn: replace(each, record=unwritten.get(arn, each.record))
            for arn, each in under_watch.items()
            if arn not in written.overtaken
        }


def _is_left(record: Record) -> bool:
    return not record.is_let_go and (record.is_broken or record.status == Status.ROLLING_BACK)


def _is_out_of_sight(records: Mapping[InstanceArn, Record], unseen: Mapping[InstanceArn, Unreachable]) -> bool:
    """Whether nothing of what is under watch can be seen, and that for more than one pass."""
    return bool(unseen) and len(unseen) == len(records) and any(records[arn].unseen_since for arn in unseen)


def _owing_tags(owing: Iterable[Record], targets: Mapping[InstanceArn, Target]) -> list[Record]:
    """What is to be tagged: it is there, and still as it was put back."""
    return [
        each
        for each in owing
        if TAG in each.owes and isinstance(targets[each.arn], Instance) and not _is_tag_void(each, targets[each.arn])
    ]


def _is_tag_void(record: Record, target: Target) -> bool:
    """Whether a tag is owed no longer: the instance has gone, or was changed anew and needs the tag that it has."""
    has_gone = isinstance(target, Missing) or (
        isinstance(target, Instance) and target.state in {"terminated", "shutting-down"}
    )
    return has_gone or not record.is_put_back
