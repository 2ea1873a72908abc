"""Concurrent functions: exactly one effect, in any interleaving."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Source
from tests.fixtures.events import finding
from tests.integration.builders import HUB, LEASE, OTHER, asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.request import Request
    from imdsv2.line.judgement import Outcomes
    from imdsv2.line.run import Line
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


def at_once(lines: Sequence[Line], requests: Sequence[Sequence[Request]]) -> list[Outcomes]:
    """Each pipeline processes its own requests, all at the same time."""
    with ThreadPoolExecutor(len(lines)) as pool:
        running = [
            pool.submit(line.run, each, f"request-{number}")
            for number, (line, each) in enumerate(zip(lines, requests, strict=True))
        ]
        return [each.result(timeout=60) for each in running]


def meet_at(cloud: Cloud, operation: str, parties: int) -> None:
    """A barrier: the first calls of an operation wait until all have arrived."""
    barrier, left, lock = threading.Barrier(parties), [parties], threading.Lock()

    def meet(_: Call) -> None:
        with lock:
            waits = left[0] > 0
            left[0] -= 1
        if waits:
            barrier.wait(timeout=30)

    cloud.wire.on(operation, meet)


@pytest.mark.parametrize("operation", ["BatchGetItem", "DescribeInstances", "GetMetricData", "TransactWriteItems"])
def test_two_functions_with_the_same_finding_make_one_change(operation: str, cloud: Cloud) -> None:
    """At every point at which one may catch up with the other."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    meet_at(cloud, operation, 2)
    outcomes = at_once([cloud.line(), cloud.line()], [[asked(arn, finding=failed)]] * 2)
    assert [{}, {}] == [each.failed for each in outcomes]
    assert 1 == len(cloud.changes())
    assert ["enforcing", "enforced"] == cloud.history(arn)
    assert "enforced" == cloud.current(arn)["status"]
    assert "required" == cloud.tokens(arn)


def test_who_comes_while_the_other_calls_ec2_leaves_it_to_him(cloud: Cloud) -> None:
    """The second reads `enforcing`, adds its finding, and answers; the first annotates both."""
    arn = cloud.one()
    first, second = finding(str(arn), standard="fsbp"), finding(str(arn), standard="nist")
    cloud.hub.holds(first, second)
    late: list[Outcomes] = []

    def meanwhile(_: Call) -> None:
        late.append(cloud.line().run([asked(arn, finding=second)], "request-2"))

    cloud.wire.on("ModifyInstanceMetadataOptions", meanwhile)
    cloud.line().run([asked(arn, finding=first)], "request-1")
    assert "enforcing" == late[0].judged[arn].status
    assert (1, "enforced") == (len(cloud.changes()), cloud.current(arn)["status"])
    assert all("enforce (unused)" in str(cloud.hub.note_on(each)) for each in (first, second))
    assert 1 == len(cloud.published())


def test_who_is_overtaken_between_reading_and_writing_judges_anew(cloud: Cloud) -> None:
    """It does not overwrite the newer verdict with its old one."""
    arn = cloud.one()
    once = [True]

    def overtake(_: Call) -> None:
        if once.pop() if once else False:
            cloud.line().run([asked(arn, Source.CONFIG)], "request-2")

    cloud.wire.on("GetMetricData", overtake)
    judged = cloud.line().run([asked(arn, Source.CONFIG)], "request-1").judged[arn]
    assert "enforced" == judged.status
    assert (1, ["enforcing", "enforced"]) == (len(cloud.changes()), cloud.history(arn))


