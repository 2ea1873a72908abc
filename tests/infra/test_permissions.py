"""Every call of the code is allowed, and forbidden calls are denied, as evaluated by a third-party IAM evaluator."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.names import ENTERED_BY
from infra.service_models import OPERATIONS, SOURCE_OPERATIONS
from tests.infra.templates import MEMBER_ACCOUNT, ORGANIZATION, REGION, ROOT, SECURITY_ACCOUNT, Template

Json = dict[str, Any]

ENFORCERS = ("remediate", "manual", "revisit", "sweep")
JUDGES = (*ENFORCERS, "guard")
READ, WRITE, ROLLBACK = "imdsv2-remediation-read", "imdsv2-remediation-write", "imdsv2-remediation-rollback"
SOURCE = "imdsv2-remediation-source"
ENTRANTS = {READ: JUDGES, WRITE: ENFORCERS, ROLLBACK: ("manual", "guard"), SOURCE: ("manual", "sweep", "guard")}
"""Role of an account to the functions that may enter it."""
ACCOUNTS = ("template", "member_template", "organization_template", "organization_member_template")
"""The roles of an account, from the stack and from the member template, without and with an organisation."""
STRANGER = "999999999999"
OTHER_MEMBER = "333333333333"
ANOTHER_ORGANIZATION = "o-0000000000"

INSTANCE = f"arn:aws:ec2:{REGION}:{MEMBER_ACCOUNT}:instance/i-0123456789abcdef0"
IMAGE = f"arn:aws:ec2:{REGION}::image/ami-0123456789abcdef0"
OWN_INSTANCE = INSTANCE.replace(MEMBER_ACCOUNT, SECURITY_ACCOUNT)
HUB = f"arn:aws:securityhub:{REGION}:{SECURITY_ACCOUNT}:hub/default"
HUB_V2 = f"arn:aws:securityhub:{REGION}:{SECURITY_ACCOUNT}:hubv2/0a1b2c3d"
CALENDAR = f"arn:aws:ssm:{REGION}:{SECURITY_ACCOUNT}:document/working-hours"
SHARED_CALENDAR = CALENDAR.replace(SECURITY_ACCOUNT, STRANGER)
PARAMETER = f"arn:aws:ssm:{REGION}:{SECURITY_ACCOUNT}:parameter/imdsv2-remediation/policy"
BUS = f"arn:aws:events:{REGION}:{SECURITY_ACCOUNT}:event-bus/imdsv2-remediation"
REQUIRE = {
    "ec2:Attribute": ["HttpTokens"],
    "ec2:Attribute/HttpTokens": "required",
    "ec2:MetadataHttpEndpoint": "enabled",
}
MARKED = {"aws:ResourceTag/imdsv2:enforced-at": "2026-01-31T07:00:00Z"}
"""An instance with the service's tag."""
PUT_BACK = {
    **MARKED,
    "ec2:Attribute": ["HttpTokens"],
    "ec2:Attribute/HttpTokens": "optional",
    "ec2:MetadataHttpEndpoint": "enabled",
}
CONFIG_EVENT = {"events:source": ["aws.config"], "events:detail-type": ["Config Rules Compliance Change"]}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request to AWS, and every policy that applies to it."""

    principal: str
    action: str
    resource: str
    context: Json = field(default_factory=dict)
    identity_policies: list[Json] = field(default_factory=list)
    resource_policy: Json | None = None

    def to_simulation(self) -> Json:
        """The request in the evaluator's format."""
        # A request without a resource, or with an ARN without an account, concerns the account of its principal.
        account = ("" if self.resource == "*" else self.resource.split(":")[4]) or self.principal.split(":")[4]
        simulation: Json = {
            "request": {
                "principal": self.principal,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": account},
                "contextVariables": self.context,
            },
            "identityPolicies": [
                {"name": f"policy-{number}", "policy": policy} for number, policy in enumerate(self.identity_policies)
            ],
        }
        return simulation if self.resource_policy is None else {**simulation, "resourcePolicy": self.resource_policy}


