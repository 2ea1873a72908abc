"""Composition root: builds the service from settings and clients. The only module that imports all packages.

The guard and the modules that depend on it are imported lazily, to keep them out of the other functions' cold starts.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.change_calendar import ChangeCalendar
from imdsv2.aws.image_owners import ImageOwners
from imdsv2.aws.pacing import Pacing
from imdsv2.aws.parsing import new_session
from imdsv2.aws.retries import pace
from imdsv2.aws.s3 import SweepFiles
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.aws.sessions import CONFIG, Members, metrics_session
from imdsv2.aws.topic import Topic
from imdsv2.domain.instance import Place
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.cohort import Cohorts
from imdsv2.ledger.policy import PolicySource
from imdsv2.ledger.pool import Pools
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.trail import Provenance
from imdsv2.line.act import Action
from imdsv2.line.canaries import Canaries
from imdsv2.line.denials import Denials
from imdsv2.line.event_names import EventNames
from imdsv2.line.gate import Gates
from imdsv2.line.intake import DeadLetters
from imdsv2.line.judge import Judge
from imdsv2.line.membership import Memberships
from imdsv2.line.messages import Directions
from imdsv2.line.run import Line
from imdsv2.line.siblings import Siblings
from imdsv2.line.tell import Teller
from imdsv2.settings import BusSettings, EventSettings, Settings, SweepSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools import Logger
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_organizations import OrganizationsClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

    from imdsv2.aws.bus import Bus
    from imdsv2.fix.run import Fixing
    from imdsv2.guard.response import Response
    from imdsv2.guard.run import Guard
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.sweeps import Sweeps
    from imdsv2.line.concern import Concern
    from imdsv2.line.intake import Intake
    from imdsv2.line.source_book import SourceBook
    from imdsv2.line.source_findings import SourceFindings
    from imdsv2.line.source_judging import SourceJudge
    from imdsv2.line.started import Started
    from imdsv2.people.command import People
    from imdsv2.people.culprit import Culprits
    from imdsv2.people.find import Finder
    from imdsv2.people.graduation import Graduates
    from imdsv2.people.guardrails import Guardrails
    from imdsv2.people.images import Images
    from imdsv2.people.source_fix import SourceFixing
    from imdsv2.people.sources import Sources
    from imdsv2.sweep.digest import DailyDigest
    from imdsv2.sweep.sources import SourceSweep

_TO_FINISH_SECONDS = 90
"""Time reserved at the end of an invocation for the read-back, the ledger and the notes on findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """External dependencies: clients for member accounts and for the function's own role, clock, logger, and the id of the
    current invocation."""

    members: Members
    dynamodb: DynamoDBClient
    ssm: SSMClient
    sns: SNSClient
    hub: SecurityHub
    now: Callable[[], datetime]
    logger: Logger
    request_id: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What handlers use: the line, and what guard and people's commands are built from."""

    line: Line
    members: Members
    accounts: Accounts
    cohorts: Cohorts
    settings: Settings
    dynamodb: DynamoDBClient
    calendar: ChangeCalendar
    hub: SecurityHub
    topic: Topic

    def guard(self) -> Guard:
        """Build what looks after the enforced, on what judges them."""
        from imdsv2.guard.departures import Departures
        from imdsv2.guard.judging import Judging
        from imdsv2.guard.place import Places
        from imdsv2.guard.recall import Recall
        from imdsv2.guard.run import Guard
        from imdsv2.guard.sources import SourceWatch
        from imdsv2.guard.untagged import Untagged

        line, writer = self.line, self._writer()
        response = self._response(writer)
        places = Places(
            members=self.members,
            ledger=line.ledger,
            policies=line.policies,
            judging=Judging(members=self.members, ledger=line.ledger, response=response, writer=writer, now=line.now),
            departures=Departures(members=self.members, response=response, writer=writer, now=line.now),
            untagged=Untagged(ledger=line.ledger, writer=writer, now=line.now),
            response=response,
            writer=writer,
            now=line.now,
            logger=line.logger,
        )
        return Guard(
            ledger=line.ledger,
            accounts=self.accounts,
            policies=line.policies,
            recall=Recall(members=self.members, ledger=line.ledger, logger=line.logger),
            places=places,
            sources=SourceWatch(
                members=self.members,
                fixing=self.fixing(),
                response=response,
                writer=writer,
                policies=line.policies,
                now=line.now,
                logger=line.logger,
            ),
            now=line.now,
            logger=line.logger,
        )

    def sweeps(self) -> Sweeps:
        """Build what knows when the last sweep ended."""
        from imdsv2.ledger.sweeps import Sweeps

        return Sweeps(self.dynamodb, self.settings.ledger_table)

    def digest(self) -> DailyDigest:
        """Build what sends the daily digest."""
        from imdsv2.ledger.digests import Digests
        from imdsv2.sweep.digest import DailyDigest

        line = self.line
        return DailyDigest(
            digests=Digests(self.dynamodb, self.settings.ledger_table),
            policies=line.policies,
            topic=self.topic,
            now=line.now,
            logger=line.logger,
        )

    def concern(self) -> Concern:
        """Build what makes due what a change of the policy concerns."""
        from imdsv2.ledger.walk import Walks
        from imdsv2.line.concern import Concern

        line = self.line
        return Concern(
            ledger=line.ledger,
            walks=Walks(self.dynamodb, self.settings.ledger_table, line.ledger.provenance),
            policies=line.policies,
            calendar=self.calendar,
            now=line.now,
            logger=line.logger,
        )

    def _writer(self) -> Writer:
        from imdsv2.guard.writer import Writer

        return Writer(ledger=self.line.ledger, now=self.line.now, logger=self.line.logger)

    def _response(self, writer: Writer) -> Response:
        """Build the response (rollback and notification) for the guard and for undo."""
        from imdsv2.guard.response import Response
        from imdsv2.guard.rollback import Rollback

        line = self.line
        return Response(
            members=self.members,
            ledger=line.ledger,
            accounts=self.accounts,
            cohorts=self.cohorts,
            policies=line.policies,
            rollback=Rollback(
                members=self.members, writer=writer, lease=self.settings.lease, now=line.now, logger=line.logger
            ),
            writer=writer,
            teller=line.teller,
            now=line.now,
            logger=line.logger,
        )

    def people(self) -> People:
        """Build the handling of people's commands."""
        from imdsv2.people.command import People
        from imdsv2.people.scope import Scopes
        from imdsv2.people.source_undo import SourceUndoing
        from imdsv2.people.undo import Undoing

        line = self.line
        scopes = Scopes(ledger=line.ledger, accounts=self.accounts, region=self.settings.region)
        undoing = Undoing(
            members=self.members,
            ledger=line.ledger,
            scopes=scopes,
            response=self._response(self._writer()),
            policies=line.policies,
            now=line.now,
        )
        return People(
            ledger=line.ledger,
            accounts=self.accounts,
            scopes=scopes,
            undoing=undoing,
            source_undoing=SourceUndoing(fixing=self.fixing(), region=self.settings.region),
            pools=line.judge.siblings.pools,
            now=line.now,
        )

    def intake(self) -> Intake:
        """Build what answers messages: the line, and what answers findings about sources, and starts of instances."""
        from imdsv2.line.intake import Intake

        return Intake(line=self.line, make_sources=self._source_findings, make_started=self._started)

    def _source_findings(self) -> SourceFindings:
        from imdsv2.line.source_findings import SourceFindings

        line = self.line
        return SourceFindings(
            judge=self.source_judge(),
            book=self.source_book(),
            policies=line.policies,
            now=line.now,
            logger=line.logger,
        )

    def _started(self) -> Started:
        from imdsv2.line.started import Started

        line, siblings = self.line, self.line.judge.siblings
        return Started(
            members=self.members,
            ledger=line.ledger,
            pools=siblings.pools,
            memberships=siblings.memberships,
            policies=line.policies,
            now=line.now,
            logger=line.logger,
        )

    def source_judge(self) -> SourceJudge:
        """Build what judges sources."""
        from imdsv2.line.source_judging import SourceJudge

        return SourceJudge(members=self.members, ledger=self.line.ledger)

    def source_sweep(self) -> SourceSweep:
        """Build what judges the sources of each place in the sweep."""
        from imdsv2.sweep.sources import SourceSweep

        return SourceSweep(judge=self.source_judge(), book=self.source_book(), logger=self.line.logger)

    def source_book(self) -> SourceBook:
        """Build what records verdicts on sources, and tells of them."""
        from imdsv2.ledger.source_verdicts import SourceVerdicts
        from imdsv2.line.source_book import SourceBook

        line = self.line
        return SourceBook(
            verdicts=SourceVerdicts(self.dynamodb, self.settings.ledger_table),
            hub=self.hub,
            topic=self.topic,
            policies=line.policies,
            now=line.now,
            logger=line.logger,
        )

    def images(self) -> Images:
        """Build what has AMIs require tokens."""
        from imdsv2.ledger.images import ImageEvents
        from imdsv2.people.images import Images

        line = self.line
        return Images(
            members=self.members,
            judge=self.source_judge(),
            events=ImageEvents(self.dynamodb, self.settings.ledger_table, line.ledger.provenance),
            policies=line.policies,
            now=line.now,
        )

    def fixing(self) -> Fixing:
        """Build what changes sources, and takes that back."""
        from imdsv2.fix.change import Changing
        from imdsv2.fix.gates import SourceGates
        from imdsv2.fix.run import Fixing
        from imdsv2.fix.tell import FixTeller
        from imdsv2.ledger.sources import SourceFixes

        line, lease = self.line, self.settings.lease
        fixes = SourceFixes(self.dynamodb, self.settings.ledger_table, line.ledger.provenance)
        gates = SourceGates(
            policies=line.policies,
            accounts=self.accounts,
            cohorts=self.cohorts,
            ledger=line.ledger,
            calendar=self.calendar,
            lease=lease,
            now=line.now,
        )
        teller = FixTeller(
            fixes=fixes,
            topic=self.topic,
            manual_function=self.settings.names.manual_function,
            now=line.now,
            logger=line.logger,
        )
        return Fixing(
            members=self.members,
            ledger=line.ledger,
            fixes=fixes,
            gates=gates,
            changing=Changing(members=self.members, fixes=fixes, now=line.now, logger=line.logger),
            teller=teller,
            lease=lease,
            now=line.now,
            logger=line.logger,
        )

    def source_fixing(self) -> SourceFixing:
        """Build the answer to a person who has sources changed."""
        from imdsv2.people.source_fix import SourceFixing

        return SourceFixing(fixing=self.fixing())

    def sources(self) -> Sources:
        """Build the answer to where instances come from."""
        from imdsv2.people.sources import Sources

        line = self.line
        return Sources(members=self.members, ledger=line.ledger, policies=line.policies, now=line.now)

    def finder(self) -> Finder:
        """Build the answer to which instances there are."""
        from imdsv2.people.find import Finder

        line = self.line
        return Finder(
            members=self.members,
            ledger=line.ledger,
            accounts=self.accounts,
            policies=line.policies,
            region=self.settings.region,
            now=line.now,
        )

    def graduates(self) -> Graduates:
        """Build what locks the metadata defaults of accounts."""
        from imdsv2.ledger.graduation import Graduations
        from imdsv2.people.graduation import Graduates
        from imdsv2.people.graduation_look import Looking

        line = self.line
        return Graduates(
            members=self.members,
            looking=Looking(members=self.members, ledger=line.ledger, now=line.now),
            graduations=Graduations(self.dynamodb, self.settings.ledger_table, line.ledger.provenance),
            policies=line.policies,
            now=line.now,
        )

    def guardrails(self) -> Guardrails:
        """Build the answer to what guardrails would block."""
        from imdsv2.people.guardrail_use import Uses
        from imdsv2.people.guardrails import Guardrails

        line = self.line
        return Guardrails(
            members=self.members,
            ledger=line.ledger,
            uses=Uses(members=self.members, ledger=line.ledger, pools=line.judge.siblings.pools),
            accounts=self.accounts,
            policies=line.policies,
            region=self.settings.region,
            now=line.now,
        )

    def culprits(self) -> Culprits:
        """Build the answer to which software calls IMDSv1."""
        from imdsv2.ledger.captures import Captures
        from imdsv2.people.capture import Capturing
        from imdsv2.people.culprit import Culprits

        line = self.line
        captures = Captures(self.dynamodb, self.settings.ledger_table, line.ledger.provenance)
        capturing = Capturing(
            members=self.members, captures=captures, document=self.settings.capture_document, now=line.now
        )
        return Culprits(
            members=self.members,
            ledger=line.ledger,
            captures=captures,
            capturing=capturing,
            policies=line.policies,
            now=line.now,
        )


