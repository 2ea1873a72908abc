"""Builds the guard, and the rollback that people's undo shares with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.guard.departures import Departures
from imdsv2.guard.holding import CohortHolds
from imdsv2.guard.judging import Judging
from imdsv2.guard.place import Places
from imdsv2.guard.recall import Recall
from imdsv2.guard.response import Response
from imdsv2.guard.rollback import Rollback
from imdsv2.guard.run import Guard
from imdsv2.guard.sources import SourceWatch
from imdsv2.guard.untagged import Untagged
from imdsv2.guard.writer import Writer
from imdsv2.wiring.fixing import build_fixing

if TYPE_CHECKING:
    from imdsv2.wiring.service import Service


def build_guard(service: Service) -> Guard:
    """Build what looks after the enforced."""
    line = service.line
    response = build_response(service)
    return Guard(
        ledger=line.ledger,
        accounts=service.accounts,
        policies=line.policies,
        recall=Recall(clients=service.clients, ledger=line.ledger, logger=line.logger),
        places=_build_places(service, response),
        sources=SourceWatch(
            clients=service.clients,
            fixing=build_fixing(service),
            response=response,
            writer=response.writer,
            policies=line.policies,
            now=line.now,
            logger=line.logger,
        ),
        now=line.now,
        logger=line.logger,
    )


def build_response(service: Service) -> Response:
    """Build the response (rollback and notification) for the guard and for undo."""
    line = service.line
    writer = Writer(ledger=line.ledger, now=line.now, logger=line.logger)
    return Response(
        clients=service.clients,
        ledger=line.ledger,
        accounts=service.accounts,
        holds=CohortHolds(ledger=line.ledger, cohorts=service.cohorts, now=line.now, logger=line.logger),
        policies=line.policies,
        rollback=Rollback(
            clients=service.clients, writer=writer, lease=service.settings.lease, now=line.now, logger=line.logger
        ),
        writer=writer,
        teller=line.teller,
        now=line.now,
        logger=line.logger,
    )


def _build_places(service: Service, response: Response) -> Places:
    line, clients, writer = service.line, service.clients, response.writer
    return Places(
        clients=clients,
        ledger=line.ledger,
        policies=line.policies,
        judging=Judging(clients=clients, ledger=line.ledger, response=response, writer=writer, now=line.now),
        departures=Departures(clients=clients, response=response, writer=writer, now=line.now),
        untagged=Untagged(ledger=line.ledger, writer=writer, now=line.now),
        response=response,
        writer=writer,
        now=line.now,
        logger=line.logger,
    )
