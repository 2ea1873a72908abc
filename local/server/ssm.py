"""Change calendars of Systems Manager, which ministack lacks: documents with iCalendar data, and whether they are open. Also AWS's
public parameter of Amazon Linux for arm64.

A document of any type can be created, deleted and shared with other accounts; only calendars can be read. A calendar is open or closed
by default (`X-CALENDAR-TYPE`), and the opposite during its events. Events without a time zone, and whole days, are in UTC. The next
transition is searched within one year.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import gateway
from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.server.platform import Headers, Params, Response

Json: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str, str]
Span: TypeAlias = tuple[datetime, datetime]

icalendar: Any = import_module("icalendar")
recurring: Any = import_module("recurring_ical_events")

CALENDAR: Final = "ChangeCalendar"
OPEN_BY_DEFAULT: Final = {"DEFAULT_OPEN": True, "DEFAULT_CLOSED": False}
ARN: Final = re.compile(r"arn:aws:ssm:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):document/(?P<name>.+)")
AHEAD: Final = timedelta(days=366)
IMAGE_PARAMETER: Final = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
IMAGE: Final = "ami-0a1c2023a1b2c3d4e"


@dataclass(eq=False)
class SystemsManagerError(Exception):
    """An error that Systems Manager answers."""

    code: str
    message: str


@dataclass(kw_only=True)
class Document:
    """A document, and the other accounts that may read it."""

    kind: str
    content: str
    created_at: datetime
    shared_with: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """A calendar's default state and its events from a given time on."""

    open_by_default: bool
    events: list[Span]

    def is_open(self, at: datetime) -> bool:
        """Whether changes are allowed at a time."""
        return self.open_by_default != any(start <= at < end for start, end in self.events)


# By account, Region and name.
_documents: dict[Place, Document] = {}


def install() -> None:
    """Handle requests before ministack's Systems Manager does."""
    ms.ssm._PUBLIC_AMI_PARAMETERS[IMAGE_PARAMETER] = IMAGE
    answer_first(ACTIONS)


def answer_first(actions: Mapping[str, Callable[[Json], Json]]) -> None:
    """Answer these actions of Systems Manager, and leave all others to whoever has answered them so far."""
    others = ms.SERVICES["ssm"]

    async def handle(method: str, path: str, headers: Headers, body: bytes, query: Params) -> Response:
        action = actions.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if action is None:
            return await others(method, path, headers, body, query)
        try:
            return gateway.json_response(action(json.loads(body)))
        except SystemsManagerError as refusal:
            return gateway.json_response({"__type": refusal.code, "Message": refusal.message}, 400)

    ms.SERVICES["ssm"] = handle


def create_document(request: Json) -> Json:
    """Create a document; the content of a calendar must be valid."""
    name, kind = request["Name"], request.get("DocumentType", "Command")
    place = (ms.account_id(), ms.region(), name)
    if place in _documents:
        raise SystemsManagerError("DocumentAlreadyExists", f"Document with same name {name} already exists")
    now = datetime.now(UTC)
    document = Document(kind=kind, content=request["Content"], created_at=now)
    if kind == CALENDAR:
        _calendar(document, now)
    _documents[place] = document
    return {
        "DocumentDescription": {
            "Name": name,
            "Owner": ms.account_id(),
            "CreatedDate": now.timestamp(),
            "Status": "Active",
            "DocumentVersion": "1",
            "DocumentType": kind,
            "DocumentFormat": request.get("DocumentFormat", "JSON"),
        }
    }


def delete_document(request: Json) -> Json:
    """Delete a document of the account."""
    del _documents[_own(request["Name"])]
    return {}


def modify_document_permission(request: Json) -> Json:
    """Share a document of the account with other accounts, or stop sharing it."""
    document = _documents[_own(request["Name"])]
    document.shared_with.update(request.get("AccountIdsToAdd", []))
    document.shared_with.difference_update(request.get("AccountIdsToRemove", []))
    return {}


def get_calendar_state(request: Json) -> Json:
    """`OPEN` if all of the calendars are open, and the time of the next transition if there is one."""
    at = _time(request["AtTime"]) if "AtTime" in request else datetime.now(UTC)
    calendars = [_calendar(_readable(name), at) for name in request["CalendarNames"]]

    def all_open(when: datetime) -> bool:
        return all(calendar.is_open(when) for calendar in calendars)

    state = all_open(at)
    edges = {edge for calendar in calendars for edge in chain.from_iterable(calendar.events) if edge > at}
    changes_at = next((edge for edge in sorted(edges) if all_open(edge) != state), None)
    answer = {"State": "OPEN" if state else "CLOSED", "AtTime": _text(at)}
    return answer if changes_at is None else {**answer, "NextTransitionTime": _text(changes_at)}


def _own(name: str) -> Place:
    place = (ms.account_id(), ms.region(), name)
    if place not in _documents:
        raise _no_document(name)
    return place


def _readable(name: str) -> Document:
    """The document with this name in the current account and Region, or with this ARN if its account shares it."""
    arn = ARN.fullmatch(name)
    place = (arn["account"], arn["region"], arn["name"]) if arn else (ms.account_id(), ms.region(), name)
    document = _documents.get(place)
    if document is None or place[1] != ms.region() or ms.account_id() not in {place[0], *document.shared_with}:
        raise _no_document(name)
    if document.kind != CALENDAR:
        raise SystemsManagerError("InvalidDocumentType", f"Document {name} is of type {document.kind}, not {CALENDAR}.")
    return document


def _no_document(name: str) -> SystemsManagerError:
    return SystemsManagerError("InvalidDocument", f"Document with name {name} does not exist.")


def _calendar(document: Document, at: datetime) -> Calendar:
    try:
        data = icalendar.Calendar.from_ical(document.content)
        return Calendar(
            open_by_default=OPEN_BY_DEFAULT[data["X-CALENDAR-TYPE"]],
            events=[(_moment(each.start), _moment(each.end)) for each in recurring.of(data).between(at, at + AHEAD)],
        )
    except (ValueError, KeyError) as error:
        raise SystemsManagerError("InvalidDocumentContent", f"The content is no calendar: {error}") from error


def _moment(start_or_end: date) -> datetime:
    """The time of an event, or the start of a day, with a time zone."""
    if not isinstance(start_or_end, datetime):
        start_or_end = datetime.combine(start_or_end, time())
    return start_or_end if start_or_end.tzinfo else start_or_end.replace(tzinfo=UTC)


def _time(text: str) -> datetime:
    try:
        return _moment(datetime.fromisoformat(text))
    except ValueError as error:
        raise SystemsManagerError("ValidationException", f"AtTime is no time in ISO 8601: {text}") from error


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


ACTIONS: Final[dict[str, Callable[[Json], Json]]] = {
    "CreateDocument": create_document,
    "DeleteDocument": delete_document,
    "GetCalendarState": get_calendar_state,
    "ModifyDocumentPermission": modify_document_permission,
}
