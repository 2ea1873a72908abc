"""What the impact check says of the demo's fleet is what the guardrails do to it once they are attached: the local AWS evaluates them as
service control policies, deployed from their own stack. Every next launch is tried, and every instance calls with the credentials
that its metadata service delivers, before and after."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra.guardrails.options import GuardrailOptions
from infra.guardrails.policies import Guardrail, document
from infra.names import Names
from local.cloud.run import HOME, MEMBERS, LocalCloud
from local.demo import run as demo
from tests.e2e.guarded_fleet import GROUP, Fleet
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator


HOPS = 2
TEMPLATES: dict[str, dict[str, Any]] = {
    "says-nothing": {},
    "requires": {"HttpTokens": "required"},
    "allows": {"HttpTokens": "optional"},
    "three-hops": {"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
    "two-hops": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    "closed": {"HttpEndpoint": "disabled"},
}
"""Launch templates of the first member account, each with an instance; "allows" has a group, too."""
SAYS_SO = "web-modern"
"""Somebody launched it by hand with HttpTokens=required: nobody knows whether the next launch says so again."""
EXEMPT = "legacy-app"
"""It calls IMDSv1, and is exempt: nobody judges its use, but CloudWatch knows of it."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """On a local AWS of its own, because what is attached binds everybody there."""
    with LocalCloud() as cloud:
        cloud.deploy()
        since = datetime.now(UTC)
        machines = demo.populate(cloud)
        demo.await_verdicts(cloud, machines, since, seconds=300)
        made = Fleet(cloud, machines)
        cloud.deploy_guardrails(launches=[], openings=[], delivery=[], max_hop_limit=HOPS)
        _give_roles(made)
        _launch_from_templates(made)
        yield made


def _give_roles(fleet: Fleet) -> None:
    """A role that may do everything, for every instance of the members."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for account in MEMBERS:
        iam = fleet.cloud.session(account=account).client("iam")
        iam.create_role(
            RoleName="app", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
        iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        iam.create_instance_profile(InstanceProfileName="app")
        iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    for each in fleet.machines:
        if each.machine.account in MEMBERS:
            ec2 = fleet.cloud.session(account=each.machine.account, region=each.machine.region).client("ec2")
            ec2.associate_iam_instance_profile(InstanceId=each.instance_id, IamInstanceProfile={"Name": "app"})


def _launch_from_templates(fleet: Fleet) -> None:
    session = fleet.cloud.session(account=MEMBERS[0], region=HOME)
    ec2: Any = session.client("ec2")
    for name, options in TEMPLATES.items():
        data = {"ImageId": "ami-0c0ffee0c0ffee000", "InstanceType": "t3.micro", "MetadataOptions": options}
        made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
        fleet.templates[name] = str(made["LaunchTemplateId"])
        ec2.run_instances(LaunchTemplate={"LaunchTemplateName": name}, MinCount=1, MaxCount=1)
    scaling: Any = session.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        MinSize=1,
        MaxSize=4,
        DesiredCapacity=1,
        AvailabilityZones=[f"{HOME}a"],
        LaunchTemplate={"LaunchTemplateName": "allows", "Version": "$Default"},
    )


def test_the_launches_that_are_named_are_those_that_fail(fleet: Fleet) -> None:
    """Before the policy is attached, all pass; what it names as uncertain is what nobody can know. Groups launch as a service, which
    no such policy binds."""
    assert set() == fleet.refused_launches("UnauthorizedOperation")
    named, unknown = fleet.impact("launches", certain=True), fleet.impact("launches", certain=False)
    fleet.attach(Guardrail.LAUNCHES)
    assert named == fleet.refused_launches("UnauthorizedOperation")
    [modern] = [each for each in fleet.machines if each.machine.name == SAYS_SO]
    assert {(MEMBERS[0], HOME, "by_hand", modern.machine.image)} == unknown
    templates = {name for name, each in fleet.templates.items() if (MEMBERS[0], HOME, "launch_template", each) in named}
    assert {"says-nothing", "allows", "three-hops", "closed"} == templates
    assert fleet.grows_to(2)
    assert not any(GROUP in each for each in named)


def test_the_instances_that_are_named_are_those_whose_calls_fail(fleet: Fleet) -> None:
    """With credentials that were delivered without a token: all of them, the exempt one too. What is said to be unknown, and could be, does
    not fail: nothing of it is known."""
    fleet.attach()
    assert set() == fleet.refused_calls()
    named, unknown = fleet.impact("delivery", certain=True), fleet.impact("delivery", certain=False)
    fleet.attach(Guardrail.DELIVERY)
    refused = fleet.refused_calls()
    assert named == refused
    assert set() == refused & unknown
    assert EXEMPT in {each.machine.name for each in fleet.machines if each.arn in named}
    assert len(named) >= 8


def test_tokens_stay_required_but_for_what_puts_back(fleet: Fleet) -> None:
    """An administrator of the account is denied; the service's own undo is not, whatever is attached."""
    fleet.attach(Guardrail.OPENINGS, Guardrail.LAUNCHES, Guardrail.DELIVERY)
    one = next(each for each in fleet.machines if each.machine.name == "web-1")
    ec2 = fleet.administrator(one.machine.account, one.machine.region)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.modify_instance_metadata_options(InstanceId=one.instance_id, HttpTokens="optional")
    undone = Terminal(fleet.cloud).pipe("undo", one.arn, "--reason", "A rehearsal.", "--yes")
    assert 0 == undone.code, undone.err
    [shown] = ec2.describe_instances(InstanceIds=[one.instance_id])["Reservations"][0]["Instances"]
    assert "optional" == shown["MetadataOptions"]["HttpTokens"]


def test_the_enforced_default_refuses_what_is_named(fleet: Fleet) -> None:
    """Whoever launches, groups included; a launch that says nothing gets tokens."""
    fleet.attach()
    named = fleet.impact("defaults", certain=True)
    options = GuardrailOptions(max_hop_limit=HOPS, tokens_enforced=True)
    declared = document(Guardrail.DEFAULTS, options=options, names=Names())["ec2_attributes"][
        "instance_metadata_defaults"
    ]
    defaults = {
        "HttpTokens": declared["http_tokens"]["@@assign"],
        "HttpPutResponseHopLimit": declared["http_put_response_hop_limit"]["@@assign"],
        "HttpTokensEnforced": declared["http_tokens_enforced"]["@@assign"],
    }
    for account, region in {source[:2] for source in fleet.next_launches()}:
        fleet.cloud.ask("PUT", "declarative-policy", {"account": account, "region": region, "defaults": defaults})
    assert not fleet.grows_to(3)
    group = (MEMBERS[0], HOME, "auto_scaling_group", GROUP)
    assert named == {group, *fleet.refused_launches("UnsupportedOperation")}
