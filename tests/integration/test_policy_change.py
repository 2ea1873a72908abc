"""The walk through what waits: a change of the policy, or of the calendar, makes due what it concerns, spread over an hour."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from boto3.dynamodb.types import TypeDeserializer

from imdsv2.aws.change_calendar import ChangeCalendar
from imdsv2.ledger.change import Change
from imdsv2.ledger.last_good_policy import LastGoodPolicy
from imdsv2.ledger.policy import PolicySource
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.walk import Walks
from imdsv2.revisit.policy_change import PolicyChange
from tests.integration.builders import NOW, PARAMETER, TABLE, arn_of
from tests.world.clock import Clock
from tests.world.dynamodb import Table
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


class Ssm:
    """The policy's parameter, whose version rises with each writing, and a calendar."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.text, self.version, self.modified = "{}", 1, datetime(2026, 1, 1, tzinfo=UTC)
        self.history: list[dict[str, Any]] = []
        self.writes("arn:aws:iam::123456789012:user/first")
        self.state = "OPEN"

    def put(self, **fields: Any) -> None:
        self.raw(json.dumps(fields))

    def raw(self, text: str, by: str = "arn:aws:iam::123456789012:user/ann") -> None:
        self.text, self.version, self.modified = text, self.version + 1, self.clock()
        self.writes(by)

    def writes(self, by: str) -> None:
        written = {"Value": self.text, "Version": self.version, "LastModifiedDate": self.modified}
        self.history.append({**written, "LastModifiedUser": by})

    def get_parameter_history(self, *, Name: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        """Two writings a page."""
        assert Name == PARAMETER
        first = int(NextToken)
        more = {"NextToken": str(first + 2)} if first + 2 < len(self.history) else {}
        return {"Parameters": self.history[first : first + 2], **more}

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        assert Name == PARAMETER
        return {"Parameter": {"Value": self.text, "Version": self.version, "LastModifiedDate": self.modified}}

    def get_calendar_state(self, *, CalendarNames: list[str]) -> dict[str, Any]:  # noqa: N803
        assert CalendarNames
        return {"State": self.state}


class World:
    """A ledger in memory with what waits in it, and the function that walks."""

    def __init__(self) -> None:
        self.clock = Clock(NOW)
        self.table = Table()
        self.ssm = Ssm(self.clock)
        self.ledger = Ledger(self.table.client, TABLE)

    def policy_change(self, table: Any = None) -> PolicyChange:
        """A new function instance."""
        client, ssm = cast("Any", table or self.table), cast("Any", self.ssm)
        ledger = Ledger(client, TABLE)
        return PolicyChange(
            ledger=ledger,
            walks=Walks(client, TABLE),
            policies=PolicySource(ssm, LastGoodPolicy(client, TABLE), PARAMETER),
            calendar=ChangeCalendar(ssm),
            now=self.clock,
            logger=cast("Any", logging.getLogger("test")),
        )

    def go_on(self, minutes: float = 1, *, pages: int = 10_000) -> int:
        """The next invocation, which has time for so many pages."""
        self.clock.move(minutes=minutes)
        left = iter(range(pages))
        return self.policy_change().make_due(lambda: next(left, None) is not None)

    def waits(self, number: int, reason: str, *, status: str = "held", **fields: Any) -> InstanceArn:
        """An instance with that verdict, judged an hour ago, and due in a day."""
        arn = arn_of(f"{number:x}")
        told = {"notified_at": self.clock(), "revisit_at": self.clock() + DAY}
        known = {"decided_at": self.clock() - timedelta(hours=1), **told}
        after = Record(arn=arn, status="held", decision="hold", reason=reason, **(known | fields))
        written = self.ledger.write([Change(before=self.ledger.read([arn])[arn], after=after)], self.clock())
        assert not written.lost
        self.table.items[str(arn), "current"]["status"] = {"S": status}
        return arn

    def due_in(self, *arns: InstanceArn) -> list[timedelta]:
        """How long until each is due."""
        records = self.ledger.read(arns)
        return [(records[arn].revisit_at or NOW) - self.clock() for arn in arns]


@pytest.fixture
def world() -> World:
    """A world in which the policy's first writing is known."""
    made = World()
    assert 0 == made.go_on(0)
    return made


def test_what_the_policy_held_is_due_at_once_when_it_changes(world: World) -> None:
    """Nothing else is: each at its own turn."""
    off, used, cap = (
        world.waits(number, reason) for number, reason in enumerate(("switched_off", "v1_in_use", "cap_reached"))
    )
    would = world.waits(9, "unused", status="would_enforce")
    world.ssm.put(mode="enforce")
    assert [0, 2] == [world.go_on(), world.go_on()]
    assert all(each <= MINUTE for each in world.due_in(off, would))
    assert all(each > 23 * timedelta(hours=1) for each in world.due_in(used, cap))
    assert 0 == world.go_on()


def test_it_waits_until_every_function_has_heard_of_it(world: World) -> None:
    """What is judged in the meantime by the old policy is concerned as well."""
    world.ssm.put(mode="enforce")
    assert 0 == world.go_on()
    late = world.waits(1, "unused", status="would_enforce", decided_at=world.clock() + timedelta(seconds=5))
    assert 1 == world.go_on()
    assert world.due_in(late)[0] <= MINUTE


def test_what_was_judged_by_the_new_policy_is_left(world: World) -> None:
    """It is right as it is."""
    world.ssm.put(approval="required")
    world.go_on()
    world.waits(1, "approval_required", decided_at=world.clock() + timedelta(seconds=40))
    assert 0 == world.go_on()


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("enforced", {}),
        ("enforcing", {"lease_until": NOW + DAY}),
        ("failed", {}),
        ("rolled_back", {}),
        ("would_enforce", {"notified_at": None}),
        ("would_enforce", {"revisit_at": NOW + 9 * MINUTE}),
    ],
)
def test_what_is_changed_or_due_soon_is_left(world: World, status: str, fields: dict[str, Any]) -> None:
    """It is judged for another reason, or does not wait for the policy."""
    arn = world.waits(1, "unused", status=status, **fields)
    before = world.ledger.read([arn])
    world.ssm.put(mode="enforce")
    assert 0 == world.go_on() + world.go_on()
    assert before == world.ledger.read([arn])


