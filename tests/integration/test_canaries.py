"""Canaries: which instances go first, which wait, and how a breakage affects all that run the same software."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imdsv2.domain.cohort import Cohort, canaries_wanted, in_order
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Canary
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from imdsv2.domain.verdict import Decision
from imdsv2.errors import LedgerContended
from imdsv2.line.canaries import Canaries
from imdsv2.line.judgement import Further
from tests.fixtures.events import finding
from tests.integration.builders import HUB, IMAGE, MEMBER, NOW, REGION, TABLE, asked
from tests.unit import builders
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.record import Record
    from imdsv2.line.canaries import Turns
    from imdsv2.line.judgement import Judgement, Outcomes
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RULE = Canary(share=0.1, hours=24)
WILLING = {"decision": "enforce", "reason": "unused"}
WAITS = ("hold", "canary_wait")
NUMBERS = count(1)


class Fleet:
    """One cohort in EC2 and the ledger; each question comes from a new function."""

    def __init__(self, cloud: Cloud, states: Sequence[str] = ("running",)) -> None:
        self._cloud = cloud
        self._group = f"group-{next(NUMBERS)}"
        self.ledger, self.cohorts = cloud.ledger(), cloud.cohorts()
        self.states: dict[InstanceArn, str] = {builders.arn(next(NUMBERS)): state for state in states}
        self.looked_further = 0

    @property
    def arns(self) -> list[InstanceArn]:
        return list(self.states)

    @property
    def key(self) -> str:
        return f"aws/{MEMBER}/{REGION}/group:{self._group}"

    @property
    def cohort(self) -> Cohort:
        """The ledger's entry of the cohort."""
        return self.cohorts.read([self.key])[self.key]

    def ask(self, *arns: InstanceArn, now: datetime = NOW, dry_run: bool = False, rule: Canary = RULE) -> Turns:
        """Ask about instances (by default all) that could be enforced."""
        willing = self._judged(arns or self.arns)

        def look_further(cohorts: set[str]) -> Further:
            self.looked_further += 1
            assert {self.key} == cohorts
            running = [arn for arn in self.arns if self.states[arn] == "running"]
            others = [each for each in self._judged(running) if each.arn not in {one.arn for one in willing}]
            return Further(willing=others)

        canaries = Canaries(self._cloud.cohorts(), self._cloud.ledger())
        turns = canaries.ask(willing, rule, look_further, now, dry_run=dry_run)
        if not dry_run:
            self._record(willing, turns)
        return turns

    def _record(self, willing: Sequence[Judgement], turns: Turns) -> None:
        """Write, as the pipeline does at the end: what was held, and what is due at the next run."""
        changes = [
            change(each.record, status=Status.HELD, decision="hold", reason="canary_wait")
            if each.arn in turns.held
            else change(each.record, status=Status.WOULD_ENFORCE, **WILLING)
            for each in [*willing, *turns.summoned]
        ]
        self.ledger.write(changes, NOW)

    def _judged(self, arns: Collection[InstanceArn]) -> list[Judgement]:
        """Instances that could be enforced: not those that were terminated or already changed."""
        entries = self.ledger.read(arns)
        return [
            builders.judgement(
                builders.request(arn=arn),
                record=entries[arn],
                target=builders.instance(
                    arn=arn, state=self.states[arn], tags={"aws:autoscaling:groupName": self._group}
                ),
            )
            for arn in arns
            if self.states[arn] in {"running", "stopped"} and entries[arn].status not in {"enforced", "verified"}
        ]

    def forget(self, arn: InstanceArn) -> None:
        """Remove an instance from the ledger."""
        self._cloud.as_account(HUB, "dynamodb").delete_item(
            TableName=TABLE, Key={"pk": {"S": str(arn)}, "sk": {"S": "current"}}
        )

    def write(self, arn: InstanceArn, **attributes: Any) -> Record:
        """Write what the pipeline or the guard recorded about an instance."""
        entry = self.ledger.read([arn])[arn]
        defaults = {} if entry.version else WILLING
        made = change(entry, **(defaults | attributes))
        assert set() == self.ledger.write([made], NOW).lost
        return made.applied()

    def enforce(self, *arns: InstanceArn, at: datetime = NOW) -> None:
        """Record that canaries have been changed."""
        for arn in arns:
            self.write(arn, status=Status.ENFORCING, cohort=self.key, canary=True)
            self.write(
                arn,
                status=Status.ENFORCED,
                enforced_at=at,
                confirmed=True,
                watch="open",
                clean_at=None,
                canary_lost=None,
            )

    def hold(self, arn: InstanceArn, reason: str) -> None:
        """Record a hold from the instance's own verdict."""
        self.write(arn, status=Status.HELD, decision="hold", reason=reason)

    def break_(self, arn: InstanceArn, at: datetime) -> None:
        """Record that the guard found breakage, and rolled the instance back."""
        self.see_broken(arn, at)
        self.write(arn, status=Status.ROLLING_BACK)
        self.write(arn, status=Status.ROLLED_BACK, decision="hold", reason="broke_before", broken_at=at)

    def see_broken(self, arn: InstanceArn, at: datetime) -> None:
        """Record that the guard found breakage, before its rollback."""
        self.cohorts.change(
            self.key, lambda known: Cohort(key=known.key, version=known.version, broken_by=arn, broken_at=at)
        )


