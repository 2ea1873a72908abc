"""The functions as Lambda runs them: imported with their environment, invoked with events, answered as documented."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from imdsv2.errors import NotGuarded, SettingMissing
from tests.fixtures.events import config_change, custom_action, finding, finding_v2, imported, imported_v2
from tests.integration.builders import HUB, LEASE, MEMBER, OTHER, PARAMETER, REGION, ROLES, TABLE, arn_of
from tests.integration.guarding import probe
from tests.world.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

ENVIRONMENT = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "LEDGER_TABLE": TABLE,
    "POLICY_PARAMETER": PARAMETER,
    "LEASE_SECONDS": str(int(LEASE.total_seconds())),
    "MEMBER_ROLES": ROLES,
    "MANUAL_FUNCTION": "imdsv2-remediation-manual",
    "CUSTOM_ACTION_ID": "RequireIMDSv2",
    "HUB_ACCOUNT": HUB,
    "POWERTOOLS_SERVICE_NAME": "imdsv2-remediation",
    "POWERTOOLS_METRICS_NAMESPACE": "Imdsv2Remediation",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}

OTHERS = {"aws:ec2launchtemplate:id": "lt-0e5f"}
"""What launched those that run other software."""


@dataclass
class LambdaContext:
    """The invocation's context as Lambda provides it."""

    aws_request_id: str = "6f1d2c3b-0000-4000-8000-000000000001"
    function_name: str = "imdsv2-remediation-remediate"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:imdsv2-remediation-remediate"
    time_left: int = 300_000

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda ends it."""
        return self.time_left


@pytest.fixture
def handler_of(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Start a function: import its module again, with the environment that the stack sets."""
    # The functions use the real clock; the instances launched here are in its past.
    cloud.clock = Clock(datetime.now(UTC))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NOTIFICATIONS_TOPIC_ARN", cloud.topic_arn)
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", cloud.dead_letter_url)

    def start(name: str) -> Any:
        for module in ("invocation", name):
            monkeypatch.delitem(sys.modules, module, raising=False)
        return importlib.import_module(name).handler

    return start


def messages(*bodies: Any) -> dict[str, Any]:
    """A batch as SQS delivers it; the ids are m0, m1, ..."""
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {"Records": [{"messageId": f"m{number}", "body": text} for number, text in enumerate(texts)]}


def failures(answer: dict[str, Any]) -> list[str]:
    """The ids of the messages to retry."""
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def config_of(arn: InstanceArn) -> dict[str, Any]:
    """A Config event about an instance."""
    return config_change(arn.instance_id, account=arn.account, region=arn.region)


