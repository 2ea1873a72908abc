"""What a record owes after a rollback is done by a later pass, whatever failed or died in between: counted once, told once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.builders import LEASE
from tests.integration.guarding import (
    ENFORCED_TAG,
    ROLLED_BACK_TAG,
    enforced,
    guard,
    guard_that_dies,
    live,
    probe,
    reject,
    set_state,
)
from tests.integration.steering import named, reason, steer
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

AGAIN = "IMDSv1 switched on again"


def broken(cloud: Cloud, count: int = 1) -> list[InstanceArn]:
    """Instances whose software needs IMDSv1, an hour after their enforcement."""
    arns = [enforced(cloud) for _ in range(count)]
    live(cloud, *arns, hours=1)
    for arn in arns:
        reject(cloud, arn)
    return arns


def told(cloud: Cloud, words: str = AGAIN) -> int:
    """How many messages begin with these words."""
    return sum(each["Subject"].startswith(words) for each in cloud.published())


def owed(cloud: Cloud, arn: InstanceArn) -> tuple[str, str, list[str]]:
    """The status of an instance, its watch, and what its record owes."""
    current = cloud.current(arn)
    return current["status"], current["watch"], current.get("owes", [])


@pytest.mark.parametrize(
    ("operation", "nth"),
    [
        ("ModifyInstanceMetadataOptions", 0),
        ("DeleteTags", 0),
        ("CreateTags", 0),
        ("TransactWriteItems", 1),
        ("GetItem", 0),
        ("PutItem", 1),
        ("Publish", 0),
        ("TransactWriteItems", 2),
    ],
)
def test_wherever_the_guard_dies_it_is_counted_once_and_told(cloud: Cloud, operation: str, nth: int) -> None:
    """Before and after EC2, the tags, the record, the count and the message. A message that was sent and not recorded is sent again:
    better twice than never."""
    (arn,) = broken(cloud)
    guard_that_dies(cloud, operation, nth=nth)
    cloud.clock.move(seconds=LEASE.total_seconds())
    for _ in range(3):
        guard(cloud)
    assert ("rolled_back", "done", []) == owed(cloud, arn)
    assert 1 == len(cloud.accounts().of(arn).rollbacks)
    assert 1 <= told(cloud) <= 2
    assert {ROLLED_BACK_TAG} == set(cloud.tags(arn))


def test_what_could_not_be_counted_is_counted_by_the_next_pass(cloud: Cloud) -> None:
    """The account's item is throttled after five rollbacks: the breaker opens with the next pass, and people are told once."""
    arns = broken(cloud, 5)
    throttled = [True]
    cloud.wire.refuse("GetItem", "ThrottlingException", when=lambda _: throttled[0])
    assert 5 == guard(cloud).rolled_back
    assert ("rolled_back", "open", ["count"]) == owed(cloud, arns[0])
    throttled[0] = False
    assert 1 == guard(cloud).breakers_open
    assert 5 == len(cloud.accounts().of(arns[0]).rollbacks)
    guard(cloud)
    assert ("rolled_back", "done", []) == owed(cloud, arns[0])
    assert (1, 5) == (told(cloud), len(cloud.accounts().of(arns[0]).rollbacks))


def test_a_message_that_reached_nobody_is_sent_by_the_next_pass(cloud: Cloud) -> None:
    """Once, and without counting anew."""
    (arn,) = broken(cloud)
    refuses = [True]
    cloud.wire.refuse("Publish", "InternalError", status=500, when=lambda _: refuses[0])
    guard(cloud)
    assert ("rolled_back", "open", []) == owed(cloud, arn)
    refuses[0], before = False, told(cloud)
    guard(cloud)
    guard(cloud)
    assert ("rolled_back", "done", []) == owed(cloud, arn)
    assert (1, 1) == (told(cloud) - before, len(cloud.accounts().of(arn).rollbacks))


def test_one_that_is_gone_keeps_no_other_from_its_tag(cloud: Cloud) -> None:
    """It fails the whole call; its own tag went with it."""
    arns = broken(cloud, 3)
    gone = arns[1].instance_id
    cloud.wire.refuse(
        "DeleteTags", "InvalidInstanceID.NotFound", gone, when=lambda call: gone in call.params["Resources"]
    )
    guard(cloud)
    assert [{ROLLED_BACK_TAG}, {ENFORCED_TAG}, {ROLLED_BACK_TAG}] == [set(cloud.tags(arn)) for arn in arns]
    assert [("rolled_back", "done", [])] * 3 == [owed(cloud, arn) for arn in arns]


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_tag_that_could_not_be_replaced_is_owed_until_it_is_or_the_instance_goes(
    cloud: Cloud, *, is_gone: bool
) -> None:
    """With it, the rollback role may open the instance."""
    (arn,) = broken(cloud)
    refuses = [True]
    cloud.wire.refuse("DeleteTags", "UnauthorizedOperation", when=lambda _: refuses[0])
    guard(cloud)
    guard(cloud)
    assert ("rolled_back", "open", ["tag"]) == owed(cloud, arn)
    if is_gone:
        set_state(cloud, arn, "terminated")
    else:
        refuses[0] = False
    guard(cloud)
    assert ("rolled_back", "done", []) == owed(cloud, arn)
    assert (ENFORCED_TAG in cloud.tags(arn)) == is_gone
    assert 1 == told(cloud)


