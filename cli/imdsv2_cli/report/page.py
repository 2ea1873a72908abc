"""The report as one HTML file: no network, no library, a script only for filters."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.version import VERSION
from imdsv2_cli.clean import for_terminal
from imdsv2_cli.fleet.when import short
from imdsv2_cli.report import charts
from imdsv2_cli.report.advice import advice
from imdsv2_cli.report.forecast import forecast
from imdsv2_cli.report.numbers import BY, MOST_ROWS, OPEN, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment
    from markupsafe import Markup

    from imdsv2_cli.fleet.file import Row
    from imdsv2_cli.report.numbers import Numbers

_HERE = Path(__file__).parent
_SHOWN, _CALLERS, _STATIC = 15, 50, 100
SECTIONS = (
    ("now", "Now"),
    ("progress", "Progress to zero"),
    ("verdicts", "Verdicts"),
    ("why", "Why"),
    ("callers", "Who calls"),
    ("sources", "Sources"),
    ("changed", "Changes"),
    ("exemptions", "Exemptions"),
    ("instances-title", "Instances"),
)
COLUMNS = {
    "account": "account",
    "region": "Region",
    "instance_id": "instance",
    "name": "name",
    "owner": "owner",
    "cohort": "cohort",
    "reason": "reason",
    "since": "since",
    "calls": "IMDSv1 calls",
    "last_call": "last call",
    "next_at": "next step",
}
"""The columns of the table of instances, with their headers."""
_WORDS = frozenset({"account", "region", "owner", "cohort", "reason"})
"""Columns whose values repeat: each is in the page once."""
_FILTERS = (("account", "Account"), ("region", "Region"), ("owner", "Owner"), ("reason", "Reason"))


def render(numbers: Numbers, swept: Mapping[str, Any] | None) -> str:
    """The page. ``swept``: the document of the last sweep's file; None before the first."""
    from markupsafe import Markup

    nights = list((swept or {}).get("nights", []))
    coming = forecast(nights)
    # Both are this package's own files; whatever came from elsewhere is escaped.
    style, script = (Markup((_HERE / name).read_text("utf-8")) for name in ("report.css", "report.js"))  # noqa: S704
    reasons = numbers.reasons.most_common()
    rows = numbers.open[:MOST_ROWS]
    sources = numbers.sources()
    return _environment().get_template("report.html.j2").render(
        version=VERSION,
        day=numbers.at.date().isoformat(),
        as_of=as_of(swept),
        sections=SECTIONS,
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        figures=figures(numbers),
        unreachable=unseen(swept),
        forecast=coming.sentence(),
        progress_chart=charts.progress(nights, coming),
        nights=[_night(each) for each in reversed(nights)],
        legend=[(each, charts.words(each)) for each in STATES],
        groups=[_group(numbers, each) for each in BY],
        reasons_chart=charts.amounts(reasons[:_SHOWN], "Instances that allow IMDSv1, by reason"),
        reasons=[(reason, count, advice(reason)) for reason, count in reasons],
        callers=[_caller(each) for each in numbers.callers[:_CALLERS]],
        callers_total=len(numbers.callers),
        heat_map=charts.heat_map(numbers.week),
        sources=[(each.name, each.brings, each.open, each.instances) for each in sources[:_CALLERS]],
        sources_total=len(sources),
        sources_chart=charts.amounts([(each.name.split(" ")[-1], each.brings) for each in sources[:_SHOWN]], "Instances that each source would bring back"),
        changed=changed(numbers),
        left_broken=[_cells(each, "account", "region", "instance_id", "name", "owner", "broken_at", "left_because") for each in numbers.left_broken],
        exemptions=[_cells(each, "ends_on", "account", "region", "instance_id", "name", "owner") for each in numbers.exemptions],
        heads=[*COLUMNS.values()],
        filters=_FILTERS,
        first_rows=[_instance(each) for each in rows[:_STATIC]],
        rows_shown=len(rows),
        rows_total=len(numbers.open),
        cut=len(rows) < len(numbers.open),
        data=_packed(rows),
    )  # fmt: skip


