"""The daily digest: one message for each owner, sent when the nightly sweep has ended.

What happened comes from the trail's events since the last digest, who owns it and what is open from the file of the fleet that the
sweep has just written. Up to when an owner has been told is written after each message: an owner whose message failed is told of
everything by the next run, and nobody is told of the same twice, unless a function dies between the topic's answer and that write.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.instance import partition_of
from imdsv2.domain.policy import Digest
from imdsv2.ledger.digests import OwnerTold
from imdsv2.sweep.digest_arrivals import ARRIVES, Arrivals
from imdsv2.sweep.digest_rows import AGAIN_AFTER, NO_OWNER, OwnerDigest, happened, note_event
from imdsv2.sweep.digest_texts import digest_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.s3 import SweepFiles
    from imdsv2.aws.topic import Topic
    from imdsv2.ledger.digests import Digests, DigestState
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.sweep.digest_rows import Happened
    from imdsv2.sweep.rows import Row

SETTLES = timedelta(minutes=2)
"""By then most events are written and seen in the index: what is newer is left to the next digest, as is what comes later still."""
A_DAY = timedelta(days=1)
LONGEST = timedelta(days=30)
"""How far back a digest goes that had failed all the time."""
_CLAIM = timedelta(minutes=15)
"""How long a run may send: as long as the function may run."""


@dataclass(slots=True)
class Sent:
    """What came of a run: the owners that were told, and those whose message failed."""

    sent: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def is_in_vain(self) -> bool:
        """Whether nothing could be sent of what was due: the next run does all of it."""
        return bool(self.failed) and not self.sent

    def document(self) -> dict[str, int]:
        """As JSON, for the summary of the sweep."""
        return {"sent": len(self.sent), "failed": len(self.failed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a run tells of: everything until a time, since then for each owner. ``earliest``: since when for any of them."""

    since: datetime
    until: datetime
    owners: Mapping[str, OwnerTold]

    def since_for(self, owner: str) -> datetime:
        """Since when an owner has not been told."""
        known = self.owners.get(owner)
        if known is None:
            return self.since
        return known.until if known.is_owed else max(known.until, self.since)

    @property
    def earliest(self) -> datetime:
        return min([self.since, *(each.until for each in self.owners.values() if each.is_owed)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyDigest:
    """Sends the digests of a day. ``now``: the clock."""

    digests: Digests
    policies: PolicySource
    topic: Topic
    now: Callable[[], datetime]
    logger: Logger

    def run(self, files: SweepFiles, fleet: str, execution: str) -> Sent | None:
        """Send what is due, from the file of the fleet with the key ``fleet``; None if nothing is. ``execution``: of the sweep, which may
        begin anew what it had begun.

        Raises ClientError or BotoCoreError if ledger or file cannot be read or written: the next run does all of it.
        """
        now = self.now()
        state, reading = self.digests.read(), self.policies.read(now)
        is_wanted = reading.in_force.policy.digest is Digest.DAILY
        until = now - SETTLES
        owners = self.digests.owners() if is_wanted or state.is_on else {}
        if not (is_wanted or state.is_on) or not _is_due(state, owners, until):
            return None
        since = _since(state, until, reading.modified_at)
        window = Window(since=since, until=until, owners=_kept(owners, until))
        claimed = self._claim(state, window, execution, now)
        if claimed is None:
            return None
        sent = self._send(files, fleet, window)
        # Functions follow a policy that was changed just now from the next minute on: what they still left to the digest is told tomorrow.
        changed_lately = reading.modified_at is not None and reading.modified_at > until - SETTLES
        is_done = not sent.is_in_vain
        self.digests.save(
            replace(
                claimed,
                until=until if is_done else claimed.until,
                is_on=is_wanted or changed_lately or not is_done,
                claimed_by=None,
                claimed_until=None,
            )
        )
        self.logger.info("digest", extra=sent.document())
        return sent

    def _claim(self, state: DigestState, window: Window, execution: str, now: datetime) -> DigestState | None:
        """Keep other runs from sending, and what is to be told: it stays owed whatever becomes of this run. None if another run sends."""
        is_taken = state.claimed_until is not None and state.claimed_until > now
        if is_taken and state.claimed_by != execution:
            return None
        return self.digests.save(
            replace(state, until=window.since, is_on=True, claimed_by=execution, claimed_until=now + _CLAIM)
        )

    def _send(self, files: SweepFiles, fleet: str, window: Window) -> Sent:
        """Send each owner's digest, and write up to when each has been told."""
        sent, is_answering = Sent(), True
        for owner, digest in sorted(self._gather(files, fleet, window).items()):
            if not _is_to_send(digest, window.owners.get(owner), window.until):
                continue
            problem = self._sent(owner, digest, window) if is_answering else None
            if problem is None and is_answering:
                sent.sent.append(owner)
                continue
            sent.failed.append(owner)
            # Where the topic does not answer, each further message would wait as long.
            is_answering = is_answering and isinstance(problem, ClientError)
        if not sent.is_in_vain:
            self._keep_owed(sent, window)
        return sent

    def _sent(self, owner: str, digest: OwnerDigest, window: Window) -> Exception | None:
        """Send one digest, and write that it was sent; what the topic said against it."""
        try:
            self.topic.send(digest_message(owner, digest, window.until))
        except CALL_FAILURES as error:
            self.logger.error("digest not sent", extra={"owner": owner, "problem": describe_error(error)})
            return error
        self.digests.mark(owner, OwnerTold(until=window.until))
        return None

    def _keep_owed(self, sent: Sent, window: Window) -> None:
        """Before all others count as told until the end of the window: since when some have not been told."""
        for owner in sent.failed:
            self.digests.mark(owner, OwnerTold(until=window.since_for(owner), is_owed=True))
        for owner, told in window.owners.items():
            if _is_told(told, window.until):
                self.digests.mark(owner, replace(told, is_owed=True))
            elif told.is_owed and owner not in {*sent.sent, *sent.failed}:  # There was nothing to say.
                self.digests.mark(owner, OwnerTold(until=window.until))

    def _gather(self, files: SweepFiles, fleet: str, window: Window) -> dict[str, OwnerDigest]:
        known: Happened = {}
        arrivals = Arrivals.between(files, window.since, window.until)
        for event in self.digests.events(window.earliest - ARRIVES, window.until):
            note_event(known, arrivals.placed(event))
        arrivals.keep(files, window.earliest)
        today = window.until.astimezone(UTC).date()
        gathered = _Gathered(window)
        for row in _rows(files, fleet):
            owner = row["owner"].strip() or NO_OWNER
            events = known.pop(_arn(row), None)
            gathered[owner].note(row, happened(events, window.since_for(owner)), today)
        for arn, events in sorted(known.items()):
            if left := happened(events, window.since_for(NO_OWNER)):
                gathered[NO_OWNER].note_gone(arn, left)
        return gathered


class _Gathered(defaultdict[str, OwnerDigest]):
    def __init__(self, window: Window) -> None:
        super().__init__()
        self._window = window

    def __missing__(self, owner: str) -> OwnerDigest:
        self[owner] = made = OwnerDigest(since=self._window.since_for(owner))
        return made


def _is_due(state: DigestState, owners: Mapping[str, OwnerTold], until: datetime) -> bool:
    """Once a day (UTC), and again where somebody is still owed one."""
    is_told = state.until is not None and state.until.date() == until.date()
    return not is_told or any(each.is_owed and not _is_told(each, until) for each in owners.values())


def _since(state: DigestState, until: datetime, modified_at: datetime | None) -> datetime:
    """From when on all are told. Before the first digest, and after a time without any, each message was sent by itself, until the policy
    was changed: since then messages are left to the digest, also in nights whose sweep failed. ``modified_at``: of the policy."""
    longest = until - LONGEST
    if state.is_on:
        return max(state.until or longest, longest)
    begun = max(longest, min(until - A_DAY, modified_at or until))
    return begun if state.until is None else max(state.until, begun)


def _kept(owners: Mapping[str, OwnerTold], until: datetime) -> dict[str, OwnerTold]:
    return {owner: replace(each, until=max(each.until, until - LONGEST)) for owner, each in owners.items()}


def _is_told(told: OwnerTold, until: datetime) -> bool:
    """Whether an owner has had a digest on that day."""
    return told.until.date() == until.date()


def _is_to_send(digest: OwnerDigest, known: OwnerTold | None, until: datetime) -> bool:
    if digest.is_empty or (known is not None and _is_told(known, until)):
        return False
    return digest.is_news or known is None or until.date() - known.until.date() >= AGAIN_AFTER


def _rows(files: SweepFiles, fleet: str) -> Iterator[Row]:
    with files.read_packed(fleet) as packed, io.TextIOWrapper(packed, "utf-8", newline="") as text:
        yield from csv.DictReader(text)


def _arn(row: Row) -> str:
    return f"arn:{partition_of(row['region'])}:ec2:{row['region']}:{row['account']}:instance/{row['instance_id']}"
