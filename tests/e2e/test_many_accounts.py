"""A failing account must neither delay nor break the others in its batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.cloud.run import MEMBERS
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World

GOOD, BAD = MEMBERS


def _both(world: World) -> tuple[Launched, Launched]:
    return world.launch_one(account=GOOD), world.launch_one(account=BAD)


def _batch(*fleet: Launched) -> list[str]:
    return [json.dumps(events.config_change(one.instance_id, account=one.machine.account)) for one in fleet]


def test_an_account_that_answers_slowly_holds_up_only_its_own(world: World) -> None:
    """The other instance of the same batch is done before the slow account answers."""
    good, slow = _both(world)
    world.cloud.faults(
        [{"account": BAD, "service": "ec2", "action": "DescribeInstances", "latency_ms": 20_000, "times": 1}]
    )
    world.send(*(events.config_change(one.instance_id, account=one.machine.account) for one in (good, slow)))
    eventually(lambda: True if world.options(good)["HttpTokens"] == "required" else None, "the good account's instance")
    assert {} == world.current(slow)
    assert ("enforced", "unused") == world.verdicts([slow])[0]
    world.batches_end()


def test_an_account_that_answers_too_late_is_left_for_later(world: World) -> None:
    """After two timeouts of half a minute (which is why the test is slow), its instance is held with the reason; the
    other is done."""
    good, late = _both(world)
    world.cloud.faults([{"account": BAD, "service": "ec2", "latency_ms": 31_000}])
    world.cloud.calls(reset=True)
    world.send(*(events.config_change(one.instance_id, account=one.machine.account) for one in (good, late)))
    eventually(lambda: True if world.options(good)["HttpTokens"] == "required" else None, "the good account's instance")
    assert {} == world.current(late)
    item = world.decided(late)
    assert ("held", "unreachable") == (item["status"], item["reason"])
    assert "ReadTimeoutError" in item["explanation"]
    assert item["revisit_at"]
    assert 2 == world.calls("DescribeInstances", BAD)


def test_an_account_that_throttles_every_second_call_is_served_or_waits(world: World) -> None:
    """Throttled work waits in the ledger and is neither dropped nor counted as failed; the other account is done."""
    good, throttled = _both(world)
    world.cloud.faults(
        [{"account": BAD, "service": "ec2", "error": "RequestLimitExceeded", "status": 503, "share": 0.5}]
    )
    assert [] == world.remediate(*_batch(good, throttled))["batchItemFailures"]
    assert ("enforced", "unused") == world.verdicts([good])[0]
    item = world.decided(throttled)
    assert (item["status"], item["reason"]) in {("enforced", "unused"), ("held", "not_ready"), ("held", "unreachable")}
    assert item["revisit_at"]


def test_an_account_whose_role_is_gone_fails_alone_with_the_reason_in_the_ledger(world: World) -> None:
    """The message is answered; the account is evaluated again later."""
    good = world.launch_one(account=GOOD)
    lost = "arn:aws:ec2:eu-west-1:888888888888:instance/i-0123456789abcdef0"
    stranger = json.dumps(events.config_change(account="888888888888"))
    assert [] == world.remediate(*_batch(good), stranger)["batchItemFailures"]
    assert ("enforced", "unused") == world.verdicts([good])[0]
    [result] = world.ask({"targets": [lost]})["results"]
    assert ("hold", "unreachable") == (result["decision"], result["reason"])


def test_a_region_that_is_off_fails_alone(world: World) -> None:
    """EC2 refuses the account in the disabled Region; the other Region of the same account is served."""
    here = world.launch_one(account=BAD)
    away = world.launch_one(account=BAD, region="us-east-1")
    off = {"account": BAD, "region": "us-east-1", "service": "ec2", "error": "OptInRequired", "status": 401}
    world.cloud.faults([off])
    results = world.ask({"targets": [away.arn, here.arn]})["results"]
    assert ["unreachable", "unused"] == [each["reason"] for each in results]
    assert "OptInRequired" in results[0]["explanation"]
