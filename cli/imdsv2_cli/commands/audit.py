"""`imdsv2 audit`: what allows IMDSv1, why, since when, who decided, and what was changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from imdsv2.ledger.trail import Kind
from imdsv2_cli import times
from imdsv2_cli.auditing import ALLOWS, event_row, open_row, place_of, swept_row, with_cloudtrail
from imdsv2_cli.base import FORMATS, App, Command
from imdsv2_cli.failure import Failure, nearest, usage
from imdsv2_cli.fleet.joined import Fleet, allows_imdsv1, arn_of
from imdsv2_cli.fleet.named import find
from imdsv2_cli.fleet.strangers import note_strangers
from imdsv2_cli.fleet.when import short
from imdsv2_cli.naming import ID, account_option, region_option, resolve
from imdsv2_cli.output import Column, Table, note, progress, show
from imdsv2_cli.trail import BEGINNING, Item, events, waiting, written_by
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_COLUMNS = (
    Column("at"),
    Column("kind", "what"),
    Column("account", spare=3),
    Column("region", spare=5),
    Column("instance", "target"),
    Column("status", spare=4),
    Column("reason", spare=2),
    Column("who"),
    Column("because", spare=1),
    Column("until", spare=6),
    Column("explanation", csv_only=True, speaks=True),
    Column("status_before", csv_only=True),
    Column("reason_before", csv_only=True),
    Column("replaces", csv_only=True),
    Column("source", csv_only=True),
    Column("request_id", csv_only=True),
    Column("cohort", csv_only=True),
    Column("policy_version", csv_only=True),
    Column("service_version", csv_only=True),
    Column("cloudtrail_event", csv_only=True),
    Column("target", csv_only=True),
    Column("about", csv_only=True),
    Column("approved_by", spare=7),
    *(Column(each, csv_only=True) for each in ("owner", "before", "after", "error", "left_because", "session")),
)


_PRINCIPAL = re.compile(r"^arn:aws[a-z-]*:(?:iam|sts)::")
"""What precedes the account and the name in the ARN of a caller."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Of what is asked. What is None, and ``kinds`` without any, leaves nothing out."""

    account: str | None
    region: str | None
    instance: str | None
    who: str | None
    kinds: Sequence[str]

    def is_there(self, pk: str) -> bool:
        if pk == "policy":  # It is everybody's, whichever account is asked for.
            return self.instance is None
        place = place_of(pk)
        asked = {"account": self.account, "region": self.region, "instance": self.instance}
        return all(value is None or place[name] == value for name, value in asked.items())

    def wants(self, event: Item) -> bool:
        by_name = self.who is None or self.who.lower() in str(event.get("caller") or "").lower()
        return self.is_there(event["pk"]) and by_name and (not self.kinds or event.get("kind") in self.kinds)


