"""The command line on the deployed stack: in pipes, in a terminal, and through a change from the policy to the undo."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.world import MEMBERS, POLICY_LIVE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.world import World

THERE = ("--account", MEMBERS[0], "--in-region", "eu-west-1")


@pytest.fixture
def terminal(world: World) -> Terminal:
    return Terminal(world.cloud)


def test_a_change_from_the_policy_to_the_undo(world: World, terminal: Terminal, tmp_path: Path) -> None:
    """Nobody writes a payload, and nothing happens that was not shown first."""
    quiet, busy = world.launch_one(name="cli-quiet"), world.launch_one(name="cli-busy", calls={3: 40})
    before = terminal.pipe("policy", "show", "-o", "json").document
    assert ("enforce", "none") == (before["policy"]["mode"], before["policy"]["approval"])
    changed = terminal.screen("policy", "set", "approval=required")
    assert (0, True) == (changed.code, "approval: none -> required" in changed.out), changed.out
    time.sleep(POLICY_LIVE_SECONDS)
    try:
        _approve_and_enforce(world, terminal, tmp_path, names=("cli-quiet", "cli-busy"))
        assert ("required", "optional") == tuple(world.options(each)["HttpTokens"] for each in (quiet, busy))
        undone = terminal.screen("undo", "cli-quiet", *THERE, "--reason", "A rehearsal.")
        assert 0 == undone.code, undone.out
        assert "Roll back: 1 of 1 instance." in undone.out
        assert ("optional", "undone_by_person") == (
            world.options(quiet)["HttpTokens"],
            world.current(quiet)["reason"],
        )
        assert "arn:aws:iam::111111111111:root" in str(world.current(quiet))
        cleared = terminal.pipe("clear", quiet.arn, "--yes", "-o", "json")
        assert (0, [True]) == (cleared.code, [each["done"] for each in cleared.document["results"]]), cleared.err
        assert 3 == terminal.pipe("undo", quiet.arn, "--yes").code
    finally:
        world.set_policy({"mode": "enforce", "approval": "none"})


def _approve_and_enforce(world: World, terminal: Terminal, tmp_path: Path, names: tuple[str, str]) -> None:
    """What waits is planned, approved by the plan, and changed; the one that uses IMDSv1 is in none of these."""
    plan = str(tmp_path / "plan.json")
    assert 3 == terminal.pipe("enforce", *names, *THERE, "--yes").code
    asked = world.ask({"find": {"names": list(names), "account": MEMBERS[0], "region": "eu-west-1"}})
    world.ask({"targets": [each["target"] for each in asked["results"]], "dry_run": False, "caller": "test"})
    assessed = terminal.pipe("assess", *names, *THERE, "--plan", plan, "-o", "csv")
    reasons = [row["reason"] for row in csv.DictReader(io.StringIO(assessed.out))]
    assert ["approval_required", "v1_in_use"] == reasons, assessed.err
    approved = terminal.screen("approve", "--plan", plan, "--reason", "Change 4711.")
    assert (0, True) == (approved.code, "Approve: 1 of 1 instance." in approved.out), approved.out
    done = terminal.screen("enforce", "--plan", plan, types="yes")
    assert (0, True) == (done.code, "1 of 1 was changed." in done.out), done.out


def test_a_no_changes_nothing(world: World, terminal: Terminal) -> None:
    """In a terminal the question is asked; in a pipe it cannot be."""
    one = world.launch_one(name="cli-asked")
    hold = ("hold", one.arn, "--owner", "blue", "--reason", "A look.", "--until", "30d")
    declined = terminal.screen(*hold, types="no")
    assert (3, True) == (declined.code, "nothing was changed" in declined.out), declined.out
    piped = terminal.pipe(*hold)
    assert (2, "", True) == (piped.code, piped.out, "--yes" in piped.err)
    assert {} == world.current(one)


def test_a_hold_and_its_release(world: World, terminal: Terminal) -> None:
    """By id, which the ledger finds without account and Region once it knows it."""
    one = world.launch_one(name="cli-held")
    held = terminal.pipe(
        *("hold", "cli-held", *THERE, "--owner", "blue", "--reason", "A look.", "--until", "30d", "--yes", "-o", "json")
    )
    assert (0, [True]) == (held.code, [each["done"] for each in held.document["results"]]), held.err
    released = terminal.pipe("release", one.instance_id, "--yes")
    assert (0, True) == (released.code, "Release: 1 of 1 instance." in released.out), released.err
    assert 3 == terminal.pipe("release", one.instance_id, "--yes").code


def test_an_exemption_is_written_with_the_caller_s_own_rights(world: World, terminal: Terminal) -> None:
    """By a role in the account of the instance; without one, the error says how."""
    one = world.launch_one(name="cli-exempt")
    without = terminal.pipe("exempt", one.arn, "--until", "2999-12-31", "--yes")
    assert (2, True) == (without.code, "--account-role" in without.err)
    role = ("--account-role", "OrganizationAccountAccessRole", "--yes")
    assert 0 == terminal.pipe("exempt", one.arn, "--until", "2999-12-31", *role).code
    assert "2999-12-31" == world.tags(one)["imdsv2:exempt-until"]
    assert "exempt" == terminal.pipe("assess", one.arn, "-o", "json").document["results"][0]["reason"]
    assert 0 == terminal.pipe("exempt", one.arn, "--end", *role).code
    assert "imdsv2:exempt-until" not in world.tags(one)


def test_a_sweep_is_followed_to_its_result(world: World, terminal: Terminal) -> None:
    """A dry one, of one Region of a member."""
    world.launch_one(name="cli-swept", account=MEMBERS[1])
    swept = terminal.pipe("sweep", "--account", MEMBERS[1], "--in-region", "eu-west-1", "-o", "json")
    assert 0 == swept.code, swept.err
    [place] = swept.document["places"]
    assert (MEMBERS[1], "eu-west-1", True) == (place["account"], place["region"], place["instances"] >= 1)


def test_sources_are_shown_with_remedies_to_copy(world: World, terminal: Terminal) -> None:
    """As a table, and as text in one language."""
    world.launch_one(name="cli-source")
    shown = terminal.pipe("sources", *THERE)
    assert (0, True) == (shown.code, "by_hand" in shown.out), shown.err
    text = terminal.pipe("sources", *THERE, "--language", "aws-cli")
    assert (0, True) == (text.code, "aws ec2 " in text.out), text.err
    assert 2 == terminal.pipe("sources", *THERE, "--language", "cobol").code


def test_the_doctor_names_what_mends_each_fault(world: World, terminal: Terminal) -> None:
    """The tests have disabled the schedules; somebody gets no mail."""
    patient = world.launch_one(name="cli-patient")
    world.ask({"targets": [patient.arn], "dry_run": False, "caller": "test"})
    found = terminal.pipe("doctor", "-o", "json")
    assert 1 == found.code, found.err
    checks = found.document["checks"]
    faults = {each["check"] for each in checks if each["outcome"] == "fault"}
    assert "schedules" in faults, faults
    assert all(each["mend"] for each in checks if each["outcome"] == "fault")
    assert {"functions", "policy", "queue", "roles"} <= {
        each["check"] for each in checks if each["outcome"] == "well"
    }, checks


def test_the_rollback_role_is_proved_on_what_was_enforced(world: World, terminal: Terminal) -> None:
    """Where an instance bears the service's tag, EC2 has to let it be put back, with the endpoint beside the tokens, too."""
    one = world.launch_one(name="cli-proved")
    assert 0 == terminal.pipe("enforce", one.arn, "--yes").code
    answer = world.invoke("imdsv2-remediation-check", {"targets": [one.arn]})
    assert [True] == [each["passed"] for each in answer["results"]], answer


def test_a_wrong_stack_is_refused_with_the_right_one(terminal: Terminal) -> None:
    """Which is found by its outputs."""
    wrong = terminal.pipe("--stack", "Imdsv2", "policy", "show")
    assert (2, True, 1) == (wrong.code, "Imdsv2Remediation" in wrong.err, wrong.err.count("\n"))


def test_a_screen_has_colour_and_a_pipe_has_none(terminal: Terminal) -> None:
    """NO_COLOR is obeyed."""
    assert "\x1b[" in terminal.screen("policy", "show").out
    assert "\x1b[" not in terminal.screen("policy", "show", NO_COLOR="1").out
    assert "\x1b" not in terminal.pipe("policy", "show").out
