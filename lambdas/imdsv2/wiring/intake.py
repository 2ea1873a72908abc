"""Builds what the remediate function answers messages with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imdsv2.intake.event_names import EventNames
from imdsv2.intake.run import Intake
from imdsv2.settings import EventSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.intake.started import Started
    from imdsv2.line.sources.findings import SourceFindings
    from imdsv2.wiring.service import Service


def wire_events(environment: Mapping[str, str]) -> EventNames:
    """What to look for in events. Raises SettingMissing, which names the variable."""
    settings = EventSettings.from_environment(environment)
    return EventNames(custom_action_id=settings.custom_action_id, config_rules=settings.config_rules)


def build_intake(service: Service) -> Intake:
    """Build what answers messages: the line, and what answers findings about sources, and starts of instances."""
    return Intake(
        line=service.line,
        make_sources=partial(_build_source_findings, service),
        make_started=partial(_build_started, service),
    )


def _build_source_findings(service: Service) -> SourceFindings:
    from imdsv2.line.sources.findings import SourceFindings
    from imdsv2.wiring.sources import build_source_book, build_source_judge

    line = service.line
    return SourceFindings(
        judge=build_source_judge(service),
        book=build_source_book(service),
        policies=line.policies,
        now=line.now,
        logger=line.logger,
    )


def _build_started(service: Service) -> Started:
    from imdsv2.intake.started import Started

    line = service.line
    return Started(
        clients=service.clients,
        ledger=line.ledger,
        pools=service.pools,
        memberships=service.memberships,
        policies=line.policies,
        now=line.now,
        logger=line.logger,
    )
