"""Use before the window, seen by the week: whether it comes again. Pure."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import WEEK_HOURS, at
from imdsv2.domain.evidence.values import Recurrence

if TYPE_CHECKING:
    from imdsv2.domain.evidence.hours import Series
    from imdsv2.domain.evidence.window import Window

_WEEK = timedelta(days=7)


def recurrence_of(window: Window, weeks: Series) -> Recurrence:
    """Use before the window, seen by the week: whether it comes again.

    Weeks of use that follow each other are one burst. What is not known within a week is taken so that it holds longer.
    """
    used = sorted(week for week, value in weeks.values.items() if value)
    if not used:
        return Recurrence()
    bursts = _bursts(used)
    last = bursts[-1][1]
    silences = [at(later[0]) + _WEEK - at(earlier[1]) for earlier, later in pairwise(bursts)]
    ends_at = min(at(last) + _WEEK, window.start) + 2 * max(silences) if silences else None
    return Recurrence(
        calls=math.ceil(sum(weeks.values[week] for week in used)), last=at(last), bursts=len(bursts), ends_at=ends_at
    )


def _bursts(weeks: list[int]) -> list[tuple[int, int]]:
    """First and last week of each run of weeks with use."""
    bursts: list[tuple[int, int]] = []
    for week in weeks:
        if bursts and week - bursts[-1][1] <= WEEK_HOURS:
            bursts[-1] = (bursts[-1][0], week)
        else:
            bursts.append((week, week))
    return bursts
