"""What the service's stack tells of itself: the names by which people and the command line find its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput

if TYPE_CHECKING:
    from infra.service_stack import ServiceStack


def add_outputs(stack: ServiceStack) -> None:
    """Add an output for each part that somebody else has to name."""
    outputs = {
        "ManualFunctionName": stack.manual.function.function_name,
        "CentralEventBusName": stack.bus.bus.event_bus_name,
        "FindingsQueueUrl": stack.findings.queue.queue_url,
        "FindingsQueueArn": stack.findings.queue.queue_arn,
        "FindingsDeadLetterQueueUrl": stack.findings.dead_letters.queue_url,
        "FindingsDeadLetterQueueArn": stack.findings.dead_letters.queue_arn,
        "LedgerTableName": stack.ledger.table.table_name,
        "PolicyParameterName": stack.policy.name,
        "PolicyNote": stack.policy_note,
        "CustomActionNote": stack.custom_action.note,
        "NotificationsTopicArn": stack.notifications.topic.topic_arn,
        "DashboardName": stack.dashboard.dashboard.dashboard_name,
        "SweepStateMachineArn": stack.sweep.state_machine_arn,
        "SweepBucketName": stack.results.bucket_name,
    }
    for name, value in outputs.items():
        CfnOutput(stack, name, value=value)
