"""Caps, circuit breakers and cohorts in the ledger's table: state that concurrent functions share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imdsv2.domain.account import Account, Reservation
from imdsv2.domain.cohort import Cohort
from imdsv2.domain.instance import Place
from imdsv2.errors import LedgerContended
from imdsv2.ledger import account as accounts_module
from imdsv2.ledger import cohort as cohorts_module
from imdsv2.ledger import items
from imdsv2.ledger.trail import Author
from tests.integration.builders import HUB, MEMBER, NOW, OTHER, REGION, TABLE, arn_of, count_broken

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.cohort import Cohorts
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

HERE = Place("aws", REGION, MEMBER)
KEY = f"aws/{MEMBER}"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LEASE = timedelta(minutes=6)
COHORT = Cohort(key=f"aws/{MEMBER}/{REGION}/group:web", canaries=(arn_of("a"), arn_of("b")), wanted=2)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (accounts_module, cohorts_module, items):
        monkeypatch.setattr(module, "pause", lambda _: None)


@pytest.fixture
def accounts(cloud: Cloud) -> Accounts:
    """The accounts as one function uses them."""
    return cloud.accounts()


@pytest.fixture
def cohorts(cloud: Cloud) -> Cohorts:
    """The cohorts as one function uses them."""
    return cloud.cohorts()


def meanwhile(cloud: Cloud, acts: list[Callable[[], object]]) -> None:
    """Before each write of a shared item, another writer acts, as long as there are acts left."""

    def intrude(_: Call) -> None:
        if acts:
            acts.pop()()

    cloud.wire.on("PutItem", intrude)


# --- Caps ----------------------------------------------------------------------------------------------------------


def test_room_is_taken_until_there_is_none(accounts: Accounts) -> None:
    """A request for more than is left gets what is left."""
    granted = [
        accounts.reserve(HERE, wanted, 10, NOW + wanted * SECOND, NOW + wanted * SECOND)[0].count
        for wanted in (4, 5, 6, 7)
    ]
    assert [4, 5, 1, 0] == granted
    assert 0 == accounts.of(HERE).room(REGION, 10, NOW)


def test_each_account_and_region_has_room_of_its_own(accounts: Accounts) -> None:
    """The cap is counted where the change is made."""
    places = [HERE, Place("aws", "us-east-1", MEMBER), Place("aws", REGION, OTHER), Place("aws-cn", REGION, MEMBER)]
    assert [3, 3, 3, 3] == [accounts.reserve(place, 3, 3, NOW, NOW)[0].count for place in places]
    assert [0, 0, 0, 0] == [accounts.reserve(place, 1, 3, NOW, NOW)[0].count for place in places]


def test_a_cap_that_is_lowered_counts_what_was_done_under_the_old_one(accounts: Accounts) -> None:
    """And a raised cap gives capacity at once."""
    accounts.reserve(HERE, 5, 5, NOW, NOW)
    assert 0 == accounts.reserve(HERE, 1, 2, NOW, NOW)[0].count
    assert 3 == accounts.reserve(HERE, 9, 8, NOW, NOW)[0].count


def test_room_that_was_not_used_can_be_used_by_others(accounts: Accounts) -> None:
    """Once, however often it is returned."""
    reservation, _ = accounts.reserve(HERE, 5, 5, NOW, NOW + LEASE)
    accounts.settle(HERE, reservation, [NOW] * 3, NOW + 2 * MINUTE)
    assert 2 == accounts.reserve(HERE, 5, 5, NOW + 2 * MINUTE, NOW + LEASE)[0].count
    accounts.settle(HERE, reservation, [NOW] * 3, NOW + 2 * MINUTE)
    assert 0 == accounts.reserve(HERE, 5, 5, NOW + 2 * MINUTE, NOW + 2 * MINUTE)[0].count


def test_room_that_is_given_back_after_it_would_have_been_free_anyway_is_not_free_twice(accounts: Accounts) -> None:
    """An hour later, the reservation no longer counts; nor does its return."""
    reservation, _ = accounts.reserve(HERE, 5, 5, NOW, NOW + LEASE)
    accounts.settle(HERE, reservation, [], NOW + 2 * HOUR)
    assert 5 == accounts.reserve(HERE, 9, 5, NOW + 2 * HOUR, NOW + 2 * HOUR)[0].count


def test_what_is_past_does_not_stay_in_the_item(accounts: Accounts) -> None:
    """The item has one hour of minutes, in every Region, however long the service runs."""
    for hours in range(5):
        accounts.reserve(HERE, 1, 50, NOW + hours * 2 * HOUR, NOW + hours * 2 * HOUR)
    accounts.reserve(Place("aws", "us-east-1", MEMBER), 1, 50, NOW + 20 * HOUR, NOW + 20 * HOUR)
    reservation, _ = accounts.reserve(HERE, 1, 50, NOW + 20 * HOUR, NOW + 20 * HOUR)
    accounts.settle(HERE, reservation, [NOW + 20 * HOUR], NOW + 20 * HOUR)
    known = accounts.of(HERE)
    assert {REGION: {NOW + 20 * HOUR: 1}} == known.enforcements
    assert [("us-east-1", 1)] == [(each.region, each.count) for each in known.reserved.values()]


@pytest.mark.parametrize(
    ("after", "granted"),
    [(HOUR - 59 * SECOND, 0), (HOUR - 29 * SECOND, 0), (HOUR, 0), (HOUR + SECOND, 1)],
)
def test_what_is_counted_by_the_minute_is_an_hour_to_the_second(
    after: timedelta, granted: int, accounts: Accounts
) -> None:
    """Changes of 12:00:59 count until 13:01:00: an hour never has more than the cap, wherever it begins."""
    accounts.reserve(HERE, 1, 1, NOW + 59 * SECOND, NOW + 59 * SECOND)
    assert granted == accounts.reserve(HERE, 1, 1, NOW + 59 * SECOND + after, NOW + 59 * SECOND + after)[0].count


@pytest.mark.parametrize("threads", [2, 8])
def test_many_functions_at_once_share_one_cap(threads: int, cloud: Cloud) -> None:
    """Exactly the cap is granted, in any interleaving."""
    functions = [cloud.accounts() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        granted = list(pool.map(lambda each: each.reserve(HERE, 3, 5, NOW, NOW)[0].count, functions))
    assert 5 == sum(granted)
    assert 0 == cloud.accounts().of(HERE).room(REGION, 5, NOW)


def changed_at_once(account: Account, wanted: int, cap: int, now: datetime) -> Account:
    """The account after as many changes as there is room for."""
    asked = Reservation(id="one", region=REGION, at=now, until=now + LEASE, count=wanted)
    account = account.with_reservation(asked, cap, now)
    granted = account.reserved[asked.id].count if asked.id in account.reserved else 0
    return account.settled(asked, [now] * granted, now)


NUMBERS = count()
MOMENTS = st.sampled_from([0, 1, 29, 59, 60, 600, 1200, 1771, 2400, 3541, 3571, 3599, 3600]).map(
    lambda seconds: timedelta(seconds=seconds)
)
"""Offsets at which an hour counted in minutes could go wrong, and some between."""
RESERVATION = st.tuples(MOMENTS, st.integers(1, 6), st.integers(0, 3))
"""Time since the previous reservation, number of instances, and how many of them are not changed after all."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cap=st.integers(1, 8),
    steps=st.lists(st.tuples(RESERVATION, st.lists(RESERVATION, max_size=3)), min_size=1, max_size=8),
    start=st.integers(0, 3599).map(lambda seconds: NOW + seconds * SECOND),
)
def test_no_sixty_minutes_see_more_changes_than_the_cap(cap: int, steps: Any, start: datetime, cloud: Cloud) -> None:
    """Wherever the hour begins, whatever is returned, and with writers between a read and its write."""
    here = Place("aws", REGION, f"{next(NUMBERS):012}")
    mine, others = cloud.accounts(), cloud.accounts()
    changed: list[tuple[datetime, int]] = []

    def act(who: Accounts, now: datetime, wanted: int, unused: int) -> None:
        reservation, account = who.reserve(here, wanted, cap, now, now)
        granted = reservation.count
        assert granted == wanted or account.opens_at(REGION, cap, now) > now
        unused = min(unused, granted)
        who.settle(here, reservation, [now] * (granted - unused), now)
        changed.append((now, granted - unused))

    between: list[Callable[[], object]] = []
    meanwhile(cloud, between)
    now = start
    for (wait, wanted, unused), intruders in steps:
        now += wait
        between[:] = [partial(act, others, now, *each[1:]) for each in intruders]
        act(mine, now, wanted, unused)
    for begin, _ in changed:
        assert cap >= sum(number for when, number in changed if begin <= when < begin + HOUR)


