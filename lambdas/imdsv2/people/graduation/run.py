"""Graduation: shows whether an account and Region is ready, locks its metadata defaults on request, and puts back what was before.

Order: what is open -> what EC2 shows -> ledger (`locking`, with what was before) -> EC2 -> ledger (`locked`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_have_been_done
from imdsv2.aws.metadata_defaults import read_metadata_defaults, set_metadata_defaults
from imdsv2.domain.graduation import BY_POLICY, ENFORCED, TOKENS, Graduation, Lock, as_before, missing, wanted_of
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.policy import Mode
from imdsv2.domain.texts.words import are, count
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.errors import LedgerContended
from imdsv2.source.effect import REQUIRED
from imdsv2.source.readiness import Open, newest_launches, would_change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Place
    from imdsv2.ledger.graduation import Graduations
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.people.graduation.look import Look, Looking
    from imdsv2.people.graduation.request import GraduationOrder

SHOWN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Graduates:
    """Carries out the command. ``now``: the clock."""

    clients: MemberClients
    looking: Looking
    graduations: Graduations
    policies: PolicySource
    now: Callable[[], datetime]

    def carry_out(self, asked: GraduationOrder, request_id: str) -> dict[str, Any]:
        """Show, lock or unlock. Raises ClientError or LedgerContended if the ledger fails before EC2 is asked; failures of the account
        are answered, and those of the ledger after that."""
        known = self.graduations.of(asked.place)
        try:
            now, manager = read_metadata_defaults(self.clients.ec2_of_sources(asked.place, "read"))
        except CALL_FAILURES as error:
            told = f"EC2 there cannot be read ({describe_error(error)}): deploy the member roles of this version there and enable the Region."
            return _answer(asked, known, {}, result="refused", explanation=told)
        busy_until = None if asked.dry_run else known.busy_until(self.now())
        if busy_until is not None:
            told = f"Somebody may be changing these defaults right now ({known.by}); nothing is done. Ask again after {busy_until:%H:%M UTC}."
            return _answer(asked, known, now, result="refused", explanation=told)
        if manager == BY_POLICY:
            told = "A declarative policy of the organisation manages these defaults; they are left alone. Change them there."
            return _answer(asked, known, now, result="left_alone", explanation=told)
        if asked.unlock:
            return self._unlock(asked, known, now, request_id)
        return self._lock(asked, known, now, request_id)

    def _lock(
        self, asked: GraduationOrder, known: Graduation, now: Mapping[str, Any], request_id: str
    ) -> dict[str, Any]:
        look = self.looking.at(asked.place, _locked_at(known, now))
        wanted = wanted_of(hop_limit=asked.hop_limit, enforce=asked.enforce)
        planned = missing(wanted, now)
        found = [*look.open, *self._gates(asked, now)]
        if not planned:
            known = known if asked.dry_run else self._settled(asked, known, now)
            told = "The defaults already say so; nothing is changed."
            return _answer(asked, known, now, look, found, result="already_locked", explanation=told)
        if found:
            told = f"Not ready: {count(len(found), 'thing')} {are(len(found))} open. Settle that, then ask again."
            return _answer(asked, known, now, look, found, result="refused", explanation=told)
        if asked.dry_run:
            told = "Ready. Nothing is changed by a dry run: ask for the same without it, and with your name."
            return _answer(asked, known, now, look, result="would_lock", explanation=told, planned=planned)
        if (between := self._changed_since(asked.place, now)) is not None:
            return _answer(asked, known, now, look, result="refused", explanation=between)
        # What was before the first change is kept; a later step adds its own.
        before = {**as_before(planned, now), **(known.before if known.holds else {})}
        earlier = known.wanted if known.holds else {}
        begun = replace(
            known,
            status=Lock.LOCKING,
            before=before,
            wanted={**earlier, **planned},
            by=asked.signed(request_id),
            error=None,
        )
        return self._set(asked, known, begun, now, planned, Lock.LOCKED, look)

    def _changed_since(self, place: Place, now: Mapping[str, Any]) -> str | None:
        """Why nothing is to be changed on the grounds of what was read before a look that took seconds; None if nothing is in the way."""
        try:
            fresh, _ = read_metadata_defaults(self.clients.ec2_of_sources(place, "read"))
        except CALL_FAILURES as error:
            return f"The defaults cannot be read again ({describe_error(error)}); nothing is changed. Ask again."
        return "Somebody has changed the defaults meanwhile; nothing is changed. Ask again." if fresh != now else None

    def _settled(self, asked: GraduationOrder, known: Graduation, now: Mapping[str, Any]) -> Graduation:
        """The ledger's item, completed where an earlier attempt was carried out and its answer got lost."""
        if known.status not in (Lock.LOCKING, Lock.FAILED) or not known.holds or missing(known.wanted, now):
            return known
        return self.graduations.save(replace(known, status=Lock.LOCKED, error=None), self.now(), asked.author)

    def _unlock(
        self, asked: GraduationOrder, known: Graduation, now: Mapping[str, Any], request_id: str
    ) -> dict[str, Any]:
        """Put back what was before, where the defaults are still as the service set them."""
        if not known.holds:
            told = "The service has set no defaults here; there is nothing to put back."
            return _answer(asked, known, now, result="nothing_to_unlock", explanation=told)
        planned = missing(known.before, now)
        changed = [name for name in planned if name in missing(known.wanted, now)]
        if changed:
            told = f"Somebody else has changed {', '.join(changed)} since; nothing is put back. Before the service it was {dict(known.before)}."
            return _answer(asked, known, now, result="refused", explanation=told)
        if asked.dry_run:
            told = "These defaults would be put back. Nothing is changed by a dry run: ask for the same without it, and with your name."
            return _answer(asked, known, now, result="would_unlock", explanation=told, planned=planned)
        begun = replace(known, status=Lock.UNLOCKING, by=asked.signed(request_id), error=None)
        return self._set(asked, known, begun, now, planned, Lock.UNLOCKED)

    def _set(
        self,
        asked: GraduationOrder,
        known: Graduation,
        begun: Graduation,
        now: Mapping[str, Any],
        planned: Mapping[str, Any],
        done: Lock,
        look: Look | None = None,
    ) -> dict[str, Any]:
        written = self.graduations.save(begun, self.now(), asked.author)
        try:
            if planned:
                set_metadata_defaults(self.clients.ec2_of_sources(asked.place, "source"), planned)
        except CALL_FAILURES as error:
            problem = describe_error(error)
            failed = replace(written, status=Lock.FAILED, error=problem)
            if _is_refusal(error):
                # Nothing was changed: what somebody else sets later is theirs, and no unlocking takes it back.
                stands = known if known.holds else Graduation(place=known.place)
                failed = replace(failed, before=stands.before, wanted=stands.wanted)
            failed = self._saved(failed, asked) or written
            told = f"EC2 refused, or did not answer ({problem}). Ask again: what was before is kept, and nothing is done twice."
            return _answer(asked, failed, now, look, result="failed", explanation=told, planned=planned)
        finished = self._saved(replace(written, status=done), asked)
        told = (
            f"Put back with {_unlocking(asked.place)}." if done is Lock.LOCKED else "What was before is in force again."
        )
        if finished is None:
            finished, again_at = written, written.busy_until(self.now()) or self.now()
            told = (
                f"EC2 has done it, but the ledger could not be written and still says {written.status}. Ask again after "
                f"{again_at:%H:%M UTC}: that completes it, and changes nothing else. {told}"
            )
        return _answer(asked, finished, {**now, **planned}, look, result=done, explanation=told, planned=planned)

    def _saved(self, known: Graduation, asked: GraduationOrder) -> Graduation | None:
        """Write what EC2 has answered; None if the ledger fails, which changes nothing of what EC2 has done."""
        try:
            return self.graduations.save(known, self.now(), asked.author)
        except (*CALL_FAILURES, LedgerContended):
            return None

    def _gates(self, asked: GraduationOrder, now: Mapping[str, Any]) -> list[Open]:
        """What keeps the service itself from it, and the order of the two steps."""
        policy = self.policies.current(self.now()).policy
        anywhere = InstanceArn(asked.place.partition, asked.place.region, asked.place.account, "")
        found = []
        if policy.mode == Mode.OFF:
            found.append(Open(what="policy", name="mode", because="The service is switched off."))
        if scoped := decide_scope(anywhere, policy, self.now()):
            found.append(Open(what="policy", name="scope", because=scoped.explanation))
        if asked.enforce and now.get(TOKENS) != REQUIRED:
            because = f"{ENFORCED} is the second step: lock the default first, so that launches that say nothing pass."
            found.append(Open(what="defaults", name=TOKENS, because=because))
        return found