def dead_letters(cloud: Cloud) -> list[dict[str, Any]]:
    """The messages in the dead-letter queue."""
    found: list[dict[str, Any]] = []
    while (
        page := cloud.as_account(HUB, "sqs")
        .receive_message(QueueUrl=cloud.dead_letter_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        .get("Messages")
    ):
        found += page
    return found


def metric_of(output: str, name: str) -> float:
    """The sum of a metric in a function's output."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return float(sum(value for line in lines if "_aws" in line and name in line for value in line[name]))


# --- remediate ---


def test_a_batch_of_all_kinds_of_messages_is_judged_at_once(cloud: Cloud, handler_of: Any) -> None:
    """Old and new findings, Config and a custom action, each about a different instance."""
    arns = cloud.launch(count=4)
    asff, ocsf, click = (
        finding(str(arns[0])),
        finding_v2(arns[1].instance_id),
        finding(str(arns[2]), UpdatedAt="2026-11-20T07:00:00Z"),
    )
    cloud.hub.holds(asff, ocsf, click)
    batch = messages(imported(asff), imported_v2(ocsf), custom_action(click), config_of(arns[3]))
    assert {"batchItemFailures": []} == handler_of("remediate")(batch, LambdaContext())
    assert ["required"] * 4 == [cloud.tokens(arn) for arn in arns]
    assert ["securityhub", "securityhub_v2", "custom_action", "config"] == [
        cloud.current(arn)["source"] for arn in arns
    ]
    assert {LambdaContext.aws_request_id} == {cloud.current(arn)["request_id"] for arn in arns}
    assert 2 == cloud.hub.findings[ocsf["finding_info"]["uid"]]["status_id"]
    assert [] == dead_letters(cloud)


def test_role_sessions_bear_the_id_of_the_invocation(cloud: Cloud, handler_of: Any) -> None:
    """The member's CloudTrail leads back to it."""
    handler_of("remediate")(messages(config_of(cloud.one())), LambdaContext())
    names = {call.params["RoleSessionName"] for call in cloud.wire.made("AssumeRole")}
    assert {LambdaContext.aws_request_id} == names


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "body"),
        ("[]", "body"),
        (imported(finding(Id=7)), "detail.findings[0].Id"),
        (imported(finding(Resources=[])), "detail.findings[0].Resources"),
        (imported(finding(Workflow={"Status": None})), "detail.findings[0].Workflow.Status"),
        (config_change(resourceType=3, detail={"resourceId": "i-xyz"}), "detail.resourceId"),
        (imported_v2(finding_v2(compliance=None)), "detail.findings[0].compliance"),
    ],
)
def test_poison_goes_to_the_dead_letter_queue_with_its_field_and_the_others_go_on(
    body: Any, field: str, cloud: Cloud, handler_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, acknowledged, with the original message; other messages are not affected."""
    arn = cloud.one()
    batch = messages(body, config_of(arn))
    assert [] == failures(handler_of("remediate")(batch, LambdaContext()))
    (letter,) = dead_letters(cloud)
    assert batch["Records"][0]["body"] == letter["Body"]
    attributes = {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}
    assert field == attributes["field"]
    assert field in attributes["reason"]
    assert "required" == cloud.tokens(arn)
    assert 1 == metric_of(capsys.readouterr().out, "PoisonMessages")


def test_the_sound_findings_of_a_message_with_poison_go_on(cloud: Cloud, handler_of: Any) -> None:
    """The message still goes to the dead-letter queue."""
    arn = cloud.one()
    body = imported(finding(Id=None), finding(str(arn)))
    assert [] == failures(handler_of("remediate")(messages(body), LambdaContext()))
    assert ("required", 1) == (cloud.tokens(arn), len(dead_letters(cloud)))


def test_any_amount_of_poison_is_buried(cloud: Cloud, handler_of: Any) -> None:
    """A faulty sender usually sends many."""
    assert [] == failures(handler_of("remediate")(messages(*["{"] * 25), LambdaContext()))
    assert 25 == len(dead_letters(cloud))


def test_what_is_none_of_our_business_is_dropped_in_silence(cloud: Cloud, handler_of: Any) -> None:
    """The rules drop it first; the parser would, too."""
    batch = messages(
        imported(finding(Compliance={"SecurityControlId": "EC2.9"})),
        imported(finding(Compliance={"Status": "PASSED"})),
        imported(finding(Workflow={"Status": "SUPPRESSED"})),
        config_change(compliance="COMPLIANT"),
        custom_action(action_id="SomethingElse"),
    )
    assert [] == failures(handler_of("remediate")(batch, LambdaContext()))
    assert [] == dead_letters(cloud)
    assert [] == [each for each in cloud.items() if each["pk"] != "policy"]


def test_an_exception_is_retried_only_for_its_own_messages(cloud: Cloud, handler_of: Any) -> None:
    """The failing account does not affect the others, and its messages never count as poison."""
    broken, fine = cloud.one(account=OTHER), cloud.one()

    def break_down(call: Call) -> None:
        if any(OTHER in str(each) for each in call.params["TransactItems"]):
            raise RuntimeError("nobody foresaw this")

    cloud.wire.on("TransactWriteItems", break_down)
    batch = messages(config_of(fine), config_of(broken), "{")
    assert ["m1"] == failures(handler_of("remediate")(batch, LambdaContext()))
    assert "required" == cloud.tokens(fine)
    assert ["{"] == [each["Body"] for each in dead_letters(cloud)]


def test_a_ledger_that_is_out_of_order_has_everything_tried_again(cloud: Cloud, handler_of: Any) -> None:
    """No finding is lost, and nothing is changed without the ledger."""
    arn = cloud.one()
    cloud.wire.refuse("BatchGetItem", "InternalServerError")
    assert ["m0"] == failures(handler_of("remediate")(messages(config_of(arn)), LambdaContext()))
    assert [] == cloud.changes()


def test_poison_that_cannot_be_buried_comes_again_alone(cloud: Cloud, handler_of: Any) -> None:
    """SQS moves it after five attempts; finished work is not repeated."""
    arn = cloud.one()

    def fail(_: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    cloud.wire.on("SendMessage", fail)
    assert ["m0"] == failures(handler_of("remediate")(messages("{", config_of(arn)), LambdaContext()))
    assert "required" == cloud.tokens(arn)


def test_poison_that_the_queue_refuses_comes_again_alone(cloud: Cloud, handler_of: Any) -> None:
    """Other poison still goes to the dead-letter queue."""
    cloud.wire.refuse("SendMessage", "InvalidMessageContents", when=lambda call: call.params["MessageBody"] == "[")
    assert ["m1"] == failures(handler_of("remediate")(messages("{", "["), LambdaContext()))
    assert ["{"] == [each["Body"] for each in dead_letters(cloud)]


def test_large_poison_is_buried_too(cloud: Cloud, handler_of: Any) -> None:
    """Findings have up to 240 KB; a call of SQS takes 1 MiB, however many messages are in it."""
    bodies = [json.dumps({"source": 7, "padding": "x" * 240_000}) for _ in range(5)]
    assert [] == failures(handler_of("remediate")(messages(*bodies), LambdaContext()))
    assert 5 == len(dead_letters(cloud))


def test_verdicts_are_counted(cloud: Cloud, handler_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of metrics per invocation, with the one dimension that the alarms use."""
    used = cloud.one(use=1.0, tags=OTHERS)
    handler_of("remediate")(messages(config_of(cloud.one()), config_of(used)), LambdaContext())
    output = capsys.readouterr().out
    assert [2, 1, 0, 0, 0] == [
        metric_of(output, name) for name in ("Verdicts", "Enforced", "Failed", "PolicyRefused", "PoisonMessages")
    ]
    (line,) = [json.loads(line) for line in output.splitlines() if '"_aws"' in line]
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert ("Imdsv2Remediation", [["service"]]) == (metrics["Namespace"], metrics["Dimensions"])
    assert "imdsv2-remediation" == line["service"]


def test_the_log_says_who_calls_and_how_often(cloud: Cloud, handler_of: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The dashboard lists them from there; who does not call is no row."""
    quiet, used = cloud.one(), cloud.one(use=3.0, tags=OTHERS)
    handler_of("remediate")(messages(config_of(quiet), config_of(used)), LambdaContext())
    told = {vars(each)["target"]: vars(each) for each in caplog.records if each.message == "verdict"}
    assert {str(quiet), str(used)} == told.keys()
    assert "calls" not in told[str(quiet)]
    evidence = cloud.current(used)["evidence"]
    said = told[str(used)]
    assert (evidence["tokenless_calls"], evidence["last_tokenless_call"]) == (said["calls"], said["last_call"])
    assert said["calls"] > 0


def test_a_refused_policy_is_counted(cloud: Cloud, handler_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm watches this metric, even if the batch has no relevant event."""
    cloud.raw_policy('{"mode": "of"}')
    handler_of("remediate")(messages(config_change(compliance="COMPLIANT")), LambdaContext())
    assert 1 == metric_of(capsys.readouterr().out, "PolicyRefused")


@pytest.mark.parametrize(
    "name",
    [
        "LEDGER_TABLE",
        "POLICY_PARAMETER",
        "NOTIFICATIONS_TOPIC_ARN",
        "LEASE_SECONDS",
        "MEMBER_ROLES",
        "MANUAL_FUNCTION",
    ],
)
@pytest.mark.parametrize("function", ["remediate", "manual", "revisit", "guard"])
def test_a_function_without_a_setting_does_not_start(
    function: str, name: str, handler_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployment fails, not the processing of a finding."""
    monkeypatch.delenv(name)
    with pytest.raises(SettingMissing, match=name):
        handler_of(function)


def test_remediate_does_not_start_without_its_dead_letter_queue(
    handler_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Poison would have nowhere to go. The other functions do not need the queue."""
    monkeypatch.delenv("DEAD_LETTER_QUEUE_URL")
    handler_of("manual")
    with pytest.raises(SettingMissing, match="DEAD_LETTER_QUEUE_URL"):
        handler_of("remediate")


# --- manual ---


def test_the_question_of_sources_is_answered(cloud: Cloud, handler_of: Any) -> None:
    """By the manual function, like any other; what it cannot read is a problem in the answer, not an error."""
    cloud.one(tags={"karpenter.sh/nodepool": "p"})
    cloud.wire.refuse("GetInstanceMetadataDefaults", "UnauthorizedOperation")
    answer = ask(handler_of("manual"), sources={"account": MEMBER, "region": REGION})
    assert ["karpenter_node_pool"] == [each["kind"] for each in answer["results"]]
    assert 1 == len(answer["problems"])
    assert "InvalidRequest" == ask(handler_of("manual"), sources={"account": MEMBER})["error"]["code"]


def ask(handler: Any, **event: Any) -> Any:
    """Invoke by hand; the answer must survive JSON."""
    return json.loads(json.dumps(handler(event, LambdaContext())))


def test_a_dry_run_answers_exactly_as_documented(cloud: Cloud, handler_of: Any) -> None:
    """Every field, with the types of the contract."""
    cloud.policy(mode="observe")
    arn = cloud.one(hop_limit=2)
    answer = ask(handler_of("manual"), targets=[str(arn)])
    (result,) = answer.pop("results")
    assert {"dry_run": True, "mode": "observe"} == answer
    evidence = result.pop("evidence")
    explanation = result.pop("explanation")
    assert {
        "target": str(arn),
        "decision": "enforce",
        "reason": "unused",
        "before": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"},
        "planned_call": {"HttpTokens": "required"},
        "permitted": True,
        "status": "would_enforce",
        "error": None,
    } == result
    assert explanation.endswith(".")
    shapes = {
        "window_start": str,
        "window_end": str,
        "tokenless_calls": int,
        "tokenless_hours": int,
        "last_tokenless_call": type(None),
        "pattern": type(None),
        "refused_calls": int,
        "boot_observed": bool,
        "boot_tokenless_calls": int,
        "observed_hours": int,
        "coverage": float,
        "longest_gap_hours": int,
        "newest_datapoint": str,
        "period_seconds": int,
    }
    assert shapes == {name: type(value) for name, value in evidence.items()}
    assert datetime.strptime(evidence["window_end"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) > datetime(
        2026, 1, 1, tzinfo=UTC
    )


@pytest.mark.parametrize("mode", ["enforce", "observe", "off"])
def test_a_dry_run_writes_nothing(mode: str, cloud: Cloud, handler_of: Any) -> None:
    """Neither to the ledger nor to EC2, findings or the topic; it answers in every mode."""
    cloud.policy(mode=mode)
    arn = cloud.one()
    answer = ask(handler_of("manual"), targets=[str(arn)], dry_run=True)
    assert ("enforce", "would_enforce") == (answer["results"][0]["decision"], answer["results"][0]["status"])
    assert ("optional", {}) == (cloud.tokens(arn), cloud.tags(arn))
    assert [] == cloud.items()
    written = {"PutItem", "UpdateItem", "TransactWriteItems", "CreateTags", "BatchUpdateFindings", "Publish"}
    assert [] == cloud.wire.made(*written)
    assert [True] == [call.params.get("DryRun") for call in cloud.wire.made("ModifyInstanceMetadataOptions")]


def test_ec2s_own_answer_is_told(cloud: Cloud, handler_of: Any) -> None:
    """Through the write role: no, unknown, or nothing if no call is planned."""
    denied, throttled, used, roleless = (
        cloud.one(),
        cloud.one(),
        cloud.one(use=1.0, tags=OTHERS),
        cloud.one(account=OTHER),
    )
    for arn, code in ((denied, "UnauthorizedOperation"), (throttled, "RequestLimitExceeded")):
        cloud.wire.refuse(
            "ModifyInstanceMetadataOptions",
            code,
            when=lambda call, arn=arn: call.params["InstanceId"] == arn.instance_id,  # type: ignore[misc]
        )
    cloud.wire.refuse(
        "AssumeRole", "AccessDenied", when=lambda call: f"{OTHER}:role/imdsv2-remediation-write" in str(call)
    )
    answer = ask(handler_of("manual"), targets=[str(arn) for arn in (denied, throttled, used, roleless)])
    results = answer["results"]
    assert [False, None, None, None] == [each["permitted"] for each in results]
    assert [None, True, None, True] == [each["error"] and bool(each["error"]["code"]) for each in results]
    assert [{"HttpTokens": "required"}] * 2 + [None, {"HttpTokens": "required"}] == [
        each["planned_call"] for each in results
    ]
    assert "AccessDenied" in results[3]["error"]["message"]


def test_results_come_in_the_order_asked_with_duplicates_and_bad_targets_in_their_place(
    cloud: Cloud, handler_of: Any
) -> None:
    """An invalid target, or one whose attempt failed, fails alone; a missing one is gone."""
    cloud.policy(mode="enforce")
    arn, used = cloud.one(), cloud.one(use=1.0, tags=OTHERS)
    triple = {"account": MEMBER, "region": REGION, "instance_id": arn.instance_id}
    targets = [str(used), "arn:aws:s3:::bucket", triple, str(arn), str(arn_of("404")), 7, {"account": MEMBER}]
    answer = ask(handler_of("manual"), targets=targets)
    results = answer["results"]
    assert [str(used), "arn:aws:s3:::bucket", str(arn), str(arn), str(arn_of("404"))] == [
        each["target"] for each in results[:5]
    ]
    assert ["v1_in_use", None, "unused", "unused", "gone", None, None] == [each["reason"] for each in results]
    assert ["hold", None, "enforce", "enforce", "skip", None, None] == [each["decision"] for each in results]
    assert [False, True, False, False, False, True, True] == [each["error"] is not None for each in results]
    assert {"code", "message"} == set(results[1]["error"])
    keys = {frozenset(each) for each in results}
    assert 1 == len(keys)


def test_an_account_that_breaks_fails_in_its_place(cloud: Cloud, handler_of: Any) -> None:
    """With a code and a sentence, and no verdict; the others have theirs."""
    broken, fine = cloud.one(account=OTHER), cloud.one()

    def break_down(call: Call) -> None:
        if OTHER in str(call.params):
            raise RuntimeError("nobody foresaw this")

    cloud.wire.on("BatchGetItem", break_down)
    answer = ask(handler_of("manual"), targets=[str(broken), str(fine)])
    first, second = answer["results"]
    assert (None, "RuntimeError") == (first["decision"], first["error"]["code"])
    assert "enforce" == second["decision"]


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "arn",
        {},
        {"targets": []},
        {"targets": "arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0"},
        {"targets": ["x"] * 501},
        {"targets": ["x"], "dry_run": "false"},
        {"targets": ["x"], "clear": 1, "dry_run": False},
        {"targets": ["x"], "mode": "enforce"},
        {"targets": ["x"], "caller": 7},
        {"targets": ["x"], "dry_run": None},
    ],
)
def test_a_request_that_is_none_is_answered_with_what_is_wrong(event: Any, cloud: Cloud, handler_of: Any) -> None:
    """The invocation itself succeeds; the message names the field and its accepted values."""
    answer = handler_of("manual")(event, LambdaContext())
    assert {"error"} == set(answer)
    assert {"code", "message"} == set(answer["error"])
    assert "InvalidRequest" == answer["error"]["code"]
    named = "event" if not isinstance(event, dict) else (set(event) - {"targets"} or {"targets"})
    assert any(name in answer["error"]["message"] for name in ([named] if isinstance(named, str) else named))
    assert [] == cloud.items()


def test_500_targets_are_answered(cloud: Cloud, handler_of: Any) -> None:
    """The maximum of one call."""
    cloud.policy(mode="enforce")
    arns = cloud.launch(count=500, tokens="required", observed=False)
    answer = ask(handler_of("manual"), targets=[str(arn) for arn in arns])
    assert ["already_required"] * 500 == [each["reason"] for each in answer["results"]]
    assert [str(arn) for arn in arns] == [each["target"] for each in answer["results"]]


def test_acting_by_hand_acts_in_observe_and_records_who_claims_to_have_asked(cloud: Cloud, handler_of: Any) -> None:
    """With the request id that finds the real caller in CloudTrail."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    answer = ask(handler_of("manual"), targets=[str(arn)], dry_run=False, caller="alice")
    (result,) = answer["results"]
    assert (False, "observe", "enforced") == (answer["dry_run"], answer["mode"], result["status"])
    current = cloud.current(arn)
    assert ("alice", "manual", LambdaContext.aws_request_id) == (
        current["caller"],
        current["source"],
        current["request_id"],
    )
    assert "required" == cloud.tokens(arn)


def test_acting_by_hand_does_not_act_in_off(cloud: Cloud, handler_of: Any) -> None:
    """The kill switch applies to people too."""
    cloud.policy(mode="off")
    arn = cloud.one()
    (result,) = ask(handler_of("manual"), targets=[str(arn)], dry_run=False)["results"]
    assert ("hold", "switched_off", "held") == (result["decision"], result["reason"], result["status"])
    assert "optional" == cloud.tokens(arn)


def test_what_ec2_refuses_by_hand_has_its_code_and_no_verdict(cloud: Cloud, handler_of: Any) -> None:
    """A failed attempt, with EC2's message."""
    arn = cloud.one()
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "UnauthorizedOperation", "not you")
    (result,) = ask(handler_of("manual"), targets=[str(arn)], dry_run=False)["results"]
    assert (None, "failed") == (result["decision"], result["status"])
    assert {"code": "UnauthorizedOperation", "message": "not you"} == result["error"]


def test_what_is_cleared_by_hand_is_judged_at_its_turn(cloud: Cloud, handler_of: Any) -> None:
    """Not in the same second: the function that processes due instances does it, like any other."""
    cloud.policy(mode="enforce")
    arn = cloud.one()
    manual = handler_of("manual")
    ask(manual, targets=[str(arn)], dry_run=False)
    cloud.set_options(arn, http_tokens="optional")
    assert "not_ready" == ask(manual, targets=[str(arn)])["results"][0]["reason"]
    answer = ask(manual, clear={"targets": [str(arn)]}, dry_run=False, caller="alice")
    assert ("clear", True) == (answer["command"], answer["results"][0]["done"])
    assert "optional" == cloud.tokens(arn)
    handler_of("revisit")({}, LambdaContext())
    assert "required" == cloud.tokens(arn)


@pytest.mark.parametrize(("seconds_left", "expected"), [(181, "rolled_back"), (180, "enforced")])
def test_an_undo_begins_nothing_that_it_could_not_end(
    cloud: Cloud, handler_of: Any, caplog: pytest.LogCaptureFixture, seconds_left: int, expected: str
) -> None:
    """The guard finishes it. The log names the caller, too."""
    arn = cloud.one()
    manual = handler_of("manual")
    ask(manual, targets=[str(arn)], dry_run=False)
    event = {"undo": {"account": MEMBER}, "dry_run": False, "caller": "alice"}
    answer = json.loads(json.dumps(manual(event, LambdaContext(time_left=seconds_left * 1000))))
    assert ("undo", False, 1) == (answer["command"], answer["dry_run"], answer["count"])
    assert expected == cloud.current(arn)["status"] == answer["results"][0]["status"]
    (logged,) = [vars(each) for each in caplog.records if each.message == "command carried out"]
    assert ("undo", "alice", 1) == (logged["command"], logged["caller"], logged["count"])


def test_a_command_that_is_none_is_answered_with_what_is_wrong(cloud: Cloud, handler_of: Any) -> None:
    """With the name of the field, whether it is malformed or its time has passed."""
    manual, arn = handler_of("manual"), cloud.one()
    past = {"hold": {"targets": [str(arn)]}, "reason": "Migration.", "owner": "blue", "until": "2020-01-01"}
    asked: list[tuple[dict[str, Any], str]] = [({"undo": {"account": "222"}}, "undo.account"), (past, "until")]
    for event, field in asked:
        error = ask(manual, **event, dry_run=False, caller="alice")["error"]
        assert ("InvalidRequest", True) == (error["code"], error["message"].startswith(f"{field}: "))
    assert [] == cloud.items()


def test_a_failure_of_the_whole_is_a_sentence_and_no_trace(cloud: Cloud, handler_of: Any) -> None:
    """The answer has no stack trace; the log has it, under the id in the answer."""
    cloud.wire.refuse("GetItem", "AccessDeniedException")
    cloud.wire.refuse("PutItem", "AccessDeniedException")
    cloud.wire.refuse("BatchGetItem", "AccessDeniedException")
    answer = ask(handler_of("manual"), targets=[str(cloud.one())])
    text = json.dumps(answer)
    assert "Traceback" not in text
    assert "error" in text


# --- revisit ---


def let_fall_due(cloud: Cloud, *arns: InstanceArn) -> None:
    """Make instances due."""
    for arn in arns:
        past = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        cloud.as_account(HUB, "dynamodb").update_item(
            TableName=TABLE,
            Key={"pk": {"S": str(arn)}, "sk": {"S": "current"}},
            UpdateExpression="SET revisit_at = :past",
            ExpressionAttributeValues={":past": {"S": past}},
        )


def test_what_is_due_is_judged_anew(cloud: Cloud, handler_of: Any) -> None:
    """Instances that are not due are left alone."""
    cloud.policy(mode="observe")
    due, later = cloud.one(), cloud.one()
    handler_of("remediate")(messages(config_of(due), config_of(later)), LambdaContext())
    let_fall_due(cloud, due)
    cloud.policy(mode="enforce")
    assert {"judged": 1} == handler_of("revisit")({}, LambdaContext())
    assert ("required", "optional") == (cloud.tokens(due), cloud.tokens(later))
    assert "revisit" == cloud.current(due)["source"]
    assert {"judged": 0} == handler_of("revisit")({}, LambdaContext())


def test_an_enforcement_left_half_done_is_finished_by_the_revisit(cloud: Cloud, handler_of: Any) -> None:
    """It is due when its lease ends."""
    arn = cloud.one()

    def time_out(_: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://ec2")

    cloud.wire.on("ModifyInstanceMetadataOptions", time_out)
    handler_of("remediate")(messages(config_of(arn)), LambdaContext())
    assert "enforcing" == cloud.current(arn)["status"]
    cloud.wire._steps["ModifyInstanceMetadataOptions"].clear()
    let_fall_due(cloud, arn)
    cloud.as_account(HUB, "dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": str(arn)}, "sk": {"S": "current"}},
        UpdateExpression="SET lease_until = revisit_at",
    )
    assert {"judged": 1} == handler_of("revisit")({}, LambdaContext())
    assert ("enforced", "required") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_a_revisit_begins_nothing_that_it_cannot_end(cloud: Cloud, handler_of: Any) -> None:
    """With little time left, due instances stay due."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    handler_of("remediate")(messages(config_of(arn)), LambdaContext())
    let_fall_due(cloud, arn)
    assert {"judged": 0} == handler_of("revisit")({}, LambdaContext(time_left=60_000))
    assert {"judged": 1} == handler_of("revisit")({}, LambdaContext())


def test_what_fails_in_a_revisit_is_due_again_after_the_lease(cloud: Cloud, handler_of: Any) -> None:
    """It was claimed, but not answered."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    handler_of("remediate")(messages(config_of(arn)), LambdaContext())
    let_fall_due(cloud, arn)
    cloud.wire.refuse("BatchGetItem", "InternalServerError")
    handler_of("revisit")({}, LambdaContext())
    wait = datetime.fromisoformat(cloud.current(arn)["revisit_at"]) - datetime.now(UTC)
    assert timedelta() < wait <= LEASE


