"""Rows 8 and 9 of the verdict table: holds by people and earlier breakage; and their order among the other rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.history import History, Hold
from imdsv2.domain.instance import Missing, Unreachable
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Decision, Reason, Verdict
from imdsv2.domain.verdict_table.decision import decide, decide_without_evidence
from tests.unit.builders import ACCOUNT, NOW, arn, at, evidence, instance, options

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
POLICY = Policy()
HELD = Hold(owner="alice", reason="Quarter-end closing.", until=date(2026, 12, 31))
BROKE = History(enforced_at=NOW - 3 * DAY, confirmed=True, rolled_back_at=NOW - 2 * DAY)


def judge(history: History, now: datetime = NOW, **fields: Any) -> Verdict:
    """Judge an instance that, apart from its history, could be enforced."""
    return decide(instance(**fields), evidence(), history, POLICY, now)


def row(verdict: Verdict) -> tuple[str, str]:
    """Decision and reason."""
    return verdict.decision.value, verdict.reason.value


# --- Row 8: a person holds it --------------------------------------------------------------------------------------


def test_what_a_person_holds_is_held() -> None:
    """The explanation says who holds it, why, until when, and how to end the hold earlier."""
    verdict = judge(History(hold=HELD))
    assert ("hold", "held_by_person") == row(verdict)
    for named in ("alice", "Quarter-end closing.", "2026-12-31", '"release"'):
        assert named in verdict.explanation


def test_the_verdict_names_the_last_day_of_the_hold() -> None:
    """People are reminded of this day."""
    assert HELD.until == judge(History(hold=HELD)).ends_on


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (at("2026-12-31 00:00"), "held_by_person"),
        (at("2026-12-31 23:59:59"), "held_by_person"),
        (at("2027-01-01 00:00"), "unused"),
        # Half past midnight in Berlin is still the day before in UTC.
        (datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "held_by_person"),
    ],
)
def test_a_hold_lasts_to_the_end_of_its_last_day_in_utc(now: datetime, reason: str) -> None:
    """Inclusive, whatever the local time zone; from the next day on, the evidence decides again."""
    assert reason == judge(History(hold=HELD), now).reason


@pytest.mark.parametrize(
    ("until", "revisit_at"),
    [
        (date(2026, 11, 20), at("2026-11-21 00:00")),
        (date(2026, 11, 21), NOW + DAY),
        (date(2027, 11, 20), NOW + DAY),
        (date.max, NOW + DAY),
    ],
)
def test_a_hold_is_looked_at_daily_and_when_it_ends(until: date, revisit_at: datetime) -> None:
    """Someone may release it earlier, and the owner is reminded before it ends."""
    assert revisit_at == judge(History(hold=replace(HELD, until=until))).revisit_at


# --- Row 9: it broke before ----------------------------------------------------------------------------------------


def test_what_was_rolled_back_is_held_until_a_person_clears_it() -> None:
    """Even if the metric is clean since: software that needs IMDSv1 works again, and may call it rarely."""
    verdict = judge(BROKE)
    assert ("hold", "broke_before") == row(verdict)
    assert "2026-11-18 14:30 UTC" in verdict.explanation
    assert '{"clear": {"targets": ["arn:aws:ec2:' in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    ("cleared_at", "reason"),
    [
        (None, "broke_before"),
        (NOW - 3 * DAY, "broke_before"),
        (NOW - 2 * DAY - MINUTE, "broke_before"),
        (NOW - 2 * DAY, "unused"),
        (NOW - DAY, "unused"),
    ],
)
def test_only_what_was_cleared_after_the_rollback_is_judged_by_its_evidence(
    cleared_at: datetime | None, reason: str
) -> None:
    """A clearance before the rollback does not cover it."""
    assert reason == judge(replace(BROKE, cleared_at=cleared_at)).reason


def test_what_broke_once_more_after_it_was_cleared_is_held_again() -> None:
    """Each rollback needs its own clearance."""
    again = replace(BROKE, cleared_at=NOW - DAY, enforced_at=NOW - DAY, rolled_back_at=NOW - MINUTE)
    assert "broke_before" == judge(again).reason


def test_a_rollback_ends_the_enforcement_it_took_back() -> None:
    """The service itself left `optional`: nobody has changed it back."""
    cleared = replace(BROKE, cleared_at=NOW - DAY)
    assert (False, False) == (BROKE.stands, cleared.stands)
    assert ("enforce", "unused") == row(judge(cleared))


def test_an_enforcement_after_a_rollback_stands() -> None:
    """After a clearance and a new enforcement, `optional` means that someone changed it back."""
    anew = replace(BROKE, cleared_at=NOW - DAY, enforced_at=NOW - timedelta(hours=1))
    assert anew.stands
    assert "changed_back" == judge(anew).reason


# --- Row 9b: a person undid it -------------------------------------------------------------------------------------

UNDONE = History(enforced_at=NOW - 3 * DAY, confirmed=True, undone_at=NOW - 2 * DAY, undone_by="erik")


@pytest.mark.parametrize(("by", "named"), [("erik", "erik had it put back"), (None, "Somebody had it put back")])
def test_what_a_person_undid_is_held_until_it_is_cleared(by: str | None, named: str) -> None:
    """It did not break: the explanation says who did it, and when."""
    verdict = judge(replace(UNDONE, undone_by=by))
    assert ("hold", "undone_by_person") == row(verdict)
    assert f"{named} on 2026-11-18 14:30 UTC" in verdict.explanation
    assert '{"clear": {"targets": ["arn:aws:ec2:' in verdict.explanation
    assert NOW + DAY == verdict.revisit_at
    assert ("enforce", "unused") == row(judge(replace(UNDONE, cleared_at=NOW - DAY)))


def test_an_undo_does_not_hide_what_broke() -> None:
    """The guard put it back, or a person did after it broke: the cause is told, not the way back."""
    assert "broke_before" == judge(replace(UNDONE, rolled_back_at=NOW - DAY)).reason


# --- Row 10: whoever required it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "changed_back"),
        ({"cleared_at": NOW - DAY}, "changed_back"),
        ({"cleared_at": NOW - 2 * MINUTE}, "unused"),
        ({"rolled_back_at": NOW - MINUTE, "cleared_at": NOW}, "unused"),
        ({"enforced_at": NOW - DAY, "confirmed": False}, "changed_back"),
        ({"enforced_at": NOW - DAY, "confirmed": False, "undone_at": NOW - MINUTE}, "undone_by_person"),
    ],
)
def test_what_was_seen_required_was_opened_by_somebody(fields: dict[str, Any], reason: str) -> None:
    """Unless we put it back, or a person cleared it, after it was last seen so."""
    verdict = judge(History(required_seen_at=NOW - 2 * MINUTE, **fields))
    assert reason == verdict.reason
    if reason == "changed_back":
        assert "seen required here on 2026-11-20 14:28 UTC" in verdict.explanation


def test_what_others_required_has_no_time_to_settle() -> None:
    """Only our own change may still be on its way; a stopped instance was opened all the same."""
    seen = History(required_seen_at=NOW - MINUTE)
    assert "changed_back" == judge(seen, state="stopped", stopped_at=NOW).reason
    assert "changed_back" == judge(seen, options=options(state="pending")).reason


# --- Order in the table --------------------------------------------------------------------------------------------

HELD_AND_BROKEN = replace(BROKE, hold=HELD)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": "terminated"}, "gone"),
        ({"options": options(http_tokens="required")}, "already_required"),
        ({"options": options(http_endpoint="disabled")}, "endpoint_disabled"),
        ({"tags": {"imdsv2:exempt-until": "2026-12-31"}}, "exempt"),
        ({"tags": {"imdsv2:exempt-until": "soon"}}, "exemption_unreadable"),
    ],
)
def test_the_rows_before_them_come_first(fields: dict[str, Any], reason: str) -> None:
    """The instance's own state takes precedence over the ledger's history."""
    assert reason == judge(HELD_AND_BROKEN, **fields).reason


def test_what_cannot_be_seen_comes_before_them() -> None:
    """Rows 1 to 3: out of scope, unreachable, gone."""
    outside = replace(POLICY, exclude_accounts=frozenset({ACCOUNT}))
    reasons = [
        decide(instance(), None, HELD_AND_BROKEN, outside, NOW).reason,
        decide(Unreachable(arn=arn(), problem="denied"), None, HELD_AND_BROKEN, POLICY, NOW).reason,
        decide(Missing(arn=arn()), None, HELD_AND_BROKEN, POLICY, NOW).reason,
    ]
    assert [Reason.OUT_OF_SCOPE, Reason.UNREACHABLE, Reason.GONE] == reasons


def test_a_persons_hold_comes_before_what_broke() -> None:
    """Clearing the breakage would not release the hold, so the hold is reported."""
    assert "held_by_person" == judge(HELD_AND_BROKEN).reason


@pytest.mark.parametrize("history", [History(hold=HELD), BROKE])
@pytest.mark.parametrize("state", ["pending", "stopping", "running", "stopped"])
def test_both_come_before_the_rows_after_them(history: History, state: str) -> None:
    """In any state of the instance, and before CloudWatch is queried."""
    verdict = decide_without_evidence(instance(state=state), history, POLICY, NOW)
    assert verdict is not None
    assert verdict.reason in {Reason.HELD_BY_PERSON, Reason.BROKE_BEFORE}


def test_a_hold_comes_before_a_change_that_somebody_took_back() -> None:
    """Row 8 before row 10: the holder is now responsible."""
    changed_back = History(enforced_at=NOW - DAY, confirmed=True)
    assert "changed_back" == judge(changed_back).reason
    assert "held_by_person" == judge(replace(changed_back, hold=HELD)).reason


TIMES = st.none() | st.integers(0, 40).map(lambda half_days: NOW - half_days * DAY / 2)


@given(
    enforced_at=TIMES,
    rolled_back_at=TIMES,
    undone_at=TIMES,
    required_seen_at=TIMES,
    cleared_at=TIMES,
    confirmed=st.booleans(),
    until=st.none() | st.dates(date(2026, 11, 15), date(2026, 11, 25)),
)
def test_nothing_is_enforced_that_a_person_holds_or_that_broke_and_was_not_cleared(
    enforced_at: datetime | None,
    rolled_back_at: datetime | None,
    undone_at: datetime | None,
    required_seen_at: datetime | None,
    cleared_at: datetime | None,
    confirmed: bool,
    until: date | None,
) -> None:
    """For any other history, in any order; nor what a person undid."""
    hold = replace(HELD, until=until) if until else None
    history = History(
        enforced_at=enforced_at,
        rolled_back_at=rolled_back_at,
        undone_at=undone_at,
        required_seen_at=required_seen_at,
        cleared_at=cleared_at,
        confirmed=confirmed,
        hold=hold,
    )
    verdict = judge(history)
    if until is not None and until >= NOW.date():
        assert ("hold", "held_by_person") == row(verdict)
    elif rolled_back_at is not None and (cleared_at is None or cleared_at < rolled_back_at):
        assert ("hold", "broke_before") == row(verdict)
    elif undone_at is not None and (cleared_at is None or cleared_at < undone_at):
        assert ("hold", "undone_by_person") == row(verdict)
    else:
        assert verdict.reason not in {Reason.HELD_BY_PERSON, Reason.BROKE_BEFORE, Reason.UNDONE_BY_PERSON}
    assert verdict.decision in {Decision.ENFORCE, Decision.HOLD}
