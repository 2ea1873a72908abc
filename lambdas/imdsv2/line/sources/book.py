"""Records verdicts on sources in the ledger, and tells of them: notes on the findings that named them, messages to their owners.

What could not be told is still owed, by the record, and told by whoever judges the source next.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.batches import batched
from imdsv2.domain.policy import Mode
from imdsv2.errors import LedgerContended
from imdsv2.ledger.source_verdicts import SourceRecord
from imdsv2.line.sources.texts import owner_message, short_form, source_note
from imdsv2.source.effect import REQUIRED
from imdsv2.source.remedies import remedies_of
from imdsv2.source.verdict import SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.aws.topic import Topic
    from imdsv2.domain.instance import Placed
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.source_verdicts import SourceVerdicts
    from imdsv2.line.sources.judging import JudgedSource

SOURCES_A_MESSAGE = 15
"""Keeps a message with their remedies below SNS's limit of 256 KB."""
_TRIES = 3
_STANDS = timedelta(days=3)
"""How long a verdict stands while its source cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBook:
    """Keeps what is known of sources. ``now``: the clock."""

    verdicts: SourceVerdicts
    hub: SecurityHub
    topic: Topic
    policies: PolicySource
    now: Callable[[], datetime]
    logger: Logger

    def record(
        self, judged: Sequence[JudgedSource], findings: Mapping[str, Sequence[Finding]] | None = None
    ) -> dict[str, SourceRecord]:
        """Write verdicts, with the findings that asked for them by the source's key. Returns the records as they are then. Raises
        ClientError or LedgerContended."""
        named = findings or {}
        return self.change(
            [each.name.key for each in judged],
            {each.name.key: _Judgement(each, tuple(named.get(each.name.key, ()))) for each in judged},
        )

    def change(
        self, keys: Iterable[str], changes: Mapping[str, Callable[[SourceRecord, datetime], SourceRecord]]
    ) -> dict[str, SourceRecord]:
        """Read, change and write records, again where somebody else was quicker. Returns them as they are then."""
        pending, done = list(keys), dict[str, SourceRecord]()
        for _ in range(_TRIES):
            known, now = self.verdicts.read(pending), self.now()
            after = {key: changes[key](record, now) for key, record in known.items()}
            done |= {key: record for key, record in after.items() if record == known[key]}
            wanted = [(known[key], record) for key, record in after.items() if key not in done]
            done |= self.verdicts.save(wanted, now)
            pending = [key for key in pending if key not in done]
            if not pending:
                return done
        raise LedgerContended("others keep changing these sources in the ledger; this is tried again")

    def annotate(self, records: Iterable[SourceRecord], places: Mapping[str, Placed], tries: int = _TRIES) -> None:
        """Write the notes that are owed. Never raises what AWS answers: they are still owed. Where a verdict has changed meanwhile, this
        note may have taken the place of a newer one, which is written again."""
        owing = [each for each in records if each.owed_notes()]
        if not owing:
            return
        texts: dict[Finding, str] = {}
        accounts: dict[Finding, str] = {}
        for record in owing:
            text = source_note(record, places[record.key])
            texts |= dict.fromkeys(record.owed_notes(), text)
            accounts |= dict.fromkeys(record.owed_notes(), places[record.key].account)
        workflow = self.policies.current(self.now()).policy.mode is not Mode.OBSERVE
        try:
            told = self.hub.annotate(texts, accounts, workflow=workflow)
            # A finding that Security Hub will not have a note on is not asked about again.
            done = {each.key: [one for one in each.owed_notes() if one in told.done | told.refused] for each in owing}
            marked = self.change(
                [key for key, findings in done.items() if findings],
                {each.key: _Annotated(each, done[each.key]) for each in owing},
            )
            behind = [marked[each.key] for each in owing if _has_changed(marked.get(each.key), each)]
            if behind and tries > 1:
                self.annotate(behind, places, tries - 1)
        except (*CALL_FAILURES, LedgerContended) as error:
            self.logger.warning("notes on sources not written", extra={"problem": describe_error(error)})

    def tell_owners(self, judged: Iterable[JudgedSource], records: Mapping[str, SourceRecord]) -> int:
        """With the notice gate on, send each owner the remedies of sources whose verdict has changed. Returns how many messages were
        sent. Never raises what AWS answers: what was not sent is owed."""
        policy = self.policies.current(self.now()).policy
        if not policy.notice_hours:
            return 0
        groups: dict[tuple[str, str], list[JudgedSource]] = defaultdict(list)
        for each in judged:
            record = records.get(each.name.key)
            if record is not None and _owes_message(record):
                groups[owner_of_source(each, policy.owner_tag), str(record.verdict)].append(each)
        sent = 0
        for (owner, _), several in sorted(groups.items()):
            for batch in batched(several, SOURCES_A_MESSAGE):
                try:
                    self.topic.send(owner_message(batch, owner))
                    sent += 1
                    keys = [each.name.key for each in batch]
                    self.change(keys, {key: _Told(str(records[key].verdict), owner) for key in keys})
                except (*CALL_FAILURES, LedgerContended) as error:
                    self.logger.warning("owner of sources not told", extra={"problem": describe_error(error)})
                    return sent  # Each further message would wait as long.
        return sent


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Writes a verdict, and the findings that asked for it."""

    judged: JudgedSource
    findings: tuple[Finding, ...]

    def __call__(self, record: SourceRecord, now: datetime) -> SourceRecord:
        each, source = self.judged, self.judged.source
        if each.unanswered and record.judged_at is not None and now - record.judged_at < _STANDS:
            return record.with_findings(self.findings)  # Nobody is told otherwise because of a call that failed.
        verdict, reason = str(each.judged.verdict), each.reason
        changes = (verdict, reason) != (record.verdict, record.reason)
        remedies = [] if each.judged.verdict is SourceVerdict.ALREADY_REQUIRED else remedies_of(source)
        after = replace(
            record,
            verdict=verdict,
            reason=reason,
            explanation=each.judged.explanation,
            since=now if changes else record.since,
            changed_at=now if changes else record.changed_at,
            judged_at=now,
            members=len(source.running),
            allowing=sum(one.options.http_tokens != REQUIRED for one in source.running),
            language=str(remedies[0].language) if remedies else None,
            remedy=short_form(each),
            # Its owner is told anew if it should allow IMDSv1 again one day.
            told_verdict=None if each.judged.verdict is SourceVerdict.ALREADY_REQUIRED else record.told_verdict,
        )
        return after.with_findings(self.findings)