def test_what_a_hold_takes_over_is_tagged_all_the_same(cloud: Cloud) -> None:
    """A person holds what is put back while its tag is still owed. It was not opened by anybody but the service."""
    (arn,) = broken(cloud)
    refuses = [True]
    cloud.wire.refuse("DeleteTags", "UnauthorizedOperation", when=lambda _: refuses[0])
    guard(cloud)
    steer(cloud, hold=named(arn), owner="payments", reason="Until Monday.", until="2026-12-31", caller="ops")
    assert "held_by_person" == reason(cloud, arn)
    guard(cloud)
    assert ("held", "open", ["tag"]) == owed(cloud, arn)
    refuses[0] = False
    guard(cloud)
    assert ("held", "done", []) == owed(cloud, arn)
    assert ({ROLLED_BACK_TAG}, "left_because" in cloud.current(arn)) == (set(cloud.tags(arn)), False)
    assert (1, 1) == (told(cloud), len(cloud.accounts().of(arn).rollbacks))


def test_a_rollback_of_which_nobody_has_heard_gives_way_to_no_other_verdict(cloud: Cloud) -> None:
    """Else people would be told of the hold alone."""
    (arn,) = broken(cloud)
    refuses = [True]
    cloud.wire.refuse("Publish", "InternalError", status=500, when=lambda _: refuses[0])
    guard(cloud)
    steer(cloud, hold=named(arn), owner="payments", reason="Until Monday.", until="2026-12-31", caller="ops")
    assert "broke_before" == reason(cloud, arn)
    assert "rolled_back" == owed(cloud, arn)[0]
    refuses[0], before = False, told(cloud)
    assert "broke_before" == reason(cloud, arn)
    assert 1 == told(cloud) - before
    assert "held_by_person" == reason(cloud, arn)
    guard(cloud)
    assert (1, "held", "done") == (told(cloud) - before, *owed(cloud, arn)[:2])


def test_what_left_broken_is_owed_too(cloud: Cloud) -> None:
    """Somebody has opened it after a call was refused, and the guard cannot count: nothing is lost, and nothing told twice."""
    arn = enforced(cloud)
    probe(cloud, arn)
    cloud.clock.move(minutes=11)
    cloud.set_options(arn, http_tokens="optional")
    throttled = [True]
    cloud.wire.refuse("GetItem", "ThrottlingException", when=lambda _: throttled[0])
    guard(cloud)
    assert ("held", "open", ["count"]) == owed(cloud, arn)
    throttled[0] = False
    guard(cloud)
    guard(cloud)
    assert ("held", "done", []) == owed(cloud, arn)
    assert 1 == len(cloud.accounts().of(arn).rollbacks)
    assert 1 == told(cloud, "Something broke, and somebody switched IMDSv1 on again")


def test_a_tag_that_is_owed_is_left_where_tokens_were_required_again_meanwhile(cloud: Cloud) -> None:
    """A person cleared it while a pass was under way, and another function has tagged it for its own change: without that tag
    nothing could be put back."""
    watched, (arn, beside) = enforced(cloud), broken(cloud, 2)
    refuses, done = [True], list[bool]()
    cloud.wire.refuse("DeleteTags", "UnauthorizedOperation", when=lambda _: refuses[0])
    guard(cloud)
    assert ("rolled_back", "open", ["tag"]) == owed(cloud, arn)
    refuses[0] = False

    def require_again(_: Call) -> None:
        """The pass has read the ledger, and reads the metric of the one that is under watch."""
        if done:
            return
        done.append(True)
        ledger, now = cloud.ledger(), cloud.clock.tick()
        known = ledger.read([arn])[arn]
        lease = {"owner": "another", "lease_until": now + LEASE}
        again = change(known, status="enforcing", cleared_at=now, **lease)
        assert set() == ledger.write([again], now).lost
        cloud.tag(arn, **{ENFORCED_TAG: "2026-11-22T00:00:00Z"})

    cloud.wire.on("GetMetricData", require_again)
    guard(cloud)
    assert done
    assert "enforcing" == cloud.current(arn)["status"]
    assert [{ENFORCED_TAG}, {ROLLED_BACK_TAG}, {ENFORCED_TAG}] == [
        set(cloud.tags(each)) for each in (arn, beside, watched)
    ]