@pytest.fixture
def fleet(cloud: Cloud) -> Fleet:
    """Twenty running instances: two go first."""
    return Fleet(cloud, ["running"] * 20)


def first(fleet: Fleet, number: int = 1) -> list[InstanceArn]:
    """The first instances in the order that every function computes."""
    return in_order(fleet.arns)[:number]


# --- Choice of canaries --------------------------------------------------------------------------------------------


def test_a_share_of_the_cohort_goes_first_and_the_rest_waits(fleet: Fleet) -> None:
    """Two of twenty at a tenth; the others learn which canaries they wait for."""
    turns = fleet.ask()
    assert (set(first(fleet, 2)), []) == (turns.canaries, turns.summoned)
    assert set(fleet.arns) - turns.canaries == set(turns.held)
    for verdict in turns.held.values():
        assert WAITS == (verdict.decision, verdict.reason)
        assert all(arn.instance_id in verdict.explanation for arn in turns.canaries)
        assert "24 hours" in verdict.explanation


@pytest.mark.parametrize(
    ("size", "share", "wanted"), [(1, 0.1, 1), (3, 0.1, 1), (11, 0.1, 2), (4, 0.5, 2), (3, 1.0, 3)]
)
def test_the_share_is_rounded_up_and_at_least_one(size: int, share: float, wanted: int, cloud: Cloud) -> None:
    """A cohort of one is its own canary."""
    turns = Fleet(cloud, ["running"] * size).ask(rule=Canary(share=share, hours=24))
    assert (wanted, size - wanted) == (len(turns.canaries), len(turns.held))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.lists(st.sampled_from(["running", "running", "stopped"]), min_size=1, max_size=9),
    share=st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0]),
    data=st.data(),
)
def test_the_same_go_first_whoever_asks_and_in_whatever_order(
    states: list[str], share: float, data: Any, cloud: Cloud
) -> None:
    """One by one, in batches, twice, with dry runs between: the answer is the same as for one question about all."""
    fleet = Fleet(cloud, ["running", *states])
    rule = Canary(share=share, hours=24)
    running = [arn for arn in fleet.arns if fleet.states[arn] == "running"]
    expected = set(in_order(running)[: canaries_wanted(share, len(running))])
    order = data.draw(st.permutations(fleet.arns), label="order")
    while order:
        batch, order = order[: (size := data.draw(st.integers(1, len(order)), label="size"))], order[size:]
        for dry_run in (True, False, False):
            turns = fleet.ask(*batch, rule=rule, dry_run=dry_run)
            assert expected == turns.canaries
            assert set(batch) - expected == set(turns.held)
    assert expected == set(fleet.cohort.canaries)


