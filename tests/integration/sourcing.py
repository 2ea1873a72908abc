"""What launches instances, as somebody makes it in a member account, and events delivered to a function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2.intake.run import DeadLetters, process
from imdsv2.wiring.intake import build_intake
from tests.integration.builders import EVENT_NAMES, IMAGE, MEMBER, REGION

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.intake.run import Intake
    from tests.integration.builders import Cloud

NO_DEFAULTS = {"AccountLevel": {"HttpTokens": "no-preference", "HttpPutResponseHopLimit": -1}}


def know_defaults(cloud: Cloud) -> None:
    """The account says nothing of launches that say nothing; moto does not know the call."""
    cloud.wire.fake("GetInstanceMetadataDefaults", lambda _: json.loads(json.dumps(NO_DEFAULTS)))


def template(cloud: Cloud, name: str = "web", **options: Any) -> str:
    """Somebody makes a launch template. Its id."""
    launching = {"ImageId": IMAGE, "InstanceType": "t3.micro", **({"MetadataOptions": options} if options else {})}
    made = cloud.as_account(MEMBER, "ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=launching)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def new_default(cloud: Cloud, template_id: str, **options: Any) -> None:
    """Somebody makes a version of it, and makes that the default."""
    ec2 = cloud.as_account(MEMBER, "ec2")
    launching = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MetadataOptions": options}
    made = ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData=launching)
    number = made["LaunchTemplateVersion"]["VersionNumber"]
    ec2.modify_launch_template(LaunchTemplateId=template_id, DefaultVersion=str(number))


def group(
    cloud: Cloud,
    name: str = "web",
    *,
    size: int = 2,
    tags: dict[str, str] | None = None,
    use: float = 0.0,
    **launching: Any,
) -> list[InstanceArn]:
    """Somebody makes a group, whose instances are launched here with the tag that AWS sets."""
    cloud.as_account(MEMBER, "autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=size, AvailabilityZones=[f"{REGION}a"], **launching
    )
    return cloud.launch(count=size, tags={"aws:autoscaling:groupName": name, **(tags or {})}, use=use)


def configuration(cloud: Cloud, name: str = "web-1") -> str:
    """Somebody makes a launch configuration. Its ARN."""
    autoscaling = cloud.as_account(MEMBER, "autoscaling")
    autoscaling.create_launch_configuration(LaunchConfigurationName=name, ImageId=IMAGE, InstanceType="t3.micro")
    (made,) = autoscaling.describe_launch_configurations(LaunchConfigurationNames=[name])["LaunchConfigurations"]
    return str(made["LaunchConfigurationARN"])


def deliver(cloud: Cloud, *events: dict[str, Any] | str, intake: Intake | None = None) -> tuple[list[int], int]:
    """A batch of messages reaches a function. Returns the numbers of those to retry, and how many were poison."""
    records = [
        {"messageId": str(number), "body": event if isinstance(event, str) else json.dumps(event)}
        for number, event in enumerate(events)
    ]
    letters = DeadLetters(cloud.client("sqs"), cloud.dead_letter_url)
    _, again, poison = process(records, intake or build_intake(cloud.function()), letters, EVENT_NAMES, "request-1")
    return [int(each) for each in again], poison


def source_item(cloud: Cloud, key: str) -> dict[str, Any]:
    """The current item of a source, {} if there is none."""
    found = [each for each in cloud.items() if each["pk"] == f"source#{key}" and each["sk"] == "current"]
    return found[0] if found else {}


def source_events(cloud: Cloud, key: str) -> list[tuple[str, str]]:
    """Verdict and reason of each event of a source, in order."""
    events = [each for each in cloud.items() if each["pk"] == f"source#{key}" and each["sk"].startswith("event#")]
    return [(str(each["verdict"]), str(each["reason"])) for each in sorted(events, key=lambda each: str(each["sk"]))]
