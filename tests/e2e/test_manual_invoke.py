"""Manual invocations of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.world import World

GONE = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0"
FIELDS = {
    "target",
    "decision",
    "reason",
    "explanation",
    "evidence",
    "before",
    "planned_call",
    "permitted",
    "status",
    "error",
}
EVIDENCE = {
    "window_start",
    "window_end",
    "tokenless_calls",
    "tokenless_hours",
    "last_tokenless_call",
    "pattern",
    "refused_calls",
    "boot_observed",
    "boot_tokenless_calls",
    "observed_hours",
    "coverage",
    "longest_gap_hours",
    "newest_datapoint",
    "period_seconds",
}


def test_a_dry_run_is_the_default_and_writes_nothing(world: World) -> None:
    """The answer has every field of the contract; neither the ledger nor EC2 has changed."""
    one = world.launch_one()
    answer = world.ask({"targets": [one.arn]})
    assert (True, "enforce") == (answer["dry_run"], answer["mode"])
    [result] = answer["results"]
    assert FIELDS == result.keys()
    assert EVIDENCE == result["evidence"].keys()
    expected = {
        "target": one.arn,
        "decision": "enforce",
        "reason": "unused",
        "before": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "planned_call": {"HttpTokens": "required"},
        "permitted": True,
        "status": "would_enforce",
        "error": None,
    }
    assert expected == {name: result[name] for name in expected}
    assert {} == world.current(one)
    assert "optional" == world.options(one)["HttpTokens"]
    assert "imdsv2:enforced-at" not in world.tags(one)


def test_acting_by_hand_says_what_was_there_before(world: World) -> None:
    """`dry_run: false` enforces; the ledger has the claimed name of the caller and the request id."""
    one = world.launch_one()
    answer = world.ask({"targets": [one.arn], "dry_run": False, "caller": "ada"})
    [result] = answer["results"]
    assert ("enforced", "optional") == (result["status"], result["before"]["HttpTokens"])
    assert "required" == world.options(one)["HttpTokens"]
    item = world.current(one)
    assert ("manual", "ada") == (item["source"], item["caller"])
    assert item["request_id"]
    assert ("optional", "required") == (item["before"]["HttpTokens"], item["after"]["HttpTokens"])
    assert "imdsv2:enforced-at" in world.tags(one)


def test_results_come_in_the_order_asked_and_bad_targets_in_their_place(world: World) -> None:
    """An invalid target fails alone; a missing instance is no error; a repeated target is answered twice."""
    one = world.launch_one()
    triple = {"account": "222222222222", "region": "eu-west-1", "instance_id": one.instance_id}
    results = world.ask({"targets": ["nonsense", one.arn, GONE, triple, 7]})["results"]
    assert [None, "enforce", "skip", "enforce", None] == [each["decision"] for each in results]
    assert ["nonsense", one.arn, GONE, one.arn] == [each["target"] for each in results[:4]]
    assert [True, False, False, False, True] == [each["error"] is not None for each in results]
    assert "gone" == results[2]["reason"]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ([], "event"),
        ("text", "event"),
        ({}, "targets"),
        ({"targets": []}, "targets"),
        ({"targets": GONE}, "targets"),
        ({"targets": [GONE] * 501}, "targets"),
        ({"targets": [GONE], "dry_run": "false"}, "dry_run"),
        ({"targets": [GONE], "clear": 1, "dry_run": False}, "clear"),
        ({"targets": [GONE], "clear": True}, "clear"),
        ({"targets": [GONE], "caller": 7}, "caller"),
        ({"targets": [GONE], "force": True}, "force"),
    ],
)
def test_what_cannot_be_understood_is_answered_with_the_field(world: World, payload: Any, field: str) -> None:
    """The invocation succeeds, and its answer says what to fix."""
    error = world.ask(payload)["error"]
    assert "InvalidRequest" == error["code"]
    assert field in error["message"]


def test_500_targets_are_answered_at_once(world: World) -> None:
    """The maximum of one call; most targets are unknown to EC2, which names them in its refusal."""
    one = world.launch_one()
    targets = [f"arn:aws:ec2:eu-west-1:222222222222:instance/i-{number:017x}" for number in range(499)]
    results = world.ask({"targets": [*targets, one.arn]})["results"]
    assert ["gone"] * 499 + ["unused"] == [each["reason"] for each in results]
