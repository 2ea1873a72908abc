"""Every way in leads through the same pipeline: rules on both buses, the queue, the function, the instance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.cloud.run import MEMBERS, SECURITY
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from tests.e2e.world import World

BUSES = ("default", "imdsv2-remediation")
ENFORCED = ("enforced", "unused")


@pytest.mark.parametrize("bus", BUSES)
def test_every_shape_of_event_switches_imdsv1_off(world: World, bus: str) -> None:
    """Config, Security Hub in each standard, and the newer Security Hub, on either bus."""
    standards = sorted(events.STANDARDS)
    fleet = world.launch(number=2 + len(standards))
    of_standards = [
        events.imported(events.finding(one.arn, standard=standard))
        for one, standard in zip(fleet[2:], standards, strict=True)
    ]
    world.send(
        events.config_change(fleet[0].instance_id),
        events.imported_v2(events.finding_v2(fleet[1].instance_id)),
        *of_standards,
        bus=bus,
    )
    assert [ENFORCED] * len(fleet) == world.verdicts(fleet)
    assert {"required"} == {world.options(one)["HttpTokens"] for one in fleet}


def test_instances_of_the_security_account_and_of_other_regions_take_the_same_way(world: World) -> None:
    """Account and Region come from the instance's ARN, not from the envelope."""
    own = world.launch_one(account=SECURITY)
    abroad = world.launch_one(account=MEMBERS[1], region="us-east-1")
    world.send(
        *(
            events.imported(events.finding(one.arn), account="999999999999", region="ap-south-1")
            for one in (own, abroad)
        )
    )
    assert [ENFORCED, ENFORCED] == world.verdicts([own, abroad])


def test_what_is_none_of_our_business_is_dropped(world: World) -> None:
    """Other controls, products and states are dropped; a later event is answered, so they were not merely delayed."""
    bystander, ours = world.launch(number=2)
    arn = bystander.arn
    world.send(
        events.imported(events.finding(arn, Compliance={"SecurityControlId": "EC2.9"})),
        events.imported(
            events.finding(arn, ProductArn="arn:aws:securityhub:eu-west-1:222222222222:product/222222222222/default")
        ),
        events.imported(events.finding(arn, Compliance={"Status": "PASSED"})),
        events.imported(events.finding(arn, Workflow={"Status": "SUPPRESSED"})),
        events.imported(events.finding(arn, RecordState="ARCHIVED")),
        events.imported_v2(events.finding_v2(bystander.instance_id, compliance={"status": "Pass"})),
        events.config_change(bystander.instance_id, rule="ec2-instance-no-public-ip"),
        events.config_change(bystander.instance_id, compliance="COMPLIANT"),
        events.custom_action(events.finding(arn), action_id="SomethingElse"),
    )
    world.send(events.config_change(ours.instance_id))
    world.decided(ours)
    assert {} == world.current(bystander)


def test_one_event_may_name_several_instances(world: World) -> None:
    """Each of them gets its verdict, and one finding is recorded for all."""
    several = world.launch(number=3)
    world.send(events.imported(events.finding(*(one.arn for one in several))))
    assert [ENFORCED] * 3 == world.verdicts(several)
    assert [1, 1, 1] == [len(world.current(one)["findings"]) for one in several]


def test_a_config_event_forwarded_by_a_member_account_arrives(world: World) -> None:
    """A rule in the member account targets the security account's bus, as in the roll-out to members."""
    one = world.launch_one()
    bus = f"arn:aws:events:eu-west-1:{SECURITY}:event-bus/imdsv2-remediation"
    admit = {"Sid": "Member", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{MEMBERS[0]}:root"}}
    statement = admit | {"Action": "events:PutEvents", "Resource": bus}
    world.home.client("events").put_permission(
        EventBusName="imdsv2-remediation", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    member = world.cloud.session(account=MEMBERS[0])
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}
    iam, rule = member.client("iam"), member.client("events")
    role = iam.create_role(
        RoleName="forward", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.put_role_policy(
        RoleName="forward",
        PolicyName="forward",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    rule.put_rule(Name="forward", EventPattern=json.dumps({"source": ["aws.config"]}))
    rule.put_targets(Rule="forward", Targets=[{"Id": "bus", "Arn": bus, "RoleArn": role["Role"]["Arn"]}])
    event = events.config_change(one.instance_id)
    rule.put_events(
        Entries=[{"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}]
    )
    assert ENFORCED == world.verdicts([one])[0]


def test_duplicates_however_they_come_have_one_effect(world: World) -> None:
    """Forty events in every form, on both buses, and manual invocations at the same time: one change, one
    `enforcing`."""
    one = world.launch_one()
    world.cloud.calls(reset=True)
    for _ in range(4):
        for bus in BUSES:
            world.send(
                events.config_change(one.instance_id),
                events.imported(events.finding(one.arn)),
                events.imported(events.finding(one.arn, standard="fsbp")),
                events.imported_v2(events.finding_v2(one.instance_id)),
                events.custom_action(events.finding(one.arn, standard="nist")),
                bus=bus,
            )
        world.ask({"targets": [one.arn], "dry_run": False})
    world.decided(one)
    eventually(lambda: True if len(world.current(one)["findings"]) == 4 else None, "all findings on record")
    assert ["enforcing", "enforced"] == world.history(one)
    assert 1 == world.calls("ModifyInstanceMetadataOptions", MEMBERS[0])


def test_poison_ends_in_the_dead_letter_queue_and_the_rest_goes_on(world: World) -> None:
    """Malformed messages name their field; the valid message between them is processed."""
    good = world.launch_one()
    long_id = events.config_change("i-" + "a" * 10_000)
    missing = events.imported(events.finding(good.arn))
    del missing["detail"]["findings"][0]["UpdatedAt"]
    world.queue(
        "{not json", json.dumps(long_id), json.dumps(events.config_change(good.instance_id)), json.dumps(missing)
    )
    assert ENFORCED == world.verdicts([good])[0]
    letters = world.dead_letters(3)
    fields = {letter["MessageAttributes"]["field"]["StringValue"] for letter in letters}
    assert {"body", "detail.resourceId", "detail.findings[0].UpdatedAt"} == fields
    assert all(letter["MessageAttributes"]["reason"]["StringValue"] for letter in letters)


def test_a_batch_is_answered_partially(world: World) -> None:
    """While the member's EC2 is unavailable, only messages for which the ledger failed are retried."""
    one = world.launch_one()
    world.cloud.faults(
        [{"service": "dynamodb", "action": "TransactWriteItems", "error": "InternalServerError", "status": 500}]
    )
    answer = world.remediate(json.dumps(events.config_change(one.instance_id)), "{not json")
    assert [{"itemIdentifier": "0"}] == answer["batchItemFailures"]
    assert "optional" == world.options(one)["HttpTokens"]
    world.cloud.faults()
    assert [] == world.remediate(json.dumps(events.config_change(one.instance_id)))["batchItemFailures"]
    assert "required" == world.options(one)["HttpTokens"]