def test_two_functions_that_choose_at_once_agree(cloud: Cloud) -> None:
    """The second writer reads again, and finds the first one's choice."""
    fleet = Fleet(cloud, ["running"] * 12)
    halves = [fleet.arns[:6], fleet.arns[6:]] * 2
    with ThreadPoolExecutor(4) as pool:
        turns = list(pool.map(lambda half: fleet.ask(*half), halves))
    assert [set(first(fleet, 2))] * 4 == [each.canaries for each in turns]
    assert set(first(fleet, 2)) == set(fleet.cohort.canaries)


def test_whoever_is_overtaken_for_ever_tries_again_later(fleet: Fleet, cloud: Cloud) -> None:
    """It does not proceed with a choice that is not in the ledger."""
    others = cloud.cohorts()

    def overtake(call: Call) -> None:
        if busy:
            busy.pop()
            others.change(fleet.key, lambda known: known)
            busy.append(True)

    busy = [True]
    cloud.wire.on("PutItem", overtake)
    with pytest.raises(LedgerContended):
        fleet.ask()


def test_a_dry_run_writes_nothing(fleet: Fleet, cloud: Cloud) -> None:
    """Its answer is the same."""
    assert set(first(fleet, 2)) == fleet.ask(dry_run=True).canaries
    assert [] == cloud.items()


def test_what_is_settled_is_not_looked_for_again(fleet: Fleet) -> None:
    """Listing a whole Region takes calls; once there are enough canaries, it is not listed."""
    fleet.ask(fleet.arns[0])
    for arn in fleet.arns[1:]:
        fleet.ask(arn)
    assert 1 == fleet.looked_further


def test_cohorts_are_answered_each_for_itself(cloud: Cloud) -> None:
    """Each has its canaries, in one question about both."""
    web, batch = Fleet(cloud, ["running"] * 3), Fleet(cloud, ["running"] * 3)
    willing = [*web._judged(web.arns), *batch._judged(batch.arns)]
    turns = Canaries(cloud.cohorts(), cloud.ledger()).ask(willing, RULE, lambda _: Further(), NOW, dry_run=False)
    assert {*first(web), *first(batch)} == turns.canaries
    assert 4 == len(turns.held)


# --- Canaries that no request named --------------------------------------------------------------------------------


def test_canaries_that_nobody_asked_about_are_summoned(fleet: Fleet) -> None:
    """Otherwise nothing might ever evaluate them, and the others would wait forever."""
    *_, last = in_order(fleet.arns)
    turns = fleet.ask(last)
    assert first(fleet, 2) == sorted((each.arn for each in turns.summoned), key=first(fleet, 2).index)
    assert [last] == list(turns.held)
    assert [] == fleet.ask(last).summoned


def test_who_is_being_changed_right_now_is_not_summoned(fleet: Fleet) -> None:
    """An instance in progress belongs to another function; after its lease too, when it is taken over."""
    busy, *others = in_order(fleet.arns)
    fleet.write(busy, status=Status.ENFORCING, lease_until=NOW - HOUR)
    assert set(others[:2]) == {each.arn for each in fleet.ask(others[-1]).summoned}


# --- Waiting -------------------------------------------------------------------------------------------------------


def test_the_rest_waits_until_every_canary_has_been_clean(fleet: Fleet) -> None:
    """One of two is not enough; then the cohort is open for all, and stays open."""
    one, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(one, other)
    waiting = fleet.arns[5] if fleet.arns[5] not in {one, other} else fleet.arns[6]
    assert [waiting] == list(fleet.ask(waiting).held)
    fleet.write(one, clean_at=NOW + DAY)
    assert [waiting] == list(fleet.ask(waiting, now=NOW + DAY).held)
    fleet.write(other, clean_at=NOW + DAY)
    turns = fleet.ask(waiting, now=NOW + DAY + HOUR)
    assert ({}, set(), []) == (turns.held, turns.canaries, turns.summoned)
    assert NOW + DAY + HOUR == fleet.cohort.opened_at
    assert {} == fleet.ask(waiting, now=NOW + 20 * DAY).held


