"""The bus to which member accounts forward their Config events, and the starts of their instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, aws_events
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.names import Names


class CentralBus(Construct):
    """Config emits a compliance change, and EC2 a change of state, only in the instance's own account and Region. Member accounts
    forward theirs to this bus."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        organization_id: str | None,
        member_accounts: Sequence[str],
        names: Names,
    ) -> None:
        """Allow every account of the organisation or, without an organisation, the listed accounts."""
        super().__init__(scope, id_)
        self.bus = aws_events.EventBus(
            self, "Bus", event_bus_name=names.event_bus, description="Config events of member accounts"
        )
        # A bus policy cannot have an empty list of principals. The bus's own account needs no permission.
        if organization_id is not None:
            self._let_in("*", {"StringEquals": {"aws:PrincipalOrgID": organization_id}})
        elif member_accounts:
            roots = [f"arn:{Aws.PARTITION}:iam::{account}:root" for account in member_accounts]
            self._let_in({"AWS": roots}, {})

    def _let_in(self, principal: object, conditions: Mapping[str, object]) -> None:
        aws_events.CfnEventBusPolicy(
            self,
            "Members",
            event_bus_name=self.bus.event_bus_name,
            statement_id="ConfigEventsOfMembers",
            statement={
                "Effect": "Allow",
                "Principal": principal,
                "Action": "events:PutEvents",
                "Resource": self.bus.event_bus_arn,
                "Condition": {
                    **conditions,
                    # Both keys hold a list, with one value per event of the call. The condition does not require the
                    # keys to be present: nobody outside AWS can send events with a source `aws.*`, and forwarded events
                    # may arrive without the keys.
                    "ForAllValues:StringEquals": {
                        "events:source": ["aws.config", "aws.ec2"],
                        "events:detail-type": [
                            "Config Rules Compliance Change",
                            "EC2 Instance State-change Notification",
                        ],
                    },
                },
            },
        )
