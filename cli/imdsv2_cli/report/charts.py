"""Charts as static SVG. Every text is escaped; colours are classes, which the page's style sheet sets for light and dark."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from imdsv2_cli.fleet.story import DAYS
from imdsv2_cli.report.numbers import STATES
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imdsv2_cli.report.forecast import Forecast

_WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 34
_LABEL = 210
_BAR, _GAP = 18, 8
_CELL = 24
_SHADES = 6

SVG = Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>{}</svg>')
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
_RECT = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}</title></rect>')
_LINE = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
_PATH = Markup('<path d="{}" class="{}"/>')
_DOT = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5" class="seen"><title>{}</title></circle>')


def progress(nights: Sequence[Mapping[str, Any]], coming: Forecast) -> Markup:
    """How many instances allowed IMDSv1 each night, and the forecast with its uncertainty."""
    seen = [(date.fromisoformat(each["at"][:10]), float(each.get("imdsv1_allowed", 0))) for each in nights]
    if not seen:
        return Markup("")
    first, last = seen[0][0], coming.points[-1].day if coming.points else seen[-1][0]
    days = max(1, (last - first).days)
    height = 280
    top = _round_up(max([value for _, value in seen] + [each.high for each in coming.points]))

    def x(day: date) -> float:
        return _LEFT + (day - first).days / days * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return height - _BOTTOM - value / top * (height - _TOP - _BOTTOM)

    parts = [*_grid(top, y), *_dates(first, last, x, height)]
    if coming.points:
        today, open_ = seen[-1]
        upper = [(x(today), y(open_)), *((x(each.day), y(each.high)) for each in coming.points)]
        lower = [(x(today), y(open_)), *((x(each.day), y(each.low)) for each in coming.points)]
        middle = [(x(today), y(open_)), *((x(each.day), y(each.middle)) for each in coming.points)]
        parts.append(_PATH.format(_joined([*upper, *reversed(lower)]) + "Z", "band"))
        parts.append(_PATH.format(_joined(middle), "coming"))
    parts.append(_PATH.format(_joined([(x(day), y(value)) for day, value in seen]), "line"))
    parts += [_DOT.format(x(day), y(value), f"{day}: {value:.0f}") for day, value in seen]
    return _svg(height, "Instances that allow IMDSv1, by night, with the forecast", parts)


def bars(groups: Sequence[tuple[str, Counter[str]]], title: str) -> Markup:
    """One bar for each group, by the states of its instances."""
    if not groups:
        return Markup("")
    most = max(counts.total() for _, counts in groups)
    room = _WIDTH - _LABEL - 60
    parts: list[Markup] = []
    for number, (name, counts) in enumerate(groups):
        y, x = _TOP + number * (_BAR + _GAP), float(_LABEL)
        parts.append(_TEXT.format(_LABEL - 8, y + 13, "label end", _cut(name)))
        for state in STATES:
            if counts[state]:
                width = counts[state] / most * room
                parts.append(
                    _RECT.format(x, y, width, _BAR, f"state-{state}", f"{name}: {counts[state]} {words(state)}")
                )
                x += width
        parts.append(_TEXT.format(x + 6, y + 13, "label", f"{counts.total()}"))
    return _svg(_TOP + len(groups) * (_BAR + _GAP), title, parts)


def amounts(rows: Sequence[tuple[str, int]], title: str) -> Markup:
    """One bar for each amount."""
    most = max((value for _, value in rows), default=0)
    if not most:
        return Markup("")
    room = _WIDTH - _LABEL - 60
    parts: list[Markup] = []
    for number, (name, value) in enumerate(rows):
        y, width = _TOP + number * (_BAR + _GAP), value / most * room
        parts.append(_TEXT.format(_LABEL - 8, y + 13, "label end", _cut(name)))
        parts.append(_RECT.format(_LABEL, y, width, _BAR, "amount", f"{name}: {value}"))
        parts.append(_TEXT.format(_LABEL + width + 6, y + 13, "label", f"{value}"))
    return _svg(_TOP + len(rows) * (_BAR + _GAP), title, parts)


def heat_map(week: Sequence[int]) -> Markup:
    """Calls by the hour of the week, UTC: seven rows of 24 cells."""
    most = max(week)
    if not most:
        return Markup("")
    parts = [_TEXT.format(_LEFT + hour * _CELL + 4, 14, "label", f"{hour:02}") for hour in range(0, 24, 3)]
    for day, name in enumerate(DAYS):
        y = 22 + day * _CELL
        parts.append(_TEXT.format(_LEFT - 8, y + 16, "label end", name))
        for hour in range(24):
            calls = week[24 * day + hour]
            shade = math.ceil(math.log1p(calls) / math.log1p(most) * _SHADES) if calls else 0
            said = f"{name} {hour:02}:00 UTC: {count(calls, 'call')}"
            parts.append(_RECT.format(_LEFT + hour * _CELL, y, _CELL - 2, _CELL - 2, f"heat-{shade}", said))
    return _svg(22 + 7 * _CELL, "IMDSv1 calls by the hour of the week, UTC", parts)


def words(state: str) -> str:
    """A state as people read it."""
    return {
        "required": "tokens required",
        "verified": "required by the service, verified",
        "enforced": "required by the service, watched",
        "would_enforce": "may be changed",
        "held": "held",
        "left_out": "left out, or not judged",
        "disabled": "endpoint disabled",
    }[state]


def _svg(height: float, title: str, parts: Iterable[Markup]) -> Markup:
    return SVG.format(_WIDTH, round(height), _WIDTH, round(height), title, Markup("").join(parts))


def _grid(top: float, y: Callable[[float], float]) -> list[Markup]:
    parts = []
    for quarter in range(5):
        value = top * quarter / 4
        parts.append(_LINE.format(_LEFT, y(value), _WIDTH - _RIGHT, y(value), "grid"))
        parts.append(_TEXT.format(_LEFT - 8, y(value) + 4, "label end", f"{value:,.0f}" if top >= 8 else f"{value:g}"))
    return parts


def _dates(first: date, last: date, x: Callable[[date], float], height: int) -> list[Markup]:
    days = (last - first).days
    several = sorted({first + timedelta(days=round(days * part / 4)) for part in range(5)})
    kinds = {last: "label end", first: "label"}
    return [_TEXT.format(x(day), height - 10, kinds.get(day, "label middle"), day.isoformat()) for day in several]


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _round_up(value: float) -> float:
    if value <= 4:
        return 4.0
    unit = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / unit * 2) / 2 * unit


def _cut(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:14]}…{name[-14:]}"
