"""The template of a member's Region: the rule that forwards Config's compliance changes to the security account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import (
    Aws,
    BootstraplessSynthesizer,
    CfnCondition,
    Fn,
    Stack,
    aws_events,
    aws_iam,
    aws_sqs,
)

from infra.event_patterns import CONFIG
from infra.finding_rules import RETRY_ATTEMPTS, RETRY_FOR
from infra.member_parameters import home_region_parameter, security_account_parameter
from infra.nag import acknowledge
from infra.names import EVENT_BUS, FORWARDING_RULE, FORWARDING_STACK
from infra.queues import DEAD_LETTER_RETENTION

if TYPE_CHECKING:
    from constructs import Construct


class ForwardingStack(Stack):
    """Deployed in each Region of an account from which Config's events shall be heard; once a Region, not once an account."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(
            scope,
            FORWARDING_STACK,
            stack_name=FORWARDING_STACK,
            description="Forwards Config's verdicts on IMDSv2 to imdsv2-remediation of the security account",
            synthesizer=BootstraplessSynthesizer(),
        )
        security_account = security_account_parameter(self).value_as_string
        home_region = home_region_parameter(self).value_as_string
        bus_arn = f"arn:{Aws.PARTITION}:events:{home_region}:{security_account}:event-bus/{EVENT_BUS}"
        # The security account's own rules hear its home Region. Where a roll-out reaches it nevertheless, this one rests.
        at_home = CfnCondition(
            self,
            "AtHome",
            expression=Fn.condition_and(
                Fn.condition_equals(Aws.ACCOUNT_ID, security_account), Fn.condition_equals(Aws.REGION, home_region)
            ),
        )
        undelivered = self._undelivered()
        aws_events.CfnRule(
            self,
            "Rule",
            name=FORWARDING_RULE,
            description="Failed IMDSv2 checks of Config to the security account",
            event_pattern=CONFIG,
            state=Fn.condition_if(at_home.logical_id, "DISABLED", "ENABLED").to_string(),
            targets=[
                aws_events.CfnRule.TargetProperty(
                    id="central-bus",
                    arn=bus_arn,
                    role_arn=self._sender(bus_arn).role_arn,
                    dead_letter_config=aws_events.CfnRule.DeadLetterConfigProperty(arn=undelivered.queue_arn),
                    retry_policy=aws_events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=RETRY_FOR.to_seconds(), maximum_retry_attempts=RETRY_ATTEMPTS
                    ),
                )
            ],
        )

    def _sender(self, bus_arn: str) -> aws_iam.Role:
        """Its name is CloudFormation's choice: IAM is global, and this template is deployed in several Regions.

        Its trust has no condition on the rule. EventBridge is not known to send one, and whoever passes this role to
        a rule of his own can do no more with it than this rule does.
        """
        role = aws_iam.Role(
            self,
            "Sender",
            description="imdsv2-remediation: put Config events on the bus of the security account",
            assumed_by=aws_iam.ServicePrincipal("events.amazonaws.com"),
        )
        role.add_to_policy(aws_iam.PolicyStatement(actions=["events:PutEvents"], resources=[bus_arn]))
        return role

    def _undelivered(self) -> aws_sqs.Queue:
        """What the bus did not take for a day. SQS's own key, because EventBridge may use that without being granted it."""
        queue = aws_sqs.Queue(
            self,
            "Undelivered",
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=DEAD_LETTER_RETENTION,
        )
        queue.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeliveriesOfOurRule",
                principals=[aws_iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={
                    "ArnEquals": {
                        "aws:SourceArn": f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:rule/{FORWARDING_RULE}"
                    },
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            )
        )
        acknowledge(queue, "AwsSolutions-SQS3", "It is the dead-letter queue of the rule.")
        return queue
