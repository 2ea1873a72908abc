"""Whom the change of a source concerns besides its own running instances: those who share its template, those who rest, and groups
without instances; over moto's EC2 and Auto Scaling."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.builders import MEMBER, REGION
from tests.integration.steering import answer
from tests.integration.test_source_fix import (
    default,
    defaults,  # noqa: F401 - a fixture that every test here uses
    fix,
    fixed,
    proved,
    sweep,
    versions,
    writes,
)
from tests.integration.test_sources import NO_DEFAULTS, another_version, template

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

BY_DEFAULT = "$Default"


def later(cloud: Cloud) -> str:
    """A day in two weeks."""
    return (cloud.clock() + timedelta(days=14)).date().isoformat()


def shared(cloud: Cloud) -> tuple[str, list[Any]]:
    """Two groups that follow the default of one template, both proved. The template, and the instances of the second."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})
    return made, proved(cloud, "api", LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})


def test_a_hold_of_one_instance_holds_whatever_would_change_what_it_is_launched_from(cloud: Cloud) -> None:
    """The default of its template is moved by neither of the two groups that share it."""
    _, (first, _) = shared(cloud)
    answer(cloud, hold={"targets": [str(first)]}, owner="team-api", reason="Release week.", until=later(cloud))
    assert {"held"} == {each["status"] for each in fix(cloud)}
    assert [] == writes(cloud)


def test_an_exemption_of_an_instance_that_is_stopped_holds_its_source(cloud: Cloud) -> None:
    """It comes back one day, or what replaces it does."""
    made = template(cloud)
    first, _ = proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})
    ec2 = cloud.as_account(MEMBER, "ec2")
    ec2.create_tags(Resources=[first.instance_id], Tags=[{"Key": "imdsv2:exempt-until", "Value": later(cloud)}])
    ec2.stop_instances(InstanceIds=[first.instance_id])
    (ended,) = fix(cloud)
    assert ("held", "exempt") == (ended["status"], ended["reason"])
    assert first.instance_id in ended["explanation"]


@pytest.mark.parametrize(("named", "waits"), [(BY_DEFAULT, True), ("$Latest", True), ("1", False)])
def test_a_group_that_is_empty_at_night_is_not_changed_unseen(cloud: Cloud, named: str, waits: bool) -> None:
    """What it launches in the morning may need IMDSv1."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})
    cloud.as_account(MEMBER, "autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="office",
        MinSize=0,
        MaxSize=3,
        AvailabilityZones=[f"{REGION}a"],
        LaunchTemplate={"LaunchTemplateId": made, "Version": named},
    )
    (ended,) = fix(cloud)
    assert (None if waits else "fixed") == ended["status"], ended["explanation"]
    assert waits == ("The Auto Scaling group office follows its launch template" in ended["explanation"])
    assert (1 if waits else 2) == default(cloud, made)


def test_a_version_that_somebody_made_optional_again_is_not_fought(cloud: Cloud) -> None:
    """Whoever did so may have seen what no refused call told; a person's own order goes through."""
    made = fixed(cloud)
    another_version(cloud, made, HttpTokens="optional")
    cloud.as_account(MEMBER, "ec2").modify_launch_template(LaunchTemplateId=made, DefaultVersion="3")
    before = writes(cloud)
    assert {"fixed": 1} == sweep(cloud)
    assert (before, 3) == (writes(cloud), default(cloud, made))
    (again,) = fix(cloud)
    assert ("fixed", [1, 2, 3, 4]) == (again["status"], versions(cloud, made))


def test_an_endpoint_that_the_account_disables_stays_so(cloud: Cloud) -> None:
    """What is launched next answers nobody, whatever it says of tokens."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    told = json.loads(json.dumps(NO_DEFAULTS))
    told["AccountLevel"]["HttpEndpoint"] = "disabled"
    cloud.wire.fake("GetInstanceMetadataDefaults", lambda _: told)
    (ended,) = fix(cloud)
    assert (None, []) == (ended["status"], writes(cloud))
    assert "already_required" in ended["explanation"]


@pytest.mark.parametrize(
    ("code", "told"), [("UnauthorizedOperation", "deploy the member roles"), ("ValidationError", "see to what it says")]
)
def test_a_refusal_is_told_with_what_ends_it(cloud: Cloud, code: str, told: str) -> None:
    """An instance refresh, or a quota of versions, is mended by no role."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    cloud.wire.refuse("UpdateAutoScalingGroup", code)
    (ended,) = fix(cloud)
    assert ("gone_back", True) == (ended["status"], told in ended["explanation"]), ended["explanation"]
