"""What is told between another function's reading of a record and its writing: the news of the write is told as well."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.told import Told
from tests.integration.builders import NOW, arn_of, asked, known_finding
from tests.integration.guarding import enforced, guard, live, probe, reject
from tests.integration.test_telling import record, teller
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.table import Ledger
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

ARN, SECOND = arn_of("a"), timedelta(seconds=1)
FINDING = known_finding("one")


def known(ledger: Ledger, **attributes: Any) -> Any:
    """A verdict of which nobody has been told, as it is read."""
    before = ledger.read([ARN])[ARN]
    ledger.write([change(before, FINDING, status="held", changed_at=NOW, **attributes)], NOW)
    return ledger.read([ARN])[ARN]


@pytest.mark.parametrize(
    "told", [{"notified": True}, {"annotated": frozenset({key_of(FINDING)})}], ids=["people", "Security Hub"]
)
def test_a_verdict_that_was_made_before_the_last_one_was_told_is_made_anew(
    ledger: Ledger, told: dict[str, Any]
) -> None:
    """By its time alone it would pass for told: it was made a second before that, and written a second after."""
    read = known(ledger)
    made = change(read, reason="no_evidence", changed_at=NOW + SECOND)
    ledger.mark_told({ARN: Told(record=read, **told)}, NOW + 2 * SECOND)
    assert {ARN} == ledger.write([made], NOW + 3 * SECOND).overtaken
    again = ledger.read([ARN])[ARN]
    anew = change(again, reason="no_evidence", changed_at=NOW + 4 * SECOND)
    assert set() == ledger.write([anew], NOW + 4 * SECOND).lost
    now_known = ledger.read([ARN])[ARN]
    assert (True, {key_of(FINDING)}) == (now_known.owes_notification(), set(now_known.owed_notes()))


def test_what_is_written_without_news_is_not_held_up_by_a_message(ledger: Ledger) -> None:
    """A lease, a person's word: nothing of it is told."""
    read = known(ledger)
    ledger.mark_told({ARN: Told(record=read, notified=True)}, NOW + SECOND)
    leased = change(read, owner="me", lease_until=NOW + timedelta(minutes=16))
    assert set() == ledger.write([leased], NOW + 2 * SECOND).lost


def test_who_has_written_goes_on_with_what_was_written(ledger: Ledger) -> None:
    """The next write of the same function need not read before."""
    read = known(ledger)
    first = change(read, reason="no_evidence", changed_at=NOW + SECOND)
    assert set() == ledger.write([first], NOW + SECOND).lost
    second = change(first.applied(), reason="unused", changed_at=NOW + 2 * SECOND)
    assert set() == ledger.write([second], NOW + 2 * SECOND).lost


def test_an_item_of_an_earlier_version_is_written_as_before(ledger: Ledger) -> None:
    """It may have no id of its last write."""
    read = replace(known(ledger), written_by=None)
    assert set() == ledger.write([change(read, reason="unused", changed_at=NOW + SECOND)], NOW + SECOND).lost


def before_the_guard_writes(cloud: Cloud, act: Callable[[], None]) -> None:
    """Once, another function does something when the guard is about to write."""
    left = [True]

    def step(_: Call) -> None:
        if left:
            left.clear()
            act()

    cloud.wire.on("TransactWriteItems", step)


def late_news(cloud: Cloud) -> InstanceArn:
    """An enforced instance whose message and note could not be sent so far."""
    cloud.wire.refuse("Publish", "InternalError", status=500, times=1)
    cloud.wire.refuse("BatchUpdateFindings", "InternalErrorException", status=500, times=1)
    arn = enforced(cloud)
    assert cloud.ledger().read([arn])[arn].owes_notification()
    live(cloud, arn, hours=1)
    return arn


def test_a_probe_is_told_though_the_message_before_it_was_sent_at_that_very_moment(cloud: Cloud) -> None:
    """The guard has found the refused call, and has yet to write that it did."""
    arn = late_news(cloud)
    probe(cloud, arn)
    before_the_guard_writes(cloud, lambda: teller(cloud).tell([arn], cloud.clock.tick(), workflow=True))
    guard(cloud)
    guard(cloud)
    assert cloud.published()[-1]["Subject"].startswith("IMDSv1 calls were rejected")
    current = cloud.ledger().read([arn])[arn]
    assert ("probe_or_breakage", False, {}) == (
        current.left_because,
        current.owes_notification(),
        current.owed_notes(),
    )


def test_a_rollback_waits_for_no_message(cloud: Cloud) -> None:
    """What is told meanwhile is of the enforcement; the rollback is begun, ended and told all the same."""
    arn = late_news(cloud)
    reject(cloud, arn)
    before_the_guard_writes(cloud, lambda: teller(cloud).tell([arn], cloud.clock.tick(), workflow=True))
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(arn)
    assert cloud.published()[-1]["Subject"].startswith("IMDSv1 switched on again")


def test_a_verdict_of_the_line_is_made_anew_and_told(cloud: Cloud) -> None:
    """Two messages about one instance come to two functions: the first tells while the second writes another verdict."""
    arn, one = cloud.one(), known_finding("1")
    record(cloud, arn, one, reason="no_evidence")
    cloud.clock.move(hours=1)
    before_the_guard_writes(cloud, lambda: teller(cloud).tell([arn], cloud.clock.tick(), workflow=True))
    assert {} == cloud.line().run([asked(arn)], "request-1").failed
    assert "enforced" == cloud.current(arn)["status"]
    assert cloud.published()[-1]["Subject"].startswith("IMDSv1 switched off")