def test_who_waits_is_asked_again_when_the_canaries_may_be_through(fleet: Fleet) -> None:
    """After the hours of the last canary plus the delay of metrics; hourly before the canaries are changed."""
    one, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(one, at=NOW - 3 * HOUR)
    waiting = in_order(fleet.arns)[-1]
    assert NOW + HOUR == fleet.ask(waiting).held[waiting].revisit_at
    fleet.enforce(other, at=NOW - HOUR)
    verdict = fleet.ask(waiting).held[waiting]
    assert NOW + 23 * HOUR + timedelta(minutes=20) == verdict.revisit_at
    assert "have been changed" in verdict.explanation


def test_clean_before_this_change_is_not_clean(fleet: Fleet) -> None:
    """An earlier change of the same instance proves only the software of that time."""
    one, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(one, other, at=NOW)
    for arn in (one, other):
        fleet.write(arn, clean_at=NOW - DAY)
    waiting = in_order(fleet.arns)[-1]
    assert [waiting] == list(fleet.ask(waiting).held)


def test_an_open_cohort_begins_anew_after_a_month(fleet: Fleet) -> None:
    """By then its software has changed; the old canaries no longer count."""
    one, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(one, other)
    for arn in (one, other):
        fleet.write(arn, clean_at=NOW + DAY)
    rest = [arn for arn in fleet.arns if arn not in {one, other}]
    assert {} == fleet.ask(*rest, now=NOW + DAY).held
    assert {} == fleet.ask(*rest, now=NOW + 31 * DAY - HOUR).held
    turns = fleet.ask(*rest, now=NOW + 31 * DAY)
    assert set(in_order(rest)[:2]) == turns.canaries
    assert (16, None) == (len(turns.held), fleet.cohort.opened_at)


# --- Replacement ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lost", ["gone", "v1_in_use", "held_by_person", "exempt", "suppressed", "managed_elsewhere", "untaggable"]
)
def test_a_canary_that_is_held_is_replaced_by_the_next(lost: str, fleet: Fleet) -> None:
    """Not by itself again, whatever the evidence; the other canary stays."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.hold(one, lost)
    if lost == "gone":
        fleet.states[one] = "terminated"
    elif lost in {"v1_in_use", "held_by_person", "exempt"}:
        fleet.states[one] = "unwilling"
    turns = fleet.ask(in_order(fleet.arns)[-1])
    assert {other, third} == turns.canaries == set(fleet.cohort.canaries)


def test_a_canary_that_ec2_refuses_to_change_is_replaced(fleet: Fleet) -> None:
    """The others do not wait for a change that may never succeed."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.write(one, status=Status.ENFORCING)
    fleet.write(one, status=Status.FAILED)
    assert {other, third} == fleet.ask(in_order(fleet.arns)[-1]).canaries


@pytest.mark.parametrize(
    "gate", ["breaker_open", "approval_required", "notice_given", "calendar_closed", "cap_reached", "not_ready"]
)
def test_a_canary_whose_turn_will_come_stays(gate: str, fleet: Fleet) -> None:
    """A gate that is closed for it is closed for others as well, or will open."""
    one, other = first(fleet, 2)
    fleet.ask()
    fleet.hold(one, gate)
    assert {one, other} == fleet.ask(in_order(fleet.arns)[-1]).canaries


@pytest.mark.parametrize("asks", [True, False])
def test_a_canary_that_stops_before_its_turn_is_replaced(asks: bool, fleet: Fleet) -> None:
    """It could prove nothing."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.states[one] = "stopped"
    batch = [one, third] if asks else [third]
    if not asks:
        fleet.hold(one, "canary_wait")
    assert ({other, third} if asks else {one, other}) == fleet.ask(*batch).canaries


def test_a_canary_that_is_lost_after_its_change_is_replaced(fleet: Fleet) -> None:
    """It stopped, was terminated, or could not be proved healthy: the guard records this."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.enforce(one, other)
    fleet.write(one, canary_lost=True)
    fleet.write(other, clean_at=NOW + DAY)
    assert {other, third} == fleet.ask(in_order(fleet.arns)[-1], now=NOW + DAY).canaries


