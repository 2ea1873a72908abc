"""The templates meet the contract, and the requirements of AWS that a local AWS would not enforce."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template as Synthesised

import app
from imdsv2.version import VERSION, VERSION_TAG
from infra.roll_out import MemberTemplates
from infra.service_stack import ServiceStack
from infra.settings import Settings
from tests.infra.templates import (
    MEMBER_ACCOUNT,
    ORGANIZATION,
    REGION,
    ROOT,
    SECURITY_ACCOUNT,
    Template,
    synthesise,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.templates import Json

JUDGES = ("remediate", "manual", "revisit", "sweep", "guard")
FUNCTIONS = (*JUDGES, "broadcast", "check", "custom-action", "first-policy")


def function(template: Template, name: str) -> Json:
    """The properties of a function."""
    return template.one("AWS::Lambda::Function", FunctionName=f"imdsv2-remediation-{name}")


def queue(template: Template, logical_id_starts: str) -> Json:
    """The properties of a queue."""
    (found,) = (
        each for name, each in template.resources("AWS::SQS::Queue").items() if name.startswith(logical_id_starts)
    )
    return found


def arn(template: Template, kind: str, logical_id_starts: str) -> str:
    """The ARN of a resource."""
    (logical_id,) = (name for name in template.resources(kind) if name.startswith(logical_id_starts))
    return str(template.resolve({"Fn::GetAtt": [logical_id, "Arn"]}))


def test_outputs_are_those_of_the_contract(template: Template) -> None:
    """Other programs read them by name."""
    outputs = template.outputs()
    assert {
        "ManualFunctionName",
        "CentralEventBusName",
        "FindingsQueueUrl",
        "FindingsQueueArn",
        "FindingsDeadLetterQueueUrl",
        "FindingsDeadLetterQueueArn",
        "LedgerTableName",
        "PolicyParameterName",
        "PolicyNote",
        "CustomActionNote",
        "NotificationsTopicArn",
        "DashboardName",
        "SweepBucketName",
        "SweepStateMachineArn",
        "Version",
    } == set(outputs)
    machine = f"arn:aws:states:{REGION}:{SECURITY_ACCOUNT}:stateMachine:imdsv2-remediation-sweep"
    assert machine == outputs["SweepStateMachineArn"]
    assert "imdsv2-remediation-manual" == outputs["ManualFunctionName"]
    assert "imdsv2-remediation" == outputs["CentralEventBusName"]
    assert "/imdsv2-remediation/policy" == outputs["PolicyParameterName"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_run_as_promised(name: str, template: Template) -> None:
    """Runtime, processor, tracing, and a log group per function with limited retention."""
    properties = function(template, name)
    assert ("python3.13", ["arm64"], {"Mode": "Active"}) == (
        properties["Runtime"],
        properties["Architectures"],
        properties["TracingConfig"],
    )
    log_group = template.one("AWS::Logs::LogGroup", LogGroupName=f"/aws/lambda/imdsv2-remediation-{name}")
    assert (90, log_group["LogGroupName"]) == (log_group["RetentionInDays"], properties["LoggingConfig"]["LogGroup"])


@pytest.mark.parametrize("name", ["manual", "sweep", "check", "custom-action", "first-policy"])
def test_input_of_failed_asynchronous_invocations_is_kept(name: str, template: Template) -> None:
    """A caller that does not wait would not learn of the failure."""
    kept_in = arn(template, "AWS::SQS::Queue", "FailedInvocations")
    assert {"TargetArn": kept_in} == function(template, name)["DeadLetterConfig"]


@pytest.mark.parametrize("name", JUDGES)
def test_a_lease_outlives_the_function_that_took_it(name: str, template: Template) -> None:
    """Otherwise a second function could act at the same time."""
    properties = function(template, name)
    assert properties["Timeout"] + 60 == int(properties["Environment"]["Variables"]["LEASE_SECONDS"])


@pytest.mark.parametrize("name", JUDGES)
def test_functions_are_told_where_everything_is(name: str, template: Template) -> None:
    """The variables that the code reads at its start, including those that only one function needs."""
    variables = function(template, name)["Environment"]["Variables"]
    outputs = template.outputs()
    expected = {
        "LEDGER_TABLE": outputs["LedgerTableName"],
        "POLICY_PARAMETER": "/imdsv2-remediation/policy",
        "NOTIFICATIONS_TOPIC_ARN": outputs["NotificationsTopicArn"],
        "POWERTOOLS_SERVICE_NAME": "imdsv2-remediation",
        "POWERTOOLS_METRICS_NAMESPACE": "Imdsv2Remediation",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "QUOTA_SHARE": "0.5",
        "CHAT_MESSAGES": "false",
        "MANUAL_FUNCTION": "imdsv2-remediation-manual",
        "MEMBER_ROLES": "imdsv2-remediation-",
    }
    beside = {
        "remediate": {
            "DEAD_LETTER_QUEUE_URL": outputs["FindingsDeadLetterQueueUrl"],
            "CUSTOM_ACTION_ID": "RequireIMDSv2",
            "CONFIG_RULE_NAMES": "",
        },
        "sweep": {
            "SWEEP_BUCKET": arn(template, "AWS::S3::Bucket", "SweepResults").removeprefix("arn:aws:s3:::"),
            "SWEEP_ACCOUNTS": f"{SECURITY_ACCOUNT} {MEMBER_ACCOUNT}",
        },
    }
    assert {**expected, **beside.get(name, {})} == {
        each: value for each, value in variables.items() if each not in ("LEASE_SECONDS", "POWERTOOLS_LOG_LEVEL")
    }


def test_the_queue_feeds_remediate_in_batches_with_partial_answers(template: Template) -> None:
    """One bad message must not bring back the others; a storm of findings must not be throttled."""
    mapping = template.one(
        "AWS::Lambda::EventSourceMapping", EventSourceArn=arn(template, "AWS::SQS::Queue", "FindingsQueue")
    )
    assert {
        "BatchSize": 500,
        "EventSourceArn": arn(template, "AWS::SQS::Queue", "FindingsQueue"),
        "FunctionName": "imdsv2-remediation-remediate",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumBatchingWindowInSeconds": 10,
        "ScalingConfig": {"MaximumConcurrency": 5},
    } == mapping


def test_a_message_stays_hidden_while_lambda_may_still_try_it(template: Template) -> None:
    """Six times the function's timeout plus the window, as AWS recommends; SQS rejects less than the timeout."""
    timeout = function(template, "remediate")["Timeout"]
    assert 6 * timeout + 10 == queue(template, "FindingsQueue")["VisibilityTimeout"]