def assemble(edge: Edge, settings: Settings) -> Service:
    """Build the service. Makes no calls."""
    provenance = Provenance(edge.request_id)
    ledger = Ledger(edge.dynamodb, settings.ledger_table, provenance)
    accounts = Accounts(edge.dynamodb, settings.ledger_table, provenance)
    cohorts = Cohorts(edge.dynamodb, settings.ledger_table)
    policies = PolicySource(edge.ssm, ledger, settings.policy_parameter)
    topic = Topic(edge.sns, settings.notifications_topic_arn, for_chat=settings.chat_messages)
    directions = Directions(settings.names.manual_function)
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
    line = Line(
        ledger=ledger,
        policies=policies,
        judge=Judge(
            members=edge.members,
            ledger=ledger,
            policies=policies,
            siblings=Siblings(
                clients=edge.members,
                ledger=ledger,
                pools=Pools(edge.dynamodb, settings.ledger_table, provenance),
                memberships=Memberships(clients=edge.members, images=ImageOwners(edge.members, edge.logger)),
            ),
            now=edge.now,
        ),
        action=Action(
            members=edge.members, ledger=ledger, gates=gates, lease=settings.lease, now=edge.now, logger=edge.logger
        ),
        teller=Teller(ledger, edge.hub, topic, directions, edge.logger, policies, edge.now),
        now=edge.now,
        logger=edge.logger,
    )
    return Service(
        line=line,
        members=edge.members,
        accounts=accounts,
        cohorts=cohorts,
        settings=settings,
        dynamodb=edge.dynamodb,
        calendar=calendar,
        hub=edge.hub,
        topic=topic,
    )


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
        members=Members(
            session, metrics_session(session), client("sts"), settings.names.member_roles, request_id, now, pacing
        ),
        dynamodb=client("dynamodb"),
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


