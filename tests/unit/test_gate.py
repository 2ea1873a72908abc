"""The gates, one by one: when each is closed, its explanation, and when it is checked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain import gates as gate
from imdsv2.domain.account import Account
from imdsv2.domain.gates import CalendarState
from imdsv2.domain.history import Answer
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.domain.policy import Approval, Mode, Policy
from imdsv2.domain.texts.commands import account_command, command, hold_command
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW, arn, at

if TYPE_CHECKING:
    from imdsv2.domain.verdict import Verdict

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TAG = "imdsv2:exempt-until"
ARN = arn()


def shut(verdict: Verdict | None, reason: Reason) -> Verdict:
    """Assert that the gate is closed, for that reason."""
    assert verdict is not None
    assert (Decision.HOLD, reason) == (verdict.decision, verdict.reason)
    return verdict


# --- The policy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ENFORCE])
def test_a_policy_that_can_be_read_lets_it_through(mode: Mode) -> None:
    """`observe` does not close this gate: a person may act in that mode."""
    assert None is gate.ask_policy(PolicyInForce(policy=Policy(mode=mode)), NOW)


def test_switched_off_holds_for_a_day() -> None:
    """Switching on makes due what waits for it, and needs no further action."""
    verdict = shut(gate.ask_policy(PolicyInForce(policy=Policy(mode=Mode.OFF)), NOW), Reason.SWITCHED_OFF)
    assert NOW + DAY == verdict.revisit_at
    assert '"mode": "off"' in verdict.explanation


@pytest.mark.parametrize(("refused", "after"), [(True, DAY), (False, HOUR)])
def test_a_policy_with_a_problem_holds_and_says_which(refused: bool, after: timedelta) -> None:
    """The explanation says what to correct. A person who corrects it makes due what waits; nobody does that where Systems Manager fails."""
    problem = "The policy is refused (mode: typo)."
    in_force = PolicyInForce(policy=Policy(mode=Mode.ENFORCE), problem=problem, is_refused=refused)
    verdict = shut(gate.ask_policy(in_force, NOW), Reason.POLICY_UNREADABLE)
    assert verdict.explanation.startswith("The policy is refused (mode: typo).")
    assert NOW + after == verdict.revisit_at


def test_off_is_off_also_where_the_policy_has_a_problem() -> None:
    """The last valid policy was the kill switch."""
    in_force = PolicyInForce(policy=Policy(mode=Mode.OFF), problem="unreadable")
    verdict = shut(gate.ask_policy(in_force, NOW), Reason.SWITCHED_OFF)
    assert "unreadable" not in verdict.explanation


# --- Suppressed findings -------------------------------------------------------------------------------------------


def test_a_suppressed_finding_holds() -> None:
    """The explanation names the finding."""
    assert None is gate.ask_suppressed(None, NOW)
    verdict = shut(gate.ask_suppressed("Finding x is suppressed.", NOW), Reason.SUPPRESSED)
    assert ("Finding x is suppressed.", NOW + DAY) == (verdict.explanation, verdict.revisit_at)


# --- The circuit breaker -------------------------------------------------------------------------------------------


def test_a_breaker_that_is_not_open_lets_it_through() -> None:
    """Whatever the number of rollbacks: the account's state alone decides."""
    assert None is gate.ask_breaker(Account(key="aws/222222222222", rollbacks=(NOW,) * 9), NOW)


def test_an_open_breaker_holds_until_a_person_closes_it() -> None:
    """However long ago it opened; the explanation has the exact call that closes it."""
    account = Account(key="aws/222222222222", breaker_opened_at=at("2026-09-01 08:15"))
    verdict = shut(gate.ask_breaker(account, NOW), Reason.BREAKER_OPEN)
    assert "2026-09-01 08:15 UTC" in verdict.explanation
    assert account_command("close_breaker", "222222222222") in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


# --- Approval ------------------------------------------------------------------------------------------------------

NEEDED = Policy(approval=Approval.REQUIRED)


def approval(word: str = "approved", expires_at: datetime = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)) -> Answer:
    """A person's decision."""
    at = datetime(2026, 11, 19, 10, 0, tzinfo=UTC)
    return Answer(word=word, by="alice", request_id="request-0", at=at, expires_at=expires_at)


