"""The roles through which the service inspects an account, changes its instances, and rolls them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Fn, aws_iam
from constructs import Construct

from imdsv2.domain.instance import ENFORCED_TAG, ROLLED_BACK_TAG
from infra.capture_statements import capture_statements
from infra.defaults_statements import defaults_statements
from infra.image_statements import image_statements
from infra.names import (
    CAPTURE,
    ENTERED_BY,
    READ,
    ROLLBACK,
    SELFTEST,
    SERVICE,
    SOURCE,
    WRITE,
)
from infra.selftest_statements import selftest_statements
from infra.source_statements import source_statements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_cdk import CfnCondition

    from infra.names import Names

CHANGE = ["ec2:ModifyInstanceMetadataOptions"]

# `ec2:Attribute` has the keys that a call sends; `ec2:Metadata...` has the instance's options before the call.
OPTIONS_SENT = "ec2:Attribute"
TOKENS_SENT = "ec2:Attribute/HttpTokens"
ENDPOINT_SENT = "ec2:Attribute/HttpEndpoint"
ENDPOINT_NOW = "ec2:MetadataHttpEndpoint"

OTHER_OPTIONS = ["HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags"]
"""Options other than tokens and endpoint."""


class MemberRoles(Construct):
    """The same roles in every account, the security account included: there is one path to any instance."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        security_account: str,
        organization_id: str | None,
        names: Names,
        only_if: CfnCondition | None = None,
        selftest: bool = False,
        capture: bool = False,
    ) -> None:
        """`only_if` decides at deployment whether the organisation applies, for templates in which it is not known
        earlier. `selftest` adds the role of the self-test, `capture` that which has instances watched."""
        super().__init__(scope, id_)
        self._security_account = security_account
        self._organization_id = organization_id
        self._only_if = only_if
        self._names = names
        self._role(
            "Read",
            READ,
            "look at instances and their metrics",
            [_look(), _trace(), _list_software(), self._tell_version()],
        )
        self._role("Write", WRITE, "require IMDSv2, and tag what was changed", _write_statements())
        self._role("Rollback", ROLLBACK, "put back what requiring IMDSv2 broke", _rollback_statements())
        statements = [*source_statements(), *image_statements(), *defaults_statements()]
        self._role("Source", SOURCE, "make what launches instances require IMDSv2", statements)
        if selftest:
            self._role("SelfTest", SELFTEST, "launch, change and end its own instances", selftest_statements())
        if capture:
            self._role("Capture", CAPTURE, "watch which processes call IMDSv1", capture_statements(names))

    def _role(self, id_: str, kind: str, description: str, statements: Iterable[aws_iam.PolicyStatement]) -> None:
        role = aws_iam.Role(
            self,
            id_,
            role_name=self._names.role(kind),
            description=f"{SERVICE}: {description}",
            assumed_by=self._functions_that_enter(kind),
        )
        for statement in statements:
            role.add_to_policy(statement)

    def _tell_version(self) -> aws_iam.PolicyStatement:
        """The tag on the role itself says which version of the roles an account has."""
        role = f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{self._names.role_resource(self._names.role(READ))}"
        return aws_iam.PolicyStatement(sid="TellVersion", actions=["iam:ListRoleTags"], resources=[role])

    def _functions_that_enter(self, kind: str) -> aws_iam.PrincipalBase:
        """The trusted functions' roles, matched by name: a role ARN as principal breaks when the role is recreated."""
        roles = f"arn:{Aws.PARTITION}:iam::{self._security_account}:role/"
        entering = [self._names.role_resource(self._names.function_role(each)) for each in ENTERED_BY[kind]]
        conditions: dict[str, Any] = {"ArnEquals": {"aws:PrincipalArn": [roles + each for each in entering]}}
        if self._organization_id is not None:
            inside = {"aws:PrincipalOrgID": self._organization_id}
            conditions["StringEquals"] = (
                inside if self._only_if is None else Fn.condition_if(self._only_if.logical_id, inside, Aws.NO_VALUE)
            )
        return aws_iam.AccountPrincipal(self._security_account).with_conditions(conditions)


def _look() -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        actions=[
            "autoscaling:DescribeScalingActivities",
            "ec2:DescribeImages",
            "ec2:DescribeInstances",
            "ec2:DescribeRegions",
            "cloudwatch:GetMetricData",
            "cloudwatch:ListMetrics",
        ],
        resources=["*"],
    )


