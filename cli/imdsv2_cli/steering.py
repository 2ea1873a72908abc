"""Commands that change something: shown first by the function's own dry answer, confirmed, then carried out as shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import ask
from imdsv2_cli.confirm import confirm
from imdsv2_cli.failure import Exit
from imdsv2_cli.output import Column, Table, as_table, note, progress, show
from imdsv2_cli.verdicts import TARGETS_A_CALL, note_done, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2_cli.base import App

_PREVIEWED = 20
"""Rows of a preview; the counts cover all."""

RESULTS = (
    Column("account"),
    Column("region"),
    Column("instance"),
    Column("status"),
    Column("reason"),
    Column("would_be"),
    Column("voids"),
    Column("outcome"),
    Column("done"),
    Column("problem"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command of a person.

    Args:
        word: the command's name in the service, e.g. `close_breaker`.
        says: what is done, as a question begins, e.g. "Hold".
        scope: what it applies to, as the service takes it.
        fields: the fields beside the scope.
        as_shown: whether it is carried out on exactly the instances that were shown, rather than on the scope anew.
    """

    word: str
    says: str
    scope: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    as_shown: bool = False

    def calls(self, scope: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
        """The payloads that carry it out: one for each 500 instances where they are named."""
        given = {name: value for name, value in self.fields.items() if value is not None}
        targets = scope.get("targets")
        if targets is None:
            return [{self.word: dict(scope), **given, **more}]
        some = [targets[start : start + TARGETS_A_CALL] for start in range(0, len(targets), TARGETS_A_CALL)]
        return [{self.word: {**scope, "targets": list(each)}, **given, **more} for each in some]


def steer(app: App, order: Order, *, yes: bool, dry_run: bool) -> Exit:
    """Show what the command would do, ask, carry it out, and answer. Raises Failure."""
    preview = _asked(app, order.calls(order.scope, dry_run=True), "Asking the service")
    ready = [each for each in preview["results"] if not each.get("problem")]
    if dry_run or not ready:
        summary = f"{_counted(preview, order.says)} Nothing was changed."
        show(app, preview, _table(preview["results"]), summary=summary, empty="There is nothing to do.")
        return Exit.DONE if ready else Exit.NOTHING
    _note(preview, order)
    confirm(f"{order.says} {_instances(len(ready) + _unseen(preview))}", yes=yes)
    scope = {"targets": [each["target"] for each in ready]} if order.as_shown and not _unseen(preview) else order.scope
    answer = _asked(app, order.calls(scope, dry_run=False, caller=app.caller), order.says)
    show(app, answer, _table(answer["results"]), summary=_counted(answer, order.says))
    done = [each for each in answer["results"] if each.get("done")]
    return Exit.DONE if len(done) >= len(ready) else Exit.FAILED


def _asked(app: App, calls: Sequence[Mapping[str, Any]], label: str) -> dict[str, Any]:
    with progress(label, len(calls) if len(calls) > 1 else None) as tick:
        answers: list[dict[str, Any]] = []
        for each in calls:
            try:
                answers.append(ask(app, each))
            except Exception:
                note_done(answers)
                raise
            tick(1)
    results = [result for answer in answers for result in answer["results"]]
    return {**answers[-1], "count": sum(answer["count"] for answer in answers), "results": results}


def _note(preview: Mapping[str, Any], order: Order) -> None:
    """Show on standard error what would be done."""
    table = _table(preview["results"][:_PREVIEWED])
    note(as_table(table, to_screen=False).rstrip())
    if preview["count"] > _PREVIEWED:
        note(f"... and {preview['count'] - _PREVIEWED} more")
    note(_counted(preview, order.says))


def _table(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = [{**(parts_of(each["target"]) if "target" in each else {}), **each} for each in results]
    used = [each for each in RESULTS if any(row.get(each.name) not in {None, ""} for row in map(_plain, rows))]
    return Table(used, rows)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in row.items()}


def _unseen(answer: Mapping[str, Any]) -> int:
    """How many results the answer has no room for; the service carries the command out for all."""
    return max(0, int(answer["count"]) - len(answer["results"]))


def _counted(answer: Mapping[str, Any], says: str) -> str:
    """E.g. "Hold: 3 of 4 instances; 1 not, see problem."."""
    problems = sum(bool(each.get("problem")) for each in answer["results"])
    total = int(answer["count"])
    return f"{says}: {total - problems} of {_instances(total)}{f'; {problems} not, see problem' if problems else ''}."


def _instances(number: int) -> str:
    return f"{number} instance" if number == 1 else f"{number} instances"
