"""What CloudFormation and the services make of the templates: what a local AWS does not show."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import custom_resource
from infra.setting_checks import MOST_MEMBER_ACCOUNTS
from tests.bench.cost.page import METERED
from tests.infra.templates import MEMBER_ACCOUNT, REGION, ROOT, SECURITY_ACCOUNT, Template, synthesise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.templates import Json

LONGEST_ENVIRONMENT = 4096
"""Bytes of a function's variables, names included (Lambda quotas)."""
LONGEST_BUS_POLICY = 10240
"""Characters (EventBridge quotas)."""
LONGEST_TRUST = 2048
"""Characters of a role's trust policy without a raised quota (IAM quotas)."""
LONGEST_INLINE_POLICIES = 10_240
"""Characters of all inline policies of a role together (IAM quotas)."""
MOST_METRICS_OF_AN_ALARM = 10
"""That an alarm's expression refers to (CloudWatch, using metric math)."""
INDEXES: dict[str, Json] = {
    "due": {
        "KeySchema": [
            {"AttributeName": "revisit_shard", "KeyType": "HASH"},
            {"AttributeName": "revisit_at", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    },
    "enforced": {
        "KeySchema": [
            {"AttributeName": "enforced_in", "KeyType": "HASH"},
            {"AttributeName": "enforced_key", "KeyType": "RANGE"},
        ],
        "Projection": {
            "ProjectionType": "INCLUDE",
            "NonKeyAttributes": ["status", "enforced_at", "restarted_at", "cohort", "undo", "broken_at"],
        },
    },
    "trail": {
        "KeySchema": [
            {"AttributeName": "trail_day", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    },
}
"""The indexes of the released table. DynamoDB changes none in place, and CloudFormation makes or deletes one in an update:
leave an entry as it is; what has to change gets a new name, one in a release, and the old one goes in a later one."""


def test_an_index_of_the_ledger_never_changes_under_its_name(template: Template) -> None:
    """Otherwise the stack could no longer be updated."""
    indexes = {
        each["IndexName"]: {name: value for name, value in each.items() if name != "IndexName"}
        for each in template.one("AWS::DynamoDB::Table")["GlobalSecondaryIndexes"]
    }
    assert INDEXES == {name: each for name, each in indexes.items() if name in INDEXES}
    assert len(indexes.keys() ^ INDEXES.keys()) <= 1


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o000])
def test_lambda_can_read_the_asset_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    """The command line archives each file with its mode, and the hash of the asset does not tell modes apart."""
    script = (
        "import pathlib, sys; from infra.asset import assemble; assemble(pathlib.Path(sys.argv[1]), sys.executable)"
    )
    destination = tmp_path / "asset"
    old = os.umask(umask)
    try:
        destination.mkdir()
        subprocess.run([sys.executable, "-c", script, str(destination)], cwd=ROOT, check=True)
    finally:
        os.umask(old)
    modes = {(path.is_dir(), oct(stat.S_IMODE(path.stat().st_mode))) for path in (destination, *destination.rglob("*"))}
    assert {(True, "0o755"), (False, "0o644")} == modes


@pytest.mark.parametrize(
    ("kind", "starts"),
    [("AWS::KMS::Key", "Encryption"), ("AWS::DynamoDB::Table", "Ledger"), ("AWS::S3::Bucket", "SweepResults")],
)
def test_what_a_failed_first_deployment_made_goes_with_it(kind: str, starts: str, template: Template) -> None:
    """And later it outlives the stack."""
    [resource] = [
        each
        for name, each in template.document["Resources"].items()
        if each["Type"] == kind and name.startswith(starts)
    ]
    assert ("RetainExceptOnCreate", "Retain") == (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])


def test_the_ledger_is_protected_from_deletion(template: Template) -> None:
    """From people and from CloudFormation."""
    assert template.one("AWS::DynamoDB::Table")["DeletionProtectionEnabled"]


@pytest.mark.parametrize("accounts", [1, 3, 4, 999, 1000])
def test_no_account_of_an_organisation_rolls_the_service_back(accounts: int, organization_template: Template) -> None:
    """CloudFormation rounds the share of accounts that may fail down."""
    for stack_set in organization_template.resources("AWS::CloudFormation::StackSet").values():
        percentage = stack_set["OperationPreferences"]["FailureTolerancePercentage"]
        assert accounts <= accounts * percentage // 100


@pytest.mark.parametrize("deployment", ["template", "organization_template", "forwarding_template"])
def test_no_rule_has_a_wildcard(deployment: str, request: pytest.FixtureRequest) -> None:
    """A bus takes 30 rules with one, and AWS does not raise that: others may have used them up."""
    rules = request.getfixturevalue(deployment).resources("AWS::Events::Rule")
    assert rules
    assert [] == [name for name, rule in rules.items() if '"wildcard"' in json.dumps(rule["EventPattern"])]


@pytest.mark.parametrize("function", ["guard", "revisit"])
def test_a_start_that_failed_or_came_late_is_not_repeated(function: str, template: Template) -> None:
    """The next one does its work: neither Lambda nor Scheduler tries it again, and no queue keeps it for two weeks."""
    schedule = template.one("AWS::Scheduler::Schedule", Name=f"imdsv2-remediation-{function}")["Target"]
    assert {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0} == schedule["RetryPolicy"]
    assert "DeadLetterConfig" not in schedule
    physical = f"imdsv2-remediation-{function}"
    [invoked] = [
        each
        for each in template.resources("AWS::Lambda::EventInvokeConfig").values()
        if each["FunctionName"] == physical
    ]
    assert (60, 0) == (invoked["MaximumEventAgeInSeconds"], invoked["MaximumRetryAttempts"])
    assert "DeadLetterConfig" not in template.one("AWS::Lambda::Function", FunctionName=physical)


def test_a_sweep_does_not_start_hours_late(template: Template) -> None:
    """It is for the night."""
    schedule = template.one("AWS::Scheduler::Schedule", Name="imdsv2-remediation-sweep")
    assert 3600 == schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"]


def test_the_custom_action_is_looked_at_every_day(template: Template) -> None:
    """With what the stack's resource says of it: Security Hub may be enabled after the deployment."""
    schedule = template.one("AWS::Scheduler::Schedule", Name="imdsv2-remediation-custom-action")
    action = template.one("Custom::SecurityHubActionTarget")
    kept = json.loads(schedule["Target"]["Input"])["keep"]
    assert "rate(1 day)" == schedule["ScheduleExpression"]
    assert {name: action[name] for name in ("ActionId", "Name", "Description")} == kept


@pytest.mark.parametrize("function", ["custom-action", "first-policy"])
def test_calls_that_nobody_answers_leave_time_to_answer_cloudformation(function: str, template: Template) -> None:
    """Two calls at most, each tried as often as may be: a function that is ended answers nothing, and the stack waits."""
    given: Any = custom_resource.CONFIG
    longest = 2 * given.retries["total_max_attempts"] * (given.connect_timeout + given.read_timeout)
    timeout = template.one("AWS::Lambda::Function", FunctionName=f"imdsv2-remediation-{function}")["Timeout"]
    assert longest + custom_resource.SEND_SECONDS < timeout


def test_what_became_of_the_custom_action_is_an_output(template: Template) -> None:
    """Nothing else of a deployment says that Security Hub refused it, or is not enabled."""
    [action] = [name for name, each in template.document["Resources"].items() if each["Type"].endswith("ActionTarget")]
    assert {"Fn::GetAtt": [action, "Note"]} == template.document["Outputs"]["CustomActionNote"]["Value"]


def steps(definition: Any) -> list[Json]:
    """Every state that invokes a function, at any depth of a state machine."""
    if isinstance(definition, list):
        return [step for each in definition for step in steps(each)]
    if not isinstance(definition, dict):
        return []
    own = [definition] if definition.get("Type") == "Task" else []
    return own + [step for each in definition.values() for step in steps(each)]


def test_steps_of_the_sweep_wait_for_lambda_to_have_room(template: Template) -> None:
    """With full jitter, so that a hundred places do not come back at once; for hours if it must be."""
    machine = json.loads(template.one("AWS::StepFunctions::StateMachine")["DefinitionString"])
    invoking = steps(machine)
    assert 3 == len(invoking)
    for step in invoking:
        [busy] = [each for each in step["Retry"] if "Lambda.TooManyRequestsException" in each["ErrorEquals"]]
        assert ("FULL", 2) == (busy["JitterStrategy"], busy["BackoffRate"])
        longest = sum(
            min(busy["IntervalSeconds"] * 2**attempt, busy["MaxDelaySeconds"]) for attempt in range(busy["MaxAttempts"])
        )
        assert longest / 2 > 3600


def test_a_place_that_fails_is_tried_again_before_it_counts_as_failed(template: Template) -> None:
    """In an account with three Regions, one that fails is more than the tolerance, and fails the sweep, its file and the digest."""
    machine = json.loads(template.one("AWS::StepFunctions::StateMachine")["DefinitionString"])
    region = machine["States"]["Places"]["ItemProcessor"]["States"]["Region"]
    *before, last = region["Retry"]
    assert (["States.TaskFailed"], 2, "FULL") == (last["ErrorEquals"], last["MaxAttempts"], last["JitterStrategy"])
    assert "Lambda.TooManyRequestsException" in str(before), "what has a rule of its own is found first"
    assert not any("States." in str(step["Retry"]) for step in steps(machine) if step is not region)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The service for an account with few concurrent executions, in a Region where Lambda has no arm64."""
    outdir = tmp_path_factory.mktemp("few") / "out"
    run = synthesise(outdir, sweep_concurrency=2, remediate_concurrency=2, architecture="x86_64")
    assert 0 == run.returncode, run.stderr
    return Template.of(outdir / "Imdsv2Remediation.template.json", account=SECURITY_ACCOUNT)


def test_functions_run_on_the_processors_of_the_settings(few: Template) -> None:
    """Lambda refuses arm64 in Regions that do not have it, at the first function of a deployment."""
    functions = few.resources("AWS::Lambda::Function").values()
    assert {("x86_64",)} == {tuple(each["Architectures"]) for each in functions}


def test_a_sweep_takes_as_many_places_at_once_as_the_settings_say(few: Template) -> None:
    """An account with ten concurrent executions works slowly, and works."""
    machine = json.loads(few.one("AWS::StepFunctions::StateMachine")["DefinitionString"])
    assert 2 == machine["States"]["Places"]["MaxConcurrency"]
    sources = few.resources("AWS::Lambda::EventSourceMapping").values()
    assert [{"MaximumConcurrency": 2}] == [each["ScalingConfig"] for each in sources if "StartingPosition" not in each]
    assert [] == [
        each for each in few.resources("AWS::Lambda::Function").values() if "ReservedConcurrentExecutions" in each
    ]


def test_silence_throttling_and_a_failed_sweep_are_heard(template: Template) -> None:
    """By metrics of AWS itself: what does not run publishes none of its own."""

    def alarm(name: str) -> Json:
        return template.one("AWS::CloudWatch::Alarm", AlarmName=f"imdsv2-remediation-{name}")

    def summed(name: str) -> set[str]:
        return {each["MetricStat"]["Metric"]["MetricName"] for each in alarm(name)["Metrics"] if "MetricStat" in each}

    revisit = alarm("revisit-silent")
    assert ("breaching", "LessThanThreshold", 1) == tuple(
        revisit[each] for each in ("TreatMissingData", "ComparisonOperator", "Threshold")
    )
    [invoked] = [each["MetricStat"]["Metric"] for each in revisit["Metrics"] if "MetricStat" in each]
    assert ("AWS/Lambda", "Invocations") == (invoked["Namespace"], invoked["MetricName"])
    assert {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"} == summed("sweep-failed")
    assert {"Throttles"} == summed("throttled")
    assert 3 == alarm("throttled")["EvaluationPeriods"]


def test_schedules_are_trusted_for_this_account_only(template: Template) -> None:
    """Scheduler acts for whoever names a role of ours in a schedule of theirs, unless the role says otherwise."""
    trusts = [
        statement
        for role in template.resources("AWS::IAM::Role").values()
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
        if statement["Principal"].get("Service") == "scheduler.amazonaws.com"
    ]
    assert 4 == len(trusts)
    inside = {"StringEquals": {"aws:SourceAccount": SECURITY_ACCOUNT}}
    assert [inside] * len(trusts) == [each.get("Condition") for each in trusts]


def test_the_key_is_used_through_hosts_that_every_partition_has(template: Template) -> None:
    """KMS names services `sqs.cn-north-1.amazonaws.com` in China too, where hosts end with `.com.cn`."""
    raw = [json.dumps(each) for each in template.document["Resources"].values() if each["Type"] == "AWS::IAM::Policy"]
    using = [each for each in raw if "kms:ViaService" in each]
    assert using
    assert not any("URLSuffix" in each for each in using)


@pytest.mark.parametrize("deployment", ["template", "member_template", "forwarding_template"])
def test_no_service_is_named_as_the_hosts_of_its_partition(deployment: str, request: pytest.FixtureRequest) -> None:
    """EC2 is `ec2.amazonaws.com` where hosts end with `amazonaws.eu`, and IAM refuses or never matches any other name there."""
    resources = request.getfixturevalue(deployment).document["Resources"].values()
    policies = [json.dumps(each) for each in resources if each["Type"] in ("AWS::IAM::Policy", "AWS::IAM::Role")]
    assert policies
    assert [] == [each for each in policies if "URLSuffix" in each]


def test_the_stream_of_a_restored_table_may_be_read(template: Template) -> None:
    """Its name is the time of its making, so that no template knows it."""
    [policy] = [
        each["PolicyDocument"]["Statement"]
        for name, each in template.resources("AWS::IAM::Policy").items()
        if name.startswith("BroadcastPolicy")
    ]
    table = template.one("AWS::Lambda::EventSourceMapping", StartingPosition="TRIM_HORIZON")["EventSourceArn"]
    [reads] = [each for each in policy if "dynamodb:GetRecords" in each["Action"]]
    assert f"{table.rpartition('/')[0]}/*" == reads["Resource"]


def test_no_alarm_sums_more_metrics_than_cloudwatch_takes(template: Template) -> None:
    """One rule more on each bus, and the alarm on lost events could not be made."""
    alarms = template.resources("AWS::CloudWatch::Alarm").values()
    counts = {each["AlarmName"]: sum("MetricStat" in one for one in each.get("Metrics", [])) for each in alarms}
    assert [] == [name for name, count in counts.items() if count > MOST_METRICS_OF_AN_ALARM]


def test_every_metric_of_an_alarm_is_in_the_calculated_cost(template: Template) -> None:
    """CloudWatch bills each metric that an alarm looks at."""
    alarms = template.resources("AWS::CloudWatch::Alarm").values()
    billed = sum(sum("MetricStat" in one for one in each.get("Metrics", [])) or 1 for each in alarms)
    assert billed == json.loads(METERED.read_text())["alarms"]


def compact(document: Any) -> str:
    """As IAM counts: without white space, in the partition with the longest name."""
    return json.dumps(document, separators=(",", ":")).replace("arn:aws:", "arn:aws-us-gov:")


def test_the_longest_settings_fit_their_quotas(tmp_path: Path) -> None:
    """As many accounts and rules as are taken, and the longest names."""
    accounts = [f"{number:012}" for number in range(1, MOST_MEMBER_ACCOUNTS + 1)]
    rules = [f"{letter * 30}*" for letter in "abcdefghijkl"]
    run = synthesise(
        tmp_path / "out",
        member_accounts=accounts,
        config_rule_names=rules,
        name_prefix="a" * 24,
        role_prefix="r" * 16,
        role_path="/" + "p" * 62 + "/",
        selftest=True,
    )
    assert 0 == run.returncode, run.stderr
    [path] = (tmp_path / "out").glob("A" + "a" * 23 + ".template.json")
    longest = Template.of(path, account=SECURITY_ACCOUNT)
    for function in longest.resources("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        # What is known at deployment only is an ARN or a URL with a generated name.
        size = sum(
            len(name) + max(len(str(value)), 200 if name in GENERATED else 0) for name, value in variables.items()
        )
        assert size <= LONGEST_ENVIRONMENT, function["FunctionName"]
    policy = longest.one("AWS::Events::EventBusPolicy")["Statement"]
    in_gov_cloud = json.dumps(policy).replace("arn:aws:", "arn:aws-us-gov:")
    assert len(in_gov_cloud) <= LONGEST_BUS_POLICY
    roles = longest.resources("AWS::IAM::Role")
    assert [] == [role["RoleName"] for role in roles.values() if len(role["RoleName"]) > 64]
    trusts = {role["RoleName"]: compact(role["AssumeRolePolicyDocument"]) for role in roles.values()}
    assert [] == [name for name, trust in trusts.items() if len(trust) > LONGEST_TRUST]
    assert [] == [name for name in trusts if len(compact(longest.policies_of(name))) > LONGEST_INLINE_POLICIES]
    assert REGION in longest.one("AWS::Scheduler::Schedule", Name="a" * 24 + "-guard")["Target"]["Arn"]
    assert MEMBER_ACCOUNT not in accounts


GENERATED = {"LEDGER_TABLE", "NOTIFICATIONS_TOPIC_ARN", "DEAD_LETTER_QUEUE_URL", "SWEEP_BUCKET"}
