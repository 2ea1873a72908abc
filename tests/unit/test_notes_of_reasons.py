"""The note of every reason: it says what was decided, why, and what to do next, in whole sentences and in 512 characters."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta

import pytest

from imdsv2.domain import gates
from imdsv2.domain.account import Account
from imdsv2.domain.history import Answer, History
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.domain.instance import Unreachable
from imdsv2.domain.policy import Approval, Mode, Policy
from imdsv2.domain.texts.commands import cohort_command
from imdsv2.domain.texts.pasting import inlined
from imdsv2.domain.verdict import Decision, Reason, Verdict
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.ledger.record import Record
from imdsv2.line.judgement import STATUS_OF
from imdsv2.line.note import note
from tests.unit.builders import ACCOUNT, NOW, arn
from tests.unit.test_decision_table import ROWS, combined
from tests.unit.test_pool import judge, member, pool, proved, trace

LENGTH = 512
LONG_OWNER = "The Department of Everything That Nobody Else Wanted to Be Called Responsible For"
OPENED = Account(key=f"aws/{ACCOUNT}", rollbacks=(NOW, NOW, NOW), breaker_opened_at=NOW)
REFUSED = Answer(word="refused", by="erin", request_id="request-1", at=NOW, expires_at=None, reason="Release week.")


def _said(reason: Reason, why: str) -> Verdict:
    return Verdict(decision=Decision.HOLD, reason=reason, explanation=why)


def _by_table() -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    for reason, fields in ROWS:
        verdicts.setdefault(str(reason), decide(*combined([fields]), NOW))
    return verdicts


def _by_gates() -> dict[str, Verdict | None]:
    needed, hourly = Policy(approval=Approval.REQUIRED), Policy(notice_hours=72, max_enforcements_per_hour=1)
    closed = gates.CalendarState(closed="The change calendar freeze is closed until 2026-12-01 08:00 UTC.")
    ends_at = NOW + timedelta(hours=72)
    refused = PolicyInForce(policy=Policy(), problem="The policy in /p is refused (mode: is none).", is_refused=True)
    return {
        "switched_off": gates.ask_policy(PolicyInForce(policy=Policy(mode=Mode.OFF)), NOW),
        "policy_unreadable": gates.ask_policy(refused, NOW),
        "suppressed": gates.ask_suppressed("Its finding EC2.8 is suppressed in Security Hub.", NOW),
        "breaker_open": gates.ask_breaker(OPENED, NOW),
        "approval_required": gates.ask_approval(needed, None, arn(), NOW),
        "approval refused": gates.ask_approval(needed, REFUSED, arn(), NOW),
        "notice_given": gates.ask_notice(hourly, ends_at, "blue", arn(), NOW),
        "notice to a long name": gates.ask_notice(hourly, ends_at, LONG_OWNER, arn(), NOW),
        "notice undelivered": gates.ask_notice(hourly, None, "blue", arn(), NOW, undelivered=True),
        "calendar_closed": gates.ask_calendar(closed, NOW),
        "cap_reached": gates.cap_reached(hourly, NOW + timedelta(hours=1), NOW),
        "canary_wait": gates.canary_wait(
            f"Another instance of its cohort broke. When that is settled: {cohort_command('clear', 'aws/1/eu-west-1/group:web')}",
            None,
            NOW,
        ),
        # These explanations begin with what EC2 has said, in `line.act` and `line.denials`.
        "managed_elsewhere": _said(Reason.MANAGED_ELSEWHERE, "EC2 refuses: a declarative policy forbids the change."),
        "untaggable": _said(Reason.UNTAGGABLE, "EC2 refuses the tag imdsv2:enforced-at (TagLimitExceeded)."),
        "evidence_incomplete": _said(Reason.EVIDENCE_INCOMPLETE, "CloudWatch did not answer completely."),
    }


def _by_others() -> dict[str, Verdict]:
    denied = Unreachable(
        arn=arn(), problem="Its account cannot be entered (AccessDenied to AssumeRole): deploy the member roles."
    )
    return {
        "unreachable": decide(denied, None, History(), Policy(), NOW),
        "cohort_unused": judge(herd=proved()),
        "cohort_uses_v1": judge(herd=pool(member(2, used=trace()))),
    }


VERDICTS = {**_by_gates(), **_by_table(), **_by_others()}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_note_says_what_was_decided_why_and_what_to_do(name: str) -> None:
    """Its reader has never heard of the service: no table, no payload, no half command."""
    verdict = VERDICTS[name]
    assert verdict is not None
    record = Record(
        arn=arn(),
        status=str(STATUS_OF[verdict.decision]),
        decision=str(verdict.decision),
        reason=str(verdict.reason),
        explanation=verdict.explanation,
    )
    said = note(record)
    assert len(said) <= LENGTH
    assert re.match(r"(IMDSv1 (stays on|could be|will be)|Nothing to do)[^:]*: (hold|skip|enforce) \(\w+\)\. ", said)
    why, commands = inlined(verdict.explanation)
    begin = why[: commands[0][0]] if commands else why
    assert why in said or begin[:100].partition(". ")[0] in said
    assert "imdsv2 explain" in said
    assert not re.search(r"[{}]|DynamoDB|payload|\bhe\b|\bhis\b", said)
    for first, last in commands:
        assert why[first:last] in said or shlex.split(why[first:last])[1] == "hold"


def test_every_reason_of_the_table_and_of_the_gates_has_its_note() -> None:
    """So that a new one is tried here, too."""
    assert {str(each) for each in Reason} == {str(each.reason) for each in VERDICTS.values() if each is not None}


SLIP = re.compile(
    r"\b1 (hours|calls|instances|days|starts|periods|members|IMDSv1 calls)\b|\b1 are\b|\b(?!1\b)\d+ (hour|call|instance|day|start)\b(?! of)|\.\.|  |\b1 of \d+ periods have\b"
)


@pytest.mark.parametrize("name", VERDICTS)
def test_numbers_and_nouns_agree(name: str) -> None:
    """Nobody is told of "1 hours"."""
    verdict = VERDICTS[name]
    assert verdict is not None
    assert SLIP.search(verdict.explanation) is None


@pytest.mark.parametrize(
    ("reason", "fields"),
    [each for each in ROWS if each[0] not in {Reason.OUT_OF_SCOPE}],
    ids=lambda each: str(each)[:30],
)
def test_numbers_and_nouns_agree_where_the_policy_has_ones(reason: Reason, fields: dict[str, object]) -> None:
    """The smallest numbers that a policy may have: one hour, one day, one start."""
    target, evidence, history, policy, *_ = combined([fields])
    small = Policy(
        min_observed_hours=1 if reason is not Reason.TOO_YOUNG else policy.min_observed_hours,
        min_clean_starts=1,
        max_gap_hours=1,
        exempt_tag=policy.exempt_tag,
    )
    verdict = decide(target, evidence, history, small, NOW)
    assert SLIP.search(verdict.explanation) is None, verdict.explanation