def test_what_cannot_be_delivered_or_processed_is_kept_for_two_weeks(template: Template) -> None:
    """In one queue, from which the messages can be moved back."""
    dead_letters = arn(template, "AWS::SQS::Queue", "FindingsDeadLetters")
    assert {"deadLetterTargetArn": dead_letters, "maxReceiveCount": 5} == queue(template, "FindingsQueue")[
        "RedrivePolicy"
    ]
    assert [1209600, 1209600] == [
        queue(template, name)["MessageRetentionPeriod"] for name in ("FindingsDeadLetters", "FailedInvocations")
    ]


def test_every_rule_delivers_to_the_queue_and_what_fails_to_its_dead_letter_queue(template: Template) -> None:
    """For a day."""
    assert [
        {
            "Id": "findings",
            "Arn": arn(template, "AWS::SQS::Queue", "FindingsQueue"),
            "DeadLetterConfig": {"Arn": arn(template, "AWS::SQS::Queue", "FindingsDeadLetters")},
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
        }
    ] * 10 == [target for rule in template.resources("AWS::Events::Rule").values() for target in rule["Targets"]]


def test_what_is_stored_is_encrypted_with_the_one_key(template: Template) -> None:
    """Queues, topic and ledger; the key is rotated automatically."""
    assert template.one("AWS::KMS::Key")["EnableKeyRotation"]
    key = arn(template, "AWS::KMS::Key", "")
    queues = [each["KmsMasterKeyId"] for each in template.resources("AWS::SQS::Queue").values()]
    table = template.one("AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"]
    assert [key] * 5 == [*queues, template.one("AWS::SNS::Topic")["KmsMasterKeyId"], table]


