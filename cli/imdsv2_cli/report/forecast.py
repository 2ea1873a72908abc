"""When nothing will allow IMDSv1 any more, if it goes on as in the last weeks: the nights drawn again at random, many times."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEWEST_NIGHTS = 7
HORIZON_DAYS = 365
_LAST_NIGHTS = 42
_DRAWS = 400
_AFTER_ZERO, _WITHOUT_ZERO = 7, 90
"""So many days are drawn after zero; or from today, if zero is not reached within a year."""
_SEED = 2
"""The same nights make the same forecast."""
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How many instances allow IMDSv1 on a day to come: between ``low`` and ``high`` in 80 of 100 draws."""

    day: date
    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``points``: the days to come, up to the last that is shown. ``zero``, ``earliest``, ``latest``: when zero is reached in the middle
    draw and in 80 of 100; None: not within a year. ``problem``: why there is no forecast."""

    points: tuple[Point, ...] = ()
    zero: date | None = None
    earliest: date | None = None
    latest: date | None = None
    problem: str = ""

    def sentence(self) -> str:
        """The forecast in words."""
        if self.problem:
            return self.problem
        if self.zero is None:
            return "At the pace of the last weeks, zero is not reached within a year."
        until = self.latest.isoformat() if self.latest else "more than a year from now"
        first = self.earliest or self.zero
        return f"At the pace of the last weeks, zero is reached around {self.zero}, and with 80% probability between {first} and {until}."


def forecast(nights: Sequence[Mapping[str, Any]]) -> Forecast:
    """The forecast from the numbers of nights (`at`, `imdsv1_allowed`), in their order."""
    known = [(date.fromisoformat(each["at"][:10]), int(each.get("imdsv1_allowed", 0))) for each in nights][
        -_LAST_NIGHTS:
    ]
    if known and known[-1][1] == 0:
        return Forecast(problem="Nothing allows IMDSv1 any more.")
    if len(known) < FEWEST_NIGHTS:
        return Forecast(problem=f"A forecast needs the numbers of {FEWEST_NIGHTS} nights; there are {len(known)}.")
    steps = [(after - before) / max(1, (day - earlier).days) for (earlier, before), (day, after) in pairwise(known)]
    today, open_ = known[-1]
    paths = _drawn(steps, open_)
    points = []
    for ahead in range(1, HORIZON_DAYS + 1):
        several = sorted(path[ahead] for path in paths)
        points.append(
            Point(
                day=today + timedelta(days=ahead),
                low=_at(several, _LOW),
                middle=_at(several, 0.5),
                high=_at(several, _HIGH),
            )
        )
    zero, earliest, latest = (
        next((each.day for each in points if getattr(each, name) <= 0), None) for name in ("middle", "low", "high")
    )
    last = latest or zero
    shown = (last - today).days + _AFTER_ZERO if last else _WITHOUT_ZERO
    return Forecast(points=tuple(points[:shown]), zero=zero, earliest=earliest, latest=latest)


def _drawn(steps: Sequence[float], open_: int) -> list[list[float]]:
    chance = random.Random(_SEED)  # noqa: S311 - a forecast, not a secret
    paths = []
    for _ in range(_DRAWS):
        path = [float(open_)]
        for step in chance.choices(steps, k=HORIZON_DAYS):
            path.append(max(0.0, path[-1] + step))
        paths.append(path)
    return paths


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]
