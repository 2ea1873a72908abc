"""The sweep: a state machine that runs the function `sweep` for every account and Region."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from aws_cdk import (
    CfnElement,
    CfnResource,
    Duration,
    RemovalPolicy,
    Resource,
    Stack,
    aws_iam,
    aws_logs,
    aws_s3,
    aws_scheduler,
)
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.nag import acknowledge
from infra.names import SERVICE

if TYPE_CHECKING:
    from infra.encryption import ServiceKey
    from infra.functions import ServiceFunction
    from infra.queues import FailedInvocations

PLACES_AT_ONCE = 100
"""Concurrent accounts and Regions. Each has its own quotas; the limit protects the Lambda concurrency of the security
account: it is a tenth of an account's default."""

TOLERATED_FAILURES_PERCENT = 10
"""Percentage of account and Region pairs that may fail before the sweep fails; a redrive then repeats only those."""

DAILY = "cron(30 2 * * ? *)"
RESULTS_KEPT = Duration.days(90)
LONGEST_SWEEP = Duration.hours(20)


class Sweep(Construct):
    """Plan, process each account and Region to its end, add up. Started daily, or by hand with `{"dry_run": true}`."""

    def __init__(self, scope: Construct, id_: str, *, key: ServiceKey, log_retention_days: int) -> None:
        super().__init__(scope, id_)
        # Without this flag, the CDK silently drops the newer result writer; the older one is deprecated.
        self.node.set_context("@aws-cdk/aws-stepfunctions:useDistributedMapResultWriterV2", True)
        self._key = key
        self.bucket = aws_s3.Bucket(
            self,
            "Results",
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[aws_s3.LifecycleRule(expiration=RESULTS_KEPT)],
        )
        acknowledge(self.bucket, "AwsSolutions-S1", "Its few readers and writers are on record in CloudTrail.")
        self._logs = aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/vendedlogs/states/{SERVICE}-sweep",
            removal_policy=RemovalPolicy.DESTROY,
        )
        cast("CfnResource", self._logs.node.default_child).add_property_override("RetentionInDays", log_retention_days)

    def run_with(self, function: ServiceFunction, failed: FailedInvocations) -> sfn.StateMachine:
        """Create the state machine around the function, and its schedule."""
        function.role.add_to_policy(
            aws_iam.PolicyStatement(
                actions=["s3:GetObject", "s3:PutObject"], resources=[self.bucket.arn_for_objects("*")]
            )
        )
        results = f"{self._reference(self.bucket)}.Arn"
        acknowledge(function.role, f"AwsSolutions-IAM5[Resource::<{results}>/*]", "What its steps hand to one another.")
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
            state_machine_name=f"{SERVICE}-sweep",
            definition_body=sfn.DefinitionBody.from_chainable(plan.next(places).next(summarise)),
            timeout=LONGEST_SWEEP,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=self._logs, level=sfn.LogLevel.ALL),
        )
        self._acknowledge_wildcards(machine, function)
        self._schedule(machine, failed)
        return machine

    def _acknowledge_wildcards(self, machine: sfn.StateMachine, function: ServiceFunction) -> None:
        results, sweep = self._reference(self.bucket), self._reference(function.function)
        itself = f'{{"Fn::Select":[6,{{"Fn::Split":[":",{{"Ref":"{self._reference(machine)}"}}]}}]}}'
        executions = f"arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:{itself}"
        reasons = {
            f"Resource::<{sweep}.Arn>:*": "Any version of the one function.",
            f"Resource::arn:<AWS::Partition>:s3:::<{results}>/*": "Plan and results, in the sweep's own bucket.",
            "Resource::*": "Delivery of logs and X-Ray know no resources in IAM.",
            f"Resource::{executions}:*": "Its own executions, to be redriven.",
            f"Resource::{executions}/*:*": "Its own executions, to be redriven.",
        }
        for rule, reason in reasons.items():
            acknowledge(machine, f"AwsSolutions-IAM5[{rule}]", reason)

    def _reference(self, construct: Resource) -> str:
        """cdk-nag's notation for a resource: its logical id."""
        return Stack.of(self).get_logical_id(cast("CfnElement", construct.node.default_child))

    def _places(self, function: ServiceFunction) -> sfn.DistributedMap:
        region = self._step(
            function, "Region", {"step": "region", "dry_run.$": "$.dry_run", "tally.$": "$.tally"}, "$.tally"
        )
        unfinished = sfn.Condition.is_string("$.tally.after")
        done = sfn.Pass(self, "Tally", output_path="$.tally")
        region.next(sfn.Choice(self, "Unfinished?").when(unfinished, region).otherwise(done))
        places = sfn.DistributedMap(
            self,
            "Places",
            max_concurrency=PLACES_AT_ONCE,
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
        return tasks.LambdaInvoke(
            self,
            name,
            lambda_function=function.function,
            payload=sfn.TaskInput.from_object(payload),
            result_selector={"payload.$": "$.Payload"} if result_path is None else None,
            output_path="$.payload" if result_path is None else None,
            result_path=result_path,
            payload_response_only=result_path is not None,
        )

    def _schedule(self, machine: sfn.StateMachine, failed: FailedInvocations) -> None:
        role = aws_iam.Role(
            self,
            "ScheduleRole",
            description=f"{SERVICE}: start the sweep",
            assumed_by=aws_iam.ServicePrincipal("scheduler.amazonaws.com"),
        )
        machine.grant_start_execution(role)
        failed.grant_setting_aside(role)
        self._key.grant_use_through(role, "sqs")
        schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            name=f"{SERVICE}-sweep",
            description="Go through every account and Region",
            schedule_expression=DAILY,
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="FLEXIBLE", maximum_window_in_minutes=60
            ),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=machine.state_machine_arn,
                role_arn=role.role_arn,
                input=json.dumps({"dry_run": False}),
                dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(arn=failed.queue.queue_arn),
            ),
        )
        schedule.node.add_dependency(role)
