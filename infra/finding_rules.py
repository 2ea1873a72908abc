"""The rules that deliver findings from an event bus to the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, aws_events, aws_iam
from constructs import Construct

from infra.event_patterns import patterns

if TYPE_CHECKING:
    from infra.queues import FindingsQueue
    from infra.settings import Settings

RETRY_FOR = Duration.hours(24)
RETRY_ATTEMPTS = 185
"""As many attempts as EventBridge makes in that time."""


class FindingRules(Construct):
    """One rule for each form of event. The rules are the same on every bus, so that an event may arrive on either."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        bus: aws_events.IEventBus | None,
        findings: FindingsQueue,
        settings: Settings,
    ) -> None:
        """`bus` is None for the account's default bus."""
        super().__init__(scope, id_)
        self.bus = bus
        self.rules = {
            name: aws_events.CfnRule(
                self,
                name,
                name=settings.names.of(name),
                description=f"Failed IMDSv2 checks ({name}) to the findings queue",
                event_bus_name=bus.event_bus_name if bus else None,
                event_pattern=pattern,
                targets=[_target(findings)],
            )
            for name, pattern in patterns(settings.names.custom_action_id, settings.config_rule_names).items()
        }

    @property
    def rule_arns(self) -> list[str]:
        """The rules' ARNs, for the policies of the queues that the rules deliver to."""
        return [rule.attr_arn for rule in self.rules.values()]


def allow_deliveries(findings: FindingsQueue, *, rule_arns: list[str]) -> None:
    """Let only these rules put events into the queue, and failed deliveries into its dead-letter queue."""
    for queue in (findings.queue, findings.dead_letters):
        queue.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeliveriesOfOurRules",
                principals=[aws_iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={
                    "ArnEquals": {"aws:SourceArn": rule_arns},
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            )
        )


def _target(findings: FindingsQueue) -> aws_events.CfnRule.TargetProperty:
    return aws_events.CfnRule.TargetProperty(
        id="findings",
        arn=findings.queue.queue_arn,
        dead_letter_config=aws_events.CfnRule.DeadLetterConfigProperty(arn=findings.dead_letters.queue_arn),
        retry_policy=aws_events.CfnRule.RetryPolicyProperty(
            maximum_event_age_in_seconds=RETRY_FOR.to_seconds(), maximum_retry_attempts=RETRY_ATTEMPTS
        ),
    )
