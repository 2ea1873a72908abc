"""Calls to AWS, and what their errors mean to whoever sits at the terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2_cli.failure import Failure, nearest, usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2_cli.base import App

_OUR_OUTPUT = "ManualFunctionName"
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_EXPIRED = frozenset(
    {
        *(
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
        ),
        *("InvalidAccessKeyId", "InvalidToken", "MissingAuthenticationToken"),
    }
)
_BUSY = frozenset(
    {
        *(
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "SlowDown",
        ),
        *(
            "ProvisionedThroughputExceededException",
            "RequestThrottled",
            "RequestThrottledException",
            "LimitExceededException",
        ),
        *("ResourceConflictException", "ResourceNotReadyException"),
    }
)
_ABSENT = frozenset(
    {
        *(
            "ResourceNotFoundException",
            "StateMachineDoesNotExist",
            "ParameterNotFound",
            "NoSuchBucket",
            "NotFound",
            "NotFoundException",
        ),
        *("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    }
)
_WHOLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", ""})
_CLOCK = frozenset(
    {"SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "AuthFailure", "IncompleteSignature"}
)
_GOES_ON = "the work may still go on"
_LOOK_FIRST = "look with imdsv2 status before you ask again"
_SIGN_IN = "sign in (e.g. aws sso login), or name another profile with --profile"


def session_of(profile: str | None, region: str | None) -> Any:
    """A session with the credentials and the Region that a shell has, or those named. botocore's: boto3 adds nothing here but a wait."""
    from botocore.session import Session

    session = Session(profile=profile)
    if region is not None:
        session.set_config_variable("region", region)
    return session


def stack_outputs(app: App) -> dict[str, str]:
    """The outputs of the service's stack. Raises Failure if there is no such stack in the Region."""
    from botocore.exceptions import ClientError

    cloudformation = app.client("cloudformation")
    try:
        [stack] = cloudformation.describe_stacks(StackName=app.stack)["Stacks"]
    except ClientError as error:
        if code_of(error) in DENIED:
            # A role that may see this stack only is refused in every other account and Region.
            why = error.response["Error"].get("Message", "") or code_of(error)
            where = f"{app.home} is not that of the stack, name that with --region"
            todo = f"have this allowed for your role, or use another profile; if {where}"
            raise Failure("AWS refused DescribeStacks", why, todo) from error
        if "does not exist" not in str(error):
            raise
        where = f"account {app.account}, {app.home}"
        raise usage(f"the stack {app.stack} is not in {where}", todo=_other_stacks(app)) from error
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    if _OUR_OUTPUT not in outputs:
        raise _not_ours(app, stack)
    return outputs


def _not_ours(app: App, stack: Mapping[str, Any]) -> Failure:
    """Why a stack has not the outputs of the service's: it is not deployed yet, no longer, or another."""
    status = str(stack.get("StackStatus", ""))
    if status in _WHOLE:
        return usage(f"the stack {app.stack} is another one", f"it has no output {_OUR_OUTPUT}", _other_stacks(app))
    what = f"the stack {app.stack} is not deployed"
    if status.endswith("_IN_PROGRESS"):
        return Failure(what, f"it is in {status}", "wait until that has ended, and ask again")
    events = f"aws cloudformation describe-stack-events --stack-name {app.stack}"
    return Failure(what, f"it is in {status or 'an unknown state'}", f"find out why, then deploy it again: {events}")


def _other_stacks(app: App) -> str:
    """What to do where the stack was not found: the installations that are there, if any."""
    if ours := _installations(app):
        return f"name one of these with --stack: {', '.join(ours)}"
    return (
        "use credentials of the security account and its home Region (--profile, --region), or deploy the stack first"
    )


def _installations(app: App) -> list[str]:
    """The names of the stacks that are installations; none where the caller may not list stacks."""
    from botocore.exceptions import ClientError

    try:
        return [
            each["StackName"]
            for page in app.client("cloudformation").get_paginator("describe_stacks").paginate()
            for each in page["Stacks"]
            if any(output["OutputKey"] == _OUR_OUTPUT for output in each.get("Outputs", []))
        ]
    except ClientError as error:
        if code_of(error) in DENIED:
            return []
        raise


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
        if refused.get("code") != "InvalidRequest":
            raise Failure("the service failed", str(refused["message"]), f"its log is /aws/lambda/{function}")
        raise usage("the service refused the request", str(refused["message"]), other_version(app))
    return document


def other_version(app: App) -> str:
    """What to do where the deployed service is of another version than this command line, which may ask it what it does not know; empty
    where both are the same, or the stack was not asked yet."""
    from imdsv2.version import VERSION

    deployed = app.known_outputs.get("Version", VERSION)
    if deployed == VERSION:
        return ""
    what = f"the service is of version {deployed}, and this command line of {VERSION}"
    return f"{what}: deploy this version, or install the command line of that one"


def ask(app: App, payload: Mapping[str, Any]) -> Any:
    """The answer of the manual function. Raises Failure."""
    return invoke(app, app.stack_output(_OUR_OUTPUT), payload)


def _first_line(text: str) -> str:
    try:
        said = json.loads(text)
        return str(said.get("errorMessage") or text)[:300]
    except (ValueError, AttributeError):
        return text[:300]


def code_of(error: BaseException) -> str:
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
        case known.InvalidRegionError():
            return usage("there is no such Region", str(error), "name that of the stack with --region or AWS_REGION")
        case known.NoRegionError():
            return usage("no Region is set", todo="name that of the stack with --region or AWS_REGION")
        case known.NoCredentialsError() | known.PartialCredentialsError():
            return Failure("AWS was not asked", "there are no credentials", _SIGN_IN)
        case known.TokenRetrievalError() | known.SSOError() | known.CredentialRetrievalError():
            return Failure("AWS was not asked", str(error), _SIGN_IN)
        case known.HTTPClientError() | known.ConnectionError():
            return _unanswered(error)
        case known.BotoCoreError():
            return Failure(
                "AWS was not asked",
                str(error),
                "correct the configuration of AWS that this shell uses (aws configure list)",
            )
        case ValueError() if str(error).startswith("Invalid endpoint"):
            return usage("AWS was not asked", str(error), "correct AWS_ENDPOINT_URL, or unset it")
        case _:
            return None


def _unanswered(error: Exception) -> Failure:
    """What is known after a question to which no answer came."""
    from botocore import exceptions as known

    if isinstance(error, known.ReadTimeoutError):
        return Failure("no answer came in time", _GOES_ON, _LOOK_FIRST)
    if isinstance(error, known.ConnectionClosedError):
        return Failure("the connection was closed before the answer came", _GOES_ON, _LOOK_FIRST)
    return Failure("AWS cannot be reached", str(error), "check the network, the Region and AWS_ENDPOINT_URL")


def _refusal(error: Any) -> Failure:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    what = f"AWS refused {error.operation_name}"
    if code in DENIED:
        return Failure(what, message or code, "have this allowed for your role, or use another profile")
    if code in _EXPIRED:
        return Failure(what, message or code, _SIGN_IN)
    why = f"{message.rstrip('.')} ({code})" if message else code
    if code in _CLOCK:
        return Failure(what, why, "set the clock of this computer, or sign in with other credentials")
    if code in _BUSY:
        return Failure(what, why, "wait a minute, and ask again")
    if code in _ABSENT:
        return Failure(what, why, "a part of the stack is missing: imdsv2 doctor says which, and how to mend it")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return Failure(what.replace("refused", "failed in"), why, f"wait a minute; {_LOOK_FIRST}")
    return Failure(what, why, "imdsv2 doctor looks for what is wrong with the service")
