"""Two functions at once over the same instance: no never is broken, and what comes of it could have come of one after the other.

`PROOF=long` tries every order in which one of them stops once for the other, and many by chance; without it, one by chance for each
pair. A violation prints its meeting and schedule; `PROOF_MEETING="<meeting> <schedule>"` plays that one again.
"""

from __future__ import annotations

import os
from itertools import combinations_with_replacement

import pytest

from tests.proof import tally
from tests.proof.pairs.meetings import Meeting, by_bound, by_chance
from tests.proof.pairs.scheduler import Schedule
from tests.proof.pairs.states import ACTS, STATES

EVERY = os.environ.get("PROOF") == "long"
SEED = int(os.environ.get("PROOF_SEED", "1"))
BY_CHANCE = 12
AT_LEAST_ONCE = "told again"
"""Both may read that a message is owed before either has marked it as sent: people get it twice rather than never."""
_USUAL_STOPS = (16, 16)


@pytest.mark.parametrize("state", STATES)
def test_two_at_once_break_nothing(state: str) -> None:
    """Every pair of functions over an instance in this state, each with itself included."""
    violations, played = [], 0
    for number, (one, other) in enumerate(combinations_with_replacement(ACTS, 2)):
        meeting = Meeting(state=state, one=one, other=other)
        ends, stops = meeting.one_after_the_other() if EVERY else (None, _USUAL_STOPS)
        schedules = (
            [*by_bound(stops, 1), *by_chance(stops, SEED, BY_CHANCE)] if EVERY else by_chance(stops, SEED + number, 1)
        )
        for schedule in schedules:
            played += 1
            wrong = meeting.check(schedule, ends)
            violations += [f'"{meeting} {schedule}": {each}' for each in wrong if AT_LEAST_ONCE not in each]
    tally.note("proof.pairs", run=played, exist=played, violations=len(violations))
    assert [] == violations, "\n".join(violations)


@pytest.mark.skipif("PROOF_MEETING" not in os.environ, reason="plays again what PROOF_MEETING names")
def test_one_meeting_again() -> None:
    """The meeting and schedule that a violation has printed."""
    named, _, schedule = os.environ["PROOF_MEETING"].rpartition(" ")
    state, one, other = named.split("|")
    meeting = Meeting(state=state, one=one, other=other)
    ends, _ = meeting.one_after_the_other()
    assert [] == meeting.check(Schedule.parse(schedule), ends)
