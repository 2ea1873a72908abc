"""Commands that look after the service itself: sweep, selftest, sources, exempt, policy check and diff, doctor."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.version import VERSION, VERSION_TAG
from tests.cli.conftest import OUTPUTS, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Aws

EXECUTION = "arn:aws:states:eu-west-1:111111111111:execution:imdsv2-remediation-sweep:one"
TOTALS = {
    "dry_run": True,
    "places": 2,
    "instances": 5,
    "imdsv1_allowed": 3,
    "already_required": 2,
    "by_verdict": {"unused": 2, "v1_in_use": 1},
    "errors": 0,
    "unreachable": 1,
    "bucket": "results",
    "key": "one/summary.json",
}
PLACES = [
    {"account": "222222222222", "region": "eu-west-1", "instances": 5, "by_verdict": {"unused": 2}, "error": None},
    {"account": "222222222222", "region": "us-east-1", "instances": 0, "by_verdict": {}, "error": None},
]
WEB = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0a1b2c3d4e5f60718"


@pytest.fixture
def machine(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """A state machine that runs for two looks, and ends with a result."""
    monkeypatch.setattr("imdsv2_cli.executions.time.sleep", lambda _: None)
    statuses = iter(("RUNNING", "RUNNING"))
    aws.answers["stepfunctions", "start_execution"] = {"executionArn": EXECUTION}
    aws.answers["stepfunctions", "describe_execution"] = lambda **_: {
        "status": next(statuses, "SUCCEEDED"),
        "output": json.dumps(TOTALS),
    }
    aws.answers["stepfunctions", "list_map_runs"] = {"mapRuns": [{"mapRunArn": "map"}]}
    aws.answers["stepfunctions", "describe_map_run"] = {"itemCounts": {"succeeded": 1, "failed": 0, "total": 2}}
    summary = {"places": PLACES, "unreachable": {"333333333333": "AccessDenied"}}
    aws.answers["s3", "get_object"] = lambda **_: {"Body": io.BytesIO(json.dumps(summary).encode())}
    return aws


def started(aws: Aws) -> list[Any]:
    return [json.loads(each["input"]) for each in aws.requests("start_execution")]


def test_a_sweep_is_dry_followed_and_shown_by_place(machine: Aws) -> None:
    """Places without instances are in the document only; an account that could not be entered is a failure."""
    done = run("sweep", "--account", "222222222222", "--in-region", "eu-west-1")
    assert 1 == done.exit_code, done.output
    assert [{"dry_run": True, "accounts": ["222222222222"], "regions": ["eu-west-1"]}] == started(machine)
    assert ("AccessDenied" in done.stdout, "us-east-1" in done.stdout) == (True, False)
    assert "5 instances, 3 allow IMDSv1. Verdicts: 2 unused, 1 v1_in_use." in done.stdout


def test_a_real_sweep_wants_a_yes(machine: Aws) -> None:
    """It may change instances."""
    assert (2, []) == (run("sweep", "--real").exit_code, started(machine))
    run("sweep", "--real", "--yes", "--no-wait")
    assert [{"dry_run": False}] == started(machine)


def test_a_sweep_may_be_left_and_followed_again(machine: Aws) -> None:
    """By its ARN."""
    assert f"imdsv2 sweep --execution {EXECUTION}" in run("sweep", "--no-wait").stdout
    assert "5 instances, 3 allow IMDSv1." in run("sweep", "--execution", EXECUTION).stdout
    assert 1 == len(started(machine))


def test_a_sweep_that_failed_says_why(machine: Aws) -> None:
    """Exit code 1."""
    machine.answers["stepfunctions", "describe_execution"] = {
        "status": "FAILED",
        "cause": "no account could be looked at",
    }
    done = run("sweep")
    assert (1, True) == (done.exit_code, "no account could be looked at" in done.stderr)


def test_a_sweep_of_its_own_account_alone_says_so(machine: Aws) -> None:
    """That is seldom what was meant."""
    own = {"places": [{**PLACES[0], "account": "111111111111"}], "unreachable": {}}
    machine.answers["s3", "get_object"] = lambda **_: {"Body": io.BytesIO(json.dumps(own).encode())}
    assert "Only the service's own account 111111111111 was swept" in run("sweep").stderr


def test_a_sweep_of_a_mistyped_region_is_not_started(machine: Aws) -> None:
    """The sweep's own parser refuses it first."""
    done = run("sweep", "--in-region", "eu-wst-1")
    assert (2, True, []) == (done.exit_code, "did you mean eu-west-1" in done.stderr, started(machine))


