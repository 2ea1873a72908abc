"""Every command in every text can be pasted, and does what the text says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.account import Account
from imdsv2.domain.cohort import Cohort
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import CALLER, commands_in
from imdsv2.domain.texts.pasting import numbered
from imdsv2.line.messages import breaker_opened
from imdsv2.people.command_request import Command, CommandKind
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_people
from tests.fixtures.events import finding
from tests.integration.builders import DIRECTIONS, IMAGE, MEMBER, REGION, asked, count_broken
from tests.integration.guarding import ENFORCED_TAG, enforced, guard, live, reject, untag
from tests.integration.steering import judge, named, reason, steer, write
from tests.integration.test_cohort_evidence import end

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

COHORT = f"aws/{MEMBER}/{REGION}/image:{IMAGE}"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FROM_TEMPLATE = {"aws:ec2launchtemplate:id": "lt-0f1e2d", "aws:ec2launchtemplate:version": "5"}
STARTED = 40 * DAY
"""How long ago an instance was started whose start lies before the window."""


def commands(text: str) -> list[Command]:
    """The commands in a text as whoever pastes them sends them; every brace of it belongs to one."""
    found = [text[start:end] for start, end in commands_in(text)]
    assert text.count("{") == sum(each.count("{") for each in found)
    parsed = [parse(json.loads(each)) for each in found]
    assert all(isinstance(each, Command) for each in parsed)
    return [each for each in parsed if isinstance(each, Command)]


def paste(cloud: Cloud, text: str) -> list[CommandKind]:
    """Send the commands in a text, which have to be carried out. Returns what they are."""
    sent = list(dict.fromkeys(commands(text)))
    for command in sent:
        assert (False, CALLER) == (command.dry_run, command.caller)
        answered = build_people(cloud.function()).carry_out(command, "request-9", lambda: True)
        assert [(True, None)] == [(each["done"], each["problem"]) for each in answered["results"]]
    return [each.kind for each in sent]


def explanation(cloud: Cloud, arn: InstanceArn) -> str:
    """What the ledger says of an instance."""
    return str(cloud.current(arn)["explanation"])


def put(cloud: Cloud, arn: InstanceArn, metric: str, ago: timedelta, value: float) -> None:
    """One datapoint in the past."""
    cloud.metrics.put_at(arn.instance_id, metric, cloud.clock() - ago, value)


# --- How instances come to each verdict ----------------------------------------------------------------------------


def broke(cloud: Cloud) -> InstanceArn:
    arn = enforced(cloud)
    for status in ("rolling_back", "rolled_back"):
        write(cloud, arn, status=status)
    write(cloud, arn, rolled_back_at=cloud.clock(), broken_at=cloud.clock(), watch="done")
    cloud.set_options(arn, http_tokens="optional")
    return arn


def was_undone(cloud: Cloud) -> InstanceArn:
    arn = broke(cloud)
    write(cloud, arn, rolled_back_at=None, broken_at=None, undone_at=cloud.clock(), undone_by="carol")
    return arn


def was_opened(cloud: Cloud) -> InstanceArn:
    arn = enforced(cloud)
    cloud.clock.move(minutes=20)
    cloud.set_options(arn, http_tokens="optional")
    return arn


def is_held(cloud: Cloud) -> InstanceArn:
    arn = cloud.one()
    steer(cloud, hold=named(arn), owner="Bob's team", reason="Not now.", until="2026-12-31")
    return arn


def started_long_ago(cloud: Cloud, **how: Any) -> InstanceArn:
    arn = cloud.one(days=400, **how)
    cloud.instance(arn).launch_time = cloud.clock() - STARTED
    return arn


def calls_at_boot(cloud: Cloud) -> InstanceArn:
    arn = started_long_ago(cloud)
    put(cloud, arn, "MetadataNoToken", STARTED - timedelta(minutes=5), 3)
    return arn


def calls_come_again(cloud: Cloud) -> InstanceArn:
    arn = cloud.one(days=400)
    for days in (40, 131, 222, 313):
        put(cloud, arn, "MetadataNoToken", timedelta(days=days), 2)
    return arn


def refused_calls(cloud: Cloud) -> InstanceArn:
    arn = cloud.one()
    put(cloud, arn, "MetadataNoTokenRejected", 3 * DAY, 40)
    return arn


def forgotten_start(cloud: Cloud, **how: Any) -> InstanceArn:
    return cloud.one(days=460, **how)


def breaker(cloud: Cloud) -> InstanceArn:
    count_broken(cloud.accounts(), f"aws/{MEMBER}", 3, 3, cloud.clock())
    return cloud.one()


def unapproved(cloud: Cloud) -> InstanceArn:
    cloud.policy(mode="enforce", approval="required")
    return cloud.one()


def refused_by_somebody(cloud: Cloud) -> InstanceArn:
    arn = unapproved(cloud)
    judge(cloud, arn)
    steer(cloud, refuse=named(arn), reason="Release week.")
    return arn


def approved_long_ago(cloud: Cloud) -> InstanceArn:
    arn = unapproved(cloud)
    judge(cloud, arn)
    steer(cloud, approve=named(arn), until="2026-11-20")
    live(cloud, arn, hours=13)
    hour = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - 24, hour))
    return arn


def noticed(cloud: Cloud) -> InstanceArn:
    cloud.policy(mode="enforce", notice_hours=48)
    return cloud.one(tags={"owner": "the web team's"})


def beside_what_broke(cloud: Cloud) -> InstanceArn:
    cloud.policy(mode="enforce", canary={"share": 1.0, "hours": 24})
    broken, at = broke(cloud), cloud.clock()
    cloud.cohorts().change(
        COHORT, lambda known: Cohort(key=known.key, version=known.version, broken_by=broken, broken_at=at)
    )
    return cloud.one()


def beside_what_calls(cloud: Cloud, *, judged: bool = False, **how: Any) -> InstanceArn:
    """The other one may never have been judged."""
    loud = cloud.one(tags=FROM_TEMPLATE, **how)
    if judged:
        judge(cloud, loud)
    metric = "MetadataNoTokenRejected" if how else "MetadataNoToken"
    for hours in (3, 30, 60):
        put(cloud, loud, metric, hours * HOUR, 8)
    return cloud.one(tags=FROM_TEMPLATE)


def beside_what_called_and_has_ended(cloud: Cloud) -> InstanceArn:
    gone, quiet = cloud.one(tags=FROM_TEMPLATE), cloud.one(tags=FROM_TEMPLATE)
    cloud.policy(mode="observe")
    judge(cloud, gone)
    put(cloud, gone, "MetadataNoToken", 2 * HOUR, 8)
    end(cloud, gone)
    cloud.policy(mode="enforce")
    cloud.quiet(quiet, 2)
    return quiet


@dataclass(frozen=True, kw_only=True)
class Case:
    """An instance whose verdict names commands, and its reason once these are carried out and it is judged again."""

    make: Callable[[Cloud], InstanceArn]
    reason: str
    says: CommandKind
    then: str


CASES = {
    "broke": Case(make=broke, reason="broke_before", says=CommandKind.CLEAR, then="unused"),
    "undone": Case(make=was_undone, reason="undone_by_person", says=CommandKind.CLEAR, then="unused"),
    "opened": Case(make=was_opened, reason="changed_back", says=CommandKind.CLEAR, then="unused"),
    "held": Case(make=is_held, reason="held_by_person", says=CommandKind.RELEASE, then="unused"),
    "used": Case(
        make=lambda cloud: cloud.one(use=1.0, hop_limit=2),
        reason="v1_in_use",
        says=CommandKind.MENDED,
        then="no_evidence",
    ),
    "used, hop limit 1": Case(
        make=lambda cloud: cloud.one(use=1.0), reason="v1_in_use", says=CommandKind.MENDED, then="no_evidence"
    ),
    "container host": Case(
        make=lambda cloud: cloud.one(use=1.0, tags={"eks:cluster-name": "one"}),
        reason="hop_limit_fallback",
        says=CommandKind.MENDED,
        then="no_evidence",
    ),
    "at boot": Case(make=calls_at_boot, reason="v1_at_boot", says=CommandKind.MENDED, then="no_evidence"),
    "recurring": Case(make=calls_come_again, reason="v1_recurs", says=CommandKind.MENDED, then="no_evidence"),
    "refused calls": Case(make=refused_calls, reason="v1_refused", says=CommandKind.MENDED, then="no_evidence"),
    "forgotten start": Case(
        make=forgotten_start, reason="boot_not_observable", says=CommandKind.MENDED, then="no_evidence"
    ),
    "forgotten start in a group": Case(
        make=lambda cloud: forgotten_start(cloud, tags={"autoscaling:groupName": "web"}),
        reason="boot_not_observable",
        says=CommandKind.MENDED,
        then="no_evidence",
    ),
    "breaker": Case(make=breaker, reason="breaker_open", says=CommandKind.CLOSE_BREAKER, then="unused"),
    "unapproved": Case(make=unapproved, reason="approval_required", says=CommandKind.APPROVE, then="unused"),
    "refused": Case(make=refused_by_somebody, reason="approval_required", says=CommandKind.APPROVE, then="unused"),
    "expired": Case(make=approved_long_ago, reason="approval_required", says=CommandKind.APPROVE, then="unused"),
    "noticed": Case(make=noticed, reason="notice_given", says=CommandKind.HOLD, then="held_by_person"),
    "beside": Case(make=beside_what_broke, reason="canary_wait", says=CommandKind.CLEAR, then="unused"),
    "beside what calls": Case(make=beside_what_calls, reason="cohort_uses_v1", says=CommandKind.MENDED, then="unused"),
    "beside what is refused": Case(
        make=lambda cloud: beside_what_calls(cloud, tokens="required"),
        reason="cohort_uses_v1",
        says=CommandKind.CLEAR,
        then="unused",
    ),
    "beside what is refused, and was judged": Case(
        make=lambda cloud: beside_what_calls(cloud, judged=True, tokens="required"),
        reason="cohort_uses_v1",
        says=CommandKind.CLEAR,
        then="unused",
    ),
    "beside what called and has ended": Case(
        make=beside_what_called_and_has_ended, reason="cohort_uses_v1", says=CommandKind.CLEAR, then="unused"
    ),
}


# --- The ledger's texts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_command_of_an_explanation_does_what_it_says(cloud: Cloud, name: str) -> None:
    """And the instance, judged again, is held for that no longer."""
    case = CASES[name]
    arn = case.make(cloud)
    assert case.reason == reason(cloud, arn)
    assert [case.says] == paste(cloud, explanation(cloud, arn))
    assert case.then == reason(cloud, arn, Source.REVISIT)


@pytest.mark.parametrize("name", CASES)
def test_notes_and_messages_have_the_same_commands(cloud: Cloud, name: str) -> None:
    """A command in a note is whole, or left out where its owner's name is too long; a message has the whole explanation."""
    case = CASES[name]
    arn = case.make(cloud)
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    cloud.line().run([asked(arn, Source.SECURITYHUB, finding=failed)], "request-1")
    judge(cloud, arn, Source.REVISIT)
    meant, note = numbered(explanation(cloud, arn))[1], str(cloud.hub.note_on(failed))
    assert len(note) <= 512
    assert f"hold ({case.reason})" in note
    assert "{" not in note
    assert all(each in note for each in meant) or ("imdsv2 hold" not in note and case.says is CommandKind.HOLD)
    assert f"imdsv2 explain {arn.instance_id}" in note
    texts = [str(each["Message"]) for each in cloud.published() if case.reason in str(each["Subject"])]
    assert all(f"  [1] {meant[0]}\n" in text for text in texts)
    # What passes by itself is not mailed: the message of what broke has the command.
    assert ({case.says} if case.reason != "canary_wait" else set()) == {
        each.kind for text in texts for each in commands(text)
    }


