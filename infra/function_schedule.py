"""A schedule that invokes a function repeatedly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, aws_iam, aws_scheduler
from constructs import Construct

from infra.names import SERVICE

if TYPE_CHECKING:
    from infra.encryption import ServiceKey
    from infra.functions import ServiceFunction
    from infra.queues import FailedInvocations

GIVE_UP_AFTER = Duration.hours(1)


class FunctionSchedule(Construct):
    """A fixed rate, e.g. `rate(1 minute)`. An invocation that fails for an hour goes to the dead-letter queue: later
    ones have replaced it."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function: ServiceFunction,
        rate: str,
        description: str,
        failed: FailedInvocations,
        key: ServiceKey,
    ) -> None:
        super().__init__(scope, id_)
        role = aws_iam.Role(
            self,
            "Role",
            description=f"{SERVICE}: start function {function.name}",
            assumed_by=aws_iam.ServicePrincipal("scheduler.amazonaws.com"),
        )
        # CDK's own target would also grant access to every version and alias of the function.
        role.add_to_policy(
            aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function.function_arn])
        )
        failed.grant_setting_aside(role)
        key.grant_use_through(role, "sqs")
        self.schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            name=f"{SERVICE}-{function.name}",
            description=description,
            schedule_expression=rate,
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=function.function.function_arn,
                role_arn=role.role_arn,
                dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(arn=failed.queue.queue_arn),
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=GIVE_UP_AFTER.to_seconds(), maximum_retry_attempts=185
                ),
            ),
        )
        # Without this permission, the first invocations after a deployment would fail.
        self.schedule.node.add_dependency(role)
