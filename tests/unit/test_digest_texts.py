"""The text of a digest: of a size that SNS takes, on lines that can be pasted, whatever people call their things."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

import pytest

from imdsv2.domain.fleet_file import COLUMNS
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.texts.commands import command, hold_command
from imdsv2.ledger.digests import TrailEvent
from imdsv2.sweep.digest_rows import ENTRIES, Happened, OwnerDigest, note_event
from imdsv2.sweep.digest_texts import digest_message

UNTIL = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=1)
AT = "2026-11-19T14:05:00.000000Z"
HOSTILE = "a'; rm -rf / #\n\x1b[31m" + "ü" * 230


def arn_of(number: int) -> InstanceArn:
    """An instance by its number."""
    return InstanceArn.of(region="ap-southeast-2", account="222222222222", instance_id=f"i-{number:017x}")


def row(number: int, **columns: str) -> dict[str, str]:
    """A row of the fleet."""
    arn = arn_of(number)
    place = {"account": arn.account, "region": arn.region, "instance_id": arn.instance_id}
    return {**dict.fromkeys(COLUMNS, ""), **place, **columns}


def worst(number: int) -> dict[str, str]:
    """Everything as long as it can be."""
    why = f"{'é' * 2000}. {command('mended', arn_of(number))} {hold_command(arn_of(number), 'o' * 256, UNTIL.date())}"
    waits = {"status": "held", "reason": "v1_in_use", "since": "2026-11-19", "explanation": why}
    return row(number, name=HOSTILE, owner=HOSTILE, cohort="c" * 400, **waits)


def test_the_largest_digest_is_one_that_sns_takes() -> None:
    """256 KB with its attributes; and a subject of one line."""
    digest = OwnerDigest(since=SINCE)
    for number in range(50):
        digest.note(worst(number), {"held": AT} if number % 2 else {"rolled_back": AT}, UNTIL.date())
        digest.note(row(number + 50, status="verified"), {"enforced": AT, "verified": AT}, UNTIL.date())
        exempt = {"status": "skipped", "reason": "exempt", "ends_on": "2026-11-22", "name": HOSTILE}
        digest.note(row(number + 100, **exempt), {}, UNTIL.date())
    message = digest_message(HOSTILE, digest, UNTIL)
    assert len(message.text.encode()) < 200_000
    assert "\n" not in message.subject
    assert 4 == message.text.count(f"- and {50 - ENTRIES} more: ") + message.text.count(f"- and {25 - ENTRIES} more: ")
    assert "\x1b" not in message.text


def test_names_stay_on_their_line_and_commands_are_whole() -> None:
    """What a shell would do something with is quoted."""
    digest = OwnerDigest(since=SINCE)
    digest.note(worst(1), {"held": AT}, UNTIL.date())
    lines = digest_message(HOSTILE, digest, UNTIL).text.splitlines()
    commands = [line.partition("imdsv2 ")[2] for line in lines if "imdsv2 " in line and "policy set" not in line]
    named = [
        shlex.split(f"imdsv2 {each}") for each in commands if each.startswith(("mended", "hold", "list", "explain"))
    ]
    assert {"mended", "hold", "list", "explain"} == {each[1] for each in named}
    (listed,) = [each for each in named if each[1] == "list"]
    assert ["--owner", "".join(each if each.isprintable() else " " for each in HOSTILE)] == listed[2:]


def event(kind: str, status: str | None = None, reason: str | None = None) -> TrailEvent:
    """An event about one instance."""
    return TrailEvent(pk=str(arn_of(1)), id="0a1b2c3d4e5f", at=AT, kind=kind, status=status, reason=reason)


TOLD = {
    "enforced": event("status_changed", "enforced", "unused"),
    "verified": event("status_changed", "verified", "unused"),
    "rolled_back": event("status_changed", "rolled_back", "broke_before"),
    "failed": event("status_changed", "failed", "unused"),
    "would_enforce": event("reason_changed", "would_enforce", "cohort_unused"),
    "held": event("reason_changed", "held", "no_evidence"),
    "broke": event("broke", "enforced", "unused"),
    "left": event("left", "enforced", "unused"),
    "exemption_seen": event("exemption_seen", "skipped", "exempt"),
    "exemption_ended": event("exemption_ended", "held", "v1_in_use"),
    "hold_ended": event("hold_ended", "held", "v1_in_use"),
}
UNTOLD = [
    event("status_changed", "enforcing", "unused"),
    event("status_changed", "rolling_back", "unused"),
    event("status_changed", "skipped", "gone"),
    event("status_changed", "held", "canary_wait"),
    event("status_changed", "held", "notice_given"),
    event("reason_changed", "enforced", "unreachable"),
    event("approved", "held", "approval_required"),
    event("notice_delivered", "held", "notice_given"),
    TrailEvent(
        pk="account#aws/222222222222", id="0a1b2c3d4e5f", at=AT, kind="breaker_opened", status=None, reason=None
    ),
    TrailEvent(pk="policy", id="0a1b2c3d4e5f", at=AT, kind="policy_changed", status=None, reason=None),
]


@pytest.mark.parametrize("what", TOLD)
def test_what_a_digest_tells_of(what: str) -> None:
    """Each under one name, with its last time."""
    known: Happened = {}
    note_event(known, TOLD[what])
    assert {str(arn_of(1)): {what: (AT, AT)}} == known


@pytest.mark.parametrize("untold", UNTOLD, ids=str)
def test_what_passes_or_was_told_at_once_is_not_in_it(untold: TrailEvent) -> None:
    """Nor what a person has done, who knows it."""
    known: Happened = {}
    note_event(known, untold)
    assert {} == known


@pytest.mark.parametrize("reason", ["too_young", "switched_off", "notice_given", "canary_wait"])
def test_what_no_person_has_to_look_at_does_not_need_one(reason: str) -> None:
    """It goes on by itself."""
    digest = OwnerDigest(since=SINCE)
    digest.note(row(1, status="held", reason=reason), {}, UNTIL.date())
    assert digest.is_empty
