"""SSM's change calendars: open or closed, until when, and who may ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.calendars import calendar, event
from local.cloud.run import HOME, MEMBERS, SECURITY
from tests.local.launching import Refused
from tests.local.model_check import check_answers

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

    from local.cloud.run import LocalCloud

NIGHT = "DTSTART:20260310T200000Z\nDTEND:20260311T060000Z"
LATE = "DTSTART:20260311T040000Z\nDTEND:20260311T080000Z"
HOLIDAY = "DTSTART;VALUE=DATE:20260310"
WORK = "DTSTART;TZID=Europe/Madrid:20260105T090000\nDURATION:PT8H\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"


@pytest.fixture
def ssm(cloud: LocalCloud, account: str) -> SSMClient:
    """SSM in an account of its own; an answer that the model does not know fails the test."""
    client: SSMClient = check_answers(cloud.session(account=account).client("ssm"))
    return client


def create(ssm: SSMClient, content: str, name: str = "freeze") -> str:
    """Create a calendar; returns its name."""
    ssm.create_document(Name=name, Content=content, DocumentType="ChangeCalendar", DocumentFormat="TEXT")
    return name


def state(ssm: SSMClient, *names: str, at: str) -> tuple[str, str | None]:
    """The state of calendars together at a time, and when it changes."""
    answer = ssm.get_calendar_state(CalendarNames=list(names), AtTime=at)
    assert at == answer["AtTime"]
    return answer["State"], answer.get("NextTransitionTime")


@pytest.mark.parametrize(
    ("events", "at", "expected"),
    [
        ([], "2026-03-10T12:00:00Z", ("OPEN", None)),
        ([NIGHT], "2026-03-10T19:59:59Z", ("OPEN", "2026-03-10T20:00:00Z")),
        ([NIGHT], "2026-03-10T20:00:00Z", ("CLOSED", "2026-03-11T06:00:00Z")),
        ([NIGHT], "2026-03-11T05:59:59Z", ("CLOSED", "2026-03-11T06:00:00Z")),
        ([NIGHT], "2026-03-11T06:00:00Z", ("OPEN", None)),
        ([NIGHT, LATE], "2026-03-11T05:00:00Z", ("CLOSED", "2026-03-11T08:00:00Z")),
        ([HOLIDAY], "2026-03-10T12:00:00Z", ("CLOSED", "2026-03-11T00:00:00Z")),
        ([WORK], "2026-03-10T12:00:00Z", ("CLOSED", "2026-03-10T16:00:00Z")),
        ([WORK], "2026-07-10T12:00:00Z", ("CLOSED", "2026-07-10T15:00:00Z")),
        ([WORK], "2026-07-11T12:00:00Z", ("OPEN", "2026-07-13T07:00:00Z")),
    ],
    ids=["no event", "before", "begins", "lasts", "over", "overlap", "whole day", "winter", "summer", "weekend"],
)
def test_a_calendar_that_is_open_by_default_is_closed_while_an_event_lasts(
    events: list[str], at: str, expected: tuple[str, str | None], ssm: SSMClient
) -> None:
    """To the second, over events that overlap, and by the clock of their time zone."""
    assert expected == state(ssm, create(ssm, calendar(*events)), at=at)


def test_a_calendar_that_is_closed_by_default_is_open_while_an_event_lasts(ssm: SSMClient) -> None:
    """The other way round."""
    name = create(ssm, calendar(NIGHT, kind="DEFAULT_CLOSED"))
    assert ("CLOSED", "2026-03-10T20:00:00Z") == state(ssm, name, at="2026-03-10T12:00:00Z")
    assert ("OPEN", "2026-03-11T06:00:00Z") == state(ssm, name, at="2026-03-11T00:00:00Z")


def test_calendars_are_open_together_if_each_of_them_is(ssm: SSMClient) -> None:
    """One that is closed closes all."""
    names = (create(ssm, calendar(NIGHT), "nights"), create(ssm, calendar(LATE, kind="DEFAULT_CLOSED"), "late"))
    assert ("CLOSED", "2026-03-11T06:00:00Z") == state(ssm, *names, at="2026-03-10T12:00:00Z")
    assert ("OPEN", "2026-03-11T08:00:00Z") == state(ssm, *names, at="2026-03-11T07:00:00Z")


def test_without_a_time_it_is_now(ssm: SSMClient) -> None:
    """An event around now closes the calendar for as long as it lasts."""
    now = datetime.now(UTC).replace(microsecond=0)
    start, end = now - timedelta(hours=1), now + timedelta(hours=1)
    name = create(ssm, calendar(event(start, end)))
    answer = ssm.get_calendar_state(CalendarNames=[name])
    assert ("CLOSED", f"{end:%Y-%m-%dT%H:%M:%SZ}") == (answer["State"], answer["NextTransitionTime"])


def test_a_time_may_be_told_in_any_zone(ssm: SSMClient) -> None:
    """As AWS's own example does; the answer is in UTC."""
    name = create(ssm, calendar(NIGHT))
    answer = ssm.get_calendar_state(CalendarNames=[name], AtTime="2026-03-10T14:00:00-0700")
    assert ("CLOSED", "2026-03-10T21:00:00Z") == (answer["State"], answer["AtTime"])