@given(
    cap=st.integers(1, 5),
    waits=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=12),
    more=st.integers(0, 3),
)
def test_there_is_room_when_it_was_promised_and_not_before(cap: int, waits: Any, more: int) -> None:
    """A retry at the promised time succeeds, even if the cap was lowered meanwhile."""
    account, now = Account(key=KEY), NOW
    for wait, wanted in waits:
        now += wait * MINUTE
        account = changed_at_once(account, wanted, cap + more, now)
    full = changed_at_once(account, cap, cap, now)
    opens_at = full.opens_at(REGION, cap, now)
    assert full.room(REGION, cap, opens_at) > 0
    assert 0 == full.room(REGION, cap, opens_at - SECOND)


def test_who_is_always_overtaken_gives_up_for_now(accounts: Accounts, cloud: Cloud) -> None:
    """Capacity that is not written is not granted; the message is retried."""
    accounts.reserve(HERE, 1, 9, NOW, NOW)
    other = cloud.accounts()
    meanwhile(cloud, [lambda: _bump(cloud, "accounts", KEY)] * 100)
    with pytest.raises(LedgerContended):
        other.reserve(HERE, 1, 9, NOW, NOW)


def _bump(cloud: Cloud, pk: str, sk: str) -> None:
    """Another writer changes an item."""
    cloud.as_account(HUB, "dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="ADD version :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


# --- The circuit breaker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollbacks", "enforced", "is_open"),
    [
        (1, 1, False),
        (2, 2, False),
        (3, 3, True),
        (3, 0, True),
        (3, 299, True),
        (3, 300, False),
        (4, 300, True),
        (9, 900, False),
    ],
)
def test_the_breaker_opens_at_three_rollbacks_that_are_more_than_one_in_a_hundred(
    rollbacks: int, enforced: int, is_open: bool, accounts: Accounts
) -> None:
    """Both conditions: two of two may be chance, and three of a thousand are expected."""
    account = count_broken(accounts, KEY, rollbacks, enforced, NOW)
    assert ((NOW,) * rollbacks, NOW if is_open else None) == (account.rollbacks, account.breaker_opened_at)
    written = accounts.of(HERE)
    assert (account.rollbacks, account.breaker_opened_at) == (written.rollbacks, written.breaker_opened_at)


