"""Auto Scaling groups on the local AWS: they launch what their launch template says at that moment."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.run import HOME

if TYPE_CHECKING:
    from local.cloud.run import LocalCloud


@pytest.fixture
def autoscaling(cloud: LocalCloud, account: str) -> Any:
    """Auto Scaling in the account of the test's EC2."""
    return cloud.session(account=account).client("autoscaling")


def template(ec2: Any, **options: Any) -> str:
    """A launch template with these metadata options. Its id."""
    data = {"InstanceType": "t3.nano", "ImageId": "ami-0a1b2c3d", **({"MetadataOptions": options} if options else {})}
    made = ec2.create_launch_template(LaunchTemplateName=f"t-{uuid.uuid4()}", LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def group(autoscaling: Any, desired: int = 1, **launching: Any) -> str:
    """A group. Its name."""
    name = f"g-{uuid.uuid4()}"
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=0,
        MaxSize=9,
        DesiredCapacity=desired,
        AvailabilityZones=[f"{HOME}a"],
        **launching,
    )
    return name


def instances(ec2: Any, name: str) -> list[dict[str, Any]]:
    """The running instances of a group as EC2 shows them."""
    filters = [
        {"Name": "tag:aws:autoscaling:groupName", "Values": [name]},
        {"Name": "instance-state-name", "Values": ["running", "pending"]},
    ]
    reservations = ec2.describe_instances(Filters=filters)["Reservations"]
    return [each for reservation in reservations for each in reservation["Instances"]]


def tags(instance: dict[str, Any]) -> dict[str, str]:
    """The tags of an instance."""
    return {each["Key"]: each["Value"] for each in instance["Tags"]}


def test_it_launches_from_the_version_that_is_meant_then(ec2: Any, autoscaling: Any) -> None:
    """The default as it is at the launch; what runs stays."""
    made = template(ec2, HttpTokens="optional", HttpPutResponseHopLimit=2)
    name = group(autoscaling, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    (first,) = instances(ec2, name)
    assert ("optional", 2) == tuple(
        first["MetadataOptions"][each] for each in ("HttpTokens", "HttpPutResponseHopLimit")
    )
    assert {"aws:ec2launchtemplate:id": made, "aws:ec2launchtemplate:version": "1"}.items() <= tags(first).items()
    ec2.create_launch_template_version(
        LaunchTemplateId=made, SourceVersion="1", LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required"}}
    )
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    assert ["optional", "optional"] == [each["MetadataOptions"]["HttpTokens"] for each in instances(ec2, name)]
    ec2.modify_launch_template(LaunchTemplateId=made, DefaultVersion="2")
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, DesiredCapacity=3)
    launched = sorted(tags(each)["aws:ec2launchtemplate:version"] for each in instances(ec2, name))
    assert ["1", "1", "2"] == launched


def test_scaling_in_ends_instances(ec2: Any, autoscaling: Any) -> None:
    """Really."""
    name = group(autoscaling, 2, LaunchTemplate={"LaunchTemplateId": template(ec2)})
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0)
    assert [] == instances(ec2, name)


def test_an_update_points_it_elsewhere(ec2: Any, autoscaling: Any) -> None:
    """To a version, and never to one that does not exist."""
    made = template(ec2)
    name = group(autoscaling, 0, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    ec2.create_launch_template_version(
        LaunchTemplateId=made, SourceVersion="1", LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required"}}
    )
    pointed = {"LaunchTemplateId": made, "Version": "2"}
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate=pointed)
    (shown,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert pointed.items() <= shown["LaunchTemplate"].items()
    with pytest.raises(ClientError, match="does not exist"):
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate={**pointed, "Version": "7"})


def test_a_mixed_group_launches_from_every_override(ec2: Any, autoscaling: Any) -> None:
    """Each with its own template, if it has one; the policy is shown as it was sent."""
    main, arm = template(ec2, HttpTokens="required"), template(ec2)
    override = {
        "InstanceType": "m7g.large",
        "LaunchTemplateSpecification": {"LaunchTemplateId": arm, "Version": "$Latest"},
    }
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": main, "Version": "1"},
            "Overrides": [{"InstanceType": "m7i.large"}, override],
        },
        "InstancesDistribution": {"OnDemandBaseCapacity": 1, "SpotAllocationStrategy": "price-capacity-optimized"},
    }
    name = group(autoscaling, 2, MixedInstancesPolicy=policy)
    launched = {(each["InstanceType"], each["MetadataOptions"]["HttpTokens"]) for each in instances(ec2, name)}
    assert {("m7i.large", "required"), ("m7g.large", "optional")} == launched
    (shown,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    kept = shown["MixedInstancesPolicy"]
    assert policy["InstancesDistribution"] == kept["InstancesDistribution"]
    assert arm == kept["LaunchTemplate"]["Overrides"][1]["LaunchTemplateSpecification"]["LaunchTemplateId"]


def test_a_client_token_makes_one_version(ec2: Any) -> None:
    """However often it is sent."""
    made, token = template(ec2), str(uuid.uuid4())
    asked = {"LaunchTemplateData": {"MetadataOptions": {"HttpTokens": "required"}}, "ClientToken": token}
    numbers = [
        ec2.create_launch_template_version(LaunchTemplateId=made, SourceVersion="1", **asked)["LaunchTemplateVersion"][
            "VersionNumber"
        ]
        for _ in range(3)
    ]
    assert [2, 2, 2] == numbers
    found = ec2.describe_launch_template_versions(LaunchTemplateId=made, MinVersion="2")["LaunchTemplateVersions"]
    assert [(2, "ami-0a1b2c3d")] == [(each["VersionNumber"], each["LaunchTemplateData"]["ImageId"]) for each in found]


def test_the_default_versions_of_all_templates_are_listed_together(ec2: Any) -> None:
    """Without naming one."""
    made = {template(ec2), template(ec2)}
    found = ec2.describe_launch_template_versions(Versions=["$Default", "$Latest"])["LaunchTemplateVersions"]
    assert made <= {each["LaunchTemplateId"] for each in found}