def test_a_selftest_that_is_not_deployed_says_how(aws: Aws) -> None:
    """It is off by default."""
    done = run("selftest", "--account", "222222222222")
    assert (1, True) == (done.exit_code, '"selftest": true' in done.stderr)


def test_a_selftest_shows_its_plan_first_and_its_beliefs_at_the_end(
    machine: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A belief that is contradicted is a failure."""
    monkeypatch.setitem(OUTPUTS, "SelfTestStateMachineArn", "arn:selftest")
    stack = {"Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items()]}
    machine.answers["cloudformation", "describe_stacks"] = {"Stacks": [stack]}
    outputs = iter(({"plan": "5 instances", "usd_at_most": 0.4}, {"bucket": "results", "key": "result.json"}))
    machine.answers["stepfunctions", "describe_execution"] = lambda **_: {
        "status": "SUCCEEDED",
        "output": json.dumps(next(outputs)),
    }
    outcomes = ("confirmed", "contradicted", "not tried")
    beliefs = [{"belief": f"b{number}", "outcome": outcome} for number, outcome in enumerate(outcomes)]
    found = json.dumps({"beliefs": beliefs, "next": "Set observe.", "policy": None}).encode()
    machine.answers["s3", "get_object"] = lambda **_: {"Body": io.BytesIO(found)}
    done = run("selftest", "--account", "222222222222", "--yes")
    assert (1, True) == (done.exit_code, "usd_at_most: 0.4" in done.stderr), done.output
    plan, real = started(machine)
    assert ({**plan, "confirm": True}, "222222222222") == (real, plan["account"])
    assert "2 beliefs tried, 1 contradicted, 1 not tried." in done.stdout
    assert "Set observe.\n" in done.stderr


def test_a_selftest_that_was_interrupted_says_where_its_result_lies(
    machine: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its execution has no output then."""
    monkeypatch.setitem(OUTPUTS, "SelfTestStateMachineArn", "arn:selftest")
    stack = {"Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items()]}
    machine.answers["cloudformation", "describe_stacks"] = {"Stacks": [stack]}
    machine.answers["stepfunctions", "describe_execution"] = lambda **_: {
        "status": "FAILED",
        "cause": "VcpuLimitExceeded: You have requested more vCPU capacity than your current limit.",
    }
    execution = "arn:aws:states:eu-west-1:111111111111:execution:imdsv2-remediation-selftest:5d0c"
    done = run("selftest", "--account", "222222222222", "--execution", execution)
    assert 1 == done.exit_code
    assert "VcpuLimitExceeded" in done.stderr
    assert "selftest/5d0c/result.json" in done.stderr


def source(language: str) -> dict[str, Any]:
    remedy = {
        "language": language,
        "apply": "now",
        "says": "Requires tokens.",
        "text": 'http_tokens = "required"\n  x = 1',
    }
    return {
        "account": "222222222222",
        "region": "eu-west-1",
        "kind": "auto_scaling_group",
        "name": "web",
        "owners": [{"manager": "terraform"}],
        "allowing_imdsv1": 3,
        "verdict": "fix_source",
        "remedies": [remedy],
    }


def test_sources_print_the_remedies_of_one_language(aws: Aws) -> None:
    """As text to copy, with its indentation; another language is refused with those there are."""
    aws.on_invoke("manual", {"results": [source("terraform")], "images": [], "problems": []})
    there = ("--account", "222222222222", "--in-region", "eu-west-1")
    assert '\nhttp_tokens = "required"\n  x = 1\n' in run("sources", *there, "--language", "terraform").stdout
    assert "terraform" in run("sources", *there).stdout
    refused = run("sources", *there, "--language", "cdk")
    assert (2, True) == (refused.exit_code, "there are remedies in terraform" in refused.stderr)


def test_an_exemption_needs_rights_in_the_account(aws: Aws) -> None:
    """Else the error names the three ways."""
    aws.answers["ssm", "get_parameter"] = {
        "Parameter": {"Value": "{}", "Version": 1, "LastModifiedDate": datetime.now(UTC)}
    }
    aws.answers["ssm", "describe_parameters"] = {"Parameters": []}
    done = run("exempt", WEB, "--until", "30d", "--yes")
    assert (2, True) == (
        done.exit_code,
        "--account-role, a profile with --account-profile, or use imdsv2 hold" in done.stderr,
    )


def test_an_exemption_is_a_tag_that_ec2_is_asked_about_first(aws: Aws) -> None:
    """In the caller's own account, with the caller's own rights; the tag is the policy's."""
    own = WEB.replace("222222222222", "111111111111")
    policy = {"Value": '{"exempt_tag": "keep-v1"}', "Version": 1, "LastModifiedDate": datetime.now(UTC)}
    aws.answers["ssm", "get_parameter"] = {"Parameter": policy}
    aws.answers["ssm", "describe_parameters"] = {"Parameters": []}
    permitted = ClientError({"Error": {"Code": "DryRunOperation", "Message": ""}}, "CreateTags")
    aws.answers["ec2", "create_tags"] = lambda **given: permitted if given.get("DryRun") else {}
    assert 0 == run("exempt", own, "--until", "2999-12-31", "--yes").exit_code
    tags = {"Resources": ["i-0a1b2c3d4e5f60718"], "Tags": [{"Key": "keep-v1", "Value": "2999-12-31"}]}
    assert [{**tags, "DryRun": True}, tags] == aws.requests("create_tags")


@pytest.mark.parametrize(("ahead", "told"), [(400, False), (401, True)])
def test_an_exemption_that_the_policy_cuts_short_is_told(aws: Aws, ahead: int, told: bool) -> None:
    """Before it is written; one instance is one instance."""
    own = WEB.replace("222222222222", "111111111111")
    aws.answers["ssm", "get_parameter"] = {
        "Parameter": {"Value": "{}", "Version": 1, "LastModifiedDate": datetime.now(UTC)}
    }
    aws.answers["ssm", "describe_parameters"] = {"Parameters": []}
    permitted = ClientError({"Error": {"Code": "DryRunOperation", "Message": ""}}, "CreateTags")
    aws.answers["ec2", "create_tags"] = lambda **given: permitted if given.get("DryRun") else {}
    until = f"{datetime.now(UTC).date() + timedelta(days=ahead)}"
    done = run("exempt", own, "--until", until, "--dry-run")
    assert (0, True) == (done.exit_code, "Nothing was changed." in done.stdout)
    assert told is ("The policy allows 400 days at a time" in done.stderr)
    assert "The service reads the tag when it judges next" in run("exempt", own, "--until", until, "--yes").stdout


@pytest.fixture
def ledger(aws: Aws) -> Aws:
    """A policy that observes, and four instances in the ledger."""
    parameter = {"Value": '{"mode": "observe"}', "Version": 3, "LastModifiedDate": datetime.now(UTC)}
    earlier = {**parameter, "Value": '{"mode": "off", "lookback_days": 60}', "Version": 2}
    aws.answers["ssm", "get_parameter"] = lambda Name: {"Parameter": earlier if Name.endswith(":2") else parameter}  # noqa: N803
    aws.answers["ssm", "describe_parameters"] = {"Parameters": []}
    reasons = ["unused", "unused", "v1_in_use", "exempt"]
    arns = [WEB.replace("i-0", f"i-{number}") for number in range(4)]

    def query(**given: Any) -> dict[str, Any]:
        first = given["ExpressionAttributeValues"][":shard"] == {"N": "0"}
        return {"Items": [{"pk": {"S": arn}} for arn in arns] if first else []}

    aws.answers["dynamodb", "query"] = query
    items = [{"pk": {"S": arn}, "reason": {"S": reason}} for arn, reason in zip(arns, reasons, strict=True)]
    aws.answers["dynamodb", "batch_get_item"] = {"Responses": {"Ledger": items}}
    return aws


def test_check_says_which_verdicts_a_policy_reopens(ledger: Aws) -> None:
    """By the ledger's index and its items; nothing is scanned or written."""
    answer = json.loads(run("policy", "check", "mode=enforce", "-o", "json").stdout)
    assert ({"unused": 2, "exempt": 0}, 4) == ({"exempt": 0, **answer["judged_again"]}, answer["in_ledger"])
    assert {"query", "batch_get_item"} == {name for service, name, _ in ledger.asked if service == "dynamodb"}
    assert [] == ledger.requests("put_parameter")


def test_check_says_what_becomes_of_each_verdict(ledger: Aws) -> None:
    """And what the ledger does not tell; in a table, too."""
    answer = json.loads(run("policy", "check", "mode=off", "exempt_tag=keep", "-o", "json").stdout)
    assert [("unused", None, 2), ("exempt", None, 1)] == [
        (each["reason"], each["becomes"], each["instances"]) for each in answer["outcomes"]
    ]
    done = run("policy", "check", "mode=off")
    assert ("switched_off" in done.stdout, "2 of 4 instances" in done.stdout) == (True, True), done.stdout


def test_check_refuses_what_the_service_would_refuse(ledger: Aws, tmp_path: Path) -> None:
    """From a file, too."""
    (tmp_path / "policy.json").write_text('{"mode": "enforce", "watch_hours": 1}')
    done = run("policy", "check", "--from", str(tmp_path / "policy.json"))
    assert (2, True) == (done.exit_code, "watch_hours" in done.stderr)


def test_diff_compares_with_an_earlier_version(ledger: Aws) -> None:
    """From then to now; without a difference it ends with 3."""
    changes = json.loads(run("policy", "diff", "--version", "2", "-o", "json").stdout)["changes"]
    assert {"mode": ("off", "observe"), "lookback_days": (60, 35)} == {
        each["field"]: (each["before"], each["after"]) for each in changes
    }
    assert 3 == run("policy", "diff", "mode=observe").exit_code


@pytest.fixture
def sound(ledger: Aws) -> Aws:
    """An installation without a fault."""
    aws, now = ledger, datetime.now(UTC)
    stack = {**aws.answers["cloudformation", "describe_stacks"]["Stacks"][0], "StackStatus": "UPDATE_COMPLETE"}
    stack["Tags"] = [{"Key": VERSION_TAG, "Value": VERSION}]
    stack["Outputs"] = [*stack["Outputs"], {"OutputKey": "FindingsDeadLetterQueueUrl", "OutputValue": "https://dlq"}]
    rule = {"ResourceType": "AWS::Events::Rule", "PhysicalResourceId": "imdsv2-remediation-config"}
    checks = [
        {
            "role": "write",
            "operation": "create_tags",
            "sends": {},
            "must_be": "DryRunOperation",
            "answer": "DryRunOperation",
            "passed": True,
        }
    ]
    aws.answers |= {
        ("cloudformation", "describe_stacks"): {"Stacks": [stack]},
        ("cloudformation", "list_stack_resources"): {"StackResourceSummaries": [rule]},
        ("cloudformation", "list_stack_instances"): {"Summaries": [{"Status": "CURRENT"}]},
        ("lambda", "get_function_configuration"): {"State": "Active", "LastUpdateStatus": "Successful"},
        ("lambda", "list_event_source_mappings"): {"EventSourceMappings": [{"UUID": "u-1", "State": "Enabled"}]},
        ("scheduler", "get_schedule"): {"State": "ENABLED"},
        ("sqs", "get_queue_attributes"): {"Attributes": {"ApproximateNumberOfMessages": "0"}},
        ("events", "describe_rule"): {"Name": "imdsv2-remediation-config", "State": "ENABLED"},
        ("sns", "list_subscriptions_by_topic"): {"Subscriptions": [{"SubscriptionArn": "arn:aws:sns:x"}]},
        ("cloudwatch", "describe_alarms"): {
            "MetricAlarms": [{"AlarmName": "imdsv2-remediation-throttled", "StateValue": "OK"}]
        },
        ("stepfunctions", "list_executions"): {
            "executions": [{"status": "SUCCEEDED", "startDate": now - timedelta(hours=5), "executionArn": EXECUTION}]
        },
        ("stepfunctions", "describe_execution"): {"input": '{"dry_run": false, "spare_hours": 20}'},
        ("securityhub", "describe_hub"): {},
        ("securityhub", "list_finding_aggregators"): {
            "FindingAggregators": [
                {"FindingAggregatorArn": "arn:aws:securityhub:eu-west-1:111111111111:finding-aggregator/1"}
            ]
        },
        ("securityhub", "describe_organization_configuration"): {},
        ("config", "describe_configuration_recorders"): {"ConfigurationRecorders": [{"name": "default"}]},
        ("config", "describe_configuration_recorder_status"): {
            "ConfigurationRecordersStatus": [{"name": "default", "recording": True}]
        },
    }
    found = {"target": WEB, "name": "web", "http_tokens": "optional", "http_endpoint": "enabled"}
    aws.on_invoke("manual", {"count": 1, "results": [found], "unknown": [], "problems": []})
    checked = {"target": WEB, "endpoint": "enabled", "passed": True, "checks": checks, "problem": None}
    answer = {"passed": True, "unproved": [], "versions": {"outdated": []}, "results": [checked]}
    aws.on_invoke("check", examined(answer))
    return aws


RECORDER = {"name": "default", "recording": True, "instances": True, "role": "arn:aws:iam::222222222222:role/recorder"}


def examined(roles: dict[str, Any], *recorders: dict[str, Any], problem: str | None = None) -> Callable[[Any], Any]:
    """What the function answers about roles, and about Config where it is asked for that."""

    def answer(payload: Any) -> Any:
        found = {"recorders": [*recorders] or [RECORDER], "problem": problem}
        return {"results": [{**place, **found} for place in payload["places"]]} if "places" in payload else roles

    return answer


def test_a_sound_installation_has_no_fault(sound: Aws) -> None:
    """And nothing that is unproved."""
    done = run("doctor", "-o", "json")
    checks = json.loads(done.stdout)["checks"]
    assert (0, {"well"}) == (done.exit_code, {each["outcome"] for each in checks}), checks


def disabled(function: str) -> Callable[..., dict[str, Any]]:
    """What Lambda answers where one function is handed nothing any more."""

    def answer(FunctionName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        state = "Disabled" if FunctionName.endswith(f"-{function}") else "Enabled"
        return {"EventSourceMappings": [{"UUID": "u-1", "State": state}]}

    return answer


ALARM = {"AlarmName": "imdsv2-remediation-guard-silent", "StateValue": "ALARM", "AlarmDescription": "No pass."}
BROKEN: dict[str, tuple[tuple[str, str], Any, str]] = {
    "version": (
        ("cloudformation", "describe_stacks"),
        {"Tags": [{"Key": VERSION_TAG, "Value": "0.1.0"}]},
        "cdk deploy",
    ),
    "stack": (
        ("cloudformation", "describe_stacks"),
        {"StackStatus": "UPDATE_ROLLBACK_FAILED"},
        "describe-stack-events",
    ),
    "functions": (("lambda", "get_function_configuration"), {"State": "Failed"}, "cdk deploy"),
    "schedules": (("scheduler", "get_schedule"), {"State": "DISABLED"}, "enable it"),
    "queue": (
        ("lambda", "list_event_source_mappings"),
        disabled("remediate"),
        "update-event-source-mapping --uuid u-1 --enabled",
    ),
    "events": (
        ("lambda", "list_event_source_mappings"),
        disabled("broadcast"),
        "update-event-source-mapping --uuid u-1 --enabled",
    ),
    "dead letters": (
        ("sqs", "get_queue_attributes"),
        {"Attributes": {"ApproximateNumberOfMessages": "3"}},
        "start-message-move-task",
    ),
    "rules": (
        ("events", "describe_rule"),
        {"State": "DISABLED"},
        "aws events enable-rule --name imdsv2-remediation-config",
    ),
    "subscriptions": (("sns", "list_subscriptions_by_topic"), {"Subscriptions": []}, "aws sns subscribe --topic-arn"),
    "alarms": (("cloudwatch", "describe_alarms"), {"MetricAlarms": [ALARM]}, "docs/operations.md, guard-silent"),
    "last sweep": (
        ("stepfunctions", "list_executions"),
        {"executions": [{"status": "FAILED", "startDate": datetime.now(UTC), "executionArn": EXECUTION}]},
        "redrive-execution",
    ),
    "aggregation Region": (
        ("securityhub", "list_finding_aggregators"),
        {"FindingAggregators": [{"FindingAggregatorArn": "arn:aws:securityhub:us-east-1:1:finding-aggregator/1"}]},
        "deploy the service in us-east-1",
    ),
    "StackSets": (
        ("cloudformation", "list_stack_instances"),
        {"Summaries": [{"Status": "OUTDATED", "Account": "222222222222", "Region": "eu-west-1"}]},
        "update-stack-instances",
    ),
}


@pytest.mark.parametrize("check", BROKEN)
def test_each_fault_is_found_with_what_mends_it(sound: Aws, check: str) -> None:
    """And nothing else is a fault."""
    operation, answer, mend = BROKEN[check]
    before = sound.answers[operation]
    if operation == ("cloudformation", "describe_stacks"):
        answer = {"Stacks": [{**before["Stacks"][0], **answer}]}
    elif operation == ("events", "describe_rule"):
        answer = {**before, **answer}
    sound.answers[operation] = answer
    done = run("doctor", "-o", "json")
    faults = [each for each in json.loads(done.stdout)["checks"] if each["outcome"] == "fault"]
    assert (1, {check}) == (done.exit_code, {each["check"] for each in faults})
    assert all(mend in each["mend"] for each in faults)


def test_each_stack_of_a_large_organisation_is_looked_at(sound: Aws) -> None:
    """StackSets answer by the hundred; suspended accounts are none of anybody's faults, and one is repeated in its place alone."""
    current = [{"Status": "CURRENT", "Account": f"{number:012}", "Region": "eu-west-1"} for number in range(100)]
    suspended = {"Status": "OUTDATED", "StackInstanceStatus": {"DetailedStatus": "SKIPPED_SUSPENDED_ACCOUNT"}}
    failed = {"Status": "OUTDATED", "Region": "eu-north-1", "OrganizationalUnitId": "ou-ab12-cd34ef56"}
    later = [{**current[0], **suspended}, {**failed, "Account": "333333333333", "StatusReason": "exists already"}]
    sound.answers["cloudformation", "list_stack_instances"] = [{"Summaries": current}, {"Summaries": later}]
    checks = json.loads(run("doctor", "-o", "json").stdout)["checks"]
    [member, forwarding] = [each for each in checks if each["outcome"] == "fault"]
    assert ("StackSets", True) == (
        member["check"],
        "account 333333333333, eu-north-1: exists already" in member["found"],
    )
    assert member["mend"].endswith(
        "update-stack-instances --call-as DELEGATED_ADMIN --stack-set-name Imdsv2RemediationMember --regions eu-north-1"
        " --deployment-targets OrganizationalUnitIds=ou-ab12-cd34ef56,Accounts=333333333333,AccountFilterType=INTERSECTION"
    )
    assert "Imdsv2RemediationForwarding" in forwarding["mend"]
    assert 2 == sum("100 of 101 stacks are current" in each["found"] for each in checks)


def test_roles_that_allow_too_much_or_are_outdated_are_faults(sound: Aws) -> None:
    """As EC2's dry runs say."""
    wrong = {
        "role": "write",
        "operation": "create_tags",
        "sends": {},
        "must_be": "UnauthorizedOperation",
        "answer": "DryRunOperation",
        "passed": False,
    }
    checked = {"target": WEB, "endpoint": "enabled", "passed": False, "checks": [wrong], "problem": None}
    outdated = ["Account 222222222222 has the roles of version 0.6.0."]
    roles = {"passed": False, "unproved": ["name another"], "versions": {"outdated": outdated}, "results": [checked]}
    sound.on_invoke("check", examined(roles))
    checks = json.loads(run("doctor", "-o", "json").stdout)["checks"]
    assert {"roles", "versions of roles"} == {each["check"] for each in checks if each["outcome"] == "fault"}
    assert ["name another"] == [each["found"] for each in checks if each["outcome"] == "unproved"]


NOT_RECORDING = {
    "stopped": (
        {**RECORDER, "recording": False},
        "start-configuration-recorder --region eu-west-1 --configuration-recorder-name default",
    ),
    "other resources": (
        {**RECORDER, "name": "few", "instances": False},
        "put-configuration-recorder --region eu-west-1 --configuration-recorder name=few,roleARN=arn:aws:iam::222222222222:role/recorder",
    ),
}


@pytest.mark.parametrize("kind", NOT_RECORDING)
def test_an_account_whose_instances_config_does_not_record_is_a_fault(sound: Aws, kind: str) -> None:
    """Security Hub's finding rests on it; whoever mends it learns in which account, in which Region and how."""
    recorder, mend = NOT_RECORDING[kind]
    roles: dict[str, Any] = {"unproved": [], "versions": {"outdated": []}, "results": []}
    sound.on_invoke("check", examined(roles, recorder))
    [found] = [each for each in json.loads(run("doctor", "-o", "json").stdout)["checks"] if each["outcome"] == "fault"]
    assert ("Config", True) == (found["check"], "account 222222222222, eu-west-1" in found["found"])
    assert found["mend"].startswith(f"as account 222222222222: aws configservice {mend}")


def test_config_that_may_not_be_asked_is_unproved(sound: Aws) -> None:
    """The read role of an earlier version does not allow it."""
    roles: dict[str, Any] = {"unproved": [], "versions": {"outdated": []}, "results": []}
    sound.on_invoke("check", examined(roles, problem="AccessDeniedException: not authorized"))
    done = run("doctor", "-o", "json")
    [found] = [each for each in json.loads(done.stdout)["checks"] if each["outcome"] == "unproved"]
    assert (0, "Config", True) == (done.exit_code, found["check"], "AccessDeniedException" in found["found"])
    assert "member templates" in found["mend"]


def test_without_members_only_the_own_account_is_asked(sound: Aws) -> None:
    """And a Region without Config there may be meant: it is no fault."""
    sound.answers["config", "describe_configuration_recorders"] = {"ConfigurationRecorders": []}
    done = run("doctor", "--no-members", "-o", "json")
    [found] = [each for each in json.loads(done.stdout)["checks"] if each["outcome"] != "well"]
    assert (0, "unproved", True) == (done.exit_code, found["outcome"], "is not set up" in found["found"])
    assert not sound.payloads()


def test_what_may_not_be_asked_is_unproved_and_stops_nothing(sound: Aws) -> None:
    """Whoever has few rights learns what they allow."""
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetSchedule")
    sound.answers["scheduler", "get_schedule"] = denied
    done = run("doctor", "-o", "json")
    unproved = [each["check"] for each in json.loads(done.stdout)["checks"] if each["outcome"] == "unproved"]
    assert (0, ["schedules"]) == (done.exit_code, unproved)


def test_only_what_needs_a_look_is_listed_unless_all_is_asked_for(sound: Aws) -> None:
    """The counts cover all."""
    assert "0 faults, 0 unproved" in run("doctor").stdout
    assert "imdsv2-remediation-guard is active" in run("doctor", "--all").stdout
    assert "imdsv2-remediation-guard is active" not in run("doctor").stdout


def test_one_of_two_readers_is_enough(sound: Aws) -> None:
    """After a restored ledger, the stack's own mapping reads nothing any more, and may have been switched off."""
    several = [{"UUID": "u-1", "State": "Disabled"}, {"UUID": "u-2", "State": "Enabled"}]
    sound.answers["lambda", "list_event_source_mappings"] = {"EventSourceMappings": several}
    assert "0 faults" in run("doctor").stdout
    sound.answers["lambda", "list_event_source_mappings"] = {"EventSourceMappings": []}
    done = run("doctor", "-o", "json")
    assert {"queue", "events"} == {
        each["check"] for each in json.loads(done.stdout)["checks"] if each["outcome"] == "fault"
    }
