"""The template for a Region of a member account: the rules that forward Config's compliance changes, and starts of instances, to the
security account."""

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

from infra.capture_document import add_capture_document
from infra.event_patterns import STARTED, config_pattern
from infra.finding_rules import RETRY_ATTEMPTS, RETRY_FOR
from infra.member_parameters import home_region_parameter, security_account_parameter
from infra.queues import DEAD_LETTER_RETENTION
from infra.release import stamp
from infra.roles import conform

if TYPE_CHECKING:
    from constructs import Construct

    from infra.settings import Settings


class ForwardingStack(Stack):
    """Deployed in each Region of an account whose Config events the service processes: once per Region, not once per
    account."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        names = settings.names
        self._rule_names = (names.forwarding_rule, names.forwarding_started_rule)
        super().__init__(
            scope,
            names.forwarding_stack,
            stack_name=names.forwarding_stack,
            description="Forwards Config's verdicts on IMDSv2 to imdsv2-remediation of the security account",
            synthesizer=BootstraplessSynthesizer(),
            # The same template whoever makes it: with the command line, the CDK would add a resource of its own.
            analytics_reporting=False,
        )
        security_account = security_account_parameter(self, names).value_as_string
        home_region = home_region_parameter(self, names).value_as_string
        bus_arn = f"arn:{Aws.PARTITION}:events:{home_region}:{security_account}:event-bus/{names.event_bus}"
        state = self._disabled_at_home(security_account, home_region)
        target = self._target(bus_arn)
        aws_events.CfnRule(
            self,
            "Rule",
            name=names.forwarding_rule,
            description="Failed IMDSv2 checks of Config to the security account",
            event_pattern=config_pattern(settings.config_rule_names),
            state=state,
            targets=[target],
        )
        aws_events.CfnRule(
            self,
            "Started",
            name=names.forwarding_started_rule,
            description="Starts of instances to the security account",
            event_pattern=STARTED,
            state=state,
            targets=[target],
        )
        if settings.capture is not None:
            add_capture_document(self, settings.capture, names)
        conform(self, names=names, boundary=settings.role_permissions_boundary, many_regions=True)
        stamp(self)

    def _target(self, bus_arn: str) -> aws_events.CfnRule.TargetProperty:
        undelivered = self._undelivered()
        return aws_events.CfnRule.TargetProperty(
            id="central-bus",
            arn=bus_arn,
            role_arn=self._sender(bus_arn).role_arn,
            dead_letter_config=aws_events.CfnRule.DeadLetterConfigProperty(arn=undelivered.queue_arn),
            retry_policy=aws_events.CfnRule.RetryPolicyProperty(
                maximum_event_age_in_seconds=RETRY_FOR.to_seconds(), maximum_retry_attempts=RETRY_ATTEMPTS
            ),
        )

    def _disabled_at_home(self, security_account: str, home_region: str) -> str:
        """The state of the rules. The security account has its own in its home Region: if a roll-out reaches that Region, these are
        disabled."""
        at_home = CfnCondition(
            self,
            "AtHome",
            expression=Fn.condition_and(
                Fn.condition_equals(Aws.ACCOUNT_ID, security_account), Fn.condition_equals(Aws.REGION, home_region)
            ),
        )
        return Fn.condition_if(at_home.logical_id, "DISABLED", "ENABLED").to_string()

    def _sender(self, bus_arn: str) -> aws_iam.Role:
        """CloudFormation generates the role's name, unless the settings demand a prefix: IAM is global, and this template
        is deployed in several Regions.

        The trust policy has no condition on the rule, because EventBridge is not known to send one. Anyone who passes
        this role to another rule can do no more with it than this rule does.
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
        """Events that the bus did not accept within a day. The queue uses SQS's own key, which EventBridge may use
        without a grant."""
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
                        "aws:SourceArn": [
                            f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:rule/{name}"
                            for name in self._rule_names
                        ]
                    },
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            )
        )
        return queue
