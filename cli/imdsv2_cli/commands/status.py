"""`imdsv2 status`: what is open now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.fleet import ledger
from imdsv2_cli.fleet.joined import Fleet
from imdsv2_cli.fleet.open import COLUMNS, Open, breakers
from imdsv2_cli.fleet.sources import left_broken
from imdsv2_cli.fleet.when import ago, now, short
from imdsv2_cli.output import Column, Table, progress, show
from imdsv2_cli.times import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_COLUMNS = (Column("what"), Column("state"), Column("detail"), Column("todo", "what to do"))
_NAMED = 3
_RUNS = 5


@click.command(cls=Command)
@click.pass_obj
def status(app: App) -> None:
    """Says what is open now: policy, breakers, approvals, notices, holds, exemptions, watch, sweep.

    What needs nobody is left out. An empty ledger is told as such.
    """
    at = now()
    with progress("Reading the fleet") as advance:
        fleet, open_ = Fleet(app, at), Open(at=at)
        for number, values in enumerate(fleet.values(COLUMNS), start=1):
            open_.note(values)
            if number % 1000 == 0:
                advance(1000)
    by_reason = open_.by_reason
    document = {
        "at": to_text(at),
        "policy": _policy(app),
        "sweep": _sweep(app, fleet),
        "fleet": {
            "instances": open_.instances,
            "imdsv1_allowed": by_reason.total(),
            "required": open_.required,
            "by_reason": dict(by_reason.most_common()),
            "enforced": open_.are("enforced"),
            "verified": open_.are("verified"),
            "rolled_back": open_.are("rolled_back"),
        },
        "breakers": breakers(ledger.accounts(app)),
        "sources_left_broken": left_broken(app),
        **{
            name: getattr(open_, name).document()
            for name in ("left_broken", "put_back", "approvals", "notices", "holds", "exemptions", "watched")
        },
    }
    rows = [dict(zip(("what", "state", "detail", "todo"), each, strict=True)) for each in _rows(document, at)]
    show(app, document, Table(_COLUMNS, rows))


def _policy(app: App) -> dict[str, Any]:
    from imdsv2_cli.failure import Failure
    from imdsv2_cli.policies import in_force, read_parameter

    walk = ledger.item(app, "policy", "walk")
    going_on = {"re_evaluating_since": walk["since"]} if walk.get("reasons") and walk.get("since") else {}
    try:
        found = read_parameter(app)
        policy = in_force(found)
    except Failure as refused:
        return {"problem": refused.format_message(), **going_on}
    shown = {name: policy[name] for name in ("mode", "approval", "notice_hours", "rollback", "change_calendar")}
    changed = {"version": found.version, "changed_at": to_text(found.modified_at), "changed_by": found.modified_by}
    return {**shown, **changed, **going_on}


def _sweep(app: App, fleet: Fleet) -> dict[str, Any]:
    """The last file of the fleet, and what has become of the last executions."""
    swept = fleet.swept or {}
    runs = app.client("stepfunctions").list_executions(
        stateMachineArn=app.stack_output("SweepStateMachineArn"), maxResults=_RUNS
    )["executions"]
    last = {"status": runs[0]["status"], "started_at": to_text(runs[0]["startDate"])} if runs else None
    return {
        "written_at": swept.get("ended_at"),
        "dry_run": swept.get("dry_run"),
        "errors": swept.get("errors", {}),
        "unreachable": swept.get("unreachable", {}),
        "last_run": last,
    }


def _rows(document: Mapping[str, Any], at: datetime) -> Iterator[tuple[str, str, str, str]]:
    yield from _policy_rows(document["policy"], at)
    yield from _sweep_rows(document["sweep"], at)
    fleet = document["fleet"]
    if fleet["instances"]:
        why = ", ".join(f"{count} {reason}" for reason, count in list(fleet["by_reason"].items())[:4])
        yield "fleet", f"{fleet['imdsv1_allowed']} of {fleet['instances']} allow IMDSv1", why, "imdsv2 list --still-v1"
    else:
        yield "fleet", "empty", "no sweep and no finding has told of an instance yet", "imdsv2 sweep"
    for each in document["breakers"]:
        todo = f"find out why, then imdsv2 close-breaker --account {each['account']}"
        yield "breaker open", each["account"], f"since {short(each['since'])}", todo
    for each in document["sources_left_broken"]:
        yield "source left broken", each["source"], _source_said(each), _source_todo(each)
    for what, name, time, todo in _SOME:
        some = document[name]
        if some["count"]:
            yield what, str(some["count"]), _examples(some, time), todo


_SOME = (
    (
        "left broken",
        "left_broken",
        "broken_at",
        "imdsv2 explain INSTANCE; update the software, or imdsv2 undo INSTANCE",
    ),
    (
        "put back, and held",
        "put_back",
        "since",
        "imdsv2 explain INSTANCE; once the cause is settled, imdsv2 clear INSTANCE",
    ),
    ("waiting for approval", "approvals", "since", "imdsv2 approve INSTANCE, or imdsv2 refuse INSTANCE"),
    ("notice given", "notices", "notice_ends_at", "nothing, or imdsv2 hold INSTANCE to object"),
    ("held by persons", "holds", "hold_until", "imdsv2 release INSTANCE when the reason is settled"),
    ("exemptions that end", "exemptions", "ends_on", "tell their owners"),
    ("watched after the change", "watched", "enforced_at", "nothing: the guard ends the watch"),
)
"""What is told, the field, the time that is shown, and what to do."""


def _source_said(source: Mapping[str, Any]) -> str:
    since = f"since {short(str(source['since'] or ''))}"
    if source["status"] != "going_back":
        return f"{since}: the policy leaves it to people"
    return (
        f"{since}: AWS refuses to put it back ({source['hindered_by']})"
        if source["hindered_by"]
        else f"{since}: it goes back"
    )


def _source_todo(source: Mapping[str, Any]) -> str:
    if source["status"] != "going_back":
        instance = str(source["broken_by"]).rpartition("/")[2]
        return f"imdsv2 undo --source {source['source']}; once the cause is settled, imdsv2 clear {instance}"
    if source["hindered_by"]:
        return "imdsv2 doctor; or point it to the version before by hand"
    return "nothing: the guard brings it to its end"


def _policy_rows(policy: Mapping[str, Any], at: datetime) -> Iterator[tuple[str, str, str, str]]:
    if "problem" in policy:
        yield "policy", "refused", policy["problem"], "imdsv2 policy set FIELD=VALUE, or --from FILE"
        return
    changed = f"version {policy['version']} by {policy['changed_by']}, {ago(policy['changed_at'], at)}"
    todo = {
        "observe": "imdsv2 policy set mode=enforce, once the verdicts are reviewed",
        "off": "imdsv2 policy set mode=enforce ends the stop",
    }.get(policy["mode"], "")
    yield "policy", policy["mode"], changed, todo
    if "re_evaluating_since" in policy:
        since = ago(policy["re_evaluating_since"], at)
        yield "policy change", "under way", f"what it concerns is judged anew, begun {since}", "nothing"


def _sweep_rows(sweep: Mapping[str, Any], at: datetime) -> Iterator[tuple[str, str, str, str]]:
    run, written = sweep["last_run"], sweep["written_at"]
    when = f"written {ago(written, at)}{' by a dry sweep' if sweep['dry_run'] else ''}" if written else "no file yet"
    state = run["status"].lower() if run else "none yet"
    todo = (
        "imdsv2 sweep"
        if run is None
        else ""
        if run["status"] in {"SUCCEEDED", "RUNNING"}
        else "read its error; imdsv2 sweep"
    )
    yield "last sweep", state, when, todo
    for name, problem in sorted(sweep["unreachable"].items()):
        yield "account unreachable", name, problem, "deploy the member roles there, or exclude it: imdsv2 doctor"
    for name, problem in sorted(sweep["errors"].items()):
        yield "Region not seen", name, problem, "imdsv2 doctor"


def _examples(some: Mapping[str, Any], time: str) -> str:
    first = [f"{each['name'] or each['instance_id']} ({short(each[time])})" for each in some["first"][:_NAMED]]
    more = some["count"] - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")
