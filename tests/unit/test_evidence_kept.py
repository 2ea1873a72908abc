"""What the ledger keeps of evidence spares reading it again, and never changes a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.verdict_table.decision import decide
from imdsv2.ledger.record import Record
from imdsv2.line.evidence.gather import gather
from imdsv2.line.evidence.proofs import with_proofs
from tests.unit.builders import NOW, arn, instance
from tests.unit.evidence_builders import DAY, POLICY, REFUSED, UNKNOWN, USE, call, look, report, verdict_on
from tests.unit.evidence_fleets import BRIEF, fleets
from tests.world.cloudwatch import HOUR, CloudWatch
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy


def kept(cloudwatch: CloudWatch, target: Instance, now: datetime, policy: Policy = POLICY) -> History:
    """What the ledger knows after an instance was judged."""
    return with_proofs(Record(arn=target.arn), look(cloudwatch, target, policy, now)).history


def kept_before(cloudwatch: CloudWatch, target: Instance, now: datetime, share: float) -> History:
    """What the ledger knows after an instance was judged at some time between its last start and now."""
    then = target.launched_at + share * (now - target.launched_at)
    if target.stopped_at is not None and then < target.stopped_at:
        target = replace(target, state="running", stopped_at=None)
    return kept(cloudwatch, target, then, BRIEF)


@given(fleets(size=2), st.floats(0, 1), st.sampled_from([1, 2, 3]))
@settings(max_examples=200)
def test_the_verdict_is_that_of_whoever_knows_nothing(
    fleet: tuple[datetime, list[Instance], CloudWatch], share: float, lookback_days: int
) -> None:
    """Also under a policy that looks back farther, or less far, than that under which it was judged before."""
    now, targets, cloudwatch = fleet
    histories = {each.arn: kept_before(cloudwatch, each, now, share) for each in targets}
    policy = replace(BRIEF, lookback_days=lookback_days)
    known = gather(cloudwatch.client, targets, histories, policy, now)
    unknown = gather(cloudwatch.client, targets, dict.fromkeys(histories, UNKNOWN), policy, now)
    for each in targets:
        verdict = decide(each, known[each.arn], UNKNOWN, policy, now)
        assert decide(each, unknown[each.arn], UNKNOWN, policy, now) == verdict


def old(cloudwatch: CloudWatch, number: int = 1) -> Instance:
    """An instance of a hundred days that reports every hour and calls nothing."""
    target = instance(arn=arn(number), launched_at=NOW - 100 * DAY)
    report(cloudwatch, target, target.launched_at, NOW + 30 * DAY, [USE])
    return target


@pytest.fixture
def clock() -> list[datetime]:
    """The time, which a test moves."""
    return [NOW]


@pytest.fixture
def cloudwatch(clock: list[datetime]) -> CloudWatch:
    """A CloudWatch whose time the test moves."""
    return CloudWatch(lambda: clock[0])


def metrics(cloudwatch: CloudWatch) -> int:
    """How many metrics were asked for."""
    return sum(len(each["MetricDataQueries"]) for each in cloudwatch.asked)


def test_a_day_later_one_metric_is_read(cloudwatch: CloudWatch, clock: list[datetime]) -> None:
    """The window by the hour; what was refused, and what came before the window, is known."""
    target = old(cloudwatch)
    history = kept(cloudwatch, target, NOW)
    assert 5 == metrics(cloudwatch)
    for day in range(1, 7):
        clock[0] = NOW + day * DAY
        cloudwatch.asked.clear()
        assert "unused" == verdict_on(cloudwatch, target, now=clock[0], history=history).reason
        assert 1 == metrics(cloudwatch)
    clock[0] = NOW + 8 * DAY
    cloudwatch.asked.clear()
    verdict_on(cloudwatch, target, now=clock[0], history=history)
    assert 2 == metrics(cloudwatch), "refused calls are read again each week"


def test_what_is_refused_since_is_listed_and_read(cloudwatch: CloudWatch, clock: list[datetime]) -> None:
    """One instance's calls make nobody else's be read."""
    target, other = old(cloudwatch), old(cloudwatch, 2)
    histories = {each.arn: kept(cloudwatch, each, NOW) for each in (target, other)}
    call(cloudwatch, target, NOW + 3 * HOUR, metric=REFUSED)
    clock[0] = NOW + 2 * DAY
    cloudwatch.asked.clear()
    seen = gather(cloudwatch.client, [target, other], histories, POLICY, clock[0])
    assert (1, 0) == (seen[target.arn].refused.calls, seen[other.arn].refused.calls)
    assert 1 == len(cloudwatch.calls_for(REFUSED)[0]["MetricDataQueries"])


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
def test_where_it_cannot_be_listed_it_is_read(cloudwatch: CloudWatch, clock: list[datetime], code: str) -> None:
    """Roles of an older stack, or a quota."""
    target = old(cloudwatch)
    history = kept(cloudwatch, target, NOW)
    clock[0] = NOW + DAY

    def fails(**_: object) -> None:
        raise refusal(code, "no", "ListMetrics")

    cloudwatch.list_metrics = fails  # type: ignore[method-assign,assignment]
    cloudwatch.asked.clear()
    assert "unused" == verdict_on(cloudwatch, target, now=clock[0], history=history).reason
    assert 1 == len(cloudwatch.calls_for(REFUSED))


@pytest.mark.parametrize("name", ["required_seen_at", "enforced_at", "rolled_back_at"])
def test_what_required_tokens_since_is_read(cloudwatch: CloudWatch, clock: list[datetime], name: str) -> None:
    """Only then are calls refused, and the newest are not listed yet."""
    target = old(cloudwatch)
    history = replace(kept(cloudwatch, target, NOW), **{name: NOW + HOUR})  # type: ignore[arg-type]
    clock[0] = NOW + DAY
    cloudwatch.asked.clear()
    look(cloudwatch, target, now=clock[0], history=history)
    assert 1 == len(cloudwatch.calls_for(REFUSED))


def test_older_use_is_read_again_and_again(cloudwatch: CloudWatch, clock: list[datetime]) -> None:
    """It is told in the explanation, and may come again."""
    target = old(cloudwatch)
    call(cloudwatch, target, NOW - 80 * DAY)
    history = kept(cloudwatch, target, NOW)
    assert history.quiet_until is None
    clock[0] = NOW + DAY
    assert "the last in the week from" in verdict_on(cloudwatch, target, now=clock[0], history=history).explanation


def test_after_a_pause_longer_than_the_window_what_lies_between_is_read(
    cloudwatch: CloudWatch, clock: list[datetime]
) -> None:
    """Nobody has looked at it."""
    target = old(cloudwatch)
    history = kept(cloudwatch, target, NOW, replace(POLICY, lookback_days=5, min_observed_hours=24))
    call(cloudwatch, target, NOW + 2 * DAY)
    clock[0] = NOW + 20 * DAY
    brief = replace(POLICY, lookback_days=5, min_observed_hours=24)
    assert 1 == look(cloudwatch, target, brief, clock[0], history).older.calls


@pytest.mark.parametrize("broken", [USE, REFUSED])
def test_what_could_not_be_read_proves_nothing(cloudwatch: CloudWatch, broken: str) -> None:
    """Not for a part either."""
    target = old(cloudwatch)
    cloudwatch.statuses[broken, target.arn.instance_id] = "InternalError"
    assert UNKNOWN == kept(cloudwatch, target, NOW)
