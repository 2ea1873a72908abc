"""The functions over a fleet, each invoked as its handler does, and the queue that delivers again what failed."""

from __future__ import annotations

import json
import random
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.aws.pacing import Pacing
from imdsv2.aws.s3 import SweepFiles
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.aws.sessions import MemberClients
from imdsv2.domain.request import Request, Source
from imdsv2.errors import RemediationError
from imdsv2.intake.run import DeadLetters, process
from imdsv2.people.answer import answer_document
from imdsv2.people.command_request import Command
from imdsv2.people.culprit.request import CulpritQuestion
from imdsv2.people.find_request import FindQuestion
from imdsv2.people.graduation.guardrail_request import GuardrailQuestion
from imdsv2.people.graduation.request import GraduationOrder
from imdsv2.people.request import parse
from imdsv2.people.sources.image_request import ImageOrder
from imdsv2.people.sources.request import SourceQuestion
from imdsv2.sweep.join import join
from imdsv2.sweep.plan import active_accounts, plan
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally, add_up
from imdsv2.wiring.guard import build_guard
from imdsv2.wiring.intake import build_intake
from imdsv2.wiring.people import (
    build_culprits,
    build_finder,
    build_graduates,
    build_guardrails,
    build_images,
    build_people,
    build_source_fixing,
    build_sources,
)
from imdsv2.wiring.service import Edge, assemble
from imdsv2.wiring.sweep import build_digest, build_fleet_writer, build_source_sweep
from tests.fixtures.events import finding, imported
from tests.integration.builders import EVENT_NAMES, ROLES, SETTINGS
from tests.proof.faults.clients import REGION, clients
from tests.proof.faults.direct import Direct, DirectMembers
from tests.proof.faults.fleet import Fleet

if TYPE_CHECKING:
    from imdsv2.wiring.service import Service
    from tests.proof.faults.fleet import Saved

_SETTINGS = replace(SETTINGS, capture_document="imdsv2-remediation-capture")
TRIES = 5
"""How often the queue delivers a message before it gives it up."""
_MEANT = (ClientError, BotoCoreError, RemediationError)


