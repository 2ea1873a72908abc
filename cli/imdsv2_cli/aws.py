"""Calls to AWS, and what their errors mean to whoever sits at the terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2_cli.failure import Failure, nearest, usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2_cli.base import App

_OUR_OUTPUT = "ManualFunctionName"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException"}
)
_SIGN_IN = "sign in (e.g. aws sso login), or name another profile with --profile"


def stack_outputs(app: App) -> dict[str, str]:
    """The outputs of the service's stack. Raises Failure if there is no such stack in the Region."""
    from botocore.exceptions import ClientError

    cloudformation = app.client("cloudformation")
    try:
        [stack] = cloudformation.describe_stacks(StackName=app.stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        where = f"account {app.account}, {app.session.region_name}"
        raise usage(f"the stack {app.stack} is not in {where}", todo=_other_stacks(app)) from error
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def _other_stacks(app: App) -> str:
    """What to do where the stack was not found: the installations that are there, if any."""
    pages = app.client("cloudformation").get_paginator("describe_stacks").paginate()
    ours = [
        each["StackName"]
        for page in pages
        for each in page["Stacks"]
        if any(output["OutputKey"] == _OUR_OUTPUT for output in each.get("Outputs", []))
    ]
    if ours:
        return f"name one of these with --stack: {', '.join(ours)}"
    return (
        "use credentials of the security account and its home Region (--profile, --region), or deploy the stack first"
    )


def invoke(app: App, function: str, payload: Mapping[str, Any]) -> Any:
    """The answer of one of the service's functions. Waits up to 15 minutes, and asks once.

    Raises Failure if the function failed or refused the request.
    """
    answer = app.patient_lambda.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
    text = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        raise Failure(f"the function {function} failed", _first_line(text), f"its log is /aws/lambda/{function}")
    document = json.loads(text)
    refused = document.get("error") if isinstance(document, dict) else None
    if refused:
        make = usage if refused.get("code") == "InvalidRequest" else Failure
        raise make(
            "the service refused the request" if make is usage else "the service failed", str(refused["message"])
        )
    return document


def ask(app: App, payload: Mapping[str, Any]) -> Any:
    """The answer of the manual function. Raises Failure."""
    return invoke(app, app.stack_output(_OUR_OUTPUT), payload)


def _first_line(text: str) -> str:
    try:
        said = json.loads(text)
        return str(said.get("errorMessage") or text)[:300]
    except (ValueError, AttributeError):
        return text[:300]


def code_of(error: Exception) -> str:
    """AWS's code of an error; empty if it is none of AWS."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def explain(error: Exception) -> Failure | None:
    """An error of botocore as a failure that says what to do; None if it is another error."""
    from botocore import exceptions as known

    match error:
        case known.ClientError():
            return _refusal(error)
        case known.ProfileNotFound():
            import botocore.session

            profiles = botocore.session.Session().available_profiles
            name = str(error.kwargs["profile"])
            return usage(f"there is no profile {name}", todo=nearest(name, profiles) or "name another with --profile")
        case known.NoRegionError():
            return usage("no Region is set", todo="name that of the stack with --region or AWS_REGION")
        case known.NoCredentialsError() | known.PartialCredentialsError():
            return Failure("AWS was not asked", "there are no credentials", _SIGN_IN)
        case known.TokenRetrievalError() | known.SSOError() | known.CredentialRetrievalError():
            return Failure("AWS was not asked", str(error), _SIGN_IN)
        case known.ReadTimeoutError():
            return Failure(
                "no answer came in 15 minutes",
                "the work may still go on",
                "look with imdsv2 status before you ask again",
            )
        case known.EndpointConnectionError() | known.ConnectionError() | known.HTTPClientError():
            return Failure("AWS cannot be reached", str(error), "check the network, the Region and AWS_ENDPOINT_URL")
        case known.BotoCoreError():
            return Failure("AWS was not asked", str(error))
        case _:
            return None


def _refusal(error: Any) -> Failure:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    what = f"AWS refused {error.operation_name}"
    if code in _DENIED:
        return Failure(what, message or code, "have this allowed for your role, or use another profile")
    if code in _EXPIRED:
        return Failure(what, message or code, _SIGN_IN)
    return Failure(what, f"{message} ({code})" if message else code)
