"""What each guardrail says: pure functions from settings and names to policy documents of AWS Organizations.

Four are service control policies, one is an EC2 declarative policy. docs/guardrails.md says what each does, in which
order to attach them, and what they cannot do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from infra.names import ROLLBACK, SELFTEST, SERVICE, SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.guardrails.options import GuardrailOptions
    from infra.names import Names

Json = dict[str, Any]


class Guardrail(StrEnum):
    """The guardrails, in the order in which to attach them."""

    LAUNCHES = "launches"
    OPENINGS = "openings"
    DEFAULTS = "defaults"
    DELIVERY = "delivery"
    CREDENTIALS = "credentials"

    @property
    def kind(self) -> str:
        """Its type in AWS Organizations."""
        return "DECLARATIVE_POLICY_EC2" if self is Guardrail.DEFAULTS else "SERVICE_CONTROL_POLICY"


DESCRIPTIONS = {
    Guardrail.LAUNCHES: "Launches require tokens, with a limited number of hops",
    Guardrail.OPENINGS: "Nobody makes tokens optional again, except what puts back what broke",
    Guardrail.DEFAULTS: "The default of every account and Region requires tokens",
    Guardrail.DELIVERY: "Credentials that IMDSv1 delivered open nothing",
    Guardrail.CREDENTIALS: "Credentials of instances are used where they were delivered",
}
"""What an administrator reads beside the policy."""

LONGEST_SCP = 5120
"""Characters of a service control policy. AWS takes 10,240 by now; CloudFormation's documentation says 5,120."""
LONGEST_DECLARATIVE = 10_000
"""Characters of a declarative policy."""

MODIFY = "ec2:ModifyInstanceMetadataOptions"

INSIDE_THE_VPC = [
    "dax:BatchGetItem",
    "dax:BatchWriteItem",
    "dax:ConditionCheckItem",
    "dax:DeleteItem",
    "dax:GetItem",
    "dax:PutItem",
    "dax:Query",
    "dax:Scan",
    "dax:UpdateItem",
    "elasticfilesystem:Client*",
    "es:ESHttp*",
    "kafka-cluster:*",
    "neptune-db:*",
    "rds-db:connect",
]
"""What is authorised by IAM inside a VPC: these requests say nothing of the network from which they come."""

EBS_ROLE = "role/aws:ec2-infrastructure"
"""As this role EC2 itself decrypts an instance's volumes."""

ROLE_WRITES = [
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:UpdateAssumeRolePolicy",
]
"""With these, whoever administrates an account could make the excepted roles their own."""


def document(which: Guardrail, *, options: GuardrailOptions, names: Names, partition: str = "aws") -> Json:
    """The policy document of one guardrail. ``partition`` may be a token of the CDK."""
    make: dict[Guardrail, Callable[[], Json]] = {
        Guardrail.LAUNCHES: lambda: _scp(_launches(options, partition)),
        Guardrail.OPENINGS: lambda: _scp(_openings(options, names, partition)),
        Guardrail.DELIVERY: lambda: _scp([_deny("CredentialsNeedTokens", ["*"], ["*"], _DELIVERED_WITHOUT_TOKEN)]),
        Guardrail.CREDENTIALS: lambda: _scp(_credentials(options, partition)),
        Guardrail.DEFAULTS: lambda: _declarative(options),
    }
    return make[which]()


_DELIVERED_WITHOUT_TOKEN: Json = {"NumericLessThan": {"ec2:RoleDelivery": "2.0"}}


def _launches(options: GuardrailOptions, partition: str) -> list[Json]:
    """A launch that does not name the option counts as one without tokens: the key is then missing."""
    instances = [f"arn:{partition}:ec2:*:*:instance/*"]
    most = {"NumericGreaterThan": {"ec2:MetadataHttpPutResponseHopLimit": str(options.max_hop_limit)}}
    return [
        _deny(
            "LaunchWithTokens",
            ["ec2:RunInstances"],
            instances,
            {"StringNotEquals": {"ec2:MetadataHttpTokens": "required"}},
        ),
        _deny("LaunchWithFewHops", ["ec2:RunInstances"], instances, most),
    ]


