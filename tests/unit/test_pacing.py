"""Pacing: which calls it admits, how long it delays them, and how it backs off and recovers."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.pacing import LEAST_DATAPOINTS, QUOTAS, Bucket, Pacing, Quota
from imdsv2.domain.instance import Place
from imdsv2.errors import QuotaExhausted, SettingMissing
from imdsv2.settings import Settings

HERE = Place("aws", "eu-west-1", "222222222222")
CHANGE = "ModifyInstanceMetadataOptions"

QUOTA_ANY = st.builds(Quota, rate=st.floats(min_value=0.1, max_value=100), burst=st.floats(min_value=1, max_value=200))
PAUSES = st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=80)


@dataclass
class Clock:
    """A clock that moves only when the test advances it."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def pacing(clock: Clock, *, share: float = 1.0, chance: float = 0.0) -> Pacing:
    """Pacing without jitter, unless requested."""
    return Pacing(share=share, clock=clock, chance=lambda: chance)


def use_up(paced: Pacing, operation: str = CHANGE, place: Place = HERE) -> int:
    """The number of calls admitted at once."""
    calls = 0
    while paced.reserve(place, operation) == 0.0:
        calls += 1
    return calls


def ask(paced: Pacing) -> tuple[float, float | None]:
    """The seconds to wait for a call or, if it is refused, until there is capacity."""
    try:
        return paced.reserve(HERE, CHANGE), None
    except QuotaExhausted as exhausted:
        return 0.0, exhausted.ready_in


@given(quota=QUOTA_ANY, pauses=PAUSES)
def test_no_window_of_time_sees_more_than_the_quota(quota: Quota, pauses: list[float]) -> None:
    """Between any two calls, there are at most as many as the bucket holds and is refilled with in that time."""
    bucket, now = Bucket(quota, 0.0), 0.0
    sent: list[float] = []
    for pause in pauses:
        now += pause
        sent.append(now + bucket.room_in(1.0, now))
        bucket.take(1.0, now)
    for first, start in enumerate(sent):
        for last, end in enumerate(sent[first:], start=first):
            assert last - first + 1 <= quota.burst + quota.rate * (end - start) + 1e-6


@given(quota=QUOTA_ANY, pauses=PAUSES, throttlings=st.lists(st.booleans(), min_size=80, max_size=80))
def test_yielding_only_ever_makes_it_slower(quota: Quota, pauses: list[float], throttlings: list[bool]) -> None:
    """Backing off never makes a call earlier than it would be without throttling, so the quota still holds."""
    yielding, steady, now = Bucket(quota, 0.0), Bucket(quota, 0.0), 0.0
    for pause, throttled in zip(pauses, throttlings, strict=False):
        now += pause
        assert steady.room_in(1.0, now) <= yielding.room_in(1.0, now) + 1e-6
        for bucket in (steady, yielding):
            bucket.take(1.0, now)
        if throttled:
            yielding.yield_(now)


@given(quota=QUOTA_ANY, pauses=PAUSES)
def test_the_rate_never_falls_below_its_floor_nor_rises_above_the_quota(quota: Quota, pauses: list[float]) -> None:
    """However often AWS throttles."""
    bucket, now = Bucket(quota, 0.0), 0.0
    for pause in pauses:
        now += pause
        bucket.yield_(now)
        assert 0.05 * quota.rate * 0.999 <= bucket.rate(now) <= quota.rate


@given(quota=QUOTA_ANY, pauses=PAUSES)
def test_the_whole_rate_is_back_a_minute_after_the_last_throttling(quota: Quota, pauses: list[float]) -> None:
    """And it never falls during the recovery."""
    bucket, now = Bucket(quota, 0.0), 0.0
    for pause in pauses:
        now += pause
        bucket.yield_(now)
    rates = [bucket.rate(now + seconds) for seconds in range(61)]
    assert sorted(rates) == rates
    assert quota.rate == rates[-1]


@given(
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, 1.0]), min_size=120, max_size=160),
    left=st.floats(min_value=-5, max_value=30),
    chance=st.floats(min_value=0, max_value=1),
)
def test_nobody_waits_beyond_the_end(pauses: list[float], left: float, chance: float) -> None:
    """A call is admitted before the deadline, or refused at once with the time at which there is capacity."""
    clock = Clock(0.0)
    paced = pacing(clock, chance=chance)
    paced.end_in(left)
    for pause in pauses:
        clock.now += pause
        patience = max(0.0, left - clock.now)
        wait, ready_in = ask(paced)
        assert 0.0 <= wait <= patience
        assert ready_in is None or ready_in > patience