def test_many_are_spread_over_an_hour_and_few_are_due_at_once(world: World) -> None:
    """Ten a second, and so on within the hour; a revisit takes three hundred at a time."""
    arns = [world.waits(number, "approval_required") for number in range(2500)]
    world.ssm.put(approval="required")
    assert 0 == world.go_on()
    since = world.clock()
    assert 2500 == world.go_on()
    times = [each + world.clock() - since for each in world.due_in(*arns)]
    assert 4 * MINUTE < max(times) <= 5 * MINUTE
    # The walk begins a minute after the change; what would have been due by then is due now.
    assert all(
        sum(first <= each < first + MINUTE for each in times) <= 1300 for first in (MINUTE * n for n in range(9))
    )


def test_it_goes_on_where_it_was_left(world: World) -> None:
    """An invocation has little time, another dies, and one that is not the newest stops."""
    arns = [world.waits(number, "approval_required") for number in range(900)]
    world.ssm.put(approval="none", mode="enforce", canary=None)
    world.ssm.put(approval="required")
    world.go_on()
    moved = [world.go_on(pages=1) for _ in range(3)]
    assert all(0 < each <= 300 for each in moved)
    assert 900 == sum(moved) + world.go_on()
    assert all(each <= timedelta(hours=1) for each in world.due_in(*arns))
    assert 0 == world.go_on()


