"""Builds what all functions that judge or change instances share: the line, and the stores and clients that other objects are built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.aws.change_calendar import ChangeCalendar
from imdsv2.aws.image_owners import ImageOwners
from imdsv2.aws.topic import Topic
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.cohort import Cohorts
from imdsv2.ledger.last_good_policy import LastGoodPolicy
from imdsv2.ledger.policy import PolicySource
from imdsv2.ledger.pool import Pools
from imdsv2.ledger.sweeps import Sweeps
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.trail import Provenance
from imdsv2.line.act import Action
from imdsv2.line.canaries import Canaries
from imdsv2.line.denials import Denials
from imdsv2.line.evidence.membership import Memberships
from imdsv2.line.evidence.siblings import Siblings
from imdsv2.line.gate import Gates
from imdsv2.line.judge import Judge
from imdsv2.line.messages import Directions
from imdsv2.line.run import Line
from imdsv2.line.tell import Teller

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """External dependencies: clients for member accounts and for the function's own role, clock, logger, and the id of the
    current invocation."""

    clients: MemberClients
    dynamodb: DynamoDBClient
    ssm: SSMClient
    sns: SNSClient
    hub: SecurityHub
    now: Callable[[], datetime]
    logger: Logger
    request_id: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The line, and what the guard, people's commands and the sweep are built from."""

    line: Line
    clients: MemberClients
    accounts: Accounts
    cohorts: Cohorts
    pools: Pools
    memberships: Memberships
    sweeps: Sweeps
    settings: Settings
    dynamodb: DynamoDBClient
    calendar: ChangeCalendar
    hub: SecurityHub
    topic: Topic


def assemble(edge: Edge, settings: Settings) -> Service:
    """Build what is shared. Makes no calls."""
    provenance = Provenance(edge.request_id)
    ledger = Ledger(edge.dynamodb, settings.ledger_table, provenance)
    accounts = Accounts(edge.dynamodb, settings.ledger_table, provenance)
    cohorts = Cohorts(edge.dynamodb, settings.ledger_table)
    pools = Pools(edge.dynamodb, settings.ledger_table, provenance)
    memberships = Memberships(clients=edge.clients, images=ImageOwners(edge.clients, edge.logger))
    last_good = LastGoodPolicy(edge.dynamodb, settings.ledger_table)
    policies = PolicySource(edge.ssm, last_good, settings.policy_parameter, provenance)
    topic = Topic(edge.sns, settings.notifications_topic_arn, for_chat=settings.chat_messages)
    calendar = ChangeCalendar(edge.ssm)
    gates = Gates(
        policies=policies,
        hub=edge.hub,
        accounts=accounts,
        canaries=Canaries(cohorts, ledger),
        denials=Denials(cohorts=cohorts, now=edge.now, logger=edge.logger),
        calendar=calendar,
        lease=settings.lease,
        now=edge.now,
    )
    siblings = Siblings(clients=edge.clients, ledger=ledger, pools=pools, memberships=memberships)
    directions = Directions(settings.names.manual_function)
    line = Line(
        ledger=ledger,
        policies=policies,
        judge=Judge(clients=edge.clients, ledger=ledger, policies=policies, siblings=siblings, now=edge.now),
        action=Action(
            clients=edge.clients, ledger=ledger, gates=gates, lease=settings.lease, now=edge.now, logger=edge.logger
        ),
        teller=Teller(ledger, edge.hub, topic, directions, edge.logger, policies, edge.now),
        now=edge.now,
        logger=edge.logger,
    )
    return Service(
        line=line,
        clients=edge.clients,
        accounts=accounts,
        cohorts=cohorts,
        pools=pools,
        memberships=memberships,
        sweeps=Sweeps(edge.dynamodb, settings.ledger_table),
        settings=settings,
        dynamodb=edge.dynamodb,
        calendar=calendar,
        hub=edge.hub,
        topic=topic,
    )