class World(Fleet):
    """One run's world. Each function keeps its clients in member accounts, its sessions and its policy, as in Lambda."""

    def __init__(self, **policy: Any) -> None:
        super().__init__(**policy)
        self.lenient = False
        """Whether exceptions other than AWS's are what a fault may lead to."""
        self.is_calm = False
        self._clients = clients(self.injector.receive)
        self._functions: dict[str, Service] = {}

    @classmethod
    def from_saved(cls, saved: Saved) -> World:
        """A new world that begins from a saved one."""
        world = cls()
        world.load(saved)
        return world

    def pass_hours(self, hours: int, days: int = 0) -> None:
        """Hours, and then days, in which the guard and the revisits do their work."""
        for minutes in (*(60,) * hours, *(24 * 60,) * days):
            self.advance(minutes)
            self.revisit()
            self.guard()

    def function(self, name: str) -> Service:
        """A function, whose clients in member accounts are its own."""
        if name not in self._functions:
            logger: Any = Log(self)
            edge = Edge(
                clients=self._members(),
                dynamodb=self._own("dynamodb"),
                ssm=self._own("ssm"),
                sns=self._own("sns"),
                hub=SecurityHub(self._own("securityhub"), logger),
                now=self.clock.tick,
                logger=logger,
            )
            self._functions[name] = assemble(edge, _SETTINGS)
        return self._functions[name]

    def calm(self) -> None:
        """From now on nothing fails, and new functions ask AWS directly."""
        self.injector.forget()
        self.is_calm, self._functions = True, {}

    def _own(self, service: str) -> Any:
        return Direct(self.aws, service) if self.is_calm else self._clients.own(service)

    def _members(self) -> Any:
        if self.is_calm:
            return DirectMembers(self.aws)
        return MemberClients(
            self._clients.service,
            self._clients.metrics,
            self._own("sts"),
            ROLES,
            lambda: "invocation",
            self.clock.tick,
            Pacing(share=0.5, clock=lambda: self.clock.seconds, chance=random.random),
            lambda seconds: self.clock.move(seconds=seconds),
            sources=lambda: self._clients.service,
        )

    def send(self, *bodies: dict[str, Any]) -> None:
        """Messages arrive at the queue."""
        self.queue += [(0, json.dumps(each)) for each in bodies]

    def find(self, *arns: str) -> None:
        """Security Hub sends one event for each finding."""
        self.send(*(imported(finding(arn)) for arn in arns))

    def remediate(self) -> None:
        """One batch of the queue: what fails is delivered again, five times at most."""
        batch, self.queue = self.queue, []
        if not batch:
            return
        records = [{"messageId": str(number), "body": body} for number, (_, body) in enumerate(batch)]
        try:
            letters = DeadLetters(self._own("sqs"), "https://sqs.eu-west-1.amazonaws.com/1/dead")
            _, again, _ = process(records, build_intake(self.function("remediate")), letters, EVENT_NAMES, "invocation")
        except Exception as error:  # noqa: BLE001 - as Lambda, which calls again whatever it was
            self._raised(error)
            again = [each["messageId"] for each in records]
        self.failed += len(again)
        for number in map(int, again):
            tries, body = batch[number]
            if tries + 1 < TRIES:
                self.queue.append((tries + 1, body))
            else:
                self.lost.append(body)

    def revisit(self) -> None:
        """One invocation of the revisit function."""
        service = self.function("revisit")
        line = service.line
        try:
            now = line.now()
            claimed = line.ledger.claim(line.ledger.indexes.due(now, 300), now + service.settings.lease)
            outcomes = line.run([Request(arn=arn, source=Source.REVISIT) for arn in claimed], "invocation")
            self.failed += len(outcomes.failed)
        except Exception as error:  # noqa: BLE001 - as Lambda, which calls again whatever it was
            self._raised(error)
            self.failed += 1

    def guard(self) -> None:
        """One pass of the guard."""
        try:
            done = build_guard(self.function("guard")).run("invocation", lambda: True)
            self.failed += done.failed
            self.left_broken += done.left_broken
        except Exception as error:  # noqa: BLE001 - as Lambda, which calls again whatever it was
            self._raised(error)
            self.failed += 1

    def invoke(self, **event: Any) -> dict[str, Any]:
        """The manual function's answer to an order or a command."""
        service = self.function("manual")
        try:
            asked = parse(event)
            if isinstance(asked, Command):
                return build_people(service).carry_out(asked, "invocation", lambda: True)
            if isinstance(asked, SourceQuestion) and asked.fix:
                return build_source_fixing(service).answer(asked, "invocation", lambda: True)
            if isinstance(asked, SourceQuestion):
                return build_sources(service).answer(asked)
            if isinstance(asked, FindQuestion):
                return build_finder(service).answer(asked)
            if isinstance(asked, ImageOrder):
                return build_images(service).carry_out(asked, "invocation")
            if isinstance(asked, GraduationOrder):
                return build_graduates(service).carry_out(asked, "invocation")
            if isinstance(asked, GuardrailQuestion):
                return build_guardrails(service).answer(asked)
            if isinstance(asked, CulpritQuestion):
                return build_culprits(service).answer(asked)
            requests = [target for target in asked.targets if isinstance(target, Request)]
            outcomes = service.line.run(requests, "invocation", dry_run=asked.dry_run)
            self.failed += len(outcomes.failed)
            return answer_document(asked, outcomes, service.line.policies.current(service.line.now()).policy.mode)
        except Exception as error:  # noqa: BLE001 - as Lambda, which calls again whatever it was
            self._raised(error)
            self.failed += 1
            return {}

    def sweep(self, *, dry_run: bool) -> None:
        """A whole sweep; a step that fails is tried three times more, as the state machine does."""
        service = self.function("sweep")
        files = self._files()

        def planned() -> list[dict[str, Any]]:
            made = plan(service.clients, active_accounts(self._own("organizations")), REGION, ())
            files.write("plan.json", made.places)
            files.write("unreachable.json", made.unreachable)
            return made.places

        def region(place: dict[str, Any]) -> dict[str, Any]:
            tally = Tally.from_document({**place, "fleet": "sweep/fleet"})
            with closing(build_fleet_writer(service, tally.place, str(tally.fleet), files.write_packed)) as fleet:
                tally = go_through(
                    service.line,
                    service.clients,
                    tally,
                    "invocation",
                    dry_run=dry_run,
                    has_time=lambda: True,
                    fleet=fleet,
                )
            tally.sources = build_source_sweep(service).go_through(tally.place, dry_run=dry_run).counts
            return tally.document()

        def summarise() -> None:
            tallies = list(files.tallies("manifest.json"))
            join(files, tallies, execution="sweep", dry_run=dry_run, unreachable={}, now=self.clock())
            files.write("summary.json", [add_up(tallies), files.read("unreachable.json")])

        places = self._step(planned) or []
        tallies = [tally for place in places if (tally := self._step(lambda place=place: region(place))) is not None]
        self._map_wrote(tallies)
        self._step(summarise)

    def digest(self) -> None:
        """What follows a sweep of everything: each owner is told of the day. What fails is left to the next night."""
        try:
            build_digest(self.function("sweep")).run(self._files(), "sweep/instances.csv.gz", "night")
        except Exception as error:  # noqa: BLE001 - the sweep's handler logs AWS's, and ends
            self._raised(error)
            self.failed += 1

    def _map_wrote(self, tallies: list[dict[str, Any]]) -> None:
        """What the state machine's map leaves of its results."""
        results = [{"Output": json.dumps(each)} for each in tallies]
        manifest = {"ResultFiles": {"SUCCEEDED": [{"Key": "results.json"}]}}
        documents = {"manifest.json": manifest, "results.json": results}
        self.aws.files |= {key: json.dumps(document).encode() for key, document in documents.items()}

    def _step(self, step: Any) -> Any:
        for _ in range(4):
            try:
                return step()
            except Exception as error:  # noqa: BLE001 - as Lambda, which calls again whatever it was
                self._raised(error)
                self.failed += 1
                self.advance(1)
        return None

    def _files(self) -> SweepFiles:
        return SweepFiles(self._own("s3"), "sweeps")

    def _raised(self, error: Exception) -> None:
        if not (self.lenient or isinstance(error, _MEANT)):
            self.complain(f"{type(error).__name__}: {error}")

    def complain(self, text: str) -> None:
        """Something that nobody meant."""
        self.aws.complaints.append(text)


class Log:
    """Takes what is logged; an exception that is none of AWS's is a complaint."""

    def __init__(self, world: World) -> None:
        self._world = world

    def exception(self, message: str, **_: Any) -> None:
        """A group or a place failed."""
        error = sys.exc_info()[1]
        if not (self._world.lenient or isinstance(error, _MEANT)):
            self._world.complain(f"{message}: {type(error).__name__}: {error}")

    def warning(self, message: str, **_: Any) -> None:
        """Expected trouble."""

    error = info = warning