def gone(fleet: Fleet, arn: InstanceArn, **attributes: Any) -> None:
    """Its group has ended it: the guard has let it go, and the line judged it."""
    fleet.states[arn] = "terminated"
    fleet.write(arn, status=Status.SKIPPED, decision="skip", reason="gone", canary_lost=True, **attributes)


def test_a_canary_that_was_through_before_it_ended_counts(fleet: Fleet) -> None:
    """That it was clean outlives it."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.enforce(one, other)
    fleet.write(one, clean_at=NOW + DAY)
    gone(fleet, one)
    assert {one, other} == fleet.ask(third, now=NOW + DAY).canaries
    fleet.write(other, clean_at=NOW + DAY)
    assert {} == fleet.ask(third, now=NOW + DAY).held


def test_a_canary_that_ends_before_it_is_through_is_left_out_while_another_goes_on(fleet: Fleet) -> None:
    """The other goes through the same hours; nobody begins anew."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.enforce(one, other)
    gone(fleet, one)
    turns = fleet.ask(third, now=NOW + DAY / 2)
    assert ({other}, [], {third}) == (turns.canaries, turns.summoned, set(turns.held))
    fleet.write(other, clean_at=NOW + DAY)
    assert {} == fleet.ask(third, now=NOW + DAY).held


def test_where_no_canary_goes_on_new_ones_begin(fleet: Fleet) -> None:
    """Nobody has gone through the hours."""
    one, other, third, fourth = first(fleet, 4)
    fleet.ask()
    fleet.enforce(one, other)
    gone(fleet, one)
    gone(fleet, other)
    assert {third, fourth} == fleet.ask(in_order(fleet.arns)[-1], now=NOW + DAY / 2).canaries


@pytest.mark.parametrize("known", [{"left_because": "gone_unexplained"}, {"broken_at": NOW + HOUR}])
def test_a_canary_that_ended_with_something_against_it_is_not_left_out(known: dict[str, Any], fleet: Fleet) -> None:
    """Its cohort is held by the guard; once that is settled, another takes its place."""
    one, other, third = first(fleet, 3)
    fleet.ask()
    fleet.enforce(one, other)
    gone(fleet, one, **known)
    assert {other, third} == fleet.ask(in_order(fleet.arns)[-1], now=NOW + DAY / 2).canaries


def test_a_canary_that_the_ledger_has_forgotten_is_summoned_again(fleet: Fleet) -> None:
    """The function that chose it died before it could write it down."""
    one, other, *_, last = in_order(fleet.arns)
    fleet.ask(last)
    fleet.forget(other)
    turns = fleet.ask(last)
    assert ({one, other}, [other]) == (turns.canaries, [each.arn for each in turns.summoned])


# --- Stopped instances ---------------------------------------------------------------------------------------------


def test_where_none_runs_a_stopped_one_goes_first(cloud: Cloud) -> None:
    """It proves something when it starts."""
    fleet = Fleet(cloud, ["stopped"] * 3)
    turns = fleet.ask()
    assert (set(first(fleet)), 2) == (turns.canaries, len(turns.held))


def test_those_that_do_not_run_do_not_follow_one_that_has_proved_nothing(cloud: Cloud) -> None:
    """Otherwise all would be changed one after the other, and break together when they start."""
    fleet = Fleet(cloud, ["stopped"] * 3)
    (canary,), rest = first(fleet), in_order(fleet.arns)[1:]
    fleet.ask()
    fleet.enforce(canary)
    fleet.write(canary, canary_lost=True)
    for arn in rest:
        assert [arn] == list(fleet.ask(arn).held)
    fleet.write(canary, clean_at=NOW + 9 * DAY)
    assert {} == fleet.ask(*rest, now=NOW + 9 * DAY).held


