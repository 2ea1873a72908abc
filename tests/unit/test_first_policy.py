"""The policy parameter: created once, never written again, and told what the settings say otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.session import get_session
from botocore.stub import Stubber

import first_policy
from custom_resource import CONFIG
from tests.unit.test_custom_action import CloudFormation, cloudformation, only_answer, sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.config import Config

__all__ = ["cloudformation", "sdk"]

NAME = "/imdsv2-remediation/policy"
SETTINGS = {"mode": "observe", "lookback_days": 35}
CREATED = {
    "Name": NAME,
    "Value": json.dumps(SETTINGS),
    "Type": "String",
    "Description": "Policy of imdsv2-remediation (JSON); a change is live within a minute",
    "Overwrite": False,
}


class Context:
    """The part of Lambda's context that the handler reads."""

    invoked_function_arn = "arn:aws-us-gov:lambda:us-gov-west-1:111111111111:function:imdsv2-remediation-first-policy"


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """A client of Systems Manager that checks requests against botocore's model, and that all answers were used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = get_session().create_client("ssm", region_name="us-gov-west-1")

    class Session:
        def create_client(self, service: str, region_name: str, config: Config) -> Any:
            assert ("ssm", "us-gov-west-1", CONFIG) == (service, region_name, config)
            return client

    monkeypatch.setattr(first_policy, "new_session", Session)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def handle(kind: str, waiting: CloudFormation, **more: Any) -> dict[str, Any]:
    """Invoke the handler as CloudFormation does; returns the answer."""
    properties = {"ServiceToken": "arn", "Name": NAME, "Document": json.dumps(SETTINGS), "Release": "1"}
    request: Any = {
        "RequestType": kind,
        "ResponseURL": waiting.url,
        "StackId": "arn:aws-us-gov:cloudformation:us-gov-west-1:111111111111:stack/Imdsv2Remediation/1",
        "RequestId": "request-1",
        "LogicalResourceId": "PolicyFirst",
        "ResourceProperties": {**properties, **more},
    }
    first_policy.handler(request, Context())  # type: ignore[arg-type]
    return only_answer(waiting)


def there_already(ssm: Stubber, live: str) -> None:
    """The parameter exists, with this value."""
    ssm.add_client_error("put_parameter", "ParameterAlreadyExists", expected_params=CREATED)
    ssm.add_response("get_parameter", {"Parameter": {"Name": NAME, "Value": live}}, {"Name": NAME})


def test_a_first_deployment_creates_it(ssm: Stubber, cloudformation: CloudFormation) -> None:
    """As the settings have it, without permission to overwrite."""
    ssm.add_response("put_parameter", {}, CREATED)
    answer = handle("Create", cloudformation)
    assert ("SUCCESS", "created from cdk.json") == (answer["Status"], answer["Data"]["Note"])


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize(
    ("live", "said"),
    [
        ({"mode": "off"}, ['mode "off" (cdk.json: "observe")', "put-parameter"]),
        (
            {"mode": "enforce", "approval": "required", "exclude_accounts": ["333333333333"]},
            ["approval", "exclude_accounts", "mode"],
        ),
        ({"mode": "observe"}, ["the same"]),
        ({"exclude_accounts": [f"{number:012}" for number in range(200)]}, ["exclude_accounts", "..."]),
    ],
)
def test_one_that_people_have_written_stays(
    live: dict[str, Any], said: list[str], kind: str, ssm: Stubber, cloudformation: CloudFormation
) -> None:
    """A deployment with another policy in cdk.json, or a stack that finds the parameter of an earlier one."""
    there_already(ssm, json.dumps(live))
    answer = handle(kind, cloudformation)
    note = answer["Data"]["Note"]
    assert "SUCCESS" == answer["Status"]
    assert [] == [each for each in ["kept as it is", *said] if each not in note]
    assert "lookback_days" not in note
    assert len(json.dumps(answer)) < 4096


def test_one_that_is_refused_stays_too(ssm: Stubber, cloudformation: CloudFormation) -> None:
    """Whoever deploys learns that nothing is enforced, and why."""
    there_already(ssm, '{"mode": "of"}')
    note = handle("Update", cloudformation)["Data"]["Note"]
    assert [] == [each for each in ("refused", "mode", "Nothing is enforced") if each not in note]


def test_it_outlives_the_stack(ssm: Stubber, cloudformation: CloudFormation) -> None:
    """Deletion calls nothing, and a parameter of another name is another resource."""
    answer = handle("Delete", cloudformation)
    assert ("SUCCESS", f"policy:{NAME}") == (answer["Status"], answer["PhysicalResourceId"])


@pytest.mark.parametrize("at", ["put_parameter", "get_parameter"])
def test_a_refusal_leaves_no_update_stuck(at: str, ssm: Stubber, cloudformation: CloudFormation) -> None:
    """The way back from a failed update is an update, too: a second failure would leave the stack as it is."""
    if at == "get_parameter":
        ssm.add_client_error("put_parameter", "ParameterAlreadyExists")
    ssm.add_client_error(at, "AccessDeniedException", "with an explicit deny in a service control policy")
    answer = handle("Update", cloudformation)
    assert ("SUCCESS", f"policy:{NAME}") == (answer["Status"], answer["PhysicalResourceId"])
    assert "AccessDenied" in answer["Data"]["Note"]
    assert "nothing is enforced" in answer["Data"]["Note"]


def test_a_policy_in_any_letters_is_told_within_the_limit(ssm: Stubber, cloudformation: CloudFormation) -> None:
    """What somebody wrote there may be anything; CloudFormation takes 4 KB of an answer, and waits if there is more."""
    there_already(ssm, json.dumps({"\N{CJK UNIFIED IDEOGRAPH-6F22}" * 3000: 1}))
    assert "refused" in handle("Update", cloudformation)["Data"]["Note"]
    assert [True] == [length < 4096 for length in cloudformation.lengths]


def test_a_refusal_fails_the_deployment_with_its_reason(ssm: Stubber, cloudformation: CloudFormation) -> None:
    """Without its policy, the service would enforce nothing and say so only in an alarm."""
    ssm.add_client_error("put_parameter", "AccessDeniedException", "no")
    answer = handle("Create", cloudformation)
    assert "FAILED" == answer["Status"]
    assert "AccessDenied" in answer["Reason"]