def _openings(options: GuardrailOptions, names: Names, partition: str) -> list[Json]:
    instances = [f"arn:{partition}:ec2:*:*:instance/*"]
    excepted = [_role(names, kind, partition) for kind in _excepted(options)]
    source = [_role(names, SOURCE, partition)]
    most = {"NumericGreaterThan": {"ec2:Attribute/HttpPutResponseHopLimit": str(options.max_hop_limit)}}
    lowered = {"StringEqualsIgnoreCase": {"ec2:Attribute/HttpTokens": ["optional", "no-preference"]}}
    unenforced = {"StringEqualsIgnoreCase": {"ec2:Attribute/HttpTokensEnforced": ["disabled", "no-preference"]}}
    back = {"StringEqualsIgnoreCase": {"ec2:Attribute/HttpTokens": "optional"}}
    defaults = ["ec2:ModifyInstanceMetadataDefaults"]
    deployers = _deployers(options, partition)
    return [
        _deny("TokensStayRequired", [MODIFY], instances, {**back, **_unless(excepted)}),
        _deny("HopsStayFew", [MODIFY], instances, most),
        _deny("DefaultsStay", defaults, ["*"], {**lowered, **_unless(source)}),
        _deny("EnforcementStays", defaults, ["*"], {**unenforced, **_unless(source)}),
        # The deployers' names are guarded, too: whoever could make a role of such a name could change all the others with it.
        _deny("ExceptionsStayOurs", ROLE_WRITES, [*excepted, *source, *deployers], _unless(deployers)),
    ]


def _excepted(options: GuardrailOptions) -> list[str]:
    """The roles that make tokens optional: after breakage, and on instances that the self-test launches for itself."""
    return [ROLLBACK, SELFTEST] if options.selftest else [ROLLBACK]


def _credentials(options: GuardrailOptions, partition: str) -> list[Json]:
    """The first two speak of requests that pass an endpoint, the third of all others."""
    through_endpoint: Json = {"Null": {"ec2:SourceInstanceARN": "false", "aws:SourceVpc": "false"}}
    own_call: Json = {
        "BoolIfExists": {"aws:ViaAWSService": "false"},
        "ArnNotLikeIfExists": {"aws:PrincipalArn": f"arn:{partition}:iam::*:{EBS_ROLE}"},
    }
    statements = [
        _deny_all_but(
            "UsedInTheirVpc",
            {
                **through_endpoint,
                **own_call,
                "StringNotEquals": {"aws:EC2InstanceSourceVPC": "${aws:SourceVpc}"},
            },
        ),
        _deny_all_but(
            "UsedByTheirInstance",
            {
                **through_endpoint,
                **own_call,
                "StringNotEquals": {"aws:EC2InstanceSourcePrivateIPv4": "${aws:VpcSourceIp}"},
            },
        ),
    ]
    if options.networks:
        statements.append(
            _deny_all_but(
                "UsedFromKnownNetworks",
                {
                    "Null": {"ec2:SourceInstanceARN": "false", "aws:SourceVpc": "true"},
                    **own_call,
                    "NotIpAddress": {"aws:SourceIp": list(options.networks)},
                },
            )
        )
    return statements


def _declarative(options: GuardrailOptions) -> Json:
    defaults: Json = {
        "http_tokens": {"@@assign": "required"},
        "http_put_response_hop_limit": {"@@assign": str(options.max_hop_limit)},
    }
    if options.tokens_enforced:
        defaults["http_tokens_enforced"] = {"@@assign": "enabled"}
    told = (
        f"Instances have to require IMDSv2. Set HttpTokens to required; {SERVICE} tells what needs IMDSv1. "
        "Ask those who look after this organisation's policies."
    )
    return {"ec2_attributes": {"instance_metadata_defaults": defaults, "exception_message": {"@@assign": told}}}


def _scp(statements: list[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": statements}


def _deny(sid: str, actions: list[str], resources: list[str], condition: Json) -> Json:
    denied: Json = {"Sid": sid, "Effect": "Deny", "Action": actions, "Resource": resources}
    return {**denied, "Condition": condition} if condition else denied


def _deny_all_but(sid: str, condition: Json) -> Json:
    return {"Sid": sid, "Effect": "Deny", "NotAction": INSIDE_THE_VPC, "Resource": "*", "Condition": condition}


def _unless(roles: list[str]) -> Json:
    """No condition where there are none: IAM takes no empty list."""
    return {"ArnNotLike": {"aws:PrincipalArn": roles}} if roles else {}


def _role(names: Names, kind: str, partition: str) -> str:
    return f"arn:{partition}:iam::*:role/{names.role_resource(names.role(kind))}"


def _deployers(options: GuardrailOptions, partition: str) -> list[str]:
    return [f"arn:{partition}:iam::*:role/{each}" for each in options.deployers]
