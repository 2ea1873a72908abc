"""The one place where the service is put together: settings, clients, and what they are handed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import botocore.session

from imdsv2.aws import CONFIG, Members, metrics_session
from imdsv2.intake import DeadLetters
from imdsv2.ledger import Ledger
from imdsv2.line import Line
from imdsv2.notices import Notices
from imdsv2.policy_source import PolicySource
from imdsv2.security_hub import SecurityHub
from imdsv2.settings import Settings
from imdsv2.telling import Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools import Logger


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a handler needs: the line, and the settings it was built with."""

    line: Line
    settings: Settings
    dead_letters: DeadLetters | None


def wire(environment: Mapping[str, str], logger: Logger, request_id: Callable[[], str]) -> Service:
    """Build the service once a function. ``request_id`` tells the id of the invocation under way.

    Raises SettingMissing, which names the variable.
    """
    settings = Settings.from_environment(environment)
    session = botocore.session.Session()

    def client(service: str) -> Any:
        return session.create_client(service, region_name=settings.region, config=CONFIG)

    ledger = Ledger(client("dynamodb"), settings.ledger_table)
    hub = SecurityHub(client("securityhub"), logger)
    notices = Notices(client("sns"), settings.notifications_topic_arn, settings.ledger_table)
    line = Line(
        members=Members(session, metrics_session(), client("sts"), request_id),
        ledger=ledger,
        policies=PolicySource(client("ssm"), ledger, settings.policy_parameter),
        hub=hub,
        teller=Teller(ledger, hub, notices, logger),
        lease=settings.lease,
        now=lambda: datetime.now(UTC),
        logger=logger,
    )
    queue_url = settings.dead_letter_queue_url
    dead_letters = DeadLetters(client("sqs"), queue_url) if queue_url else None
    return Service(line=line, settings=settings, dead_letters=dead_letters)
