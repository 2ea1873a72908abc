"""What was seen of the last start of an instance: pure. No datapoint is never zero."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import HOUR, at
from imdsv2.domain.evidence.values import Start
from imdsv2.domain.evidence.window import FINE, first_fine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.evidence.hours import Series
    from imdsv2.domain.evidence.window import Window

_WORTH_OBSERVING = timedelta(minutes=15)
"""What is left of the hour of the start must have a datapoint where it is at least this long."""
_NOTHING: Mapping[int, float] = {}


def start_of(window: Window, accepted: Series | None, refused: Series | None, samples: Series | None) -> Start:
    """What was seen of the last start.

    Args:
        window: the instance.
        accepted: the accepted calls around it; None where the window's hours tell of them.
        refused: the refused calls around it; None where there are none to tell of.
        samples: by periods of five minutes, how many samples each around it has; where CloudWatch has forgotten these, the
            hours that have a datapoint.
    """
    started_at = window.started_at
    if window.proof_is_kept:
        return Start(at=started_at, observed=True)
    if window.start_is_forgotten:
        return Start(at=started_at, forgotten=True)
    needed = _fine_periods(window) if window.start_is_fine else _hours_needed(window)
    seen = samples.values if samples else _NOTHING
    rejected = refused.values if refused else _NOTHING
    # A period with refused calls was not quiet, even where a person has settled them since.
    whole = {
        each for each in (_whole(window, needed, seen) if window.start_is_fine else seen) if not rejected.get(each)
    }
    missing = sum(each not in whole for each in needed)
    resumable = window.start_may_be_a_resume
    return Start(
        at=started_at,
        observed=window.start_ends <= window.now and bool(needed) and not missing and not resumable,
        observable_at=window.start_ends,
        resumable=resumable,
        calls=_calls(window, accepted.values if accepted else _NOTHING, rejected),
        periods=len(needed),
        missing=missing,
    )


def _fine_periods(window: Window) -> list[int]:
    """The five-minute periods that must have a datapoint: those wholly inside the start, and the one in which it began where
    at least half of it was left."""
    first = math.ceil(window.started_at.timestamp() / FINE - 0.5) * FINE
    return list(range(first, math.floor(min(window.start_ends, window.now).timestamp() / FINE) * FINE, FINE))


def _whole(window: Window, needed: list[int], samples: Mapping[int, float]) -> set[int]:
    """The periods that were seen whole: with as many samples as most of them. The one in which it began cannot have them all."""
    seen = {second: count for second in needed if (count := samples.get(second))}
    usual = sorted(seen.values())[len(seen) // 2] if seen else 0
    began = window.started_at.timestamp()
    return {second for second, count in seen.items() if count >= usual or second < began}


def _hours_needed(window: Window) -> list[int]:
    """The hours of the start that must have a datapoint, where CloudWatch has nothing finer."""
    started_at = window.started_at
    containing = math.floor(started_at.timestamp() / HOUR)
    first_whole = math.ceil(started_at.timestamp() / HOUR)
    needed = [first_whole]
    if at(containing + 1) - started_at >= _WORTH_OBSERVING and containing != first_whole:
        needed.insert(0, containing)
    return [hour for hour in needed if at(hour) < window.start_ends]


def _calls(window: Window, accepted: Mapping[int, float], rejected: Mapping[int, float]) -> int:
    """Calls at the start; of the refused ones, those that no person has settled."""
    if window.start_is_fine:
        first, end = first_fine(window.started_at), math.ceil(window.start_ends.timestamp())
    else:
        first, end = window.start_hours.first, window.start_hours.end
    unsettled = max(first, _settled_until(window) or first)
    made = sum(value for period, value in accepted.items() if first <= period < end)
    return math.ceil(made + sum(value for period, value in rejected.items() if unsettled <= period < end))


def _settled_until(window: Window) -> int | None:
    """The first period whose refused calls count, by its beginning, or by its hour where there is nothing finer."""
    if window.start_is_fine or window.refused_since is None:
        return window.refused_from
    return math.floor(window.refused_since.timestamp() / HOUR)
