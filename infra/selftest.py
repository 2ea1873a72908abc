"""The self-test: a state machine that people start by hand, around the function `selftest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aws_cdk import Aws, CfnOutput, CfnResource, Duration, RemovalPolicy, aws_events, aws_iam, aws_logs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.names import SELFTEST
from infra.room import wait_for_room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aws_cdk import aws_dynamodb, aws_lambda, aws_s3

    from infra.functions import ServiceFunction
    from infra.policy_parameter import PolicyParameter
    from infra.service_stack import ServiceStack
    from infra.settings import Settings

TIMEOUT = Duration.minutes(10)
MEMORY = 512
LONGEST = Duration.hours(14)
"""The latest start of the line's part, and what it takes. The instances end by themselves before that."""
FOLDER = "selftest"


class SelfTest(Construct):
    """Plan; if confirmed: launch, then act and look once a minute until the agenda is over; clean up whatever happened; judge."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, bucket: aws_s3.Bucket) -> None:
        super().__init__(scope, id_)
        self._bucket = bucket
        self._settings = settings
        names = settings.names
        self._stack_sets = [names.roles_stack, names.forwarding_stack] if settings.organizational_units else []
        self._logs = aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/vendedlogs/states/{names.of('selftest')}",
            removal_policy=RemovalPolicy.DESTROY,
        )
        retention = settings.log_retention_days
        cast("CfnResource", self._logs.node.default_child).add_property_override("RetentionInDays", retention)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the function has to know of it."""
        names = self._settings.names
        return {
            "SELFTEST_BUCKET": self._bucket.bucket_name,
            "SELFTEST_ROLE": names.role_resource(names.role(SELFTEST)),
            "STACK_SETS": " ".join(self._stack_sets),
            "STACK_SETS_CALL_AS": self._settings.call_as,
        }

    def run_with(
        self,
        function: ServiceFunction,
        *,
        table: aws_dynamodb.ITable,
        policy: PolicyParameter,
        invoked: Sequence[aws_lambda.IFunction],
    ) -> sfn.StateMachine:
        """Create the state machine around the function, and grant the function what it calls at home."""
        self._grant(function, table, policy, invoked)
        machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=self._settings.names.of("selftest"),
            definition_body=sfn.DefinitionBody.from_chainable(self._states(function.function)),
            timeout=LONGEST,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=self._logs, level=sfn.LogLevel.ALL),
        )
        self._end_what_is_left(function.function, machine)
        return machine

    def _end_what_is_left(self, function: aws_lambda.Function, machine: sfn.StateMachine) -> None:
        """What is stopped takes no further step, and not every instance can end itself: one has no metadata, and so no user data."""
        rule = aws_events.CfnRule(
            self,
            "Stopped",
            name=self._settings.names.of("selftest-stopped"),
            description="End the instances of a self-test that did not come to its end",
            event_pattern={
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {
                    "stateMachineArn": [machine.state_machine_arn],
                    "status": ["ABORTED", "FAILED", "TIMED_OUT"],
                },
            },
            targets=[
                aws_events.CfnRule.TargetProperty(
                    id="function",
                    arn=function.function_arn,
                    input_transformer=aws_events.CfnRule.InputTransformerProperty(
                        input_paths_map={"detail": "$.detail"},
                        input_template='{"step": "end_left", "state": <detail>}',
                    ),
                )
            ],
        )
        function.add_permission(
            "Stopped", principal=aws_iam.ServicePrincipal("events.amazonaws.com"), source_arn=rule.attr_arn
        )

    def _states(self, function: aws_lambda.Function) -> sfn.Chain:
        began: dict[str, Any] = {
            "execution.$": "$$.Execution.Name",
            "began_at.$": "$$.Execution.StartTime",
            "input.$": "$$.Execution.Input",
        }
        plan = self._step(function, "Plan", "plan", began)
        launch, act, look, clean_up, judge = (
            self._step(function, name, name.lower().replace(" ", "_"))
            for name in ("Launch", "Act", "Look", "Clean up", "Judge")
        )
        wait = sfn.Wait(self, "Wait", time=sfn.WaitTime.seconds_path("$.wait_seconds"))
        for step in (act, look, clean_up, judge):
            step.add_retry(errors=["States.ALL"], interval=Duration.seconds(10), max_attempts=5)
        for step in (launch, act, look):
            step.add_catch(clean_up, errors=["States.ALL"], result_path="$.error")
        # What could not be ended ends itself; the result says so.
        clean_up.add_catch(judge, errors=["States.ALL"], result_path="$.error")
        over = sfn.Choice(self, "Over?").when(sfn.Condition.boolean_equals("$.over", True), clean_up).otherwise(wait)
        launch.next(wait)
        wait.next(act)
        act.next(look)
        look.next(over)
        interrupted = sfn.Fail(self, "Interrupted", error="SelfTestInterrupted", cause_path="$.problem")
        ended = sfn.Succeed(self, "Ended")
        clean_up.next(judge)
        judge.next(
            sfn.Choice(self, "Interrupted?").when(sfn.Condition.is_string("$.problem"), interrupted).otherwise(ended)
        )
        told = sfn.Succeed(self, "Planned", output_path="$.plan")
        confirmed = sfn.Choice(self, "Confirmed?").when(sfn.Condition.boolean_equals("$.confirm", True), launch)
        return plan.next(confirmed.otherwise(told))

    def _step(
        self, function: aws_lambda.Function, name: str, step: str, state: dict[str, Any] | None = None
    ) -> tasks.LambdaInvoke:
        handed_on: dict[str, Any] = {"state.$": "$"} if state is None else {"state": state}
        invoking = tasks.LambdaInvoke(
            self,
            name,
            lambda_function=function,
            payload=sfn.TaskInput.from_object({"step": step, **handed_on}),
            payload_response_only=True,
        )
        # What was not started did nothing, a launch included; the agenda goes by the minute.
        wait_for_room(invoking, longest=Duration.minutes(1))
        return invoking

    def _grant(
        self,
        function: ServiceFunction,
        table: aws_dynamodb.ITable,
        policy: PolicyParameter,
        invoked: Sequence[aws_lambda.IFunction],
    ) -> None:
        function.allow_entering_accounts(organization_id=self._settings.organization_id)
        at_home = f"{Aws.REGION}:{Aws.ACCOUNT_ID}"
        hubs_v2 = f"arn:{Aws.PARTITION}:securityhub:{at_home}:hubv2/*"
        granted = [
            (["s3:GetObject", "s3:PutObject"], [self._bucket.arn_for_objects(f"{FOLDER}/*")]),
            (["dynamodb:Query"], [table.table_arn]),
            (["ssm:PutParameter"], [policy.arn]),
            (["lambda:InvokeFunction"], [each.function_arn for each in invoked]),
            (["securityhub:GetFindings"], [hubs_v2]),
            (["securityhub:DescribeSecurityHubV2"], ["*"]),
            # The management account owns the StackSets; AWS does not say which ARN a delegated administrator calls.
            (["cloudformation:ListStackInstances"], ["*"]),
        ]
        policy.grant_read(function.role)
        for actions, resources in granted:
            function.role.add_to_policy(aws_iam.PolicyStatement(actions=actions, resources=resources))


def add_selftest(stack: ServiceStack, settings: Settings, make: Callable[..., ServiceFunction]) -> None:
    """Add the self-test to the stack if the settings ask for it: it launches instances, and may write the policy.

    `make`: creates a function of the service.
    """
    if not settings.selftest:
        return
    selftest = SelfTest(stack, "SelfTest", settings=settings, bucket=stack.results)
    invoked = {"MANUAL_FUNCTION": stack.manual.function, "CHECK_FUNCTION": stack.check.function}
    function = make(
        "selftest",
        "Tries what the service believes about AWS, on instances that it launches and ends",
        TIMEOUT,
        keeps_failed=True,
        memory_size=MEMORY,
        environment={
            "LEDGER_TABLE": stack.ledger.table.table_name,
            "POLICY_PARAMETER": stack.policy.name,
            **{name: each.function_name for name, each in invoked.items()},
            **selftest.environment,
        },
    )
    stack.key.grant_use_through(function.role, "dynamodb", "sqs")
    machine = selftest.run_with(function, table=stack.ledger.table, policy=stack.policy, invoked=list(invoked.values()))
    CfnOutput(stack, "SelfTestStateMachineArn", value=machine.state_machine_arn)
