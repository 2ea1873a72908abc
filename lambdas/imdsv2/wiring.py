"""The one place where the service is put together: settings, clients, and what they are handed to.

The guard, and what stands on it, is imported where it is built: the start of every other function would pay for it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import botocore.session

from imdsv2.aws.change_calendar import ChangeCalendar
from imdsv2.aws.pacing import Pacing
from imdsv2.aws.s3 import SweepFiles
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.aws.sessions import CONFIG, Members, metrics_session
from imdsv2.ledger.brakes import Brakes
from imdsv2.ledger.policy import PolicySource
from imdsv2.ledger.table import Ledger
from imdsv2.line.canaries import Canaries
from imdsv2.line.gate import Gates
from imdsv2.line.intake import DeadLetters
from imdsv2.line.notices import Notices
from imdsv2.line.run import Line
from imdsv2.line.tell import Teller
from imdsv2.settings import Settings, SweepSettings
from imdsv2.sweep.run import active_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools import Logger
    from mypy_boto3_organizations import OrganizationsClient

    from imdsv2.guard.run import Guard
    from imdsv2.people.command import People


_TO_FINISH_SECONDS = 90
"""What a function keeps for what follows its last change: reading back, the ledger, the findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a handler needs: the line, and the settings it was built with."""

    line: Line
    brakes: Brakes
    settings: Settings
    dead_letters: DeadLetters | None
    pacing: Pacing

    def begin(self, remaining_ms: int) -> None:
        """An invocation begins that lasts that long: what would have to wait longer for a quota waits in the ledger."""
        self.pacing.end_in(remaining_ms / 1000 - _TO_FINISH_SECONDS)


def wire(environment: Mapping[str, str], logger: Logger, request_id: Callable[[], str]) -> Service:
    """Build the service once a function. ``request_id`` tells the id of the invocation under way.

    Raises SettingMissing, which names the variable.
    """
    settings = Settings.from_environment(environment)
    session = botocore.session.Session()

    def now() -> datetime:
        return datetime.now(UTC)

    def client(service: str) -> Any:
        return session.create_client(service, region_name=settings.region, config=CONFIG)

    dynamodb, ssm = client("dynamodb"), client("ssm")
    ledger = Ledger(dynamodb, settings.ledger_table)
    hub = SecurityHub(client("securityhub"), logger)
    notices = Notices(client("sns"), settings.notifications_topic_arn, settings.ledger_table)
    pacing = Pacing(share=settings.quota_share, clock=time.monotonic, chance=random.random)
    policies = PolicySource(ssm, ledger, settings.policy_parameter)
    brakes = Brakes(dynamodb, settings.ledger_table)
    gates = Gates(
        policies=policies,
        hub=hub,
        brakes=brakes,
        canaries=Canaries(brakes, ledger),
        calendar=ChangeCalendar(ssm),
        now=now,
    )
    members = Members(session, metrics_session(), client("sts"), request_id, now, pacing)
    teller = Teller(ledger, hub, notices, logger)
    line = Line(
        members=members,
        ledger=ledger,
        policies=policies,
        gates=gates,
        teller=teller,
        lease=settings.lease,
        now=now,
        logger=logger,
    )
    queue_url = settings.dead_letter_queue_url
    dead_letters = DeadLetters(client("sqs"), queue_url) if queue_url else None
    return Service(line=line, brakes=brakes, settings=settings, dead_letters=dead_letters, pacing=pacing)


def wire_guard(service: Service) -> Guard:
    """Build what looks after the enforced, on what judges them."""
    from imdsv2.guard.rollback import Rollback
    from imdsv2.guard.run import Guard

    line = service.line
    rollback = Rollback(
        members=line.members, ledger=line.ledger, lease=service.settings.lease, now=line.now, logger=line.logger
    )
    return Guard(
        members=line.members,
        ledger=line.ledger,
        brakes=service.brakes,
        policies=line.policies,
        rollback=rollback,
        teller=line.teller,
        now=line.now,
        logger=line.logger,
    )


def wire_people(service: Service) -> People:
    """Build what carries out people's commands."""
    from imdsv2.people.command import People

    return People(
        ledger=service.line.ledger,
        brakes=service.brakes,
        guard=wire_guard(service),
        policies=service.line.policies,
        region=service.settings.region,
        now=service.line.now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What the sweep needs besides: where its steps meet, and which accounts there are."""

    files: SweepFiles
    settings: SweepSettings
    organizations: OrganizationsClient

    def accounts(self) -> list[str]:
        """The accounts named in the settings, else those of the organisation that are active. Raises ClientError."""
        if self.settings.accounts:
            return list(self.settings.accounts)
        return active_accounts(self.organizations)


def wire_sweep(environment: Mapping[str, str]) -> Sweep:
    """Build what only the sweep needs. Raises SettingMissing, which names the variable."""
    settings = SweepSettings.from_environment(environment)
    session = botocore.session.Session()
    s3: Any = session.create_client("s3", config=CONFIG)
    organizations: Any = session.create_client("organizations", config=CONFIG)
    return Sweep(files=SweepFiles(s3, settings.bucket), settings=settings, organizations=organizations)