@dataclass(frozen=True, slots=True)
class _Annotated:
    """Notes that these findings have the note of a verdict; if that has changed since, that they have an older one's."""

    told: SourceRecord
    findings: Sequence[Finding]

    def __call__(self, record: SourceRecord, now: datetime) -> SourceRecord:
        return record.annotated(self.findings, None if _has_changed(record, self.told) else now)


def _has_changed(record: SourceRecord | None, told: SourceRecord) -> bool:
    return record is not None and record.changed_at != told.changed_at


@dataclass(frozen=True, slots=True)
class _Told:
    """Notes what the owner was told."""

    verdict: str
    owner: str

    def __call__(self, record: SourceRecord, now: datetime) -> SourceRecord:
        return replace(record, told_verdict=self.verdict, told_owner=self.owner, told_at=now)


def owner_of_source(each: JudgedSource, tag: str) -> str:
    """The owner by the tag of the group, fleet or launch template, else by that of most instances; else the account."""
    source = each.source
    launchers = [source.group, source.fleet, *(launch.template for launch in source.launches)]
    for launcher in launchers:
        if launcher is not None and launcher.tags.get(tag):
            return launcher.tags[tag]
    of_members = Counter(one.tags[tag] for one in source.instances if one.tags.get(tag))
    return of_members.most_common(1)[0][0] if of_members else each.name.account


def _owes_message(record: SourceRecord) -> bool:
    """Whether its owner has something to do, or is no longer to do what the last message said."""
    if record.verdict == record.told_verdict:
        return False
    asked_to_wait = record.verdict == SourceVerdict.HOLD and record.told_verdict == SourceVerdict.FIX_SOURCE
    return record.verdict == SourceVerdict.FIX_SOURCE or asked_to_wait
