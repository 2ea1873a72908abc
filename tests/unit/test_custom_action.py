"""The custom resource always answers CloudFormation, and maintains one action with a known ARN."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.stub import ANY, Stubber

import custom_action
import invocation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.session import Session

ACTION_ARN = "arn:aws-cn:securityhub:cn-north-1:111111111111:action/custom/RequireIMDSv2"
PROPERTIES = {"ActionId": "RequireIMDSv2", "Name": "Require IMDSv2", "Description": "Says what it does", "Release": "1"}


class Context:
    """The part of Lambda's context that the handler reads."""

    invoked_function_arn = "arn:aws-cn:lambda:cn-north-1:111111111111:function:imdsv2-remediation-custom-action"


class CloudFormation:
    """A listener at CloudFormation's response URL; it can refuse the first answers."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []
        self.lengths: list[int] = []
        self.refusals = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.refusals:
                    outer.refusals -= 1
                    self.send_response(503)
                else:
                    outer.answers.append(json.loads(body))
                    outer.lengths.append(len(body))
                    outer.content_types.append(self.headers["Content-Type"])
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  The base class calls it so.
                """Log nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """The URL for the answer."""
        return f"http://127.0.0.1:{self.server.server_port}/answer?signature=x"


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    """CloudFormation, waiting."""
    listener = CloudFormation()
    thread = threading.Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def sdk() -> Session:
    """One for all tests: it keeps botocore's models, which take longer to load than the tests to run."""
    return get_session()


