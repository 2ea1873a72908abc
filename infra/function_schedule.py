"""A schedule that invokes a function repeatedly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Duration, aws_iam, aws_scheduler
from constructs import Construct

from infra.names import SERVICE

if TYPE_CHECKING:
    from infra.functions import ServiceFunction
    from infra.names import Names

GIVE_UP_AFTER = Duration.minutes(1)
"""The shortest that Lambda and Scheduler take."""


class FunctionSchedule(Construct):
    """A fixed rate, e.g. `rate(1 minute)`, without retries.

    Scheduler invokes asynchronously: by default, Lambda would run a failed start twice more, and one that it cannot
    place for six hours, beside all that have replaced it. A start that is lost or fails is not kept either: the next one
    does its work, and alarms tell of errors and of silence.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function: ServiceFunction,
        rate: str,
        description: str,
        names: Names,
        payload: str | None = None,
        only_scheduled: bool = True,
    ) -> None:
        """`payload`: the function's input, as JSON. `only_scheduled`: nobody else invokes it asynchronously."""
        super().__init__(scope, id_)
        role = aws_iam.Role(
            self,
            "Role",
            description=f"{SERVICE}: start function {function.name}",
            assumed_by=scheduler_of_this_account(),
        )
        # CDK's own target would also grant access to every version and alias of the function.
        role.add_to_policy(
            aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function.function_arn])
        )
        if only_scheduled:
            function.function.configure_async_invoke(retry_attempts=0, max_event_age=GIVE_UP_AFTER)
        self.schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            name=names.of(function.name),
            description=description,
            schedule_expression=rate,
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=function.function.function_arn,
                role_arn=role.role_arn,
                input=payload,
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=GIVE_UP_AFTER.to_seconds(), maximum_retry_attempts=0
                ),
            ),
        )
        # Without this permission, the first invocations after a deployment would fail.
        self.schedule.node.add_dependency(role)


def scheduler_of_this_account() -> aws_iam.PrincipalBase:
    """EventBridge Scheduler, for schedules of this account only."""
    conditions: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
    return aws_iam.ServicePrincipal("scheduler.amazonaws.com").with_conditions(conditions)
