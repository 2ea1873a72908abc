"""`imdsv2 images`: AMIs of an account's own that do not require tokens, and how they come to require them for good."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.aws import ask
from imdsv2_cli.base import App, Command
from imdsv2_cli.commands.sources import scopes_of, traced
from imdsv2_cli.confirm import confirm, dry_run_option, reason_option, yes_option
from imdsv2_cli.failure import Exit, nearest, usage
from imdsv2_cli.naming import account_option, region_option
from imdsv2_cli.output import Column, Table, as_table, is_terminal, note, progress, show
from imdsv2_cli.wording import count, of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PHRASE = "cannot be undone"
_IMAGES_A_CALL = 50
_ID = re.compile(r"ami-[0-9a-f]{8,17}", re.ASCII)
_LISTED = (
    Column("account", spare=1),
    Column("region", spare=2),
    Column("image"),
    Column("name", spare=5),
    Column("used_by"),
)
_CHANGED = (
    *_LISTED,
    Column("imds_support", "ImdsSupport", spare=3),
    Column("would_be", spare=4),
    Column("permitted"),
    Column("done"),
    Column("problem", speaks=True),
)


@click.command(cls=Command)
@click.argument("amis", metavar="[AMI]...", nargs=-1)
@account_option
@region_option
@click.option("--require", is_flag=True, help="Set ImdsSupport of the named AMIs to v2.0, for good.")
@click.option("--confirm", "phrase", metavar="TEXT", help=f'With --yes: "{_PHRASE}", to say that you know.')
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def images(
    app: App,
    amis: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    require: bool,
    phrase: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Lists an account's own AMIs that do not require tokens; makes them require tokens for good.

    Listed are AMIs from which something is launched, each with the sources that use it and their verdicts. Without an account, all
    are looked at in which the last sweep saw instances, or the ledger knows some. With --require, the named AMIs get ImdsSupport v2.0: what is launched from them
    requires tokens unless the launch or the account's default says otherwise. This cannot be undone on that AMI, so these words have to
    be typed, or given as --yes --confirm "cannot be undone". An AMI stays as it is while a source that uses it is held.
    """
    if not require:
        _refuse_alone(amis, phrase, reason, yes=yes or dry_run)
        return _list(app, account, in_region)
    _refuse_unsaid(amis, phrase, yes=yes)
    scopes = list(_placed(app, dict.fromkeys(amis), account, in_region))
    return _require(app, scopes, reason, yes=yes, dry_run=dry_run)


def _refuse_alone(amis: Sequence[str], phrase: str | None, reason: str | None, *, yes: bool) -> None:
    if amis or phrase or reason or yes:
        raise usage("without --require, AMIs are only listed", todo="say --require to have AMIs require tokens")


def _refuse_unsaid(amis: Sequence[str], phrase: str | None, *, yes: bool) -> None:
    if not amis:
        raise usage("no AMI was named", todo="name those that shall require tokens; imdsv2 images lists them")
    for each in amis:
        if not _ID.fullmatch(each):
            raise usage(f"{each[:60]} is no id of an AMI", todo="name AMIs as ami-<hex>; imdsv2 images lists them")
    if phrase is not None and phrase != _PHRASE:
        raise usage(f"--confirm takes the words {_PHRASE}", todo=f'say --confirm "{_PHRASE}"')
    if yes and phrase is None:
        raise usage(f"this {_PHRASE} on these AMIs", todo=f'say --confirm "{_PHRASE}" beside --yes')


def _list(app: App, account: str | None, region: str | None) -> Exit:
    found = _open(app, account, region)
    document = {"count": len(found), "images": found}
    again = (
        f"{count(len(found), 'AMI')}. To have one require tokens for good: "
        "imdsv2 images --require AMI --account ID --in-region REGION"
    )
    empty = "No AMI was found there that is the account's own, is used and does not require tokens."
    rows = [{**each, "used_by": _users(each["used_by"])} for each in found]
    show(app, document, Table(_LISTED, rows), summary=again if found else "", empty=empty)
    return Exit.DONE


