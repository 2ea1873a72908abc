"""`imdsv2 sources --fix`: what would be changed is shown with what holds the rest, confirmed, and changed as it was shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2_cli import confirm as confirming
from tests.cli.conftest import CALLER, run

if TYPE_CHECKING:
    from tests.cli.conftest import Aws

THERE = ("--account", "222222222222", "--in-region", "eu-west-1")
READY, READY_TOO = "i-0aaaaaaaaaaaaaaa1", "i-0aaaaaaaaaaaaaaa2"
PLAN = "A version of launch template shop is made from version 4."


def source(
    name: str,
    status: str | None = "would_fix",
    reason: str | None = None,
    verdict: str = "fix_source",
    instance: str = READY,
    region: str = "eu-west-1",
) -> dict[str, Any]:
    """A source as the service answers it to a question with `fix`."""
    return {
        "source": f"aws/222222222222/{region}/auto_scaling_group:{name}",
        "account": "222222222222",
        "region": region,
        "kind": "auto_scaling_group",
        "name": name,
        "running": 2,
        "allowing_imdsv1": 2,
        "instances": [instance],
        "verdict": verdict,
        "owners": [],
        "remedies": [],
        "fix": {"status": status, "reason": reason, "explanation": PLAN, "versions": [], "group": None},
    }


SHOWN = (
    source("db", None, verdict="hold"),
    source("shop"),
    source("till", "held", "calendar_closed"),
    source("old", None),
    source("api", instance=READY_TOO),
)


def answering(aws: Aws, shown: tuple[dict[str, Any], ...] = SHOWN, **ended: Any) -> None:
    """A manual function whose real call ends as ``ended`` says of each source by name, by default `fixed`."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        dry, scope = asked["dry_run"], asked["sources"]
        ids = {each["instance_id"] for each in scope.get("targets", ()) if isinstance(each, dict)}
        found = [
            each for each in shown if not ids or (ids & {*each["instances"]} and each["fix"]["status"] == "would_fix")
        ]
        if not dry:
            said = {"reason": None, "explanation": "Done."}
            found = [{**each, "fix": {**said, "status": "fixed", **ended.get(each["name"], {})}} for each in found]
        return {"command": "sources", "dry_run": dry, "count": len(found), "results": found, "problems": []}

    aws.on_invoke("manual", answer)


def test_exactly_what_was_shown_is_changed(aws: Aws) -> None:
    """By the instances of those sources, because a scope would take in what became ready meanwhile; with the caller's ARN."""
    answering(aws)
    done = run("sources", *THERE, "--fix", "--yes")
    assert 0 == done.exit_code, done.output
    shown, real = aws.payloads()
    place = {"account": "222222222222", "region": "eu-west-1"}
    assert {"sources": {**place, "fix": True}, "dry_run": True} == shown
    targets = [{**place, "instance_id": each} for each in (READY, READY_TOO)]
    assert {"sources": {"targets": targets, "fix": True}, "dry_run": False, "caller": CALLER} == real
    assert "2 of 5 sources would be changed; not: 1 hold, 1 calendar_closed, 1 left to people." in done.stderr
    assert (
        "2 of 2 sources were changed. What is launched next is watched; to put one back, e.g.: imdsv2 undo --source"
        in (done.stdout)
    )


def test_a_preview_has_what_would_be_changed_first(aws: Aws) -> None:
    """With the service's own plan; twenty rows are enough of it."""
    answering(aws, (*(source(f"held-{each}", None, verdict="hold") for each in range(22)), source("shop")))
    said = run("sources", *THERE, "--fix", "--yes").stderr
    assert said.index(":shop") < said.index(":held-0")
    assert (True, True, False) == (PLAN in said, "... and 3 more" in said, "held-21" in said)


def test_a_dry_run_only_shows(aws: Aws) -> None:
    """In every format; JSON has the service's own answer."""
    answering(aws)
    shown = run("sources", *THERE, "--fix", "--dry-run", "-o", "json")
    assert (0, 5) == (shown.exit_code, json.loads(shown.stdout)["count"])
    assert "source,running" in run("sources", *THERE, "--fix", "--dry-run", "-o", "csv").stdout
    assert "Nothing was changed." in run("sources", *THERE, "--fix", "--dry-run").stdout
    assert [True] * 3 == [each["dry_run"] for each in aws.payloads()]


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ({"shop": {"status": "held", "reason": "cap_reached"}}, 0),
        ({each: {"status": "held", "reason": "cap_reached"} for each in ("shop", "api")}, 3),
        ({"shop": {"status": "failed"}}, 1),
        ({"api": {"status": "gone_back"}}, 1),
        ({"api": {"status": "fixing"}}, 1),
    ],
)
def test_the_exit_code_tells_a_gate_from_a_failure(aws: Aws, ended: dict[str, Any], code: int) -> None:
    """A gate that closed in between is none."""
    answering(aws, **ended)
    done = run("sources", *THERE, "--fix", "--yes")
    assert code == done.exit_code, done.output
    assert str(next(iter(ended.values())).get("reason") or next(iter(ended.values()))["status"]) in done.stdout


