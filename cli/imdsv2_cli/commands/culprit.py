"""`imdsv2 culprit`: which software calls IMDSv1, and what to update; watches instances on request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.aws import ask
from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import confirm, dry_run_option, reason_option, yes_option
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.naming import account_option, instances_argument, region_option
from imdsv2_cli.output import Column, Table, note, progress, show
from imdsv2_cli.scope import cohort_option, scope_of
from imdsv2_cli.verdicts import parts_of
from imdsv2_cli.wording import count, of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

_INSTANCES_A_CALL = 10
_COHORT = re.compile(r"aws[a-z-]*/\d{12}/[a-z0-9-]+/[a-z]+:.+", re.ASCII)
_WATCHED = frozenset({"would_capture", "running", "captured"})
_WENT_WRONG = frozenset({"failed", "unread"})
_SECONDS = ("60", "300", "900", "3600")
_ROWS = (
    Column("account", spare=7),
    Column("region", spare=8),
    Column("instance"),
    Column("when", spare=2),
    Column("found_by", "found by", spare=5),
    Column("name"),
    Column("version"),
    Column("first_good", "first good version", spare=3),
    Column("calls", spare=4),
    Column("last", spare=6),
    Column("says", speaks=True, spare=1),
    Column("source", csv_only=True),
)


@click.command(cls=Command)
@instances_argument(required=False)
@cohort_option
@account_option
@region_option
@click.option(
    "--capture", is_flag=True, help="Watch the instances with AWS's IMDS Packet Analyzer, by Systems Manager."
)
@click.option("--seconds", type=click.Choice(_SECONDS), help="How long to watch them, by default 300.")
@click.option("--collect", metavar="ID", help="Collect what an earlier watch of one instance found, by its command.")
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def culprit(
    app: App,
    instances: tuple[str, ...],
    cohort: str | None,
    account: str | None,
    in_region: str | None,
    capture: bool,
    seconds: str | None,
    collect: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Names what calls IMDSv1 on an instance or in a cohort, and what to update.

    It looks when the calls come, what of the cohort calls alike, which SDK used credentials that IMDSv1 had delivered (CloudTrail), and
    which agents in the inventory are too old. It says what was not looked at. With --capture it runs the analyzer there, as root, where
    the stack has the setting `capture`; otherwise it only reads.
    """
    if seconds and not capture:
        raise usage("--seconds says how long to watch", todo="say --capture beside it")
    if cohort is None and len(instances) == 1 and _is_cohort(instances[0]):
        cohort, instances = instances[0], ()
    scope = scope_of(app, instances, cohort=cohort, account=account, region=in_region, may_be_account=False)
    asked: dict[str, Any] = {"capture": capture, "seconds": int(seconds or 0), "collect": collect}
    watch = {name: value for name, value in asked.items() if value}
    said = {"dry_run": False, "caller": app.caller, **({"reason": reason} if reason else {})} if watch else {}
    if collect and not dry_run:
        return _answer(app, _asked(app, {**scope, **watch}, **said))
    shown = _asked(app, {**scope, **watch})
    ready = _confirmed(shown, yes=yes) if capture and not dry_run else []
    if not ready:
        return _answer(app, shown)
    answer = _asked(app, {"targets": ready, **watch}, **said)
    # Of what nobody was shown as ready, nothing more is asked: a watch might have become possible meanwhile.
    others = [each for each in shown["results"] if each["target"] not in ready]
    results = [*answer["results"], *others]
    return _answer(app, {**answer, "results": results, "count": len(results)})


def _is_cohort(name: str) -> bool:
    """Whether a cohort was named where instances are: by its key, or by what follows the Region in it."""
    from imdsv2.domain.cohort import KINDS

    return _COHORT.fullmatch(name) is not None or (name.partition(":")[0] in KINDS and ":" in name)


