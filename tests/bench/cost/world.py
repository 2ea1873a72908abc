"""A small world in which the service's own code runs for days of simulated time, with a meter on CloudWatch and the ledger."""

from __future__ import annotations

import json
import logging
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from imdsv2.aws import metadata_options
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.domain.instance import InstanceArn, Place
from imdsv2.domain.request import Request, Source
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally
from imdsv2.wiring.service import Edge, assemble
from infra.names import SPARED_HOURS
from tests.bench.measurements.billing import costs
from tests.bench.simulation.service import SETTINGS
from tests.world import life
from tests.world.clock import Clock
from tests.world.cloudwatch import CloudWatch
from tests.world.dynamodb import Table
from tests.world.ec2 import Ec2, Instance
from tests.world.edge import MemberClients, Sns, Ssm
from tests.world.edge import Place as Contents
from tests.world.security_hub import Findings
from tests.world.serial import THREADED, SerialPool

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT, REGION = "222222222222", "eu-west-1"
BEGIN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AGE = timedelta(days=60)
LEASE = timedelta(minutes=6)
A_REVISIT = 300
_OPERATIONS = {
    "get_item": "GetItem",
    "batch_get_item": "BatchGetItem",
    "put_item": "PutItem",
    "update_item": "UpdateItem",
    "transact_write_items": "TransactWriteItems",
    "query": "Query",
}


class Metered:
    """A client whose calls are billed."""

    def __init__(self, client: Any, service: str, operations: dict[str, str], bill: Counter[str]) -> None:
        self._client, self._service, self._operations, self._bill = client, service, operations, bill

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in self._operations:
            return call

        def billed(**params: Any) -> Any:
            answer = call(**params)
            self._bill.update(costs(self._service, self._operations[name], params, answer))
            return answer

        return billed


class World:
    """Instances of one account and Region that have run for two months; ``used`` of them call IMDSv1, and run other
    software than the rest."""

    def __init__(self, instances: int, *, used: int = 0, **policy: Any) -> None:
        self.clock = Clock(BEGIN)
        self.bill: Counter[str] = Counter()
        ids = [f"i-{number:017x}" for number in range(instances)]
        launched = BEGIN - AGE
        self.instances = {
            each: Instance(
                instance_id=each,
                image="ami-2" if number < used else "ami-1",
                launched_at=launched,
                first_launched_at=launched,
            )
            for number, each in enumerate(ids)
        }
        self.metrics = CloudWatch(self.clock)
        for each in ids:
            self._fill(each, launched)
        for each in ids[:used]:
            self.metrics.put(life.TOKENLESS, each, BEGIN - timedelta(days=2), 3.0)
        self.arns = [InstanceArn("aws", REGION, ACCOUNT, each) for each in ids]
        self._policy = json.dumps({"canary": None, "max_enforcements_per_hour": 1_000_000, **policy})
        watched = Metered(
            self.metrics, "cloudwatch", {"get_metric_data": "GetMetricData", "list_metrics": "ListMetrics"}, self.bill
        )
        place: Contents[Any] = Contents(Ec2(self.instances), cast("Any", watched))
        logger: Any = logging.getLogger("cost")
        logger.addHandler(logging.NullHandler())
        edge = Edge(
            clients=cast("Any", MemberClients({(ACCOUNT, REGION): place})),
            dynamodb=cast("Any", Metered(Table(), "dynamodb", _OPERATIONS, self.bill)),
            ssm=cast("Any", Ssm(lambda _: self._policy, lambda _: True)),
            sns=cast("Any", Sns(lambda _: None)),
            hub=SecurityHub(Findings().client, logger),
            now=self.clock.tick,
            logger=logger,
        )
        self.service = assemble(edge, replace(SETTINGS, lease=LEASE))

    def _fill(self, instance_id: str, launched: datetime) -> None:
        """Two months of datapoints, an hour each; those around the start by five minutes."""
        hour = launched
        while hour <= BEGIN:
            self.metrics.put(life.TOKENLESS, instance_id, hour, 0.0)
            hour += life.START / 2
        life.run(self.metrics, instance_id, launched, launched + life.START, launched)

    def advance(self, by: timedelta) -> None:
        """Time passes; every instance runs and reports."""
        start = self.clock()
        self.clock.time += by
        for each in self.instances.values():
            life.run(self.metrics, each.instance_id, start, self.clock(), each.launched_at)

    def restart(self) -> None:
        """All instances are stopped and started."""
        for each in self.instances.values():
            each.stop(self.clock())
            each.start(self.clock())

    def judge(self, source: Source = Source.SECURITYHUB) -> None:
        """A request for every instance."""
        outcomes = self.service.line.run([Request(arn=arn, source=source) for arn in self.arns], "judge")
        if outcomes.failed:
            raise RuntimeError(f"not judged: {outcomes.failed}")

    def sweep(self) -> None:
        """The nightly sweep of the place."""
        tally = Tally(place=Place("aws", REGION, ACCOUNT), spare_hours=SPARED_HOURS)
        line, clients = self.service.line, self.service.clients
        done = go_through(line, clients, tally, "sweep", dry_run=False, has_time=lambda: True)
        if done.failed or done.error:
            raise RuntimeError(f"not swept: {done}")

    def revisit(self) -> None:
        """The revisit function, as its handler does it, where anything is due: an idle one is counted elsewhere."""
        line, now, before = self.service.line, self.clock(), Counter(self.bill)
        due = line.ledger.indexes.due(now, A_REVISIT)
        if not due:
            self.bill.clear()
            self.bill.update(before)
            return
        claimed = line.ledger.claim(due, now + LEASE)
        line.run([Request(arn=arn, source=Source.REVISIT) for arn in claimed], "revisit")

    def statuses(self) -> Counter[str | None]:
        """How many records have each status."""
        return Counter(each.status for each in self.service.line.ledger.read(self.arns).values())


@contextmanager
def one_after_the_other() -> Iterator[None]:
    """Without threads and without waiting, so that a count is the same each time."""
    with ExitStack() as replaced:
        replaced.enter_context(mock.patch.object(metadata_options, "_READ_BACK_AFTER", (0,)))
        for module in THREADED:
            replaced.enter_context(mock.patch.object(module, "ThreadPoolExecutor", SerialPool))
        yield
