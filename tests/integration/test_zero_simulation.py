"""The simulation of how near zero it comes: its sources and owners, its figures, and the hours that closed instances add."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imdsv2.domain.evidence.pool import Member
from imdsv2.domain.history import History
from imdsv2.domain.instance import Instance, InstanceArn, MetadataOptions
from imdsv2.domain.policy import Policy
from imdsv2.ledger.record import Record
from imdsv2.line.evidence.glance import glance, look_closely
from tests.bench.simulation.assumptions import BEGIN, DAY, DAYS, END, HOUR
from tests.bench.simulation.cloud import SimulatedInstance, places
from tests.bench.simulation.fates import SERVICE, Fate
from tests.bench.simulation.ledger import MemoryLedger
from tests.bench.simulation.machine import Machine, Software
from tests.bench.simulation.openness import openness
from tests.bench.simulation.origins import FIX, REPORT, Origins
from tests.bench.simulation.owners import Acts
from tests.bench.simulation.zero import ALL, BEFORE, BEFORE_ALL, BEFORE_STARTS, STARTS, WAYS, rows, shares, variant
from tests.world.clock import Clock
from tests.world.edge import MemberClients
from tests.world.records import change

CLOCK = Clock(datetime.fromtimestamp(BEGIN, UTC))


def machine(number: int, first: int, end: float = END, **fields: Any) -> Machine:
    """A member of a group, from a version of its template."""
    defaults: dict[str, Any] = {"software": Software.SAFE, "version": 4, "group": "web", "kind": "group"}
    return Machine(
        arn=InstanceArn("aws", "eu-west-1", "000000000001", f"i-{number:017x}"),
        first_launched=first,
        runs=((first, int(min(end, END))),),
        ended=end,
        **(defaults | fields),
    )


def members(*machines: Machine) -> dict[InstanceArn, SimulatedInstance]:
    """As AWS keeps them."""
    return {each.arn: SimulatedInstance(each, CLOCK) for each in machines}


def known(ledger: MemoryLedger, one: Machine, decision: str, reason: str) -> None:
    """What the ledger says of an instance."""
    made = change(Record(arn=one.arn), decision=decision, reason=reason)
    assert not ledger.write([made], CLOCK()).lost


# --- Sources -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [REPORT, FIX, None])
def test_a_source_is_fixed_some_time_after_its_owner_was_told(source: str | None) -> None:
    """At once, where the service does it; and never where nobody looks at it. What it launches then requires tokens."""
    ledger, old = MemoryLedger(), machine(1, BEGIN - 9 * DAY)
    later = [machine(2 + days, BEGIN + days * DAY) for days in (1, 80)]
    everyone = members(old, *later)
    origins = Origins(source, ledger, seed=3)
    origins.launch([everyone[old.arn]])
    known(ledger, old, "enforce", "cohort_unused")
    origins.hear([old.arn], everyone, BEGIN)
    origins.launch(everyone[each.arn] for each in later)
    required = [everyone[each.arn].required_at for each in later]
    expected = {
        REPORT: [None, later[1].first_launched],
        FIX: [each.first_launched for each in later],
        None: [None, None],
    }
    assert expected[source] == required


@pytest.mark.parametrize(
    ("words", "is_fixed"),
    [
        ((("enforce", "unused"), ("hold", "too_young")), True),
        ((("enforce", "unused"), ("hold", "cohort_uses_v1")), False),
        ((("hold", "too_young"), ("hold", "no_evidence")), False),
    ],
)
def test_a_source_is_judged_by_its_running_members(words: tuple[tuple[str, str], ...], is_fixed: bool) -> None:
    """Some are known to do without IMDSv1, and none is held for its use."""
    ledger, running = MemoryLedger(), [machine(1 + index, BEGIN - DAY) for index in range(len(words))]
    everyone, next_one = members(*running, machine(9, BEGIN + DAY)), machine(9, BEGIN + DAY)
    origins = Origins(FIX, ledger, seed=3)
    origins.launch(everyone[each.arn] for each in running)
    for each, (decision, reason) in zip(running, words, strict=True):
        known(ledger, each, decision, reason)
    origins.hear([running[0].arn], everyone, BEGIN)
    origins.launch([everyone[next_one.arn]])
    assert is_fixed is everyone[next_one.arn].launched_required


def test_who_sees_new_members_break_takes_the_remedy_back() -> None:
    """And does not apply it again to what runs the same template."""
    ledger, old = MemoryLedger(), machine(1, BEGIN - DAY)
    broken, next_one = machine(2, BEGIN + DAY), machine(3, BEGIN + 2 * DAY)
    everyone = members(old, broken, next_one)
    origins = Origins(FIX, ledger, seed=3)
    origins.launch([everyone[old.arn]])
    known(ledger, old, "enforce", "unused")
    origins.hear([old.arn], everyone, BEGIN)
    origins.launch([everyone[broken.arn]])
    assert everyone[broken.arn].launched_required
    origins.take_back(everyone[broken.arn])
    origins.hear([old.arn], everyone, BEGIN + DAY)
    origins.launch([everyone[next_one.arn]])
    assert not everyone[next_one.arn].launched_required


# --- Figures -------------------------------------------------------------------------------------------------------


def test_hours_count_from_day_31_on_and_only_those_of_safe_instances() -> None:
    """Put back is open again."""
    day_60 = BEGIN + 60 * DAY
    found = openness(
        [
            Fate(machine=machine(1, BEGIN - DAY), required_at=day_60),
            Fate(machine=machine(2, BEGIN - DAY), required_at=BEGIN, restored_at=day_60),
            Fate(machine=machine(3, BEGIN - DAY, BEGIN + 20 * DAY), required_at=None),
            Fate(machine=machine(4, BEGIN - DAY, software=Software.OPEN), required_at=None),
        ]
    )
    assert (2 * 60 * 24, 60 * 24) == (found["hours"], found["open_hours"])
    assert found["days"] is None


def test_the_day_is_the_first_on_which_nearly_all_that_run_require_tokens() -> None:
    """What is only rebooted is told apart."""
    fates = [Fate(machine=machine(1 + number, BEGIN - DAY), required_at=BEGIN + 2 * DAY) for number in range(20)]
    assert 2.0 == openness(fates)["days"]
    rebooted = [Fate(machine=machine(40, BEGIN - DAY, kind="reboots"), required_at=None)] * 2
    found = openness([*fates, *rebooted])
    assert (None, 2.0) == (found["days"], found["days_of_startable"])


def test_the_rows_compare_each_fleet_with_itself() -> None:
    """A fleet that never gets there counts with all of its days."""

    def run(open_hours: int, days: float | None) -> dict[str, Any]:
        return {SERVICE: {"zero": {"hours": 200, "open_hours": open_hours, "days": days}}}

    before = [run(100, None), run(80, None), run(90, None)]
    after = [run(20, 9.0), run(32, None), run(27, None)]
    done = {
        BEFORE: before,
        **dict.fromkeys((BEFORE_STARTS, BEFORE_ALL, REPORT, FIX), after),
        **dict.fromkeys((*STARTS.values(), *ALL.values()), after),
    }
    found = {each.name: each for each in rows(done)}
    assert [0.5, 0.4, 0.45] == shares(done[BEFORE])
    alone = found["zero.reached.sources_only"]
    assert (0.135, 0.45) == (alone.value, alone.baseline)
    assert "ratio 0.200 .. 0.400 in 3 fleets" in alone.spread
    assert (0.135, 0.135) == (found["zero.reached"].value, found["zero.reached"].baseline)
    assert DAYS == found["zero.days"].value
    assert "in 2)" in found["zero.days"].spread


def test_whoever_is_compared_has_the_same_owners() -> None:
    """Those of the baseline act on what they are told of machines where those of the service do."""
    assert set(Acts) == {each.owners for each in WAYS.values()}
    for name, way in WAYS.items():
        made = variant(name)
        assert (way.owners, way.by_api) == (made.owners, made.mix.by_api)
        assert (way.source is None) is not made.cohorts
    for acts, before, ways in ((Acts.STARTS, BEFORE_STARTS, STARTS), (Acts.ALL, BEFORE_ALL, ALL)):
        assert {acts} == {WAYS[name].owners for name in (before, *ways.values())}


# --- Hours under required tokens -----------------------------------------------------------------------------------


def closely(one: SimulatedInstance, history: History, tokens: str = "required") -> Member:
    """A member of whom the service asks closely."""
    launched = datetime.fromtimestamp(one.machine.first_launched, UTC)
    target = Instance(
        arn=one.machine.arn,
        state="running",
        launched_at=launched,
        first_launched_at=launched,
        stopped_at=None,
        options=MetadataOptions(http_tokens=tokens, http_endpoint="enabled", hop_limit=1),
    )
    cloudwatch = MemberClients(places(CLOCK, [one])).cloudwatch(target.arn)
    (seen,) = look_closely(
        cloudwatch,
        [Member(arn=target.arn, launched_at=launched)],
        {target.arn: target},
        {target.arn: history},
        Policy(),
        CLOCK(),
    )
    return seen


def test_hours_under_required_tokens_count_where_it_ran_and_nothing_was_refused() -> None:
    """Ten days, of which nine were closed: all count."""
    story = machine(1, BEGIN - 10 * DAY)
    closed_at = datetime.fromtimestamp(BEGIN - 9 * DAY, UTC)
    closed = SimulatedInstance(story, CLOCK, required_at=BEGIN - 9 * DAY)
    assert 24 >= closely(closed, History()).hours
    assert closely(closed, History(enforced_at=closed_at, confirmed=True)).hours in range(10 * 24 - 2, 10 * 24 + 1)
    unseen = machine(1, BEGIN - 10 * DAY, dark_hours=frozenset(range(BEGIN // HOUR - 100, BEGIN // HOUR)))
    dark = SimulatedInstance(unseen, CLOCK, required_at=BEGIN - 9 * DAY)
    assert closely(dark, History(enforced_at=closed_at, confirmed=True)).hours in range(10 * 24 - 102, 10 * 24 - 99)


def test_they_do_not_count_where_a_call_was_refused_or_somebody_opened_it() -> None:
    """Nor what came before a call."""
    closed_at = datetime.fromtimestamp(BEGIN - 9 * DAY, UTC)
    probed = machine(1, BEGIN - 10 * DAY, others=(BEGIN - 3 * DAY,))
    seen = closely(
        SimulatedInstance(probed, CLOCK, required_at=BEGIN - 9 * DAY), History(enforced_at=closed_at, confirmed=True)
    )
    assert seen.refused is not None
    assert (1, 24) >= (seen.refused.strays, seen.hours)
    opened = SimulatedInstance(
        machine(1, BEGIN - 10 * DAY), CLOCK, required_at=BEGIN - 9 * DAY, restored_at=BEGIN - DAY
    )
    assert 50 >= closely(opened, History(enforced_at=closed_at, confirmed=True), tokens="optional").hours


def test_a_short_look_keeps_the_hours_that_are_certainly_in_the_window() -> None:
    """A member that is older than the window loses as many as have gone by, also one that has ended; one that is younger loses none."""
    since, now = CLOCK() - timedelta(days=35), CLOCK()
    looked_at = now - timedelta(hours=30)
    stories = [machine(1, BEGIN - 50 * DAY), machine(2, BEGIN - 9 * DAY), machine(3, BEGIN - 50 * DAY)]
    ended = {3: now - timedelta(days=2)}
    asked = [
        Member(
            arn=each.arn,
            launched_at=datetime.fromtimestamp(each.first_launched, UTC),
            ended_at=ended.get(number),
            looked_at=looked_at,
            hours=200,
        )
        for number, each in enumerate(stories, 1)
    ]
    one_place = places(CLOCK, [SimulatedInstance(each, CLOCK) for each in stories])
    quiet, loud = glance(MemberClients(one_place).cloudwatch(stories[0].arn), asked, since, now)
    assert ([169, 200, 169], []) == ([each.hours for each in quiet], loud)
