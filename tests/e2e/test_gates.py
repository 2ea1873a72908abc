"""The gates on the deployed stack: caps, canaries, approval, notice, holds, calendars and undo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.cloud.run import MEMBERS
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World

CALM = {"account": MEMBERS[1], "region": "us-east-1"}
"""A Region in which no other test has used the cap recently."""


def _act(world: World, *fleet: Launched) -> list[tuple[str, str]]:
    results = world.ask({"targets": [one.arn for one in fleet], "dry_run": False, "caller": "e2e"})["results"]
    return [(result["status"], result["reason"]) for result in results]


def _steer(world: World, **command: Any) -> list[dict[str, Any]]:
    """Send a command dry first, as people should, then for real."""
    dry = world.ask(command)
    assert not any(result["done"] for result in dry["results"]), dry
    answer = world.ask({**command, "dry_run": False})
    results: list[dict[str, Any]] = answer["results"]
    return results


def _make_due(world: World, *fleet: Launched) -> None:
    past = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for one in fleet:
        world.change_ledger(one, revisit_at=past)


def test_no_more_than_the_cap_is_changed_in_an_hour(world: World) -> None:
    """Concurrent batches share the cap of an account and Region; the rest waits, with the reason."""
    world.set_policy({"mode": "enforce", "max_enforcements_per_hour": 3})
    fleet = world.launch(number=8, **CALM)
    world.send(*(events.config_change(one.instance_id, account=MEMBERS[1], region="us-east-1") for one in fleet))
    verdicts = world.verdicts(fleet)
    assert 3 >= verdicts.count(("enforced", "unused")) > 0
    assert len(fleet) - verdicts.count(("enforced", "unused")) == verdicts.count(("held", "cap_reached"))


def test_canaries_go_first_and_the_rest_follows_when_they_stay_clean(world: World) -> None:
    """The answer does not depend on the order of requests; a canary that no request named is evaluated, too."""
    world.set_policy({"mode": "enforce", "canary": {"share": 0.1, "hours": 24}})
    fleet = world.launch(number=6, image="ami-0c0ffee0c0ffee001")
    asked = world.ask({"targets": [one.arn for one in fleet]})["results"]
    [canary] = [one for one, result in zip(fleet, asked, strict=True) if result["decision"] == "enforce"]
    others = [one for one in fleet if one is not canary]
    assert ("held", "canary_wait") == _act(world, others[0])[0]
    world.revisit()
    assert ("enforced", "unused") == world.verdicts([canary])[0]
    world.age(canary, hours=26)
    world.guard()
    assert [("enforced", "unused")] * 5 == _act(world, *others)


def test_approval_is_given_once_and_spent(world: World) -> None:
    """Instances wait for approval; an account is approved as a whole; the event says who approved."""
    world.set_policy({"mode": "enforce", "approval": "required"})
    one = world.launch_one(**CALM)
    assert [("held", "approval_required")] == _act(world, one)
    results = _steer(world, approve={"account": MEMBERS[1], "region": "us-east-1"}, caller="alice")
    assert one.arn in {result["target"] for result in results if result["done"]}
    world.revisit()
    assert ("enforced", "unused") == world.verdicts([one])[0]
    item = world.current(one)
    assert item["approved_by"].startswith("alice, request ")
    assert "approval" not in item


def test_the_owner_is_told_before_the_change(world: World) -> None:
    """One message for all instances of an owner; after the notice, the evidence is read again and the change is
    made."""
    world.set_policy({"mode": "enforce", "notice_hours": 48, "owner_tag": "team"})
    world.messages()
    fleet = [world.launch_one(tags={"team": "blue"}, **place) for place in ({}, CALM)]
    assert [("held", "notice_given")] * 2 == _act(world, *fleet)

    def told() -> list[dict[str, Any]] | None:
        return [each for each in world.messages() if "will be switched off" in each["Subject"]] or None

    [message] = eventually(told, "a notice")
    assert all(one.arn in message["Message"] for one in fleet)
    assert "blue" == message["MessageAttributes"]["owner"]["Value"]
    past = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for one in fleet:
        world.change_ledger(one, notice_ends_at=past)
    assert [("enforced", "unused")] * 2 == _act(world, *fleet)


def test_a_person_holds_an_instance_that_nobody_has_judged_yet(world: World) -> None:
    """With reason, owner and last day; after the release, the instance is evaluated again."""
    one = world.launch_one()
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    [held] = _steer(
        world, hold={"targets": [one.arn]}, reason="Migration until May.", owner="blue", until=until, caller="bob"
    )
    assert held["done"]
    assert [("held", "held_by_person")] == _act(world, one)
    assert "Migration until May." in world.current(one)["explanation"]
    assert _steer(world, release={"targets": [one.arn]}, caller="bob")[0]["done"]
    assert [("enforced", "unused")] == _act(world, one)


def test_nothing_is_changed_while_the_calendar_is_closed(world: World) -> None:
    """A calendar that is closed, or that does not exist, holds."""
    ssm = world.home.client("ssm")
    closed = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//AWS//Change Calendar 1.0//EN\r\nX-CALENDAR-TYPE:DEFAULT_CLOSED\r\nEND:VCALENDAR\r\n"
    ssm.create_document(Name="freeze", Content=closed, DocumentType="ChangeCalendar", DocumentFormat="TEXT")
    world.set_policy({"mode": "enforce", "change_calendar": "freeze"})
    one = world.launch_one()
    assert [("held", "calendar_closed")] == _act(world, one)
    world.set_policy({"mode": "enforce", "change_calendar": "nobody-knows-it"})
    assert [("held", "calendar_closed")] == _act(world, one)
    assert "nobody-knows-it" in world.current(one)["explanation"]


def test_everything_since_a_time_is_undone(world: World) -> None:
    """Dry first; instances that someone has changed since are left alone; it works while the service is switched off,
    too."""
    started = datetime.now(UTC)
    mine, changed = world.launch(number=2, **CALM)
    assert [("enforced", "unused")] * 2 == _act(world, mine, changed)
    ec2 = world.cloud.session(**CALM).client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=changed.instance_id, HttpPutResponseHopLimit=2)
    world.set_policy({"mode": "off"})
    undone = {
        each["target"]: each
        for each in _steer(world, undo={"account": MEMBERS[1], "since": started.isoformat()}, caller="carol")
    }
    assert undone[mine.arn]["done"]
    assert "HttpPutResponseHopLimit" in undone[changed.arn]["problem"]
    assert "optional" == world.options(mine)["HttpTokens"]
    assert "required" == world.options(changed)["HttpTokens"]
    world.set_policy({"mode": "enforce"})
    assert [("rolled_back", "undone_by_person")] == _act(world, mine)
    assert "carol" in world.current(mine)["caller"] or world.current(mine)["caller"] == "e2e"


def test_switching_off_stops_what_is_between_ledger_and_ec2(world: World) -> None:
    """EC2 is slow to tag; meanwhile someone sets the mode to off: no instance is changed, and none is lost."""
    fleet = world.launch(number=3)
    world.cloud.faults([{"service": "ec2", "action": "CreateTags", "latency_ms": 9_000, "times": 3}])
    world.send(*(events.config_change(one.instance_id) for one in fleet))
    eventually(lambda: True if "enforcing" in world.history(fleet[0]) else None, "the word in the ledger")
    world.set_policy({"mode": "off"})
    assert {("held", "switched_off")} == set(world.verdicts(fleet))
    assert ["optional"] * 3 == [world.options(one)["HttpTokens"] for one in fleet]
    world.set_policy({"mode": "enforce"})
    _make_due(world, *fleet)
    world.revisit()
    assert {("enforced", "unused")} == set(world.verdicts(fleet))


def test_what_cannot_be_understood_names_the_field(world: World) -> None:
    """An invalid command changes nothing."""
    answer = world.ask({"undo": {"account": "222"}, "dry_run": False})
    assert "InvalidRequest" == answer["error"]["code"]
    assert "undo.account" in answer["error"]["message"]