def _open(app: App, account: str | None, region: str | None) -> list[dict[str, Any]]:
    """The account's own AMIs there that do not require tokens, each with its users and their verdicts."""
    scopes = scopes_of(app, (), account, region)
    return list(traced(app, scopes)["images"]) if scopes else []


def _users(users: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{each['kind']} {each['name']} ({each['verdict']})" for each in users]


def _placed(app: App, amis: Iterable[str], account: str | None, region: str | None) -> Iterable[dict[str, Any]]:
    """The AMIs by where they are, as the service takes them; they are looked for unless account and Region are named. Raises Failure."""
    if account and region:
        places = {(account, region): list(amis)}
    else:
        known = {each["image"]: (each["account"], each["region"]) for each in _open(app, account, region)}
        places = defaultdict(list)
        for each in amis:
            if each not in known:
                hint = nearest(each, known) or "name --account and --in-region, where it is"
                raise usage(f"{each} is not among the AMIs that do not require tokens", todo=hint)
            places[known[each]].append(each)
    for (number, name), some in places.items():
        for start in range(0, len(some), _IMAGES_A_CALL):
            yield {"account": number, "region": name, "image_ids": some[start : start + _IMAGES_A_CALL]}


def _require(app: App, scopes: Sequence[Mapping[str, Any]], reason: str | None, *, yes: bool, dry_run: bool) -> Exit:
    preview = _asked(app, scopes, dry_run=True)
    results = preview["results"]
    if any(each["permitted"] is False for each in results):
        note("Where permitted says no, the role there may not do it: deploy the member roles of this version.")
    ready = {each["image"] for each in results if not each["problem"] and each["permitted"]}
    counted = f"{of(len(ready), len(results), 'AMI')} would require tokens for good."
    if dry_run or not ready:
        show(app, preview, _table(results), summary=f"{counted} Nothing was changed.")
        return Exit.DONE if ready else Exit.NOTHING
    note(as_table(_table(results), to_screen=is_terminal(sys.stderr)).rstrip())
    note(f"{counted} {preview['warning']}")
    what = f"Make {of(len(ready), len(results), 'AMI')} require tokens for good, which {_PHRASE}"
    confirm(what, yes=yes, phrase=_PHRASE, option=f'--yes --confirm "{_PHRASE}"')
    shown = [{**each, "image_ids": [one for one in each["image_ids"] if one in ready]} for each in scopes]
    wanted = [{**each, "confirm": _PHRASE} for each in shown if each["image_ids"]]
    said = {"reason": reason} if reason else {}
    answer = _asked(app, wanted, dry_run=False, caller=app.caller, **said)
    done = sum(each["done"] for each in answer["results"])
    show(app, answer, _table(answer["results"]), summary=f"{of(done, len(ready), 'AMI')} {_now(done)} tokens.")
    return Exit.DONE if done >= len(ready) else Exit.FAILED


def _now(number: int) -> str:
    return "now requires" if number == 1 else "now require"


def _asked(app: App, scopes: Sequence[Mapping[str, Any]], **said: Any) -> dict[str, Any]:
    """The answers of the service as one. Each result has its account and Region."""
    answers: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    with progress("Asking the service", len(scopes) if len(scopes) > 1 else None) as tick:
        for each in scopes:
            try:
                answers.append(ask(app, {"images": dict(each), **said}))
            except BaseException:  # Ctrl-C is one.
                if done := sum(one["done"] for one in results):
                    note(f"Until then, {count(done, 'AMI')} had been changed; ask again for the rest.")
                raise
            place = {"account": each["account"], "region": each["region"]}
            results += [{**place, **one} for one in answers[-1]["results"]]
            tick(1)
    return {**answers[-1], "count": len(results), "results": results}


def _table(results: Sequence[Mapping[str, Any]]) -> Table:
    return Table(_CHANGED, [{**each, "used_by": _users(each["used_by"])} for each in results])