def _locked_at(known: Graduation, now: Mapping[str, Any]) -> datetime | None:
    """Since when the service's default is certain to be in force; None if it is not."""
    is_locked = known.status == Lock.LOCKED and TOKENS in known.wanted and now.get(TOKENS) == REQUIRED
    return known.at if is_locked else None


def _is_refusal(error: Exception) -> bool:
    """Whether it is certain that EC2 has changed nothing."""
    return isinstance(error, ClientError) and not may_have_been_done(error)


def _unlocking(place: Place) -> str:
    """The command that puts back what was before."""
    return json.dumps(
        {
            "graduate": {"account": place.account, "region": place.region, "unlock": True},
            "dry_run": False,
            "caller": "YOUR NAME",
        }
    )


def _answer(
    asked: GraduationOrder,
    known: Graduation,
    now: Mapping[str, Any],
    look: Look | None = None,
    found: Sequence[Open] = (),
    *,
    result: str,
    explanation: str,
    planned: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    launches = look.launches if look is not None else []
    return {
        "command": "graduate",
        "dry_run": asked.dry_run,
        "account": asked.place.account,
        "region": asked.place.region,
        "result": result,
        "explanation": explanation,
        "ready": look is not None and not found,
        "count": len(found),
        "open": [{"what": each.what, "name": each.name, "explanation": each.because} for each in found[:SHOWN]],
        "launches": {
            "looked_at": len(launches),
            "launchers": len(newest_launches(launches)),
            "would_get_tokens": [
                {"principal": each.principal, "user_agent": each.user_agent, "at": each.at.isoformat()}
                for each in would_change(launches)[:SHOWN]
            ],
        },
        "defaults": dict(now),
        "planned_call": dict(planned) if planned else None,
        "status": known.status,
        "before": dict(known.before),
    }
