"""What each guardrail allows and denies, as requests; the benchmark `guardrail.requests` counts the same table.

Everybody who asks may do everything by their own policies: what is denied, the guardrail denies.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.guardrails.options import STACK_SETS, GuardrailOptions
from infra.guardrails.policies import Guardrail, document
from infra.names import Names
from tests.infra.templates import MEMBER_ACCOUNT, REGION, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

OPTIONS = GuardrailOptions(networks=("203.0.113.0/24",))
NAMES = Names()

LAUNCHED = f"arn:aws:ec2:{REGION}:{MEMBER_ACCOUNT}:instance/*"
INSTANCE = f"arn:aws:ec2:{REGION}:{MEMBER_ACCOUNT}:instance/i-0a1b2c3d4e5f60718"
OBJECT = "arn:aws:s3:::reports/2027/may.csv"
DATABASE = f"arn:aws:rds-db:{REGION}:{MEMBER_ACCOUNT}:dbuser:db-ABCDEFGHIJKL01234/app"
KEY = f"arn:aws:kms:{REGION}:{MEMBER_ACCOUNT}:key/0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request under one guardrail.

    Args:
        role: path and name of the role that asks.
        denied: what the guardrail is to make of it.
    """

    guardrail: Guardrail
    what: str
    action: str
    resource: str
    denied: bool
    context: Json = field(default_factory=dict)
    role: str = "developer"
    options: GuardrailOptions = OPTIONS
    names: Names = NAMES

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.guardrail}: {self.what}"

    def to_simulation(self) -> Json:
        """The request in the evaluator's format."""
        name = self.role.rpartition("/")[2]
        policy = document(self.guardrail, options=self.options, names=self.names)
        return {
            "request": {
                "principal": f"arn:aws:sts::{MEMBER_ACCOUNT}:assumed-role/{name}/i-0a1b2c3d4e5f60718",
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": MEMBER_ACCOUNT},
                "contextVariables": {
                    "aws:PrincipalArn": f"arn:aws:iam::{MEMBER_ACCOUNT}:role/{self.role}",
                    **self.context,
                },
            },
            "identityPolicies": [{"name": "everything", "policy": EVERYTHING}],
            **({"resourcePolicy": KEY_POLICY} if self.resource == KEY else {}),
            "serviceControlPolicies": [
                {
                    "orgIdentifier": "root",
                    "policies": [
                        {"name": "FullAWSAccess", "policy": EVERYTHING},
                        {"name": self.guardrail.value, "policy": policy},
                    ],
                }
            ],
        }


EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}
"""Without it, nobody may use a key."""


