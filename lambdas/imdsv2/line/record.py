"""Converts a judgement into a change of the ledger record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.documents import options_document
from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Digest
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import DAILY, SOON, Reason
from imdsv2.ledger.change import VERDICT, Change
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.record_values import OPEN, UNTAG
from imdsv2.ledger.trail import Author
from imdsv2.line.notices import jittered, with_notice, with_reminder
from imdsv2.line.urgent import is_urgent
from imdsv2.line.verdict_record import Signature, with_verdict

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imdsv2.domain.instance import Instance, MetadataOptions
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.record import Record
    from imdsv2.line.judgement import Case, Judgement


_LEFT_TO_GUARD = frozenset(
    {
        Reason.CHANGED_BACK,
        Reason.GONE,
        Reason.EXEMPT,
        Reason.EXEMPTION_UNREADABLE,
        Reason.HELD_BY_PERSON,
        Reason.ENDPOINT_DISABLED,
    }
)
"""Somebody has ended an enforcement: the guard lets it go, once it has seen whether calls had been refused."""


def taken_over(known: Record, request_id: str, lease: timedelta, now: datetime) -> Change:
    """The write by which one invocation makes an unfinished enforcement its own, before it looks and removes or uses the tag."""
    after = replace(known, owner=request_id, lease_until=now + lease, revisit_at=now + lease)
    return Change(before=known, after=after)


def enforcing(judgement: Judgement, signature: Signature, lease: timedelta, now: datetime) -> Change:
    """The write before the call to EC2: the previous options, who acts, and the lease.

    It uses up the approval and the acceptance, whatever the result: the next attempt needs new ones.
    """
    known, instance = judgement.record, judgement.instance
    after = replace(
        with_verdict(known, judgement, signature, now).no_longer_watched(),
        status=Status.ENFORCING,
        enforcing_at=now,
        endpoint_wanted_at=known.endpoint_wanted_at,
        before=options_document(instance.options if instance else None),
        after=None,
        owner=signature.request_id,
        lease_until=now + lease,
        revisit_at=now + lease,
        canary=judgement.canary,
        approval=None,
        acceptance=None,
        approved_by=_approved_by(known, now),
    )
    # The finding's state is stored only with the final verdict: after a crash, its event must not count as an echo.
    unknown = [each for each in judgement.case.findings if key_of(each, known.findings) not in known.findings]
    new = [replace(each, updated_at=None) for each in unknown]
    return Change(
        before=known,
        after=after,
        findings=tuple(new),
        says=(*VERDICT, "approved_by", "before"),
        by=_author(judgement, signature),
    )


def _approved_by(known: Record, now: datetime) -> str | None:
    """The people on whose word the change is made."""
    said = []
    # An old refusal may remain from a time when approval was required; it is not an approval.
    if known.approval is not None and not known.approval.is_refusal:
        said.append(f"{known.approval.by}, request {known.approval.request_id}")
    if known.acceptance is not None and known.acceptance.in_force(now):
        accepted = known.acceptance
        said.append(f"{accepted.by}, request {accepted.request_id}, accepted by {accepted.owner}: {accepted.reason}")
    return "; ".join(said) or None


def final(judgement: Judgement, signature: Signature, now: datetime, digest: Digest) -> Change:
    """The final write: the verdict, and what was done. What the ``digest`` tells in place of a message of its own is told with it: it
    reads the events of the trail, which are written with the verdict."""
    known = judgement.record
    says: tuple[str, ...] = VERDICT
    if judgement.leaves_enforcement_standing:
        after, says = _standing(judgement, now), ("status", "decision", "reason", "source", "after")
    else:
        after = _judged(judgement, signature, now)
        if judgement.status is Status.ENFORCED:
            says = (*VERDICT, "after")
    if judgement.verdict.reason is Reason.ALREADY_REQUIRED:
        after = replace(after, required_seen_at=now)
    if (known.status, known.decision, known.reason) != (after.status, after.decision, after.reason):
        after = replace(after, changed_at=now)
        is_left_to_digest = digest is Digest.DAILY and after.has_news and not is_urgent(after)
        if judgement.is_told_already or is_left_to_digest:
            after = replace(after, notified_at=now)
    return Change(
        before=known,
        after=after,
        findings=_findings(judgement.case, known),
        says=says,
        by=_author(judgement, signature),
        unless_due=judgement.status is not Status.ENFORCED,
    )


def _judged(judgement: Judgement, signature: Signature, now: datetime) -> Record:
    """The record with a verdict that takes the place of what was there."""
    known = judgement.record
    after = replace(
        with_verdict(known, judgement, signature, now),
        status=judgement.status,
        revisit_at=jittered(_revisit_at(judgement, now), now),
        owner=None,
        lease_until=None,
        left_because=None,
        undo=None,
        owes=(known.owes | {UNTAG}) if judgement.tag_left else (known.owes - {UNTAG}),
    )
    if known.left_because is not None and known.owes_notification():
        # Nobody has heard yet why the guard left it, or let it go: a new verdict does not wipe that.
        after = replace(after, left_because=known.left_because, explanation=known.explanation)
    if judgement.tag_left:
        after = replace(after, revisit_at=min(after.revisit_at or now + SOON, now + SOON))
    if judgement.status is Status.ENFORCED:
        asked_at = judgement.asked_at or now
        after = replace(
            _enforced(after, judgement.after, asked_at, confirmed=True),
            enforcing_at=asked_at,
            revisit_at=jittered(now + DAILY, now),
        )
    elif judgement.verdict.reason not in _LEFT_TO_GUARD:
        after = after.no_longer_watched()
    return with_reminder(with_notice(after, judgement), judgement, now)


def read_back(judgement: Judgement) -> Change | None:
    """The write for an enforcement that is on record, if EC2 then showed other options than were to be expected."""
    shown = options_document(judgement.after)
    if shown == judgement.record.after:
        return None
    return Change(before=judgement.record, after=replace(judgement.record, after=shown))


def _revisit_at(judgement: Judgement, now: datetime) -> datetime | None:
    """A notice moves it to its end when it is delivered; until then, delivery is tried again."""
    if judgement.notice is not None and judgement.notice.ends_at is None:
        return now + SOON
    return judgement.verdict.revisit_at


def summoned(judgement: Judgement, signature: Signature, now: datetime) -> Change:
    """The write for a canary that nobody requested: it is due for evaluation at once."""
    known = with_verdict(judgement.record, judgement, signature, now).no_longer_watched()
    after = replace(known, status=Status.WOULD_ENFORCE, revisit_at=now)
    return Change(before=judgement.record, after=after, says=VERDICT, by=_author(judgement, signature))


def _author(judgement: Judgement, signature: Signature) -> Author:
    """Who looked, and on whose word: the record may go on telling who did what happened before."""
    case = judgement.case
    return Author(caller=case.lead.caller, request_id=signature.request_id, source=str(case.source))


def _enforced(record: Record, after: MetadataOptions | None, now: datetime, *, confirmed: bool) -> Record:
    """The record with an enforcement and a new watch; clears what an earlier watch and the notice left."""
    return replace(
        record,
        enforced_at=now,
        confirmed=confirmed,
        after=options_document(after),
        endpoint_wanted_at=None,
        watch=OPEN,
        restarted_at=None,
        verified_at=None,
        clean_at=None,
        canary_lost=False,
        left_because=None,
        unseen_since=None,
        broken_at=None,
        untagged_at=None,
        notice_ends_at=None,
    )


def _standing(judgement: Judgement, now: datetime) -> Record:
    """The record of an enforcement that stays in place. If the enforcing run crashed and EC2 shows tokens required, this
    completes the enforcement, from the moment at which it began."""
    known, required = judgement.record, judgement.verdict.reason is Reason.ALREADY_REQUIRED
    settled = required and known.status == Status.VERIFIED
    later = jittered(now + DAILY if required else judgement.verdict.revisit_at, now)
    if known.status == Status.ENFORCING and judgement.verdict.reason is Reason.UNREACHABLE:
        later = now + SOON  # Nobody watches what is in doubt, so that it is not left there for a day.
    after = replace(known, revisit_at=None if settled else later)
    if known.status != Status.ENFORCING:
        # It was taken over for its tag alone: the guard goes on at once.
        return replace(after, owner=None, lease_until=None)
    if not required:
        return after
    instance = judgement.instance
    return replace(
        _enforced(
            after,
            instance.options if instance else None,
            known.enforcing_at or now,
            confirmed=_is_as_asked(known, instance),
        ),
        status=Status.ENFORCED,
        source=judgement.case.source,
        owner=None,
        lease_until=None,
        owes=known.owes - {UNTAG},  # The tag that an earlier attempt may have left is needed now.
    )


def _is_as_asked(known: Record, instance: Instance | None) -> bool:
    """Whether the options of an instance are what an interrupted enforcement asked for, and nothing else: then the change is the
    service's own. It tags before it asks, so what has no tag was not asked for."""
    if instance is None or ENFORCED_TAG not in instance.tags:
        return False
    return options_document(instance.options) == {**(known.before or {}), "HttpTokens": "required"}


def _findings(case: Case, record: Record) -> tuple[Finding, ...]:
    """The findings of the requests, in the state that this verdict answers; earlier annotation times are kept."""
    newest: dict[str, Finding] = {}
    for finding in case.findings:
        key = key_of(finding, record.findings)
        known = newest.get(key) or record.findings.get(key)
        if known is not None and known.updated_at and finding.updated_at and known.updated_at > finding.updated_at:
            continue
        newest[key] = replace(finding, annotated_at=known.annotated_at if known else None)
    return tuple(newest.values())
