"""Commands that close the door behind: `graduate` asks before it locks, and `guardrails` says what would be blocked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import CALLER, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Aws

PLACE = {"account": "222222222222", "region": "eu-west-1"}
THERE = ("--account", PLACE["account"], "--in-region", PLACE["region"])
OPEN = {
    "what": "source",
    "name": "auto_scaling_group web",
    "explanation": "It would bring IMDSv1 back: apply its remedy.",
}
LAUNCHER = {"principal": "arn:aws:iam::222222222222:role/ci", "user_agent": "Packer/1.11", "at": "2027-05-01T06:00:00"}


def place(dry: str, real: str = "locked", **more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What the function answers: to a dry run, and to a real one."""

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        return {
            **PLACE,
            "command": "graduate",
            "dry_run": payload["dry_run"],
            "result": dry if payload["dry_run"] else real,
            "explanation": "That is how it is.",
            "ready": True,
            "count": 0,
            "open": [],
            "launches": {"looked_at": 0, "launchers": 0, "would_get_tokens": []},
            "defaults": {"HttpTokens": "required"},
            "planned_call": {"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
            "status": None,
            "before": {},
            **more,
        }

    return answer


@pytest.mark.parametrize(
    ("options", "scope", "dry", "real"),
    [
        (("--hop-limit", "3"), {"hop_limit": 3}, "would_lock", "locked"),
        (("--enforce",), {"enforce": True}, "would_lock", "locked"),
        (("--unlock",), {"unlock": True}, "would_unlock", "unlocked"),
    ],
)
def test_each_step_is_shown_and_then_sent(
    aws: Aws, options: tuple[str, ...], scope: dict[str, Any], dry: str, real: str
) -> None:
    """The same command twice: dry, and signed."""
    aws.on_invoke("manual", place(dry, real))
    done = run("graduate", *THERE, *options, "--reason", "CHG-88", "--yes")
    assert (0, True) == (done.exit_code, real in done.stdout), done.stderr
    assert "HttpPutResponseHopLimit=3" in done.stderr
    sent = {"graduate": {**PLACE, **scope}, "reason": "CHG-88"}
    assert [{**sent, "dry_run": True}, {**sent, "dry_run": False, "caller": CALLER}] == aws.payloads()


def test_the_second_step_warns_of_what_it_forbids(aws: Aws) -> None:
    """And the first of who launches without a word."""
    launches = {"looked_at": 9, "launchers": 1, "would_get_tokens": [LAUNCHER]}
    aws.on_invoke("manual", place("would_lock", launches=launches))
    assert "rollbacks" in run("graduate", *THERE, "--enforce", "--yes").stderr
    first = run("graduate", *THERE, "--yes").stderr
    assert ("rollbacks" not in first, "role/ci (Packer/1.11, 2027-05-01)" in first) == (True, True)


def test_what_is_open_is_listed_and_nothing_is_sent(aws: Aws) -> None:
    """Exit code 3, and a row for each in CSV."""
    aws.on_invoke("manual", place("refused", ready=False, count=1, open=[OPEN]))
    refused = run("graduate", *THERE, "--yes", "-o", "csv")
    assert 3 == refused.exit_code
    assert refused.stdout.splitlines() == ["what,name,explanation", ",".join(OPEN.values())]
    assert [True] == [each["dry_run"] for each in aws.payloads()]


@pytest.mark.parametrize("result", ["left_alone", "nothing_to_unlock", "already_locked"])
def test_where_there_is_nothing_to_do_nothing_is_sent(aws: Aws, result: str) -> None:
    """With the service's sentence."""
    aws.on_invoke("manual", place(result, status="locked"))
    done = run("graduate", *THERE, "--yes")
    assert (3, True, 1) == (done.exit_code, "That is how it is." in done.stdout, len(aws.payloads()))


@pytest.mark.parametrize("status", ["locking", "failed"])
def test_a_command_whose_answer_was_lost_is_completed_by_sending_it_again(aws: Aws, status: str) -> None:
    """EC2 is as it shall be, the ledger is not yet: nothing is left to ask. A dry run leaves it so."""
    aws.on_invoke("manual", place("already_locked", "already_locked", status=status))
    run("graduate", *THERE, "--dry-run")
    run("graduate", *THERE)
    assert [True, True, False] == [each["dry_run"] for each in aws.payloads()]


def test_nobody_is_there_to_say_yes(aws: Aws) -> None:
    """In a pipe; and a dry run needs nobody."""
    aws.on_invoke("manual", place("would_lock"))
    asked = run("graduate", *THERE)
    assert (2, True) == (asked.exit_code, "--yes" in asked.stderr)
    assert 0 == run("graduate", *THERE, "--dry-run").exit_code
    assert {True} == {each["dry_run"] for each in aws.payloads()}


def test_a_refusal_by_ec2_is_a_failure(aws: Aws) -> None:
    """It may be sent again."""
    aws.on_invoke("manual", place("would_lock", "failed"))
    assert 1 == run("graduate", *THERE, "--yes").exit_code


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--account", "222222222222"), "Missing option '--in-region'"),
        (("--in-region", "eu-west-1"), "Missing option '--account'"),
        ((*THERE, "--unlock", "--enforce"), "--unlock takes nothing beside it"),
        ((*THERE, "--unlock", "--hop-limit", "2"), "--unlock takes nothing beside it"),
        ((*THERE, "--enforce", "--hop-limit", "2"), "--hop-limit belongs to the first step"),
        ((*THERE, "--hop-limit", "65"), "65"),
    ],
)
def test_steps_that_do_not_go_together_are_refused(aws: Aws, args: tuple[str, ...], says: str) -> None:
    """In one line, without asking the service."""
    done = run("graduate", *args)
    assert (2, [], 1) == (done.exit_code, aws.payloads(), done.stderr.count("\n"))
    assert says in done.stderr


HITS = [
    {
        "guardrail": "launches",
        "blocked": True,
        "account": "222222222222",
        "region": "eu-west-1",
        "kind": "by_hand",
        "name": "ami-1",
        "target": None,
        "explanation": "It does not say HttpTokens.",
    },
    {
        "guardrail": "delivery",
        "blocked": None,
        "account": "222222222222",
        "region": "eu-west-1",
        "kind": "by_hand",
        "name": "ami-1",
        "target": "arn:aws:ec2:eu-west-1:222222222222:instance/i-0a1b2c3d4e5f60718",
        "explanation": "Have it judged first.",
    },
]


def test_what_guardrails_would_block_is_a_table(aws: Aws) -> None:
    """With the summary below, and what could not be read beside it."""
    answer = {"summary": "In 1 accounts and Regions.", "problems": ["333333333333 cannot be read."], "results": HITS}
    aws.on_invoke("manual", answer)
    told = run("guardrails", "--account", "222222222222", "--max-hop-limit", "3")
    assert (0, True, True) == (told.exit_code, "In 1 accounts" in told.stdout, "333333333333" in told.stderr)
    assert [{"guardrails": {"account": "222222222222", "max_hop_limit": 3}}] == aws.payloads()
    assert HITS == json.loads(run("guardrails", "-o", "json").stdout)["results"]
    assert 2 == run("guardrails", "--in-region", "eu-west-1").exit_code
