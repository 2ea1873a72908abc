"""Texts for people about records: a headline, and notifications of several instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.texts.commands import account_command
from imdsv2.domain.texts.message import Message
from imdsv2.domain.texts.pasting import lines_to_paste, numbered
from imdsv2.domain.texts.words import calls, count
from imdsv2.domain.verdict import Reason
from imdsv2.ledger.record_values import ENDED, ENDED_UNEXPLAINED, OPENED, PROBE, UNPROVEN, UNTAGGED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.domain.account import Account
    from imdsv2.ledger.record import Record


@dataclass(frozen=True, slots=True)
class Directions:
    """Whom people ask: the function that takes commands."""

    manual_function: str


INSTANCES_A_MESSAGE = 60
"""Keeps a message well below SNS's limit of 256 KB."""

HEADLINES = {
    "enforced": "IMDSv1 switched off",
    "rolled_back": "IMDSv1 switched on again",
    "failed": "IMDSv1 could not be switched off",
    "would_enforce": "IMDSv1 could be switched off (observe mode)",
    "held": "IMDSv1 stays on",
}
"""For each of `lifecycle.NEWS`."""
VERIFIED = "IMDSv1 is off, and nothing has needed it since"
BREAKER_KIND = "breaker"
BROKE_KIND = "broke"
LEFT_BROKEN_KIND = "left_broken"
LOOK_KIND = "look"
NOTICE_KIND = "notice"
DIGEST_KIND = "digest"
_KINDS = {
    "enforced": "changed",
    "rolled_back": BROKE_KIND,
    "failed": "failed",
    "would_enforce": "observed",
    "held": "held",
}
"""For each of `lifecycle.NEWS`."""
KINDS = frozenset(
    {*_KINDS.values(), BREAKER_KIND, LEFT_BROKEN_KIND, LOOK_KIND, NOTICE_KIND, DIGEST_KIND, "reminder", "source"}
)
"""Values of the attribute `kind`, which every message has."""
_BROKEN = "Something broke, and IMDSv1 is still off"
_NOT_UNDONE = "IMDSv1 could not be switched on again"
_LEFT = {
    UNPROVEN: "IMDSv1 is off, and nobody can say that nothing broke",
    PROBE: "IMDSv1 calls were rejected: a probe, or something broke",
    UNTAGGED: "IMDSv1 is off, and could not be switched on again without its tag",
    ENDED: "Something broke, and the instance has gone",
    ENDED_UNEXPLAINED: "IMDSv1 calls were rejected, and the instance has gone",
}
_OPENED = "Somebody switched IMDSv1 on again"
_OPENED_BROKEN = "Something broke, and somebody switched IMDSv1 on again"
NOTICE = "IMDSv1 will be switched off"
REMINDERS = {
    "ends": "What keeps IMDSv1 on ends soon",
    "ended": "What kept IMDSv1 on has ended",
    "cut": "An exemption is longer than the policy allows",
}
_WHERE = (
    "The service imdsv2-remediation requires IMDSv2 where nothing needs IMDSv1 any more; imdsv2 is its command line: if you do not "
    "have it, ask your security team. Put your name and your reason in place of what stands in capitals."
)


def headline(record: Record) -> str | None:
    """The news about a record in a few words; None if it has none (`Record.has_news`)."""
    if record.left_because is not None:
        return left_headline(record.left_because, is_broken=record.is_broken)
    if record.reminder is not None:
        return REMINDERS[record.reminder]
    if record.reason == Reason.NOTICE_GIVEN:
        return NOTICE
    return HEADLINES.get(str(record.status))


def left_headline(left_because: str, *, is_broken: bool) -> str:
    """What the guard left to people, in a few words."""
    if left_because == OPENED:
        return _OPENED_BROKEN if is_broken else _OPENED
    if left_because in _LEFT:
        return _LEFT[left_because]
    return _BROKEN if is_broken else _NOT_UNDONE


def owner_told(record: Record) -> str | None:
    """The owner to whom the notification is addressed; None if it is addressed to account and Region."""
    return record.told_owner if record.reason == Reason.NOTICE_GIVEN else None


