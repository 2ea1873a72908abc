"""Builds the service at the start of a Lambda function, from its environment."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.dynamodb import ledger_client
from imdsv2.aws.pacing import Pacing
from imdsv2.aws.parsing import metrics_session, new_session
from imdsv2.aws.retries import pace
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.aws.sessions import CONFIG, MemberClients
from imdsv2.domain.instance import Place
from imdsv2.intake.run import DeadLetters
from imdsv2.settings import Settings
from imdsv2.wiring.service import Edge, assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools import Logger

    from imdsv2.wiring.service import Service

_TO_FINISH_SECONDS = 90
"""Time reserved at the end of an invocation for the read-back, the ledger and the notes on findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One Lambda function: the service, its rate limiter, and the dead-letter queue, if it has one."""

    service: Service
    pacing: Pacing
    dead_letters: DeadLetters | None

    def begin(self, remaining_ms: int) -> None:
        """Start an invocation: calls that would wait for a quota beyond its remaining time raise QuotaExhausted."""
        self.pacing.end_in(remaining_ms / 1000 - _TO_FINISH_SECONDS)


def wire(environment: Mapping[str, str], logger: Logger, request_id: Callable[[], str]) -> Function:
    """Build the service, once per function. ``request_id``: returns the id of the current invocation.

    Raises SettingMissing, which names the variable.
    """
    settings = Settings.from_environment(environment)
    session = new_session()

    def now() -> datetime:
        return datetime.now(UTC)

    def client(service: str) -> Any:
        return session.create_client(service, region_name=settings.region, config=CONFIG)

    pacing = Pacing(share=settings.quota_share, clock=time.monotonic, chance=random.random)
    hub = client("securityhub")
    pace(hub, _home(settings), pacing)
    edge = Edge(
        clients=MemberClients(
            session, metrics_session(session), client("sts"), settings.names.member_roles, request_id, now, pacing
        ),
        dynamodb=ledger_client(session, settings.region),
        ssm=client("ssm"),
        sns=client("sns"),
        hub=SecurityHub(hub, logger),
        now=now,
        logger=logger,
        request_id=request_id,
    )
    queue_url = settings.dead_letter_queue_url
    dead_letters = DeadLetters(client("sqs"), queue_url) if queue_url else None
    return Function(service=assemble(edge, settings), pacing=pacing, dead_letters=dead_letters)


def _home(settings: Settings) -> Place:
    """Where the functions run, as the ARN of their own topic names it."""
    _, partition, _, region, account, _ = settings.notifications_topic_arn.split(":", 5)
    return Place(partition, region, account)
