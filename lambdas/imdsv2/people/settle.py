"""What people say about the past of instances: that what is held against them is settled (`clear`), that they are to be
changed in spite of it (`accept`), or that their software was updated (`mended`). The line judges them when their turn comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.history import Acceptance
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import OURS
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS
from imdsv2.domain.texts.words import minute
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.evidence_rows import ACCEPTABLE
from imdsv2.errors import InvalidRequest
from imdsv2.ledger.items import account_key, to_text
from imdsv2.ledger.record_values import PROBE
from imdsv2.ledger.trail import Event, Kind
from imdsv2.people.effects import at_its_turn, of_acceptance
from imdsv2.people.mark import Word, author, make_due, mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.ledger.pool import Pools
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.command_request import AcceptCommand, ClearCommand, MendedCommand
    from imdsv2.people.scope import Scopes

ACCEPTED_FOR_DAYS = 400
"""The longest time for which anybody may accept what the evidence says."""

_LEFT_BROKEN = "left_broken"
_REFUSED_CALLS = "refused_calls"
_GOES_BACK = "It is about to be put back; ask again once that is done."
_STAYS = "cleared; it stays enforced, and refused calls count from now on"
_STRICT = "cleared; it requires tokens, and what it was refused until now holds nobody"
_WAITS_FOR_OTHERS = frozenset({Reason.CANARY_WAIT, Reason.COHORT_USES_V1})
_LATER = "It has broken, gone back or been judged otherwise since then; look at it, and ask again."
_NOTHING = "There is nothing to clear: it has neither broken nor been undone or opened since it was last cleared."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """Writes what people say to the records that it is about. ``look``: what EC2 shows of instances; ``now``: the clock."""

    ledger: Ledger
    scopes: Scopes
    pools: Pools
    look: Callable[[Iterable[InstanceArn]], Mapping[InstanceArn, Target]]
    now: Callable[[], datetime]

    def clear(self, command: ClearCommand, request_id: str) -> list[dict[str, Any]]:
        """Void what is held against instances; each is judged anew at its turn. Of a command with a time, only what was so until then: a
        person has seen no more. Raises InvalidRequest for a time to come."""
        now, signature = self.now(), command.signed(request_id)
        until = None if command.at is None else _past(command.at, now)
        records = self.scopes.all(command)
        if not command.scope.targets:
            records = [each for each in records if voided(each) or _waits_for_cohort(each, command)]
        # Somebody may have opened it without the ledger's knowing; what is not open yet stays ours.
        ours = {each.arn for each in records if each.stands}
        targets = self.look([each.arn for each in records if each.stands or command.scope.targets])
        opened = {arn for arn in ours if _tokens_of(targets[arn]) == "optional"}
        strict = self._strict([each for each in records if each.arn in targets and each.arn not in ours], targets)
        seen_at = self.now()
        problems = {
            each.arn: _NOTHING
            for each in records
            if not (voided(each, opened) or each.stands or each.arn in strict or _waits_for_cohort(each, command))
        }
        problems |= {each.arn: _LATER for each in records if voided(each, opened) and _has_changed(each, until)}
        problems |= {each.arn: _GOES_BACK for each in records if each.is_to_go_back}
        problems |= {arn: why for arn, why in self.scopes.strangers.among(records).items() if arn not in strict}

        def cleared(record: Record) -> Record:
            if record.stands and record.arn not in opened:
                return _settled(record, signature, now, seen_at)
            voids = voided(record, opened)
            if record.arn in strict and not voids:
                # That it was seen required after the clearance keeps row 10.
                return replace(record, cleared_at=now, cleared_by=signature, revisit_at=now, required_seen_at=seen_at)
            # What its siblings did is settled in the evidence of the cohort.
            return _cleared(record, voids, signature, now) if voids else replace(record, revisit_at=now)

        def tells(record: Record) -> dict[str, Any]:
            stays, voids = record.stands and record.arn not in opened, voided(record, opened)
            if record.arn in strict and not voids:
                return {"voids": [_REFUSED_CALLS], "outcome": _STRICT}
            voids = voids or [_REFUSED_CALLS if stays else str(Reason.COHORT_USES_V1)]
            return {"voids": voids, "outcome": _STAYS if stays else f"cleared, {at_its_turn(now)}"}

        self._settle_cohort(command, until or now, Kind.CLEARED, request_id)
        word = Word(into=cleared, by=author(command, request_id), tells=tells)
        results = mark(self.ledger, records, word, problems, now, dry_run=command.dry_run)
        self._make_cohorts_due(records, results)
        return results

    def _strict(self, records: Iterable[Record], targets: Mapping[InstanceArn, Target]) -> set[InstanceArn]:
        """What somebody else made require tokens, and may hold its cohort by calls that it was refused: as the cohort's evidence says,
        or because it was never judged, so that its cohort is not known."""
        required = [each for each in records if _tokens_of(targets[each.arn]) == "required"]
        pools = self.pools.read({each.cohort for each in required if each.cohort is not None})
        refused = {member.arn for pool in pools.values() for member in pool.members if member.refused is not None}
        return {each.arn for each in required if not each.version or each.arn in refused}

    def _make_cohorts_due(self, records: Iterable[Record], results: Iterable[Mapping[str, Any]]) -> None:
        """What runs the same software, or comes from the same source, waited for what a person has now said."""
        done = {each["target"] for each in results if each["done"]}
        settled = [each for each in records if each.cohort is not None and str(each.arn) in done]
        lineages = {lineage_of(str(each.cohort)) for each in settled}
        # Of what was never judged, the cohort is not known.
        nameless = {account_key(each.arn) for each in records if each.cohort is None and str(each.arn) in done}
        accounts = sorted({account_key(each.arn) for each in settled} | nameless)
        make_due(
            self.ledger,
            accounts,
            lambda record: (
                record.reason in _WAITS_FOR_OTHERS
                and record.cohort is not None
                and (lineage_of(record.cohort) in lineages or _waits_in(record, nameless))
            ),
            self.now(),
        )

    def _settle_cohort(
        self, command: ClearCommand | MendedCommand, until: datetime, kind: Kind, request_id: str
    ) -> None:
        """Settle what all members of a cohort did until then, those included that have ended and that no record names."""
        cohort = command.scope.cohort
        if cohort is None or command.dry_run:
            return
        details = {"cohort": cohort, "until": to_text(until), **author(command, request_id).said()}
        self.pools.settle(cohort, until, Event(kind=kind, details=details), self.now())

    def accept(self, command: AcceptCommand, request_id: str) -> list[dict[str, Any]]:
        """Let instances be changed in spite of what their evidence says."""
        now = self.now()
        latest = now.astimezone(UTC).date() + timedelta(days=ACCEPTED_FOR_DAYS)
        if command.until > latest:
            raise InvalidRequest("until", f"takes a day within {ACCEPTED_FOR_DAYS} days, {latest} at the latest")
        acceptance = Acceptance(
            owner=command.owner,
            reason=command.reason,
            until=command.until,
            by=command.caller,
            request_id=request_id,
            at=now,
        )
        records = self.scopes.named(command.scope)
        problems = {each.arn: problem for each in records if (problem := _unacceptable(each)) is not None}
        problems |= self.scopes.strangers.among(records)
        word = Word(
            into=partial(replace, acceptance=acceptance, revisit_at=now),
            by=author(command, request_id),
            tells=of_acceptance(acceptance, now),
        )
        return mark(self.ledger, records, word, problems, now, dry_run=command.dry_run)

    def mended(self, command: MendedCommand, request_id: str) -> list[dict[str, Any]]:
        """Note when the software of instances was updated and run anew: their evidence begins there."""
        now = self.now()
        at = _past(command.at, now)
        if at < now - timedelta(days=LONGEST_MEMORY_DAYS):
            raise InvalidRequest("at", f"takes a time of the last {LONGEST_MEMORY_DAYS} days, not {to_seconds(at)}")
        records = self.scopes.all(command)
        # What holds its cohort may never have been judged itself.
        unknown = self.scopes.strangers.among(records)
        seen = self.look(unknown)
        self._settle_cohort(command, at, Kind.MENDED, request_id)
        problems = {arn: why for arn, why in unknown.items() if not isinstance(seen[arn], Instance)}
        word = Word(
            # What is known to be quiet may have been known only from an earlier such word on.
            into=partial(replace, mended_at=at, mended_by=command.signed(request_id), quiet_until=None, revisit_at=now),
            by=author(command, request_id),
            tells=lambda record: {"mended_at": to_seconds(at), "mended_before": to_seconds(record.mended_at)},
        )
        results = mark(self.ledger, records, word, problems, now, dry_run=command.dry_run)
        self._make_cohorts_due(records, results)
        return results


def voided(record: Record, opened: AbstractSet[InstanceArn] = frozenset()) -> list[str]:
    """What a clearance of an instance would void, by the reasons' names. ``opened``: enforced ones that EC2 shows open."""
    history = record.history
    is_open = record.status not in OURS and record.reason != Reason.ALREADY_REQUIRED
    was_required = history.stands or history.uncleared_required_seen_at is not None
    was_opened = was_required or (record.reason == Reason.CHANGED_BACK and history.is_blank)
    held = {
        Reason.BROKE_BEFORE: history.uncleared_rollback_at is not None or (record.is_broken and not record.stands),
        Reason.UNDONE_BY_PERSON: history.uncleared_undo_at is not None,
        Reason.CHANGED_BACK: record.arn in opened or (is_open and was_opened),
        Reason.V1_REFUSED: record.reason == Reason.V1_REFUSED,
        _LEFT_BROKEN: record.is_broken and record.stands,
        PROBE: record.probe_at is not None and (record.cleared_at is None or record.cleared_at < record.probe_at),
    }
    return [str(name) for name, is_so in held.items() if is_so]


