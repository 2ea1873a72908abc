"""`imdsv2 culprit`: asks in tens, shows what was named, and tells what was not looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import run

if TYPE_CHECKING:
    from tests.cli.conftest import Aws

PLACE = ("--account", "222222222222", "--in-region", "eu-west-1")
COHORT = "aws/222222222222/eu-west-1/group:web@lt-0123456789abcdef0+3"


def arn(number: int) -> str:
    """An instance by its number."""
    return f"arn:aws:ec2:eu-west-1:222222222222:instance/i-{number:017x}"


def result(target: str, **found: Any) -> dict[str, Any]:
    """The service's answer about one instance."""
    caller = {
        "name": "Boto3",
        "version": "1.9.57",
        "first_good": "1.12.6",
        "calls": 3,
        "last": "2026-11-20T11:00:00Z",
        "says": "Boto3 1.9.57: too old.",
        "source": "https://docs.aws.amazon.com/",
    }
    when = {"pattern": "daily at 03:00", "calls": 120, "last": "2026-11-20T03:00:00Z", "shared": None}
    return {
        "target": target,
        "when": when,
        "callers": [caller],
        "suspects": [],
        "explanation": "Look at jobs.",
        "not_looked_at": ["Its inventory cannot be read.", "CloudTrail shows management events only."],
        **found,
    }


def answering(aws: Aws, **found: Any) -> None:
    """The manual function names the same on every instance; a cohort has two."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        targets = asked["culprit"].get("targets") or [arn(1), arn(2)]
        return {"command": "culprit", "results": [result(each, **found) for each in targets], "problems": []}

    aws.on_invoke("manual", answer)


def test_what_was_named_is_a_row_with_its_remedy(aws: Aws) -> None:
    """What was not looked at goes to standard error."""
    answering(aws)
    done = run("culprit", arn(1))
    assert 0 == done.exit_code, done.output
    assert all(each in done.stdout for each in ("daily at 03:00", "cloudtrail", "Boto3", "1.9.57", "1.12.6"))
    assert "Its inventory cannot be read." in done.stderr
    assert "Something was named on 1 of 1 instance." in done.stdout
    assert [{"culprit": {"targets": [arn(1)]}}] == aws.payloads()


def test_many_instances_are_asked_about_by_the_ten(aws: Aws) -> None:
    """And answered as one."""
    answering(aws)
    done = run("culprit", *(arn(number) for number in range(12)), "--output", "json")
    assert [10, 2] == [len(each["culprit"]["targets"]) for each in aws.payloads()]
    assert 12 == json.loads(done.stdout)["count"]


def test_a_cohort_is_named_as_it_stands_or_by_its_option(aws: Aws) -> None:
    """Both ask the same."""
    answering(aws)
    assert {0} == {run("culprit", COHORT).exit_code, run("culprit", "--cohort", COHORT).exit_code}
    assert [{"culprit": {"cohort": COHORT}}] * 2 == aws.payloads()


def test_where_nothing_was_named_it_says_when_it_calls(aws: Aws) -> None:
    """That is an answer to the question."""
    answering(aws, callers=[])
    done = run("culprit", "i-00000000000000001", *PLACE)
    assert 0 == done.exit_code
    assert "Look at jobs." in done.stdout


def test_hostile_texts_are_harmless(aws: Aws) -> None:
    """On the terminal, and in a spreadsheet."""
    answering(aws, callers=[], suspects=[{"name": "\x1b[2Jx", "version": "=1+1", "says": "\u202ey", "calls": None}])
    shown = run("culprit", arn(1)).stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "'=1+1" in run("culprit", arn(1), "--output", "csv").stdout


def test_nothing_named_is_a_usage_error(aws: Aws) -> None:
    """It says what may be named."""
    done = run("culprit")
    assert (2, []) == (done.exit_code, aws.payloads())
    assert "--cohort" in done.stderr


PROCESS = {"name": "collector", "command": "/opt/collector --once", "parents": ["/sbin/init"], "calls": 12}


def watching(aws: Aws) -> None:
    """The service would watch an instance, and finds a process when it does."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("dry_run", True):
            capture: dict[str, Any] = {"state": "would_capture", "says": "The analyzer would run as root."}
        else:
            capture = {"state": "captured", "says": "These called.", "processes": [PROCESS]}
        found = [result(each, callers=[], capture=capture) for each in asked["culprit"]["targets"]]
        return {"command": "culprit", "results": found, "problems": []}

    aws.on_invoke("manual", answer)


