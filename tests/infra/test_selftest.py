"""The self-test's templates: only where it was asked for, and with no more permissions than it uses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import Loader

from infra.asset import SELFTEST_MODELS
from infra.service_models import SELFTEST_OPERATIONS
from tests.infra.templates import MEMBER_ACCOUNT, ORGANIZATION, REGION, SECURITY_ACCOUNT, Template
from tests.infra.test_as_aws_deploys import steps
from tests.infra.test_asset import described, model
from tests.infra.test_permissions import (
    ENTRANTS,
    HUB_V2,
    JUDGES,
    MARKED,
    PARAMETER,
    REQUIRE,
    Request,
    arn_of,
    by_function,
    entering,
    function_role,
    in_account,
    judged,
    names_of,
    role_arn,
    with_policy,
)

if TYPE_CHECKING:
    from pathlib import Path

ROLE = "imdsv2-remediation-selftest"
LARGEST_TEMPLATE_IN_A_STACK_SET = 51_200
"""Bytes that CloudFormation accepts in TemplateBody."""
STACKS = ("selftest_template", "selftest_member_template")

TAG = "imdsv2:selftest"
LAUNCHED = {f"aws:RequestTag/{TAG}": "execution", "aws:TagKeys": [TAG, "Name"]}
SMALL = {"ec2:InstanceType": "t4g.nano", **LAUNCHED}
SMALL_VOLUME = {"ec2:VolumeSize": "8", **LAUNCHED}
OURS = {f"aws:ResourceTag/{TAG}": "execution"}
IMAGE = f"arn:aws:ec2:{REGION}::image/ami-0123456789abcdef0"
ACTS = ("GetConsoleOutput", "RebootInstances", "StartInstances", "StopInstances", "TerminateInstances")
CONFIG = ("DescribeConfigRules", "DescribeConfigurationRecorderStatus", "DescribeConfigurationRecorders")
INSIDE = {"aws:PrincipalOrgID": ORGANIZATION, "aws:ResourceOrgID": ORGANIZATION}
MODIFY = "ec2:ModifyInstanceMetadataOptions"


def here(template: Template, kind: str, name: str = "0123456789abcdef0") -> str:
    return f"arn:aws:ec2:{REGION}:{template.account}:{kind}/{name}"


def calls_in_account(template: Template) -> dict[str, Request]:
    """Every call of the self-test in the account under test, with every resource on which IAM checks it."""
    run, tag = "ec2:RunInstances", {"ec2:CreateAction": "RunInstances", **LAUNCHED}
    # AWS's public parameters have no account in their ARN, which this evaluator does not take; the policy has a wildcard there.
    image_parameter = "aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
    parameter = f"arn:aws:ssm:{REGION}:{template.account}:parameter/{image_parameter}"
    calls: list[tuple[str, str, dict[str, Any]]] = [
        (run, here(template, "instance", "*"), SMALL),
        (run, here(template, "volume", "*"), SMALL_VOLUME),
        (run, here(template, "network-interface", "*"), {}),
        (run, here(template, "subnet"), {}),
        (run, here(template, "security-group"), {}),
        ("ec2:CreateTags", here(template, "instance", "*"), tag),
        ("ec2:CreateTags", here(template, "volume", "*"), tag),
        (MODIFY, here(template, "instance"), {**OURS, **REQUIRE}),
        *((f"ec2:{act}", here(template, "instance"), OURS) for act in ACTS),
        ("ssm:GetParameter", parameter, {}),
        *((f"ec2:{act}", "*", {}) for act in ("DescribeInstances",)),
        *((f"cloudwatch:{act}", "*", {}) for act in ("GetMetricData", "ListMetrics")),
        ("cloudtrail:LookupEvents", "*", {}),
        *((f"config:{act}", "*", {}) for act in CONFIG),
        *((f"securityhub:{act}", "*", {}) for act in ("DescribeHub", "DescribeSecurityHubV2")),
    ]
    # The image is Amazon's, who let everybody use it.
    of_image = in_account(template, ROLE, run, IMAGE, {"ec2:Owner": "amazon"})
    return {"image": of_image} | {
        f"{action} {resource}": in_account(template, ROLE, action, resource, context)
        for action, resource, context in calls
    }


def calls_at_home(template: Template) -> dict[str, Request]:
    """Every call of the function with its own role."""
    place = f"{REGION}:{SECURITY_ACCOUNT}"
    calls = [
        ("s3:GetObject", f"{arn_of(template, 'AWS::S3::Bucket', 'SweepResults')}/selftest/execution/seen.json"),
        ("s3:PutObject", f"{arn_of(template, 'AWS::S3::Bucket', 'SweepResults')}/selftest/execution/result.csv"),
        ("dynamodb:Query", arn_of(template, "AWS::DynamoDB::Table")),
        ("ssm:GetParameter", PARAMETER),
        ("ssm:PutParameter", PARAMETER),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{place}:function:imdsv2-remediation-manual"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{place}:function:imdsv2-remediation-check"),
        ("cloudformation:ListStackInstances", "*"),
        ("securityhub:DescribeSecurityHubV2", "*"),
        ("securityhub:GetFindings", HUB_V2),
    ]
    return {f"{action} {resource}": by_function(template, "selftest", action, resource) for action, resource in calls}


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_called_in_the_account_is_allowed(stack: str, request: pytest.FixtureRequest) -> None:
    """A launch is checked on everything that it makes and uses."""
    assert [] == names_of(judged(calls_in_account(request.getfixturevalue(stack))), allowed=False)


def test_what_is_called_at_home_is_allowed(selftest_template: Template) -> None:
    """With the function's own role."""
    assert [] == names_of(judged(calls_at_home(selftest_template)), allowed=False)


