"""`imdsv2 assess` and `imdsv2 enforce`: the dry run, the plan, and what is done of it."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import CALLER, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Aws

ACCOUNT = "222222222222"
ARNS = [f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-{number:017x}" for number in range(4)]
OPTIONS = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}


def verdict(target: str, reason: str) -> dict[str, Any]:
    """An entry of the manual function's answer."""
    enforce = reason == "unused"
    return {
        "target": target,
        "decision": "enforce" if enforce else "hold",
        "reason": reason,
        "explanation": f"Because of {reason}.",
        "evidence": {"tokenless_calls": 0 if enforce else 7, "last_tokenless_call": None},
        "before": OPTIONS,
        "planned_call": {"HttpTokens": "required"} if enforce else None,
        "permitted": True if enforce else None,
        "status": "would_enforce" if enforce else "held",
        "error": None,
    }


class Fleet:
    """The manual function: verdicts by instance, and names."""

    def __init__(self, **reasons: str) -> None:
        self.reasons = dict(zip(ARNS, reasons.values(), strict=False))
        self.names = dict(zip(ARNS, reasons, strict=False))
        self.changes: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []

    def __call__(self, payload: dict[str, Any]) -> dict[str, Any]:
        if "find" in payload:
            return self._find(payload["find"])
        found = [verdict(arn, self.reasons[arn]) | self.changes.get(arn, {}) for arn in payload["targets"]]
        if not payload["dry_run"]:
            found = [{**each, "status": "enforced" if each["planned_call"] else "held"} for each in found]
        return {"dry_run": payload["dry_run"], "mode": "enforce", "results": found}

    def _find(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked.get("names")
        found = [
            {
                "target": arn,
                "name": name,
                "state": "running",
                "http_tokens": "required" if self.reasons[arn] == "already_required" else "optional",
                "http_endpoint": "enabled",
            }
            for arn, name in self.names.items()
            if wanted is None or name in wanted or arn.rpartition("/")[2] in wanted
        ]
        unknown = [
            {"name": each, "likely": "web"}
            for each in wanted or []
            if each not in self.names.values() and each[:2] != "i-"
        ]
        return {"count": len(found), "results": found, "unknown": unknown, "problems": self.problems}


@pytest.fixture
def fleet(aws: Aws) -> Fleet:
    made = Fleet(web="unused", db="v1_in_use", api="approval_required", old="already_required")
    aws.on_invoke("manual", made)
    return made


def asked(aws: Aws) -> list[dict[str, Any]]:
    return [each for each in aws.payloads() if "find" not in each]


def test_names_and_ids_are_looked_up_and_arns_are_not(aws: Aws, fleet: Fleet) -> None:
    """In one question, narrowed by account and Region."""
    done = run("assess", "web", ARNS[1], ARNS[2].rpartition("/")[2], "--account", ACCOUNT, "-o", "json")
    assert ARNS[:3] == [each["target"] for each in json.loads(done.stdout)["results"]]
    assert {"names": ["web", ARNS[2].rpartition("/")[2]], "account": ACCOUNT} == aws.payloads()[0]["find"]


def test_a_choice_leaves_out_what_requires_tokens_already(aws: Aws, fleet: Fleet) -> None:
    """By account, Region and tags."""
    run("assess", "--account", ACCOUNT, "--in-region", "eu-west-1", "--tag", "team=blue")
    assert {"account": ACCOUNT, "region": "eu-west-1", "tags": {"team": "blue"}} == aws.payloads()[0]["find"]
    assert ARNS[:3] == asked(aws)[0]["targets"]


def test_the_summary_counts_changes_and_reasons(fleet: Fleet) -> None:
    """Below the table."""
    assert "1 of 3 would be changed; not: 1 v1_in_use, 1 approval_required. Mode: enforce." in run("assess").stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["wbe"], "no instance is called wbe; did you mean web?"),
        (["web", "--tag", "a=b"], "both instances and tags"),
        (["--tag", "team"], "write --tag KEY=VALUE"),
    ],
)
def test_what_is_not_there_is_refused_with_the_likely_one(fleet: Fleet, args: list[str], says: str) -> None:
    """In one line, before anything is judged."""
    done = run("assess", *args)
    assert (2, 1) == (done.exit_code, done.stderr.count("\n"))
    assert says in done.stderr