def as_of(swept: Mapping[str, Any] | None) -> str:
    """Of when the numbers are."""
    if swept is None:
        return "No sweep has written the fleet yet: this is what the ledger knows."
    kind = "a dry sweep" if swept["dry_run"] else "the sweep"
    return f"As {kind} of {short(swept['ended_at'])} UTC saw it, with what the ledger has learnt since."


def figures(numbers: Numbers) -> list[tuple[str, str]]:
    """The figures at the top, with their labels."""
    share = f"{(numbers.instances - numbers.allowed) / numbers.instances:.1%}" if numbers.instances else "-"
    return [
        (f"{numbers.instances:,}", "instances"),
        (f"{numbers.allowed:,}", "allow IMDSv1"),
        (share, "do not"),
        (f"{len(numbers.callers):,}", "use IMDSv1"),
        (f"{numbers.states['would_enforce']:,}", "may be changed"),
        (f"{numbers.states['held']:,}", "are held"),
        (f"{len(numbers.left_broken):,}", "are left broken"),
    ]


def unseen(swept: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Accounts and places that the last sweep could not look at, with the reason."""
    known = swept or {}
    problems = {**known.get("unreachable", {}), **known.get("errors", {})}
    return sorted((for_terminal(where), for_terminal(why)) for where, why in problems.items())


def changed(numbers: Numbers) -> list[tuple[str, int, int]]:
    """What the service did: in the last days, and what of it stands."""
    recent, states = numbers.recent, numbers.states
    stand = states["enforced"] + states["verified"]
    return [
        ("tokens required", recent["enforced_at"], stand),
        ("proved healthy (verified)", recent["verified_at"], states["verified"]),
        ("rolled back", recent["rolled_back_at"], sum(each["status"] == "rolled_back" for each in numbers.open)),
    ]


def _group(numbers: Numbers, by: str) -> dict[str, Any]:
    several = sorted(numbers.by[by].items(), key=lambda each: (-_open(each[1]), -each[1].total(), each[0]))
    states = [state for state in STATES if any(counts[state] for _, counts in several)]
    return {
        "by": {"region": "Region"}.get(by, by),
        "chart": charts.bars(several[:_SHOWN], f"Instances by {by} and verdict"),
        "shown": _SHOWN,
        "rest": max(0, len(several) - _SHOWN),
        "heads": (by, "instances", *map(charts.words, states)),
        "rows": [(name, counts.total(), *(counts[state] for state in states)) for name, counts in several],
        "numbers": tuple(range(1, len(states) + 2)),
    }


def _open(counts: Mapping[str, int]) -> int:
    return sum(counts[state] for state in OPEN)


def _night(night: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        night["at"][:10],
        *(str(night.get(each, 0)) for each in ("instances", "imdsv1_allowed", "required", "held")),
    )


def _caller(row: Row) -> tuple[str, ...]:
    return _cells(row, "account", "region", "instance_id", "name", "owner", "calls", "last_call", "pattern")


def _cells(row: Row, *columns: str) -> tuple[str, ...]:
    return tuple(short(row[each]) if each.endswith(("_at", "since", "last_call")) else row[each] for each in columns)


def _instance(row: Row) -> tuple[str, ...]:
    cells = dict(zip(COLUMNS, _cells(row, *COLUMNS), strict=True))
    return tuple({**cells, "cohort": row["cohort"].split("/", 3)[-1]}.values())


def _packed(rows: Sequence[Row]) -> Markup:
    """The rows for the script. In a script element only `<` begins markup; JSON has another way to write it."""
    from markupsafe import Markup

    words: list[dict[str, int] | None] = [{} if each in _WORDS else None for each in COLUMNS]
    packed = [
        [value if known is None else known.setdefault(value, len(known)) for value, known in zip(_instance(row), words, strict=True)]
        for row in rows
    ]  # fmt: skip
    document = {
        "columns": [*COLUMNS],
        "words": [list(each) if each is not None else None for each in words],
        "rows": packed,
    }
    text = json.dumps(document, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - JSON without a sign of HTML


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _hash(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