def test_a_burst_goes_through_and_the_rest_at_the_rate_of_the_quota() -> None:
    """A hundred at once, then five a second; each call learns its delay when it asks."""
    paced = pacing(Clock())
    assert [0.0] * 100 == [paced.reserve(HERE, CHANGE) for _ in range(100)]
    assert [pytest.approx(0.2), pytest.approx(0.4), pytest.approx(0.6)] == [
        paced.reserve(HERE, CHANGE) for _ in range(3)
    ]


def test_an_hour_of_rest_fills_the_bucket_and_no_more() -> None:
    """The bucket never holds more than AWS's own."""
    clock = Clock()
    paced = pacing(clock)
    use_up(paced)
    clock.now += 3600
    assert 100 == use_up(paced)


def test_a_refused_call_takes_nothing() -> None:
    """A refused call does not delay other calls."""
    clock = Clock()
    paced = pacing(clock)
    use_up(paced)
    paced.end_in(0.1)
    for _ in range(50):
        with pytest.raises(QuotaExhausted):
            paced.reserve(HERE, CHANGE)
    paced.end_in(3600)
    assert pytest.approx(0.4) == paced.reserve(HERE, CHANGE)


def test_the_refusal_says_what_where_and_for_how_long() -> None:
    """A person reads it in the ledger."""
    paced = pacing(Clock())
    use_up(paced)
    paced.end_in(0)
    with pytest.raises(QuotaExhausted, match=r"222222222222, eu-west-1 .* another ModifyInstanceMetadataOptions"):
        paced.reserve(HERE, CHANGE)


def test_a_request_in_doubt_is_never_refused() -> None:
    """It waits as long as possible and is then sent on credit; later calls wait for the bucket to recover."""
    paced = pacing(Clock())
    use_up(paced)
    paced.end_in(0.1)
    assert pytest.approx(0.1) == paced.reserve(HERE, CHANGE, in_doubt=True)
    paced.end_in(3600)
    assert pytest.approx(0.6) == paced.reserve(HERE, CHANGE)


def test_each_account_region_and_api_has_a_quota_of_its_own() -> None:
    """They do not delay each other."""
    paced = pacing(Clock())
    use_up(paced)
    assert 100 == use_up(paced, place=Place("aws", "us-east-1", "222222222222"))
    assert 100 == use_up(paced, place=Place("aws", "eu-west-1", "333333333333"))
    assert 100 == use_up(paced, "CreateTags")


def test_an_api_without_a_known_quota_is_not_held_up() -> None:
    """Nor does its throttling count here; botocore retries it."""
    paced = pacing(Clock())
    paced.throttled(HERE, "DescribeRegions")
    assert [0.0] * 500 == [paced.reserve(HERE, "DescribeRegions") for _ in range(500)]


@pytest.mark.parametrize(
    ("share", "operation", "burst"),
    [
        (0.5, CHANGE, 100),
        (0.5, "CreateTags", 50),
        (0.5, "DescribeInstances", 25),
        (1.0, "DescribeInstances", 50),
        (4.0, CHANGE, 400),
        (4.0, "CreateTags", 400),
    ],
)
def test_what_people_need_too_is_used_by_a_share(share: float, operation: str, burst: int) -> None:
    """The service uses nearly all of the quota for changes of metadata options; a share above 1 scales all quotas, for
    accounts in which AWS has raised them."""
    assert burst == use_up(pacing(Clock(), share=share), operation)


def test_throttling_stops_the_burst_and_halves_the_rate() -> None:
    """AWS's bucket is empty, so this one is emptied; concurrent throttled calls count once."""
    clock = Clock()
    paced = pacing(clock)
    for _ in range(8):
        paced.throttled(HERE, CHANGE)
        clock.now += 0.01
    clock.now -= 0.01
    assert pytest.approx(0.4, rel=0.1) == paced.reserve(HERE, CHANGE)


def test_functions_that_are_throttled_together_do_not_come_back_together() -> None:
    """Each waits for its token plus a random part of the time for another."""
    clock = Clock()
    waits = []
    for chance in (0.0, 0.5, 1.0):
        paced = pacing(clock, chance=chance)
        paced.throttled(HERE, CHANGE)
        waits.append(paced.reserve(HERE, CHANGE))
    assert [pytest.approx(0.4), pytest.approx(0.6), pytest.approx(0.8)] == waits