def test_rollbacks_are_counted_one_by_one_and_together(accounts: Accounts) -> None:
    """It opens with the third, whichever pass of the guard records it."""
    opened = [count_broken(accounts, KEY, 1, 10, NOW + hours * HOUR).breaker_opened_at for hours in (0, 10, 20, 21)]
    assert [None, None, NOW + 20 * HOUR, NOW + 20 * HOUR] == opened


@pytest.mark.parametrize(("after", "is_open"), [(DAY - SECOND, True), (DAY, False)])
def test_only_the_rollbacks_of_a_day_count(after: timedelta, is_open: bool, accounts: Accounts) -> None:
    """Yesterday's breakage has been handled, or has its own hold."""
    count_broken(accounts, KEY, 2, 10, NOW)
    assert is_open == (count_broken(accounts, KEY, 1, 10, NOW + after).breaker_opened_at is not None)


def test_an_open_breaker_stays_open_until_a_person_closes_it(accounts: Accounts) -> None:
    """Neither time nor successes nor reservations close it."""
    count_broken(accounts, KEY, 3, 10, NOW)
    count_broken(accounts, KEY, 0, 10_000, NOW + 9 * DAY)
    accounts.reserve(HERE, 1, 50, NOW + 9 * DAY, NOW + 9 * DAY)
    assert NOW == accounts.of(HERE).breaker_opened_at


def test_a_person_closes_the_breaker_and_the_count_begins_anew(accounts: Accounts) -> None:
    """The person's name is kept; it takes three more rollbacks to open it again."""
    accounts.reserve(HERE, 2, 50, NOW, NOW)
    count_broken(accounts, KEY, 3, 10, NOW)
    closed = accounts.close_breaker(KEY, "alice, request 1", Author(caller="alice"), NOW)
    assert (None, "alice, request 1") == (closed.breaker_opened_at, closed.breaker_closed_by)
    assert 48 == closed.room(REGION, 50, NOW)
    opened = [count_broken(accounts, KEY, 1, 10, NOW + minutes * MINUTE).breaker_opened_at for minutes in (1, 2, 3)]
    assert [None, None, NOW + 3 * MINUTE] == opened


def test_a_message_about_a_breaker_does_not_count_for_the_one_that_opened_after_it(accounts: Accounts) -> None:
    """Between the message and its record a person closed it, and more broke."""
    told_of = count_broken(accounts, KEY, 3, 10, NOW)
    accounts.close_breaker(KEY, "bob, request 4", Author(caller="bob"), NOW + SECOND)
    count_broken(accounts, KEY, 3, 10, NOW + 2 * SECOND)
    accounts.breaker_told(told_of, NOW + 3 * SECOND)
    assert accounts.of(HERE).owes_breaker_message


