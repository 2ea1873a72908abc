"""The input of a self-test, its agenda and its plan."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.selftest.agenda import CALLER, CLOSED, INSTANCES, LINE, PATIENCE_MINUTES, QUIET, agenda_of
from imdsv2.selftest.order import Order, parse_order
from imdsv2.selftest.plan import cost, plan
from imdsv2.selftest.seen import Seen
from tests.unit.selftest_seen import clean

GIVEN = {"account": "333333333333", "region": "us-east-1"}
ORDER = parse_order(GIVEN)
QUARTER_PAST = datetime(2027, 6, 2, 9, 15, tzinfo=UTC)


def test_account_and_region_are_enough() -> None:
    """Nothing is launched without consent, and the policy is not touched unless asked."""
    assert Order(account="333333333333", region="us-east-1") == ORDER
    assert (False, False, True) == (ORDER.confirm, ORDER.set_observe_if_contradicted, ORDER.line)


@pytest.mark.parametrize(
    ("changes", "field", "takes"),
    [
        ({"account": "33333333333"}, "account", "12 digits"),
        ({"account": 333333333333}, "account", "12 digits"),
        ({"region": "Virginia"}, "region", "no Region"),
        ({"region": ["us-east-1"]}, "region", "eu-west-1"),
        ({"subnet": "vpc-0123456789abcdef0"}, "subnet", "subnet"),
        ({"confirm": "yes"}, "confirm", "true or false"),
        ({"line": 1}, "line", "true or false"),
        ({"line_at": 2}, "line_at", "5"),
        ({"line_at": True}, "line_at", "number"),
        ({"minute_seconds": 90}, "minute_seconds", "60"),
        ({"tags": ["owner"]}, "tags", "object"),
        ({"tags": {"owner": 5}}, "tags", "texts"),
        ({"tags": {"imdsv2:selftest": "mine"}}, "tags", "without imdsv2:selftest"),
        ({"tags": {"aws:cloudformation:stack-name": "mine"}}, "tags", "aws:"),
        ({"regions": ["us-east-1"]}, "regions", "region"),
    ],
)
def test_an_impossible_input_is_named_with_what_it_takes(changes: dict[str, Any], field: str, takes: str) -> None:
    """Before anything is launched."""
    with pytest.raises(InvalidRequest) as refusal:
        parse_order({**GIVEN, **changes})
    assert refusal.value.field == field
    assert takes in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "likely"),
    [("ap-souteast-2", "ap-southeast-2"), ("us-gov-west-2", "us-gov-west-1"), ("cn-nort-1", "cn-north-1")],
)
def test_a_region_that_does_not_exist_is_refused_with_the_likely_one(written: str, likely: str) -> None:
    """With consent, the launch would fail with a host that nobody can reach."""
    with pytest.raises(InvalidRequest, match=f"did you mean {likely}") as refusal:
        parse_order({**GIVEN, "region": written, "confirm": True})
    assert "region" == refusal.value.field


@pytest.mark.parametrize("document", [None, "us-east-1", [GIVEN]])
def test_what_is_no_object_is_refused_with_an_example(document: object) -> None:
    """An execution without input has an empty object."""
    with pytest.raises(InvalidRequest, match="takes an object"):
        parse_order(document)


@pytest.mark.parametrize("minute", [0, 14, 29, 45, 59])
def test_the_line_begins_once_a_whole_clock_hour_is_shown(minute: int) -> None:
    """Without one the service holds the instance, whatever people accept."""
    began_at = QUARTER_PAST.replace(minute=minute)
    agenda = agenda_of(ORDER, began_at)
    begins = agenda.time_of(agenda.line_at or 0)
    assert begins == (began_at + timedelta(hours=2)).replace(minute=15)
    assert agenda.ends_at_minute >= (agenda.line_at or 0) + 40


def test_without_the_line_it_takes_an_hour() -> None:
    """And the instances end themselves after ninety minutes."""
    agenda = agenda_of(parse_order({**GIVEN, "line": False}), QUARTER_PAST)
    assert agenda.ends_at_minute <= 60
    assert 90 == agenda.life_minutes
    assert "enforce" not in {deed.name for deed in agenda.deeds}


def test_deeds_are_done_one_at_a_time_and_in_order() -> None:
    """However late the self-test is, there is a look between any two."""
    agenda = agenda_of(ORDER, QUARTER_PAST)
    nothing = Seen(began_at=QUARTER_PAST, minute_seconds=60, instances={})
    late = agenda.time_of(500)
    order: list[str] = []
    while (deed := agenda.due(late, replace(nothing, done=tuple(order)))) is not None:
        order.append(deed)
    assert [deed.name for deed in agenda.deeds] == order
    assert agenda.due(agenda.time_of(1), nothing) is None


def test_a_deed_waits_for_the_state_that_it_needs_but_not_for_ever() -> None:
    """What is still stopping cannot be started; what never stops must not hold up the rest."""
    agenda, everything = agenda_of(ORDER, QUARTER_PAST), clean()
    before = tuple(itertools.takewhile(lambda name: name != "start", (deed.name for deed in agenda.deeds)))
    start = next(deed.minute for deed in agenda.deeds if deed.name == "start")
    last = next(each for each in reversed(everything.sights) if each.role == QUIET)

    def due(state: str, minute: float) -> str | None:
        seen = replace(everything, done=before, sights=(replace(last, state=state),))
        return agenda.due(agenda.time_of(minute), seen)

    assert [None, "start", "start"] == [
        due("stopping", start + 1),
        due("stopped", start + 1),
        due("stopping", start + PATIENCE_MINUTES),
    ]


def test_the_end_waits_for_late_deeds_but_not_for_ever() -> None:
    """What is not done by then is not tried."""
    agenda, everything = agenda_of(ORDER, QUARTER_PAST), clean()
    unfinished, ends_at = replace(everything, done=everything.done[:-1]), agenda.ends_at_minute
    assert [False, True] == [agenda.is_over(agenda.time_of(minute), everything) for minute in (ends_at - 1, ends_at)]
    assert [False, True] == [
        agenda.is_over(agenda.time_of(minute), unfinished) for minute in (ends_at, ends_at + PATIENCE_MINUTES)
    ]


def test_it_ends_at_once_where_every_instance_has_ended() -> None:
    """A launch may be undone by EC2 itself, e.g. for want of a key."""
    agenda, everything = agenda_of(ORDER, QUARTER_PAST), clean()
    ended = replace(everything, done=(), sights=tuple(replace(each, state="terminated") for each in everything.sights))
    one_left = replace(ended, sights=everything.sights[:-1])
    assert [True, False] == [agenda.is_over(agenda.time_of(5), seen) for seen in (ended, one_left)]


def test_calls_lie_where_the_checks_need_them() -> None:
    """Before tokens are required and after, in several periods; the quiet ones never call without a token."""
    agenda = agenda_of(ORDER, QUARTER_PAST)
    require = next(deed.minute for deed in agenda.deeds if deed.name == "require")
    called = [minute for minute, kind in agenda.calls(CALLER) if kind == "v1"]
    assert len({minute // 5 for minute in called if minute < require}) >= 2
    assert len({minute // 5 for minute in called if minute > require + 4}) >= 2
    assert all(kind == "v2" for role in (QUIET, CLOSED) for _, kind in agenda.calls(role))
    refused = [minute for minute, kind in agenda.calls(LINE) if kind == "v1"]
    assert len({minute // 5 for minute in refused}) >= 2
    assert min(refused) > (agenda.line_at or 0)


def test_the_plan_tells_what_happens_and_what_it_costs() -> None:
    """At most five instances, less than a dollar, and how to go on."""
    agenda = agenda_of(ORDER, QUARTER_PAST)
    told = plan(ORDER, agenda)
    assert len(INSTANCES) == len(told["instances"]) <= 5
    assert agenda.ends_at_minute == told["minutes"]
    assert '"confirm": true' in told["next"]
    assert 0 < cost(agenda_of(parse_order({**GIVEN, "line": False}), QUARTER_PAST)) < told["usd_at_most"] < 1
