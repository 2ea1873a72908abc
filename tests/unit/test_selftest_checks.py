"""Each belief has a check that sees when it is wrong, and no other check says so with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.selftest import untried_checks
from imdsv2.selftest.agenda import CALLER, CLOSED, LINE, QUIET, WITNESS
from imdsv2.selftest.beliefs import BELIEFS
from imdsv2.selftest.metrics import ACCEPTED, CPU, REJECTED
from imdsv2.selftest.report import judged, table, totals
from imdsv2.selftest.result import Outcome
from imdsv2.selftest.seen import OK, Listing, Point, Seen, Sight, from_document, to_document
from tests.unit.selftest_seen import (
    ENFORCED_AT,
    REBOOTED_AT,
    REQUIRED_AT,
    ROLLED_BACK_AT,
    STARTED_AT,
    THROTTLED,
    answered,
    at,
    clean,
    point,
    with_points,
    with_sights,
    without_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _points(metric: str, change: Callable[[Point], Point | None], role: str | None = None) -> Callable[[Seen], Seen]:
    """Change the datapoints of one metric."""

    def fault(seen: Seen) -> Seen:
        return with_points(
            seen, lambda each: change(each) if each.metric == metric and role in {None, each.role} else each
        )

    return fault


def _later(by: float) -> Callable[[Point], Point]:
    later = timedelta(minutes=by)
    return lambda each: replace(each, seen_at=each.seen_at + later, missing_at=each.seen_at + later)


def _shifted(by: float) -> Callable[[Point], Point]:
    shift = timedelta(minutes=by)
    return lambda each: replace(each, at=each.at + shift, seen_at=each.seen_at + shift)


def _more(each: Point) -> Point:
    return replace(each, total=each.total + 1) if each.total else each


def _sights(change: Callable[[Sight], Sight], *, role: str, since: float, until: float = 1e4) -> Callable[[Seen], Seen]:
    """Change the looks at an instance between two minutes."""

    def fault(seen: Seen) -> Seen:
        return with_sights(
            seen, lambda each: change(each) if each.role == role and at(since) < each.at < at(until) else each
        )

    return fault


def _code(name: str, code: str, message: str = "") -> Callable[[Seen], Seen]:
    return lambda seen: answered(seen, name, code, message)


def _swapped(name: str) -> Callable[[Seen], Seen]:
    """The call without the value is permitted too: IAM does not see it."""
    return lambda seen: answered(seen, f"{name}: without", "DryRunOperation")


FAULTS: dict[str, Callable[[Seen], Seen]] = {
    "counts-tokenless-calls": _points(ACCEPTED, _more, CALLER),
    "zero-without-calls": _points(ACCEPTED, lambda each: None if each.at < at(REQUIRED_AT) else each, QUIET),
    "stamped-with-start": _points(ACCEPTED, _shifted(-5), CALLER),
    "datapoints-arrive": _points(CPU, _later(13), WITNESS),
    "accepted-ends-with-required": lambda seen: with_points(
        seen, lambda each: each, point(ACCEPTED, QUIET, REQUIRED_AT + 5, 1)
    ),
    "rejected-counts": _points(REJECTED, lambda each: replace(each, total=2 * each.total), CALLER),
    "rejected-in-its-period": _points(REJECTED, _shifted(5), CALLER),
    "rejections-arrive": _points(REJECTED, _later(14), LINE),
    "rejected-silent-when-clean": lambda seen: with_points(
        seen, lambda each: each, point(REJECTED, QUIET, REQUIRED_AT + 5, 1)
    ),
    "clean-is-not-listed": lambda seen: replace(
        seen, listings=(*seen.listings, Listing(role=QUIET, at=at(REQUIRED_AT + 9)))
    ),
    "cpu-while-running": _points(CPU, lambda each: None if each.at == at(15) else each, CALLER),
    "closed-counts-nothing": lambda seen: with_points(seen, lambda each: each, point(ACCEPTED, CLOSED, 10, 2)),
    "dry-run-code": _code("dry run", OK),
    "unknown-id-code": _code("unknown id", "InvalidInstanceId"),
    "malformed-id-code": _code("malformed id", "InvalidParameterValue"),
    "terminated-id-code": _code("change terminated", OK),
    "managed-resources-accepted": _code("managed resources", "UnknownParameter"),
    "closed-endpoint-code": _code("require closed", "InvalidParameterValue", "The instance is in a bad mood."),
    "other-options-stay": _sights(lambda each: replace(each, hop_limit=1), role=CALLER, since=REQUIRED_AT),
    "change-is-shown": _sights(
        lambda each: replace(each, tokens="optional"), role=CALLER, since=REQUIRED_AT + 12, until=REQUIRED_AT + 14
    ),
    "closed-endpoint-stays-closed": _sights(lambda each: replace(each, endpoint="enabled"), role=CLOSED, since=8),
    "reboot-keeps-launch-time": _sights(
        lambda each: replace(each, launched_at=at(REBOOTED_AT)), role=QUIET, since=REBOOTED_AT, until=STARTED_AT
    ),
    "start-moves-launch-time": _sights(lambda each: replace(each, launched_at=at(0)), role=QUIET, since=STARTED_AT),
    "attach-time-stays": _sights(
        lambda each: replace(each, attached_at=each.launched_at), role=QUIET, since=STARTED_AT
    ),
    "stop-time-is-readable": _sights(lambda each: replace(each, stopped_at=None), role=QUIET, since=0),
    "empty-is-complete": lambda seen: answered(
        seen, "empty metric", OK, results=[{"status": "PartialData", "values": []}]
    ),
    "stopped-takes-changes": _sights(lambda each: replace(each, hop_limit=2), role=QUIET, since=STARTED_AT),
    "required-outlasts-restarts": _sights(lambda each: replace(each, tokens="optional"), role=QUIET, since=STARTED_AT),
    "key-tokens-sent": _swapped("tokens sent"),
    "key-options-sent": _swapped("options sent"),
    "key-endpoint-now": _swapped("endpoint now"),
    "roles-are-as-meant": lambda seen: answered(
        seen, "roles", OK, results=[{"problem": None, "checks": [{"passed": True}, {"passed": False}]}]
    ),
    "hours-sum-up": lambda seen: answered(
        seen, "hours", OK, results=[{"status": "Complete", "values": [4.0]}, {"status": "Complete", "values": [2.0]}]
    ),
    "reboots-on-record": lambda seen: answered(seen, "trail", OK, rebooted_at=None),
    "reboots-are-made": lambda seen: replace(
        seen, calls=tuple(each for each in seen.calls if each.kind != "boot" or not at(1) < each.at < at(STARTED_AT))
    ),
    "line-rolls-back": lambda seen: replace(
        seen, entries=tuple(each for each in seen.entries if each.status != "rolled_back")
    ),
    "config-event-arrives": lambda seen: replace(
        seen, entries=tuple(each for each in seen.entries if each.source != "config")
    ),
    "security-hub-finding-arrives": lambda seen: _without_hub(seen, ":product/"),
    "security-hub-v2-finding-arrives": lambda seen: _without_hub(seen, ":productv2/"),
    "security-hub-v2-answers": _code("findings v2", "ValidationException", "Unknown filter."),
    "stack-sets-are-current": lambda seen: answered(
        seen, "stack sets", OK, instances=[{"account": "333333333333", "status": "OUTDATED", "detail": "FAILED"}]
    ),
}
"""For each belief an AWS that is otherwise, in this one way."""

ENTAILED: dict[str, Callable[[Seen], Seen]] = {
    "tokens-alone-accepted": _code(f"require {CALLER}", "InvalidParameterValue", "The HttpEndpoint is not set."),
    "rejected-is-listed": lambda seen: replace(seen, listings=()),
    "line-enforces": lambda seen: answered(_never_enforced(seen), "enforce", OK, status="failed"),
}
"""Beliefs without which others cannot be tried."""

UNTRIED = {belief.id for belief in BELIEFS if belief.check.__module__ == untried_checks.__name__}
"""What no self-test tries."""


def _never_enforced(seen: Seen) -> Seen:
    return replace(
        with_sights(seen, lambda each: replace(each, tokens="optional") if each.role == LINE else each),
        entries=tuple(each for each in seen.entries if each.role != LINE),
    )


def _without_hub(seen: Seen, mark: str) -> Seen:
    return replace(
        seen,
        entries=tuple(replace(each, hubs=tuple(hub for hub in each.hubs if mark not in hub)) for each in seen.entries),
    )


def outcomes(seen: Seen) -> dict[str, str]:
    """Of every belief that a self-test tries."""
    return {row["belief"]: row["outcome"] for row in judged(seen) if row["belief"] not in UNTRIED}


def contradicted(seen: Seen) -> list[str]:
    return [belief for belief, outcome in outcomes(seen).items() if outcome == Outcome.CONTRADICTED]


def test_on_an_aws_that_is_as_believed_everything_is_confirmed() -> None:
    """No check finds fault, and none goes without what it needs."""
    assert {belief.id: "confirmed" for belief in BELIEFS if belief.id not in UNTRIED} == outcomes(clean())


def test_every_belief_has_its_fault() -> None:
    """A new belief needs one here."""
    assert {belief.id for belief in BELIEFS} - UNTRIED == FAULTS.keys() | ENTAILED.keys()


@pytest.mark.parametrize("belief", sorted(UNTRIED))
def test_what_cannot_be_tried_says_why(belief: str) -> None:
    """Whatever was seen."""
    [row] = [row for row in judged(clean()) if row["belief"] == belief]
    assert (row["outcome"], row["seen"].endswith(".")) == ("not tried", True)


@pytest.mark.parametrize("belief", FAULTS)
def test_a_fault_contradicts_exactly_its_belief(belief: str) -> None:
    """And leaves all others confirmed."""
    found = outcomes(FAULTS[belief](clean()))
    assert {belief: "contradicted"} == {name: outcome for name, outcome in found.items() if outcome != "confirmed"}


@pytest.mark.parametrize("belief", ENTAILED)
def test_a_fault_that_leaves_others_untried_contradicts_only_its_belief(belief: str) -> None:
    """What cannot be tried is not contradicted."""
    assert belief in contradicted(ENTAILED[belief](clean()))
    assert contradicted(ENTAILED[belief](clean())) == [belief]


def test_where_nothing_was_seen_nothing_is_claimed() -> None:
    """If no instance could be launched, no belief is confirmed and none contradicted."""
    nothing = Seen(began_at=at(0), minute_seconds=60, instances={})
    assert {"not tried"} == set(outcomes(nothing).values())


@pytest.mark.parametrize("name", sorted({answer.name for answer in clean().answers}))
def test_a_step_that_was_not_reached_contradicts_nothing(name: str) -> None:
    """It leaves its beliefs untried."""
    assert [] == contradicted(without_answer(clean(), name))


@pytest.mark.parametrize("name", sorted({answer.name for answer in clean().answers}))
def test_a_call_that_was_throttled_contradicts_no_code(name: str) -> None:
    """Throttling says nothing of AWS's semantics."""
    assert [] == contradicted(answered(clean(), name, THROTTLED, "Request limit exceeded."))