def test_a_message_that_came_after_a_breaker_was_closed_changes_nothing(accounts: Accounts) -> None:
    """There is nothing open of which people have been told."""
    told_of = count_broken(accounts, KEY, 3, 10, NOW)
    closed = accounts.close_breaker(KEY, "bob, request 4", Author(caller="bob"), NOW + SECOND)
    accounts.breaker_told(told_of, NOW + 2 * SECOND)
    assert closed.breaker_told_at == accounts.of(HERE).breaker_told_at
    count_broken(accounts, KEY, 3, 10, NOW + 3 * SECOND)
    assert accounts.of(HERE).owes_breaker_message


def test_a_breaker_is_told_once_though_its_teller_s_clock_is_behind(accounts: Accounts) -> None:
    """By a few seconds, of the one that opened it."""
    opened = count_broken(accounts, KEY, 3, 10, NOW)
    accounts.breaker_told(opened, NOW - 5 * SECOND)
    assert not accounts.of(HERE).owes_breaker_message


def test_the_breaker_of_one_account_is_not_that_of_another(accounts: Accounts) -> None:
    """Breakage of one team does not stop the others."""
    count_broken(accounts, KEY, 3, 3, NOW)
    assert None is accounts.of(Place("aws", REGION, OTHER)).breaker_opened_at


def test_rollbacks_of_passes_at_once_are_all_counted(cloud: Cloud) -> None:
    """Regions are processed in parallel; together they open it, once."""
    guards = [cloud.accounts() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        times = [NOW + number * SECOND for number in range(3)]
        known = list(pool.map(lambda each, now: count_broken(each, KEY, 1, 10, now), guards, times))
    account = cloud.accounts().of(HERE)
    assert (sorted(times), True) == (sorted(account.rollbacks), account.breaker_opened_at in times)
    assert 1 == sum(each.breaker_opened_at is not None for each in known)


# --- Accounts, for the guard ---------------------------------------------------------------------------------------


def test_the_guard_finds_every_account_where_anything_was_enforced(accounts: Accounts) -> None:
    """The account processed longest ago comes first, and one never processed before all others."""
    assert [] == accounts.all()
    for number, account in enumerate((MEMBER, OTHER, HUB)):
        accounts.reserve(Place("aws", REGION, account), 1, 50, NOW, NOW)
        if account != HUB:
            assert accounts.claim(accounts.of(Place("aws", REGION, account)), NOW - number * HOUR)
    assert [f"aws/{HUB}", f"aws/{OTHER}", f"aws/{MEMBER}"] == [each.key for each in accounts.all()]


def test_accounts_are_read_page_by_page(accounts: Accounts, cloud: Cloud) -> None:
    """No account is missed because there are many."""
    for account in (MEMBER, OTHER):
        accounts.reserve(Place("aws", REGION, account), 1, 50, NOW, NOW)
    first = {
        "Items": [{"pk": {"S": "accounts"}, "sk": {"S": KEY}, "version": {"N": "1"}}],
        "LastEvaluatedKey": {"pk": {"S": "accounts"}, "sk": {"S": KEY}},
    }
    answers = iter([first])
    cloud.wire.on("Query", lambda _: next(answers, None))
    assert [KEY, f"aws/{OTHER}"] == [each.key for each in accounts.all()]


@pytest.mark.parametrize("claimed_before", [False, True])
def test_of_passes_at_once_one_looks_after_an_account(claimed_before: bool, cloud: Cloud) -> None:
    """The others continue with the next account."""
    accounts = cloud.accounts()
    accounts.reserve(HERE, 1, 50, NOW, NOW)
    if claimed_before:
        assert accounts.claim(accounts.of(HERE), NOW - HOUR)
    known = accounts.of(HERE)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda number: cloud.accounts().claim(known, NOW + number * SECOND), range(4)))
    assert 1 == sum(claims)


def test_a_claim_is_not_lost_to_a_writer_who_had_not_seen_it(accounts: Accounts, cloud: Cloud) -> None:
    """Nor is the writer's change lost: it reads again."""
    accounts.reserve(HERE, 1, 50, NOW, NOW)
    known = accounts.of(HERE)
    meanwhile(cloud, [lambda: accounts.claim(known, NOW + MINUTE)])
    cloud.accounts().reserve(HERE, 2, 50, NOW, NOW)
    account = accounts.of(HERE)
    assert (NOW + MINUTE, 47) == (account.guarded_at, account.room(REGION, 50, NOW))


# --- Cohorts -------------------------------------------------------------------------------------------------------


