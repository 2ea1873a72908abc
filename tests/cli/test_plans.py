"""Plans: what a later command does with a file that is empty, older, damaged or of another kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli import test_verdicts
from tests.cli.conftest import run
from tests.cli.test_verdicts import ACCOUNT, ARNS, asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Aws
    from tests.cli.test_verdicts import Fleet

fleet = test_verdicts.fleet


def test_a_choice_of_nothing_leaves_no_earlier_plan_behind(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """A script that goes on to enforce would change what another choice had named."""
    plan = tmp_path / "plan.json"
    assert 0 == run("assess", "--account", ACCOUNT, "--plan", str(plan)).exit_code
    assert 3 == len(json.loads(plan.read_text())["results"])
    fleet.names = {}
    done = run("assess", "--account", ACCOUNT, "--tag", "stage=tset", "--in-region", "eu-west-1", "--plan", str(plan))
    assert (0, True) == (done.exit_code, "No instance was found there" in done.stdout)
    assert "has 0 of 0 instances to change" in done.stderr
    before = len(asked(aws))
    for command in ("enforce", "approve"):
        done = run(command, "--plan", str(plan), "--yes")
        assert (3, True) == (done.exit_code, "The plan has nothing to change." in done.stderr)
    assert before == len(asked(aws)), "nobody was asked about any instance"


def test_a_plan_of_nothing_is_json_like_any_other(fleet: Fleet, tmp_path: Path) -> None:
    """With the keys of an answer that has results."""
    fleet.names = {}
    done = run("assess", "--account", ACCOUNT, "-o", "json")
    assert {"dry_run": True, "mode": None, "results": []} == json.loads(done.stdout)


def cut(plan: dict[str, Any]) -> str:
    return json.dumps(plan)[:-40]


def without(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda plan: json.dumps({key: value for key, value in plan.items() if key != name})


def of_results(*results: Any) -> Callable[[dict[str, Any]], str]:
    return lambda plan: json.dumps({**plan, "results": list(results)})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "is no plan"),
        (lambda _: "[" * 100_000, "is no plan"),
        (lambda _: "null", "is no plan"),
        (without("ledger"), "is no plan"),
        (without("made_at"), "is no plan"),
        (without("results"), "is no plan"),
        (lambda plan: json.dumps({**plan, "ledger": None}), "is no whole plan"),
        (of_results("arn"), "is no whole plan"),
        (of_results({"target": ARNS[0]}), "is no whole plan"),
        (of_results({"target": None, "reason": "unused", "before": None}), "is no whole plan"),
        (lambda plan: json.dumps({"version": 9}), "of another version"),
    ],
)
@pytest.mark.parametrize("command", ["enforce", "approve"])
def test_a_damaged_plan_is_refused_in_one_line(
    aws: Aws, fleet: Fleet, tmp_path: Path, command: str, damage: Callable[[dict[str, Any]], str], says: str
) -> None:
    """Before anything is asked, and without a trace."""
    path = tmp_path / "plan.json"
    run("assess", ARNS[0], "--plan", str(path))
    before = len(aws.payloads())
    path.write_text(damage(json.loads(path.read_text())))
    done = run(command, "--plan", str(path), "--yes")
    assert (2, 1) == (done.exit_code, done.stderr.count("\n")), done.output
    assert (True, before) == (says in done.stderr, len(aws.payloads()))


def test_a_mark_that_an_editor_puts_before_a_plan_is_passed_over(fleet: Fleet, tmp_path: Path) -> None:
    """Of a policy's document, too: nobody sees it."""
    path = tmp_path / "plan.json"
    run("assess", ARNS[0], "--plan", str(path))
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    done = run("enforce", "--plan", str(path), "--yes")
    assert 0 == done.exit_code, done.output


def test_what_the_service_does_not_answer_for_is_left_out(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """An instance that somebody wrote into the plan by hand, as nobody names it."""
    path = tmp_path / "plan.json"
    run("assess", ARNS[0], "--plan", str(path))
    plan = json.loads(path.read_text())
    odd = {**plan["results"][0], "target": f" {ARNS[0]}"}
    path.write_text(json.dumps({**plan, "results": [*plan["results"], odd]}))
    fleet.reasons[odd["target"]] = "unused"
    answers = fleet.__call__

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        found = answers(payload)
        return {**found, "results": [{**each, "target": each["target"].strip()} for each in found["results"]]}

    aws.on_invoke("manual", answer)
    done = run("enforce", "--plan", str(path), "--yes")
    assert (0, True) == (done.exit_code, "has not answered for it" in done.stderr), done.output
    assert [ARNS[0]] == asked(aws)[-1]["targets"]