def _trace() -> aws_iam.PolicyStatement:
    """Where instances come from, and whether Config records them. Of these calls, only EKS's and Config's know resources in IAM: any node
    group and recorder may be asked for."""
    return aws_iam.PolicyStatement(
        sid="TraceSources",
        actions=[
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeLaunchConfigurations",
            "batch:DescribeComputeEnvironments",
            "cloudtrail:LookupEvents",
            "config:DescribeConfigurationRecorderStatus",
            "config:DescribeConfigurationRecorders",
            "ec2:DescribeFleets",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DescribeSpotFleetRequests",
            "ec2:GetInstanceMetadataDefaults",
            "eks:DescribeNodegroup",
        ],
        resources=["*"],
    )


def _list_software() -> aws_iam.PolicyStatement:
    """What Systems Manager's inventory has of any instance."""
    return aws_iam.PolicyStatement(sid="ListSoftware", actions=["ssm:ListInventoryEntries"], resources=["*"])


def _write_statements() -> list[aws_iam.PolicyStatement]:
    return [
        _statement("RequireTokens", CHANGE, {"StringEquals": {TOKENS_SENT: "required"}}),
        # The following is denied, not left out of the Allow: if EC2 does not send one of these keys, the service still
        # works, with only its own checks.
        _never("OpenAClosedEndpoint", {"StringEquals": {ENDPOINT_NOW: "disabled"}}),
        _never("CloseAnEndpoint", {"StringEquals": {ENDPOINT_SENT: "disabled"}}),
        _never("TouchAnotherOption", {"ForAnyValue:StringEquals": {OPTIONS_SENT: OTHER_OPTIONS}}),
        _tags("MarkWhatWasChanged", ["ec2:CreateTags", "ec2:DeleteTags"], [ENFORCED_TAG, ROLLED_BACK_TAG]),
    ]


def _rollback_statements() -> list[aws_iam.PolicyStatement]:
    """Of the service's two tags, the role removes one and writes the other, so it can never tag an instance in order
    to make its tokens optional."""
    marked = {f"aws:ResourceTag/{ENFORCED_TAG}": "false"}
    nothing_beside = {f"{OPTIONS_SENT}/{option}": "true" for option in OTHER_OPTIONS}
    return [
        _statement(
            "PutBackWhatWasChanged",
            CHANGE,
            {"StringEquals": {TOKENS_SENT: "optional"}, "Null": {**marked, **nothing_beside}},
        ),
        _never("TouchAClosedEndpoint", {"StringEquals": {ENDPOINT_NOW: "disabled"}}),
        # EC2 may demand the endpoint beside the tokens, as it is: enabled.
        _never("CloseAnEndpoint", {"StringEquals": {ENDPOINT_SENT: "disabled"}}),
        # Denied in case EC2 sends no key per option. EC2 does not document whether this key can hold several names.
        _never("TouchAnotherOption", {"ForAnyValue:StringEquals": {OPTIONS_SENT: OTHER_OPTIONS}}),
        _tags("MarkWhatWasPutBack", ["ec2:CreateTags"], [ROLLED_BACK_TAG]),
        _tags("UnmarkWhatWasPutBack", ["ec2:DeleteTags"], [ENFORCED_TAG]),
    ]


def _statement(
    sid: str, actions: list[str], conditions: dict[str, Any], effect: aws_iam.Effect = aws_iam.Effect.ALLOW
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=effect,
        actions=actions,
        resources=[f"arn:{Aws.PARTITION}:ec2:*:{Aws.ACCOUNT_ID}:instance/*"],
        conditions=conditions,
    )


def _never(what: str, conditions: dict[str, Any]) -> aws_iam.PolicyStatement:
    return _statement(f"Never{what}", CHANGE, conditions, aws_iam.Effect.DENY)


def _tags(sid: str, actions: list[str], keys: list[str]) -> aws_iam.PolicyStatement:
    # ForAllValues also matches if there are no keys at all, and DeleteTags without keys deletes every tag; therefore
    # Null.
    return _statement(
        sid, actions, {"ForAllValues:StringEquals": {"aws:TagKeys": keys}, "Null": {"aws:TagKeys": "false"}}
    )
