"""The cap counts changes, not reservations: no rolling hour has more of them, in whatever order functions reserve, change, settle
and crash."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.account import Account, Reservation

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=6)
REGION = "eu-west-1"
MOMENTS = st.sampled_from([0, 1, 29, 59, 60, 61, 240, 359, 360, 1200, 1771, 3239, 3240, 3541, 3571, 3599, 3600]).map(
    lambda seconds: timedelta(seconds=seconds)
)
DELAYS = st.sampled_from([0, 1, 59, 60, 240, 359, 360]).map(lambda seconds: timedelta(seconds=seconds))


@dataclass
class Functions:
    """Functions that share an account's cap."""

    cap: int
    account: Account = field(default_factory=lambda: Account(key="aws/222222222222"))
    ids: count[int] = field(default_factory=count)

    def reserve(self, wanted: int, now: datetime) -> Reservation:
        """Reserve for changes until the end of the lease."""
        asked = Reservation(id=str(next(self.ids)), region=REGION, at=now, until=now + LEASE, count=wanted)
        self.account = self.account.with_reservation(asked, self.cap, now)
        return self.account.reserved.get(asked.id, Reservation(id="", region=REGION, at=now, until=now, count=0))

    def settle(self, reservation: Reservation, changed_at: list[datetime], now: datetime) -> None:
        """Count what was changed."""
        self.account = self.account.settled(reservation, changed_at, now)


@settings(max_examples=300, deadline=None)
@given(
    cap=st.integers(1, 6),
    runs=st.lists(
        st.tuples(MOMENTS, st.lists(DELAYS, min_size=1, max_size=5), st.none() | DELAYS, st.integers(0, 5)),
        min_size=1,
        max_size=10,
    ),
)
def test_no_rolling_hour_has_more_changes_than_the_cap(
    cap: int, runs: list[tuple[timedelta, list[timedelta], timedelta | None, int]]
) -> None:
    """Each run reserves, changes up to a lease later, and settles after that, or crashes (None). Settlements come between the
    reservations of others, as their times fall."""
    functions, now = Functions(cap), NOW
    pending: list[tuple[datetime, Reservation, list[datetime]]] = []
    made: list[datetime] = []
    for wait, delays, settles_after, unused in runs:
        now += wait
        for due in [each for each in pending if each[0] <= now]:
            pending.remove(due)
            functions.settle(due[1], due[2], due[0])
        reservation = functions.reserve(len(delays), now)
        changed_at = sorted(now + each for each in delays)[: max(0, reservation.count - unused)]
        made += changed_at
        if settles_after is not None:
            pending.append((max([now, *changed_at]) + settles_after, reservation, changed_at))
    for begin in made:
        assert cap >= sum(begin <= each < begin + HOUR for each in made)


def test_changes_that_follow_their_reservation_by_minutes_count_from_when_they_were_made() -> None:
    """Reserved at minute 0, changed at minute 4 because quota was short: at minute 61 there is no room, at minute 65 there is."""
    functions = Functions(cap=3)
    reservation = functions.reserve(3, NOW)
    functions.settle(reservation, [NOW + 4 * MINUTE] * 3, NOW + 5 * MINUTE)
    assert [0, 0, 3] == [functions.account.room(REGION, 3, NOW + minutes * MINUTE) for minutes in (61, 64, 65)]


def test_a_run_that_crashed_holds_its_room_for_an_hour_after_its_lease() -> None:
    """Nobody knows what it has changed until then."""
    functions = Functions(cap=3)
    functions.reserve(3, NOW)
    assert [0, 0, 3] == [functions.account.room(REGION, 3, NOW + minutes * MINUTE) for minutes in (61, 66, 67)]


def test_what_was_not_changed_is_free_at_once() -> None:
    """Two of three were refused; their settlement, repeated, frees no more than that."""
    functions = Functions(cap=3)
    reservation = functions.reserve(3, NOW)
    for _ in range(2):
        functions.settle(reservation, [NOW], NOW + MINUTE)
    assert 2 == functions.account.room(REGION, 3, NOW + MINUTE)


def test_a_reservation_that_is_repeated_is_one() -> None:
    """Its answer was lost: the second time it is there already, and takes nothing more."""
    account = Account(key="aws/222222222222")
    asked = Reservation(id="one", region=REGION, at=NOW, until=NOW + LEASE, count=2)
    for _ in range(2):
        account = account.with_reservation(asked, 5, NOW)
    assert 3 == account.room(REGION, 5, NOW)


def test_room_is_promised_as_if_what_is_reserved_were_changed_at_once() -> None:
    """After that, for what is still not settled, for when it counts no longer."""
    functions = Functions(cap=1)
    functions.reserve(1, NOW)
    assert NOW + 61 * MINUTE == functions.account.opens_at(REGION, 1, NOW)
    assert NOW + 67 * MINUTE == functions.account.opens_at(REGION, 1, NOW + 61 * MINUTE)
