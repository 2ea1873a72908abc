"""The ledger's stream to the service's bus: decisions go to whoever subscribes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_cdk import Duration, aws_iam, aws_lambda
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.central_bus import CentralBus
    from infra.encryption import ServiceKey
    from infra.functions import ServiceFunction
    from infra.ledger import Ledger
    from infra.names import Names
    from infra.queues import FailedInvocations

BATCH = 100
LONGEST_WAIT = Duration.hours(23)
"""The stream keeps its records for a day."""
ONLY_EVENTS = {
    "eventName": ["INSERT"],
    "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "event#"}, {"prefix": "decision#"}]}}},
}
"""All else that is written to the table does not reach the function, and costs nothing."""

TIMEOUT = Duration.minutes(1)
MEMORY = 256


def add_broadcast(
    stack: Construct,
    make: Callable[..., ServiceFunction],
    *,
    ledger: Ledger,
    bus: CentralBus,
    failed: FailedInvocations,
    key: ServiceKey,
    names: Names,
) -> ServiceFunction:
    """Create the function (``make`` is the stack's way to make one), and feed it."""
    function = make(
        "broadcast",
        "Sends the ledger's events to the bus",
        TIMEOUT,
        keeps_failed=False,
        memory_size=MEMORY,
        environment={"EVENT_BUS": bus.bus.event_bus_name, "EVENT_SOURCE": names.prefix},
    )
    Broadcast(stack, "Broadcast", function=function, ledger=ledger, bus=bus, failed=failed, key=key)
    return function


class Broadcast(Construct):
    """Feeds the function with the ledger's new events. What cannot be sent for a day is named in the queue of failed invocations; the
    ledger has it all the same."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function: ServiceFunction,
        ledger: Ledger,
        bus: CentralBus,
        failed: FailedInvocations,
        key: ServiceKey,
    ) -> None:
        super().__init__(scope, id_)
        stream = ledger.table.table_stream_arn or ""
        allowed = self._allow(function, ledger, bus)
        failed.grant_setting_aside(function.role)
        key.grant_use_through(function.role, "dynamodb", "sqs")
        mapping = aws_lambda.CfnEventSourceMapping(
            self,
            "Mapping",
            function_name=function.function.function_name,
            event_source_arn=stream,
            starting_position="TRIM_HORIZON",
            batch_size=BATCH,
            maximum_batching_window_in_seconds=5,
            maximum_record_age_in_seconds=LONGEST_WAIT.to_seconds(),
            bisect_batch_on_function_error=True,
            function_response_types=["ReportBatchItemFailures"],
            filter_criteria=aws_lambda.CfnEventSourceMapping.FilterCriteriaProperty(
                filters=[aws_lambda.CfnEventSourceMapping.FilterProperty(pattern=json.dumps(ONLY_EVENTS))]
            ),
            destination_config=aws_lambda.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=aws_lambda.CfnEventSourceMapping.OnFailureProperty(destination=failed.queue.queue_arn)
            ),
        )
        mapping.node.add_dependency(allowed)

    def _allow(self, function: ServiceFunction, ledger: Ledger, bus: CentralBus) -> aws_iam.Policy:
        """Read the stream, and send to the bus."""
        return aws_iam.Policy(
            self,
            "Policy",
            roles=[function.role],
            statements=[
                # Any stream of the table: one that was restored from a backup has another, whose name is the time of its making.
                aws_iam.PolicyStatement(
                    actions=["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
                    resources=[f"{ledger.table.table_arn}/stream/*"],
                ),
                # Lambda looks for streams before it reads one; there is no condition for a single one.
                aws_iam.PolicyStatement(actions=["dynamodb:ListStreams"], resources=["*"]),
                aws_iam.PolicyStatement(actions=["events:PutEvents"], resources=[bus.bus.event_bus_arn]),
            ],
        )
