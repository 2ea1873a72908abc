"""Policy changes take effect without a deployment, and instances that wait are re-evaluated."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from local.cloud.run import MEMBERS
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _make_due(world: World, one: Launched, **attributes: str) -> None:
    past = _text(datetime.now(UTC) - timedelta(minutes=1))
    world.change_ledger(one, revisit_at=past, **attributes)


def test_switching_off_holds_and_switching_on_goes_on(world: World) -> None:
    """`off` enforces nothing and loses nothing; dry runs still answer."""
    world.set_policy({"mode": "off"})
    one = world.launch_one()
    world.send(events.config_change(one.instance_id))
    assert ("held", "switched_off") == world.verdicts([one])[0]
    [result] = world.ask({"targets": [one.arn]})["results"]
    assert ("enforce", True) == (result["decision"], result["permitted"])
    [result] = world.ask({"targets": [one.arn], "dry_run": False})["results"]
    assert ("hold", "switched_off") == (result["decision"], result["reason"])
    world.set_policy({"mode": "enforce"})
    _make_due(world, one)
    world.revisit()
    assert ("enforced", "unused") == world.verdicts([one])[0]


def test_a_refused_policy_enforces_nothing_and_alarms(world: World) -> None:
    """A kill switch with a typo must not leave the service running; verdicts follow the last valid policy."""
    world.set_policy('{"mode": "of"}')
    one = world.launch_one()
    world.send(events.config_change(one.instance_id))
    item = world.decided(one)
    assert ("held", "policy_unreadable") == (item["status"], item["reason"])
    assert "mode" in item["explanation"]
    assert "optional" == world.options(one)["HttpTokens"]


def test_observed_instances_are_enforced_once_the_mode_says_so(world: World) -> None:
    """`would_enforce` waits in the ledger; the schedule's next run enforces."""
    world.set_policy({"mode": "observe"})
    fleet = world.launch(number=3)
    world.send(*(events.config_change(one.instance_id) for one in fleet))
    assert [("would_enforce", "unused")] * 3 == world.verdicts(fleet)
    world.set_policy({"mode": "enforce"})
    for one in fleet:
        _make_due(world, one)
    world.revisit()
    assert [("enforced", "unused")] * 3 == world.verdicts(fleet)
    assert ["revisit"] * 3 == [world.current(one)["source"] for one in fleet]


def test_what_a_dead_function_left_half_done_is_taken_over(world: World) -> None:
    """After the lease: if EC2 already requires tokens, as they were asked for, the change is completed; if not, the instance is
    re-evaluated."""
    done, undone = world.launch(number=2)
    world.send(*(events.config_change(one.instance_id) for one in (done, undone)))
    world.verdicts([done, undone])
    ec2 = world.cloud.session(account=MEMBERS[0]).client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=undone.instance_id, HttpTokens="optional")
    over = _text(datetime.now(UTC) - timedelta(seconds=1))
    for one in (done, undone):
        _make_due(world, one, status="enforcing", lease_until=over)
        world.home.client("dynamodb").update_item(
            TableName=world.cloud.outputs["LedgerTableName"],
            Key={"pk": {"S": one.arn}, "sk": {"S": "current"}},
            UpdateExpression="REMOVE enforced_at, watch, enforced_in, enforced_key",
        )
    world.revisit()
    assert [("enforced", "unused")] * 2 == world.verdicts([done, undone])
    assert [True, True] == [world.current(one)["confirmed"] for one in (done, undone)]
    assert "required" == world.options(undone)["HttpTokens"]


def test_nobody_else_acts_while_a_lease_runs(world: World) -> None:
    """A second function finds `enforcing`, leaves its finding to the first, and ends."""
    one = world.launch_one(calls={2: 1})
    world.send(events.config_change(one.instance_id))
    world.decided(one)
    ahead = _text(datetime.now(UTC) + timedelta(minutes=5))
    world.change_ledger(one, status="enforcing", lease_until=ahead, revisit_at=ahead)
    world.send(events.imported(events.finding(one.arn)))
    eventually(lambda: world.current(one)["findings"] or None, "the finding that was left")
    assert "enforcing" == world.current(one)["status"]
    [result] = world.ask({"targets": [one.arn], "dry_run": False})["results"]
    assert "enforcing" == result["status"]


def test_what_somebody_changed_back_is_not_fought_until_a_person_clears_it(world: World) -> None:
    """Enforced, then made optional by someone else: held; cleared by hand: enforced again."""
    one = world.launch_one()
    world.send(events.config_change(one.instance_id))
    world.decided(one)
    ec2 = world.cloud.session(account=MEMBERS[0]).client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=one.instance_id, HttpTokens="optional")
    eventually(lambda: True if world.options(one)["State"] == "applied" else None, "EC2 to apply it")
    [settling] = world.ask({"targets": [one.arn]})["results"]
    assert ("hold", "not_ready") == (settling["decision"], settling["reason"])
    world.change_ledger(one, enforced_at=_text(datetime.now(UTC) - timedelta(minutes=11)))
    [held] = world.ask({"targets": [one.arn], "dry_run": False})["results"]
    assert ("hold", "changed_back") == (held["decision"], held["reason"])
    assert "optional" == world.options(one)["HttpTokens"]
    [cleared] = world.ask({"clear": {"targets": [one.arn]}, "dry_run": False, "caller": "e2e"})["results"]
    assert (True, ["changed_back"]) == (cleared["done"], cleared["voids"])
    [enforced] = world.ask({"targets": [one.arn], "dry_run": False})["results"]
    assert "enforced" == enforced["status"]
    assert "required" == world.options(one)["HttpTokens"]


def test_an_account_whose_role_is_missing_fails_alone(world: World) -> None:
    """The others in the batch are processed; the unreachable one says what to do."""
    good, bad = world.launch_one(), "arn:aws:ec2:eu-west-1:999999999999:instance/i-0123456789abcdef0"
    results = world.ask({"targets": [bad, good.arn]})["results"]
    assert ["unreachable", "unused"] == [each["reason"] for each in results]
    assert "deploy the member roles" in results[0]["explanation"]


def test_a_permission_that_is_missing_is_seen_here_first(world: World) -> None:
    """IAM is enforced for the functions' roles: without its policy, the write role may not change the instance."""
    iam = world.cloud.session(account=MEMBERS[1]).client("iam")
    one = world.launch_one(account=MEMBERS[1])
    [policy] = iam.list_role_policies(RoleName="imdsv2-remediation-write")["PolicyNames"]
    kept = iam.get_role_policy(RoleName="imdsv2-remediation-write", PolicyName=policy)["PolicyDocument"]
    iam.delete_role_policy(RoleName="imdsv2-remediation-write", PolicyName=policy)
    try:
        [result] = world.ask({"targets": [one.arn]})["results"]
        assert ("enforce", False) == (result["decision"], result["permitted"])
    finally:
        iam.put_role_policy(RoleName="imdsv2-remediation-write", PolicyName=policy, PolicyDocument=json.dumps(kept))
    [result] = world.ask({"targets": [one.arn]})["results"]
    assert result["permitted"]