def test_a_capture_is_shown_confirmed_and_carried_out(aws: Aws) -> None:
    """With the caller's ARN; what it found is a row."""
    watching(aws)
    done = run("culprit", arn(1), "--capture", "--seconds", "60", "--reason", "case 7", "--yes")
    assert 0 == done.exit_code, done.output
    first, second = aws.payloads()
    assert {"culprit": {"targets": [arn(1)], "capture": True, "seconds": 60}} == first
    assert (first["culprit"], False, "case 7") == (second["culprit"], second["dry_run"], second["reason"])
    assert second["caller"].endswith("/alice")
    assert all(each in done.stdout for each in ("capture", "/opt/collector --once", "started by /sbin/init"))


def test_a_capture_wants_a_yes(aws: Aws) -> None:
    """Where nobody can be asked, nothing is run."""
    watching(aws)
    assert (2, 1) == (run("culprit", arn(1), "--capture").exit_code, len(aws.payloads()))
    assert "as root" in run("culprit", arn(1), "--capture", "--dry-run").stderr
    assert not any("dry_run" in each for each in aws.payloads())


def test_an_earlier_capture_is_collected(aws: Aws) -> None:
    """It changes nothing on the instance, so that nothing is asked."""
    watching(aws)
    assert 0 == run("culprit", arn(1), "--collect", "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f").exit_code
    [asked] = aws.payloads()
    assert (False, ["collect", "targets"]) == (asked["dry_run"], sorted(asked["culprit"]))


def test_seconds_belong_to_a_capture(aws: Aws) -> None:
    """Alone they mean nothing."""
    assert (2, []) == (run("culprit", arn(1), "--seconds", "60").exit_code, aws.payloads())


def test_the_commands_to_run_by_hand_are_printed(aws: Aws) -> None:
    """Where the service cannot watch."""
    refused = {"state": "refused", "says": "No agent. Watch it by hand:", "by_hand": ["sudo python3 imds_snoop.py"]}
    answering(aws, capture=refused)
    assert "  sudo python3 imds_snoop.py" in run("culprit", arn(1), "--capture", "--yes").stderr


def watching_some(aws: Aws, **states: str) -> None:
    """The service would watch the first instance only; a real watch ends as ``states`` say of each state by the real one."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        dry = asked.get("dry_run", True)
        found = []
        for each in asked["culprit"]["targets"]:
            state = "would_capture" if each == arn(1) else "refused"
            capture = {"state": state if dry else states[state], "says": f"{state}.", "by_hand": ["sudo watch it"]}
            found.append(result(each, callers=[], capture=capture))
        return {"command": "culprit", "results": found, "problems": []}

    aws.on_invoke("manual", answer)


def test_only_what_was_shown_as_ready_is_watched(aws: Aws) -> None:
    """The analyzer runs as root: what becomes possible after somebody has said yes was not agreed to. The answer has all."""
    watching_some(aws, would_capture="captured", refused="captured")
    done = run("culprit", arn(1), arn(2), "--capture", "--yes", "-o", "json")
    assert [[arn(1), arn(2)], [arn(1)]] == [each["culprit"]["targets"] for each in aws.payloads()]
    answer = json.loads(done.stdout)
    assert (0, 2) == (done.exit_code, answer["count"])
    assert {arn(1): "captured", arn(2): "refused"} == {
        each["target"]: each["capture"]["state"] for each in answer["results"]
    }


def test_where_nothing_can_be_watched_nothing_is_sent(aws: Aws) -> None:
    """Also where nobody could be asked: the dry answer says why, and what to do by hand."""
    watching_some(aws)
    for args in ((), ("--yes",), ("--dry-run",)):
        done = run("culprit", arn(2), "--capture", *args)
        assert (3, True) == (done.exit_code, "sudo watch it" in done.stderr)
    assert not any("caller" in each for each in aws.payloads())


@pytest.mark.parametrize(
    ("state", "code"), [("captured", 0), ("running", 0), ("failed", 1), ("unread", 1), ("refused", 3)]
)
def test_a_watch_ends_with_the_code_of_what_became_of_it(aws: Aws, state: str, code: int) -> None:
    """Whatever it found: nothing may have called meanwhile."""
    watching_some(aws, would_capture=state)
    done = run("culprit", arn(1), "--capture", "--yes")
    assert (code, 2) == (done.exit_code, len(aws.payloads()))


def test_what_was_watched_before_a_failure_is_told(aws: Aws) -> None:
    """The ledger has it."""
    watching(aws)
    answers, calls = aws.functions["imdsv2-remediation-manual"], iter(range(100))

    def fails_at_the_end(asked: dict[str, Any]) -> Any:
        # Two dry calls, and two real ones.
        return (
            {"errorMessage": "late", "error": {"code": "Late", "message": "late"}}
            if next(calls) == 3
            else answers(asked)
        )

    aws.on_invoke("manual", fails_at_the_end)
    done = run("culprit", *(arn(number) for number in range(12)), "--capture", "--yes")
    assert 1 == done.exit_code
    assert "Until then, the service had answered for 10 instances: imdsv2 audit has what it did." in done.stderr
