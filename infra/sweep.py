"""The sweep: a state machine that runs the function `sweep` for every account and Region."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from aws_cdk import (
    CfnResource,
    Duration,
    RemovalPolicy,
    aws_iam,
    aws_logs,
    aws_s3,
    aws_scheduler,
)
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.function_schedule import scheduler_of_this_account
from infra.names import SERVICE, SPARED_HOURS
from infra.room import wait_for_room

if TYPE_CHECKING:
    from infra.encryption import ServiceKey
    from infra.functions import ServiceFunction
    from infra.queues import FailedInvocations
    from infra.settings import Settings

TOLERATED_FAILURES_PERCENT = 10
"""Percentage of account and Region pairs that may fail before the sweep fails; a redrive then repeats only those."""

DAILY = "cron(30 2 * * ? *)"
PLACE_ATTEMPTS = 2
PLACE_PAUSE = Duration.seconds(30)
"""A place that fails is tried so often again, within half a minute first, and within two minutes then: with few places one is
more than the tolerance, and a minute of trouble at AWS would cost the night's result and the digest."""
RESULTS_KEPT = Duration.days(90)
LONGEST_SWEEP = Duration.hours(20)
LATEST_START = Duration.hours(1)
"""After its time; a later start would run into the working day."""


class Sweep(Construct):
    """Plan, process each account and Region to its end, add up. Started daily, or by hand with `{"dry_run": true}`."""

    def __init__(self, scope: Construct, id_: str, *, key: ServiceKey, settings: Settings) -> None:
        super().__init__(scope, id_)
        # Without this flag, the CDK silently drops the newer result writer; the older one is deprecated.
        self.node.set_context("@aws-cdk/aws-stepfunctions:useDistributedMapResultWriterV2", True)
        self._key = key
        self._name = settings.names.of("sweep")
        self._places_at_once = settings.sweep_concurrency
        self.bucket = aws_s3.Bucket(
            self,
            "Results",
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[aws_s3.LifecycleRule(expiration=RESULTS_KEPT)],
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        self._logs = aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/vendedlogs/states/{self._name}",
            removal_policy=RemovalPolicy.DESTROY,
        )
        cast("CfnResource", self._logs.node.default_child).add_property_override(
            "RetentionInDays", settings.log_retention_days
        )

    def run_with(self, function: ServiceFunction, failed: FailedInvocations) -> sfn.StateMachine:
        """Create the state machine around the function, and its schedule."""
        function.role.add_to_policy(
            aws_iam.PolicyStatement(
                actions=["s3:GetObject", "s3:PutObject"], resources=[self.bucket.arn_for_objects("*")]
            )
        )
        # Only who may list the bucket is told that it holds no earlier file of the fleet.
        function.role.add_to_policy(
            aws_iam.PolicyStatement(actions=["s3:ListBucket"], resources=[self.bucket.bucket_arn])
        )
        plan = self._step(function, "Plan", {"step": "plan", "input.$": "$", "execution.$": "$$.Execution.Name"})
        places = self._places(function)
        summarise = self._step(
            function,
            "Summarise",
            {
                "step": "summarise",
                "execution.$": "$$.Execution.Name",
                "dry_run.$": "$.dry_run",
                "unreachable.$": "$.unreachable",
                "manifest.$": "$.map.ResultWriterDetails.Key",
            },
        )
        machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=self._name,
            definition_body=sfn.DefinitionBody.from_chainable(plan.next(places).next(summarise)),
            timeout=LONGEST_SWEEP,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=self._logs, level=sfn.LogLevel.ALL),
        )
        self._schedule(machine, failed)
        return machine

    def _places(self, function: ServiceFunction) -> sfn.DistributedMap:
        region = self._step(
            function, "Region", {"step": "region", "dry_run.$": "$.dry_run", "tally.$": "$.tally"}, "$.tally"
        )
        # What the place cannot do is in its tally and no failure: this is for what passes, and each batch may be repeated.
        region.add_retry(
            errors=["States.TaskFailed"],
            interval=PLACE_PAUSE,
            backoff_rate=4,
            max_attempts=PLACE_ATTEMPTS,
            jitter_strategy=sfn.JitterType.FULL,
        )
        unfinished = sfn.Condition.is_string("$.tally.after")
        done = sfn.Pass(self, "Tally", output_path="$.tally")
        region.next(sfn.Choice(self, "Unfinished?").when(unfinished, region).otherwise(done))
        places = sfn.DistributedMap(
            self,
            "Places",
            max_concurrency=self._places_at_once,
            tolerated_failure_percentage=TOLERATED_FAILURES_PERCENT,
            item_reader=sfn.S3JsonItemReader(bucket=self.bucket, key=sfn.JsonPath.string_at("$.key")),
            item_selector={"dry_run.$": "$.dry_run", "tally.$": "$$.Map.Item.Value"},
            result_writer_v2=sfn.ResultWriterV2(bucket=self.bucket, prefix="results"),
            result_path="$.map",
        )
        return places.item_processor(region)

    def _step(
        self, function: ServiceFunction, name: str, payload: dict[str, str], result_path: str | None = None
    ) -> tasks.LambdaInvoke:
        step = tasks.LambdaInvoke(
            self,
            name,
            lambda_function=function.function,
            payload=sfn.TaskInput.from_object(payload),
            result_selector={"payload.$": "$.Payload"} if result_path is None else None,
            output_path="$.payload" if result_path is None else None,
            result_path=result_path,
            payload_response_only=result_path is not None,
        )
        wait_for_room(step, longest=Duration.minutes(5))
        return step

    def _schedule(self, machine: sfn.StateMachine, failed: FailedInvocations) -> None:
        role = aws_iam.Role(
            self,
            "ScheduleRole",
            description=f"{SERVICE}: start the sweep",
            assumed_by=scheduler_of_this_account(),
        )
        machine.grant_start_execution(role)
        failed.grant_setting_aside(role)
        self._key.grant_use_through(role, "sqs")
        schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            name=self._name,
            description="Go through every account and Region",
            schedule_expression=DAILY,
            # At the same time each night: then it comes before what is due a day after its last verdict, and judges it by the place.
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=machine.state_machine_arn,
                role_arn=role.role_arn,
                # What was judged since the last night is due again without the sweep.
                input=json.dumps({"dry_run": False, "spare_hours": SPARED_HOURS}),
                dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(arn=failed.queue.queue_arn),
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=LATEST_START.to_seconds(), maximum_retry_attempts=10
                ),
            ),
        )
        schedule.node.add_dependency(role)