def test_a_name_that_looks_like_an_id_is_not_offered_as_another(aws: Aws, fleet: Fleet) -> None:
    """The service looks for an id, finds none, and knows an instance of that name."""
    odd = {"name": "i-0123456789abcdef0", "likely": "i-0123456789abcdef0"}
    aws.on_invoke("manual", {"count": 0, "results": [], "unknown": [odd], "problems": []})
    done = run("assess", "i-0123456789abcdef0")
    assert (2, False) == (done.exit_code, "did you mean" in done.stderr)
    assert "by its ARN or its own id" in done.stderr


def test_a_name_of_several_instances_is_refused_with_their_arns(aws: Aws, fleet: Fleet) -> None:
    """Whoever asks decides which."""
    fleet.names[ARNS[1]] = "web"
    done = run("assess", "web")
    assert (2, True) == (done.exit_code, all(arn in done.stderr for arn in ARNS[:2]))
    assert [] == asked(aws)


def test_an_empty_choice_is_a_success_that_says_so(aws: Aws) -> None:
    """Nothing is judged."""
    aws.on_invoke("manual", Fleet())
    done = run("assess", "--account", ACCOUNT)
    assert (0, "No instance was found there that allows IMDSv1.\n") == (done.exit_code, done.stdout)


def test_what_could_not_be_looked_at_is_told_beside_the_answer(fleet: Fleet) -> None:
    """On standard error."""
    fleet.problems.append("Instances in account 333333333333 cannot be read.")
    assert "account 333333333333 cannot be read" in run("assess").stderr


def test_enforce_sends_only_what_the_dry_run_would_change(aws: Aws, fleet: Fleet) -> None:
    """With the caller's ARN."""
    done = run("enforce", "web", "db", "--yes")
    assert 0 == done.exit_code, done.output
    dry, real = asked(aws)
    assert (ARNS[:2], True) == (dry["targets"], dry["dry_run"])
    assert {"targets": ARNS[:1], "dry_run": False, "caller": CALLER} == real
    assert "1 of 1 was changed. It is watched now; imdsv2 undo puts it back." in done.stdout


def test_enforce_without_anything_to_change_says_what_holds_it(aws: Aws, fleet: Fleet) -> None:
    """Exit code 3, and nothing is asked for real."""
    done = run("enforce", "db", "--yes")
    assert (3, 1) == (done.exit_code, len(asked(aws)))
    assert "0 of 1 would be changed; not: 1 v1_in_use." in done.stdout


def test_enforce_that_a_gate_stops_at_the_last_moment_is_refused(aws: Aws, fleet: Fleet) -> None:
    """Exit code 3, with the gate."""
    reasons = iter(("unused", "cap_reached"))

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        fleet.reasons[ARNS[0]] = next(reasons)
        return fleet(payload)

    aws.on_invoke("manual", answer)
    done = run("enforce", ARNS[0], "--yes")
    assert (3, True) == (done.exit_code, "0 of 1 were changed; not: 1 cap_reached." in done.stdout)


def test_enforce_that_ec2_refuses_has_failed(aws: Aws, fleet: Fleet) -> None:
    """Exit code 1."""
    error = {"code": "InternalError", "message": "An internal error has occurred"}

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        fleet.changes[ARNS[0]] = (
            {} if payload["dry_run"] else {"status": "failed", "decision": None, "reason": None, "error": error}
        )
        return fleet(payload)

    aws.on_invoke("manual", answer)
    done = run("enforce", ARNS[0], "--yes", "-o", "csv")
    assert (1, True) == (done.exit_code, "An internal error has occurred" in done.stdout)


def test_enforce_wants_to_know_what(aws: Aws, fleet: Fleet) -> None:
    """Unlike a dry run, it never takes everything by default."""
    assert (2, []) == (run("enforce", "--yes").exit_code, aws.payloads())


