"""What a self-test does, and when: the instances, their calls to the metadata service, and the deeds of the service, in minutes.

A minute of the agenda lasts 60 seconds on AWS, and less in a rehearsal on the local AWS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.selftest.order import Order
    from imdsv2.selftest.seen import Seen

CALLER, QUIET, CLOSED, WITNESS, LINE = "caller", "quiet", "closed", "witness", "line"

INSTANCES: Mapping[str, str] = {
    CALLER: "calls IMDSv1 at known times, then has tokens required and calls on",
    QUIET: "only uses tokens; has tokens required, is rebooted, stopped and started",
    CLOSED: "only uses tokens until its metadata endpoint is disabled; is terminated early",
    WITNESS: "only uses tokens and is left alone: Config and Security Hub report it",
    LINE: "only uses tokens until the service itself enforces it; then calls IMDSv1, so that the guard rolls it back",
}
"""Role of each instance, at most five."""

INSTANCE_TYPE = "t4g.nano"
HOP_LIMIT, HOP_LIMIT_WHILE_STOPPED = 2, 3
"""Of every instance at launch: not EC2's default, so that it shows if a change resets it. And of one after it was stopped."""

PERIOD_MINUTES = 5
"""Of basic monitoring."""
ENDS_AT = 58
"""The last minute without the part of the line."""
LINE_TAKES = 45
"""Minutes from the service's own enforcement to its rollback: two periods with refused calls (until minute 18 at the latest), the metric's
delay of 15 minutes, the guard's 10."""
EVIDENCE_ARRIVES_IN = timedelta(minutes=15)
LAST_RESORT_MINUTES = 30
"""The instances end themselves so long after the agenda, if nothing else has ended them; not before 90 minutes."""
SHORTEST_LIFE_MINUTES = 90

PATIENCE_MINUTES = 10
"""How long a deed waits for the state that it needs, and the end for deeds that are late."""

ENDED = frozenset({"shutting-down", "terminated"})

_CALLED_BEFORE = (7, 8, 9, 13)
_CALLED_AFTER = (22, 23, 28, 37)
CALLS_OF_CALLER = len(_CALLED_BEFORE) + len(_CALLED_AFTER)
"""Calls without a token that one instance is to make and to report."""
_LINE_CALLS_AFTER = (6, 7, 12, 13, 18)
_TOKEN_CALL_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that the self-test does, not before this minute, and not before an instance was seen in a state."""

    minute: int
    name: str
    role: str = QUIET
    state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """The agenda of one self-test. ``line_at``: the minute at which the service's own line begins; None: without that part."""

    began_at: datetime
    minute_seconds: float
    line_at: int | None

    @property
    def deeds(self) -> tuple[Deed, ...]:
        """In the order in which they are done."""
        fixed = (
            Deed(minute=2, name="probe", state="running"),
            Deed(minute=3, name="surroundings"),
            Deed(minute=6, name="close", role=CLOSED, state="running"),
            Deed(minute=8, name="probe_closed", role=CLOSED, state="running"),
            Deed(minute=9, name="roles"),
            Deed(minute=16, name="require"),
            Deed(minute=18, name="reboot"),
            Deed(minute=22, name="stop"),
            Deed(minute=25, name="change_stopped", state="stopped"),
            Deed(minute=27, name="start", state="stopped"),
            Deed(minute=30, name="terminate"),
            Deed(minute=33, name="change_terminated", role=CLOSED, state="terminated"),
            Deed(minute=52, name="trail"),
            Deed(minute=53, name="hours", role=CALLER),
        )
        line = () if self.line_at is None else (Deed(minute=self.line_at, name="enforce"),)
        return tuple(sorted((*fixed, *line), key=lambda deed: deed.minute))

    @property
    def ends_at_minute(self) -> int:
        return ENDS_AT if self.line_at is None else max(ENDS_AT, self.line_at + LINE_TAKES)

    @property
    def life_minutes(self) -> int:
        """When the instances end themselves."""
        return max(SHORTEST_LIFE_MINUTES, self.ends_at_minute + LAST_RESORT_MINUTES)

    def minute(self, now: datetime) -> float:
        """The minute of the agenda at a time."""
        return (now - self.began_at).total_seconds() / self.minute_seconds

    def time_of(self, minute: float) -> datetime:
        return self.began_at + timedelta(seconds=minute * self.minute_seconds)

    def due(self, now: datetime, seen: Seen) -> str | None:
        """The deed to do now, if any: one at a time, so that there is a look between any two."""
        minute = self.minute(now)
        deed = next((deed for deed in self.deeds if deed.name not in seen.done), None)
        if deed is None or minute < deed.minute:
            return None
        ready = deed.state is None or seen.state_of(deed.role) == deed.state
        return deed.name if ready or minute >= deed.minute + PATIENCE_MINUTES else None

    def is_over(self, now: datetime, seen: Seen) -> bool:
        """Whether all is done and seen, or nothing is left to act on; late deeds are waited for, but not for ever."""
        if seen.instances and all(seen.state_of(role) in ENDED for role in seen.instances):
            return True
        late = self.minute(now) - self.ends_at_minute
        return late >= 0 and (len(seen.done) >= len(self.deeds) or late >= PATIENCE_MINUTES)

    def calls(self, role: str) -> list[tuple[int, str]]:
        """Minute and kind (`v1`, `v2`) of an instance's calls to its metadata service, in order."""
        minutes: tuple[int, ...] = ()
        if role == CALLER:
            minutes = (*_CALLED_BEFORE, *_CALLED_AFTER)
        elif role == LINE and self.line_at is not None:
            minutes = tuple(self.line_at + minute for minute in _LINE_CALLS_AFTER)
        tokens = range(_TOKEN_CALL_EVERY + 1, self.ends_at_minute, _TOKEN_CALL_EVERY)
        return sorted([*((minute, "v1") for minute in minutes), *((minute, "v2") for minute in tokens)])


def agenda_of(order: Order, began_at: datetime) -> Agenda:
    """The line can enforce only what has a whole clock hour of evidence; without another wish it begins when CloudWatch shows
    that hour."""
    line_at: int | None = None
    if order.line:
        line_at = order.line_at if order.line_at is not None else _whole_hour_shown(began_at)
    return Agenda(began_at=began_at, minute_seconds=order.minute_seconds, line_at=line_at)


def _whole_hour_shown(began_at: datetime) -> int:
    hour = timedelta(hours=1)
    begins = began_at.replace(minute=0, second=0, microsecond=0) + hour
    return math.ceil((begins + hour + EVIDENCE_ARRIVES_IN - began_at) / timedelta(minutes=1))
