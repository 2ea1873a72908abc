"""The accounts: their roles, tried by the service's own dry runs on instances that exist, and whether Config records these."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import invoke
from imdsv2_cli.doctor import recorders
from imdsv2_cli.doctor.finding import Finding, fault, unproved, well
from imdsv2_cli.fleet.places import swept_places
from imdsv2_cli.naming import search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from imdsv2_cli.base import App

_DEPLOY = "deploy the member templates there again (docs/upgrade.md)"
_TARGETS_A_CALL = 500


def roles(app: App) -> Iterator[Finding]:
    """The version of the roles of each account, what EC2 says to dry runs through them, and what Config records."""
    found = search(app, {"places": swept_places(app)})
    for problem in found["problems"]:
        yield (fault("roles", problem, _DEPLOY) if "cannot be read" in problem else unproved("roles", problem))
    targets = _chosen(found["results"])
    if not targets:
        yield unproved(
            "roles", "There is no instance on which they could be tried.", "imdsv2 selftest tries them on its own"
        )
    for start in range(0, len(targets), _TARGETS_A_CALL):
        yield from _tried(invoke(app, f"{app.prefix}-check", {"targets": targets[start : start + _TARGETS_A_CALL]}))
    yield from recorders.in_accounts(app, found["results"])


def _chosen(instances: Iterable[Mapping[str, Any]]) -> list[str]:
    """For each account, one instance whose metadata endpoint is enabled and one whose endpoint is disabled, as far as there are any."""
    chosen: dict[tuple[str, str], str] = {}
    for each in instances:
        chosen.setdefault((each["target"].split(":")[4], each["http_endpoint"]), each["target"])
    return list(chosen.values())


def _tried(answer: Mapping[str, Any]) -> Iterator[Finding]:
    for advice in answer["versions"]["outdated"]:
        yield fault("versions of roles", advice, _DEPLOY)
    by_account: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in answer["results"]:
        by_account[each["target"].split(":")[4]].append(each)
    for account, results in by_account.items():
        wrong = [check for each in results for check in each["checks"] if not check["passed"]]
        for each in results:
            if each["problem"]:
                yield fault("roles", f"{each['target']}: {each['problem']}", _DEPLOY)
        for check in wrong:
            must = "permit" if check["must_be"] == "DryRunOperation" else "deny"
            what = f"Account {account}: EC2 has to {must} {check['operation']} {check['sends']} through the role {check['role']}, and answers {check['answer']}."
            yield fault("roles", what, _DEPLOY)
        tried = sum(len(each["checks"]) for each in results) - len(wrong)
        if tried:
            yield well("roles", f"Account {account}: {tried} dry runs were answered as they have to be.")
    for missing in answer["unproved"]:
        yield unproved("roles", missing, "imdsv2 selftest launches one for some minutes; the rest is proved")
