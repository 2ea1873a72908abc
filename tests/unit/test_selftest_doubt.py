"""A check confirms nothing of which nothing was seen, and contradicts nothing because something came late or was somebody else's doing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.selftest.agenda import CALLER, CLOSED, LINE, QUIET
from imdsv2.selftest.metrics import ACCEPTED, CPU, REJECTED
from imdsv2.selftest.report import judged
from imdsv2.selftest.seen import CONSOLES, Answer
from tests.unit.selftest_seen import (
    REQUIRED_AT,
    at,
    clean,
    point,
    with_points,
    with_sights,
)
from tests.unit.test_selftest_checks import contradicted, outcomes

if TYPE_CHECKING:
    from imdsv2.selftest.seen import Seen

CONFIRMED, CONTRADICTED, NOT_TRIED = "confirmed", "contradicted", "not tried"
OF_METRICS = (
    "counts-tokenless-calls",
    "zero-without-calls",
    "stamped-with-start",
    "accepted-ends-with-required",
    "rejected-counts",
    "rejected-in-its-period",
    "rejected-silent-when-clean",
    "cpu-while-running",
    "closed-counts-nothing",
    "clean-is-not-listed",
)


def why(seen: Seen, belief: str) -> str:
    [row] = [row for row in judged(seen) if row["belief"] == belief]
    return str(row["seen"])


def until(seen: Seen, minute: float) -> Seen:
    """As if CloudWatch had given its last complete answer then."""
    points = tuple(each for each in seen.points if each.seen_at <= at(minute))
    return replace(seen, points=points, looked_at=at(minute))


def test_where_cloudwatch_never_answered_no_metric_is_confirmed_or_contradicted() -> None:
    """Looks at EC2 and at the consoles succeeded: what a metric does not show is then neither there nor absent."""
    blind = replace(clean(), points=(), listings=(), looked_at=None)
    found = outcomes(blind)
    assert {NOT_TRIED} == {found[belief] for belief in OF_METRICS}


def test_silence_of_an_instance_that_cloudwatch_does_not_show_proves_nothing() -> None:
    """Without CPUUtilization, a metric that is not there is no metric at 0."""
    dark = with_points(clean(), lambda each: None if each.role in {QUIET, CLOSED} else each)
    found = outcomes(dark)
    for belief in ("zero-without-calls", "rejected-silent-when-clean", "closed-counts-nothing"):
        assert NOT_TRIED == found[belief], belief
        assert "CPUUtilization" in why(dark, belief)
    assert [] == contradicted(dark)


def test_an_end_of_the_metric_that_nobody_can_see_is_no_end() -> None:
    """CloudWatch showed the caller until tokens were required, and nothing after that."""
    ends = with_points(clean(), lambda each: each if each.at < at(REQUIRED_AT - 5) else None)
    assert NOT_TRIED == outcomes(ends)["accepted-ends-with-required"]


def test_an_empty_list_does_not_prove_that_clean_instances_are_left_out() -> None:
    """Not even the one with refused calls is in it."""
    assert NOT_TRIED == outcomes(replace(clean(), listings=()))["clean-is-not-listed"]


@pytest.mark.parametrize("last_look", range(24, 60, 3))
def test_datapoints_that_are_not_due_yet_contradict_nothing(last_look: int) -> None:
    """Wherever the self-test was stopped, or CloudWatch gave its last answer."""
    seen = until(clean(), last_look)
    assert not set(contradicted(seen)) & set(OF_METRICS)


@pytest.mark.parametrize(
    ("age", "arrival", "count"),
    [(18, CONFIRMED, NOT_TRIED), (26, CONTRADICTED, CONFIRMED), (40, CONFIRMED, CONTRADICTED)],
)
def test_a_late_datapoint_contradicts_its_arrival_and_no_count(age: int, arrival: str, count: str) -> None:
    """The last refused call is not in the sum: it may still come, it is late, or it is as good as lost, which is told of the sum."""
    last = max(call.at for call in clean().calls_of(CALLER, "v1", 401))
    missing = with_points(
        clean(), lambda each: None if (each.metric, each.role) == (REJECTED, CALLER) and each.at > at(33) else each
    )
    seen = until(missing, (last - at(0)).total_seconds() / 60 + age)
    seen = replace(seen, calls=tuple(each for each in seen.calls if each.role != LINE))
    found = outcomes(seen)
    assert (arrival, count) == (found["rejections-arrive"], found["rejected-counts"])


def test_what_no_look_missed_was_not_late() -> None:
    """For half an hour every look failed; the next one showed the datapoints, and the list."""
    blind, sees = at(24), at(54)
    points = with_points(
        clean(),
        lambda each: replace(each, seen_at=sees, missing_at=blind) if at(24) < each.seen_at < sees else each,
    )
    seen = replace(points, listings=tuple(replace(each, at=sees, missing_at=blind) for each in points.listings))
    assert [] == contradicted(seen)


@pytest.mark.parametrize(("metric", "status"), [(ACCEPTED, 200), (REJECTED, 401)])
@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-310, CONTRADICTED), (-290, CONFIRMED), (0, CONFIRMED), (50, CONFIRMED), (90, CONTRADICTED)],
)
def test_a_call_may_be_counted_in_the_minute_after_it(metric: str, status: int, seconds: int, outcome: str) -> None:
    """A datapoint that begins somewhat later than the call is on the safe side; one whose five minutes end before it is not."""
    last = clean().calls_of(CALLER, "v1", status)[-1]
    stamp = replace(point(metric, CALLER, 0, 1), at=last.at + timedelta(seconds=seconds))
    others = with_points(clean(), lambda each: None if (each.metric, each.role) == (metric, CALLER) else each, stamp)
    calls = (each for each in others.calls if each == last or (each.role, each.status) != (CALLER, status))
    belief = "stamped-with-start" if metric == ACCEPTED else "rejected-in-its-period"
    assert outcome == outcomes(replace(others, calls=tuple(calls)))[belief]


def test_calls_of_which_the_console_does_not_tell_contradict_no_count() -> None:
    """A line that the kernel's own writing tore apart: the call was made and counted."""
    first = min(clean().calls_of(CALLER, "v1", 200), key=lambda call: call.at)
    torn = replace(clean(), calls=tuple(call for call in clean().calls if call != first))
    assert NOT_TRIED == outcomes(torn)["counts-tokenless-calls"]
    assert "Start the self-test again" in why(torn, "counts-tokenless-calls")
    assert [] == contradicted(torn)