def denied(requests: Iterable[Asked]) -> dict[str, bool]:
    """Name of each request to whether the evaluator denies it; one that it does not understand fails."""
    asked = list(requests)
    run = subprocess.run(
        ["node", str(ROOT / "tests/infra/iam_judge.mjs")],
        input=json.dumps([each.to_simulation() for each in asked]),
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts = json.loads(run.stdout)
    unclear = [
        (each.name, verdict)
        for each, verdict in zip(asked, verdicts, strict=True)
        if verdict["errors"] or verdict["ignored"] or verdict["result"] not in ("Allowed", "ExplicitlyDenied")
    ]
    if unclear:
        raise AssertionError(unclear)
    return {each.name: verdict["result"] == "ExplicitlyDenied" for each, verdict in zip(asked, verdicts, strict=True)}


def _launch(what: str, *, denied: bool, resource: str = LAUNCHED, **context: str) -> Asked:
    keys = {f"ec2:{key}": value for key, value in context.items()}
    return Asked(
        guardrail=Guardrail.LAUNCHES,
        what=what,
        action="ec2:RunInstances",
        resource=resource,
        denied=denied,
        context=keys,
    )


def _change(what: str, *, denied: bool, role: str = "developer", names: Names = NAMES, **sent: str) -> Asked:
    context: Json = {f"ec2:Attribute/{option}": value for option, value in sent.items()}
    return Asked(
        guardrail=Guardrail.OPENINGS,
        what=what,
        action="ec2:ModifyInstanceMetadataOptions",
        resource=INSTANCE,
        denied=denied,
        context={**context, "ec2:Attribute": list(sent)} if sent else {},
        role=role,
        names=names,
        options=GuardrailOptions(selftest=True),
    )


def _default(what: str, *, denied: bool, role: str = "developer", **sent: str) -> Asked:
    return Asked(
        guardrail=Guardrail.OPENINGS,
        what=what,
        action="ec2:ModifyInstanceMetadataDefaults",
        resource="*",
        denied=denied,
        context={f"ec2:Attribute/{option}": value for option, value in sent.items()},
        role=role,
    )


def _exception(
    what: str,
    *,
    denied: bool,
    role: str,
    of: str = "rollback",
    action: str,
    deployers: tuple[str, ...] = (STACK_SETS,),
) -> Asked:
    """``of``: the last part of a role of the service, or the whole name of another one."""
    name = NAMES.role(of) if of in ("rollback", "source") else of
    return Asked(
        guardrail=Guardrail.OPENINGS,
        what=what,
        action=f"iam:{action}",
        resource=f"arn:aws:iam::{MEMBER_ACCOUNT}:role/{name}",
        denied=denied,
        role=role,
        options=GuardrailOptions(deployers=deployers),
    )


def _use(
    guardrail: Guardrail,
    what: str,
    *,
    denied: bool,
    action: str = "s3:GetObject",
    resource: str = OBJECT,
    **context: str,
) -> Asked:
    keys = {_KEYS[key]: value for key, value in context.items()}
    return Asked(
        guardrail=guardrail, what=what, action=action, resource=resource, denied=denied, context=keys, role="app"
    )


_KEYS = {
    "delivery": "ec2:RoleDelivery",
    "instance": "ec2:SourceInstanceArn",
    "home": "aws:Ec2InstanceSourceVpc",
    "address": "aws:Ec2InstanceSourcePrivateIPv4",
    "vpc": "aws:SourceVpc",
    "sender": "aws:VpcSourceIp",
    "from_": "aws:SourceIp",
    "via": "aws:ViaAWSService",
}
_OF_AN_INSTANCE = {
    "delivery": "2.0",
    "instance": INSTANCE,
    "home": "vpc-0a1b2c3d4e5f60718",
    "address": "10.20.30.40",
    "via": "false",
}
_AT_HOME = {**_OF_AN_INSTANCE, "vpc": "vpc-0a1b2c3d4e5f60718", "sender": "10.20.30.40"}
_OUTSIDE = {**_OF_AN_INSTANCE, "from_": "203.0.113.7"}


def _lives(what: str, *, denied: bool, action: str = "s3:GetObject", resource: str = OBJECT, **context: str) -> Asked:
    return _use(Guardrail.CREDENTIALS, what, denied=denied, action=action, resource=resource, **context)


LAUNCHES = (
    _launch("tokens required", denied=False, MetadataHttpTokens="required"),
    _launch(
        "tokens required, 2 hops", denied=False, MetadataHttpTokens="required", MetadataHttpPutResponseHopLimit="2"
    ),
    _launch("tokens optional", denied=True, MetadataHttpTokens="optional"),
    _launch("nothing said", denied=True),
    _launch(
        "endpoint closed, tokens optional", denied=True, MetadataHttpTokens="optional", MetadataHttpEndpoint="disabled"
    ),
    _launch("3 hops", denied=True, MetadataHttpTokens="required", MetadataHttpPutResponseHopLimit="3"),
    _launch("64 hops", denied=True, MetadataHttpTokens="required", MetadataHttpPutResponseHopLimit="64"),
    _launch(
        "the other resources of a launch",
        denied=False,
        resource=f"arn:aws:ec2:{REGION}:{MEMBER_ACCOUNT}:subnet/subnet-0a1b2c3d4e5f60718",
    ),
)
OPENINGS = (
    _change("tokens required", denied=False, HttpTokens="required"),
    _change("tokens optional", denied=True, HttpTokens="optional"),
    _change("tokens Optional", denied=True, HttpTokens="Optional"),
    _change("tokens optional beside more", denied=True, HttpTokens="optional", HttpEndpoint="enabled"),
    _change("tokens optional, by an administrator", denied=True, role="OrganizationAccountAccessRole", HttpTokens="optional"),
    _change("tokens optional, by the write role", denied=True, role="imdsv2-remediation-write", HttpTokens="optional"),
    _change("tokens optional, by what puts back", denied=False, role="imdsv2-remediation-rollback", HttpTokens="optional"),
    _change("tokens optional, by the self-test", denied=False, role="imdsv2-remediation-selftest", HttpTokens="optional"),
    _change("tokens optional, by a name that only begins alike", denied=True, role="imdsv2-remediation-rollback2", HttpTokens="optional"),
    _change("tokens optional, by the name on another path", denied=True, role="team/imdsv2-remediation-rollback", HttpTokens="optional"),
    _change(
        "tokens optional, by what puts back elsewhere",
        denied=False,
        role="security/acme-imdsv2-pilot-rollback",
        names=Names(prefix="imdsv2-pilot", role_prefix="acme-", role_path="/security/"),
        HttpTokens="optional",
    ),
    _change("endpoint closed", denied=False, HttpEndpoint="disabled"),
    _change("2 hops", denied=False, HttpPutResponseHopLimit="2"),
    _change("3 hops", denied=True, HttpPutResponseHopLimit="3"),
    _change("3 hops, by what puts back", denied=True, role="imdsv2-remediation-rollback", HttpPutResponseHopLimit="3"),
    _default("the default requires", denied=False, HttpTokens="required"),
    _default("the default allows", denied=True, HttpTokens="optional"),
    _default("the default says nothing", denied=True, HttpTokens="no-preference"),
    _default("the default allows, by the service", denied=False, role="imdsv2-remediation-source", HttpTokens="optional"),
    _default("launches are refused", denied=False, HttpTokensEnforced="enabled"),
    _default("launches are not refused", denied=True, HttpTokensEnforced="disabled"),
    _default("launches: no preference", denied=True, HttpTokensEnforced="no-preference"),
    _default("launches are not refused, by the service", denied=False, role="imdsv2-remediation-source", HttpTokensEnforced="disabled"),
    _exception("who may put back, by an administrator", denied=True, role="Admin", action="UpdateAssumeRolePolicy"),
    _exception("what may put back, by an administrator", denied=True, role="Admin", action="PutRolePolicy"),
    _exception("who may set defaults, by an administrator", denied=True, role="Admin", of="source", action="UpdateAssumeRolePolicy"),
    _exception("a rollback role of one's own", denied=True, role="Admin", action="CreateRole"),
    _exception("the rollback role, by StackSets", denied=False, role="stacksets-exec-0a1b2c3d", action="CreateRole"),
    _exception("a role that passes for StackSets", denied=True, role="Admin", of="stacksets-exec-mine", action="CreateRole"),
    _exception("who may be StackSets", denied=True, role="Admin", of="stacksets-exec-0a1b2c3d", action="UpdateAssumeRolePolicy"),
    _exception("what StackSets may do", denied=True, role="Admin", of="stacksets-exec-0a1b2c3d", action="DetachRolePolicy"),
    _exception("the rollback role, by a deployer of one's own", denied=False, role="deploy/cdk-exec-eu", action="PutRolePolicy", deployers=("deploy/cdk-exec-*",)),
    _exception("a role that passes for that deployer", denied=True, role="Admin", of="deploy/cdk-exec-mine", action="CreateRole", deployers=("deploy/cdk-exec-*",)),
    _exception("the rollback role, where nobody deploys", denied=True, role="stacksets-exec-0a1b2c3d", action="PutRolePolicy", deployers=()),
    _exception("another role, where nobody deploys", denied=False, role="Admin", of="app", action="CreateRole", deployers=()),
    _exception("another role", denied=False, role="Admin", of="app", action="CreateRole"),
    _exception("entering the rollback role's look", denied=False, role="Admin", action="GetRole"),
)  # fmt: skip
DELIVERY = (
    _use(Guardrail.DELIVERY, "delivered with a token", denied=False, delivery="2.0"),
    _use(Guardrail.DELIVERY, "delivered without one", denied=True, delivery="1.0"),
    _use(Guardrail.DELIVERY, "delivered without one, elsewhere", denied=True, delivery="1.0", action="ec2:DescribeInstances", resource="*"),
    _use(Guardrail.DELIVERY, "delivered by no instance", denied=False),
)  # fmt: skip
CREDENTIALS = (
    _lives("by the instance, in its VPC", denied=False, **_AT_HOME),
    _lives("by another instance of its VPC", denied=True, **{**_AT_HOME, "sender": "10.20.30.41"}),
    _lives("in another VPC", denied=True, **{**_AT_HOME, "vpc": "vpc-0ffffffffffffffff"}),
    _lives("in another VPC, from the same address", denied=True, **{**_AT_HOME, "vpc": "vpc-0eeeeeeeeeeeeeeee", "sender": "10.20.30.40"}),
    _lives("by a service on its behalf", denied=False, **{**_AT_HOME, "vpc": "vpc-0ffffffffffffffff", "via": "true"}),
    _lives("to a database inside the VPC", denied=False, action="rds-db:connect", resource=DATABASE, **{**_OUTSIDE, "from_": "10.20.30.40"}),
    _lives("through the gateway", denied=False, **_OUTSIDE),
    _lives("from the internet", denied=True, **{**_OUTSIDE, "from_": "198.51.100.7"}),
    _lives("by a service, from the internet", denied=False, **{**_OUTSIDE, "from_": "198.51.100.7", "via": "true"}),
    _lives("by people, from the internet", denied=False, from_="198.51.100.7", via="false"),
    _lives("by a function in a VPC", denied=False, vpc="vpc-0ffffffffffffffff", sender="10.9.8.7", via="false"),
    Asked(
        guardrail=Guardrail.CREDENTIALS,
        what="volumes, by EC2 itself",
        action="kms:Decrypt",
        resource=KEY,
        denied=False,
        context={_KEYS["instance"]: INSTANCE, _KEYS["from_"]: "198.51.100.7", _KEYS["via"]: "false"},
        role="aws:ec2-infrastructure",
    ),
)  # fmt: skip
TABLE = (*LAUNCHES, *OPENINGS, *DELIVERY, *CREDENTIALS)
