"""Finds the instances that people name: by ARN, by id, or by the tag Name."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.aws import ask
from imdsv2_cli.failure import nearest, usage
from imdsv2_cli.output import note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imdsv2_cli.base import App

ID = re.compile(r"i-[0-9a-f]{8,17}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_NAMES_A_CALL = 500
_SHOWN = 3
"""Instances of the same name that an error lists."""


def _account(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and _ACCOUNT.fullmatch(value) is None:
        raise click.BadParameter(f"{value[:40]} is no account id of 12 digits")
    return value


def _region(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from imdsv2.domain.regions import REGIONS

        if value not in REGIONS:
            raise click.BadParameter(f"{value[:40]} is no Region. {nearest(value, REGIONS).capitalize()}".rstrip())
    return value


account_option = click.option(
    "--account", metavar="ID", callback=_account, help="The account of the instances, 12 digits."
)
needed_account_option = click.option(
    "--account", metavar="ID", callback=_account, required=True, help="The account, 12 digits."
)
region_option = click.option("--in-region", metavar="REGION", callback=_region, help="The Region of the instances.")
needed_region_option = click.option(
    "--in-region", metavar="REGION", callback=_region, required=True, help="The Region."
)


def instances_argument(*, required: bool = True) -> Callable[[Any], Any]:
    """The argument INSTANCE...; `-` reads them from standard input, one a line."""
    return click.argument(
        "instances", metavar="INSTANCE..." if required else "[INSTANCE]...", nargs=-1, required=required
    )


def resolve(app: App, named: Iterable[str], account: str | None = None, region: str | None = None) -> list[str]:
    """The ARNs of named instances, in their order, each once.

    The service is asked for what is no ARN; ``account`` and ``region`` narrow where it looks. Raises Failure for a name that fits no
    instance, or several.
    """
    names = _read(named)
    arns = {name: arn for name in names if (arn := _arn(name, account, region)) is not None}
    others = [name for name in dict.fromkeys(names) if name not in arns]
    arns |= _found(app, others, account, region)
    return list(dict.fromkeys(arns[name] for name in names))


def find(app: App, **asked: Any) -> dict[str, Any]:
    """The service's answer to which instances there are. What it could not look at is noted."""
    answer = search(app, asked)
    for problem in answer["problems"]:
        note(problem)
    if answer["count"] > len(answer["results"]):
        first = f"Only the first {len(answer['results'])} of {answer['count']} instances are looked at"
        note(f"{first}: choose by --account and --in-region.")
    return answer


def search(app: App, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The service's answer to which instances there are, with what it could not look at as `problems`."""
    given = {name: value for name, value in asked.items() if value}
    with progress("Looking for instances"):
        answer: dict[str, Any] = ask(app, {"find": given})
    return answer


def _read(named: Iterable[str]) -> list[str]:
    """The names on the command line; for `-`, the lines of standard input."""
    names: list[str] = []
    for each in named:
        # Some programs begin a file with a mark that nobody sees.
        names += [line.strip().lstrip("\ufeff") for line in _lines()] if each == "-" else [each.strip()]
    if not (names := [name for name in names if name]):
        raise usage("no instance was named", todo="name one by ARN, by id or by its tag Name")
    return names


def _lines() -> list[str]:
    """The lines of standard input. Raises Failure where there is none, or where it is no text."""
    todo = "write one instance a line, in UTF-8"
    if sys.stdin is None:
        raise usage("the names of instances cannot be read", "standard input is closed", todo)
    try:
        return list(sys.stdin)
    except UnicodeDecodeError as error:
        raise usage("the names of instances cannot be read", "standard input is no UTF-8 text", todo) from error


def _arn(name: str, account: str | None, region: str | None) -> str | None:
    """The ARN that a name is, or makes with account and Region; None for what has to be looked for. Raises Failure for another ARN."""
    from imdsv2.domain.instance import InstanceArn

    if ID.fullmatch(name) and account and region:
        return str(InstanceArn.of(region=region, account=account, instance_id=name))
    if not name.startswith("arn:"):
        return None
    try:
        return str(InstanceArn.parse(name))
    except ValueError as error:
        todo = "write it as arn:aws:ec2:<region>:<account>:instance/i-<hex>, or name the instance by its id or tag Name"
        raise usage(f"{name[:80]} is no instance", todo=todo) from error


def _found(app: App, names: Sequence[str], account: str | None, region: str | None) -> dict[str, str]:
    from imdsv2_cli.fleet.places import swept_places

    found, likely, problems = _looked_for(app, names, account=account, region=region)
    missing = [name for name in names if not found[name]]
    # The ledger knows only what was judged for real: until then, a sweep knows more.
    if missing and (places := swept_places(app, account, region, quiet=True)):
        # What the narrower look could not see is no news where the wider one has seen it.
        more, meant, problems = _looked_for(app, missing, account=account, region=region, places=places)
        found, likely = found | more, likely | meant
    for problem in problems:
        note(problem)
    for name in names:
        if len(found[name]) != 1:
            raise _unclear(name, found[name], likely.get(name), narrowed=bool(account and region))
    return {name: found[name][0] for name in names}


def _looked_for(
    app: App, names: Sequence[str], **where: Any
) -> tuple[dict[str, list[str]], dict[str, str | None], list[str]]:
    """The ARNs that the service finds for each id and name, for each name that it does not know the likely one, and what it could not
    look at."""
    found: dict[str, list[str]] = defaultdict(list)
    likely: dict[str, str | None] = {}
    problems: dict[str, None] = {}
    for start in range(0, len(names), _NAMES_A_CALL):
        answer = search(app, {"names": list(names[start : start + _NAMES_A_CALL]), **where})
        problems |= dict.fromkeys(answer["problems"])
        likely |= {each["name"]: each["likely"] for each in answer["unknown"]}
        for each in answer["results"]:
            found[each["target"].rpartition("/")[2]].append(each["target"])
            # An id means the instance of that id, whatever others, or itself, bear as their name.
            if each["name"] and not ID.fullmatch(each["name"]):
                found[each["name"]].append(each["target"])
    return found, likely, list(problems)


def _unclear(name: str, found: Sequence[str], likely: str | None, *, narrowed: bool) -> click.ClickException:
    if found:
        some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        return usage(f"{name} is the name of {len(found)} instances", some, "name one by its ARN or id")
    if likely == name:  # What looks like an id, or like a pattern to EC2, is not looked for as a name.
        return usage(
            f"{name[:80]} cannot be looked for as a name",
            todo="name the instance by its ARN or its own id: imdsv2 list",
        )
    todo = f"did you mean {likely}?" if likely else "" if narrowed else "name its ARN, or --account and --in-region"
    return usage(f"no instance is called {name[:80]}", todo=todo)
