"""What the impact check says of the demo's fleet is what the guardrails do to it once they are attached: the local AWS evaluates them as
service control policies, deployed from their own stack. Every next launch is tried, and every instance calls with the credentials
that its metadata service delivers, before and after."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra.guardrails.options import GuardrailOptions
from infra.guardrails.policies import Guardrail, document
from infra.names import Names
from local.cloud.run import ADMINISTRATION, HOME, MEMBERS, MEMBERS_UNIT, LocalCloud
from local.demo import run as demo
from local.demo.fleet import Before
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.demo.fleet import Launched

HOPS = 2
OURS = Names().of("guardrail-")
DENIED = {"AccessDenied", "AccessDeniedException"}
TEMPLATES: dict[str, dict[str, Any]] = {
    "says-nothing": {},
    "requires": {"HttpTokens": "required"},
    "allows": {"HttpTokens": "optional"},
    "three-hops": {"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
    "two-hops": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    "closed": {"HttpEndpoint": "disabled"},
}
"""Launch templates of the first member account, each with an instance; "allows" has a group, too."""
GROUP = "tills"
SAYS_SO = "web-modern"
"""Somebody launched it by hand with HttpTokens=required: nobody knows whether the next launch says so again."""
EXEMPT = "legacy-app"
"""It calls IMDSv1, and is exempt: nobody judges its use."""

Source = tuple[str, str, str, str]
"""Account, Region, kind and name."""


@dataclass
class Fleet:
    """The demo's fleet with its verdicts, a role for every instance of the members, and templates of the test's own."""

    cloud: LocalCloud
    machines: list[Launched]
    templates: dict[str, str] = field(default_factory=dict)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def attach(self, *guardrails: Guardrail) -> None:
        """Bind the members to these policies of the deployed stack, and to none of the others."""
        organizations: Any = self.cloud.session().client("organizations")
        found = organizations.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
        for each in (policy for policy in found if policy["Name"].startswith(OURS)):
            targets = organizations.list_targets_for_policy(PolicyId=each["Id"])["Targets"]
            wanted = each["Name"].removeprefix(OURS) in guardrails
            if wanted and not targets:
                organizations.attach_policy(PolicyId=each["Id"], TargetId=MEMBERS_UNIT)
            if targets and not wanted:
                organizations.detach_policy(PolicyId=each["Id"], TargetId=MEMBERS_UNIT)

    def impact(self, guardrail: str, *, certain: bool) -> set[Any]:
        """What `imdsv2 guardrails` names in the member accounts: sources, or the instances' ARNs."""
        found: set[Any] = set()
        for account in MEMBERS:
            answer = Terminal(self.cloud).pipe("guardrails", "--account", account, "-o", "json").document
            assert [] == answer["problems"]
            hits = [each for each in answer["results"] if each["guardrail"] == guardrail]
            found |= {
                each["target"] or (each["account"], each["region"], each["kind"], each["name"])
                for each in hits
                if each["blocked"] is (True if certain else None)
            }
        return found

    def next_launches(self) -> dict[Source, dict[str, Any]]:
        """What each source that people launch from asks of EC2 the next time; what was launched by hand, is launched so again."""
        grouped = [each for each in self.machines if "aws:autoscaling:groupName" not in each.machine.tags]
        by_hand: dict[Source, dict[str, Any]] = {
            (each.machine.account, each.machine.region, "by_hand", each.machine.image or ""): {
                "ImageId": each.machine.image,
                "MetadataOptions": dict(each.machine.options),
            }
            for each in grouped
            if "local:operator" not in each.machine.tags and each.machine.tags.get("local:state") != "terminated"
        }
        named: dict[Source, dict[str, Any]] = {
            (MEMBERS[0], HOME, "launch_template", template): {"LaunchTemplate": {"LaunchTemplateId": template}}
            for template in self.templates.values()
        }
        return {source: asked for source, asked in (by_hand | named).items() if source[0] in MEMBERS}

    def refused_launches(self, code: str) -> set[Source]:
        """The sources whose next launch EC2 refuses to an administrator of the account, all with this code."""
        return {
            source
            for source, asked in self.next_launches().items()
            if self._launch(source[0], source[1], asked) == code
        }

    def _launch(self, account: str, region: str, asked: dict[str, Any]) -> str:
        """`ok`, or the code of the refusal."""
        ec2 = self.administrator(account, region)
        try:
            launched = ec2.run_instances(MinCount=1, MaxCount=1, **asked)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        ec2.terminate_instances(InstanceIds=[each["InstanceId"] for each in launched["Instances"]])
        return "ok"

    def administrator(self, account: str, region: str) -> Any:
        """EC2, for a person who may do everything in the account."""
        if (account, region) not in self._clients:
            role = f"arn:aws:iam::{account}:role/{ADMINISTRATION}"
            sts = self.cloud.session().client("sts")
            entered: Any = sts.assume_role(RoleArn=role, RoleSessionName="alice")["Credentials"]
            fetched = {**entered, "Token": entered["SessionToken"]}
            self._clients[account, region] = _client(self.cloud, "ec2", region, fetched)
        return self._clients[account, region]

    def grows_to(self, size: int) -> bool:
        """Whether the group launches what it lacks, as the service that it is."""
        scaling: Any = self.cloud.session(account=MEMBERS[0], region=HOME).client("autoscaling")
        scaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=size)
        [group] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]
        return len(group["Instances"]) == size

    def callers(self) -> list[Launched]:
        """The members' running instances on which software can fetch credentials."""
        return [
            each
            for each in self.machines
            if each.machine.account in MEMBERS
            and each.machine.stopped is None
            and "local:state" not in each.machine.tags
            and each.machine.options.get("HttpEndpoint") != "disabled"
        ]

    def refused_calls(self) -> set[str]:
        """The instances whose software is denied what its role allows."""
        return {each.arn for each in self.callers() if not self._calls(each)}

    def _calls(self, one: Launched) -> bool:
        """Whether a call succeeds with the credentials that the instance's software fetches as its story says."""
        account, region = one.machine.account, one.machine.region
        endpoint = self.cloud.imds(one.instance_id, account=account, region=region)
        fetched = _credentials(endpoint, with_token=not _uses_imdsv1(one))
        try:
            _client(self.cloud, "sqs", region, fetched).list_queues()
        except ClientError as error:
            return error.response["Error"]["Code"] not in DENIED
        return True