def test_one_that_starts_takes_the_place_of_one_that_does_not(cloud: Cloud) -> None:
    """It proves something earlier."""
    fleet = Fleet(cloud, ["stopped"] * 3)
    (canary,), (started, other) = first(fleet), in_order(fleet.arns)[1:]
    fleet.ask()
    fleet.enforce(canary)
    fleet.write(canary, canary_lost=True)
    fleet.states[started] = "running"
    assert {started} == fleet.ask(other).canaries


def test_where_a_stopped_canary_has_gone_the_next_takes_its_place(cloud: Cloud) -> None:
    """A terminated canary must not keep the others waiting."""
    fleet = Fleet(cloud, ["stopped"] * 3)
    (canary,), (second, _) = first(fleet), in_order(fleet.arns)[1:]
    fleet.ask()
    fleet.enforce(canary)
    fleet.states[canary] = "terminated"
    fleet.write(canary, canary_lost=True, watch="done")
    assert {second} == fleet.ask(second).canaries


# --- Breakage ------------------------------------------------------------------------------------------------------


def test_a_breakage_holds_the_whole_cohort(fleet: Fleet) -> None:
    """Canaries too, whichever instance broke, until it is cleared."""
    (broken,) = first(fleet)
    fleet.ask()
    fleet.enforce(broken)
    fleet.break_(broken, NOW + HOUR)
    rest = [arn for arn in fleet.arns if arn != broken]
    turns = fleet.ask(*rest, now=NOW + 90 * DAY)
    assert (set(rest), set(), []) == (set(turns.held), turns.canaries, turns.summoned)
    for verdict in turns.held.values():
        assert WAITS == (verdict.decision, verdict.reason)
        assert command("clear", broken) in verdict.explanation


def test_a_breakage_closes_an_open_cohort(fleet: Fleet) -> None:
    """Even breakage by a monthly job, long after the canaries were clean."""
    one, other, late = first(fleet, 3)
    fleet.ask()
    fleet.enforce(one, other)
    for arn in (one, other):
        fleet.write(arn, clean_at=NOW + DAY)
    assert {} == fleet.ask(late, now=NOW + DAY).held
    fleet.enforce(late, at=NOW + DAY)
    fleet.break_(late, NOW + 20 * DAY)
    rest = [arn for arn in fleet.arns if arn not in {one, other, late}]
    assert set(rest) == set(fleet.ask(*rest, now=NOW + 20 * DAY).held)


def test_once_the_breakage_is_cleared_canaries_go_first_again(fleet: Fleet) -> None:
    """The updated software must be proved, too."""
    broken, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(broken)
    fleet.break_(broken, NOW + HOUR)
    fleet.write(broken, cleared_at=NOW + DAY)
    turns = fleet.ask(now=NOW + DAY)
    assert {broken, other} == turns.canaries
    assert 18 == len(turns.held)
    assert None is fleet.cohort.broken_by


def test_a_breakage_that_is_still_being_answered_holds_already(fleet: Fleet) -> None:
    """The guard first holds the cohort, then rolls back: in between, the breakage does not count as cleared."""
    broken, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(broken)
    fleet.see_broken(broken, NOW + HOUR)
    assert [other] == list(fleet.ask(other, now=NOW + HOUR).held)
    assert broken == fleet.cohort.broken_by
    (judged,) = fleet._judged([other])
    assert {other} == set(Canaries(fleet.cohorts, fleet.ledger).broken([judged], NOW + HOUR))


def test_a_word_from_before_the_breakage_does_not_clear_it(fleet: Fleet) -> None:
    """It broke once, was cleared, and broke again."""
    broken, other = first(fleet, 2)
    fleet.ask()
    fleet.enforce(broken)
    fleet.write(broken, broken_at=NOW - 9 * DAY, cleared_at=NOW - 8 * DAY)
    fleet.see_broken(broken, NOW + HOUR)
    assert [other] == list(fleet.ask(other, now=NOW + HOUR).held)