def test_what_is_gone_meanwhile_is_a_failure(aws: Aws) -> None:
    """It was wanted, and the answer does not have it."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        found = [source("shop")] if asked["dry_run"] else []
        return {"dry_run": asked["dry_run"], "count": len(found), "results": found, "problems": ["No Region."] * 1}

    aws.on_invoke("manual", answer)
    done = run("sources", *THERE, "--fix", "--yes")
    assert (1, True) == (done.exit_code, "No Region." in done.stderr)


def test_an_instance_that_has_ended_meanwhile_is_told_and_no_failure(aws: Aws) -> None:
    """Each source is named by several, and was changed."""
    answering(aws)
    service, ended = aws.functions["imdsv2-remediation-manual"], f"Instance {READY} does not exist."
    aws.on_invoke("manual", lambda asked: {**service(asked), "problems": [] if asked["dry_run"] else [ended]})
    done = run("sources", *THERE, "--fix", "--yes")
    assert (0, True) == (done.exit_code, ended in done.stderr), done.output


@pytest.mark.parametrize(
    "shown", [(), SHOWN[:1], (source("old", None), source("new", "verified", None, "already_required"))]
)
def test_where_nothing_is_ready_nothing_is_asked(aws: Aws, shown: tuple[dict[str, Any], ...]) -> None:
    """And it ends with the code for nothing to do."""
    answering(aws, shown)
    done = run("sources", *THERE, "--fix")
    assert (3, 1) == (done.exit_code, len(aws.payloads())), done.output
    assert "Nothing was changed." in done.stdout


def test_in_a_pipe_it_wants_a_yes(aws: Aws) -> None:
    """After it has shown what that would do."""
    answering(aws)
    done = run("sources", *THERE, "--fix")
    assert (2, 1, "") == (done.exit_code, len(aws.payloads()), done.stdout)
    assert "say --yes to do it" in done.stderr


@pytest.mark.parametrize(("typed", "code", "calls"), [("yes", 0, 2), ("no", 3, 1), ("", 3, 1)])
def test_on_a_terminal_it_is_typed(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, calls: int
) -> None:
    """Anything but yes changes nothing."""
    answering(aws)
    monkeypatch.setattr(confirming, "is_terminal", lambda _: True)
    done = run("sources", *THERE, "--fix", stdin=f"{typed}\n")
    assert (code, calls) == (done.exit_code, len(aws.payloads())), done.output
    assert "Have the next launches of 2 of 5 sources require tokens? Type yes to go on" in done.stderr


def test_each_account_and_region_is_asked_by_itself(aws: Aws) -> None:
    """Sources are regional: without a scope, everywhere the ledger knows instances. Many go in several calls, none of them in two."""
    many = [[f"i-{name:08x}{each:09x}" for each in range(18)] for name in range(30)]
    found = [f"arn:aws:ec2:{region}:222222222222:instance/{READY}" for region in ("eu-west-1", "us-east-1")]

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        if "find" in asked:
            return {"count": 2, "results": [{"target": each, "name": None} for each in found], "problems": []}
        region = asked["sources"].get("region") or asked["sources"]["targets"][0]["region"]
        meant = {each["instance_id"] for each in asked["sources"].get("targets", ())}
        status = "would_fix" if asked["dry_run"] else "fixed"
        some = [
            source("shop", status, region=region) | {"instances": ids} for ids in many if not meant or meant & {*ids}
        ]
        return {"dry_run": asked["dry_run"], "count": len(some), "results": some, "problems": []}

    aws.on_invoke("manual", answer)
    done = run("sources", "--fix", "--yes")
    assert (0, True) == (done.exit_code, "60 of 60 sources were changed" in done.stdout), done.output
    _, *asked = aws.payloads()
    assert ["eu-west-1", "us-east-1"] == [each["sources"]["region"] for each in asked[:2]]
    assert [450, 90, 450, 90] == [len(each["sources"]["targets"]) for each in asked[2:]]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--fix", "--language", "terraform"), "leave out --language"),
        (("--fix", "--principals"), "leave out --language and --principals"),
        (("--yes",), "say --fix beside it"),
        (("--dry-run",), "say --fix beside it"),
    ],
)
def test_what_does_not_go_together_is_refused(aws: Aws, args: tuple[str, ...], says: str) -> None:
    """In one line, and nothing is asked."""
    done = run("sources", *THERE, *args)
    assert (2, [], 1) == (done.exit_code, aws.payloads(), done.stderr.count("\n"))
    assert says in done.stderr


def test_hostile_names_are_harmless(aws: Aws) -> None:
    """On the terminal, and in a spreadsheet."""
    answering(aws, (source("\x1b[2J\u202eshop"), source("x") | {"source": "=1+1"}))
    shown = run("sources", *THERE, "--fix", "--dry-run").output
    assert not {"\x1b", "\u202e"} & {*shown}
    assert "'=1+1" in run("sources", *THERE, "--fix", "--dry-run", "-o", "csv").stdout


def test_the_reason_goes_with_the_change_and_with_nothing_else(aws: Aws) -> None:
    """The audit trail has it beside the name."""
    answering(aws)
    assert 0 == run("sources", *THERE, "--fix", "--yes", "--reason", "Change 4711.").exit_code
    shown, real = aws.payloads()
    assert (False, "Change 4711.") == ("reason" in shown, real["reason"])
    refused = run("sources", *THERE, "--reason", "Change 4711.")
    assert (2, True) == (refused.exit_code, "say --fix beside it" in refused.stderr)


def test_where_no_source_needs_a_remedy_the_question_is_answered(aws: Aws) -> None:
    """With the code of an answer, as any question with an empty one."""
    answer = {"count": 0, "results": [], "images": [], "problems": []}
    aws.on_invoke("manual", answer)
    for form in ("table", "json", "csv"):
        assert 0 == run("sources", *THERE, "--language", "terraform", "-o", form).exit_code
