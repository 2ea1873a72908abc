"""`imdsv2 sources`: where instances come from, and what has to be changed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.aws import ask
from imdsv2_cli.base import App, Command
from imdsv2_cli.clean import for_terminal
from imdsv2_cli.confirm import dry_run_option, reason_option, yes_option
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.fleet.places import swept_places
from imdsv2_cli.naming import account_option, find, instances_argument, region_option, resolve
from imdsv2_cli.output import Column, Table, deliver, note, progress, show
from imdsv2_cli.source_fixes import fix as fix_sources
from imdsv2_cli.verdicts import parts_of
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SOURCES = (
    Column("account", spare=2),
    Column("region", spare=3),
    Column("kind"),
    Column("name"),
    Column("http_tokens", "HttpTokens", spare=4),
    Column("running", spare=6),
    Column("allowing_imdsv1", "allow IMDSv1"),
    Column("verdict"),
    Column("managers", "managed by", spare=5),
    Column("languages", "remedies in", spare=7),
    Column("explanation", speaks=True, spare=1),
)


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@click.option(
    "--language", metavar="NAME", help="Print the remedies in this language, ready to copy: terraform, aws-cli, ..."
)
@click.option("--principals", is_flag=True, help="Ask CloudTrail, too, who launched what people launch by hand.")
@click.option("--fix", is_flag=True, help="Have the service change the sources that it may; shown and asked first.")
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def sources(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    language: str | None,
    principals: bool,
    fix: bool,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Shows where instances come from, with a verdict and a remedy for each source.

    A source is a launch template, group, fleet or stack. Name instances, or an account with or without a Region; without either, all
    accounts and Regions are looked at in which the last sweep saw instances, or the ledger knows some. It only reads, except with --fix: then the service makes the next launches of
    these sources require tokens where the verdict is fix_source, every gate is open and nobody else manages them. A dry run shows first
    what would be changed and what holds the others, and only what it shows is changed. No instance is replaced, and what is launched
    next is watched.
    """
    _refuse_mixed(language, reason, principals=principals, fix=fix, yes=yes or dry_run)
    scopes = scopes_of(app, instances, account, in_region)
    if scopes and fix:
        return fix_sources(app, scopes, reason, yes=yes, dry_run=dry_run)
    if not scopes:
        show(
            app,
            {"results": [], "images": [], "problems": []},
            Table(_SOURCES, []),
            empty="No instance was found there.",
        )
        return Exit.NOTHING if fix else Exit.DONE
    answer = traced(app, scopes, **({"principals": True} if principals else {}))
    if language is not None:
        return _remedies(app, answer, language)
    reopened = sum(each["allowing_imdsv1"] for each in answer["results"] if each["verdict"] != "already_required")
    runs = f"those that allow IMDSv1 run {count(reopened, 'instance')} that {'does' if reopened == 1 else 'do'}"
    summary = f"{count(len(answer['results']), 'source')}; {runs}. Remedies: --language NAME."
    show(
        app,
        {"count": len(answer["results"]), **answer},
        Table(_SOURCES, list(map(_row, answer["results"]))),
        summary=summary,
    )
    return Exit.DONE


def _refuse_mixed(language: str | None, reason: str | None, *, principals: bool, fix: bool, yes: bool) -> None:
    if fix and (language is not None or principals):
        raise usage("--fix has no room for other questions", todo="leave out --language and --principals")
    if (yes or reason) and not fix:
        raise usage("--yes, --dry-run and --reason belong to a change", todo="say --fix beside it")


def traced(app: App, scopes: Sequence[Mapping[str, Any]], **asked: Any) -> dict[str, Any]:
    """The service's answer to where instances come from, for all scopes together. What it could not look at is noted."""
    answers = []
    with progress("Tracing", len(scopes) if len(scopes) > 1 else None) as tick:
        for each in scopes:
            answers.append(ask(app, {"sources": {**each, **asked}}))
            tick(1)
    answer = {name: [each for one in answers for each in one[name]] for name in ("results", "images", "problems")}
    for problem in answer["problems"]:
        note(problem)
    return answer


def scopes_of(app: App, instances: tuple[str, ...], account: str | None, region: str | None) -> list[dict[str, Any]]:
    """What the service is asked, one question for each account and Region."""
    if instances:
        targets = resolve(app, instances, account, region)
        return [{"targets": targets[start : start + 500]} for start in range(0, len(targets), 500)]
    if account and region:
        return [{"account": account, "region": region}]
    swept = swept_places(app, account, region)
    found = find(app, account=account, region=region, places=swept)
    places = {(parts["account"], parts["region"]) for parts in (parts_of(each["target"]) for each in found["results"])}
    places |= {(each["account"], each["region"]) for each in swept}
    return [{"account": number, "region": name} for number, name in sorted(places)]


def _row(source: Mapping[str, Any]) -> dict[str, Any]:
    managers = sorted({each["manager"] for each in source["owners"] if each["manager"]})
    return {**source, "managers": managers, "languages": [each["language"] for each in source["remedies"]]}


def _remedies(app: App, answer: Mapping[str, Any], language: str) -> Exit:
    """Answer with the remedies in one language: as text to copy, or the sources with nothing but these."""
    everything = [*answer["results"], *answer["images"]]
    known = sorted({each["language"] for source in everything for each in source["remedies"]})
    if known and language not in known:
        raise usage(f"there is no remedy in {language}", todo=f"there are remedies in {', '.join(known)}")
    chosen = [
        {**source, "remedies": those}
        for source in everything
        if (those := [each for each in source["remedies"] if each["language"] == language])
    ]
    if app.output == "json":
        show(app, {"count": len(chosen), "results": chosen}, Table((), []))
    elif app.output == "csv":
        columns = tuple(
            map(Column, ("account", "region", "kind", "name", "apply", "says", "replaces_running_instances", "text"))
        )
        show(app, {}, Table(columns, [{**each, **remedy} for each in chosen for remedy in each["remedies"]]))
    else:
        deliver(app, "\n".join(_as_text(chosen)) + "\n" if chosen else "No source there needs a remedy.\n")
    return Exit.DONE


def _as_text(sources: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Remedies to copy. What has to wait is commented out: whoever pastes everything applies only what may be applied."""
    for source in sources:
        what = f"{source.get('kind', 'image')} {source.get('name') or source.get('image')}"
        for remedy in source["remedies"]:
            mark = "//" if remedy["language"] == "cdk-typescript" else "#"
            yield f"{mark} {for_terminal(what)}, account {source['account']}, {source['region']}: apply {remedy['apply']}"
            yield f"{mark} {for_terminal(remedy['says'])}"
            if replaces := remedy.get("replaces_running_instances"):
                yield f"{mark} Running instances: {for_terminal(replaces)}"
            waits = "" if remedy["apply"] == "now" else f"{mark} "
            yield from (f"{waits}{for_terminal(line)}" if line.strip() else "" for line in remedy["text"].splitlines())
            yield ""