# --- guard ---


def test_what_a_pass_of_the_guard_came_to_is_told_and_counted(
    cloud: Cloud, handler_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every pass counts itself, whatever it found: an alarm watches for missing passes."""
    handler_of("remediate")(messages(*map(config_of, cloud.launch(count=2))), LambdaContext())
    capsys.readouterr()
    counts = ("watched", "verified", "rolled_back", "left_broken", "breakers_open", "failed", "accounts_left")
    answer = {**dict.fromkeys(counts, 0), "watched": 2}
    assert answer == handler_of("guard")({}, LambdaContext())
    output = capsys.readouterr().out
    names = ("GuardPasses", "Verified", "RolledBack", "LeftBroken", "BreakersOpen", "PolicyRefused")
    assert [1, 0, 0, 0, 0, 0] == [metric_of(output, name) for name in names]
    (line,) = [json.loads(line) for line in output.splitlines() if '"_aws"' in line]
    assert [["service"]] == line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]


def test_a_guard_by_hand_says_that_a_pass_has_just_run(cloud: Cloud, handler_of: Any) -> None:
    """In place of zeros alone, with the command that tells what is open."""
    handler_of("remediate")(messages(config_of(cloud.one())), LambdaContext())
    assert "note" not in handler_of("guard")({}, LambdaContext())
    again = handler_of("guard")({}, LambdaContext())
    assert (0, 1) == (again["watched"], again["accounts_left"])
    assert "imdsv2 status" in again["note"]


def test_the_log_says_whose_calls_are_refused(cloud: Cloud, handler_of: Any, caplog: pytest.LogCaptureFixture) -> None:
    """With how many since tokens are required; of the others it says nothing."""
    healthy, broken = cloud.launch(count=2)
    handler_of("remediate")(messages(config_of(healthy), config_of(broken)), LambdaContext())
    probe(cloud, broken, 4)
    handler_of("guard")({}, LambdaContext())
    told = [vars(each) for each in caplog.records if each.message == "calls refused"]
    assert [(str(broken), 4)] == [(each["target"], each["refused_calls"]) for each in told]


def test_a_pass_that_leaves_a_place_unguarded_fails_and_is_counted(
    cloud: Cloud, handler_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are still processed; the failed invocation raises the alarm on errors."""
    handler_of("remediate")(messages(config_of(cloud.one()), config_of(cloud.one(account=OTHER))), LambdaContext())
    capsys.readouterr()

    def break_down(call: Call) -> None:
        if call.account == OTHER:
            raise RuntimeError("nobody foresaw this")

    cloud.wire.on("DescribeInstances", break_down)
    with pytest.raises(NotGuarded, match="1 of the places"):
        handler_of("guard")({}, LambdaContext())
    assert 1 == metric_of(capsys.readouterr().out, "GuardPasses")


def test_a_guard_begins_nothing_that_it_cannot_end(cloud: Cloud, handler_of: Any) -> None:
    """With little time left, every account is left to the next pass."""
    handler_of("remediate")(messages(config_of(cloud.one())), LambdaContext())
    assert 0 == handler_of("guard")({}, LambdaContext(time_left=60_000))["watched"]
    assert 1 == handler_of("guard")({}, LambdaContext())["watched"]
