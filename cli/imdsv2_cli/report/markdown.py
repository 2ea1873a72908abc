"""The report as Markdown, for an auditor or a ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2_cli.report.advice import advice
from imdsv2_cli.report.charts import words
from imdsv2_cli.report.forecast import forecast
from imdsv2_cli.report.numbers import STATES
from imdsv2_cli.report.page import as_of, changed, figures, unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from imdsv2_cli.report.numbers import Numbers

_MOST = 50
_SPECIAL = "\\`*_{}[]<>#|~&!"


def render(numbers: Numbers, swept: Mapping[str, Any] | None) -> str:
    """The report as Markdown."""
    return "\n".join(_lines(numbers, swept)) + "\n"


def _lines(numbers: Numbers, swept: Mapping[str, Any] | None) -> Iterator[str]:
    yield f"# IMDSv2: the fleet on {numbers.at.date()}\n"
    yield f"{as_of(swept)}\n"
    yield from _table(("", ""), [(label, value) for value, label in figures(numbers)])
    yield "\n## Progress to zero\n"
    yield forecast((swept or {}).get("nights", [])).sentence()
    if there := unseen(swept):
        yield "\n## Not seen\n"
        yield from _table(("where", "why"), there)
    yield "\n## Why instances still allow IMDSv1\n"
    yield from _table(
        ("reason", "instances", "what to do"),
        [(why, count, advice(why)) for why, count in numbers.reasons.most_common()],
    )
    for by, title in (("account", "account"), ("region", "Region"), ("owner", "owner")):
        yield f"\n## By {title}\n"
        groups = sorted(numbers.by[by].items())
        rows = [(name, counts.total(), *(counts[state] for state in STATES)) for name, counts in groups]
        yield from _table((title, "instances", *map(words, STATES)), rows)
    yield "\n## Who still calls IMDSv1\n"
    columns = ("account", "region", "instance_id", "name", "owner", "calls", "last_call", "pattern")
    yield from _table(columns, [tuple(row[each] for each in columns) for row in numbers.callers[:_MOST]])
    yield from _cut(len(numbers.callers), "imdsv2 list --still-v1 --calls 1 --sort calls")
    yield "\n## What would bring IMDSv1 back\n"
    sources = numbers.sources()
    rows = [(each.name, each.brings, each.open) for each in sources[:_MOST]]
    yield from _table(("source", "would bring back", "allow IMDSv1 now"), rows)
    yield from _cut(len(sources), "imdsv2 sources")
    yield "\n## What the service changed\n"
    yield from _table(("what", "in the last 30 days", "stand now"), changed(numbers))
    if numbers.left_broken:
        yield "\n## Left broken\n"
        broken = ("account", "region", "instance_id", "name", "owner", "broken_at", "left_because")
        yield from _table(broken, [tuple(row[each] for each in broken) for row in numbers.left_broken])
    yield "\n## Exemptions that end within 30 days\n"
    ends = ("ends_on", "account", "region", "instance_id", "name", "owner")
    yield from _table(ends, [tuple(row[each] for each in ends) for row in numbers.exemptions])


def _cut(number: int, all_of_them: str) -> Iterator[str]:
    """That there are more, and where: an auditor must not take the first for all."""
    if number > _MOST:
        yield f"\nThe first {_MOST} of {number}; `{all_of_them}` has all."


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        yield "None."
        return
    heads = list(heads)
    yield _line(heads)
    yield "|" + " --- |" * len(heads)
    yield from map(_line, rows)


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(_plain(str(each)) for each in cells) + " |"


def _plain(text: str) -> str:
    """The text without a meaning in Markdown or HTML."""
    return "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in text)