def test_one_that_fails_is_taken_up_by_the_next(world: World) -> None:
    """AWS's answer is logged; what waits is not judged later for it."""
    world.waits(1, "switched_off")
    world.ssm.put(mode="enforce")
    world.go_on()
    world.clock.move(minutes=1)

    class Failing:
        exceptions = world.table.exceptions

        def __getattr__(self, name: str) -> Any:
            if name == "query":
                raise refusal("ThrottlingException", "no", "Query")
            return getattr(world.table, name)

    assert 0 == world.policy_change(Failing()).make_due(lambda: True)
    assert 1 == world.go_on()


def test_a_walk_that_another_began_is_left_to_it(world: World) -> None:
    """The schedule starts a new invocation every minute."""
    world.waits(1, "switched_off")
    world.ssm.put(mode="enforce")
    world.go_on()
    world.clock.move(minutes=1)
    slow = world.policy_change()
    walk = slow.walks.read()
    assert 1 == world.go_on()
    assert not slow.walks.save(walk)


def test_a_second_change_begins_the_walk_anew(world: World) -> None:
    """For what either concerns."""
    off = [world.waits(number, "switched_off") for number in range(400)]
    world.ssm.put(mode="enforce")
    world.go_on()
    world.go_on(pages=1)
    approvals = [world.waits(1000 + number, "approval_required") for number in range(20)]
    world.ssm.put(mode="enforce", approval="required")
    assert 0 == world.go_on()
    world.go_on()
    assert all(each <= timedelta(hours=1) for each in world.due_in(*off, *approvals))


def test_a_policy_that_is_corrected_lets_go_what_it_held(world: World) -> None:
    """Whoever corrects it mostly writes what was there before."""
    held = world.waits(1, "policy_unreadable")
    used = world.waits(2, "v1_in_use")
    world.ssm.raw('{"mode": "enfroce"}')
    assert 0 == world.go_on() + world.go_on()
    world.ssm.put()
    assert 1 == world.go_on() + world.go_on()
    assert (world.due_in(held)[0] <= MINUTE, world.due_in(used)[0] > MINUTE) == (True, True)


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        ('{"mode": "off"}', "switched_off"),
        ('{"approval": "required"}', "approval_required"),
        ('{"mode": "enfroce"}', "policy_unreadable"),
    ],
)
def test_what_was_put_back_before_anybody_looked_lets_go_what_it_held(world: World, between: str, reason: str) -> None:
    """A person corrects a mistake within the minute; what was judged meanwhile would wait for a day."""
    world.go_on()
    held, used = world.waits(1, reason), world.waits(2, "v1_in_use")
    before = world.ssm.text
    world.ssm.raw(between)
    world.ssm.raw(before)
    assert 1 == world.go_on() + world.go_on()
    assert (world.due_in(held)[0] <= MINUTE, world.due_in(used)[0] > MINUTE) == (True, True)


def test_a_calendar_that_opens_lets_go_what_waits_for_it(world: World) -> None:
    """Also where nobody knew when it would."""
    world.ssm.put(change_calendar="freeze")
    world.ssm.state = "CLOSED"
    assert 0 == world.go_on() + world.go_on()
    held = world.waits(1, "calendar_closed")
    assert 0 == world.go_on()
    world.ssm.state = "OPEN"
    assert 1 == world.go_on() + world.go_on()
    assert world.due_in(held)[0] <= MINUTE
    assert 0 == world.go_on()


def test_without_a_change_it_costs_one_read(world: World) -> None:
    """Every minute, for years."""
    for number in range(40):
        world.waits(number, "switched_off")
    calls: list[str] = []

    class Counting:
        exceptions = world.table.exceptions

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(world.table, name)

    assert 0 == world.policy_change(Counting()).make_due(lambda: True)
    assert ["get_item"] == calls


def test_what_the_first_policy_concerns_is_not_made_due() -> None:
    """After an upgrade nothing has changed yet."""
    world = World()
    world.waits(1, "unused", status="would_enforce")
    assert 0 == world.go_on() + world.go_on()


