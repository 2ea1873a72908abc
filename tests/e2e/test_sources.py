"""Where instances come from, asked of the deployed stack: a launch template and a group on the local AWS, through the read role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.cloud.run import HOME, MEMBERS

if TYPE_CHECKING:
    from tests.e2e.world import World

NAME = "sources-web"


def test_a_group_tells_its_template_and_the_change_that_it_needs(world: World) -> None:
    """What the commands of the remedy do is done here by an ordinary client; after that, the source needs nothing more."""
    session = world.cloud.session(account=MEMBERS[0], region=HOME)
    ec2, autoscaling = session.client("ec2"), session.client("autoscaling")
    made = ec2.create_launch_template(
        LaunchTemplateName=NAME,
        LaunchTemplateData={"InstanceType": "t3.micro", "MetadataOptions": {"HttpTokens": "optional"}},
    )["LaunchTemplate"]["LaunchTemplateId"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=NAME,
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=0,
        AvailabilityZones=[f"{HOME}a"],
        LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"},
    )
    one = world.launch_one(tags={"aws:autoscaling:groupName": NAME})
    assert "hold" == source_of(world, one.arn)["verdict"]  # Nothing is proved of its instance yet.
    world.ask({"targets": [one.arn], "dry_run": False, "caller": "ada"})
    source = source_of(world, one.arn)
    assert ("auto_scaling_group", NAME, 1, "optional", "fix_source") == (
        source["kind"],
        source["name"],
        source["running"],
        source["http_tokens"],
        source["verdict"],
    )
    template = source["launches"][0]["template"]
    assert (made, "$Default", 1) == (template["id"], template["version"], template["resolved"])
    command = next(each for each in source["remedies"] if each["language"] == "aws-cli")["text"]
    assert f"--launch-template-id {made} --source-version 1" in command
    ec2.create_launch_template_version(
        LaunchTemplateId=made,
        SourceVersion="1",
        LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"}},
    )
    ec2.modify_launch_template(LaunchTemplateId=made, DefaultVersion="2")
    source = source_of(world, one.arn)
    assert ("already_required", []) == (source["verdict"], source["remedies"])


def source_of(world: World, arn: str) -> dict[str, Any]:
    """The source of one instance."""
    answer = world.ask({"sources": {"targets": [arn]}, "dry_run": True})
    assert [] == answer["problems"]
    [source] = answer["results"]
    return dict(source)
