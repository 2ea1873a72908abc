"""Builds what the manual function carries out commands and answers questions with.

Commands are loaded with the function. Of the other requests an invocation makes one, so that each is loaded when it comes: together they
are a good part of the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.people.command import People
from imdsv2.people.scope import Scopes
from imdsv2.people.sources.undo import SourceUndoing
from imdsv2.people.undo import Undoing
from imdsv2.wiring.fixing import build_fixing
from imdsv2.wiring.guard import build_response

if TYPE_CHECKING:
    from imdsv2.people.culprit.run import Culprits
    from imdsv2.people.find import Finder
    from imdsv2.people.graduation.guardrails import Guardrails
    from imdsv2.people.graduation.run import Graduates
    from imdsv2.people.sources.fix import SourceFixing
    from imdsv2.people.sources.images import Images
    from imdsv2.people.sources.run import Sources
    from imdsv2.wiring.service import Service


def build_people(service: Service) -> People:
    """Build the handling of people's commands."""
    line, region = service.line, service.settings.region
    scopes = Scopes(ledger=line.ledger, accounts=service.accounts, region=region)
    undoing = Undoing(
        clients=service.clients,
        ledger=line.ledger,
        scopes=scopes,
        response=build_response(service),
        policies=line.policies,
        now=line.now,
    )
    return People(
        ledger=line.ledger,
        accounts=service.accounts,
        scopes=scopes,
        undoing=undoing,
        source_undoing=SourceUndoing(fixing=build_fixing(service), region=region),
        pools=service.pools,
        now=line.now,
    )


def build_source_fixing(service: Service) -> SourceFixing:
    """Build the answer to a person who has sources changed."""
    from imdsv2.people.sources.fix import SourceFixing

    return SourceFixing(fixing=build_fixing(service))


def build_images(service: Service) -> Images:
    """Build what has AMIs require tokens."""
    from imdsv2.ledger.images import ImageEvents
    from imdsv2.people.sources.images import Images
    from imdsv2.wiring.sources import build_source_judge

    line = service.line
    return Images(
        clients=service.clients,
        judge=build_source_judge(service),
        events=ImageEvents(service.dynamodb, service.settings.ledger_table, line.ledger.provenance),
        policies=line.policies,
        now=line.now,
    )


def build_sources(service: Service) -> Sources:
    """Build the answer to where instances come from."""
    from imdsv2.people.sources.run import Sources

    line = service.line
    return Sources(clients=service.clients, ledger=line.ledger, policies=line.policies, now=line.now)


def build_finder(service: Service) -> Finder:
    """Build the answer to which instances there are."""
    from imdsv2.people.find import Finder

    line = service.line
    return Finder(
        clients=service.clients,
        ledger=line.ledger,
        accounts=service.accounts,
        policies=line.policies,
        region=service.settings.region,
        now=line.now,
    )


def build_graduates(service: Service) -> Graduates:
    """Build what locks the metadata defaults of accounts."""
    from imdsv2.ledger.graduation import Graduations
    from imdsv2.people.graduation.look import Looking
    from imdsv2.people.graduation.run import Graduates

    line = service.line
    return Graduates(
        clients=service.clients,
        looking=Looking(clients=service.clients, ledger=line.ledger, now=line.now),
        graduations=Graduations(service.dynamodb, service.settings.ledger_table, line.ledger.provenance),
        policies=line.policies,
        now=line.now,
    )


def build_guardrails(service: Service) -> Guardrails:
    """Build the answer to what guardrails would block."""
    from imdsv2.people.graduation.guardrail_use import Uses
    from imdsv2.people.graduation.guardrails import Guardrails

    line = service.line
    return Guardrails(
        clients=service.clients,
        ledger=line.ledger,
        uses=Uses(clients=service.clients, ledger=line.ledger, pools=service.pools),
        accounts=service.accounts,
        policies=line.policies,
        region=service.settings.region,
        now=line.now,
    )


def build_culprits(service: Service) -> Culprits:
    """Build the answer to which software calls IMDSv1."""
    from imdsv2.ledger.captures import Captures
    from imdsv2.people.culprit.capture import Capturing
    from imdsv2.people.culprit.run import Culprits

    line, settings = service.line, service.settings
    captures = Captures(service.dynamodb, settings.ledger_table, line.ledger.provenance)
    capturing = Capturing(clients=service.clients, captures=captures, document=settings.capture_document, now=line.now)
    return Culprits(
        clients=service.clients,
        ledger=line.ledger,
        captures=captures,
        capturing=capturing,
        policies=line.policies,
        now=line.now,
    )