def test_right_before_ec2_only_a_breakage_counts(fleet: Fleet) -> None:
    """An instance that passed the gate is not held for not being a canary; it is held if its cohort broke meanwhile."""
    (broken, *rest), canaries = in_order(fleet.arns), Canaries(fleet.cohorts, fleet.ledger)
    fleet.ask()
    willing = fleet._judged(rest)
    assert {} == canaries.broken(willing, NOW)
    fleet.enforce(broken)
    fleet.break_(broken, NOW)
    assert set(rest) == set(canaries.broken(willing, NOW))
    fleet.write(broken, cleared_at=NOW + HOUR)
    assert {} == canaries.broken(willing, NOW + HOUR)


# --- Through the pipeline ------------------------------------------------------------------------------------------

CANARY = {"share": 0.1, "hours": 24}


def run(cloud: Cloud, *arns: InstanceArn, source: Source = Source.CONFIG, **how: Any) -> Outcomes:
    """One function instance, once."""
    outcomes = cloud.line().run([asked(arn, source, **how) for arn in arns], "request-1")
    assert {} == outcomes.failed
    return outcomes


def reasons(cloud: Cloud, arns: Collection[InstanceArn]) -> list[str]:
    """The reason of each instance's verdict in the ledger."""
    return [str(cloud.current(arn)["reason"]) for arn in arns]


def test_a_canary_that_nobody_asked_about_has_its_turn_with_what_is_due(cloud: Cloud) -> None:
    """It is recorded as would_enforce and due now, while the requested instances wait. The next run of due instances
    changes it."""
    cloud.policy(mode="enforce", canary=CANARY)
    canary, *_, last = in_order(cloud.launch(count=4))
    assert "canary_wait" == run(cloud, last).judged[last].verdict.reason
    current = cloud.current(canary)
    assert ("would_enforce", "enforce", "unused") == (current["status"], current["decision"], current["reason"])
    assert 839 == current["evidence"]["observed_hours"]
    due = cloud.ledger().indexes.due(cloud.clock.tick(), 10)
    assert [canary] == list(due)
    assert [] == cloud.changes()
    run(cloud, *due, source=Source.REVISIT)
    assert ("required", "optional") == (cloud.tokens(canary), cloud.tokens(last))
    assert cloud.current(canary)["canary"]


def test_the_ledger_names_the_cohort(cloud: Cloud) -> None:
    """The guard's holds and people's undos refer to the cohort by this name."""
    cloud.policy(mode="enforce", canary=CANARY)
    arns = cloud.launch(count=2)
    run(cloud, *arns)
    cohort = f"aws/{MEMBER}/{REGION}/image:{IMAGE}"
    assert [cohort, cohort] == [cloud.current(arn)["cohort"] for arn in arns]


def test_only_what_could_be_enforced_goes_first(cloud: Cloud) -> None:
    """Instances that are exempt, require tokens or were never observed prove nothing, and do not count."""
    cloud.policy(mode="enforce", canary={"share": 0.5, "hours": 24})
    unfit = [
        *cloud.launch(count=5, observed=False),
        cloud.one(tags={"imdsv2:exempt-until": "2027-01-01"}),
        cloud.one(tokens="required"),
    ]
    first, second = in_order(cloud.launch(count=2))
    run(cloud, *unfit, second)
    assert ("canary_wait", "unused") == (cloud.current(second)["reason"], cloud.current(first)["reason"])
    run(cloud, first)
    assert ["required", "optional"] == [cloud.tokens(arn) for arn in (first, second)]


def test_a_suppressed_canary_does_not_keep_the_others_waiting(cloud: Cloud) -> None:
    """It is not chosen again."""
    cloud.policy(mode="enforce", canary=CANARY)
    canary, second, third = in_order(cloud.launch(count=3))
    suppressed = finding(str(canary))
    cloud.hub.holds(suppressed, workflow="SUPPRESSED")
    run(cloud, canary, source=Source.SECURITYHUB, finding=suppressed)
    assert ["suppressed"] == reasons(cloud, [canary])
    run(cloud, third)
    run(cloud, second)
    assert ["suppressed", "unused", "canary_wait"] == reasons(cloud, [canary, second, third])
    assert "required" == cloud.tokens(second)


