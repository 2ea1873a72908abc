"""The demo's fleet while it is bound by guardrails: what its sources launch next, and what its software calls."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra.names import Names
from local.cloud.run import ADMINISTRATION, HOME, MEMBERS, MEMBERS_UNIT, LocalCloud
from local.demo.fleet import Before
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from infra.guardrails.policies import Guardrail
    from local.demo.fleet import Launched

OURS = Names().of("guardrail-")
DENIED = {"AccessDenied", "AccessDeniedException"}
GROUP = "tills"
"""The Auto Scaling group of the first member account."""

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
        alone = [each for each in self.machines if "aws:autoscaling:groupName" not in each.machine.tags]
        by_hand: dict[Source, dict[str, Any]] = {
            (each.machine.account, each.machine.region, "by_hand", each.machine.image or ""): {
                "ImageId": each.machine.image,
                "MetadataOptions": dict(each.machine.options),
            }
            for each in alone
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
        fetched = credentials(endpoint, with_token=not _uses_imdsv1(one))
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


def credentials(endpoint: str, *, with_token: bool) -> dict[str, str]:
    """Those of the role `app`, as the metadata service delivers them."""
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
