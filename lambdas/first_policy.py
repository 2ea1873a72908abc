"""Creates the policy parameter from the stack's settings if it does not exist, as a CloudFormation custom resource.

A parameter that exists belongs to people: somebody may have switched the service off there tonight. It is never written,
and IAM allows no overwriting; what the settings say otherwise is told in the resource's attribute `Note`. The parameter
stays when the stack is deleted.

Without its first policy a deployment fails. An update does not: the way back from a failed update is an update, too, and if
that failed as well, the stack would be stuck.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from custom_resource import CONFIG, answer
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.parsing import new_session
from imdsv2.domain.policy import Policy
from imdsv2.errors import PolicyRefused
from invocation import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_ssm import SSMClient

    from custom_resource import Request


def handler(request: Request, context: LambdaContext) -> None:
    """Answer a request from CloudFormation."""
    name, document = (request["ResourceProperties"][each] for each in ("Name", "Document"))
    region = context.invoked_function_arn.split(":")[3]

    def carry_out() -> str:
        if request["RequestType"] == "Delete":
            return "stays, for people and for the next deployment"
        client = new_session().create_client("ssm", region_name=region, config=CONFIG)
        try:
            note = _ensure(cast("SSMClient", client), name, document)
        except CALL_FAILURES as error:
            if request["RequestType"] == "Create":
                raise
            note = (
                f"not looked at ({describe_error(error)}). If there is none, nothing is enforced: imdsv2 doctor tells."
            )
        logger.info("policy", extra={"parameter": name, "note": note})
        return note

    # Always the same id: a new name is a new resource, and deleting the old one leaves its parameter as it is.
    answer(request, f"policy:{name}", carry_out, logger)


def _ensure(client: SSMClient, name: str, document: str) -> str:
    """Create the parameter unless it exists; returns a note on it. Raises ClientError."""
    try:
        client.put_parameter(
            Name=name,
            Value=document,
            Type="String",
            Description="Policy of imdsv2-remediation (JSON); a change is live within a minute",
            Overwrite=False,
        )
    except client.exceptions.ParameterAlreadyExists:
        return _compared(client.get_parameter(Name=name)["Parameter"]["Value"], document)
    return "created from cdk.json"


def _compared(live: str, document: str) -> str:
    """Which of both is in force, and how to change that."""
    try:
        in_force = Policy.from_json(live).to_document()
    except PolicyRefused as refusal:
        return f"kept as it is, and refused: {refusal}. Nothing is enforced until somebody writes the parameter again."
    wanted = Policy.from_json(document).to_document()
    differing = sorted(field for field in wanted if wanted[field] != in_force[field])
    if not differing:
        return "kept as it is; cdk.json says the same"
    said = ", ".join(f"{field} {_short(in_force[field])} (cdk.json: {_short(wanted[field])})" for field in differing)
    return f"kept as it is: a deployment never writes it. It differs from cdk.json: {said}. To change it: aws ssm put-parameter."


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
