"""Sources that the service changes, on the deployed stack: four groups, each of which names its template in another way, are changed
through the source role, launch what requires tokens, and are put back."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.run import HOME, MEMBERS
from tests.e2e.test_sweep import _sweep

if TYPE_CHECKING:
    from tests.e2e.world import World

PLACE = {"account": MEMBERS[0], "region": HOME}


class Group:
    """A group of the member account, with launch templates of its own."""

    def __init__(self, world: World, how: str) -> None:
        session = world.cloud.session(account=MEMBERS[0], region=HOME)
        self.ec2: Any = session.client("ec2")
        self.autoscaling: Any = session.client("autoscaling")
        self.name = f"fix-{how.strip('$').lower()}-{uuid.uuid4().hex[:8]}"
        main = self._template("main")
        self.tags = {
            "aws:autoscaling:groupName": self.name,
            "aws:ec2launchtemplate:id": main,
            "aws:ec2launchtemplate:version": "1",
        }
        """What AWS marks a member with."""
        launching: dict[str, Any] = {"LaunchTemplate": {"LaunchTemplateId": main, "Version": how}}
        if how == "mixed":
            own = {"LaunchTemplateId": self._template("own"), "Version": "1"}
            overrides = [
                {"InstanceType": "m7i.large"},
                {"InstanceType": "m7g.large", "LaunchTemplateSpecification": own},
            ]
            named = {"LaunchTemplateSpecification": {"LaunchTemplateId": main, "Version": "1"}, "Overrides": overrides}
            launching = {"MixedInstancesPolicy": {"LaunchTemplate": named}}
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=0,
            MaxSize=9,
            DesiredCapacity=0,
            AvailabilityZones=[f"{HOME}a"],
            **launching,
        )

    def _template(self, which: str) -> str:
        made = self.ec2.create_launch_template(
            LaunchTemplateName=f"{self.name}-{which}", LaunchTemplateData={"InstanceType": "t3.micro"}
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    @property
    def key(self) -> str:
        """The key of the source."""
        return f"aws/{MEMBERS[0]}/{HOME}/auto_scaling_group:{self.name}"

    def launch(self, desired: int) -> list[str]:
        """Scale out; what the new instances ask of callers."""
        before = {each["InstanceId"] for each in self._instances()}
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=desired)
        return [each["MetadataOptions"]["HttpTokens"] for each in self._instances() if each["InstanceId"] not in before]

    def end(self) -> None:
        """Scale in to nothing."""
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=0)

    def shown(self) -> dict[str, Any]:
        """What it launches from, as Auto Scaling shows it."""
        (found,) = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return {name: found.get(name) for name in ("LaunchTemplate", "MixedInstancesPolicy", "MinSize", "MaxSize")}

    def versions(self) -> int:
        """How many versions its template has."""
        found = self.ec2.describe_launch_template_versions(LaunchTemplateName=f"{self.name}-main")
        return len(found["LaunchTemplateVersions"])

    def _instances(self) -> list[dict[str, Any]]:
        filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": [self.name]}]
        reservations = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return [each for reservation in reservations for each in reservation["Instances"]]


@pytest.mark.parametrize("how", ["1", "$Default", "$Latest", "mixed"])
def test_a_changed_source_launches_what_requires_tokens_until_it_is_put_back(world: World, how: str) -> None:
    """Whatever way the group names its template."""
    group = Group(world, how)
    before = group.shown()
    one = world.launch_one(tags=group.tags)
    world.ask({"targets": [one.arn], "dry_run": False, "caller": "ada"})
    assert {"optional"} == set(group.launch(2))
    group.end()
    done = changed(world, one.arn)
    assert "fixed" == done["status"], done
    assert ["required"] * 2 == group.launch(2)
    done = changed(world, one.arn)
    assert "fixed" == done["status"], done
    answer = world.ask({"undo": {"source": group.key}, "dry_run": False, "caller": "ada"})
    (undone,) = answer["results"]
    assert (True, "gone_back") == (undone["done"], undone["status"]), undone
    assert before == group.shown()
    assert ["optional"] * 2 == group.launch(4)
    group.end()


def test_the_sweep_changes_sources_where_the_policy_says_so(world: World) -> None:
    """After it has judged their instances; the summary counts them, and a second sweep changes nothing."""
    world.set_policy({"mode": "enforce", "source": "fix"})
    group = Group(world, "$Default")
    world.launch_one(tags=group.tags)
    order = {"accounts": [MEMBERS[0]], "regions": [HOME], "dry_run": False}
    first = _sweep(world, **order)
    assert first["source_changes"]["fixed"] >= 1
    before = group.versions()
    assert ["required"] * 2 == group.launch(2)
    assert first["source_changes"]["fixed"] == _sweep(world, **order)["source_changes"]["fixed"]
    assert before == group.versions() == 2
    group.end()


def changed(world: World, arn: str) -> dict[str, Any]:
    """What became of the source of an instance that a person has changed."""
    answer = world.ask({"sources": {"targets": [arn], "fix": True}, "dry_run": False, "caller": "ada"})
    assert [] == answer["problems"]
    (result,) = answer["results"]
    return dict(result["fix"])
