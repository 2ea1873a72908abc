"""What people see and do in Security Hub."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from imdsv2.version import VERSION
from local.cloud.run import HOME, SECURITY
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World


def _import(world: World, one: Launched, **fields: Any) -> dict[str, Any]:
    """Let Security Hub itself report the instance; it sends the event."""
    finding = events.finding(one.arn, finding_id=f"{one.arn}/finding/{time.monotonic_ns()}", **fields)
    hub: Any = world.cloud.session(account=one.machine.account).client("securityhub")
    assert 0 == hub.batch_import_findings(Findings=[finding])["FailedCount"]
    return finding


def _seen(world: World, finding: dict[str, Any]) -> dict[str, Any]:
    hub = world.home.client("securityhub")
    [seen] = hub.get_findings(Filters={"Id": [{"Value": finding["Id"], "Comparison": "EQUALS"}]})["Findings"]
    return dict(seen)


def _noted(world: World, finding: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        seen = _seen(world, finding)
        return seen if seen.get("Note", {}).get("UpdatedBy") == f"imdsv2-remediation {VERSION}" else None

    return eventually(look, "our note on the finding")


def test_a_finding_is_annotated_and_notified_and_its_echo_changes_nothing(world: World) -> None:
    """Updating the finding emits another event for the same finding; the service recognises it as an echo, so there is
    no loop."""
    one = world.launch_one()
    world.cloud.calls(reset=True)
    finding = _import(world, one)
    world.decided(one)
    seen = _noted(world, finding)
    assert "NOTIFIED" == seen["Workflow"]["Status"]
    assert "unused" in seen["Note"]["Text"]
    time.sleep(3)
    assert 1 == world.calls("BatchUpdateFindings")
    assert ["enforcing", "enforced"] == world.history(one)


def test_in_observe_mode_the_finding_gets_a_note_and_nothing_else(world: World) -> None:
    """Decided and recorded; neither the instance nor the workflow status is changed."""
    world.set_policy({"mode": "observe"})
    one = world.launch_one()
    finding = _import(world, one)
    assert "would_enforce" == world.decided(one)["status"]
    assert "NEW" == _noted(world, finding)["Workflow"]["Status"]
    assert "optional" == world.options(one)["HttpTokens"]


def test_a_suppressed_finding_holds_whatever_else_names_the_instance(world: World) -> None:
    """A person's decision on one stored finding also holds the instance for Config's event, and is not changed."""
    one = world.launch_one(calls={5: 1})
    finding = _import(world, one)
    assert "v1_in_use" == world.decided(one)["reason"]
    hub: Any = world.home.client("securityhub")
    identifier = {"Id": finding["Id"], "ProductArn": finding["ProductArn"]}
    hub.batch_update_findings(FindingIdentifiers=[identifier], Workflow={"Status": "SUPPRESSED"})
    world.set_policy({"mode": "enforce", "lookback_days": 1, "min_observed_hours": 4, "min_coverage": 0.1})
    idle = world.launch_one()
    second = _import(world, idle, Workflow={"Status": "SUPPRESSED"})
    world.send(events.imported(events.finding(idle.arn, finding_id=second["Id"])))
    assert ("held", "suppressed") == world.verdicts([idle])[0]
    assert "SUPPRESSED" == _seen(world, second)["Workflow"]["Status"]
    assert "optional" == world.options(idle)["HttpTokens"]


def test_the_custom_action_acts_in_observe_mode(world: World) -> None:
    """A person selects the finding in the console and presses "Require IMDSv2"."""
    world.set_policy({"mode": "observe"})
    one = world.launch_one()
    finding = _import(world, one)
    assert "would_enforce" == world.decided(one)["status"]
    [action] = world.home.client("securityhub").describe_action_targets()["ActionTargets"]
    assert "Require IMDSv2" == action["Name"]
    pressed = {
        "account": SECURITY,
        "region": HOME,
        "action": action["ActionTargetArn"],
        "findings": [{"Id": finding["Id"], "ProductArn": finding["ProductArn"]}],
    }
    world.cloud.ask("PUT", "custom-action", pressed)
    eventually(
        lambda: True if world.current(one)["status"] == "enforced" else None, "the enforcement that was asked for"
    )
    assert "custom_action" == world.current(one)["source"]


def test_a_note_that_security_hub_did_not_take_is_made_up_for(world: World) -> None:
    """While Security Hub refuses updates, the instance is still remediated; the next event adds the note."""
    one = world.launch_one()
    world.cloud.faults(
        [{"service": "securityhub", "action": "BatchUpdateFindings", "error": "InternalException", "status": 500}]
    )
    finding = _import(world, one)
    assert "enforced" == world.decided(one)["status"]
    time.sleep(1)
    assert "Note" not in _seen(world, finding)
    world.cloud.faults()
    world.send(events.imported(_seen(world, finding)))
    assert "NOTIFIED" == _noted(world, finding)["Workflow"]["Status"]


def test_people_are_told(world: World) -> None:
    """The topic's subscribers get one message, with the instance and the reason."""
    world.set_policy({"mode": "enforce", "digest": "off"})
    world.messages()
    one = world.launch_one(calls={3: 7})
    world.send(events.config_change(one.instance_id))

    def look() -> str | None:
        return next((each["Message"] for each in world.messages() if one.instance_id in each["Message"]), None)

    assert "7 IMDSv1 calls" in eventually(look, "the message to people")