@pytest.fixture
def security_hub(sdk: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """A client of Security Hub that checks requests and answers against botocore's model, and that all answers were
    used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = sdk.create_client("securityhub", region_name="cn-north-1")

    def stubbed(*, region: str) -> Any:
        assert "cn-north-1" == region
        return client

    monkeypatch.setattr(custom_action, "_security_hub", stubbed)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def request(kind: str, cloudformation: CloudFormation, **more: Any) -> Any:
    """A request as CloudFormation sends it."""
    return {
        "RequestType": kind,
        "ResponseURL": cloudformation.url,
        "StackId": "arn:aws-cn:cloudformation:cn-north-1:111111111111:stack/Imdsv2Remediation/1",
        "RequestId": "request-1",
        "LogicalResourceId": "ActionTarget",
        "ResourceType": "Custom::SecurityHubActionTarget",
        "ResourceProperties": {"ServiceToken": Context.invoked_function_arn, **PROPERTIES},
        **more,
    }


def handle(request_: Any) -> None:
    """Invoke the handler."""
    custom_action.handler(request_, Context())  # type: ignore[arg-type]


def only_answer(cloudformation: CloudFormation) -> dict[str, Any]:
    """The one answer there was."""
    (answer,) = cloudformation.answers
    return answer


DESCRIBED = {"ActionTargetArn": ACTION_ARN, "Name": "Require IMDSv2", "Description": "Says what it does"}


def test_create_makes_the_action_and_names_the_resource_by_its_arn(
    security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """The first deployment finds no action, creates it, and sends CloudFormation every required field."""
    security_hub.add_client_error("update_action_target", "ResourceNotFoundException", expected_params=DESCRIBED)
    security_hub.add_response(
        "create_action_target",
        {"ActionTargetArn": ACTION_ARN},
        {"Id": "RequireIMDSv2", "Name": "Require IMDSv2", "Description": "Says what it does"},
    )
    handle(request("Create", cloudformation))
    assert {
        "Status": "SUCCESS",
        "PhysicalResourceId": ACTION_ARN,
        "StackId": "arn:aws-cn:cloudformation:cn-north-1:111111111111:stack/Imdsv2Remediation/1",
        "RequestId": "request-1",
        "LogicalResourceId": "ActionTarget",
        "Data": {"Note": "created"},
    } == only_answer(cloudformation)
    assert [""] == cloudformation.content_types


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_action_that_is_there_is_brought_up_to_date(
    kind: str, security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """A repeated create, a create after a stack that left its action behind, and an update all result in one action."""
    security_hub.add_response("update_action_target", {}, DESCRIBED)
    handle(request(kind, cloudformation))
    assert ("SUCCESS", ACTION_ARN) == (
        only_answer(cloudformation)["Status"],
        only_answer(cloudformation)["PhysicalResourceId"],
    )


def test_an_action_that_is_made_meanwhile_fails_no_deployment(
    security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """An answer was lost and the call repeated, or the daily look came between: it is there, and that was wanted."""
    security_hub.add_client_error("update_action_target", "ResourceNotFoundException")
    security_hub.add_client_error("create_action_target", "ResourceConflictException")
    handle(request("Create", cloudformation))
    assert "SUCCESS" == only_answer(cloudformation)["Status"]


def test_update_makes_an_action_again_that_a_person_deleted(
    security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """Every new release checks whether the action still exists."""
    security_hub.add_client_error("update_action_target", "ResourceNotFoundException")
    security_hub.add_response(
        "create_action_target", {"ActionTargetArn": ACTION_ARN}, {"Id": ANY, "Name": ANY, "Description": ANY}
    )
    handle(request("Update", cloudformation, PhysicalResourceId=ACTION_ARN))
    assert "created" == only_answer(cloudformation)["Data"]["Note"]


def test_another_id_is_another_resource(security_hub: Stubber, cloudformation: CloudFormation) -> None:
    """An update to a new id answers with the new ARN, and CloudFormation then requests deletion of the old one."""
    security_hub.add_response("update_action_target", {}, {**DESCRIBED, "ActionTargetArn": ANY})
    update = request("Update", cloudformation, PhysicalResourceId=ACTION_ARN)
    update["ResourceProperties"]["ActionId"] = "Another"
    handle(update)
    assert ACTION_ARN.replace("RequireIMDSv2", "Another") == only_answer(cloudformation)["PhysicalResourceId"]


def test_delete_removes_the_resource_it_names_not_the_one_in_the_properties(
    security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """After a replacement, or the rollback of one, the properties are not those of the resource to delete."""
    old = ACTION_ARN.replace("RequireIMDSv2", "Old")
    security_hub.add_response("delete_action_target", {"ActionTargetArn": old}, {"ActionTargetArn": old})
    handle(request("Delete", cloudformation, PhysicalResourceId=old))
    assert ("SUCCESS", old) == (
        only_answer(cloudformation)["Status"],
        only_answer(cloudformation)["PhysicalResourceId"],
    )


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidAccessException", "AccessDeniedException"])
def test_an_action_that_cannot_be_deleted_does_not_hold_the_stack(
    code: str, security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """Already deleted, Security Hub disabled, or permission missing: the stack is deleted all the same."""
    security_hub.add_client_error("delete_action_target", code)
    handle(request("Delete", cloudformation, PhysicalResourceId=ACTION_ARN))
    assert "SUCCESS" == only_answer(cloudformation)["Status"]


def test_an_account_without_security_hub_still_gets_its_stack(
    security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """Config events alone justify a deployment; the answer says what is missing."""
    security_hub.add_client_error("update_action_target", "InvalidAccessException")
    handle(request("Create", cloudformation))
    answer = only_answer(cloudformation)
    assert ("SUCCESS", ACTION_ARN) == (answer["Status"], answer["PhysicalResourceId"])
    assert "Security Hub is not enabled" in answer["Data"]["Note"]


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize(
    ("code", "at"),
    [
        ("InternalException", "update_action_target"),
        ("AccessDeniedException", "update_action_target"),
        ("LimitExceededException", "create_action_target"),
    ],
)
def test_a_refusal_holds_no_stack_up(
    code: str, at: str, kind: str, security_hub: Stubber, cloudformation: CloudFormation
) -> None:
    """Not in its first deployment, and not on the way back from an update that failed elsewhere; the daily look tells of it."""
    if at == "create_action_target":
        security_hub.add_client_error("update_action_target", "ResourceNotFoundException")
    security_hub.add_client_error(at, code, "no")
    handle(request(kind, cloudformation))
    answer = only_answer(cloudformation)
    assert ("SUCCESS", ACTION_ARN) == (answer["Status"], answer["PhysicalResourceId"])
    assert code in answer["Data"]["Note"]
    assert "within a day" in answer["Data"]["Note"]


def test_each_day_a_refusal_fails_aloud(security_hub: Stubber, counted: dict[str, Any]) -> None:
    """Lambda keeps the input in the queue of failed invocations, which has an alarm."""
    security_hub.add_client_error("update_action_target", "AccessDeniedException", "no")
    with pytest.raises(ClientError, match="AccessDenied"):
        custom_action.handler(KEEP, Context())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "letters", ["no ", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "\N{CJK UNIFIED IDEOGRAPH-6F22}", "\ud800", '"']
)
def test_a_defect_fails_the_deployment_with_its_reason(
    letters: str, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is, it is answered with the resource's id, so that CloudFormation can delete it; CloudFormation takes 4 KB."""

    def broken(**_: Any) -> Any:
        raise RuntimeError(letters * 5000)

    monkeypatch.setattr(custom_action, "_security_hub", broken)
    handle(request("Create", cloudformation))
    answer = only_answer(cloudformation)
    assert ("FAILED", ACTION_ARN) == (answer["Status"], answer["PhysicalResourceId"])
    assert "RuntimeError" in answer["Reason"]
    assert [True] == [length < 4096 for length in cloudformation.lengths]


def test_an_answer_that_is_not_taken_is_sent_again(
    security_hub: Stubber, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response URL may be unavailable for a moment; the pauses between the attempts are noted, not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    cloudformation.refusals = 2
    security_hub.add_response("update_action_target", {}, DESCRIBED)
    handle(request("Update", cloudformation))
    assert "SUCCESS" == only_answer(cloudformation)["Status"]
    assert [1.0] == pauses


pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

KEEP = {"keep": {name: PROPERTIES[name] for name in ("ActionId", "Name", "Description")}}


def aggregated_in(security_hub: Stubber, *regions: str) -> None:
    """The older Security Hub's aggregators; there is one at most."""
    arns = [f"arn:aws-cn:securityhub:{region}:111111111111:finding-aggregator/1" for region in regions]
    answer = {"FindingAggregators": [{"FindingAggregatorArn": arn} for arn in arns]}
    security_hub.add_response("list_finding_aggregators", answer, {})


def aggregated_in_v2(security_hub: Stubber, *regions: str) -> None:
    """The newer one's."""
    arns = [f"arn:aws-cn:securityhub:{region}:111111111111:aggregatorv2/1" for region in regions]
    security_hub.add_response("list_aggregators_v2", {"AggregatorsV2": [{"AggregatorV2Arn": arn} for arn in arns]}, {})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Metric to its last value."""
    values: dict[str, Any] = {}
    monkeypatch.setattr(invocation.metrics, "add_metric", lambda name, unit, value: values.update({name: value}))
    return values


@pytest.mark.parametrize(
    ("older", "newer", "found", "elsewhere"),
    [
        ([], [], "cn-north-1", 0),
        (["cn-north-1"], ["cn-north-1"], "cn-north-1", 0),
        (["cn-northwest-1"], [], "cn-northwest-1", 1),
        (["cn-north-1"], ["cn-northwest-1"], "cn-northwest-1", 1),
        ([], ["cn-northwest-1"], "cn-northwest-1", 1),
    ],
)
def test_each_day_it_is_told_whether_findings_arrive_here(
    older: list[str], newer: list[str], found: str, elsewhere: int, security_hub: Stubber, counted: dict[str, Any]
) -> None:
    """A service beside the aggregation Region of either hub sees the findings of its own Region only."""
    security_hub.add_response("update_action_target", {}, DESCRIBED)
    aggregated_in(security_hub, *older)
    aggregated_in_v2(security_hub, *newer)
    answer = custom_action.handler(KEEP, Context())  # type: ignore[arg-type]
    assert {"action": "up to date", "aggregation_region": found} == answer
    assert {"AggregatedElsewhere": elsewhere} == counted


def test_each_day_an_action_that_is_missing_is_made(security_hub: Stubber, counted: dict[str, Any]) -> None:
    """Somebody deleted it, or Security Hub was enabled after the deployment."""
    security_hub.add_client_error("update_action_target", "ResourceNotFoundException")
    security_hub.add_response(
        "create_action_target",
        {"ActionTargetArn": ACTION_ARN},
        {"Id": "RequireIMDSv2", "Name": ANY, "Description": ANY},
    )
    aggregated_in(security_hub)
    aggregated_in_v2(security_hub)
    answer = custom_action.handler(KEEP, Context())  # type: ignore[arg-type]
    assert answer is not None
    assert "created" == answer["action"]


def test_without_security_hub_there_is_nothing_to_look_after(security_hub: Stubber, counted: dict[str, Any]) -> None:
    """No failure each day in an account that works with Config alone."""
    security_hub.add_client_error("update_action_target", "InvalidAccessException")
    security_hub.add_client_error("list_aggregators_v2", "ResourceNotFoundException")
    answer = custom_action.handler(KEEP, Context())  # type: ignore[arg-type]
    assert answer is not None
    assert "not enabled" in answer["action"]
    assert {"AggregatedElsewhere": 0} == counted


def test_the_newer_security_hub_alone_is_looked_after(security_hub: Stubber, counted: dict[str, Any]) -> None:
    """Its findings of other Regions never arrive where it aggregates elsewhere."""
    security_hub.add_client_error("update_action_target", "InvalidAccessException")
    aggregated_in_v2(security_hub, "cn-northwest-1")
    custom_action.handler(KEEP, Context())  # type: ignore[arg-type]
    assert {"AggregatedElsewhere": 1} == counted
