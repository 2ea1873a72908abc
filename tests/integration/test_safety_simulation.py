"""The parts of the safety simulation: its fleet, its stand-ins for AWS, and the work that it skips for speed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, UTILIZATION, Metric, read
from imdsv2.domain.evidence.hours import Hours, Series
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode, Policy
from imdsv2.errors import IllegalMove
from imdsv2.ledger.record import Record
from tests.bench.simulation.agenda import day_by_day
from tests.bench.simulation.assumptions import BEGIN, DAY, END, HOUR, MINUTE
from tests.bench.simulation.cloud import SimulatedInstance, places
from tests.bench.simulation.fates import AT_ONCE, CLEAN, SERVICE, Fate, first_clean, simulate
from tests.bench.simulation.fleet import build
from tests.bench.simulation.ledger import MemoryLedger
from tests.bench.simulation.life import Life
from tests.bench.simulation.machine import Machine, Mix, Software
from tests.bench.simulation.results import hidden
from tests.bench.simulation.variants import Variant
from tests.world.clock import Clock
from tests.world.edge import MemberClients
from tests.world.records import change

ARN = InstanceArn("aws", "eu-west-1", "000000000001", "i-00000000000000001")
SMALL = Mix(hidden={Software.MONTHLY: 0.03, Software.LOAD: 0.1, Software.BOOT: 0.1}, alone=1.0, instances=100)
IN_COHORTS = replace(SMALL, alone=0.3, instances=140)
"""Where most of what breaks is alone, what it used in the window holds nearly everything."""
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def machine(*calls: int, runs: tuple[tuple[int, int], ...] = ((BEGIN - 50 * DAY, END),), **fields: Any) -> Machine:
    """An instance that runs all the time, unless a test says otherwise."""
    return Machine(
        arn=ARN, group="group", software=Software.LOAD, first_launched=runs[0][0], runs=runs, calls=calls, **fields
    )


def instance(story: Machine, **fields: Any) -> SimulatedInstance:
    """The instance of which a machine is the story."""
    return SimulatedInstance(story, Clock(datetime.fromtimestamp(BEGIN, UTC)), **fields)


def look(seen: SimulatedInstance, metric: Metric, now: float, hours: int = 3, period: int = HOUR) -> Series:
    """What the service's own code reads of the last hours."""
    seen.clock.seconds = now
    cloudwatch = MemberClients(places(seen.clock, [seen])).cloudwatch(ARN)
    end = int(now // HOUR) + 1
    return read(cloudwatch, metric, {ARN: Hours(end - hours, end)}, period)[ARN]


def test_the_same_seed_makes_the_same_fleet() -> None:
    """Figures are reproducible; another seed makes another fleet."""
    assert build(1, SMALL) == build(1, SMALL)
    assert build(1, SMALL) != build(2, SMALL)


def test_a_fleet_is_as_large_and_as_treacherous_as_it_is_to_be() -> None:
    """Every kind is as frequent as the mix says, and only software that calls IMDSv1 has calls."""
    machines = build(3, Mix(instances=4000))
    count = {kind: sum(each.software is kind for each in machines) for kind in Software}
    assert (4000, 20, 20, 20, 20) == (len(machines), *(count[kind] for kind in Mix().hidden))
    assert all(not each.calls for each in machines if each.software is Software.SAFE)


def test_instances_call_only_while_they_run() -> None:
    """A job that is due while the instance is stopped does not run; runs do not overlap."""
    for each in build(4, Mix(instances=4000)):
        assert all(each.is_running(call) for call in each.calls)
        edges = [edge for run in each.runs for edge in run]
        assert sorted(edges) == edges
        assert each.first_launched <= each.runs[0][0]


def test_no_datapoint_of_an_hour_in_which_nothing_ran() -> None:
    """A stopped instance publishes no metric, and neither does an hour that the metric lost."""
    stopped = machine(runs=((BEGIN - DAY, BEGIN - 2 * HOUR), (BEGIN + DAY, END)))
    hour = BEGIN // HOUR
    assert {hour - 4, hour - 3} == look(instance(stopped), UTILIZATION, BEGIN, hours=5).values.keys()
    lossy = machine(lost_hours=frozenset({hour - 1}))
    assert {hour - 2} == look(instance(lossy), TOKENLESS_CALLS, BEGIN).values.keys()
    assert {hour - 2, hour - 1} == look(instance(lossy), UTILIZATION, BEGIN).values.keys()


def test_a_call_shows_when_its_period_has_arrived() -> None:
    """Five minutes after the end of its period of five minutes, and not before."""
    call = BEGIN + 12 * MINUTE
    used = [look(instance(machine(call)), TOKENLESS_CALLS, BEGIN + minutes * MINUTE).values for minutes in (19, 20)]
    assert [0.0, 1.0] == [each[BEGIN // HOUR] for each in used]


def test_calls_are_refused_only_while_tokens_are_required() -> None:
    """Each call counts in one of the two metrics; rejected calls publish no zeros."""
    calls = [BEGIN + minutes * MINUTE for minutes in (1, 21, 41)]
    seen = instance(machine(*calls), required_at=BEGIN + 10 * MINUTE, restored_at=BEGIN + 30 * MINUTE)
    now = BEGIN + 2 * HOUR
    assert 2.0 == look(seen, TOKENLESS_CALLS, now).values[BEGIN // HOUR]
    assert {BEGIN + 20 * MINUTE: 1.0} == look(seen, REJECTED_CALLS, now, period=300).values


def test_an_instance_is_enforced_once_at_most() -> None:
    """The simulation must not hide a second change by the service."""
    once = instance(machine())
    ec2 = places(once.clock, [once])[ARN.account, ARN.region].ec2
    ec2.modify_instance_metadata_options(InstanceId=ARN.instance_id, HttpTokens="required")
    with pytest.raises(AssertionError, match="twice"):
        ec2.modify_instance_metadata_options(InstanceId=ARN.instance_id, HttpTokens="required")


def test_the_ledger_refuses_what_the_table_refuses() -> None:
    """A write based on an old version loses; an invalid transition raises."""
    ledger = MemoryLedger()
    made = change(Record(arn=ARN), status=Status.HELD)
    assert [set(), {ARN}] == [ledger.write([made], NOW).lost for _ in range(2)]
    with pytest.raises(IllegalMove):
        ledger.write([change(ledger.read([ARN])[ARN], status=Status.VERIFIED)], NOW)


def test_the_clean_window_takes_silence_for_health() -> None:
    """It waits for its days after a call and for the instance to run, and for nothing else."""
    assert BEGIN == first_clean(machine(BEGIN - 15 * DAY), 14)
    assert BEGIN + 4 * DAY == pytest.approx(first_clean(machine(BEGIN - 10 * DAY), 14), abs=1)
    away = machine(BEGIN - 20 * DAY, runs=((BEGIN - 30 * DAY, BEGIN - 19 * DAY), (BEGIN + DAY, END)))
    assert BEGIN + DAY == first_clean(away, 14)
    assert first_clean(machine(runs=((BEGIN - DAY, BEGIN - HOUR),)), 14) is None


def test_broken_is_from_the_first_failed_call_to_the_end_or_the_way_back() -> None:
    """Calls before the change and after the rollback do not fail."""
    calls = machine(BEGIN + HOUR, BEGIN + 3 * HOUR)
    assert 2.0 == Fate(machine=calls, required_at=BEGIN + 2 * HOUR, restored_at=BEGIN + 5 * HOUR).hours_broken
    assert (END - BEGIN) / HOUR - 3 == Fate(machine=calls, required_at=BEGIN + 2 * HOUR).hours_broken
    assert 0.0 == Fate(machine=calls, required_at=BEGIN + 4 * HOUR).hours_broken
    assert 0.0 == Fate(machine=calls, required_at=BEGIN + 1.5 * HOUR, restored_at=BEGIN + 2 * HOUR).hours_broken
    assert 0.0 == Fate(machine=calls, required_at=None).hours_broken


def test_daily_revisits_that_are_skipped_keep_their_hour() -> None:
    """A daily evaluation stays at the same time of day after some days were skipped."""
    assert BEGIN + 2 * DAY == day_by_day(BEGIN, BEGIN + 1.5 * DAY)
    assert BEGIN == day_by_day(BEGIN, BEGIN - HOUR)


def test_what_is_left_out_changes_nothing() -> None:
    """Every check of the guard and every revisit, or only those whose result can change: the same outcome for each
    instance."""
    fates = []
    for thrifty in (True, False):
        with mock.patch("imdsv2.line.notices.random.random", return_value=0.0):
            life = Life(build(29, IN_COHORTS), Policy(mode=Mode.ENFORCE), thrifty=thrifty)
            life.run(5, until=BEGIN + 5 * DAY)
        fates.append({arn: (each.required_at, each.restored_at) for arn, each in life.instances.items()})
    assert fates[0] == fates[1]
    assert any(restored_at is not None for _, restored_at in fates[0].values())


def test_the_service_breaks_less_than_those_who_do_not_watch() -> None:
    """A small fleet under every way of enforcing; the benchmark reports the figures."""
    run = simulate(6, Variant(name="small", mix=SMALL))
    hours = [hidden(run[way], "hours") for way in (SERVICE, CLEAN, AT_ONCE)]
    assert sorted(hours) == hours
    assert hidden(run[SERVICE], "broke") == sum(run[SERVICE]["first_failed"].values())
