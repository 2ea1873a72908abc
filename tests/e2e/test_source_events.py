"""Findings about what launches instances, starts of instances, the sweep's look at sources and AMIs, on the deployed stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from local.cloud.run import HOME, MEMBERS
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from tests.e2e.world import World

PLACE = f"aws/{MEMBERS[0]}/{HOME}"
BUSES = ("default", "imdsv2-remediation")


def template(world: World, name: str) -> str:
    """Somebody makes a launch template that allows IMDSv1. Its id."""
    ec2 = world.cloud.session(account=MEMBERS[0], region=HOME).client("ec2")
    launching: Any = {"InstanceType": "t3.micro", "MetadataOptions": {"HttpTokens": "optional"}}
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=launching)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def source_item(world: World, key: str) -> dict[str, Any]:
    """The current item of a source, {} if there is none yet."""
    dynamodb = world.home.client("dynamodb")
    asked = {"pk": {"S": f"source#{key}"}, "sk": {"S": "current"}}
    item = dynamodb.get_item(TableName=world.cloud.outputs["LedgerTableName"], Key=asked, ConsistentRead=True).get(
        "Item", {}
    )
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def judged(world: World, key: str) -> dict[str, Any]:
    """The item of a source, once there is one."""
    return eventually(lambda: source_item(world, key) or None, f"the verdict on {key}")


@pytest.mark.parametrize("bus", BUSES)
def test_every_shape_of_finding_about_a_template_is_judged(world: World, bus: str) -> None:
    """Config, the older Security Hub and the newer one, each about a template of its own, on either bus."""
    made = [template(world, f"found-{bus}-{number}") for number in range(3)]
    arns = [events.template_arn(each, account=MEMBERS[0], region=HOME) for each in made]
    rule = "securityhub-ec2-launch-template-imdsv2-check-1a2b"
    shapes = [
        events.source_change(rule, made[0], detail={"awsAccountId": MEMBERS[0]}),
        events.imported(events.source_finding("EC2.170", arns[1])),
        events.imported_v2(events.source_finding_v2("EC2.170", arns[2])),
    ]
    for each, event in zip(made, shapes, strict=True):
        world.send(event, bus=bus)
        item = judged(world, f"{PLACE}/template_default:{each}")
        assert ("hold", "unproved") == (item["verdict"], item["reason"]), item["explanation"]
        assert "delete the launch template" in item["explanation"]


def test_a_finding_on_a_launch_configuration_is_judged_by_its_group(world: World) -> None:
    """An instance of the group is proved first."""
    autoscaling = world.cloud.session(account=MEMBERS[0], region=HOME).client("autoscaling")
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="found-1", ImageId="ami-12c6146b", InstanceType="t3.micro"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="found",
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=0,
        AvailabilityZones=[f"{HOME}a"],
        LaunchConfigurationName="found-1",
    )
    one = world.launch_one(tags={"aws:autoscaling:groupName": "found"})
    world.ask({"targets": [one.arn], "dry_run": False, "caller": "ada"})
    arn = events.configuration_arn("found-1", account=MEMBERS[0], region=HOME)
    world.send(events.imported(events.source_finding("AutoScaling.3", arn)))
    item = judged(world, f"{PLACE}/launch_configuration:found-1")
    assert ("fix_source", "unused", 1) == (item["verdict"], item["reason"], item["members"])
    assert item["remedy"].startswith("aws-cli")


def test_a_new_member_of_a_proved_group_is_due_soon(world: World) -> None:
    """EC2 says that it runs, on the bus to which members forward; one that requires tokens is dropped."""
    tags = {
        "aws:ec2launchtemplate:id": "lt-0e2f",
        "aws:ec2launchtemplate:version": "1",
        "aws:autoscaling:groupName": "at-once",
    }
    world.launch(number=3, tags=tags, started=75.2)
    proved = world.launch_one(tags=tags, started=11.3)
    world.send(events.config_change(proved.instance_id))
    assert [("enforced", "cohort_unused")] == world.verdicts([proved])
    new = world.launch_one(tags=tags, started=0.1)
    world.send(events.started(new.instance_id, account=MEMBERS[0], region=HOME), bus="imdsv2-remediation")
    item = eventually(lambda: world.current(new) or None, "the new instance in the ledger")
    assert "status" not in item
    assert item["revisit_at"]


def test_the_sweep_tells_of_sources(world: World) -> None:
    """In its summary, its bucket and the ledger."""
    one = world.launch_one(tags={"aws:autoscaling:groupName": "found"})
    machine = world.cloud.outputs["SweepStateMachineArn"]
    order = {"dry_run": False, "accounts": [MEMBERS[0]], "regions": [HOME]}
    states = world.home.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine, input=json.dumps(order))["executionArn"]
    output = json.loads(world.ended(execution)["output"])
    assert output["sources"]["fix_source"] >= 1
    name = execution.rpartition(":")[2]
    key = f"{name}/sources/{MEMBERS[0]}/{HOME}.json"
    documents = json.loads(world.home.client("s3").get_object(Bucket=output["bucket"], Key=key)["Body"].read())
    assert f"{PLACE}/auto_scaling_group:found" in {each["key"] for each in documents}
    assert "verdict" in source_item(world, f"{PLACE}/auto_scaling_group:found")
    assert one


def test_amis_are_asked_for_by_confirmed_requests_only(world: World) -> None:
    """Without the words, the request is refused; of somebody else's AMI nothing is changed."""
    asked: dict[str, Any] = {"account": MEMBERS[0], "region": HOME, "image_ids": ["ami-0123456789abcdef0"]}
    refused = world.ask({"images": asked, "dry_run": False, "caller": "ada"})
    assert "images.confirm" in refused["error"]["message"]
    (result,) = world.ask({"images": {**asked, "confirm": "cannot be undone"}, "dry_run": False, "caller": "ada"})[
        "results"
    ]
    assert not result["done"]
    assert "It does not belong to account" in result["problem"]
