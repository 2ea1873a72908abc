"""Manages the Security Hub custom action "Require IMDSv2" as a CloudFormation custom resource.

CloudFormation has no resource type for it. It waits for a response at the URL in the request, and a stack without a
response is stuck. Every request is therefore answered, and a failed deletion does not block the deletion of the stack.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

import urllib3
from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_securityhub import SecurityHubClient

logger = Logger()

LONGEST_REASON = 1000
"""Characters; CloudFormation rejects responses of more than 4 KB."""


class Properties(TypedDict):
    """The resource's properties in the template, except the release, which triggers an update with every release."""

    ActionId: str
    Name: str
    Description: str


class Request(TypedDict):
    """The request from CloudFormation; the first one for a resource has no `PhysicalResourceId`."""

    RequestType: Literal["Create", "Update", "Delete"]
    ResponseURL: str
    StackId: str
    RequestId: str
    LogicalResourceId: str
    PhysicalResourceId: NotRequired[str]
    ResourceProperties: Properties


def handler(request: Request, context: LambdaContext) -> None:
    """Handle a request from CloudFormation and send the response."""
    # The ARN is deterministic, so retries and rollbacks refer to the same resource. A new action id is a new resource,
    # and CloudFormation then requests the deletion of the old one.
    action_arn = _action_arn(context.invoked_function_arn, request["ResourceProperties"]["ActionId"])
    answer: dict[str, Any] = {"Status": "SUCCESS", "PhysicalResourceId": action_arn}
    try:
        client = _security_hub(region=action_arn.split(":")[3])
        if request["RequestType"] == "Delete":
            answer["PhysicalResourceId"] = request.get("PhysicalResourceId", action_arn)
            note = _remove(client, answer["PhysicalResourceId"])
        else:
            note = _keep(client, action_arn, request["ResourceProperties"])
        answer["Data"] = {"Note": note}
    except Exception as error:  # noqa: BLE001  Whatever it was, without an answer the stack would wait for it.
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:LONGEST_REASON]}
    logger.info("custom action", request_type=request["RequestType"], answer=answer)
    _answer(request, answer)


def _security_hub(*, region: str) -> SecurityHubClient:
    return cast("SecurityHubClient", get_session().create_client("securityhub", region_name=region))


def _keep(client: SecurityHubClient, action_arn: str, properties: Properties) -> str:
    """Create or update the action; returns a note on which."""
    described = {"Name": properties["Name"], "Description": properties["Description"]}
    try:
        client.update_action_target(ActionTargetArn=action_arn, **described)
    except client.exceptions.ResourceNotFoundException:
        client.create_action_target(Id=properties["ActionId"], **described)
        return "created"
    except client.exceptions.InvalidAccessException:
        return "Security Hub is not enabled here: the action comes with the first release after it is"
    return "up to date"


def _remove(client: SecurityHubClient, action_arn: str) -> str:
    """Delete the action if possible; returns a note on the result."""
    try:
        client.delete_action_target(ActionTargetArn=action_arn)
    except (BotoCoreError, ClientError) as error:
        return f"left as it is: {error}"
    return "deleted"


def _action_arn(function_arn: str, action_id: str) -> str:
    """The ARN of the action with this id, in the function's own partition, Region and account."""
    _, partition, _, region, account, *_ = function_arn.split(":")
    return f"arn:{partition}:securityhub:{region}:{account}:action/custom/{action_id}"


def _answer(request: Request, answer: dict[str, Any]) -> None:
    """Send the response to CloudFormation. Raises MaxRetryError; Lambda then retries the invocation."""
    body = {
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
        **answer,
    }
    retries = urllib3.Retry(5, allowed_methods={"PUT"}, status_forcelist=range(400, 600), backoff_factor=0.5)
    urllib3.PoolManager(retries=retries).request(
        "PUT",
        request["ResponseURL"],
        body=json.dumps(body).encode(),
        headers={"Content-Type": ""},  # The URL is signed for a request without one.
    )
