"""Builds what the revisit function needs beside the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.ledger.walk import Walks
from imdsv2.revisit.policy_change import PolicyChange

if TYPE_CHECKING:
    from imdsv2.wiring.service import Service


def build_policy_change(service: Service) -> PolicyChange:
    """Build what makes due what a change of the policy concerns."""
    line = service.line
    return PolicyChange(
        ledger=line.ledger,
        walks=Walks(service.dynamodb, service.settings.ledger_table, line.ledger.provenance),
        policies=line.policies,
        calendar=service.calendar,
        now=line.now,
        logger=line.logger,
    )
