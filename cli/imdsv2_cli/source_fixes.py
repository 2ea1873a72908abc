"""Sources that the service is to change: shown first by its own dry answer, confirmed, then changed as shown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import ask
from imdsv2_cli.confirm import confirm
from imdsv2_cli.failure import Exit
from imdsv2_cli.output import Column, Table, note, note_rows, progress, show
from imdsv2_cli.verdicts import TARGETS_A_CALL
from imdsv2_cli.wording import count, of, typed, were

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imdsv2_cli.base import App

_FIXES = (
    Column("account", csv_only=True),
    Column("region", csv_only=True),
    Column("kind", csv_only=True),
    Column("name", csv_only=True),
    Column("source"),
    Column("running", spare=3),
    Column("allowing_imdsv1", "allow IMDSv1", spare=2),
    Column("verdict", spare=1),
    Column("status"),
    Column("reason"),
    Column("says", speaks=True),
)
_WOULD, _HELD = "would_fix", "held"
_STANDS = frozenset({"fixed", "verified"})
_INSTANCES = 20
"""So many of a source name it, in case that some of them end meanwhile."""
_SOURCES_A_CALL = TARGETS_A_CALL // _INSTANCES


def fix(app: App, scopes: Sequence[Mapping[str, Any]], reason: str | None = None, *, yes: bool, dry_run: bool) -> Exit:
    """Show what the service would change of the sources in scope, ask, have exactly these changed, and answer. Raises Failure.

    ``scopes``: what is asked, one question for each account and Region, as the service takes it under `sources`; ``reason``: why, for
    the ledger.
    """
    preview = _asked(app, scopes, "Looking at the sources", dry_run=True)
    _note_problems(preview)
    ready = [each for each in preview["results"] if _would(each)]
    if dry_run or not ready:
        summary = f"{_counted(preview['results'], _would, 'would be changed')} Nothing was changed."
        show(app, preview, _table(preview["results"]), summary=summary, empty="There is nothing to do.")
        return Exit.DONE if ready else Exit.NOTHING
    _note(preview)
    confirm(f"Have the next launches of {of(len(ready), len(preview['results']), 'source')} require tokens", yes=yes)
    said = {"caller": app.caller, **({"reason": reason} if reason else {})}
    answer = _asked(app, list(_as_shown(ready)), "Changing the sources", dry_run=False, **said)
    _note_problems(answer)
    show(app, answer, _table(answer["results"]), summary=_ended(answer["results"]))
    return _code(answer, len(ready))


def _asked(app: App, scopes: Sequence[Mapping[str, Any]], label: str, **said: Any) -> dict[str, Any]:
    answers: list[dict[str, Any]] = []
    with progress(label, len(scopes) if len(scopes) > 1 else None) as tick:
        for each in scopes:
            try:
                answers.append(ask(app, {"sources": {**each, "fix": True}, **said}))
            except BaseException:  # Ctrl-C is one.
                done = sum(len(one["results"]) for one in answers if not one["dry_run"])
                if done:
                    note(f"Until then, the service had answered for {count(done, 'source')}; ask again for the rest.")
                raise
            tick(1)
    joined = {name: [each for one in answers for each in one[name]] for name in ("results", "problems")}
    return {**answers[-1], **joined, "count": sum(one["count"] for one in answers)}


def _as_shown(ready: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Questions that concern the shown sources and no other: each by its instances, because the service takes no key of a source."""
    places: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in ready:
        places.setdefault((each["account"], each["region"]), []).append(each)
    for (account, region), several in places.items():
        for start in range(0, len(several), _SOURCES_A_CALL):
            ids = [one for each in several[start : start + _SOURCES_A_CALL] for one in each["instances"][:_INSTANCES]]
            yield {"targets": [{"account": account, "region": region, "instance_id": each} for each in ids]}


def _note(preview: Mapping[str, Any]) -> None:
    """Show on standard error what would be changed, and what holds the others."""
    results = preview["results"]
    note_rows(_table(sorted(results, key=_would, reverse=True)), len(results))
    note(_counted(results, _would, "would be changed"))


def _note_problems(answer: Mapping[str, Any]) -> None:
    for problem in answer["problems"]:
        note(typed(problem))
    if unseen := int(answer["count"]) - len(answer["results"]):
        note(f"The answer has no room for {unseen} more: name instances to see and change their sources.")


def _table(results: Sequence[Mapping[str, Any]]) -> Table:
    return Table(_FIXES, list(map(_row, results)))


def _row(source: Mapping[str, Any]) -> dict[str, Any]:
    ended = source["fix"]
    return {**source, "status": ended["status"], "reason": ended["reason"], "says": ended["explanation"]}


def _would(source: Mapping[str, Any]) -> bool:
    return bool(source["fix"]["status"] == _WOULD)


def _is_changed(source: Mapping[str, Any]) -> bool:
    return source["fix"]["status"] in _STANDS


def _counted(results: Sequence[Mapping[str, Any]], counts: Callable[[Mapping[str, Any]], bool], what: str) -> str:
    """E.g. "1 of 4 sources would be changed; not: 2 already_required, 1 canary_wait."."""
    reasons = Counter(_why_not(each) for each in results if not counts(each))
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    some = sum(map(counts, results))
    return f"{of(some, len(results), 'source')} {what}{f'; not: {listed}' if listed else ''}."


def _why_not(source: Mapping[str, Any]) -> str:
    """The gate, what became of it before, or its verdict; what may be fixed, but not by the service, is left to people."""
    ended = source["fix"]
    own = "left to people" if source["verdict"] == "fix_source" else source["verdict"]
    return str(ended["reason"] or ended["status"] or own)


def _ended(results: Sequence[Mapping[str, Any]]) -> str:
    changed = [each for each in results if _is_changed(each)]
    text = _counted(results, _is_changed, f"{were(len(changed))} changed")
    if not changed:
        return text
    example = f"imdsv2 undo --source {changed[0]['source']}"
    back = f"to put it back: {example}" if len(changed) == 1 else f"to put one back, e.g.: {example}"
    return f"{text} What is launched next is watched; {back}"


def _code(answer: Mapping[str, Any], wanted: int) -> Exit:
    """Done if something was changed and nothing went wrong. A gate that has closed since is no failure, nor is an instance that has ended:
    a problem that matters leaves a source out of the answer."""
    results = answer["results"]
    wrong = [each for each in results if not _is_changed(each) and each["fix"]["status"] not in {_HELD, _WOULD, None}]
    if wrong or len(results) < wanted:
        return Exit.FAILED
    return Exit.DONE if any(map(_is_changed, results)) else Exit.NOTHING