def test_every_operation_that_is_shipped_is_judged_here(
    selftest_template: Template, selftest_member_template: Template
) -> None:
    """An operation that is added to the code must be added to these tests; otherwise this test fails."""
    requests = calls_at_home(selftest_template) | calls_in_account(selftest_member_template)
    authorised_as = {"securityhub:GetFindingsV2": "securityhub:GetFindings", "lambda:Invoke": "lambda:InvokeFunction"}
    called = {f"{service}:{operation}" for service, several in SELFTEST_OPERATIONS.items() for operation in several}
    judged_here = {each.action for each in requests.values()}
    assert {"sts:AssumeRole"} == {authorised_as.get(each, each) for each in called} - judged_here


@pytest.mark.parametrize("stack", STACKS)
def test_its_role_can_launch_and_touch_nothing_else(stack: str, request: pytest.FixtureRequest) -> None:
    """Regardless of a mistake in the function, or an intruder who controls it."""
    roles = request.getfixturevalue(stack)
    instance, run = here(roles, "instance"), "ec2:RunInstances"
    other_tag = {"aws:ResourceTag/owner": "team", **MARKED}
    attempts: list[tuple[str, str, str, dict[str, Any]]] = [
        ("a larger instance", run, here(roles, "instance", "*"), {**SMALL, "ec2:InstanceType": "p5.48xlarge"}),
        ("an instance without the tag", run, here(roles, "instance", "*"), {"ec2:InstanceType": "t4g.nano"}),
        ("a large volume", run, here(roles, "volume", "*"), {**SMALL_VOLUME, "ec2:VolumeSize": "16000"}),
        ("an image of a stranger", run, IMAGE, {"ec2:Owner": "999999999999"}),
        ("a key pair", run, here(roles, "key-pair", "somebody"), {}),
        ("an instance profile", "iam:PassRole", role_arn("Administrator", roles.account), {}),
        ("a tag on what is there", "ec2:CreateTags", instance, LAUNCHED),
        ("a tag at another creation", "ec2:CreateTags", instance, {**LAUNCHED, "ec2:CreateAction": "CreateVolume"}),
        ("a tag away", "ec2:DeleteTags", instance, {**OURS, "aws:TagKeys": [TAG]}),
        *((f"{act} elsewhere", f"ec2:{act}", instance, context) for act in ACTS for context in ({}, other_tag)),
        ("the options of another", MODIFY, instance, {**REQUIRE, **other_tag}),
        ("the account's defaults", "ec2:ModifyInstanceMetadataDefaults", "*", {}),
        ("a secret", "ssm:GetParameter", f"arn:aws:ssm:{REGION}:{roles.account}:parameter/secret", {}),
        ("metrics", "cloudwatch:PutMetricData", "*", {}),
        ("findings", "securityhub:GetFindings", "*", {}),
    ]
    requests = {
        f"{name} {number}": in_account(roles, ROLE, action, resource, context)
        for number, (name, action, resource, context) in enumerate(attempts)
    }
    assert [] == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("stack", STACKS)
def test_only_its_own_function_enters_its_role(stack: str, request: pytest.FixtureRequest) -> None:
    """And it enters no other: to enforce, it has to ask the function `manual` like everybody else."""
    roles = request.getfixturevalue(stack)
    functions = (*JUDGES, "check", "custom-action", "selftest")
    requests = {
        f"{function} enters {role}": entering(roles, role, principal_role=function_role(function))
        for function in functions
        for role in (ROLE, *ENTRANTS)
        if ROLE == role or function == "selftest"
    }
    assert [f"selftest enters {ROLE}"] == names_of(judged(requests), allowed=True)


def test_the_function_may_assume_only_that_role(
    selftest_template: Template, selftest_member_template: Template
) -> None:
    """Whatever other roles trust it."""
    trust = selftest_member_template.one("AWS::IAM::Role", RoleName=ROLE)["AssumeRolePolicyDocument"]
    context = {"aws:PrincipalArn": role_arn(function_role("selftest")), **INSIDE}
    requests = {
        role: with_policy(
            by_function(selftest_template, "selftest", "sts:AssumeRole", role_arn(role, MEMBER_ACCOUNT), **context),
            trust,
        )
        for role in (ROLE, *ENTRANTS, "OrganizationAccountAccessRole")
    }
    assert [ROLE] == names_of(judged(requests), allowed=True)


