"""Observations of a self-test on an AWS that is as the service believes, and the means to change them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from imdsv2.selftest.agenda import (
    CALLER,
    CLOSED,
    HOP_LIMIT,
    HOP_LIMIT_WHILE_STOPPED,
    INSTANCES,
    LINE,
    QUIET,
    WITNESS,
    Agenda,
    agenda_of,
)
from imdsv2.selftest.metrics import ACCEPTED, CPU, PERIOD, REJECTED
from imdsv2.selftest.order import Order
from imdsv2.selftest.seen import OK, Answer, Call, Entry, Listing, Point, Seen, Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BEGAN_AT = datetime(2027, 3, 9, 12, 2, tzinfo=UTC)
ORDER = Order(account="222222222222", region="eu-west-1")
AGENDA: Agenda = agenda_of(ORDER, BEGAN_AT)
CLOSED_AT, REQUIRED_AT, REBOOTED_AT, STOPPED_AT, STARTED_AT, CLOSED_ENDED_AT = 6, 16, 18, 22, 27, 30
CHANGED_STOPPED_AT = 25
ENFORCED_AT = AGENDA.line_at or 0
ROLLED_BACK_AT = ENFORCED_AT + 24
SEEN_AFTER = timedelta(minutes=3)
"""From the end of a period to its datapoint's first sight."""
THROTTLED = "RequestLimitExceeded"
HUB = "arn:aws:securityhub:eu-west-1::product/aws/securityhub"
HUB_V2 = "arn:aws:securityhub:eu-west-1::productv2/aws/securityhub"

_ANSWERS: dict[str, tuple[float, str, dict[str, Any]]] = {
    "dry run": (2, "DryRunOperation", {}),
    "unknown id": (2, "InvalidInstanceID.NotFound", {}),
    "malformed id": (2, "InvalidInstanceID.Malformed", {}),
    "managed resources": (2, OK, {}),
    "empty metric": (2, OK, {"results": [{"status": "Complete", "values": []}]}),
    "tokens sent: with": (2, "DryRunOperation", {}),
    "tokens sent: without": (2, "UnauthorizedOperation", {}),
    "options sent: with": (2, "DryRunOperation", {}),
    "options sent: without": (2, "UnauthorizedOperation", {}),
    "config": (3, OK, {"recording": True, "rules": ["securityhub-ec2-imdsv2-check-5e6f7a8b"]}),
    "hub": (3, OK, {}),
    "hub v2": (3, OK, {}),
    "hub v2 at home": (3, OK, {}),
    "findings v2": (3, OK, {}),
    "stack sets": (3, OK, {"instances": [{"account": "222222222222", "status": "CURRENT"}]}),
    "policy": (3, OK, Policy().to_document()),
    "close": (CLOSED_AT, OK, {}),
    "dry run closed": (8, "DryRunOperation", {}),
    "endpoint now: with": (8, "DryRunOperation", {}),
    "endpoint now: without": (8, "UnauthorizedOperation", {}),
    "require closed": (8, OK, {}),
    "roles": (9, OK, {"results": [{"problem": None, "checks": [{"passed": True}, {"passed": True}]}]}),
    f"require {CALLER}": (REQUIRED_AT, OK, {}),
    f"require {QUIET}": (REQUIRED_AT, OK, {}),
    "reboot": (REBOOTED_AT, OK, {}),
    "stop": (STOPPED_AT, OK, {}),
    "change stopped": (CHANGED_STOPPED_AT, OK, {}),
    "start": (STARTED_AT, OK, {}),
    "terminate": (CLOSED_ENDED_AT, OK, {}),
    "hours": (
        53,
        OK,
        {"results": [{"status": "Complete", "values": [0.0, 3.0, 1.0]}, {"status": "Complete", "values": [4.0]}]},
    ),
    "trail": (52, OK, {"rebooted_at": (BEGAN_AT + timedelta(minutes=REBOOTED_AT)).isoformat()}),
    "change terminated": (34, "IncorrectInstanceState", {}),
    "enforce": (ENFORCED_AT, OK, {"status": "enforced", "explanation": "Done."}),
}


def at(minute: float) -> datetime:
    return AGENDA.time_of(minute)


