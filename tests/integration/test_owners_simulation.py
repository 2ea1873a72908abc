"""Owners of the simulation who act on what they were told of single machines, and the reboots of which CloudTrail tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import Reason
from tests.bench.simulation.assumptions import BEGIN, DAY, DOWN, END, HOUR
from tests.bench.simulation.cloud import SimulatedInstance, places
from tests.bench.simulation.herd import build_herd
from tests.bench.simulation.ledger import Standing
from tests.bench.simulation.machine import Machine, Mix, Software
from tests.bench.simulation.owners import Acts, Owners, restarted
from tests.integration.test_zero_simulation import machine
from tests.world.clock import Clock


def held(revisit_in: float, reason: Reason = Reason.BOOT_NOT_OBSERVABLE) -> Standing:
    """Where an instance stands that was just judged."""
    return Standing(
        status=Status.HELD,
        reason=reason,
        revisit_at=BEGIN + revisit_in,
        enforced_at=None,
        restarted_at=None,
        call_seen_at=None,
        is_watched=False,
        is_canary=False,
        is_lost=False,
    )


def alone(number: int, **fields: Any) -> Machine:
    """A machine that no group keeps."""
    return machine(number, BEGIN - 470 * DAY, version=None, kind="reboots", **fields)


@pytest.mark.parametrize(
    ("one", "standing", "acts", "does"),
    [
        (alone(1), held(DAY), Acts.STARTS, True),
        (alone(1), held(DAY), Acts.ALL, True),
        (alone(1), held(DAY), Acts.NOTHING, False),
        (alone(1), held(2 * HOUR), Acts.ALL, False),
        (alone(1), held(DAY, Reason.V1_IN_USE), Acts.STARTS, False),
        (alone(1), held(DAY, Reason.V1_IN_USE), Acts.ALL, True),
        (alone(1), held(DAY, Reason.V1_AT_BOOT), Acts.ALL, True),
        (alone(1), held(DAY, Reason.NO_EVIDENCE), Acts.ALL, False),
        (alone(1), held(DAY, Reason.COHORT_USES_V1), Acts.ALL, False),
        (machine(1, BEGIN - 9 * DAY), held(DAY), Acts.ALL, False),
    ],
)
def test_owners_start_what_they_were_told_of_some_days_later(
    one: Machine, standing: Standing, acts: Acts, does: bool
) -> None:
    """As far as they act; not where the start is yet to be over, where something else holds it, or where a group keeps it."""
    owners = Owners(acts=acts, seed=3)
    owners.hear(one, standing, BEGIN)
    assert does is (owners.next() < END)
    assert [one.arn] * does == owners.take(END)
    assert not does or owners.next() > END


def test_owners_leave_what_is_no_longer_held_for_want_of_a_start() -> None:
    """Whoever is told of something else has nothing to start; machines of one group are started together."""
    owners = Owners(acts=Acts.STARTS, seed=3)
    for number in (1, 2):
        owners.hear(alone(number), held(DAY), BEGIN)
    owners.hear(alone(2), held(DAY, Reason.V1_IN_USE), BEGIN + DAY)
    assert [alone(1).arn] == owners.take(owners.next())
    assert [] == owners.take(END)


def test_what_is_updated_calls_no_more_and_its_owner_says_so_after_its_start() -> None:
    """Who else knocks may do so again. Of what was only started nobody says anything."""
    owners, at = Owners(acts=Acts.ALL, seed=3), BEGIN + DAY
    one = alone(1, calls=(BEGIN, at + DAY), others=(at + 2 * DAY,))
    owners.hear(one, held(DAY, Reason.V1_IN_USE), BEGIN)
    owners.hear(alone(2), held(DAY), BEGIN)
    assert [one.arn, alone(2).arn] == owners.take(END)
    after = owners.start(one, at)
    owners.start(alone(2), at)
    assert ((BEGIN,), (at + 2 * DAY,), at + DOWN) == (after.calls, after.others, after.next_start(at))
    assert at + DOWN < owners.next() < at + DOWN + HOUR
    assert [one.arn] == owners.say(END)


def test_what_is_off_is_updated_at_its_next_start() -> None:
    """Nobody starts it before."""
    owners, at, again = Owners(acts=Acts.ALL, seed=3), BEGIN + DAY, BEGIN + 3 * DAY
    one = replace(alone(1, calls=(again + 60,)), runs=((BEGIN - DAY, BEGIN), (again, END)))
    owners.hear(one, held(DAY, Reason.V1_RECURS), BEGIN)
    assert [one.arn] == owners.take(END)
    after = owners.start(one, at)
    assert ((), one.runs) == (after.calls, after.runs)
    assert [[], [one.arn]] == [owners.say(again), owners.say(again + HOUR)]


def test_a_start_interrupts_the_run_and_is_a_boot() -> None:
    """What calls at boot calls then; nothing calls while it is off."""
    at = BEGIN + DAY
    before = alone(1, software=Software.BOOT, calls=(BEGIN, at + 60, at + DAY), others=(at + 30, at + 2 * DAY))
    after = restarted(before, at)
    assert [(BEGIN - 470 * DAY, at), (at + DOWN, END)] == list(after.runs)
    assert [False, True] == [after.is_running(at + 60), after.is_running(at + DOWN)]
    assert [BEGIN, at + DAY] == [each for each in after.calls if not at + DOWN <= each < at + DOWN + HOUR]
    assert 3 == len(after.calls)
    assert (at + 2 * DAY,) == after.others
    assert at + DOWN == after.next_start(at)


def test_of_reboots_through_ec2_cloudtrail_tells_a_little_later() -> None:
    """And of no other."""
    mix = Mix(instances=400)
    fleets = [build_herd(5, replace(mix, by_api=share)) for share in (0.0, 0.5)]
    assert [replace(each, by_api=False) for each in fleets[1]] == fleets[0]
    known = [each for each in fleets[1] if each.by_api]
    assert {"reboots"} == {each.kind for each in known}
    one = replace(known[0], reboots=(BEGIN - DAY, BEGIN - 60))
    clock = Clock(datetime.fromtimestamp(BEGIN, UTC))
    for each, told in ((one, [BEGIN - DAY]), (replace(one, by_api=False), [])):
        trail = places(clock, [SimulatedInstance(each, clock)])[each.arn.account, each.arn.region].cloudtrail
        assert told == [when.timestamp() for when, _ in trail.remembered()]