def test_a_calendar_of_another_account_is_read_by_its_arn_once_it_is_shared(cloud: LocalCloud, ssm: SSMClient) -> None:
    """And no longer when it is not; its name alone means one of one's own."""
    owner = cloud.session(account=MEMBERS[0]).client("ssm")
    name = create(owner, calendar(), "shared")
    arn = f"arn:aws:ssm:{HOME}:{MEMBERS[0]}:document/{name}"
    reader = cloud.session().client("ssm")

    def ask(by: Any) -> str:
        try:
            return str(by.get_calendar_state(CalendarNames=[arn])["State"])
        except by.exceptions.InvalidDocument:
            return "InvalidDocument"

    answers = [ask(owner), ask(reader)]
    owner.modify_document_permission(Name=name, PermissionType="Share", AccountIdsToAdd=[SECURITY])
    answers += [ask(reader), ask(ssm)]
    owner.modify_document_permission(Name=name, PermissionType="Share", AccountIdsToRemove=[SECURITY])
    answers += [ask(reader)]
    owner.delete_document(Name=name)
    assert ["OPEN", "InvalidDocument", "OPEN", "InvalidDocument", "InvalidDocument"] == answers


def test_a_calendar_that_is_not_there_is_refused(cloud: LocalCloud, account: str, ssm: SSMClient) -> None:
    """Whether there never was one, it was deleted, or it is in another Region."""
    name = create(ssm, calendar())
    ssm.delete_document(Name=name)
    elsewhere = create(cloud.session(account=account, region="us-east-1").client("ssm"), calendar(), "elsewhere")
    refused = []
    for asked in ("never", name, elsewhere, f"arn:aws:ssm:us-east-1:{account}:document/{elsewhere}"):
        with Refused() as refusal:
            ssm.get_calendar_state(CalendarNames=[asked])
        refused.append(refusal.code)
    with Refused() as refusal:
        ssm.delete_document(Name=name)
    assert ["InvalidDocument"] * 5 == [*refused, refusal.code]


def test_a_document_that_is_no_calendar_is_refused(ssm: SSMClient) -> None:
    """By its type."""
    ssm.create_document(Name="runbook", Content="{}", DocumentType="Automation")
    with Refused() as refusal:
        ssm.get_calendar_state(CalendarNames=["runbook"])
    assert "InvalidDocumentType" == refusal.code


@pytest.mark.parametrize(
    "content", ["no calendar", calendar().replace("X-CALENDAR-TYPE", "X-OTHER"), calendar(kind="SOMETIMES")]
)
def test_content_that_is_no_calendar_is_refused(content: str, ssm: SSMClient) -> None:
    """When it is created, not when it is asked."""
    with Refused() as refusal:
        create(ssm, content)
    assert "InvalidDocumentContent" == refusal.code


def test_a_name_is_taken_once(ssm: SSMClient) -> None:
    """In an account and Region."""
    create(ssm, calendar())
    with Refused() as refusal:
        create(ssm, calendar())
    assert "DocumentAlreadyExists" == refusal.code


def test_a_time_that_is_none_is_refused(ssm: SSMClient) -> None:
    """With SSM's general code."""
    name = create(ssm, calendar())
    with Refused() as refusal:
        ssm.get_calendar_state(CalendarNames=[name], AtTime="tomorrow")
    assert "ValidationException" == refusal.code


def test_the_rest_of_ssm_is_as_it_was(ssm: SSMClient) -> None:
    """Parameters."""
    ssm.put_parameter(Name="/a", Value="b", Type="String")
    assert "b" == ssm.get_parameter(Name="/a")["Parameter"]["Value"]