def test_what_was_accepted_still_says_what_it_was_held_for(cloud: Cloud) -> None:
    """With the command of that row, while a gate holds it."""
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    steer(cloud, accept=named(arn), owner="blue", reason="Harmless.", until="2026-12-31")
    cloud.policy(mode="observe")
    assert "unused" == reason(cloud, arn, Source.REVISIT)
    assert [CommandKind.MENDED] == [each.kind for each in commands(explanation(cloud, arn))]


def test_the_message_of_a_breaker_closes_it(cloud: Cloud) -> None:
    """As it stands."""
    arn = breaker(cloud)
    account = cloud.accounts().of(arn)
    assert isinstance(account, Account)
    assert [CommandKind.CLOSE_BREAKER] == paste(cloud, breaker_opened(account, DIRECTIONS).text)
    assert cloud.accounts().of(arn).breaker_opened_at is None


# --- The guard's texts ---------------------------------------------------------------------------------------------


def test_what_the_guard_put_back_says_how_to_clear_it(cloud: Cloud) -> None:
    """The explanation of the rollback itself, before the next judgement."""
    arn = enforced(cloud)
    for _ in range(3):
        live(cloud, arn, hours=0.25)
        reject(cloud, arn, calls=40)
    assert 1 == guard(cloud).rolled_back
    assert [CommandKind.CLEAR] == paste(cloud, explanation(cloud, arn))
    assert "cleared_by" in cloud.current(arn)


def test_what_the_guard_left_broken_says_nothing_that_cannot_be_pasted(cloud: Cloud) -> None:
    """It says what a person does in EC2, or the command."""
    arn = enforced(cloud)
    for _ in range(3):
        live(cloud, arn, hours=0.25)
        reject(cloud, arn, calls=40)
    untag(cloud, arn, ENFORCED_TAG)
    assert 1 == guard(cloud).left_broken
    assert {CommandKind.CLEAR, CommandKind.UNDO} >= {each.kind for each in commands(explanation(cloud, arn))}
