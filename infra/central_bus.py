"""The bus to which member accounts forward their Config events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, aws_events
from constructs import Construct

from infra.names import EVENT_BUS

if TYPE_CHECKING:
    from collections.abc import Sequence


class CentralBus(Construct):
    """Config tells of a change only in the instance's own account and Region: members send theirs here."""

    def __init__(self, scope: Construct, id_: str, *, member_accounts: Sequence[str]) -> None:
        super().__init__(scope, id_)
        self.bus = aws_events.EventBus(
            self, "Bus", event_bus_name=EVENT_BUS, description="Config events of member accounts"
        )
        # A policy that names nobody is none: the own account needs no leave.
        if member_accounts:
            aws_events.CfnEventBusPolicy(
                self,
                "Members",
                event_bus_name=self.bus.event_bus_name,
                statement_id="ConfigEventsOfMembers",
                statement={
                    "Effect": "Allow",
                    "Principal": {"AWS": [f"arn:{Aws.PARTITION}:iam::{account}:root" for account in member_accounts]},
                    "Action": "events:PutEvents",
                    "Resource": self.bus.event_bus_arn,
                    # Both keys hold a list, one value an event of the call. No demand that they be present: nobody
                    # outside AWS can send events of a source `aws.*`, and what is forwarded may come without them.
                    "Condition": {
                        "ForAllValues:StringEquals": {
                            "events:source": "aws.config",
                            "events:detail-type": "Config Rules Compliance Change",
                        }
                    },
                },
            )