def _confirmed(preview: Mapping[str, Any], *, yes: bool) -> list[str]:
    """The instances that would be watched, after somebody has said yes; none if there are none. Raises Failure."""
    ready = [each["target"] for each in preview["results"] if _state(each) == "would_capture"]
    if ready:
        for each in preview["results"]:
            note(f"{each['target']}: {(each['capture'] or {}).get('says') or 'is not looked at.'}")
        confirm(f"Watch {of(len(ready), len(preview['results']), 'instance')}", yes=yes)
    return ready


def _state(result: Mapping[str, Any]) -> str | None:
    """How far the watch of an instance is; None where none was asked for."""
    state = (result.get("capture") or {}).get("state")
    return None if state is None else str(state)


def _answer(app: App, answer: Mapping[str, Any]) -> Exit:
    for problem in dict.fromkeys(_problems(answer)):
        note(problem)
    rows = [row for result in answer["results"] for row in _rows(result)]
    named = sum(any(_found(each)) for each in answer["results"])
    summary = f"Something was named on {of(named, len(answer['results']), 'instance')}."
    show(app, answer, Table(_ROWS, rows), summary=summary)
    return _code({_state(each) for each in answer["results"]} - {None})


def _code(states: AbstractSet[str | None]) -> Exit:
    """A question is answered, whatever was found; a watch may also be refused, or fail."""
    if states & _WENT_WRONG:
        return Exit.FAILED
    return Exit.DONE if not states or states & _WATCHED else Exit.NOTHING


def _asked(app: App, scope: Mapping[str, Any], **said: Any) -> dict[str, Any]:
    """The answer to as many questions as there have to be: CloudTrail is slow, so that each takes ten instances."""
    targets: Sequence[str] = scope.get("targets", ())
    calls = [targets[start : start + _INSTANCES_A_CALL] for start in range(0, len(targets), _INSTANCES_A_CALL)]
    scopes = [{**scope, "targets": list(each)} for each in calls] or [dict(scope)]
    answers = []
    with progress("Looking for the software", len(scopes) if len(scopes) > 1 else None) as tick:
        for each in scopes:
            try:
                answers.append(ask(app, {"culprit": each, **said}))
            except BaseException:  # Ctrl-C is one.
                if said and answers:
                    done = sum(len(one["results"]) for one in answers)
                    note(
                        f"Until then, the service had answered for {count(done, 'instance')}: imdsv2 audit has what it did."
                    )
                raise
            tick(1)
    joined = {name: [each for one in answers for each in one[name]] for name in ("results", "problems")}
    return {**answers[-1], **joined, "count": len(joined["results"])}


def _problems(answer: Mapping[str, Any]) -> Iterator[str]:
    yield from answer["problems"]
    for result in answer["results"]:
        instance = parts_of(result["target"])["instance"]
        capture = result.get("capture") or {}
        if capture.get("says"):
            yield f"{instance}: {capture['says']}"
        yield from (f"  {line}" for line in capture.get("by_hand") or ())
        yield from (f"{instance}: {each}" for each in result["not_looked_at"][:-1])
        # The last says what CloudTrail never shows, and is the same for all.
        yield from result["not_looked_at"][-1:]


def _rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each thing that was named, or one that says that there was none."""
    when = result["when"]
    known = {**parts_of(result["target"]), "when": when["pattern"]}
    found = list(_found(result))
    for each in found:
        yield {**known, **each}
    if not found:
        yield {**known, "calls": when["calls"], "last": when["last"], "says": when["shared"] or result["explanation"]}


def _found(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What was named, and by what; of two watches, the newer."""
    watched = (result.get("capture") or {}).get("processes") or (result.get("captured") or {}).get("processes") or ()
    for each in watched:
        says = f"started by {' < '.join(each['parents'])}" if each["parents"] else None
        yield {"found_by": "capture", "name": each["command"] or each["name"], "calls": each["calls"], "says": says}
    for each in result["callers"]:
        yield {**each, "found_by": "cloudtrail"}
    for each in result["suspects"]:
        yield {**each, "found_by": "inventory"}
