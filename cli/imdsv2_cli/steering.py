"""Commands that change something: shown first by the function's own dry answer, confirmed, then carried out as shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import ask
from imdsv2_cli.confirm import confirm
from imdsv2_cli.failure import Exit, Failure
from imdsv2_cli.output import Column, Table, cell, note, note_rows, progress, show
from imdsv2_cli.verdicts import TARGETS_A_CALL, note_done, parts_of
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2_cli.base import App

"""Rows of a preview; the counts cover all."""

RESULTS = (
    Column("account", spare=1),
    Column("region", spare=2),
    Column("instance"),
    Column("source"),
    Column("status", spare=4),
    Column("reason"),
    Column("calls", "IMDSv1 calls", spare=3),
    Column("would_be"),
    Column("voids"),
    Column("outcome"),
    Column("replaces", "in place of the hold"),
    Column("mended_before", spare=5),
    Column("mended_at"),
    Column("done"),
    Column("problem", speaks=True),
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
        as_of: whether it covers only what was so when it was shown; the service says when that was.
    """

    word: str
    says: str
    scope: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    as_shown: bool = False
    as_of: bool = False

    def shown_by(self, preview: Mapping[str, Any]) -> Order:
        """The order, limited to what a preview has shown."""
        return replace(self, fields={**self.fields, "at": preview.get("as_of")}) if self.as_of else self

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
    confirm(f"{order.says} {_things(len(ready) + _unseen(preview), ready)}", yes=yes)
    scope = order.scope
    if order.as_shown and not _unseen(preview):
        ready = ready if yes else _still_ready(app, order, ready)
        if not ready:
            raise Failure(
                "nothing was changed",
                "all of it has changed since it was shown",
                "repeat the command",
                code=Exit.NOTHING,
            )
        scope = {"targets": [each["target"] for each in ready]}
    calls = order.shown_by(preview).calls(scope, dry_run=False, caller=app.caller)
    answer = _asked(app, calls, order.says)
    show(app, answer, _table(answer["results"]), summary=_counted(answer, order.says))
    if unseen := _unseen(answer):
        note(f"The answer has no room for {unseen} more; imdsv2 audit --since 1h has them all.")
    done = [each for each in answer["results"] if each.get("done")]
    return Exit.DONE if len(done) >= len(ready) else Exit.FAILED


def _still_ready(app: App, order: Order, ready: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What was shown and is as it was. Somebody may have read for minutes: by its name, an instance would be approved over a refusal that
    was given meanwhile, although nobody here has named it."""
    if "targets" in order.scope:
        return list(ready)
    now = _asked(app, order.calls(order.scope, dry_run=True), "Asking the service")
    same = {each["target"] for each in now["results"] if not each.get("problem")}
    for each in ready:
        if each["target"] not in same:
            note(f"Left out, because it has changed since it was shown: {each['target']}")
    return [each for each in ready if each["target"] in same]


def _asked(app: App, calls: Sequence[Mapping[str, Any]], label: str) -> dict[str, Any]:
    with progress(label, len(calls) if len(calls) > 1 else None) as tick:
        answers: list[dict[str, Any]] = []
        for each in calls:
            try:
                answers.append(ask(app, each))
            except BaseException:  # Ctrl-C is one.
                note_done(answers)
                raise
            tick(1)
    results = [result for answer in answers for result in answer["results"]]
    # The first says as of when all of it was looked at.
    return {**answers[-1], **answers[0], "count": sum(answer["count"] for answer in answers), "results": results}


def _note(preview: Mapping[str, Any], order: Order) -> None:
    """Show on standard error what would be done."""
    note_rows(_table(preview["results"]), preview["count"])
    note(_counted(preview, order.says))


def _table(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = list(map(_row, results))
    return Table([each for each in RESULTS if any(cell(row.get(each.name)) for row in rows)], rows)


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as a row. A source has no target."""
    evidence, replaces = (result.get(name) or {} for name in ("evidence", "replaces"))
    return {
        **(parts_of(result["target"]) if "target" in result else {}),
        **result,
        "calls": evidence.get("tokenless_calls"),
        "replaces": {name: value for name, value in replaces.items() if value is not None},
    }


def _unseen(answer: Mapping[str, Any]) -> int:
    """How many results the answer has no room for; the service carries the command out for all."""
    return max(0, int(answer["count"]) - len(answer["results"]))


def _counted(answer: Mapping[str, Any], says: str) -> str:
    """E.g. "Hold: 3 of 4 instances; 1 not, see problem."."""
    problems = sum(bool(each.get("problem")) for each in answer["results"])
    total = int(answer["count"])
    what = f"{total - problems} of {_things(total, answer['results'])}"
    return f"{says}: {what}{f'; {problems} not, see problem' if problems else ''}."


def _things(number: int, results: Sequence[Mapping[str, Any]]) -> str:
    """So many of what the results are about: an undo puts sources back, too."""
    sources = sum("source" in each for each in results)
    if sources and sources < len(results):
        return f"{number} instances and sources"
    return count(number, "source" if sources else "instance")