def test_a_dry_run_neither_summons_nor_chooses(cloud: Cloud) -> None:
    """It names the instances that would go first."""
    cloud.policy(mode="enforce", canary=CANARY)
    canary, *rest = in_order(cloud.launch(count=4))
    judged = cloud.line().run([asked(arn, Source.MANUAL) for arn in rest], "request-1", dry_run=True).judged
    assert {"canary_wait"} == {each.verdict.reason for each in judged.values()}
    assert all(canary.instance_id in each.verdict.explanation for each in judged.values())
    assert [] == cloud.items()


def test_a_person_waits_for_canaries_too(cloud: Cloud) -> None:
    """Gates apply to every request."""
    cloud.policy(mode="enforce", canary=CANARY)
    _, last = in_order(cloud.launch(count=2))
    judged = run(cloud, last, source=Source.MANUAL).judged[last]
    assert (Decision.HOLD, "canary_wait") == (judged.verdict.decision, judged.verdict.reason)


def test_what_breaks_between_the_ledger_and_ec2_holds_its_cohort_at_once(cloud: Cloud) -> None:
    """The gate is checked again right before EC2."""
    cloud.policy(mode="enforce", canary={"share": 1.0, "hours": 24})
    arn, broken = cloud.launch(count=2)
    cohort = f"aws/{MEMBER}/{REGION}/image:{IMAGE}"

    def break_(_: Call) -> None:
        cloud.cohorts().change(
            cohort,
            lambda known: Cohort(key=known.key, version=known.version, broken_by=broken, broken_at=cloud.clock()),
        )

    cloud.wire.on("CreateTags", break_)
    run(cloud, arn)
    assert [] == cloud.changes()
    assert ["enforcing", "held"] == cloud.history(arn)
    assert ["canary_wait"] == reasons(cloud, [arn])
    assert {} == cloud.tags(arn)


def test_without_canaries_all_go_at_once(cloud: Cloud) -> None:
    """With `canary: null`, no instance goes first, and no canaries are stored."""
    cloud.policy(mode="enforce", canary=None)
    arns = cloud.launch(count=3)
    run(cloud, *arns)
    assert ["required"] * 3 == [cloud.tokens(arn) for arn in arns]
    assert not [each for each in cloud.items() if each["pk"].startswith("cohort#") and each["sk"] == "current"]


def test_who_is_in_the_middle_of_a_change_is_left_to_whoever_makes_it(cloud: Cloud) -> None:
    """Another function holds its lease; the next in order is chosen."""
    cloud.policy(mode="enforce", canary=CANARY)
    busy, second, last = in_order(cloud.launch(count=3))
    lease = {"status": Status.ENFORCING, "lease_until": cloud.clock() + HOUR, **WILLING}
    cloud.ledger().write([change(cloud.ledger().read([busy])[busy], **lease)], NOW)
    run(cloud, last)
    assert ("enforcing", "would_enforce") == (cloud.current(busy)["status"], cloud.current(second)["status"])


def test_a_canary_that_stops_before_its_turn_is_replaced_when_it_is_judged(cloud: Cloud) -> None:
    """While stopped it would prove nothing; it waits like the others."""
    cloud.policy(mode="enforce", canary=CANARY)
    canary, second, last = in_order(cloud.launch(count=3))
    run(cloud, last)
    ec2 = cloud.as_account(MEMBER, "ec2")
    ec2.stop_instances(InstanceIds=[canary.instance_id])
    cloud.instance(canary)._reason = f"User initiated ({cloud.clock():%Y-%m-%d %H:%M:%S} GMT)"
    run(cloud, canary, source=Source.REVISIT)
    assert "would_enforce" == cloud.current(second)["status"]
    assert "optional" == cloud.tokens(canary)
    run(cloud, second, source=Source.REVISIT)
    assert "required" == cloud.tokens(second)