def test_a_cohort_that_nobody_knows_is_a_new_one(cohorts: Cohorts) -> None:
    """Without canaries."""
    assert {"x": Cohort(key="x")} == cohorts.read(["x"])


@pytest.mark.parametrize(
    "cohort",
    [
        COHORT,
        Cohort(key=COHORT.key, canaries=COHORT.canaries, wanted=2, opened_at=NOW),
        Cohort(key=COHORT.key, broken_by=arn_of("c"), broken_at=NOW),
    ],
)
def test_a_cohort_is_read_as_it_was_written(cohort: Cohort, cohorts: Cohorts) -> None:
    """In each of its states; only the version has increased."""
    assert cohorts.save(cohort)
    (read,) = cohorts.read([cohort.key]).values()
    assert (1, cohort) == (read.version, Cohort(**{name: getattr(read, name) for name in _NAMES}))


_NAMES = [name for name in Cohort.__dataclass_fields__ if name != "version"]


def test_who_has_not_seen_the_newest_cohort_does_not_write_over_it(cohorts: Cohorts) -> None:
    """Neither if it was new to both, nor later."""
    assert cohorts.save(COHORT)
    assert not cohorts.save(Cohort(key=COHORT.key, canaries=(arn_of("c"),), wanted=1))
    (seen,) = cohorts.read([COHORT.key]).values()
    assert cohorts.save(seen)
    assert not cohorts.save(seen)
    assert COHORT.canaries == cohorts.read([COHORT.key])[COHORT.key].canaries


def test_of_many_savers_at_once_one_wins(cloud: Cloud) -> None:
    """The others get an error, and read again."""
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda _: cloud.cohorts().save(COHORT), range(6)))
    assert 1 == sum(won)


def test_a_change_of_a_cohort_is_made_whoever_comes_between(cohorts: Cohorts, cloud: Cloud) -> None:
    """Breakage holds its cohort; losing that update to a function that is choosing canaries would let the others
    break, too."""
    broken = Cohort(key=COHORT.key, broken_by=arn_of("c"))
    meanwhile(cloud, [lambda: cloud.cohorts().save(COHORT)])
    cohorts.change(COHORT.key, lambda known: Cohort(key=known.key, version=known.version, broken_by=arn_of("c")))
    (read,) = cohorts.read([COHORT.key]).values()
    assert (2, broken.broken_by, ()) == (read.version, read.broken_by, read.canaries)


def test_a_change_of_a_cohort_that_never_succeeds_is_an_error(cohorts: Cohorts, cloud: Cloud) -> None:
    """The guard's next pass tries again; it does not treat the change as done."""
    cohorts.save(COHORT)
    meanwhile(cloud, [lambda: _bump(cloud, f"cohort#{COHORT.key}", "current")] * 100)
    with pytest.raises(LedgerContended):
        cohorts.change(COHORT.key, lambda known: known)


def test_many_cohorts_are_read_a_hundred_at_a_time(cohorts: Cohorts, cloud: Cloud) -> None:
    """DynamoDB reads at most 100 items per call; reads are consistent."""
    cohorts.save(COHORT)
    names = [f"cohort-{number}" for number in range(120)] + [COHORT.key]
    read = cohorts.read(names)
    assert (names, COHORT.canaries) == (list(read), read[COHORT.key].canaries)
    asked = [call.params["RequestItems"][TABLE] for call in cloud.wire.made("BatchGetItem")]
    assert [100, 21] == [len(each["Keys"]) for each in asked]
    assert all(each["ConsistentRead"] for each in asked)


def test_cohorts_that_dynamodb_leaves_unread_are_asked_for_again(cohorts: Cohorts, cloud: Cloud) -> None:
    """If they counted as new, they would get other canaries, and breakage would be forgotten."""
    cohorts.save(COHORT)
    refused = iter([True, False])

    def leave(call: Call) -> dict[str, Any] | None:
        return {"Responses": {}, "UnprocessedKeys": call.params["RequestItems"]} if next(refused) else None

    cloud.wire.on("BatchGetItem", leave)
    assert COHORT.canaries == cohorts.read([COHORT.key])[COHORT.key].canaries


def test_cohorts_that_dynamodb_never_reads_are_an_error(cohorts: Cohorts, cloud: Cloud) -> None:
    """A partial read is not used."""
    cloud.wire.on(
        "BatchGetItem", lambda call: {"Responses": {}, "UnprocessedKeys": {TABLE: call.params["RequestItems"][TABLE]}}
    )
    with pytest.raises(LedgerContended):
        cohorts.read(["x"])