def judged(requests: dict[str, Request]) -> dict[str, str]:
    """Name of each request to `Allowed` or the kind of denial; a request that the evaluator does not understand
    fails."""
    run = subprocess.run(
        ["node", str(ROOT / "tests/infra/iam_judge.mjs")],
        input=json.dumps([request.to_simulation() for request in requests.values()]),
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts = json.loads(run.stdout)
    assert [] == [
        (name, each) for name, each in zip(requests, verdicts, strict=True) if each["errors"] or each["ignored"]
    ]
    return {name: each["result"] for name, each in zip(requests, verdicts, strict=True)}


def names_of(verdicts: dict[str, str], *, allowed: bool) -> list[str]:
    """The requests that got this answer."""
    return [name for name, result in verdicts.items() if (result == "Allowed") == allowed]


def role_arn(role: str, account: str = SECURITY_ACCOUNT) -> str:
    """The ARN of a role."""
    return f"arn:aws:iam::{account}:role/{role}"


def session_arn(role: str, account: str = SECURITY_ACCOUNT) -> str:
    """A session of a role."""
    return f"arn:aws:sts::{account}:assumed-role/{role}/1b4c7d2e"


def function_role(function: str) -> str:
    """The name of a function's role."""
    return f"imdsv2-remediation-fn-{function}"


def by_function(template: Template, function: str, action: str, resource: str, **context: Any) -> Request:
    """A request that a function makes with its own role."""
    role = function_role(function)
    return Request(
        principal=session_arn(role),
        action=action,
        resource=resource,
        context=context,
        identity_policies=template.policies_of(role),
    )


def in_account(template: Template, role: str, action: str, resource: str, context: Json | None = None) -> Request:
    """A request made through one of the roles in an account."""
    return Request(
        principal=session_arn(role, template.account),
        action=action,
        resource=resource,
        context=context or {},
        identity_policies=template.policies_of(role),
    )


def arn_of(template: Template, kind: str, logical_id_starts: str = "") -> str:
    """The ARN of the only resource of a type whose logical id starts with this text."""
    (logical_id,) = (name for name in template.resources(kind) if name.startswith(logical_id_starts))
    return str(template.resolve({"Fn::GetAtt": [logical_id, "Arn"]}))


def key_policy(template: Template) -> Json:
    """The policy of the one key."""
    policy: Json = template.one("AWS::KMS::Key")["KeyPolicy"]
    return policy


def calls_of_functions(template: Template) -> dict[str, Request]:
    """Every call that the handlers make to AWS with their own roles."""
    return {**calls_of_judges(template), **calls_of_helpers(template), **uses_of_the_key(template)}


def calls_of_judges(template: Template) -> dict[str, Request]:
    """What the functions that judge instances call."""
    table = arn_of(template, "AWS::DynamoDB::Table")
    topic = next(iter(template.resources("AWS::SNS::TopicPolicy").values()))["Topics"][0]
    dead_letters = arn_of(template, "AWS::SQS::Queue", "FindingsDeadLetters")
    own: list[tuple[str, str, Json]] = [
        *(
            (f"dynamodb:{action}", table, {})
            for action in ("BatchGetItem", "ConditionCheckItem", "GetItem", "PutItem", "Query", "UpdateItem")
        ),
        ("ssm:GetParameter", PARAMETER, {}),
        ("sns:Publish", topic, {}),
        ("securityhub:GetFindings", HUB, {}),
        ("securityhub:BatchUpdateFindings", HUB, {"securityhub:ASFFSyntaxPath/Workflow.Status": "NOTIFIED"}),
        ("securityhub:GetFindings", HUB_V2, {}),
        ("securityhub:BatchUpdateFindings", HUB_V2, {}),
        ("securityhub:BatchUpdateFindings", HUB_V2, {"securityhub:OCSFSyntaxPath/StatusId": "2"}),
    ]
    calls = {
        f"{function} {action} {resource} {context}": by_function(template, function, action, resource, **context)
        for function in JUDGES
        for action, resource, context in own
    }
    calls["remediate sets poison aside"] = by_function(template, "remediate", "sqs:SendMessage", dead_letters)
    for function, index in (
        ("revisit", "due"),
        ("sweep", "due"),
        ("sweep", "trail"),
        ("manual", "due"),
        ("manual", "enforced"),
        ("guard", "enforced"),
    ):
        asked = f"{table}/index/{index}"
        calls[f"{function} asks what is {index}"] = by_function(template, function, "dynamodb:Query", asked)
    for function in ENFORCERS:
        calls[f"{function} asks a calendar"] = by_function(template, function, "ssm:GetCalendarState", CALENDAR)
        shared = by_function(template, function, "ssm:GetCalendarState", SHARED_CALENDAR)
        calls[f"{function} asks a calendar of another account"] = with_policy(shared, EVERYTHING_FOR_ANYBODY)
    for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility"):
        queue = arn_of(template, "AWS::SQS::Queue", "FindingsQueue")
        calls[f"remediate sqs:{action}"] = by_function(template, "remediate", f"sqs:{action}", queue)
    return calls


def calls_of_helpers(template: Template) -> dict[str, Request]:
    """What the functions around them call: the custom action, the first policy, the events, the sweep's files."""
    calls = {}
    table = arn_of(template, "AWS::DynamoDB::Table")
    for action in ("CreateActionTarget", "UpdateActionTarget", "DeleteActionTarget"):
        calls[f"custom-action {action}"] = by_function(template, "custom-action", f"securityhub:{action}", HUB)
    for operation in ("ListFindingAggregators", "ListAggregatorsV2"):
        calls[f"custom-action {operation}"] = by_function(template, "custom-action", f"securityhub:{operation}", "*")
    calls["first-policy reads"] = by_function(template, "first-policy", "ssm:GetParameter", PARAMETER)
    calls["first-policy creates"] = by_function(
        template, "first-policy", "ssm:PutParameter", PARAMETER, **{"ssm:Overwrite": "false"}
    )
    calls["revisit reads who wrote it"] = by_function(template, "revisit", "ssm:GetParameterHistory", PARAMETER)
    calls["broadcast sends events"] = by_function(template, "broadcast", "events:PutEvents", BUS)
    calls["broadcast sets aside"] = by_function(
        template, "broadcast", "sqs:SendMessage", arn_of(template, "AWS::SQS::Queue", "FailedInvocations")
    )
    for action in ("DescribeStream", "GetRecords", "GetShardIterator"):
        stream = f"{table}/stream/2027-01-01T00:00:00.000"
        calls[f"broadcast {action}"] = by_function(template, "broadcast", f"dynamodb:{action}", stream)
    results = f"{arn_of(template, 'AWS::S3::Bucket', 'SweepResults')}/execution/plan.json"
    for action in ("GetObject", "PutObject"):
        calls[f"sweep s3:{action}"] = by_function(template, "sweep", f"s3:{action}", results)
    bucket = arn_of(template, "AWS::S3::Bucket", "SweepResults")
    calls["sweep learns what is not there"] = by_function(template, "sweep", "s3:ListBucket", bucket)
    return calls


def uses_of_the_key(template: Template) -> dict[str, Request]:
    """What the services do with the key in the functions' names."""
    calls, key = {}, arn_of(template, "AWS::KMS::Key")
    for function, service in [(each, service) for each in JUDGES for service in ("dynamodb", "sns", "sqs")]:
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            request = by_function(
                template, function, action, key, **{"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
            )
            calls[f"{function} {action} through {service}"] = with_policy(request, key_policy(template))
    return calls


def with_policy(request: Request, policy: Json) -> Request:
    """The same request, to a resource with its own policy."""
    return Request(
        principal=request.principal,
        action=request.action,
        resource=request.resource,
        context=request.context,
        identity_policies=request.identity_policies,
        resource_policy=policy,
    )


def calls_in_accounts(template: Template) -> dict[str, Request]:
    """Every call that the service makes to EC2, Auto Scaling and CloudWatch through the roles in an account."""
    instance = INSTANCE.replace(MEMBER_ACCOUNT, template.account)
    tags = {"aws:TagKeys": ["imdsv2:enforced-at"]}
    put_back_tags = {"aws:TagKeys": ["imdsv2:rolled-back-at"]}
    enabled = {**REQUIRE, "ec2:Attribute": ["HttpTokens", "HttpEndpoint"], "ec2:Attribute/HttpEndpoint": "enabled"}
    unknown_state = {"ec2:Attribute/HttpTokens": "required"}
    modify = "ec2:ModifyInstanceMetadataOptions"
    return {
        **looks_in_accounts(template),
        "lock defaults": in_account(
            template, SOURCE, "ec2:ModifyInstanceMetadataDefaults", "*", {"ec2:Attribute/HttpTokens": "required"}
        ),
        "enforce defaults": in_account(
            template, SOURCE, "ec2:ModifyInstanceMetadataDefaults", "*", {"ec2:Attribute/HttpTokensEnforced": "enabled"}
        ),
        "unlock defaults, EC2 sends no keys": in_account(template, SOURCE, "ec2:ModifyInstanceMetadataDefaults", "*"),
        "require tokens": in_account(template, WRITE, modify, instance, REQUIRE),
        "require tokens, endpoint named": in_account(template, WRITE, modify, instance, enabled),
        "require tokens, EC2 sends fewer keys": in_account(template, WRITE, modify, instance, unknown_state),
        "tag": in_account(template, WRITE, "ec2:CreateTags", instance, tags),
        "untag": in_account(template, WRITE, "ec2:DeleteTags", instance, tags),
        "untag what was put back before": in_account(template, WRITE, "ec2:DeleteTags", instance, put_back_tags),
        "put back": in_account(template, ROLLBACK, modify, instance, PUT_BACK),
        "put back, EC2 sends fewer keys": in_account(
            template, ROLLBACK, modify, instance, {**MARKED, "ec2:Attribute/HttpTokens": "optional"}
        ),
        "mark what was put back": in_account(template, ROLLBACK, "ec2:CreateTags", instance, put_back_tags),
        "unmark what was put back": in_account(template, ROLLBACK, "ec2:DeleteTags", instance, tags),
        "require tokens of an AMI": in_account(
            template, SOURCE, "ec2:ModifyImageAttribute", IMAGE, {"ec2:Owner": template.account}
        ),
        "require tokens of an AMI, attribute named": in_account(
            template,
            SOURCE,
            "ec2:ModifyImageAttribute",
            IMAGE,
            {"ec2:Owner": template.account, "ec2:Attribute": ["ImdsSupport"]},
        ),
        **calls_on_sources(template),
    }


def looks_in_accounts(template: Template) -> dict[str, Request]:
    """What the role that reads is for."""
    return {
        "look at instances": in_account(template, READ, "ec2:DescribeInstances", "*"),
        "look at AMIs": in_account(template, READ, "ec2:DescribeImages", "*"),
        "look what groups have ended": in_account(template, READ, "autoscaling:DescribeScalingActivities", "*"),
        "look which Regions are enabled": in_account(template, READ, "ec2:DescribeRegions", "*"),
        "look at metrics": in_account(template, READ, "cloudwatch:GetMetricData", "*"),
        "look who refuses calls": in_account(template, READ, "cloudwatch:ListMetrics", "*"),
        "list software": in_account(template, READ, "ssm:ListInventoryEntries", "*"),
        "tell its version": in_account(template, READ, "iam:ListRoleTags", role_arn(READ, template.account)),
        **{
            f"trace sources by {action}": in_account(template, READ, action, "*")
            for action in (
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
            )
        },
    }


def calls_on_sources(template: Template) -> dict[str, Request]:
    """Every call that changes what launches instances, and what Auto Scaling asks EC2 in the caller's name."""
    launch_template = f"arn:aws:ec2:{REGION}:{template.account}:launch-template/lt-0123456789abcdef0"
    group = (
        f"arn:aws:autoscaling:{REGION}:{template.account}:autoScalingGroup:"
        "0a1b2c3d-0a1b-0c2d-0e3f-0a1b2c3d4e5f:autoScalingGroupName/web"
    )
    instance = INSTANCE.replace(MEMBER_ACCOUNT, template.account)
    marked = {"aws:ResourceTag/imdsv2:fixed-at": "2026-11-20T12:00:00Z"}
    named = {"autoscaling:LaunchTemplateVersionSpecified": "true"}
    through = {"aws:ViaAWSService": "true"}
    profile = {**through, "iam:PassedToService": "ec2.amazonaws.com"}
    point = "autoscaling:UpdateAutoScalingGroup"
    return {
        "mark a template": in_account(
            template, SOURCE, "ec2:CreateTags", launch_template, {"aws:TagKeys": ["imdsv2:fixed-at"]}
        ),
        "make a version": in_account(template, SOURCE, "ec2:CreateLaunchTemplateVersion", launch_template, marked),
        "make it the default": in_account(template, SOURCE, "ec2:ModifyLaunchTemplate", launch_template, marked),
        "point a group": in_account(template, SOURCE, point, group, named),
        "point a group, fewer keys": in_account(template, SOURCE, point, group),
        "let Auto Scaling try": in_account(template, SOURCE, "ec2:RunInstances", instance, through),
        "let Auto Scaling try a profile": in_account(
            template, SOURCE, "iam:PassRole", role_arn("web", template.account), profile
        ),
        "let Auto Scaling try a profile, in China": in_account(
            template,
            SOURCE,
            "iam:PassRole",
            role_arn("web", template.account),
            {**through, "iam:PassedToService": "ec2.amazonaws.com.cn"},
        ),
    }


EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

EVERYTHING_FOR_ANYBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}


def entering(
    template: Template,
    role: str,
    *,
    principal_role: str,
    account: str = SECURITY_ACCOUNT,
    organization: str | None = ORGANIZATION,
) -> Request:
    """A role's attempt to assume a role of the template; the role's own permissions allow everything."""
    target = template.one("AWS::IAM::Role", RoleName=role)
    belongs = {} if organization is None else {"aws:PrincipalOrgID": organization}
    return Request(
        principal=session_arn(principal_role, account),
        action="sts:AssumeRole",
        resource=role_arn(role, template.account),
        context={"aws:PrincipalArn": role_arn(principal_role, account), **belongs},
        identity_policies=[EVERYTHING],
        resource_policy=target["AssumeRolePolicyDocument"],
    )


def test_one_function_alone_may_both_mark_and_put_back() -> None:
    """Code of the others cannot open what the service has not enforced, whoever writes it; docs/attacker.md names the one."""
    assert {"manual"} == {*ENTERED_BY["write"]} & {*ENTERED_BY["rollback"]}


def test_what_the_functions_call_is_allowed(template: Template) -> None:
    """In production, a missing permission would show up as a finding that is never answered."""
    assert [] == names_of(judged(calls_of_functions(template)), allowed=False)


def test_only_the_sweep_asks_an_organisation_for_its_accounts(organization_template: Template) -> None:
    """The other functions are given their instances."""
    requests = {
        function: by_function(organization_template, function, "organizations:ListAccounts", "*") for function in JUDGES
    }
    assert ["sweep"] == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("stack", ["template", "member_template"])
def test_what_is_called_in_accounts_is_allowed(stack: str, request: pytest.FixtureRequest) -> None:
    """In members and in the security account itself, whether or not EC2 sends the keys that are used only in a Deny."""
    assert [] == names_of(judged(calls_in_accounts(request.getfixturevalue(stack))), allowed=False)


def test_every_operation_that_is_shipped_is_judged_here(template: Template, member_template: Template) -> None:
    """An operation that is added to the code must be added to these tests; otherwise this test fails."""
    judged_here = {each.action for each in (calls_of_functions(template) | calls_in_accounts(member_template)).values()}
    authorised_as = {
        "dynamodb:TransactWriteItems": "dynamodb:ConditionCheckItem",
        "securityhub:GetFindingsV2": "securityhub:GetFindings",
        "securityhub:BatchUpdateFindingsV2": "securityhub:BatchUpdateFindings",
        "sqs:SendMessageBatch": "sqs:SendMessage",
    }
    several = (*OPERATIONS.items(), *SOURCE_OPERATIONS.items())
    called = {f"{service}:{operation}" for service, operations in several for operation in operations}
    # Those of the role that has instances watched are judged in test_capture.
    elsewhere = {"sts:AssumeRole", "organizations:ListAccounts", "ssm:SendCommand", "ssm:GetCommandInvocation"}
    assert elsewhere == {authorised_as.get(each, each) for each in called} - judged_here


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_only_the_functions_that_judge_enter_an_account(stack: str, request: pytest.FixtureRequest) -> None:
    """By name and account: no other function, no other role, and no role of the same name in another account."""
    roles = request.getfixturevalue(stack)
    functions = {
        f"{function} enters {role}": entering(roles, role, principal_role=function_role(function))
        for role in ENTRANTS
        for function in (*JUDGES, "check", "custom-action", "first-policy")
    }
    strangers = {
        f"{name} enters {role}": entering(roles, role, principal_role=principal, account=account)
        for role, (entrant, *_) in ENTRANTS.items()
        for name, principal, account in [
            ("an administrator", "Administrator", SECURITY_ACCOUNT),
            ("a longer name", function_role(entrant) + "2", SECURITY_ACCOUNT),
            ("another account", function_role(entrant), STRANGER),
            ("another account of the organisation", function_role(entrant), OTHER_MEMBER),
        ]
    }
    assert {f"{function} enters {role}" for role, entrants in ENTRANTS.items() for function in entrants} == set(
        names_of(judged({**functions, **strangers}), allowed=True)
    )


@pytest.mark.parametrize("stack", ["organization_template", "organization_member_template"])
@pytest.mark.parametrize("organization", [ANOTHER_ORGANIZATION, None], ids=["another organisation", "none"])
def test_a_security_account_that_has_left_the_organisation_is_shut_out(
    organization: str | None, stack: str, request: pytest.FixtureRequest
) -> None:
    """If the account is removed from the organisation, its functions lose access to the other accounts."""
    roles = request.getfixturevalue(stack)
    requests = {
        f"{function} enters {role}": entering(
            roles, role, principal_role=function_role(function), organization=organization
        )
        for role, entrants in ENTRANTS.items()
        for function in entrants
    }
    assert [] == names_of(judged(requests), allowed=True)


def test_without_an_organisation_none_is_asked_for(member_template: Template) -> None:
    """A condition on a key that is never sent would deny everyone."""
    requests = {
        role: entering(member_template, role, principal_role=function_role(entrant), organization=None)
        for role, (entrant, *_) in ENTRANTS.items()
    }
    assert list(ENTRANTS) == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("function", JUDGES)
def test_functions_may_assume_their_roles_and_no_other(
    function: str, template: Template, member_template: Template
) -> None:
    """The function's own policy denies it, although the trust policy of the read role, which all of them may assume,
    would allow it."""
    trust = member_template.one("AWS::IAM::Role", RoleName=READ)["AssumeRolePolicyDocument"]
    requests = {}
    for role in (*ENTRANTS, "OrganizationAccountAccessRole"):
        principal = {"aws:PrincipalArn": role_arn(function_role(function))}
        request = by_function(template, function, "sts:AssumeRole", role_arn(role, MEMBER_ACCOUNT), **principal)
        requests[role] = with_policy(request, trust)
    assert [role for role, entrants in ENTRANTS.items() if function in entrants] == names_of(
        judged(requests), allowed=True
    )


@pytest.mark.parametrize("function", JUDGES)
def test_functions_enter_no_account_outside_the_organisation(
    function: str, organization_template: Template, organization_member_template: Template
) -> None:
    """Even if a role of the same name there trusts everybody."""
    entered = {role: role_arn(role, MEMBER_ACCOUNT) for role, entrants in ENTRANTS.items() if function in entrants}
    requests = {
        f"{role} in {organization}": with_policy(
            by_function(
                organization_template, function, "sts:AssumeRole", resource, **{"aws:ResourceOrgID": organization}
            ),
            EVERYTHING_FOR_ANYBODY,
        )
        for role, resource in entered.items()
        for organization in (ORGANIZATION, ANOTHER_ORGANIZATION)
    }
    assert [f"{role} in {ORGANIZATION}" for role in entered] == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("stack", ["template", "member_template"])
def test_the_write_role_can_do_nothing_but_require_tokens_and_mark(stack: str, request: pytest.FixtureRequest) -> None:
    """Regardless of a mistake in the function, or an intruder who controls it."""
    roles = request.getfixturevalue(stack)
    instance = INSTANCE.replace(MEMBER_ACCOUNT, roles.account)
    elsewhere = INSTANCE.replace(MEMBER_ACCOUNT, STRANGER)
    ours, other = "imdsv2:enforced-at", "owner"

    def change(**changes: Any) -> Json:
        return {**REQUIRE, **{name.replace("_", ":"): value for name, value in changes.items()}}

    def attribute(name: str, value: str, *, beside_tokens: bool) -> Json:
        state = {"ec2:MetadataHttpEndpoint": "enabled", f"ec2:Attribute/{name}": value}
        tokens = {"ec2:Attribute/HttpTokens": "required"} if beside_tokens else {}
        return {**state, **tokens, "ec2:Attribute": [name, *(["HttpTokens"] if beside_tokens else [])]}

    modify = "ec2:ModifyInstanceMetadataOptions"
    attempts: list[tuple[str, str, str, Json]] = [
        ("go back to optional", modify, instance, {**REQUIRE, "ec2:Attribute/HttpTokens": "optional"}),
        ("open a closed endpoint", modify, instance, change(**{"ec2:MetadataHttpEndpoint": "disabled"})),
        ("close the endpoint", modify, instance, attribute("HttpEndpoint", "disabled", beside_tokens=False)),
        ("close it beside", modify, instance, attribute("HttpEndpoint", "disabled", beside_tokens=True)),
        ("open the endpoint alone", modify, instance, attribute("HttpEndpoint", "enabled", beside_tokens=False)),
        ("hop limit alone", modify, instance, attribute("HttpPutResponseHopLimit", "1", beside_tokens=False)),
        ("hop limit beside", modify, instance, attribute("HttpPutResponseHopLimit", "1", beside_tokens=True)),
        ("tags in metadata beside", modify, instance, attribute("InstanceMetadataTags", "enabled", beside_tokens=True)),
        ("instance of another account", modify, elsewhere, REQUIRE),
        ("another tag", "ec2:CreateTags", instance, {"aws:TagKeys": [other]}),
        ("another tag beside ours", "ec2:CreateTags", instance, {"aws:TagKeys": [ours, other]}),
        ("another tag away", "ec2:DeleteTags", instance, {"aws:TagKeys": [other]}),
        ("every tag away", "ec2:DeleteTags", instance, {}),
        ("stop", "ec2:StopInstances", instance, {}),
        ("defaults of the account", "ec2:ModifyInstanceMetadataDefaults", "*", {}),
        ("look around", "ec2:DescribeInstances", "*", {}),
    ]
    requests = {
        name: in_account(roles, WRITE, action, resource, context) for name, action, resource, context in attempts
    }
    assert [] == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("stack", ["template", "member_template"])
def test_the_source_role_can_do_nothing_to_amis_but_require_tokens(stack: str, request: pytest.FixtureRequest) -> None:
    """Nobody can be given an AMI, or lose it, through this role; and only the account's own are touched."""
    roles = request.getfixturevalue(stack)
    own = {"ec2:Owner": roles.account}
    modify = "ec2:ModifyImageAttribute"
    attempts: list[tuple[str, str, Json]] = [
        ("an AMI of another account", modify, {"ec2:Owner": STRANGER, "ec2:Attribute": ["ImdsSupport"]}),
        ("an AMI of Amazon's", modify, {"ec2:Owner": "amazon", "ec2:Attribute": ["ImdsSupport"]}),
        ("an AMI whose owner is not known", modify, {"ec2:Attribute": ["ImdsSupport"]}),
        ("its description", modify, {**own, "ec2:Attribute": ["Description"]}),
        ("launch permission", modify, {**own, "ec2:Attribute": ["LaunchPermission"]}),
        ("deregister", "ec2:DeregisterImage", own),
        ("copy", "ec2:CopyImage", own),
        ("disable", "ec2:DisableImage", own),
    ]
    requests = {name: in_account(roles, SOURCE, action, IMAGE, context) for name, action, context in attempts}
    assert [] == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("stack", ["template", "member_template"])
def test_the_rollback_role_can_do_nothing_but_put_back_what_we_changed(
    stack: str, request: pytest.FixtureRequest
) -> None:
    """Instances that the service changed have its tag, which this role cannot write: it cannot make tokens optional on
    any other instance."""
    roles = request.getfixturevalue(stack)
    instance = INSTANCE.replace(MEMBER_ACCOUNT, roles.account)
    elsewhere = INSTANCE.replace(MEMBER_ACCOUNT, STRANGER)
    ours, put_back = "imdsv2:enforced-at", "imdsv2:rolled-back-at"
    unmarked = {name: value for name, value in PUT_BACK.items() if name not in MARKED}
    other_marks = {"aws:ResourceTag/imdsv2:rolled-back-at": "2026-01-31T07:00:00Z", "aws:ResourceTag/owner": "team"}

    def beside(name: str, value: str) -> Json:
        return {**PUT_BACK, "ec2:Attribute": ["HttpTokens", name], f"ec2:Attribute/{name}": value}

    def alone(name: str, value: str) -> Json:
        return {**MARKED, "ec2:Attribute": [name], f"ec2:Attribute/{name}": value}

    modify = "ec2:ModifyInstanceMetadataOptions"
    options = {
        "HttpEndpoint": ("disabled",),
        "HttpPutResponseHopLimit": ("2",),
        "HttpProtocolIpv6": ("enabled",),
        "InstanceMetadataTags": ("enabled",),
    }
    attempts: list[tuple[str, str, str, Json]] = [
        ("without our tag", modify, instance, unmarked),
        ("with other tags", modify, instance, {**unmarked, **other_marks}),
        ("require", modify, instance, {**PUT_BACK, "ec2:Attribute/HttpTokens": "required"}),
        ("nothing", modify, instance, MARKED),
        ("open the endpoint alone", modify, instance, alone("HttpEndpoint", "enabled")),
        ("a closed endpoint", modify, instance, {**PUT_BACK, "ec2:MetadataHttpEndpoint": "disabled"}),
        ("instance of another account", modify, elsewhere, PUT_BACK),
        ("mark as ours", "ec2:CreateTags", instance, {"aws:TagKeys": [ours]}),
        ("mark as ours beside", "ec2:CreateTags", instance, {"aws:TagKeys": [put_back, ours]}),
        ("forget that it broke", "ec2:DeleteTags", instance, {"aws:TagKeys": [put_back]}),
        ("forget it beside", "ec2:DeleteTags", instance, {"aws:TagKeys": [ours, put_back]}),
        ("another tag", "ec2:CreateTags", instance, {"aws:TagKeys": ["owner"]}),
        ("another tag away", "ec2:DeleteTags", instance, {"aws:TagKeys": ["owner"]}),
        ("every tag away", "ec2:DeleteTags", instance, {}),
        ("stop", "ec2:StopInstances", instance, {}),
        ("defaults of the account", "ec2:ModifyInstanceMetadataDefaults", "*", {}),
        ("look around", "ec2:DescribeInstances", "*", {}),
        *(
            (f"{name} {value} {how.__name__}", modify, instance, how(name, value))
            for name, values in options.items()
            for value in values
            for how in (beside, alone)
        ),
    ]
    requests = {
        name: in_account(roles, ROLLBACK, action, resource, context) for name, action, resource, context in attempts
    }
    assert 25 == len(requests)
    assert [] == names_of(judged(requests), allowed=True)


def test_the_rollback_role_may_name_the_endpoint_as_it_is(member_template: Template) -> None:
    """EC2 has been seen to demand it beside the tokens."""
    beside = {**PUT_BACK, "ec2:Attribute": ["HttpTokens", "HttpEndpoint"], "ec2:Attribute/HttpEndpoint": "enabled"}
    modify = "ec2:ModifyInstanceMetadataOptions"
    requests = {"beside": in_account(member_template, ROLLBACK, modify, INSTANCE, beside)}
    assert ["beside"] == names_of(judged(requests), allowed=True)


def test_either_key_that_tells_of_another_option_is_enough(member_template: Template) -> None:
    """EC2 documents both keys only briefly: whichever of them it sends, the hop limit is protected."""
    modify = "ec2:ModifyInstanceMetadataOptions"
    requests = {
        "by its name": {**PUT_BACK, "ec2:Attribute": ["HttpPutResponseHopLimit"]},
        "by its value": {**PUT_BACK, "ec2:Attribute/HttpPutResponseHopLimit": "2"},
    }
    judgements = judged(
        {name: in_account(member_template, ROLLBACK, modify, INSTANCE, context) for name, context in requests.items()}
    )
    assert list(requests) == names_of(judgements, allowed=False)


def test_the_read_role_changes_nothing(member_template: Template) -> None:
    """It can only read."""
    tags = {"aws:TagKeys": ["imdsv2:enforced-at"]}
    modify = "ec2:ModifyInstanceMetadataOptions"
    requests = {
        "require": in_account(member_template, READ, modify, INSTANCE, REQUIRE),
        "put back": in_account(member_template, READ, modify, INSTANCE, PUT_BACK),
        "tag": in_account(member_template, READ, "ec2:CreateTags", INSTANCE, tags),
        "put metrics": in_account(member_template, READ, "cloudwatch:PutMetricData", "*"),
        "stop Config": in_account(member_template, READ, "config:StopConfigurationRecorder", "*"),
        "look at another role": in_account(
            member_template, READ, "iam:ListRoleTags", role_arn(WRITE, member_template.account)
        ),
        "pretend another version": in_account(
            member_template, READ, "iam:TagRole", role_arn(READ, member_template.account)
        ),
    }
    assert [] == names_of(judged(requests), allowed=True)


def test_functions_can_do_no_more_than_they_do(template: Template) -> None:
    """The ledger cannot be deleted from, only people write the policy, and no finding can be closed or hidden."""
    table = arn_of(template, "AWS::DynamoDB::Table")
    queue = arn_of(template, "AWS::SQS::Queue", "FindingsQueue")
    status = "securityhub:ASFFSyntaxPath/Workflow.Status"
    ocsf = "securityhub:OCSFSyntaxPath/StatusId"
    attempts: list[tuple[str, str, Json]] = [
        ("dynamodb:DeleteItem", table, {}),
        ("dynamodb:Scan", table, {}),
        ("dynamodb:DeleteTable", table, {}),
        ("ssm:PutParameter", PARAMETER, {}),
        ("ssm:GetParameter", f"{PARAMETER}-of-another", {}),
        ("ssm:GetDocument", CALENDAR, {}),
        ("ssm:UpdateDocument", CALENDAR, {}),
        ("securityhub:BatchUpdateFindings", HUB, {status: "RESOLVED"}),
        ("securityhub:BatchUpdateFindings", HUB, {status: "SUPPRESSED"}),
        ("securityhub:BatchUpdateFindings", HUB, {status: "NEW"}),
        *(("securityhub:BatchUpdateFindings", HUB_V2, {ocsf: str(other)}) for other in (0, 1, 3, 4, 5, 6, 22, 99)),
        ("securityhub:BatchUpdateFindings", HUB_V2, {ocsf: "2", "securityhub:OCSFSyntaxPath/SeverityId": "1"}),
        ("securityhub:BatchUpdateFindings", HUB_V2, {"securityhub:OCSFSyntaxPath/SeverityId": "1"}),
        *(
            ("securityhub:BatchUpdateFindings", HUB, {status: "NOTIFIED", f"securityhub:ASFFSyntaxPath/{rated}": to})
            for rated, to in (("Severity.Label", "INFORMATIONAL"), ("VerificationState", "FALSE_POSITIVE"))
        ),
        ("securityhub:DisableSecurityHub", HUB, {}),
        ("ec2:ModifyInstanceMetadataOptions", OWN_INSTANCE, REQUIRE),
        ("ec2:DescribeInstances", "*", {}),
        ("sqs:SendMessage", queue, {}),
        ("events:PutEvents", BUS, {}),
    ]
    requests = {
        f"{function} {action} {resource} {context}": by_function(template, function, action, resource, **context)
        for function in JUDGES
        for action, resource, context in attempts
    }
    assert [] == names_of(judged(requests), allowed=True)


def test_no_function_can_do_what_another_one_does(template: Template) -> None:
    """Each has its own indexes, files, keys and parameters."""
    table, key = arn_of(template, "AWS::DynamoDB::Table"), arn_of(template, "AWS::KMS::Key")
    requests = {}
    requests["manual sets messages aside"] = by_function(
        template, "manual", "sqs:SendMessage", arn_of(template, "AWS::SQS::Queue", "FindingsDeadLetters")
    )
    for function, index in (
        ("remediate", "due"),
        ("guard", "due"),
        ("remediate", "enforced"),
        ("revisit", "enforced"),
        ("sweep", "enforced"),
        ("remediate", "trail"),
    ):
        asked = f"{table}/index/{index}"
        requests[f"{function} asks what is {index}"] = by_function(template, function, "dynamodb:Query", asked)
    requests["guard asks a calendar"] = by_function(template, "guard", "ssm:GetCalendarState", CALENDAR)
    results = f"{arn_of(template, 'AWS::S3::Bucket', 'SweepResults')}/execution/plan.json"
    requests["manual reads what was swept"] = by_function(template, "manual", "s3:GetObject", results)
    requests["sweep lists accounts without an organisation"] = by_function(
        template, "sweep", "organizations:ListAccounts", "*"
    )
    for function, action in itertools.product(JUDGES, ("kms:Decrypt", "kms:GenerateDataKey")):
        requests[f"{function} uses the key by itself: {action}"] = with_policy(
            by_function(template, function, action, key), key_policy(template)
        )
    requests["first-policy writes over people"] = by_function(
        template, "first-policy", "ssm:PutParameter", PARAMETER, **{"ssm:Overwrite": "true"}
    )
    requests["first-policy writes, nobody knows how"] = by_function(
        template, "first-policy", "ssm:PutParameter", PARAMETER
    )
    requests["first-policy deletes"] = by_function(template, "first-policy", "ssm:DeleteParameter", PARAMETER)
    requests["custom-action reads the ledger"] = by_function(template, "custom-action", "dynamodb:GetItem", table)
    requests["custom-action enters an account"] = by_function(
        template, "custom-action", "sts:AssumeRole", role_arn("imdsv2-remediation-read")
    )
    assert [] == names_of(judged(requests), allowed=True)


def delivered(template: Template, service: str, action: str, resource: str, policy: Json, **context: Any) -> Request:
    """A request that an AWS service makes on behalf of the account."""
    return Request(
        principal=f"{service}.amazonaws.com",
        action=action,
        resource=resource,
        context={"aws:SourceAccount": template.account, "aws:SecureTransport": "true", **context},
        resource_policy=policy,
    )


def queue_policy(template: Template, logical_id_starts: str) -> Json:
    """The policy of a queue."""
    (policy,) = (
        each["PolicyDocument"]
        for name, each in template.resources("AWS::SQS::QueuePolicy").items()
        if name.startswith(logical_id_starts)
    )
    found: Json = policy
    return found


@pytest.mark.parametrize("queue", ["FindingsQueue", "FindingsDeadLetters"])
def test_only_our_rules_deliver_to_the_queues(queue: str, template: Template) -> None:
    """All eight rules, on both buses; without this permission, or without the key, EventBridge drops events
    silently."""
    policy, arn = queue_policy(template, queue), arn_of(template, "AWS::SQS::Queue", queue)
    rules = [
        str(template.resolve({"Fn::GetAtt": [logical_id, "Arn"]}))
        for logical_id in template.resources("AWS::Events::Rule")
    ]
    source = "aws:SourceArn"
    ours = {rule: delivered(template, "events", "sqs:SendMessage", arn, policy, **{source: rule}) for rule in rules}
    rule = rules[0]
    others = {
        "another rule": {source: rule + "-too"},
        "a rule of another account": {source: rule.replace(SECURITY_ACCOUNT, STRANGER), "aws:SourceAccount": STRANGER},
        "without encryption on the way": {source: rule, "aws:SecureTransport": "false"},
    }
    requests = {
        name: delivered(template, "events", "sqs:SendMessage", arn, policy, **each) for name, each in others.items()
    }
    requests["another service"] = delivered(template, "sns", "sqs:SendMessage", arn, policy, **{source: rule})
    assert 10 == len(ours)
    assert list(ours) == names_of(judged({**ours, **requests}), allowed=True)


def test_services_that_must_may_use_the_key(template: Template) -> None:
    """EventBridge for the queues, CloudWatch for the topic, whether or not they say for whom: if the key denies them,
    nothing arrives and nobody is notified. Whose events and alarms are let in, queues and topic say."""
    key, policy = arn_of(template, "AWS::KMS::Key"), key_policy(template)
    actions = ("kms:Decrypt", "kms:GenerateDataKey")
    needed = {
        f"{service} {action} {'for us' if said else 'without a word'}": Request(
            principal=f"{service}.amazonaws.com",
            action=action,
            resource=key,
            context=said,
            resource_policy=policy,
        )
        for service in ("events", "cloudwatch")
        for action in actions
        for said in ({}, {"aws:SourceAccount": SECURITY_ACCOUNT})
    }
    others = {
        "another service": delivered(template, "ses", "kms:Decrypt", key, policy),
        "events deletes": delivered(template, "events", "kms:ScheduleKeyDeletion", key, policy),
        "events hands it on": delivered(template, "events", "kms:CreateGrant", key, policy),
    }
    assert 8 == len(needed)
    assert list(needed) == names_of(judged({**needed, **others}), allowed=True)


def test_alarms_reach_the_topic(template: Template) -> None:
    """Alarms of this account and Region, over TLS, and no other service's messages."""
    policy = template.one("AWS::SNS::TopicPolicy")
    (topic,), document = policy["Topics"], policy["PolicyDocument"]
    alarm = f"arn:aws:cloudwatch:{REGION}:{SECURITY_ACCOUNT}:alarm:imdsv2-remediation-policy-refused"

    def publish(service: str = "cloudwatch", **context: str) -> Request:
        source = {"aws:SourceArn": alarm}
        return delivered(template, service, "sns:Publish", topic, document, **source, **context)

    requests = {
        "alarm": publish(),
        "alarm of another account": publish(**{"aws:SourceAccount": STRANGER}),
        "in the clear": publish(**{"aws:SecureTransport": "false"}),
        "another service": publish("s3"),
    }
    assert ["alarm"] == names_of(judged(requests), allowed=True)


def put_events(
    template: Template, account: str, context: Json | None = None, *, organization: str | None = ORGANIZATION
) -> Request:
    """An attempt of a role with full permissions in its account to put events on the bus."""
    belongs = {} if organization is None else {"aws:PrincipalOrgID": organization}
    statement = template.one("AWS::Events::EventBusPolicy")["Statement"]
    return Request(
        principal=session_arn("forward", account),
        action="events:PutEvents",
        resource=BUS,
        context={**CONFIG_EVENT, **belongs, **(context or {})},
        identity_policies=[EVERYTHING],
        resource_policy={"Version": "2012-10-17", "Statement": [statement]},
    )


STARTS: Json = {
    "events:source": ["aws.ec2"],
    "events:detail-type": ["EC2 Instance State-change Notification"],
}
OTHER_EVENTS: dict[str, Json] = {
    "another source": {"events:source": ["aws.config", "aws.securityhub"]},
    "another type of EC2": {**STARTS, "events:detail-type": ["EC2 Spot Instance Interruption Warning"]},
    "another type": {"events:detail-type": ["Config Rules Re-evaluation Status"]},
}


def test_members_put_config_events_on_the_bus_and_nothing_else(template: Template) -> None:
    """The service would use nothing of another event but an instance's name; even so, the bus rejects it."""
    requests = {
        "member": put_events(template, MEMBER_ACCOUNT),
        "member, of a start": put_events(template, MEMBER_ACCOUNT, STARTS),
        "member without an organisation": put_events(template, MEMBER_ACCOUNT, organization=None),
        "an account that is not listed": put_events(template, OTHER_MEMBER),
        **{name: put_events(template, MEMBER_ACCOUNT, context) for name, context in OTHER_EVENTS.items()},
    }
    assert ["member", "member, of a start", "member without an organisation"] == names_of(
        judged(requests), allowed=True
    )


def test_an_organisation_puts_config_events_on_the_bus_and_nobody_else(organization_template: Template) -> None:
    """Every account of the organisation may, including accounts that join later, without being listed."""
    members = {account: put_events(organization_template, account) for account in (MEMBER_ACCOUNT, OTHER_MEMBER)}
    others = {
        "another organisation": put_events(organization_template, STRANGER, organization=ANOTHER_ORGANIZATION),
        "no organisation": put_events(organization_template, STRANGER, organization=None),
        **{name: put_events(organization_template, MEMBER_ACCOUNT, context) for name, context in OTHER_EVENTS.items()},
    }
    assert list(members) == names_of(judged({**members, **others}), allowed=True)


def test_the_bus_takes_what_the_rule_of_a_member_sends(
    organization_template: Template, forwarding_template: Template
) -> None:
    """The rule's role may put events there and nowhere else, and the bus allows it: access across accounts needs
    both."""
    (sender,) = (each["PolicyDocument"] for each in forwarding_template.resources("AWS::IAM::Policy").values())
    sent = put_events(organization_template, MEMBER_ACCOUNT)

    def to(resource: str) -> Request:
        return Request(
            principal=sent.principal,
            action=sent.action,
            resource=resource,
            context=sent.context,
            identity_policies=[sender],
            resource_policy=EVERYTHING_FOR_ANYBODY if resource != BUS else sent.resource_policy,
        )

    requests = {
        "the bus": to(BUS),
        "another bus": to(BUS.replace("imdsv2-remediation", "default")),
        "a bus of another account": to(BUS.replace(SECURITY_ACCOUNT, STRANGER)),
    }
    assert ["the bus"] == names_of(judged(requests), allowed=True)


def test_only_the_rule_of_a_member_leaves_what_it_could_not_deliver(forwarding_template: Template) -> None:
    """Without this permission, EventBridge would drop the event silently."""
    policy = queue_policy(forwarding_template, "Undelivered")
    arn = arn_of(forwarding_template, "AWS::SQS::Queue", "Undelivered")
    rule, started = (arn_of(forwarding_template, "AWS::Events::Rule", each) for each in ("Rule", "Started"))

    def send(service: str, **context: str) -> Request:
        return delivered(forwarding_template, service, "sqs:SendMessage", arn, policy, **context)

    source = "aws:SourceArn"
    requests = {
        "the rule": send("events", **{source: rule}),
        "the rule of starts": send("events", **{source: started}),
        "another rule": send("events", **{source: f"{rule}-too"}),
        "the rule of another account": send(
            "events", **{source: rule.replace(MEMBER_ACCOUNT, STRANGER), "aws:SourceAccount": STRANGER}
        ),
        "in the clear": send("events", **{source: rule, "aws:SecureTransport": "false"}),
        "another service": send("sns", **{source: rule}),
    }
    assert ["the rule", "the rule of starts"] == names_of(judged(requests), allowed=True)
