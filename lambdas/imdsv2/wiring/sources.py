"""Builds what judges sources, for the sweep, for findings about them, and for people's orders about images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.ledger.source_verdicts import SourceVerdicts
from imdsv2.line.sources.book import SourceBook
from imdsv2.line.sources.judging import SourceJudge

if TYPE_CHECKING:
    from imdsv2.wiring.service import Service


def build_source_judge(service: Service) -> SourceJudge:
    """Build what judges sources."""
    return SourceJudge(clients=service.clients, ledger=service.line.ledger)


def build_source_book(service: Service) -> SourceBook:
    """Build what records verdicts on sources, and tells of them."""
    line = service.line
    return SourceBook(
        verdicts=SourceVerdicts(service.dynamodb, service.settings.ledger_table),
        hub=service.hub,
        topic=service.topic,
        policies=line.policies,
        now=line.now,
        logger=line.logger,
    )
