"""CloudTrail's LookupEvents, and what is recorded for it: calls of EC2 that launch, start, stop, reboot or end instances, whoever makes
them; and all management events of software that calls with the credentials of an instance's role.

The history is that of an account and Region, and reaches back 90 days. Not as in AWS: an event is there at once, not after minutes, and
a launch whose instance has a past (`local:launched-at`) is recorded in that past.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qs

from local.server import gateway
from local.server import platform as ms
from local.server.cloudtrail import events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from local.server.cloudtrail.events import Caller, Event
    from local.server.platform import Headers, Params, Response

Json: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str]

KEPT_SECONDS: Final = 90 * 24 * 3600
KEPT: Final = 10_000
PAGE: Final = 50
RECORDED: Final = frozenset(
    {"RunInstances", "RebootInstances", "StartInstances", "StopInstances", "TerminateInstances"}
)
DATA_EVENTS: Final = frozenset(
    {
        "sqs:SendMessage",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "s3:GetObject",
        "s3:PutObject",
        "lambda:InvokeFunction",
    }
)
"""Calls that move data are in no event history."""

# By account and Region.
_histories: dict[Place, deque[Event]] = {}


@dataclass(eq=False)
class CloudTrailError(Exception):
    """An error that CloudTrail answers."""

    code: str
    message: str


def install() -> None:
    """Record what is dispatched, and answer LookupEvents before ministack's CloudTrail does."""
    dispatch: Callable[..., Awaitable[Response]] = ms.app._dispatch_service_request  # noqa: SLF001 - no other way in
    others = ms.SERVICES["cloudtrail"]

    async def recorded(
        method: str, path: str, headers: Headers, body: bytes, query: Params, request_id: str
    ) -> Response:
        answer = await dispatch(method, path, headers, body, query, request_id)
        _record(method, path, headers, body, query, answer)
        return answer

    async def handle(method: str, path: str, headers: Headers, body: bytes, query: Params) -> Response:
        if not headers.get("x-amz-target", "").endswith(".LookupEvents"):
            return await others(method, path, headers, body, query)
        try:
            return gateway.json_response(lookup_events(json.loads(body or b"{}")))
        except CloudTrailError as refusal:
            return gateway.json_response({"__type": refusal.code, "message": refusal.message}, 400)

    ms.app._dispatch_service_request = recorded  # noqa: SLF001
    ms.SERVICES["cloudtrail"] = handle


def note_launch(caller: Caller, params: Params, answer: Response) -> None:
    """A launch that a service makes itself."""
    _keep(events.of_ec2(caller, "RunInstances", params, answer[0], answer[2]))


def lookup_events(request: Json) -> Json:
    """Events of the current account and Region, the newest first."""
    size, since, until = _size(request), request.get("StartTime", 0), request.get("EndTime", time.time())
    if since > until:
        raise CloudTrailError("InvalidTimeRangeException", "The start time is after the end time.")
    wanted = request.get("LookupAttributes", [])
    if len(wanted) > 1 or any(each.get("AttributeKey") not in ATTRIBUTES for each in wanted):
        raise CloudTrailError(
            "InvalidLookupAttributesException", "One attribute can be looked up, of those that exist."
        )
    oldest = max(since, time.time() - KEPT_SECONDS)
    known = [
        each
        for each in reversed(_histories.get((ms.account_id(), ms.region()), ()))
        if oldest <= each.at <= until
        and all(one["AttributeValue"] in ATTRIBUTES[one["AttributeKey"]](each) for one in wanted)
    ]
    known.sort(key=lambda each: each.at, reverse=True)
    begin = _begin(request.get("NextToken"))
    further = {"NextToken": base64.b64encode(str(begin + size).encode()).decode()} if begin + size < len(known) else {}
    return {"Events": [each.shown() for each in known[begin : begin + size]], **further}


def _record(method: str, path: str, headers: Headers, body: bytes, query: Params, answer: Response) -> None:
    key = ms.router.extract_access_key_id(headers, query)
    agent = headers.get("user-agent", "")
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    params: Params = query
    if not action and "x-www-form-urlencoded" in headers.get("content-type", ""):
        params = {**query, **parse_qs(body.decode(errors="replace"), keep_blank_values=True)}
        action = (params.get("Action") or [""])[0]
    delivered = (ms.sts._sessions.get(key) or {}).get("Delivery")  # noqa: SLF001 - ministack offers no other way in
    if not action or not (delivered or action in RECORDED):
        return
    service = str(ms.router.detect_service(method, path, headers, params))
    if service == "ec2" and action in RECORDED:
        _keep(events.of_ec2(events.caller_of(key, agent), action, params, answer[0], answer[2]))
    elif delivered and f"{service}:{action}" not in DATA_EVENTS:
        refused: Json = {} if answer[0] < 400 else {"errorCode": "AccessDenied" if answer[0] == 403 else "ClientError"}
        _keep(events.event(events.caller_of(key, agent), service, action, **refused))


def _keep(event: Event) -> None:
    _histories.setdefault((ms.account_id(), ms.region()), deque(maxlen=KEPT)).append(event)


def _size(request: Json) -> int:
    size = request.get("MaxResults", PAGE)
    if not 1 <= size <= PAGE:
        raise CloudTrailError("InvalidMaxResultsException", f"MaxResults takes 1 to {PAGE}, not {size}.")
    return int(size)


def _begin(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (ValueError, binascii.Error) as wrong:
        raise CloudTrailError("InvalidNextTokenException", "The token is none of an earlier answer.") from wrong


def _names(event: Event) -> Iterable[str]:
    return [name for _, name in event.resources]


ATTRIBUTES: Final[dict[str, Callable[[Event], Iterable[str]]]] = {
    "AccessKeyId": lambda event: [event.key],
    "EventId": lambda event: [event.id],
    "EventName": lambda event: [event.name],
    "EventSource": lambda event: [event.source],
    "ReadOnly": lambda event: [event.read_only],
    "ResourceName": _names,
    "ResourceType": lambda event: [kind for kind, _ in event.resources],
    "Username": lambda event: [event.username],
}