def _uses_imdsv1(one: Launched) -> bool:
    """By its story: it called, was refused, or broke; what was mended long ago ("migrated") does no more."""
    machine = one.machine
    return (
        machine.happened is Before.BROKE or bool(machine.refused) or (bool(machine.calls) and not machine.is_enforced)
    )


def _credentials(endpoint: str, *, with_token: bool) -> dict[str, str]:
    headers = {}
    if with_token:
        life = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        asked = urllib.request.Request(f"{endpoint}/latest/api/token", method="PUT", headers=life)  # noqa: S310 - loopback
        headers = {"X-aws-ec2-metadata-token": urllib.request.urlopen(asked).read().decode()}  # noqa: S310 - loopback
    path = "/latest/meta-data/iam/security-credentials/app"
    with urllib.request.urlopen(urllib.request.Request(endpoint + path, headers=headers)) as answer:  # noqa: S310 - loopback
        fetched: dict[str, str] = json.load(answer)
    return fetched


def _client(cloud: LocalCloud, service: str, region: str, fetched: dict[str, Any]) -> Any:
    """A client with credentials of somebody's own."""
    session: Any = cloud.session()
    return session.client(
        service,
        region_name=region,
        aws_access_key_id=fetched["AccessKeyId"],
        aws_secret_access_key=fetched["SecretAccessKey"],
        aws_session_token=fetched["Token"],
    )


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """On a local AWS of its own, because what is attached binds everybody there."""
    with LocalCloud() as cloud:
        cloud.deploy()
        since = datetime.now(UTC)
        machines = demo.populate(cloud)
        demo.await_verdicts(cloud, machines, since)
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
    """With credentials that were delivered without a token. What is not named and fails is said to be unknown."""
    fleet.attach()
    assert set() == fleet.refused_calls()
    named, unknown = fleet.impact("delivery", certain=True), fleet.impact("delivery", certain=False)
    fleet.attach(Guardrail.DELIVERY)
    refused = fleet.refused_calls()
    assert named == refused - unknown
    assert {EXEMPT} == {each.machine.name for each in fleet.machines if each.arn in refused & unknown}
    assert len(named) >= 7


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