def test_metrics_are_paid_by_the_datapoint_and_at_least_by_the_call() -> None:
    """Fifty small calls a second, or four large ones."""
    clock = Clock()
    paced = pacing(clock)
    small = [paced.reserve(HERE, "GetMetricData", LEAST_DATAPOINTS) for _ in range(51)]
    assert [*[0.0] * 50, pytest.approx(1 / 50)] == small
    elsewhere = Place("aws", "us-east-1", "222222222222")
    large = [paced.reserve(elsewhere, "GetMetricData", 100_800) for _ in range(5)]
    assert [0.0, 0.0, 0.0, pytest.approx(0.018, abs=0.001), pytest.approx(0.273, abs=0.001)] == large


def test_a_call_that_costs_more_than_the_bucket_holds_goes_through_in_time() -> None:
    """A small share must not block a large call forever."""
    clock = Clock()
    paced = pacing(clock, share=0.1)
    wait = paced.reserve(HERE, "GetMetricData", 100_800)
    assert pytest.approx((100_800 - 39_600) / 39_600) == wait


@given(seed=st.integers(min_value=0, max_value=2**16), functions=st.integers(min_value=2, max_value=8))
def test_functions_that_do_not_know_each_other_come_to_share_a_quota(seed: int, functions: int) -> None:
    """Against a bucket like EC2's, they use nearly all of its rate, and none is starved."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    clock = Clock(0.0)
    paced = [Pacing(share=1.0, clock=clock, chance=chance.random) for _ in range(functions)]
    ready = [0.0] * functions
    got = [0] * functions
    tokens, second = 100.0, 0
    while clock.now < 600:
        function = min(range(functions), key=ready.__getitem__)
        clock.now = ready[function]
        tokens = min(100.0, tokens + 5 * (int(clock.now) - second))
        second = int(clock.now)
        if tokens >= 1:
            tokens -= 1
            got[function] += 1
        else:
            paced[function].throttled(HERE, CHANGE)
        ready[function] = clock.now + paced[function].reserve(HERE, CHANGE) + 0.05
    assert 0.9 * (100 + 5 * 600) <= sum(got)
    assert min(got) >= 0.25 * sum(got) / functions


def test_threads_together_take_no_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads ask, and each is forced to yield during its calculation: every token is still given once."""
    reckon = Bucket.room_in

    def dawdle(self: Bucket, cost: float, now: float) -> float:
        room_in = reckon(self, cost, now)
        time.sleep(0.0005)
        return room_in

    monkeypatch.setattr(Bucket, "room_in", dawdle)
    paced = pacing(Clock())
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: paced.reserve(HERE, CHANGE), range(160)))
    assert [0.0] * 100 == waits[:100]
    assert [pytest.approx(number / 5) for number in range(1, 61)] == waits[100:]


def test_every_quota_lets_something_through() -> None:
    """A bucket without capacity or refill would block calls forever."""
    assert all(each.rate > 0 and each.burst >= 1 for each in QUOTAS.values())


ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "LEASE_SECONDS": "360",
    "LEDGER_TABLE": "ledger",
    "MANUAL_FUNCTION": "imdsv2-remediation-manual",
    "MEMBER_ROLES": "imdsv2-remediation-",
    "NOTIFICATIONS_TOPIC_ARN": "arn:aws:sns:eu-west-1:111111111111:topic",
    "POLICY_PARAMETER": "/policy",
}


def test_half_of_what_people_need_is_left_to_them_unless_the_stack_says_otherwise() -> None:
    """The share comes from the environment."""
    assert 0.5 == Settings.from_environment(ENVIRONMENT).quota_share
    assert 2.0 == Settings.from_environment(ENVIRONMENT | {"QUOTA_SHARE": "2"}).quota_share


@pytest.mark.parametrize("share", ["", "half", "0", "-1", "nan", "inf"])
def test_a_share_that_lets_nothing_through_or_is_none_fails_at_start(share: str) -> None:
    """Not only at the first call."""
    with pytest.raises(SettingMissing, match="QUOTA_SHARE"):
        Settings.from_environment(ENVIRONMENT | {"QUOTA_SHARE": share})
