"""An AWS that is as believed is never contradicted: wherever the self-test ends, and whenever its looks fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.selftest_seen import AGENDA, at, clean
from tests.unit.test_selftest_checks import contradicted, outcomes

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.selftest.seen import Seen

LATEST = timedelta(minutes=14)
"""CloudWatch shows datapoints so late; still within what is believed."""


def cut(seen: Seen, end: datetime) -> Seen:
    """What had been seen by then."""
    return replace(
        seen,
        looked_at=end,
        done=tuple(name for name in seen.done if (answer := seen.answer(name)) is None or answer.at <= end),
        answers=tuple(each for each in seen.answers if each.at <= end),
        sights=tuple(each for each in seen.sights if each.at <= end),
        points=tuple(each for each in seen.points if each.seen_at <= end),
        listings=tuple(each for each in seen.listings if each.at <= end),
        calls=tuple(each for each in seen.calls if each.at <= end),
        entries=tuple(each for each in seen.entries if each.at <= end),
    )


def blind(seen: Seen, begins: datetime, ends: datetime) -> Seen:
    """As if every look between two times had failed: what was to be seen then is seen by the next one."""

    def shown(when: datetime) -> datetime:
        return ends if begins < when < ends else when

    return replace(
        seen,
        sights=tuple(each for each in seen.sights if not begins < each.at < ends),
        points=tuple(
            replace(each, seen_at=ends, missing_at=begins) if begins < each.seen_at < ends else each
            for each in seen.points
        ),
        listings=tuple(
            replace(each, at=shown(each.at), missing_at=begins) if begins < each.at < ends else each
            for each in seen.listings
        ),
    )


def late(seen: Seen) -> Seen:
    """With datapoints that take as long as they may."""
    points = tuple(
        replace(
            each, seen_at=each.at + timedelta(minutes=5) + LATEST, missing_at=each.at + timedelta(minutes=4) + LATEST
        )
        for each in seen.points
    )
    listings = tuple(
        replace(each, at=each.at + LATEST, missing_at=each.at + LATEST - timedelta(minutes=1)) for each in seen.listings
    )
    return replace(seen, points=points, listings=listings)


def without_findings(found: list[str]) -> list[str]:
    """Config and the hubs have a time of their own, in which they answer or do not."""
    return [belief for belief in found if not belief.endswith("-arrives")]


@pytest.mark.parametrize("slow", [False, True], ids=["in time", "late"])
def test_wherever_it_ends_nothing_is_contradicted(slow: bool) -> None:
    """Stopped by a person, interrupted by a failing step, or at its end."""
    whole = late(clean()) if slow else clean()
    found = {
        minute: without_findings(contradicted(cut(whole, at(minute + 0.7))))
        for minute in range(AGENDA.ends_at_minute + 1)
    }
    assert {} == {minute: beliefs for minute, beliefs in found.items() if beliefs}


@pytest.mark.parametrize("lasts", [4, 11, 29])
def test_whenever_looks_fail_nothing_is_contradicted(lasts: int) -> None:
    """For minutes or half an hour, in any part of the agenda."""
    found = {
        minute: contradicted(blind(clean(), at(minute + 0.7), at(minute + lasts + 0.7)))
        for minute in range(0, AGENDA.ends_at_minute - lasts, 2)
    }
    assert {} == {minute: beliefs for minute, beliefs in found.items() if beliefs}


def test_datapoints_that_take_as_long_as_they_may_leave_nothing_untried() -> None:
    """The agenda leaves time for them."""
    found = outcomes(late(clean()))
    assert {} == {belief: outcome for belief, outcome in found.items() if outcome != "confirmed"}