@click.command(cls=Command)
@click.option(
    "--since", default="30d", metavar="TIME", help="A day (2027-05-01), a time, or how long ago: 90m, 12h, 30d, 8w."
)
@click.option(
    "--until", metavar="TIME", help="The same, for the end: a day with all its hours; now, if it is left out."
)
@account_option
@region_option
@click.option(
    "--instance", metavar="NAME", help="Only this instance: its ARN, its id, or its tag Name if it is in the fleet."
)
@click.option("--who", metavar="TEXT", help="Only what a caller decided whose name contains this.")
@click.option("--kind", "kinds", metavar="KIND", multiple=True, help="Only events of this kind; may be repeated.")
@click.option("--events-only", is_flag=True, help="Leave out what allows IMDSv1 now.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="The same as --output.")
@click.pass_obj
def audit(
    app: App,
    since: str,
    until: str | None,
    account: str | None,
    in_region: str | None,
    instance: str | None,
    who: str | None,
    kinds: tuple[str, ...],
    events_only: bool,
    form: str | None,
) -> None:
    """Says what allows IMDSv1, why, since when and who decided, and what was changed.

    First come the instances that allow IMDSv1 now, each with its reason, then every decision of a person and of the service in that
    time. Callers are as claimed; the request id finds the true one in CloudTrail.
    """
    app.asked_output = form or app.asked_output
    begin, end = _time_of(since, until)
    _refuse_unknown(kinds)
    account, in_region, instance = _place_of(app, instance, account, in_region)
    asked = _Asked(account=account, region=in_region, instance=instance, who=who, kinds=kinds)
    with progress("Reading the audit trail", (end.date() - begin.date()).days + 1) as advance:
        told = events(app, begin, end, asked.wants, advance)
    told = _with_cloudtrail(app, told, begin, end)
    of_events = bool(events_only or kinds or who)
    open_ = [] if of_events else _open_now(app, asked)
    rows = [*sorted(open_, key=lambda row: str(row["at"])), *map(event_row, told)]
    document = {
        "since": times.to_text(begin),
        "until": times.to_text(end),
        ALLOWS: [_whole(each) for each in open_],
        "events": [_whole(event_row(each)) for each in told],
    }
    decided = f"{count(len(told), 'decision')} since {begin:%Y-%m-%d %H:%M UTC}."
    said = decided if of_events else f"{len(open_)} {_allow(len(open_))} IMDSv1; {decided}"
    nothing = "Nothing of that kind was decided" if of_events else "Nothing allows IMDSv1, and nothing was decided"
    if app.output == "table":
        rows = [_in_table(each) for each in rows]
    empty = f"{nothing} in that time, as far as the ledger knows."
    show(app, document, Table(_COLUMNS, rows), summary=said if rows else "", empty=empty)
    if not any(each["account"] for each in rows):  # The policy's events are everybody's.
        note_strangers(app, account, in_region, instance)


def _time_of(since: str, until: str | None) -> tuple[datetime, datetime]:
    begin = max(times.moment(since, "--since"), BEGINNING)
    end = times.end(until, "--until") if until else times.now()
    if begin >= end:
        before = f"--until {until}" if until else "now"
        raise usage(f"--since {since} is not before {before}", todo="name an earlier time")
    return begin, end


def _open_now(app: App, asked: _Asked) -> list[Item]:
    """What allows IMDSv1 now, a row each, as `imdsv2 list --still-v1` has it: by the word of the ledger, or else of the last sweep, which
    need not have written to it."""
    with progress("Reading what allows IMDSv1") as advance:
        records = waiting(app, asked.is_there, advance)
    swept, closed = _swept(app, asked)
    judged = [row for each in records if str(each["pk"]) not in closed and (row := open_row(each)) is not None]
    known = {row["target"] for row in judged}
    return [*judged, *(row for row in swept if row["target"] not in known)]


def _swept(app: App, asked: _Asked) -> tuple[list[Item], set[str]]:
    """The rows of what allows IMDSv1 by the file of the fleet, joined with the ledger, and the ARNs of what does not. Both are empty where
    it may not be read."""
    from botocore.exceptions import ClientError

    found, closed = list[Item](), set[str]()
    try:
        with progress("Reading the fleet"):
            fleet = Fleet(app, times.now())
            for row in fleet.rows() if fleet.swept is not None else ():
                if not asked.is_there(arn_of(row)):
                    continue
                if allows_imdsv1(row):
                    found.append(swept_row(row))
                else:
                    closed.add(arn_of(row))
    except (ClientError, Failure) as error:
        why = str(error).rstrip(".")
        note(f"The file of the fleet cannot be read ({why}): what only a sweep has seen is left out.")
        return [], set()
    if fleet.swept is None:
        note(
            "No sweep has ended yet, so only what findings told of is known to allow IMDSv1; imdsv2 sweep looks everywhere."
        )
    for where, why in sorted(fleet.unseen.items()):
        if asked.account in {None, where.partition(" ")[0]}:
            note(f"Not seen by the last sweep, so that more may allow IMDSv1: {where}: {why}")
    return found, closed


def _in_table(row: Item) -> Item:
    """A row for people; JSON and CSV have everything in full."""
    times = {name: short(str(row.get(name) or "")) for name in ("at", "until")}
    kind, status = row["kind"], row.get("status")
    return {
        **row,
        **times,
        "instance": row["instance"] or row.get("about"),
        # A narrow terminal has no room for the status, and that it changed says little.
        "kind": f"-> {status}" if kind == Kind.STATUS_CHANGED and status else kind,
        "who": _PRINCIPAL.sub("", str(row["who"])),
    }


def _allow(number: int) -> str:
    return "allows" if number == 1 else "allow"


def _place_of(
    app: App, named: str | None, account: str | None, region: str | None
) -> tuple[str | None, str | None, str | None]:
    """The account, Region and id of the instance that is asked for, as far as they are given. Raises Failure."""
    if named is None or ID.fullmatch(named):
        return account, region, named
    if named.startswith("arn:"):
        [arn] = resolve(app, [named])
    else:
        row = find(named, Fleet(app, times.now()).rows()).instance
        if row is None:
            raise usage(f"{named[:80]} is a cohort", todo="name one of its instances: imdsv2 explain lists them")
        arn = arn_of(row)
    place = place_of(arn)
    if (account not in {None, place["account"]}) or (region not in {None, place["region"]}):
        raise usage(
            f"{named[:80]} is not there",
            f"it is in account {place['account']}, {place['region']}",
            "name that, or neither",
        )
    return place["account"], place["region"], place["instance"]


def _with_cloudtrail(app: App, told: list[Item], begin: datetime, end: datetime) -> list[Item]:
    """The events, with CloudTrail's ids of what was written to the policy, if the caller may ask for them."""
    if not any(each.get("modified_at") for each in told):
        return told
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        written = written_by(app, app.stack_output("PolicyParameterName"), begin, end)
    except (BotoCoreError, ClientError):
        note(
            "CloudTrail's events about the policy cannot be read with these credentials; cloudtrail:LookupEvents allows it."
        )
        return told
    return with_cloudtrail(told, written)


def _refuse_unknown(kinds: Sequence[str]) -> None:
    known = [str(each) for each in Kind]
    for each in kinds:
        if each not in known:
            raise usage(
                f"there are no events of kind {each[:60]}", todo=nearest(each, known) or f"known are {', '.join(known)}"
            )


def _whole(row: Item) -> Item:
    """Every column, so that programs find each key; None where there is nothing to tell."""
    return {each.name: row.get(each.name) for each in _COLUMNS}
