"""The change itself: require tokens, read back. No other metadata option is changed.

IAM: ``ec2:ModifyInstanceMetadataOptions`` for the write role, ``ec2:DescribeInstances`` for the read role.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from imdsv2.aws.change_refusal import GONE, NO_SUCH_INSTANCE, Refusal, hold, throttled
from imdsv2.aws.errors import (
    UNANSWERED,
    describe_error,
    error_code,
    error_message,
    is_throttling,
    may_have_been_done,
)
from imdsv2.aws.refusals import OF_ALL, Cause, cause_of, wants_endpoint
from imdsv2.domain.instance import Instance
from imdsv2.domain.verdict import DAILY, Decision, Reason, Verdict
from imdsv2.errors import QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.instance import InstanceArn, Target

PLANNED_CALL = {"HttpTokens": "required"}

_READ_BACK_AFTER = (0.4, 0.8, 1.5, 3, 5, 8, 10, 15)
"""Seconds to wait before each look; EC2 applies the change within seconds."""

LOOKS_LAG = timedelta(minutes=2)
"""For so long after a change EC2 may go on to show what was before it."""

_WANTS_ENDPOINT = (
    "EC2 takes the change only together with HttpEndpoint=enabled, which would open an endpoint that somebody has disabled a moment "
    "ago. It is tried again by itself, once it is certain that the endpoint was enabled."
)


class Answer(Enum):
    """What came of a call that sets tokens."""

    ACCEPTED = "accepted"
    WANTS_ENDPOINT = "wants_endpoint"
    """EC2 demanded the endpoint for the first time: asked again later, it is known whether the endpoint was enabled then."""
    ENDPOINT_CLOSED = "endpoint_closed"
    """EC2 demanded the endpoint, and it is not known to be enabled."""


def deferred(error: QuotaExhausted, now: datetime) -> Refusal:
    """What becomes of an instance whose change was not begun, because the quota or the time of this run has been used up."""
    return Refusal(verdict=throttled(error, f"It was left for later: {error}.", now))


def require_tokens(
    ec2: EC2Client, look_again: Callable[[], Target], instance: Instance, now: datetime, wanted_at: datetime | None
) -> Refusal | None:
    """Require tokens on one instance. Returns the refusal, or None if EC2 accepted the change. ``wanted_at`` as in `set_tokens`.

    Raises one of CALL_FAILURES if it is unknown whether EC2 made the change: a server error, or no answer.
    """
    try:
        answer = set_tokens(ec2, look_again, instance.arn, "required", is_settled=is_settled(wanted_at, now))
    except (ClientError, QuotaExhausted) as error:
        if may_have_been_done(error):
            raise
        return _refusal(error, instance, now)
    match answer:
        case Answer.ACCEPTED:
            return None
        case Answer.WANTS_ENDPOINT:
            return Refusal(verdict=hold(Reason.NOT_READY, _WANTS_ENDPOINT, now), wants_endpoint=True)
        case Answer.ENDPOINT_CLOSED:
            why = "Its metadata endpoint was no longer enabled when the change was due; it is judged again."
            return Refusal(verdict=hold(Reason.NOT_READY, why, now))


def is_settled(wanted_at: datetime | None, now: datetime) -> bool:
    """Whether EC2 demanded the endpoint so long ago that a look now shows whether it was enabled then."""
    return wanted_at is not None and now - wanted_at >= LOOKS_LAG


def set_tokens(
    ec2: EC2Client,
    look_again: Callable[[], Target],
    arn: InstanceArn,
    wanted: Literal["required", "optional"],
    *,
    is_settled: bool,
) -> Answer:
    """Ask EC2 to require tokens on one instance, or to make them optional. Raises what the call raises.

    EC2 has been seen to reject ``HttpTokens`` alone and to demand ``HttpEndpoint=enabled`` with it. It says the same of an endpoint
    that was disabled a moment ago and that a look may still show as enabled; naming it then would enable it again. So it is named only
    if EC2 demanded it in an earlier attempt, too (``is_settled``), and a look made since shows it enabled.
    """
    try:
        ec2.modify_instance_metadata_options(InstanceId=arn.instance_id, HttpTokens=wanted)
    except ClientError as error:
        if not wants_endpoint(error) or may_have_been_done(error):
            raise
        fresh = look_again()
        if not isinstance(fresh, Instance) or fresh.options.http_endpoint != "enabled":
            return Answer.ENDPOINT_CLOSED
        if not is_settled:
            return Answer.WANTS_ENDPOINT
        ec2.modify_instance_metadata_options(InstanceId=arn.instance_id, HttpTokens=wanted, HttpEndpoint="enabled")
    return Answer.ACCEPTED


def read_back(
    look: Callable[[Sequence[InstanceArn]], Mapping[InstanceArn, Target]],
    arns: Sequence[InstanceArn],
    sleep: Callable[[float], None] = time.sleep,
    has_time: Callable[[], bool] = lambda: True,
) -> dict[InstanceArn, Target]:
    """Poll instances until EC2 reports `applied`. Does not wait for stopped ones: they apply it at their next start."""
    seen: dict[InstanceArn, Target] = {}
    pending = list(arns)
    for pause in _READ_BACK_AFTER:
        if not pending or not has_time():
            break
        sleep(pause)
        seen |= look(pending)
        pending = [arn for arn in pending if _still_pending(seen[arn])]
    return seen


def is_permitted(ec2: EC2Client, arn: InstanceArn) -> tuple[bool | None, str | None]:
    """Whether EC2 would permit the planned call, asked with a dry run: (permitted, problem)."""
    try:
        ec2.modify_instance_metadata_options(InstanceId=arn.instance_id, HttpTokens="required", DryRun=True)
    except ClientError as error:
        match error_code(error):
            case "DryRunOperation":
                return True, None
            case "UnauthorizedOperation":
                return False, None
            case _:
                return None, describe_error(error)
    except UNANSWERED as error:
        return None, describe_error(error)
    return None, "EC2 answered a dry run without DryRunOperation"


def _refusal(error: Exception, instance: Instance, now: datetime) -> Refusal:
    code, message = error_code(error), error_message(error)
    if is_throttling(error):
        return Refusal(verdict=throttled(error, f"EC2 asks to come back later ({code}: {message}).", now))
    if code == NO_SUCH_INSTANCE:
        return Refusal(verdict=GONE)
    if code == "IncorrectInstanceState":
        return Refusal(verdict=hold(Reason.NOT_READY, f"EC2 cannot change it in its present state ({message}).", now))
    if instance.managed_by is not None:
        why = f"Its metadata options are managed by {instance.managed_by}, which refuses the change ({code}: {message}); change them there."
        return Refusal(verdict=hold(Reason.MANAGED_ELSEWHERE, why, now))
    cause = cause_of(error)
    if cause in OF_ALL:
        remedy = (
            "Have it allow all that the role does (docs/reference/permissions.md)."
            if cause is Cause.PERMISSIONS_BOUNDARY
            else "Let the account's write role do it there, or require tokens by that policy."
        )
        why = (
            f"The change is forbidden by {cause} ({code}: {message}). {remedy} One of the instances that run the same software is tried "
            "again each day."
        )
        return Refusal(verdict=hold(Reason.MANAGED_ELSEWHERE, why, now), is_of_all=True)
    why = f"EC2 refused the change ({code}: {message})."
    attempted = Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why, revisit_at=now + DAILY)
    return Refusal(verdict=attempted, error={"code": code, "message": message})


def _still_pending(target: Target) -> bool:
    return isinstance(target, Instance) and target.state != "stopped" and target.options.state == "pending"
