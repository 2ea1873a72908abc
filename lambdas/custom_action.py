"""Keeps the Security Hub custom action "Require IMDSv2": as a CloudFormation custom resource, and every day.

CloudFormation has no resource type for it. Once a day the function makes it again if it is missing, e.g. because
Security Hub was enabled after the deployment, and looks whether this is the Region in which findings are aggregated.
What Security Hub refuses blocks no stack: a stack that rolls back asks again, and a second refusal would leave it stuck.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.metrics import MetricUnit

from custom_resource import CONFIG, answer
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.aws.parsing import new_session
from invocation import logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_securityhub import SecurityHubClient

    from custom_resource import Request

NOT_ENABLED = "Security Hub is not enabled here: the action is made within a day after it is"


def handler(event: Any, context: LambdaContext) -> dict[str, Any] | None:
    """Answer CloudFormation, or look after the action (`{"keep": {the action's properties}}`)."""
    if "keep" in event:
        found: dict[str, Any] = _look_after(event, context)
        return found
    request: Request = event
    # The ARN is deterministic, so retries and rollbacks refer to the same resource. A new action id is a new resource,
    # and CloudFormation then requests the deletion of the old one.
    action_arn = _action_arn(context.invoked_function_arn, request["ResourceProperties"]["ActionId"])
    if request["RequestType"] == "Delete":
        action_arn = request.get("PhysicalResourceId", action_arn)
    answer(request, action_arn, lambda: _carry_out(request, action_arn), logger)
    return None


def _carry_out(request: Request, action_arn: str) -> str:
    client = _security_hub(region=_region(action_arn))
    if request["RequestType"] == "Delete":
        return _remove(client, action_arn)
    try:
        return _keep(client, action_arn, request["ResourceProperties"])
    except CALL_FAILURES as error:
        logger.exception("custom action not kept")
        return f"Security Hub refuses it ({describe_error(error)}). It is tried again within a day, which raises an alarm if it fails."


@metrics.log_metrics
def _look_after(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Returns what was found. Raises ClientError; the invocation is then retried, and an alarm raised."""
    properties = event["keep"]
    action_arn = _action_arn(context.invoked_function_arn, properties["ActionId"])
    region = _region(action_arn)
    client = _security_hub(region=region)
    note = _keep(client, action_arn, properties)
    elsewhere = _aggregated_elsewhere(client, region, asks_older=note != NOT_ENABLED)
    metrics.add_metric(name="AggregatedElsewhere", unit=MetricUnit.Count, value=int(elsewhere is not None))
    found = {"action": note, "aggregation_region": elsewhere or region}
    if elsewhere is None:
        logger.info("custom action", extra=found)
    else:
        said = f"findings are aggregated in {elsewhere}: only those of {region} arrive here; deploy the service there"
        logger.warning(said, extra=found)
    return found


def _aggregated_elsewhere(client: SecurityHubClient, region: str, *, asks_older: bool) -> str | None:
    """The Region in which one of the Security Hubs aggregates findings, if it is another one. ``asks_older``: whether that is enabled."""
    older = client.list_finding_aggregators()["FindingAggregators"] if asks_older else []
    arns = ([each["FindingAggregatorArn"] for each in older], _aggregators_v2(client))
    # An aggregator's ARN names the Region that it aggregates in, whichever Region is asked.
    for regions in ({*map(_region, each)} for each in arns):
        if regions and region not in regions:
            return next(iter(regions))
    return None


def _aggregators_v2(client: SecurityHubClient) -> list[str]:
    """The ARNs of the newer hub's aggregators; none where it is not enabled, or not to be had."""
    try:
        return [each["AggregatorV2Arn"] for each in client.list_aggregators_v2()["AggregatorsV2"]]
    except CALL_FAILURES as error:
        if may_pass(error):
            raise
        logger.info("the newer Security Hub is not asked", extra={"problem": describe_error(error)})
        return []


def _security_hub(*, region: str) -> SecurityHubClient:
    return cast("SecurityHubClient", new_session().create_client("securityhub", region_name=region, config=CONFIG))


def _keep(client: SecurityHubClient, action_arn: str, properties: dict[str, str]) -> str:
    """Create or update the action; returns a note on which."""
    described = {"Name": properties["Name"], "Description": properties["Description"]}
    try:
        client.update_action_target(ActionTargetArn=action_arn, **described)
    except client.exceptions.ResourceNotFoundException:
        # It is there by then if an answer was lost, or the daily look came between.
        with suppress(client.exceptions.ResourceConflictException):
            client.create_action_target(Id=properties["ActionId"], **described)
        return "created"
    except client.exceptions.InvalidAccessException:
        return NOT_ENABLED
    return "up to date"


def _remove(client: SecurityHubClient, action_arn: str) -> str:
    """Delete the action if possible; returns a note on the result."""
    try:
        client.delete_action_target(ActionTargetArn=action_arn)
    except CALL_FAILURES as error:
        return f"left as it is: {describe_error(error)}"
    return "deleted"


def _action_arn(function_arn: str, action_id: str) -> str:
    """The ARN of the action with this id, in the function's own partition, Region and account."""
    _, partition, _, region, account, *_ = function_arn.split(":")
    return f"arn:{partition}:securityhub:{region}:{account}:action/custom/{action_id}"


def _region(arn: str) -> str:
    return arn.split(":")[3]
