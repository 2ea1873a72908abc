"""Filters of `imdsv2 list`: one for each column. Several values of one option widen, several options narrow."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from imdsv2_cli.failure import nearest, usage
from imdsv2_cli.fleet.joined import NOT_JUDGED, allows_imdsv1
from imdsv2_cli.fleet.when import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from imdsv2_cli.fleet.file import Row

EXACT = {"account": "account", "in_region": "region", "status": "status", "verdict": "decision", "reason": "reason"}
"""Options whose value is the column's own."""
PATTERNS = {"instance": "instance_id", "name": "name", "owner": "owner", "cohort": "cohort", "source": "source"}
"""Options whose value is a part of the column's, or a pattern with `*` and `?` for all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is to hold."""

    words: dict[str, tuple[str, ...]]
    tokens: str | None = None
    still_v1: bool = False
    min_calls: int | None = None
    since: str | None = None
    last_call: str | None = None
    due: str | None = None


def filter_of(wanted: Wanted, now: datetime) -> Callable[[Row], bool]:
    """Whether a row is wanted. Raises Failure for a value that no column can have."""
    _refuse_unknown(wanted.words)
    questions: list[Callable[[Row], bool]] = []
    for option, values in wanted.words.items():
        if values and option in EXACT:
            questions.append(_is_one_of(EXACT[option], ["" if each == NOT_JUDGED else each for each in values]))
        elif values:
            questions.append(_is_like(PATTERNS[option], values))
    if wanted.tokens:
        questions.append(lambda row: row["http_tokens"] == wanted.tokens)
    if wanted.still_v1:
        questions.append(allows_imdsv1)
    if wanted.min_calls is not None:
        least = wanted.min_calls
        questions.append(lambda row: int(row["calls"] or 0) >= least)
    if wanted.since:
        questions.append(_is_after("since", (now - span(wanted.since, "--since")).isoformat()))
    if wanted.last_call:
        questions.append(_is_after("last_call", (now - span(wanted.last_call, "--last-call")).isoformat()))
    if wanted.due:
        latest = (now + span(wanted.due, "--due")).isoformat()
        questions.append(lambda row: "" < row["next_at"] <= latest)
    return lambda row: all(question(row) for question in questions)


def _is_one_of(column: str, values: Sequence[str]) -> Callable[[Row], bool]:
    return lambda row: row[column] in values


def _is_like(column: str, values: Iterable[str]) -> Callable[[Row], bool]:
    patterns = [each.lower() if any(sign in each for sign in "*?") else f"*{each.lower()}*" for each in values]
    # A bracket in a name is a bracket.
    patterns = [each.replace("[", "[[]") for each in patterns]
    return lambda row: any(fnmatchcase(row[column].lower(), each) for each in patterns)


def _is_after(column: str, first: str) -> Callable[[Row], bool]:
    return lambda row: row[column] >= first


def _refuse_unknown(words: dict[str, tuple[str, ...]]) -> None:
    from imdsv2.domain.lifecycle import Status
    from imdsv2.domain.verdict import Decision, Reason

    for option, known in (("reason", [*Reason, NOT_JUDGED]), ("status", [*Status]), ("verdict", [*Decision])):
        for each in words.get(option, ()):
            if each not in known:
                hint = nearest(each, map(str, known)) or f"known are {', '.join(sorted(map(str, known)))}"
                raise usage(f"--{option} {each[:40]} does not exist", todo=hint)