def test_the_ledger_is_what_the_code_expects_and_outlives_the_stack(template: Template) -> None:
    """Keys, its indexes, the stream of new items, point-in-time recovery, and no deletion with the stack."""
    table = template.one("AWS::DynamoDB::Table")
    assert [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}] == table[
        "KeySchema"
    ]
    types = {"pk": "S", "sk": "S", "revisit_shard": "N", "revisit_at": "S", "enforced_in": "S", "enforced_key": "S"} | {
        "trail_day": "S"
    }
    assert types == {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    sorts = ["status", "enforced_at", "restarted_at", "cohort", "undo", "broken_at"]
    assert [
        {
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "revisit_shard", "KeyType": "HASH"},
                {"AttributeName": "revisit_at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
        {
            "IndexName": "enforced",
            "KeySchema": [
                {"AttributeName": "enforced_in", "KeyType": "HASH"},
                {"AttributeName": "enforced_key", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": sorts},
        },
        {
            "IndexName": "trail",
            "KeySchema": [
                {"AttributeName": "trail_day", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        },
    ] == table["GlobalSecondaryIndexes"]
    assert {"StreamViewType": "NEW_IMAGE"} == table["StreamSpecification"]
    assert ("PAY_PER_REQUEST", True) == (
        table["BillingMode"],
        table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
    )
    (resource,) = (each for each in template.document["Resources"].values() if each["Type"] == "AWS::DynamoDB::Table")
    assert ("RetainExceptOnCreate", "Retain") == (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])


def test_the_policy_of_the_settings_is_for_a_first_deployment(template: Template) -> None:
    """People own the parameter: a resource of the stack would be written over. A function creates it, if it must."""
    assert {} == template.resources("AWS::SSM::Parameter")
    first = template.one("Custom::FirstPolicy")
    settings = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert ("/imdsv2-remediation/policy", settings["policy"]) == (first["Name"], json.loads(first["Document"]))
    assert arn(template, "AWS::Lambda::Function", "Functionfirstpolicy") == first["ServiceToken"]


def test_a_setting_may_be_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CDK itself loses every null on the way from its context to Python; `"canary": null` would become a canary."""
    monkeypatch.setenv("CDK_CONTEXT_JSON", '{"policy": {"canary": null}}')
    assert {"canary": None} == app.settings_context()["policy"]


@pytest.mark.parametrize(("name", "rate"), [("revisit", "rate(1 minute)"), ("guard", "rate(5 minutes)")])
def test_functions_are_started_again_and_again(name: str, rate: str, template: Template) -> None:
    """Due instances are re-evaluated every minute, enforced instances are checked every five."""
    schedule = template.one("AWS::Scheduler::Schedule", Name=f"imdsv2-remediation-{name}")
    assert (rate, {"Mode": "OFF"}) == (schedule["ScheduleExpression"], schedule["FlexibleTimeWindow"])
    assert arn(template, "AWS::Lambda::Function", f"Function{name}") == schedule["Target"]["Arn"]


def test_everything_is_swept_every_day(template: Template) -> None:
    """For real: policy and evidence decide what it may enforce. A failed start is kept."""
    schedule = template.one("AWS::Scheduler::Schedule", Name="imdsv2-remediation-sweep")
    assert ("cron(30 2 * * ? *)", {"dry_run": False, "spare_hours": 20}) == (
        schedule["ScheduleExpression"],
        json.loads(schedule["Target"]["Input"]),
    )
    assert template.outputs()["SweepStateMachineArn"] == schedule["Target"]["Arn"]
    kept_in = arn(template, "AWS::SQS::Queue", "FailedInvocations")
    assert {"Arn": kept_in} == schedule["Target"]["DeadLetterConfig"]


def test_an_organisation_is_asked_for_its_accounts(organization_template: Template) -> None:
    """Accounts that join are swept without being listed."""
    assert "" == function(organization_template, "sweep")["Environment"]["Variables"]["SWEEP_ACCOUNTS"]


def test_the_custom_action_is_looked_at_by_every_release(template: Template) -> None:
    """It is created again if someone deleted it, or created at last if Security Hub was enabled later."""
    action = template.one("Custom::SecurityHubActionTarget")
    (code,) = {each["Code"]["S3Key"] for each in template.resources("AWS::Lambda::Function").values()}
    assert ("RequireIMDSv2", "Require IMDSv2") == (action["ActionId"], action["Name"])
    assert arn(template, "AWS::Lambda::Function", "Functioncustomaction") == action["ServiceToken"]
    assert f"{action['Release']}.zip" == code
    assert len(action["Name"]) <= 20


def test_alarms_tell_the_topic_when_raised_and_when_over(template: Template) -> None:
    """Dead letters, errors, waiting findings, a refused policy, breakage, a silent guard, a blind sweep, and lost events."""
    alarms = list(template.resources("AWS::CloudWatch::Alarm").values())
    assert {
        "imdsv2-remediation-findings-dead-letters",
        "imdsv2-remediation-invocations-dead-letters",
        "imdsv2-remediation-findings-waiting",
        "imdsv2-remediation-remediate-errors",
        "imdsv2-remediation-manual-errors",
        "imdsv2-remediation-revisit-errors",
        "imdsv2-remediation-sweep-errors",
        "imdsv2-remediation-guard-errors",
        "imdsv2-remediation-policy-refused",
        "imdsv2-remediation-breaker-open",
        "imdsv2-remediation-left-broken",
        "imdsv2-remediation-guard-silent",
        "imdsv2-remediation-revisit-silent",
        "imdsv2-remediation-sweep-failed",
        "imdsv2-remediation-throttled",
        "imdsv2-remediation-findings-elsewhere",
        "imdsv2-remediation-events-lost",
        "imdsv2-remediation-sweep-blind",
        "imdsv2-remediation-sweep-missing",
        "imdsv2-remediation-accounts-unreachable",
        "imdsv2-remediation-broadcast-errors",
    } == {each["AlarmName"] for each in alarms}
    topic = template.outputs()["NotificationsTopicArn"]
    assert [([topic], [topic])] * len(alarms) == [(each["AlarmActions"], each["OKActions"]) for each in alarms]


def test_alarms_name_their_runbook(template: Template) -> None:
    """Whoever is paged is one click away from what to do."""
    guide = (ROOT / "docs" / "operations.md").read_text()
    for each in template.resources("AWS::CloudWatch::Alarm").values():
        name = each["AlarmName"].removeprefix("imdsv2-remediation-")
        assert each["AlarmDescription"].endswith(f"Runbook: docs/operations.md#{name}")
        assert f'<a id="{name}">' in guide


def test_the_stream_feeds_the_bus_with_events_alone(template: Template) -> None:
    """Everything else that is written to the ledger stays there; what cannot be sent is kept in a queue."""
    [mapping] = [
        each
        for each in template.resources("AWS::Lambda::EventSourceMapping").values()
        if "/stream/" in each["EventSourceArn"]
    ]
    [chosen] = mapping["FilterCriteria"]["Filters"]
    assert {
        "eventName": ["INSERT"],
        "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "event#"}, {"prefix": "decision#"}]}}},
    } == json.loads(chosen["Pattern"])
    assert ["ReportBatchItemFailures"] == mapping["FunctionResponseTypes"]
    assert (
        arn(template, "AWS::SQS::Queue", "FailedInvocations")
        == mapping["DestinationConfig"]["OnFailure"]["Destination"]
    )
    variables = function(template, "broadcast")["Environment"]["Variables"]
    assert ("imdsv2-remediation", "imdsv2-remediation") == (variables["EVENT_BUS"], variables["EVENT_SOURCE"])


def test_no_rule_of_the_service_listens_for_its_own_events(template: Template) -> None:
    """Or each would lead to the next."""
    for rule in template.resources("AWS::Events::Rule").values():
        assert "imdsv2-remediation" not in json.dumps(rule.get("EventPattern", {}).get("source", ""))
        assert rule.get("EventPattern", {}).get("source")


@pytest.mark.parametrize(
    ("name", "metric", "period", "without_data"),
    [
        ("policy-refused", "PolicyRefused", 300, "notBreaching"),
        # Published once per pass, which is not exactly every five minutes: between passes, nothing is known to have
        # changed.
        ("breaker-open", "BreakersOpen", 300, "ignore"),
        # A pass may leave accounts to another pass: every account is processed within 15 minutes.
        ("left-broken", "LeftBroken", 900, "ignore"),
    ],
)
def test_alarms_watch_what_the_functions_write(
    name: str, metric: str, period: int, without_data: str, template: Template
) -> None:
    """One raises them."""
    alarm = template.one("AWS::CloudWatch::Alarm", AlarmName=f"imdsv2-remediation-{name}")
    expected = {
        "Namespace": "Imdsv2Remediation",
        "MetricName": metric,
        "Dimensions": [{"Name": "service", "Value": "imdsv2-remediation"}],
        "Statistic": "Maximum",
        "Period": period,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": without_data,
    }
    assert expected == {name: alarm[name] for name in expected}


@pytest.mark.parametrize(
    ("name", "namespace", "metric", "dimensions"),
    [
        ("guard-silent", "Imdsv2Remediation", "GuardPasses", {"service": "imdsv2-remediation"}),
        ("revisit-silent", "AWS/Lambda", "Invocations", {"FunctionName": "imdsv2-remediation-revisit"}),
    ],
)
def test_silence_is_heard(
    name: str, namespace: str, metric: str, dimensions: dict[str, str], template: Template
) -> None:
    """No pass in 15 minutes; what does not run publishes nothing. CloudWatch takes older data points in place of missing ones, so gaps
    are filled with zeros."""
    alarm = template.one("AWS::CloudWatch::Alarm", AlarmName=f"imdsv2-remediation-{name}")
    watched, expression = sorted(alarm["Metrics"], key=lambda each: "Expression" in each)
    assert f"FILL({watched['Id']}, 0)" == expression["Expression"]
    stat = watched["MetricStat"]
    assert (namespace, metric, 900, "Sum") == (
        stat["Metric"]["Namespace"],
        stat["Metric"]["MetricName"],
        stat["Period"],
        stat["Stat"],
    )
    assert [{"Name": key, "Value": value} for key, value in dimensions.items()] == stat["Metric"]["Dimensions"]
    expected = {
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
    }
    assert expected == {key: alarm[key] for key in expected}


def test_the_dashboard_shows_what_became_of_the_changes(template: Template) -> None:
    """Verified, rolled back, left broken, and stopped by a circuit breaker."""
    body = template.one("AWS::CloudWatch::Dashboard")["DashboardBody"]
    assert [] == [
        metric for metric in ("Verified", "RolledBack", "LeftBroken", "BreakersOpen") if f'"{metric}"' not in body
    ]


def test_the_dashboard_shows_what_is_left_to_do(template: Template) -> None:
    """By account and by reason, stacked, as the sweeps find it; and whether these come and see everything."""
    body = template.one("AWS::CloudWatch::Dashboard")["DashboardBody"]
    assert [] == [
        each for each in ("Imdsv1Allowed", "Held", "UnreachableAccounts", "SweepAgeHours") if each not in body
    ]
    assert 2 == body.count("SEARCH(") == body.count('"stacked":true')


def test_the_dashboard_lists_callers_and_refused_calls(template: Template) -> None:
    """From the logs of the functions that see them, by the messages and fields that these write: the metrics are in other accounts."""
    widgets = json.loads(template.one("AWS::CloudWatch::Dashboard")["DashboardBody"])["widgets"]
    queries = {
        each["properties"]["title"].partition(" (")[0]: each["properties"]["query"]
        for each in widgets
        if each["type"] == "log"
    }
    assert {"Most IMDSv1 calls", "Refused calls"} == queries.keys()
    groups = {each["LogGroupName"] for each in template.resources("AWS::Logs::LogGroup").values()}
    for query in queries.values():
        named = re.findall(r"SOURCE '([^']+)'", query)
        assert named
        assert {*named} <= groups
        assert "limit 20" in query
    written = "".join((ROOT / "lambdas" / "imdsv2" / path).read_text() for path in ("telemetry.py", "guard/place.py"))
    for word in ("verdict", "calls refused", "calls", "refused_calls", "last_call", "target", "reason"):
        assert f'"{word}"' in written


def test_the_alarm_on_lost_events_watches_every_rule(template: Template) -> None:
    """By rule name and, for a bus other than the default one, by bus name: these are the metrics' dimensions."""
    alarm = template.one("AWS::CloudWatch::Alarm", AlarmName="imdsv2-remediation-events-lost")
    watched = [
        {each["Name"]: each["Value"] for each in query["MetricStat"]["Metric"]["Dimensions"]}
        for query in alarm["Metrics"]
        if "MetricStat" in query
    ]
    rules = [
        {name: rule[key] for name, key in (("RuleName", "Name"), ("EventBusName", "EventBusName")) if key in rule}
        for rule in template.resources("AWS::Events::Rule").values()
    ]
    assert sorted(sorted(each.items()) for each in rules) == sorted(sorted(each.items()) for each in watched)


def test_somebody_is_told(template: Template) -> None:
    """The address in the settings is subscribed."""
    subscription = template.one("AWS::SNS::Subscription")
    assert ("email", "ops@example.com") == (subscription["Protocol"], subscription["Endpoint"])


def test_the_check_speaks_for_a_function_that_enforces(template: Template) -> None:
    """With a role of its own, it would prove nothing about the enforcing functions."""
    assert function(template, "manual")["Role"] == function(template, "check")["Role"]


def test_the_member_template_is_deployed_as_it_is(member_template: Template) -> None:
    """By hand: no bootstrap, no upload, only the roles, and one parameter without a default."""
    parameters = member_template.document["Parameters"]
    assert {"SecurityAccountId": False, "OrganizationId": True} == {
        name: "Default" in each for name, each in parameters.items()
    }
    assert {"Description", "Parameters", "Conditions", "Resources", "Outputs"} == set(member_template.document)
    kinds = ("read", "write", "rollback", "source")
    assert {f"imdsv2-remediation-{kind}" for kind in kinds} == {
        role["RoleName"] for role in member_template.resources("AWS::IAM::Role").values()
    }


def test_the_forwarding_template_is_deployed_as_it_is(forwarding_template: Template) -> None:
    """By hand: no bootstrap, no upload."""
    assert {"Description", "Parameters", "Conditions", "Resources", "Outputs"} == set(forwarding_template.document)
    assert ["SecurityAccountId", "HomeRegion"] == list(forwarding_template.document["Parameters"])


def test_a_member_forwards_what_the_bus_listens_for(template: Template, forwarding_template: Template) -> None:
    """The same patterns, to the bus of the security account in its home Region, retried for a day, with a dead-letter
    queue."""
    for sent, name in (("forward", "config"), ("forward-started", "started")):
        rule = forwarding_template.one("AWS::Events::Rule", Name=f"imdsv2-remediation-{sent}")
        heard = template.one("AWS::Events::Rule", Name=f"imdsv2-remediation-{name}", EventBusName="imdsv2-remediation")
        assert heard["EventPattern"] == rule["EventPattern"]
        assert ("ENABLED", None) == (rule["State"], rule.get("EventBusName"))
        assert [
            {
                "Id": "central-bus",
                "Arn": f"arn:aws:events:{REGION}:{SECURITY_ACCOUNT}:event-bus/imdsv2-remediation",
                "RoleArn": arn(forwarding_template, "AWS::IAM::Role", "Sender"),
                "DeadLetterConfig": {"Arn": arn(forwarding_template, "AWS::SQS::Queue", "Undelivered")},
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
            }
        ] == rule["Targets"]
    undelivered = queue(forwarding_template, "Undelivered")
    assert (1209600, True) == (undelivered["MessageRetentionPeriod"], undelivered["SqsManagedSseEnabled"])


def test_forwarding_may_be_deployed_in_every_region_of_an_account(forwarding_template: Template) -> None:
    """IAM is global: a role with a fixed name could exist only once."""
    assert "RoleName" not in forwarding_template.one("AWS::IAM::Role")


@pytest.mark.parametrize(
    ("account", "region", "state"),
    [
        (SECURITY_ACCOUNT, REGION, "DISABLED"),
        (SECURITY_ACCOUNT, "us-east-1", "ENABLED"),
        (MEMBER_ACCOUNT, REGION, "ENABLED"),
    ],
)
def test_nothing_is_heard_twice_at_home(account: str, region: str, state: str, assembly: Path) -> None:
    """The security account's own rules match in its home Region; its other Regions forward as a member's do."""
    path = assembly / "Imdsv2RemediationForwarding.template.json"
    deployed = Template.of(path, account=account, region=region, SecurityAccountId=SECURITY_ACCOUNT, HomeRegion=REGION)
    assert [state] * 2 == [each["State"] for each in deployed.resources("AWS::Events::Rule").values()]


def test_without_units_nothing_is_rolled_out(template: Template) -> None:
    """The members' templates are deployed by hand."""
    assert {} == template.resources("AWS::CloudFormation::StackSet")


STACK_SETS = ("Imdsv2RemediationMember", "Imdsv2RemediationForwarding")


@pytest.mark.parametrize("name", STACK_SETS)
def test_accounts_of_the_units_get_the_templates_that_are_deployed_by_hand(
    name: str, organization_template: Template, organization_assembly: Path
) -> None:
    """By AWS Organizations, including accounts that join later; in parallel, and an account that refuses does not stop
    the others."""
    stack_set = organization_template.one("AWS::CloudFormation::StackSet", StackSetName=name)
    by_hand = json.loads((organization_assembly / f"{name}.template.json").read_text())
    assert by_hand == json.loads(stack_set["TemplateBody"])
    assert set(by_hand["Parameters"]) == {each["ParameterKey"] for each in stack_set["Parameters"]}
    assert len(stack_set["TemplateBody"]) <= 51200
    assert {
        "PermissionModel": "SERVICE_MANAGED",
        "CallAs": "DELEGATED_ADMIN",
        "AutoDeployment": {"Enabled": True, "RetainStacksOnAccountRemoval": False},
        "ManagedExecution": {"Active": True},
        "OperationPreferences": {
            "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE",
            "FailureTolerancePercentage": 100,
            "MaxConcurrentPercentage": 100,
            "RegionConcurrencyType": "PARALLEL",
        },
    } == {
        field: stack_set[field]
        for field in ("PermissionModel", "CallAs", "AutoDeployment", "ManagedExecution", "OperationPreferences")
    }


def test_roles_are_rolled_out_once_an_account_and_rules_to_every_region(organization_template: Template) -> None:
    """The security account has its roles from this stack; a second pair of the same names would be rejected."""
    roles, forwarding = (
        organization_template.one("AWS::CloudFormation::StackSet", StackSetName=name) for name in STACK_SETS
    )
    units = ["ou-ab12-0a1b2c3d", "ou-ab12-cd34ef56"]
    others = {"OrganizationalUnitIds": units, "AccountFilterType": "DIFFERENCE", "Accounts": [SECURITY_ACCOUNT]}
    assert [{"DeploymentTargets": others, "Regions": [REGION]}] == roles["StackInstancesGroup"]
    everybody = {"OrganizationalUnitIds": units}
    assert [{"DeploymentTargets": everybody, "Regions": [REGION, "us-east-1"]}] == forwarding["StackInstancesGroup"]


def test_members_are_told_where_the_security_account_is(organization_template: Template) -> None:
    """Through the parameters of their templates."""
    told = {
        each["StackSetName"]: {entry["ParameterKey"]: entry["ParameterValue"] for entry in each["Parameters"]}
        for each in organization_template.resources("AWS::CloudFormation::StackSet").values()
    }
    assert {
        "Imdsv2RemediationMember": {"SecurityAccountId": SECURITY_ACCOUNT, "OrganizationId": ORGANIZATION},
        "Imdsv2RemediationForwarding": {"SecurityAccountId": SECURITY_ACCOUNT, "HomeRegion": REGION},
    } == told


@pytest.mark.parametrize("stack", ["template", "member_template", "forwarding_template"])
def test_what_is_deployed_tells_its_version(stack: str, request: pytest.FixtureRequest) -> None:
    """As an output, and as a tag of every role and rule. Nothing else is tagged, so that a new version does not touch it."""
    deployed: Template = request.getfixturevalue(stack)
    assert VERSION == deployed.outputs()["Version"]
    tagged = {
        logical_id
        for logical_id, each in deployed.document["Resources"].items()
        if {"Key": VERSION_TAG, "Value": VERSION} in each.get("Properties", {}).get("Tags", [])
    }
    assert {*deployed.resources("AWS::IAM::Role"), *deployed.resources("AWS::Events::Rule")} == tagged


def test_the_version_is_a_tag_of_the_stack(assembly: Path) -> None:
    """`cdk deploy` takes it from the manifest."""
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    assert VERSION == artifacts["Imdsv2Remediation"]["properties"]["tags"][VERSION_TAG]


def test_roles_are_the_same_in_members_and_in_the_security_account(
    template: Template, member_template: Template
) -> None:
    """There is one path to an instance, regardless of its account."""

    def policies(roles: Template) -> str:
        found = {name: roles.policies_of(f"imdsv2-remediation-{name}") for name in ("read", "write", "rollback")}
        return json.dumps(found, sort_keys=True).replace(roles.account, "ACCOUNT")

    assert policies(template) == policies(member_template)


def test_a_deploy_without_a_name_means_the_service(assembly: Path) -> None:
    """The command line deploys the only stack at the top level of the assembly."""
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    stacks = [name for name, each in artifacts.items() if each["type"] == "aws:cloudformation:stack"]
    assert ["Imdsv2Remediation"] == stacks


def test_no_partition_account_or_region_is_written_down(assembly: Path) -> None:
    """The same templates serve China, GovCloud and the European sovereign cloud."""
    for path in assembly.glob("*.template.json"):
        text = path.read_text().replace(MEMBER_ACCOUNT, "")
        assert [] == [each for each in ("arn:aws:", "amazonaws.com.cn", REGION, SECURITY_ACCOUNT) if each in text]


def test_a_setting_that_is_refused_is_the_whole_answer(tmp_path: Path) -> None:
    """No traceback, and no template is written."""
    run = synthesise(tmp_path / "out", log_retention_days=31)
    assert 1 == run.returncode
    assert run.stderr.strip().splitlines()[-1].startswith("cdk.json, context: log_retention_days takes one of 1, 3, 5")
    assert "Traceback" not in run.stderr


def synthesised(tmp_path: Path, **changes: Any) -> Json:
    """The service's template with changed settings, without its code."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    settings = Settings.from_context({**context, **changes})
    members = MemberTemplates(roles="{}", forwarding="{}")
    stack = ServiceStack(App(), "Imdsv2Remediation", settings=settings, asset=tmp_path, member_templates=members)
    return dict(Synthesised.from_stack(stack).to_json())


def test_as_it_comes_nobody_else_may_put_events_on_the_bus(tmp_path: Path) -> None:
    """Without members, the bus has no policy; without an address, the topic has no subscription."""
    kinds = {each["Type"] for each in synthesised(tmp_path)["Resources"].values()}
    assert {"AWS::Events::EventBusPolicy", "AWS::SNS::Subscription"}.isdisjoint(kinds)


def test_rules_are_rolled_out_to_the_home_region_unless_others_are_named(tmp_path: Path) -> None:
    """Most organisations use Config there; further Regions must be chosen explicitly."""
    document = synthesised(tmp_path, organization_id=ORGANIZATION, organizational_units=["r-ab12"], call_as="SELF")
    stack_sets = [
        each["Properties"] for each in document["Resources"].values() if each["Type"] == "AWS::CloudFormation::StackSet"
    ]
    assert [("SELF", [{"Ref": "AWS::Region"}])] * 2 == [
        (each["CallAs"], group["Regions"]) for each in stack_sets for group in each["StackInstancesGroup"]
    ]


def test_without_a_window_batches_are_as_small_as_lambda_then_wants_them(tmp_path: Path) -> None:
    """Lambda rejects batches of more than ten without a window."""
    document = synthesised(tmp_path, batching_window_seconds=0)
    (mapping,) = (
        each["Properties"]
        for each in document["Resources"].values()
        if each["Type"] == "AWS::Lambda::EventSourceMapping" and "FilterCriteria" not in each["Properties"]
    )
    assert (10, 0) == (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"])