def breaker_opened(account: Account, directions: Directions) -> Message:
    """The notification that an account's circuit breaker has opened."""
    number = account.key.rpartition("/")[2]
    close = account_command("close_breaker", number)
    text = (
        f"The breaker of account {number} is open: no further instance there is made to require IMDSv2 until a person closes it; "
        "rollbacks go on. Find out what broke (it was told in messages of its own, and imdsv2 status lists it); then close it: [1]"
    )
    broke = count(len(account.rollbacks), "instance")
    return Message(
        subject=f"IMDSv1 stays on in account {number}: {broke} broke within a day",
        text="\n".join([text, *_to_paste(close, directions), "", _WHERE]),
        attributes={"reason": Reason.BREAKER_OPEN, "account": number, "owner": number, "kind": BREAKER_KIND},
    )


def message(records: Sequence[Record], directions: Directions) -> Message:
    """The notification for records with the same verdict and place (or owner)."""
    first = records[0]
    several = count(len(records), "instance")
    owner = owner_told(first)
    where = f"of {owner}" if owner else f"in {first.arn.account} {first.arn.region}"
    subject = f"{headline(first)}: {several} {where} ({first.reason})"
    lines = [_entry(record, directions) for record in records]
    whose = owner or first.belongs_to
    addressed = {"owner": owner} if owner else {"account": first.arn.account, "region": first.arn.region}
    verdict = {"decision": str(first.decision), "reason": str(first.reason), "status": str(first.status)}
    text = "\n\n".join([subject, *lines, _WHERE])
    always = {"kind": kind_of(first), "owner": whose or first.arn.account}
    return Message(subject=subject, text=text, attributes={**verdict, **addressed, **always})


def kind_of(record: Record) -> str:
    """What a message is about, by which subscribers filter: of `KINDS`."""
    if record.left_because is not None:
        return LEFT_BROKEN_KIND if record.is_broken else LOOK_KIND
    if record.reminder is not None:
        return "reminder"
    if record.reason == Reason.NOTICE_GIVEN:
        return NOTICE_KIND
    return _KINDS.get(str(record.status), "held")


def _entry(record: Record, directions: Directions) -> str:
    """What is said of one instance: which it is, whose, why, on what evidence, and what can be pasted."""
    why, commands = numbered(str(record.explanation))
    named = f"{_on_one_line(record.name)} ({record.arn})" if record.name else str(record.arn)
    lines = [named, f"  {why}"]
    if record.belongs_to is not None:
        lines.append(f"  Owner: {_on_one_line(record.belongs_to)}")
    if record.cohort is not None:
        lines.append(f"  Cohort: {record.cohort}")
    if record.reason == Reason.NOTICE_GIVEN and record.evidence:
        lines.append(f"  Evidence: {_evidence(record.evidence)}")
    if commands:
        lines += _to_paste(str(record.explanation), directions)
    if record.status == Status.ENFORCED and record.left_because is None:
        lines.append(f"  If something fails: imdsv2 undo {record.arn.instance_id}")
    return "\n".join([*lines, f"  More, and what happens next: imdsv2 explain {record.arn.instance_id}"])


def _on_one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _evidence(evidence: Mapping[str, Any]) -> str:
    """The evidence of a notice in a sentence; what is not known of it is left out."""
    used, hours, coverage = (evidence.get(name) for name in ("tokenless_calls", "observed_hours", "coverage"))
    said = [f"{calls(int(used or 0))} from {evidence.get('window_start')} to {evidence.get('window_end')}"]
    said += [f"observed in {count(int(hours), 'hour')}"] if hours is not None else []
    said += [f"which are {float(coverage):.0%} of those in which it ran"] if coverage is not None else []
    return f"{', '.join(said)}."


def _to_paste(text: str, directions: Directions) -> list[str]:
    """Each command by its number, for the command line and for the function that does the same."""
    _, commands = numbered(text)
    both = lines_to_paste(text, directions.manual_function)[1::2]
    return [
        line
        for number, (ours, theirs) in enumerate(zip(commands, both, strict=True), 1)
        for line in (f"  [{number}] {ours}", f"      or, without it: {theirs}")
    ]