# --- What the audit trail tells of the policy ----------------------------------------------------------------------


def told(world: World) -> list[dict[str, Any]]:
    """The events of the policy, plain."""
    decode = TypeDeserializer().deserialize
    items = [
        item for (pk, sk), item in sorted(world.table.items.items()) if pk == "policy" and sk.startswith("decision#")
    ]
    return [{name: decode(value) for name, value in item.items()} for item in items]


def test_every_writing_of_the_policy_is_told_with_its_difference_and_who_made_it(world: World) -> None:
    """Three writings within a minute are three events, the one that was refused included."""
    world.ssm.put(mode="enforce")
    world.clock.move(seconds=10)
    world.ssm.raw("{nonsense", by="arn:aws:iam::123456789012:user/bob")
    world.clock.move(seconds=10)
    world.ssm.raw('{"mode": "enforce", "notice_hours": 48}', by="arn:aws:iam::123456789012:user/cleo")
    world.go_on()
    _, *events = told(world)
    assert ["policy_changed", "policy_refused", "policy_changed"] == [each["kind"] for each in events]
    assert ["ann", "bob", "cleo"] == [each["caller"].rpartition("/")[2] for each in events]
    assert [2, 3, 4] == [int(each["parameter_version"]) for each in events]
    first, _, last = events
    assert {"mode": {"before": "observe", "after": "enforce"}} == json.loads(first["difference"])
    assert {"notice_hours": {"before": 0, "after": 48}} == json.loads(last["difference"])


def test_a_policy_that_is_refused_is_told_once(world: World) -> None:
    """However often the function finds it so; and what is written next is told against what was in force before."""
    world.ssm.raw('{"mode": "enforced"}')
    for _ in range(3):
        world.go_on()
    _, refused = told(world)
    assert ("policy_refused", 2) == (refused["kind"], int(refused["parameter_version"]))
    assert "mode" in refused["explanation"]
    world.ssm.put(mode="off")
    world.go_on()
    assert {"mode": {"before": "observe", "after": "off"}} == json.loads(told(world)[-1]["difference"])


def test_without_its_history_a_change_is_told_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older deployment's role may not ask for it; who made the change is then unknown."""

    def refuse(**_: Any) -> None:
        raise refusal("AccessDeniedException", "no", "GetParameterHistory")

    monkeypatch.setattr(world.ssm, "get_parameter_history", refuse)
    world.ssm.put(mode="off")
    world.go_on()
    last = told(world)[-1]
    assert "caller" not in last
    assert {"mode": {"before": "observe", "after": "off"}} == json.loads(last["difference"])


def test_more_writings_than_a_transaction_takes_keep_nobody_waiting(world: World) -> None:
    """The function stood still for days, in which a pipeline wrote the parameter at each run: the newest of them are told."""
    off = world.waits(1, "switched_off", revisit_at=NOW + 9 * DAY)
    for number in range(130):
        world.clock.move(minutes=20)
        world.ssm.put(mode="enforce", watch_hours=24 + number)
    world.go_on()
    assert 1 == world.go_on()
    assert all(each <= MINUTE for each in world.due_in(off))
    _, *events = told(world)
    assert (90, "131") == (len(events), str(events[-1]["parameter_version"]))


def test_what_is_due_within_the_hour_is_not_put_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """But it is brought forward, by a trifle: whoever judges it now by the old policy must not take the mark away."""
    monkeypatch.setattr("imdsv2.revisit.policy_change._A_SECOND", 0.05)
    soon = world.clock() + 22 * MINUTE
    arns = [world.waits(number, "switched_off", revisit_at=soon) for number in range(90)]
    world.ssm.put(mode="enforce")
    assert [0, 90] == [world.go_on(), world.go_on()]
    known = world.ledger.read(arns).values()
    assert all(each.revisit_at is not None and each.revisit_at < soon for each in known)
    assert {soon - timedelta(microseconds=1)} < {each.revisit_at for each in known}