def _past(at: datetime, now: datetime) -> datetime:
    """The time of a command. Raises InvalidRequest for one that is still to come."""
    if at > now:
        raise InvalidRequest("at", f"takes a time that is past, not {to_seconds(at)}; it is {to_seconds(now)}")
    return at


def _has_changed(record: Record, since: datetime | None) -> bool:
    """Whether something has happened since then that a clearance would void, too. Without a time, a person means all that is known, also
    what a function has written whose clock is ahead."""
    times = (record.changed_at, record.broken_at, record.rolled_back_at, record.undone_at, record.probe_at)
    return since is not None and any(when is not None and when > since for when in times)


def _waits_for_cohort(record: Record, command: ClearCommand) -> bool:
    """Whether it is held by what another of the cohort did that the command is about."""
    return command.scope.cohort is not None and record.reason == Reason.COHORT_USES_V1


def _waits_in(record: Record, accounts: AbstractSet[str]) -> bool:
    """Whether it is held by what others used, in one of some accounts."""
    return record.reason == Reason.COHORT_USES_V1 and account_key(record.arn) in accounts


def _tokens_of(target: Target) -> str | None:
    return target.options.http_tokens if isinstance(target, Instance) else None


def _cleared(record: Record, voids: Sequence[str], signature: str, now: datetime) -> Record:
    """The record of what is judged anew; its reason stays until then."""
    why = f"Cleared by {signature}; {at_its_turn(now)}. No longer held against it: {', '.join(voids)}."
    return replace(record, cleared_at=now, cleared_by=signature, revisit_at=now, explanation=why)


def _settled(record: Record, signature: str, now: datetime, seen_at: datetime) -> Record:
    """The record of what is enforced, and stays so. That it was seen required after the clearance keeps row 10."""
    if record.is_broken:
        record = replace(record, left_because=None, left_at=None)  # Why it was left broken is settled with it.
    why = (
        f"Tokens are required, and stay so. Calls that were refused until {minute(now)} were no breakage, as cleared by "
        f"{signature}. Calls that are refused from then on count."
    )
    return replace(
        record, cleared_at=now, cleared_by=signature, revisit_at=now, required_seen_at=seen_at, explanation=why
    )


def _unacceptable(record: Record) -> str | None:
    """Why nobody can accept what an instance's evidence says, or None. What was accepted and waits may be so anew."""
    if (record.reason in ACCEPTABLE or record.acceptance is not None) and record.status not in OURS:
        return None
    rows = ", ".join(sorted(ACCEPTABLE))
    if record.reason is None:
        return f"It has not been judged yet; what can be accepted is {rows}."
    return f"It has the verdict {record.decision} ({record.reason}), which nobody can accept; what can be accepted is {rows}."