def wire_events(environment: Mapping[str, str]) -> EventNames:
    """What to look for in events. Raises SettingMissing, which names the variable."""
    settings = EventSettings.from_environment(environment)
    return EventNames(custom_action_id=settings.custom_action_id, config_rules=settings.config_rules)


def wire_bus(environment: Mapping[str, str]) -> Bus:
    """The bus to which decisions are sent. Raises SettingMissing, which names the variable."""
    from imdsv2.aws.bus import Bus

    settings = BusSettings.from_environment(environment)
    events: Any = new_session().create_client("events", config=CONFIG)
    return Bus(events, settings.name, settings.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Additional dependencies of the sweep: its S3 files, its settings and the list of accounts."""

    files: SweepFiles
    settings: SweepSettings
    organizations: OrganizationsClient

    def accounts(self) -> list[str]:
        """The accounts from the settings, else the organisation's active accounts. Raises ClientError."""
        if self.settings.accounts:
            return list(self.settings.accounts)
        from imdsv2.sweep.run import active_accounts

        return active_accounts(self.organizations)


def wire_sweep(environment: Mapping[str, str]) -> Sweep:
    """Build the sweep's additional dependencies. Raises SettingMissing, which names the variable."""
    settings = SweepSettings.from_environment(environment)
    session = new_session()
    s3: Any = session.create_client("s3", config=CONFIG)
    organizations: Any = session.create_client("organizations", config=CONFIG)
    return Sweep(files=SweepFiles(s3, settings.bucket), settings=settings, organizations=organizations)