def test_who_is_overtaken_for_ever_tries_again_later(cloud: Cloud) -> None:
    """The request fails for now, the message is retried, and nothing is done twice."""
    arn = cloud.one(use=1.0)

    def overtake(call: Call) -> None:
        table = cloud.as_account(HUB, "dynamodb")
        table.update_item(
            TableName="ledger",
            Key={"pk": {"S": str(arn)}, "sk": {"S": "current"}},
            UpdateExpression="ADD version :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    cloud.wire.on("DescribeInstances", overtake)
    outcomes = cloud.line().run([asked(arn, Source.CONFIG)], "request-1")
    assert ([arn], {}) == (list(outcomes.failed), outcomes.judged)
    assert [] == cloud.changes()


@pytest.mark.parametrize("seed", range(6))
def test_any_number_of_duplicates_in_any_order_has_one_effect(seed: int, cloud: Cloud) -> None:
    """Three functions, the same five instances by finding, Config and revisit, with random delays."""
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    arns = cloud.launch(count=5)
    findings = [finding(str(arn)) for arn in arns]
    cloud.hub.holds(*findings)
    pauses = threading.Event()
    lock = threading.Lock()

    def dawdle(_: Call) -> None:
        with lock:
            wait = chance.choice([0, 0, 0.002, 0.01, 0.03])
        pauses.wait(wait)

    for operation in ("BatchGetItem", "TransactWriteItems", "CreateTags", "ModifyInstanceMetadataOptions"):
        cloud.wire.on(operation, dawdle)
    requests = [
        [asked(arn, finding=each) for arn, each in zip(arns, findings, strict=True)],
        [asked(arn, Source.CONFIG) for arn in reversed(arns)],
        [asked(arn, Source.REVISIT) for arn in chance.sample(arns, len(arns))],
    ]
    outcomes = at_once([cloud.line() for _ in requests], requests)
    assert [{}, {}, {}] == [each.failed for each in outcomes]
    assert sorted(arn.instance_id for arn in arns) == sorted(each["InstanceId"] for each in cloud.changes())
    assert [["enforcing", "enforced"]] * 5 == [cloud.history(arn) for arn in arns]
    assert ["enforced"] * 5 == [cloud.current(arn)["status"] for arn in arns]


def test_one_takeover_after_the_lease(cloud: Cloud) -> None:
    """Several functions find the lease expired at the same time; one of them acts."""
    arn = cloud.one()

    class Died(BaseException):
        """Lambda ends the process."""

    dies = [True]

    def die(_: Call) -> None:
        if dies[0]:
            raise Died

    cloud.wire.on("ModifyInstanceMetadataOptions", die)
    with pytest.raises(Died):
        cloud.line().run([asked(arn, Source.CONFIG)], "request-0")
    dies[0] = False
    cloud.wire.calls.clear()
    cloud.clock.move(seconds=LEASE.total_seconds())
    meet_at(cloud, "TransactWriteItems", 3)
    outcomes = at_once([cloud.line() for _ in range(3)], [[asked(arn, Source.REVISIT)]] * 3)
    assert [{}, {}, {}] == [each.failed for each in outcomes]
    assert 1 == len(cloud.changes())
    assert ["enforcing", "enforced"] == cloud.history(arn)


def test_a_lease_that_ends_while_its_owner_still_works_does_not_let_him_write_over_the_takeover(
    cloud: Cloud,
) -> None:
    """It cannot happen while the lease is longer than the function's timeout; if it does, the newer write stands."""
    arn = cloud.one()
    taken_over: list[Any] = []

    def take_over(_: Call) -> None:
        if not taken_over:
            taken_over.append(True)
            cloud.clock.move(seconds=LEASE.total_seconds() + 1)
            cloud.line().run([asked(arn, Source.REVISIT)], "request-2")

    cloud.wire.on("CreateTags", take_over)
    cloud.line().run([asked(arn, Source.CONFIG)], "request-1")
    current = cloud.current(arn)
    assert ("enforced", "request-2") == (current["status"], current["request_id"])
    assert 1 == cloud.history(arn).count("enforced")


def test_accounts_and_regions_are_judged_side_by_side(cloud: Cloud) -> None:
    """A slow one delays only itself, and one that breaks in the middle fails alone."""
    arns = [cloud.one(), cloud.one(account=OTHER), cloud.one(region="us-east-1"), cloud.one(account=HUB)]
    meet_at(cloud, "DescribeInstances", 4)

    def break_down(call: Call) -> None:
        if call.account == OTHER:
            raise RuntimeError("nobody foresaw this")

    cloud.wire.on("GetMetricData", break_down)
    outcomes = cloud.line().run([asked(arn, Source.CONFIG) for arn in arns], "request-1")
    assert {arns[1]} == set(outcomes.failed)
    assert {arns[0], arns[2], arns[3]} == set(outcomes.judged)
    assert ["required", "optional", "required", "required"] == [cloud.tokens(arn) for arn in arns]