@pytest.mark.parametrize("known", [None, approval(), approval("refused")])
def test_where_no_approval_is_needed_nobody_is_asked(known: Answer | None) -> None:
    """A refusal from a time when approval was required no longer counts; use a hold for that."""
    assert None is gate.ask_approval(Policy(), known, ARN, NOW)


def test_without_a_word_it_waits_for_one() -> None:
    """The explanation says how to approve."""
    verdict = shut(gate.ask_approval(NEEDED, None, ARN, NOW), Reason.APPROVAL_REQUIRED)
    assert command("approve", ARN) in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_what_was_refused_waits_and_says_who_refused_it() -> None:
    """A refusal does not expire."""
    refused = approval("refused", expires_at=datetime(2026, 11, 19, 11, 0, tzinfo=UTC))
    verdict = shut(gate.ask_approval(NEEDED, refused, ARN, NOW), Reason.APPROVAL_REQUIRED)
    assert "alice refused the change on 2026-11-19" in verdict.explanation
    assert command("approve", ARN) in verdict.explanation


def test_a_refusal_that_has_a_reason_says_it() -> None:
    """Whoever is to approve it has to know."""
    refused = replace(approval("refused"), reason="Release week.")
    verdict = shut(gate.ask_approval(NEEDED, refused, ARN, NOW), Reason.APPROVAL_REQUIRED)
    assert "alice refused the change on 2026-11-19 (Release week)." in verdict.explanation


@pytest.mark.parametrize(("early", "is_open"), [(MINUTE, True), (timedelta(), False), (-DAY, False)])
def test_an_approval_counts_until_it_expires(early: timedelta, is_open: bool) -> None:
    """To the second; then the explanation says who gave it."""
    ends_at = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
    verdict = gate.ask_approval(NEEDED, approval(), ARN, ends_at - early)
    assert is_open == (verdict is None)
    if verdict is not None:
        assert "The approval by alice expired on 2026-11-26" in shut(verdict, Reason.APPROVAL_REQUIRED).explanation


# --- Notice --------------------------------------------------------------------------------------------------------

NOTICE = Policy(notice_hours=72)


def ask_notice(policy: Policy = NOTICE, ends_at: datetime | None = None, now: datetime = NOW) -> Verdict | None:
    """Ask about an instance of the web team."""
    return gate.ask_notice(policy, ends_at, "team-web", ARN, now)


@pytest.mark.parametrize("ends_at", [None, NOW + DAY, NOW - DAY])
def test_where_no_notice_is_given_it_goes_through(ends_at: datetime | None) -> None:
    """Even during a notice that began before the hours were set to 0."""
    assert None is ask_notice(Policy(), ends_at)


def test_the_first_time_notice_is_given() -> None:
    """The explanation says when, who the owner is, and how to object."""
    verdict = shut(ask_notice(), Reason.NOTICE_GIVEN)
    assert NOW + 72 * HOUR == verdict.revisit_at
    for named in ("2026-11-23 14:30 UTC", "team-web", TAG, "YYYY-MM-DD", '"hold"'):
        assert named in verdict.explanation


def test_whoever_objects_has_a_month_to_settle_it() -> None:
    """The proposed hold begins now, and lasts 30 days from the announced change on."""
    assert hold_command(ARN, "team-web", date(2026, 12, 23)) in shut(ask_notice(), Reason.NOTICE_GIVEN).explanation


@pytest.mark.parametrize("passed", [timedelta(), HOUR, 72 * HOUR - MINUTE])
def test_a_notice_keeps_the_end_that_the_owner_was_told(passed: timedelta) -> None:
    """Neither further requests nor changed hours in the policy move it."""
    told = NOW + 72 * HOUR
    assert told == shut(ask_notice(Policy(notice_hours=1), told, NOW + passed), Reason.NOTICE_GIVEN).revisit_at


@pytest.mark.parametrize("ago", [timedelta(), HOUR, 7 * DAY - MINUTE])
def test_a_notice_that_has_ended_lets_it_through(ago: timedelta) -> None:
    """For a week, because other gates may be closed when it ends."""
    assert None is ask_notice(ends_at=NOW - ago)


