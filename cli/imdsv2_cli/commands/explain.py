"""`imdsv2 explain`: everything about one instance or cohort."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.clean import for_terminal
from imdsv2_cli.failure import usage
from imdsv2_cli.fleet import ledger
from imdsv2_cli.fleet.asked import asked_for
from imdsv2_cli.fleet.joined import Fleet, allows_imdsv1, arn_of, with_target
from imdsv2_cli.fleet.named import Found, NotThere, find
from imdsv2_cli.fleet.plain import as_values
from imdsv2_cli.fleet.story import chart, gates_of, next_of, timeline_of
from imdsv2_cli.fleet.when import now, short
from imdsv2_cli.naming import account_option, region_option
from imdsv2_cli.output import Column, Table, as_csv, as_json, as_table, deliver, progress
from imdsv2_cli.wording import count, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from imdsv2_cli.fleet.file import Row

_CALLED = frozenset({"v1_in_use", "v1_refused", "v1_recurs", "v1_at_boot", "hop_limit_fallback", "broke_before"})
"""Reasons for which somebody has to find the software that calls."""
_TIMELINE = tuple(map(Column, ("at", "what", "status", "reason", "who", "because")))
_GATES = tuple(map(Column, ("gate", "state", "detail")))
_MEMBERS = (
    *(Column(each) for each in ("account", "region", "instance_id", "name", "http_tokens", "status", "reason")),
    Column("calls", "IMDSv1 calls"),
    Column("next_at", "next step"),
)
_FACTS = (
    ("Name", "name"),
    ("owner", "owner"),
    ("cohort", "cohort"),
    ("source", "source"),
    ("state", "state"),
    ("last start", "launched_at"),
    ("HttpTokens", "http_tokens"),
    ("endpoint", "http_endpoint"),
    ("hop limit", "hop_limit"),
    ("status", "status"),
    ("enforced", "enforced_at"),
    ("rolled back", "rolled_back_at"),
    ("broke", "broken_at"),
    ("held by", "hold_owner"),
    ("held until", "hold_until"),
)
_EVIDENCE = (
    ("IMDSv1 calls in the window", "calls"),
    ("in hours", "call_hours"),
    ("last call", "last_call"),
    ("they come", "pattern"),
    ("after the last start", "boot_calls"),
    ("observed hours", "observed_hours"),
    ("coverage", "coverage"),
)


@click.command(cls=Command)
@click.argument("name", metavar="INSTANCE|COHORT")
@account_option
@region_option
@click.pass_obj
def explain(app: App, name: str, account: str | None, in_region: str | None) -> None:
    """Explains an instance or a cohort: facts, evidence, gates, what happened, what happens next.

    Name an instance by id, ARN or its tag Name, a cohort by its key or what follows the Region in it, e.g. group:web; where
    several are called so, --account and --in-region say which. Nothing is judged anew; `imdsv2 assess` does that.
    """
    at, name = now(), name.strip()
    if not name:
        raise usage("no instance and no cohort was named", todo="imdsv2 list shows what there is")
    found = _found(app, name, account, in_region, at)
    if found.instance is not None:
        _explain_instance(app, found.instance, at)
    else:
        _explain_cohort(app, found.cohort, found.members)


def _found(app: App, name: str, account: str | None, region: str | None, at: datetime) -> Found:
    """What the name means in the fleet; else to EC2: before the first sweep, and of what was launched after the last. Raises Failure."""
    try:
        with progress("Reading the fleet"):
            rows = Fleet(app, at).rows()
            there = (each for each in rows if account in {None, each["account"]} and region in {None, each["region"]})
            return find(name, there)
    except NotThere:
        row = asked_for(app, name, account, region, at)
        if row is None:
            raise
        return Found(instance=row)


def _explain_instance(app: App, row: Row, at: datetime) -> None:
    policy, problem = _policy(app)
    partition = arn_of(row).split(":")[1]
    account = ledger.item(app, "accounts", f"{partition}/{row['account']}")
    cohort = _cohort_item(app, row["cohort"]) if row["cohort"] else {}
    timeline = timeline_of(ledger.events(app, arn_of(row)))
    record = next(iter(ledger.records(app, [arn_of(row)])), None)
    gates = list(gates_of(row, policy, account, cohort, record, at)) if policy else [_refused(problem)]
    document = {"instance": as_values(with_target(row)), "gates": gates, "timeline": timeline, "next": next_of(row, at)}
    _answer(app, document, Table(_TIMELINE, timeline), _instance_text(row, gates, timeline, at))


def _instance_text(
    row: Row, gates: Sequence[Mapping[str, str]], timeline: Sequence[Mapping[str, str]], at: datetime
) -> Iterator[str]:
    yield f"{row['instance_id']} in {row['account']}, {row['region']}: {_verdict(row)}\n"
    if row["explanation"]:
        # Each command on a line of its own: what follows it in the sentence must not be pasted with it.
        why, commands = numbered(row["explanation"])
        yield f"\n{for_terminal(why)}\n"
        yield from (f"  [{number}] {for_terminal(each)}\n" for number, each in enumerate(commands, 1))
    yield f"\nNext: {next_of(row, at)}\n"
    if row["reason"] in _CALLED:
        yield f"Which software calls: imdsv2 culprit {row['instance_id']}\n"
    yield from _pairs("Facts", row, _FACTS)
    yield from _pairs("Evidence", row, _EVIDENCE)
    if lines := chart(row["calls_by_hour"]):
        yield "\nCalls by the hour of the week:\n" + "".join(f"  {line}\n" for line in lines)
    yield "\nGates:\n" + as_table(Table(_GATES, gates), to_screen=False)
    yield _timeline(timeline) if timeline else "\nTimeline (UTC):\n  nothing yet\n"


def _timeline(timeline: Sequence[Mapping[str, str]]) -> str:
    shown = [{**each, "at": short(each["at"])} for each in timeline]
    return "\nTimeline (UTC):\n" + as_table(Table(_TIMELINE, shown), to_screen=False)


def _refused(problem: str) -> dict[str, str]:
    """The one gate that is known of a policy that the service refuses."""
    return {"gate": "policy", "state": "closed", "detail": problem}


def _verdict(row: Row) -> str:
    if row["status"] in {"enforced", "verified", "rolled_back"}:
        return f"{row['status'].replace('_', ' ')}, HttpTokens is {row['http_tokens']}"
    if not row["decision"]:
        return f"not judged yet, HttpTokens is {row['http_tokens']}"
    return f"{row['decision']} ({row['reason']}) since {short(row['since']) or 'unknown'}"


def _pairs(title: str, row: Row, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    told = [(name, _told(column, row[column])) for name, column in pairs if row[column]]
    if told:
        width = max(len(name) for name, _ in told)
        yield f"\n{title}:\n" + "".join(f"  {name:<{width}}  {value}\n" for name, value in told)


def _told(column: str, value: str) -> str:
    """A value as people read it: times to the minute."""
    is_time = column.endswith("_at") or column == "last_call"
    return f"{short(value)} UTC" if is_time else for_terminal(value)


def _explain_cohort(app: App, key: str, members: Sequence[Row]) -> None:
    item = _cohort_item(app, key)
    timeline = timeline_of(ledger.events(app, f"cohort#{key}"))
    names = ("canaries", "wanted", "opened_at", "broken_by", "broken_at", "denied_at", "denied_why")
    facts = {name: item[name] for name in names if item.get(name) not in (None, [])}
    document = {
        "cohort": key,
        "facts": facts,
        "members": [as_values(with_target(each)) for each in members],
        "timeline": timeline,
    }
    rows = sorted(members, key=lambda row: (row["reason"], row["instance_id"]))
    _answer(app, document, Table(_MEMBERS, rows), _cohort_text(key, facts, rows, timeline))


def _cohort_item(app: App, key: str) -> dict[str, Any]:
    """What the ledger keeps of a cohort. What broke and was cleared since holds it no longer, and its canaries begin anew."""
    from datetime import datetime

    item = ledger.item(app, f"cohort#{key}")
    if "broken_by" not in item or "broken_at" not in item:
        return item
    broken = next(iter(ledger.records(app, [str(item["broken_by"])])), None)
    cleared_at = broken.cleared_at if broken is not None else None
    if cleared_at is None or cleared_at < datetime.fromisoformat(item["broken_at"]):
        return item
    return {name: value for name, value in item.items() if name in {"denied_at", "denied_why"}}


def _cohort_text(
    key: str, facts: Mapping[str, Any], members: Sequence[Row], timeline: Sequence[Mapping[str, str]]
) -> Iterator[str]:
    from imdsv2.domain.cohort import describe_cohort

    open_ = sum(map(allows_imdsv1, members))
    allow = f"{open_} {'allows' if open_ == 1 else 'allow'} IMDSv1"
    yield f"{for_terminal(describe_cohort(key))}: {count(len(members), 'instance')}, {allow}\n\nKey: {for_terminal(key)}\n"
    reasons = Counter(each["reason"] or "not judged" for each in members)
    yield "Verdicts: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) + "\n"
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        shown = f"{short(shown)} UTC" if name.endswith("_at") else shown
        yield f"{name.replace('_', ' ')}: {for_terminal(shown)}\n"
    if facts.get("broken_by"):
        yield "The cohort is held: settle why it broke or was undone, then imdsv2 clear that instance.\n"
    shown_rows = [{**each, "next_at": short(each["next_at"])} for each in members]
    yield "\nMembers:\n" + as_table(Table(_MEMBERS, shown_rows), to_screen=False)
    if timeline:
        yield _timeline(timeline)


def _policy(app: App) -> tuple[dict[str, Any], str]:
    """The policy in force; empty where the service refuses what is written, and then why."""
    from imdsv2_cli.failure import Failure
    from imdsv2_cli.policies import in_force, read_parameter

    try:
        return in_force(read_parameter(app)), ""
    except Failure as refused:
        return {}, refused.format_message()


def _answer(app: App, document: object, table: Table, text: Iterator[str]) -> None:
    match app.output:
        case "json":
            deliver(app, as_json(app, document))
        case "csv":
            deliver(app, as_csv(table))
        case _:
            deliver(app, "".join(text))
