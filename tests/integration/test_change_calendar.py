"""The change calendar: SSM's answers; anything but a valid OPEN counts as closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from imdsv2.aws.change_calendar import ChangeCalendar
from imdsv2.domain.gates import CalendarState
from tests.integration.builders import NOW

if TYPE_CHECKING:
    from tests.integration.builders import Stub

CALENDAR = "arn:aws:ssm:eu-west-1:333333333333:document/freeze"
CLOSED_UNTIL = (
    "The change calendar arn:aws:ssm:eu-west-1:333333333333:document/freeze is closed until 2026-11-21 06:00 UTC."
)
SECOND = timedelta(seconds=1)


def answers(stub: Stub, *states: dict[str, Any]) -> ChangeCalendar:
    """A calendar with these answers, one per question."""
    ssm = stub.client("ssm")
    for state in states:
        stub.answer(ssm, "get_calendar_state", state, {"CalendarNames": [CALENDAR]})
    return ChangeCalendar(ssm)


def test_an_open_calendar_is_open(stub: Stub) -> None:
    """The answer includes when it closes."""
    calendar = answers(stub, {"State": "OPEN", "NextTransitionTime": "2026-11-21T06:00:00Z"})
    assert CalendarState(closed=None, changes_at=datetime(2026, 11, 21, 6, tzinfo=UTC)) == calendar.state(CALENDAR, NOW)


def test_a_closed_calendar_says_until_when(stub: Stub) -> None:
    """SSM returns the time as text, with any offset."""
    calendar = answers(stub, {"State": "CLOSED", "NextTransitionTime": "2026-11-21T08:00:00+02:00"})
    state = calendar.state(CALENDAR, NOW)
    assert (CLOSED_UNTIL, datetime(2026, 11, 21, 6, tzinfo=UTC)) == (state.closed, state.changes_at)


@pytest.mark.parametrize(
    "when", [{}, {"NextTransitionTime": "next week"}, {"NextTransitionTime": "2026-11-21T06:00:00"}]
)
def test_a_closed_calendar_that_does_not_say_until_when_is_closed(when: dict[str, str], stub: Stub) -> None:
    """A missing time, an invalid time, or one without an offset is ignored."""
    state = answers(stub, {"State": "CLOSED", **when}).state(CALENDAR, NOW)
    assert (f"The change calendar {CALENDAR} is closed.", None) == (state.closed, state.changes_at)


@pytest.mark.parametrize("answer", [{"State": "DEFAULT_OPEN"}, {"State": ""}, {}])
def test_a_state_that_nobody_knows_is_closed(answer: dict[str, str], stub: Stub) -> None:
    """Only OPEN is open."""
    assert None is not answers(stub, answer).state(CALENDAR, NOW).closed


@pytest.mark.parametrize(
    "code", ["InvalidDocument", "InvalidDocumentType", "UnsupportedCalendarException", "AccessDeniedException"]
)
def test_a_calendar_that_cannot_be_read_is_closed(code: str, stub: Stub) -> None:
    """Misspelt, not a calendar, not shared: the explanation says so, and names what to correct."""
    ssm = stub.client("ssm")
    stub.refuse(ssm, "get_calendar_state", code, expected={"CalendarNames": [CALENDAR]})
    state = ChangeCalendar(ssm).state(CALENDAR, NOW)
    for named in (CALENDAR, code, "change_calendar"):
        assert named in str(state.closed)
    assert None is state.changes_at


def test_a_calendar_that_cannot_be_reached_is_closed(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no permission."""
    ssm = stub.client("ssm")

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://ssm")

    monkeypatch.setattr(ssm, "get_calendar_state", unreachable)
    assert "cannot be read" in str(ChangeCalendar(ssm).state(CALENDAR, NOW).closed)


def test_it_is_asked_again_after_some_seconds(stub: Stub) -> None:
    """A batch asks once; a calendar that someone closes holds within half a minute."""
    calendar = answers(stub, {"State": "OPEN"}, {"State": "CLOSED"})
    asked = [calendar.state(CALENDAR, NOW + after * SECOND).closed for after in (0, 10, 19, 20, 39)]
    assert [True, True, True, False, False] == [each is None for each in asked]


def test_what_could_not_be_read_is_asked_for_again(stub: Stub) -> None:
    """A transient failure does not keep it closed for long."""
    ssm = stub.client("ssm")
    stub.refuse(ssm, "get_calendar_state", "InternalServerError", expected={"CalendarNames": [CALENDAR]})
    stub.answer(ssm, "get_calendar_state", {"State": "OPEN"}, {"CalendarNames": [CALENDAR]})
    calendar = ChangeCalendar(ssm)
    assert [False, True] == [calendar.state(CALENDAR, when).closed is None for when in (NOW, NOW + 30 * SECOND)]


def test_each_calendar_is_asked_for_itself(stub: Stub) -> None:
    """If the policy names another calendar, its answer counts at once."""
    ssm = stub.client("ssm")
    for name, state in (("weekdays", "OPEN"), ("freeze", "CLOSED")):
        stub.answer(ssm, "get_calendar_state", {"State": state}, {"CalendarNames": [name]})
    calendar = ChangeCalendar(ssm)
    assert None is calendar.state("weekdays", NOW).closed
    assert "The change calendar freeze is closed." == calendar.state("freeze", NOW).closed