@pytest.mark.parametrize("ago", [7 * DAY, 400 * DAY])
def test_whoever_was_told_long_ago_is_told_again(ago: timedelta) -> None:
    """The old notice is forgotten by then; a new one runs for its full time."""
    assert NOW + 72 * HOUR == shut(ask_notice(ends_at=NOW - ago), Reason.NOTICE_GIVEN).revisit_at


# --- The change calendar -------------------------------------------------------------------------------------------


def test_an_open_calendar_lets_it_through() -> None:
    """Whenever it closes next."""
    assert None is gate.ask_calendar(CalendarState(closed=None, changes_at=NOW + MINUTE), NOW)


@pytest.mark.parametrize(
    ("changes_at", "revisit_at"),
    [
        (None, NOW + DAY),
        (NOW + 10 * MINUTE, NOW + 10 * MINUTE),
        (NOW + 5 * HOUR, NOW + 5 * HOUR),
        # Someone may open it earlier than planned.
        (NOW + 9 * DAY, NOW + DAY),
        # The answer is some seconds old.
        (NOW, NOW + HOUR),
        (NOW - MINUTE, NOW + HOUR),
    ],
)
def test_a_closed_calendar_is_asked_again_when_it_opens(changes_at: datetime | None, revisit_at: datetime) -> None:
    """Within a day in any case."""
    state = CalendarState(closed="The change calendar freeze is closed.", changes_at=changes_at)
    verdict = shut(gate.ask_calendar(state, NOW), Reason.CALENDAR_CLOSED)
    assert revisit_at == verdict.revisit_at
    assert verdict.explanation.startswith("The change calendar freeze is closed.")


# --- Caps and canaries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opens_in", [-HOUR, timedelta(), MINUTE, 40 * MINUTE])
def test_what_the_cap_holds_has_its_turn_when_there_is_room(opens_in: timedelta) -> None:
    """Not before a minute has passed, to prevent a busy loop."""
    verdict = shut(gate.cap_reached(Policy(max_enforcements_per_hour=7), NOW + opens_in, NOW), Reason.CAP_REACHED)
    assert max(NOW + opens_in, NOW + MINUTE) == verdict.revisit_at
    assert "7 instances an hour" in verdict.explanation
    assert "max_enforcements_per_hour" in verdict.explanation


@pytest.mark.parametrize(
    ("opens_at", "revisit_at"),
    [
        (None, NOW + HOUR),
        (NOW + DAY, NOW + DAY),
        (NOW + MINUTE, NOW + 15 * MINUTE),
        (NOW - HOUR, NOW + 15 * MINUTE),
        (NOW - 12 * HOUR, NOW + 3 * HOUR),
        (NOW - 30 * DAY, NOW + DAY),
    ],
)
def test_who_waits_for_canaries_is_asked_again_when_they_may_be_through(
    opens_at: datetime | None, revisit_at: datetime
) -> None:
    """If that time has passed, metrics may be late: in 15 minutes. Canaries that have been off since Friday are late by days: what waits
    for them is judged less and less often, at least once a day."""
    verdict = shut(gate.canary_wait("i-1 goes first.", opens_at, NOW), Reason.CANARY_WAIT)
    assert ("i-1 goes first.", revisit_at) == (verdict.explanation, verdict.revisit_at)


# --- All of them ---------------------------------------------------------------------------------------------------

MOMENTS = st.none() | st.integers(-10_000, 10_000).map(lambda minutes: NOW + minutes * MINUTE)


@given(when=MOMENTS, word=st.sampled_from(["approved", "refused"]), hours=st.integers(0, 2000))
def test_a_gate_that_is_shut_is_always_asked_again_later(when: datetime | None, word: str, hours: int) -> None:
    """No time in the ledger, past or future, leads to an instance that is never evaluated again."""
    known = approval(word, expires_at=when) if when else None
    verdicts = [
        gate.ask_approval(NEEDED, known, ARN, NOW),
        gate.ask_notice(Policy(notice_hours=hours), when, "x", ARN, NOW),
        gate.ask_calendar(CalendarState(closed="closed", changes_at=when), NOW),
        gate.cap_reached(Policy(), when or NOW, NOW),
        gate.canary_wait("why", when, NOW),
        gate.ask_breaker(Account(key="aws/1", breaker_opened_at=when), NOW),
    ]
    for verdict in filter(None, verdicts):
        assert verdict.revisit_at is not None
        assert NOW < verdict.revisit_at
