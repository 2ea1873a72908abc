"""The run of a digest dies before or after each of its calls: nobody misses anything, and one owner at most hears it twice."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from aws_lambda_powertools import Logger

from imdsv2.aws.s3 import SweepFiles
from imdsv2.aws.topic import Topic
from imdsv2.domain.fleet_file import COLUMNS
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.domain.policy import Policy
from imdsv2.ledger.digests import Digests
from imdsv2.ledger.policy import Reading
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from imdsv2.sweep.digest import DailyDigest
from tests.integration.builders import NOW, TABLE, arn_of
from tests.world.bucket import Bucket
from tests.world.clock import Clock
from tests.world.dynamodb import Table
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Callable

OWNERS = ("blue", "green", "")
ATTRIBUTES = {"decision": "hold", "reason": "v1_in_use", "status": "held", "explanation": "3 IMDSv1 calls."}
FLEET = "night/instances.csv.gz"


class Died(BaseException):
    """The function's end."""


class World:
    """A ledger in which one instance of each owner was held, the file of the fleet, and a topic."""

    def __init__(self) -> None:
        self.table, self.bucket, self.clock = Table(), Bucket(), Clock(NOW)
        self.told: list[str] = []
        self.calls = 0
        self.dies: tuple[int, str] | None = None
        rows = []
        for number, owner in enumerate(OWNERS, 1):
            arn = arn_of(f"{number}")
            Ledger(self.table.client, TABLE).write([change(Record(arn=arn), **ATTRIBUTES)], NOW - timedelta(hours=1))
            known = {"account": arn.account, "region": arn.region, "instance_id": arn.instance_id, "owner": owner}
            rows.append({**dict.fromkeys(COLUMNS, ""), **known, **ATTRIBUTES, "since": "2026-11-20"})
        text = io.StringIO()
        table = csv.DictWriter(text, [*COLUMNS])
        table.writeheader()
        table.writerows(rows)
        self.bucket.objects[FLEET] = gzip.compress(text.getvalue().encode())

    def run(self, name: str = "night", dies: tuple[int, str] | None = None) -> bool:
        """One run; whether it lived."""
        self.calls, self.dies = 0, dies
        policies: Any = _Policies()
        digest = DailyDigest(
            digests=Digests(_Dying(self, self.table), TABLE),
            policies=policies,
            topic=Topic(_Dying(self, _Sns(self.told)), "topic"),
            now=self.clock.tick,
            logger=Logger(service="test"),
        )
        try:
            digest.run(SweepFiles(_Dying(self, self.bucket), "results"), FLEET, name)
        except Died:
            return False
        return True


class _Policies:
    def read(self, now: Any) -> Reading:
        return Reading(now, PolicyInForce(policy=Policy()))


class _Sns:
    def __init__(self, told: list[str]) -> None:
        self._told = told

    def publish(self, **message: Any) -> None:
        self._told.append(message["MessageAttributes"]["owner"]["StringValue"])


def _Dying(world: World, client: object) -> Any:  # noqa: N802 - stands for a class
    class Client:
        exceptions = getattr(client, "exceptions", None)

        def __getattr__(self, name: str) -> Callable[..., Any]:
            def call(**asked: Any) -> Any:
                world.calls += 1
                if world.dies == (world.calls, "before"):
                    raise Died
                number = world.calls
                try:
                    return getattr(client, name)(**asked)
                finally:  # Also after an answer that there is nothing.
                    if world.dies == (number, "after"):
                        raise Died

            return call

    return cast("Any", Client())


def _number_of_calls() -> int:
    world = World()
    assert world.run()
    assert ["blue", "green", "no owner"] == sorted(world.told)
    return world.calls


CALLS = _number_of_calls()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("goes_on", ["again", "next night"])
@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_everybody_is_told_whenever_it_dies(number: int, goes_on: str, when: str) -> None:
    """Begun anew by the state machine, or only the night after."""
    world = World()
    assert not world.run(dies=(number, when))
    if goes_on == "again":
        world.clock.move(minutes=1)
        assert world.run()
    else:
        world.clock.move(hours=24)
        assert world.run("another")
    assert {"blue", "green", "no owner"} == set(world.told)
    assert len(world.told) <= 4
    before = list(world.told)
    world.clock.move(hours=24)
    assert world.run("third")
    assert before == world.told


def test_two_at_once_send_one() -> None:
    """The second finds the claim of the first."""
    world = World()
    world.run(dies=(CALLS - 1, "before"))
    told = list(world.told)
    assert world.run("another")
    assert told == world.told
