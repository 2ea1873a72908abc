"""Two functions meet: every order of their calls up to a bound, some by chance, and what was wrong afterwards."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from imdsv2.errors import InvalidRequest
from tests.proof.crashes.ending import ending
from tests.proof.crashes.likeness import likeness
from tests.proof.crashes.schedules import Stage, settle
from tests.proof.pairs.invariants import violations
from tests.proof.pairs.scheduler import Schedule, play
from tests.proof.pairs.states import STATES, acts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.proof.crashes.world import World
    from tests.proof.pairs.scheduler import Stepped

_PAUSE = 5
"""Minutes: as long as a function may run."""
_COMPARED = ("options", "tags", " status", " reason", "told ", "breaker ")
_AS_IT_COMES = ("IMDSv1 calls were rejected", "IMDSv1 switched off")
"""Messages that depend on who looked when: of probes, and of changes that were undone at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What was wrong, what has come of it, how often each could have been stopped, and whether a person was told to try again."""

    wrong: list[str]
    seen: dict[str, Any]
    stops: tuple[int, int]
    is_refused: bool


_futures: dict[str, tuple[list[str], dict[str, Any]]] = {}
"""What was wrong at the end, and what stood then, by all that the meeting left behind: the days after it are without chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Two functions, by name, over an instance in a state."""

    state: str
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.state}|{self.one}|{self.other}"

    def played(self, schedule: Schedule) -> Played:
        """What comes of it by a schedule."""
        random.seed(1)
        world, queue, arn = scene = STATES[self.state]()
        known = acts(scene)
        both = play([known[self.one], known[self.other]], schedule, world.clock)
        problems = [each.problem for each in both if each.problem is not None]
        wrong = [f"raised {each!r}" for each in problems if not isinstance(each, InvalidRequest)]
        state = likeness(world, queue)
        if state not in _futures:
            settle(Stage(world=world, queue=queue, act=known[self.one]), "line first")
            _futures[state] = violations(world, arn), _seen(world)
        violated, seen = _futures[state]
        stops = both[0].stops, both[1].stops
        return Played(wrong=[*wrong, *violated], seen=seen, stops=stops, is_refused=any(map(_is_refused, both)))

    def one_after_the_other(self) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        """What comes of it if they do not overlap, in either order, and how often each could be stopped then."""
        ends, stops = [], (0, 0)
        for first in (0, 1):
            played = self.played(Schedule(first=first, turns=()))
            ends.append(played.seen)
            stops = max(stops[0], played.stops[0]), max(stops[1], played.stops[1])
        return ends, stops

    def check(self, schedule: Schedule, ends: list[dict[str, Any]] | None) -> list[str]:
        """What was wrong by a schedule: against the invariants, and against ``ends``, what may come of it."""
        played = self.played(schedule)
        if played.wrong or ends is None or played.is_refused or played.seen in ends:
            return played.wrong
        nearest = min((_difference(played.seen, each) for each in ends), key=len)
        return [f"as in no order: {', '.join(nearest)}"]


def _seen(world: World) -> dict[str, Any]:
    """What may be compared at the end. How often people were told is for the invariants."""
    return {
        name: True if name.startswith("told ") else value
        for name, value in ending(world).items()
        if any(part in name for part in _COMPARED) and not any(part in name for part in _AS_IT_COMES)
    }


def _is_refused(invocation: Stepped) -> bool:
    answer = invocation.answer
    return answer is not None and any(each["problem"] for each in answer["results"])


def by_bound(stops: tuple[int, int], bound: int) -> Iterator[Schedule]:
    """All schedules with that many stops for the other."""
    for first in (0, 1):
        counts = [range(1, stops[(first + number) % 2] + 1) for number in range(bound)]
        for turns in product(*counts):
            yield Schedule(first=first, turns=turns)


def by_chance(stops: tuple[int, int], seed: int, count: int) -> Iterator[Schedule]:
    """Schedules with two to four stops, of which some let time pass."""
    chance = random.Random(seed)  # noqa: S311 - a test's dice
    for _ in range(count):
        turns = tuple(chance.randint(1, max(1, max(stops) // 2)) for _ in range(chance.randint(1, 4)))
        yield Schedule(first=chance.randint(0, 1), turns=turns, pause=chance.choice((0, 0, 1, _PAUSE)))


def _difference(seen: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {seen.get(name)!r}, not {expected.get(name)!r}"
        for name in sorted(seen.keys() | expected.keys())
        if seen.get(name) != expected.get(name)
    ]