def test_approve_by_plan_takes_what_the_dry_run_showed_and_no_more(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """What has changed since is left out and said."""
    plan = tmp_path / "plan.json"
    assert 0 == run("assess", "--plan", str(plan)).exit_code
    fleet.reasons[ARNS[0]] = "v1_in_use"

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        if "approve" not in payload:
            return fleet(payload)
        found = [
            {
                "target": each,
                "status": "held",
                "reason": "approval_required",
                "done": not payload["dry_run"],
                "problem": None,
            }
            for each in payload["approve"]["targets"]
        ]
        return {"command": "approve", "dry_run": payload["dry_run"], "count": len(found), "results": found}

    aws.on_invoke("manual", answer)
    done = run("approve", "--plan", str(plan), "--yes")
    assert 0 == done.exit_code, done.output
    assert f"Left out: {ARNS[0]}: it was unused, and is v1_in_use now." in done.stderr
    assert {"targets": [ARNS[2]]} == aws.payloads()[-1]["approve"]


def test_enforce_by_plan_leaves_out_what_somebody_has_changed(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """Though its verdict is the same."""
    plan = tmp_path / "plan.json"
    run("assess", "web", "--plan", str(plan))
    fleet.changes[ARNS[0]] = {"before": {**OPTIONS, "HttpPutResponseHopLimit": 2}}
    done = run("enforce", "--plan", str(plan), "--yes")
    assert (3, True) == (done.exit_code, "its metadata options have changed" in done.stderr)
    assert all(each["dry_run"] for each in asked(aws))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "results": [{}]}', '{"version": 2, "results": []}'])
def test_what_is_no_plan_is_refused(aws: Aws, fleet: Fleet, tmp_path: Path, text: str) -> None:
    """With the command that writes one."""
    (tmp_path / "x").write_text(text)
    done = run("approve", "--plan", str(tmp_path / "x"), "--yes")
    assert (2, True) == (done.exit_code, "imdsv2 assess --plan" in done.stderr)


def test_a_plan_of_another_installation_is_refused(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """By its ledger."""
    plan = tmp_path / "plan.json"
    run("assess", "web", "--plan", str(plan))
    plan.write_text(plan.read_text().replace('"Ledger"', '"Other"'))
    assert 2 == run("enforce", "--plan", str(plan), "--yes").exit_code


NASTY = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\u202egnp.exe \x9b2J[bold]=1+1"


def test_escapes_and_formulas_of_others_are_harmless(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """On a screen, in a spreadsheet and in JSON."""
    fleet.changes[ARNS[0]] = {"explanation": NASTY, "reason": "=cmd|' /C calc'!A0"}
    table = run("assess", ARNS[0]).stdout
    assert "redgnp.exe [bold]=1+1" in table
    as_json = run("assess", ARNS[0], "-o", "json").stdout
    assert NASTY == json.loads(as_json)["results"][0]["explanation"]
    for text in (table, as_json):
        assert not {*text} & {"\x1b", "\x07", "\x9b", "\u202e"}
    [_, row] = csv.reader(io.StringIO(run("assess", ARNS[0], "-o", "csv").stdout))
    assert "'=cmd|' /C calc'!A0" in row
    assert not any(each.startswith(("=", "+", "-", "@")) for each in row)


def test_a_file_takes_the_answer_in_the_format_of_its_name(fleet: Fleet, tmp_path: Path) -> None:
    """Whole or not at all; standard output stays empty."""
    for name, reads in (("a.json", json.loads), ("a.csv", lambda text: list(csv.reader(io.StringIO(text))))):
        done = run("assess", ARNS[0], "--file", str(tmp_path / name))
        assert (0, "") == (done.exit_code, done.stdout)
        reads((tmp_path / name).read_text())
    assert ["a.csv", "a.json"] == sorted(each.name for each in tmp_path.iterdir())
    assert 1 == run("assess", ARNS[0], "--file", str(tmp_path / "none" / "a.csv")).exit_code


def test_options_may_stand_before_the_command_or_after_it(fleet: Fleet) -> None:
    """As whoever types remembers them."""
    assert json.loads(run("-o", "json", "assess", ARNS[0]).stdout) == json.loads(
        run("assess", ARNS[0], "-o", "json").stdout
    )


def test_a_table_in_a_pipe_has_each_instance_on_one_line(fleet: Fleet) -> None:
    """However long its explanation is."""
    fleet.changes[ARNS[0]] = {"explanation": "long " * 200}
    assert 1 == sum("i-00000000000000000" in line for line in run("assess", ARNS[0]).stdout.splitlines())


def test_a_failure_after_some_changes_says_how_many_were_made(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the failure is not asked for any more."""
    monkeypatch.setattr("imdsv2_cli.verdicts.TARGETS_A_CALL", 1)
    made = Fleet(a="unused", b="unused", c="unused")
    seen: list[str] = []

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        if not payload["dry_run"]:
            seen.extend(payload["targets"])
            if len(seen) == 2:
                return {"error": {"code": "InternalError", "message": "The request failed."}}
        return made(payload)

    aws.on_invoke("manual", answer)
    done = run("enforce", *ARNS[:3], "--yes")
    assert (1, ARNS[:2]) == (done.exit_code, seen)
    assert "Until then, the service had answered for 1 instance; ask again for the rest." in done.stderr