def test_instances_that_ended_at_once_contradict_nothing() -> None:
    """They made no call, and left no datapoint."""
    ended = with_sights(clean(), lambda each: replace(each, state="terminated"))
    seen = replace(ended, calls=(), points=(), listings=(), answers=(), entries=())
    assert [] == contradicted(seen)


def test_calls_of_the_image_s_own_software_contradict_no_count() -> None:
    """They show on the quiet instance too, whose belief they contradict."""
    more = [point(ACCEPTED, CALLER, 0, 2), point(ACCEPTED, QUIET, 0, 2)]
    known = {(each.metric, each.role, each.at) for each in more}
    seen = with_points(clean(), lambda each: None if (each.metric, each.role, each.at) in known else each, *more)
    assert ["zero-without-calls"] == contradicted(seen)


def test_an_instance_that_was_still_stopping_contradicts_nothing() -> None:
    """EC2 may refuse changes while it stops."""
    seen = with_sights(clean(), lambda each: replace(each, state="stopping") if each.state == "stopped" else each)
    refused = answered(seen, "change stopped", "IncorrectInstanceState")
    assert [] == contradicted(refused)


@pytest.mark.parametrize("metric", [ACCEPTED, REJECTED, CPU])
def test_zeros_that_are_published_are_no_calls(metric: str) -> None:
    """Whether a metric is 0 or absent is the same to every belief that says so."""
    if metric == ACCEPTED:
        more = [point(ACCEPTED, CALLER, minute, 0) for minute in range(REQUIRED_AT + 5, ROLLED_BACK_AT, 5)]
    else:
        more = [point(REJECTED, QUIET, minute, 0) for minute in range(0, ENFORCED_AT, 5)]
    assert [] == contradicted(with_points(clean(), lambda each: each, *more))


def test_observations_outlive_the_way_through_s3() -> None:
    """What a step keeps, the next one reads."""
    assert clean() == from_document(to_document(clean()))


def test_a_result_tells_what_contradicts_safety() -> None:
    """The totals name it, and the table has a row for each belief."""
    rows = judged(FAULTS["counts-tokenless-calls"](FAULTS["dry-run-code"](clean())))
    counted = totals(rows)
    assert (["counts-tokenless-calls", "dry-run-code"], ["counts-tokenless-calls"]) == (
        counted["contradicted_beliefs"],
        counted["contradicted_for_safety"],
    )
    assert len(BELIEFS) + 1 == len(table(rows).splitlines())
