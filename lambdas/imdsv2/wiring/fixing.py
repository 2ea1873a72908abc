"""Builds what changes sources: the sweep has it done, people ask for it, the guard takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.fix.change import Changing
from imdsv2.fix.gates import SourceGates
from imdsv2.fix.run import Fixing
from imdsv2.fix.tell import FixTeller
from imdsv2.ledger.sources import SourceFixes

if TYPE_CHECKING:
    from imdsv2.wiring.service import Service


def build_fixing(service: Service) -> Fixing:
    """Build what changes sources, and takes that back."""
    line, lease = service.line, service.settings.lease
    fixes = SourceFixes(service.dynamodb, service.settings.ledger_table, line.ledger.provenance)
    gates = SourceGates(
        policies=line.policies,
        accounts=service.accounts,
        cohorts=service.cohorts,
        ledger=line.ledger,
        calendar=service.calendar,
        lease=lease,
        now=line.now,
    )
    teller = FixTeller(
        fixes=fixes,
        topic=service.topic,
        manual_function=service.settings.names.manual_function,
        now=line.now,
        logger=line.logger,
    )
    return Fixing(
        clients=service.clients,
        ledger=line.ledger,
        fixes=fixes,
        gates=gates,
        changing=Changing(clients=service.clients, fixes=fixes, now=line.now, logger=line.logger),
        teller=teller,
        lease=lease,
        now=line.now,
        logger=line.logger,
    )