def test_consoles_that_ec2_does_not_show_are_told() -> None:
    """Nobody has to look for a fault in the user data."""
    refused = Answer(name=CONSOLES, at=at(40), code="UnauthorizedOperation", message="No.", conclusive=False)
    seen = replace(clean(), calls=(), answers=(*clean().answers, refused))
    assert NOT_TRIED == outcomes(seen)["rejected-counts"]
    assert "ec2:GetConsoleOutput" in why(seen, "rejected-counts")


def test_an_instance_on_which_somebody_else_required_tokens_contradicts_nothing() -> None:
    """A rule of the organisation closes whatever is launched open, within a minute."""
    closed = with_sights(clean(), lambda each: replace(each, tokens="required") if each.role != CLOSED else each)
    calls = tuple(replace(call, status=401) if call.kind == "v1" else call for call in closed.calls)
    points = tuple(each for each in closed.points if each.metric == CPU)
    entries = tuple(each for each in closed.entries if each.role != LINE)
    seen = replace(closed, calls=calls, points=points, entries=entries)
    found = outcomes(seen)
    untried = ("zero-without-calls", "line-enforces", "tokens-alone-accepted", "other-options-stay", "change-is-shown")
    assert {NOT_TRIED} == {found[belief] for belief in untried}


def test_an_instance_that_somebody_ended_has_no_gap() -> None:
    """A janitor of the account ends what has no owner: its metrics end with it."""
    ended = with_sights(
        clean(), lambda each: replace(each, state="terminated") if each.role == CALLER and each.at > at(50) else each
    )
    seen = with_points(ended, lambda each: None if each.role == CALLER and each.at > at(45) else each)
    assert CONFIRMED == outcomes(seen)["cpu-while-running"]


def test_an_instance_that_somebody_stopped_for_a_while_has_no_gap() -> None:
    """Its datapoints are missing where it did not run."""
    stopped = with_sights(
        clean(),
        lambda each: replace(each, state="stopped") if each.role == CALLER and at(60) < each.at < at(80) else each,
    )
    seen = with_points(stopped, lambda each: None if each.role == CALLER and at(55) < each.at < at(80) else each)
    assert NOT_TRIED == outcomes(seen)["cpu-while-running"]