def test_the_function_can_do_no_more_at_home_than_it_does(selftest_template: Template) -> None:
    """It reads the ledger and writes nothing there; it reads and writes only its own results."""
    table = arn_of(selftest_template, "AWS::DynamoDB::Table")
    bucket = arn_of(selftest_template, "AWS::S3::Bucket", "SweepResults")
    attempts = [
        ("dynamodb:UpdateItem", table),
        ("dynamodb:PutItem", table),
        ("s3:GetObject", f"{bucket}/execution/plan.json"),
        ("s3:PutObject", f"{bucket}/execution/summary.json"),
        ("ssm:PutParameter", f"{PARAMETER}-of-another"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{SECURITY_ACCOUNT}:function:imdsv2-remediation-guard"),
        ("securityhub:BatchUpdateFindings", HUB_V2),
        ("cloudformation:CreateStackInstances", "*"),
    ]
    requests = {f"{action} {on}": by_function(selftest_template, "selftest", action, on) for action, on in attempts}
    assert [] == names_of(judged(requests), allowed=True)


@pytest.mark.parametrize("stack", ["template", "member_template", "organization_template"])
def test_without_the_setting_there_is_nothing_of_it(stack: str, request: pytest.FixtureRequest) -> None:
    """No role, no function, no state machine, no output."""
    assert "selftest" not in str(request.getfixturevalue(stack).document).lower().replace("selftest_models", "")


def test_what_a_person_stops_has_its_instances_ended(selftest_template: Template) -> None:
    """Stopped, timed out or failed: the function is asked, with what Step Functions tells, by this rule alone."""
    name, place = "imdsv2-remediation-selftest", f"{REGION}:{SECURITY_ACCOUNT}"
    rule = selftest_template.one("AWS::Events::Rule", Name=f"{name}-stopped")
    assert {
        "stateMachineArn": [f"arn:aws:states:{place}:stateMachine:{name}"],
        "status": ["ABORTED", "FAILED", "TIMED_OUT"],
    } == rule["EventPattern"]["detail"]
    [target] = rule["Targets"]
    assert f"arn:aws:lambda:{place}:function:{name}" == target["Arn"]
    assert '{"step": "end_left", "state": <detail>}' == target["InputTransformer"]["InputTemplate"]
    permission = selftest_template.one("AWS::Lambda::Permission", Principal="events.amazonaws.com")
    assert (target["Arn"], f"arn:aws:events:{place}:rule/{name}-stopped") == (
        permission["FunctionName"],
        permission["SourceArn"],
    )


def test_its_role_fits_into_the_template_of_a_stack_set(selftest_assembly: Path) -> None:
    """The StackSet carries the member template as text."""
    size = len((selftest_assembly / "Imdsv2RemediationMember.template.json").read_bytes())
    assert size < LARGEST_TEMPLATE_IN_A_STACK_SET


def test_its_handler_starts_from_what_is_shipped_alone(selftest_assembly: Path, selftest_template: Template) -> None:
    """In an interpreter that sees nothing else, in the environment that the template gives it."""
    [asset] = selftest_assembly.glob("asset.*")
    function = selftest_template.one("AWS::Lambda::Function", FunctionName="imdsv2-remediation-selftest")
    environment = {
        **{name: str(value) for name, value in function["Environment"]["Variables"].items()},
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
    }
    script = f"import sys; sys.path.insert(0, {str(asset)!r}); import selftest; selftest.handler"
    command = [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", script]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "" == run.stderr


@pytest.mark.parametrize(
    ("service", "operation"),
    [(service, operation) for service, several in SELFTEST_OPERATIONS.items() for operation in sorted(several)],
)
def test_an_operation_that_is_shipped_is_whole(service: str, operation: str, selftest_assembly: Path) -> None:
    """Input, output and errors equal those of the full model, at any depth."""
    [asset] = selftest_assembly.glob("asset.*")
    shipped = Loader(extra_search_paths=[str(asset / SELFTEST_MODELS)], include_default_search_paths=False)
    assert described(model(Loader(), service).operation_model(operation)) == described(
        model(shipped, service).operation_model(operation)
    )


def test_a_self_test_waits_for_lambda_to_have_room(selftest_template: Template) -> None:
    """In an account with few concurrent executions, one refused start would end a test of hours, or an instance later."""
    name = "imdsv2-remediation-selftest"
    machine = selftest_template.one("AWS::StepFunctions::StateMachine", StateMachineName=name)
    invoking = steps(json.loads(machine["DefinitionString"]))
    assert 6 == len(invoking)
    for step in invoking:
        errors = [each["ErrorEquals"] for each in step["Retry"]]
        busy = errors.index(["Lambda.TooManyRequestsException"])
        assert all(errors.index(each) > busy for each in errors if "States.ALL" in each), "the first that fits is taken"
        assert (100, 60, "FULL") == tuple(
            step["Retry"][busy][each] for each in ("MaxAttempts", "MaxDelaySeconds", "JitterStrategy")
        )