def clean() -> Seen:
    """All observations of a whole self-test."""
    calls = tuple(_calls())
    return Seen(
        began_at=BEGAN_AT,
        minute_seconds=60,
        instances={role: f"i-{number:017x}" for number, role in enumerate(INSTANCES, 1)},
        looked_at=at(AGENDA.ends_at_minute),
        done=tuple(deed.name for deed in AGENDA.deeds),
        answers=tuple(
            Answer(name=name, at=at(minute), code=code, raw=raw) for name, (minute, code, raw) in _ANSWERS.items()
        ),
        sights=tuple(_sight(role, minute + 0.5) for minute in range(AGENDA.ends_at_minute) for role in INSTANCES),
        points=tuple(_points(calls)),
        listings=(
            Listing(role=CALLER, at=at(40), missing_at=at(39)),
            Listing(role=LINE, at=at(ENFORCED_AT + 20), missing_at=at(ENFORCED_AT + 19)),
        ),
        calls=calls,
        entries=(
            Entry(role=WITNESS, at=at(9), status="held", reason="too_young", source="config"),
            Entry(role=WITNESS, at=at(12), status="held", reason="too_young", source="securityhub", hubs=(HUB, HUB_V2)),
            Entry(role=LINE, at=at(ENFORCED_AT), status="enforced", reason="unused", source="manual"),
            Entry(role=LINE, at=at(ROLLED_BACK_AT), status="rolled_back", reason="broke_before", source="guard"),
        ),
    )


def _required(role: str, minute: float) -> bool:
    if role in {CALLER, QUIET}:
        return minute > REQUIRED_AT
    return role == LINE and ENFORCED_AT < minute < ROLLED_BACK_AT


def _state(role: str, minute: float) -> str:
    if role == QUIET and STOPPED_AT < minute < STARTED_AT:
        return "stopped"
    return "terminated" if role == CLOSED and minute > CLOSED_ENDED_AT else "running"


def _sight(role: str, minute: float) -> Sight:
    state = _state(role, minute)
    return Sight(
        role=role,
        at=at(minute),
        state=state,
        launched_at=at(STARTED_AT if role == QUIET and minute > STARTED_AT else 0),
        attached_at=at(0),
        tokens="required" if _required(role, minute) else "optional",
        endpoint="disabled" if role == CLOSED and minute > CLOSED_AT else "enabled",
        hop_limit=HOP_LIMIT_WHILE_STOPPED if role == QUIET and minute > CHANGED_STOPPED_AT else HOP_LIMIT,
        stopped_at=at(STOPPED_AT) if state == "stopped" else None,
    )


def _calls() -> Iterator[Call]:
    boots = [(CALLER, 0.8), (QUIET, 0.8), (LINE, 0.8), (QUIET, REBOOTED_AT + 0.7), (QUIET, STARTED_AT + 0.7)]
    yield from (Call(role=role, at=at(minute), kind="boot", status=0) for role, minute in boots)
    for role in (CALLER, QUIET, LINE):
        for minute, kind in AGENDA.calls(role):
            refused = kind == "v1" and _required(role, minute)
            yield Call(role=role, at=at(minute), kind=kind, status=401 if refused else 200)


def _points(calls: tuple[Call, ...]) -> Iterator[Point]:
    for role in INSTANCES:
        for minute in range(0, AGENDA.ends_at_minute - 10, 5):
            if role == CLOSED and minute > CLOSED_ENDED_AT:
                continue
            inside = [call for call in calls if call.role == role and at(minute) <= call.at < at(minute) + PERIOD]
            refused = sum(call.status == 401 for call in inside)
            yield point(CPU, role, minute, 1.0)
            if role != CLOSED and not _required(role, minute + 1):
                yield point(ACCEPTED, role, minute, sum(call.kind == "v1" for call in inside) - refused)
            if refused:
                yield point(REJECTED, role, minute, refused)


def point(metric: str, role: str, minute: float, total: float, *, after: timedelta = SEEN_AFTER) -> Point:
    seen_at = at(minute) + PERIOD + after
    return Point(
        metric=metric,
        role=role,
        at=at(minute),
        total=total,
        seen_at=seen_at,
        missing_at=seen_at - timedelta(minutes=1),
    )


def answered(seen: Seen, name: str, code: str, message: str = "", **raw: Any) -> Seen:
    """With another answer to a call."""
    known = {answer.name: answer for answer in seen.answers}
    conclusive = code != THROTTLED
    known[name] = replace(
        known[name], code=code, message=message, conclusive=conclusive, raw={**known[name].raw, **raw}
    )
    return replace(seen, answers=tuple(known.values()))


def without_answer(seen: Seen, *names: str) -> Seen:
    """As if the agenda had not reached these steps."""
    return replace(seen, answers=tuple(each for each in seen.answers if each.name not in names))


def with_points(seen: Seen, change: Callable[[Point], Point | None], *more: Point) -> Seen:
    """With changed datapoints, and more of them."""
    changed = (change(each) for each in seen.points)
    return replace(seen, points=(*(each for each in changed if each is not None), *more))


def with_sights(seen: Seen, change: Callable[[Sight], Sight]) -> Seen:
    return replace(seen, sights=tuple(change(each) for each in seen.sights))
