"""Properties of the evidence and its verdict, whatever the history."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.documents import evidence_document
from imdsv2.domain.history import Acceptance, History
from imdsv2.domain.policy import BootEvidence
from imdsv2.domain.verdict import Decision
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.line.evidence.gather import gather
from tests.unit.builders import NOW, arn, instance
from tests.unit.evidence_builders import DAY, MINUTE, RAN, REFUSED, START, USE, hours, look, verdict_on
from tests.unit.evidence_fleets import BRIEF, PAST, fleets, plain_reason, quiet
from tests.world.cloudwatch import DATAPOINTS, HOUR, CloudWatch

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance

Fleet = tuple[datetime, list["Instance"], CloudWatch]

ago = st.integers(0, PAST * 60).map(lambda minutes: NOW - minutes * MINUTE)
maybe = st.none() | ago
people = st.builds(
    History,
    enforced_at=maybe,
    confirmed=st.booleans(),
    rolled_back_at=maybe,
    undone_at=maybe,
    required_seen_at=maybe,
    cleared_at=maybe,
    mended_at=maybe,
    proved_start=maybe,
    acceptance=st.none()
    | st.builds(
        Acceptance,
        owner=st.just("carol"),
        reason=st.just("It falls back."),
        until=st.dates(date(2026, 11, 18), date(2026, 11, 22)),
        by=st.none(),
        request_id=st.just("request-1"),
        at=ago,
    ),
)


def decision(fleet: Fleet, history: History = History()) -> Decision:  # noqa: B008 - frozen
    """The decision about the first of a fleet."""
    now, (target, *_), cloudwatch = fleet
    return verdict_on(cloudwatch, target, BRIEF, now, history).decision


def is_no_more_permissive(before: Decision, after: Decision) -> bool:
    """Enforcing is the most that a verdict permits."""
    return before is Decision.ENFORCE or after is not Decision.ENFORCE


@given(fleets())
@settings(max_examples=300)
def test_the_verdict_is_what_the_datapoints_say(fleet: Fleet) -> None:
    """However the queries are split, the result equals the direct computation."""
    now, (target,), cloudwatch = fleet
    assert plain_reason(cloudwatch, target, now) is verdict_on(cloudwatch, target, BRIEF, now).reason


@given(fleets(size=4), st.lists(people, min_size=4, max_size=4), st.sampled_from([DATAPOINTS, 37]))
@settings(max_examples=80)
def test_the_company_an_instance_is_asked_about_in_changes_nothing(
    fleet: Fleet, histories: list[History], page: int
) -> None:
    """Instances share calls, and a call has one time range for all; each verdict is as if the instance were alone."""
    now, targets, cloudwatch = fleet
    known = {target.arn: history for target, history in zip(targets, histories, strict=True)}
    alone = {target.arn: look(cloudwatch, target, BRIEF, now, known[target.arn]) for target in targets}
    cloudwatch.page = page
    assert alone == gather(cloudwatch.client, targets, known, BRIEF, now)


@given(fleets(), st.data())
@settings(max_examples=150)
def test_an_accepted_call_more_never_permits(fleet: Fleet, data: st.DataObject) -> None:
    """One call in any hour that touches the window, or in the two hours of the start, rules enforcement out."""
    now, (target,), cloudwatch = fleet
    end = target.stopped_at or now
    begin = max(end - 2 * DAY, target.first_launched_at or end)
    boot_end = min(target.launched_at + START, end)
    boot = range(int(target.launched_at.timestamp()), int(boot_end.timestamp()) + 1, 60)
    touched = hours(begin, end) + [datetime.fromtimestamp(each, NOW.tzinfo) for each in boot]
    cloudwatch.add(USE, target.arn.instance_id, data.draw(st.sampled_from(touched)), 1)
    assert Decision.HOLD is verdict_on(cloudwatch, target, BRIEF, now).decision or begin == end


@given(fleets(), people, ago, st.integers(1, 500))
@settings(max_examples=200)
def test_an_accepted_call_more_never_permits_more_whatever_people_said(
    fleet: Fleet, history: History, when: datetime, calls: int
) -> None:
    """Anywhere in the past days, with a clearance, a reboot or an acceptance at any time."""
    _, (target,), cloudwatch = fleet
    before = decision(fleet, history)
    # A datapoint more would be evidence of life as well, so the calls go where there is one.
    known = [each for each in cloudwatch.points.get((USE, target.arn.instance_id), {}) if each <= when]
    if known:
        cloudwatch.add(USE, target.arn.instance_id, max(known), calls)
    assert is_no_more_permissive(before, decision(fleet, history))


@given(fleets(), people, ago, st.integers(1, 500))
@settings(max_examples=200)
def test_a_refused_call_more_never_permits_more(fleet: Fleet, history: History, when: datetime, calls: int) -> None:
    """Before or after what a person said, in a gap or in a quiet hour."""
    _, (target,), cloudwatch = fleet
    before = decision(fleet, history)
    cloudwatch.add(REFUSED, target.arn.instance_id, when, calls)
    assert is_no_more_permissive(before, decision(fleet, history))


@given(fleets(), people, st.data())
@settings(max_examples=200)
def test_a_datapoint_less_never_permits_more(fleet: Fleet, history: History, data: st.DataObject) -> None:
    """Removing datapoints without use, of hours or of five minutes."""
    _, (target,), cloudwatch = fleet
    before = decision(fleet, history)
    calls = cloudwatch.points.get((USE, target.arn.instance_id), {})
    quiet_ones = [when for when, value in calls.items() if not value]
    if not quiet_ones:
        return
    for when in data.draw(st.sets(st.sampled_from(quiet_ones), min_size=1)):
        del calls[when]
    assert is_no_more_permissive(before, decision(fleet, history))


@given(fleets(), people, st.integers(0, PAST), st.integers(1, 12))
@settings(max_examples=200)
def test_a_longer_gap_never_permits_more(fleet: Fleet, history: History, begins: int, length: int) -> None:
    """In both metrics since the last start, when EC2 says that it ran; before that, in the one of its calls."""
    now, (target,), cloudwatch = fleet
    before = decision(fleet, history)
    begin = now - begins * HOUR
    for metric in (USE, RAN):
        points = cloudwatch.points.get((metric, target.arn.instance_id), {})
        since = begin if metric == USE else max(begin, target.launched_at)
        for when in [each for each, value in points.items() if since <= each < begin + length * HOUR]:
            if metric == RAN or not points[when]:
                del points[when]
    assert is_no_more_permissive(before, decision(fleet, history))


@given(st.integers(0, PAST * 60), st.integers(0, PAST * 60), st.booleans())
@settings(max_examples=150)
def test_a_later_start_never_permits_more(one: int, other: int, is_first: bool) -> None:
    """Of two quiet instances that reported everything, the one that was launched, or started, later has proved less."""
    decisions = []
    for minutes in sorted((one, other), reverse=True):
        launched_at = NOW - minutes * MINUTE
        cloudwatch, target = quiet(launched_at, NOW, launched_at if is_first else NOW - PAST * HOUR)
        decisions.append(verdict_on(cloudwatch, target, BRIEF).decision)
    assert is_no_more_permissive(*decisions)


stricter = st.fixed_dictionaries(
    {},
    optional={
        "min_coverage": st.floats(0.9, 1),
        "max_gap_hours": st.integers(1, 5),
        "min_observed_hours": st.integers(8, 48),
        "min_clean_starts": st.integers(3, 5),
    },
)


@given(fleets(), people, stricter, st.sampled_from(BootEvidence))
@settings(max_examples=200)
def test_a_stricter_policy_never_permits_more(
    fleet: Fleet, history: History, fields: dict[str, Any], boot: BootEvidence
) -> None:
    """In one of its fields or in several, whatever people said."""
    now, (target, *_), cloudwatch = fleet
    lenient, strict = replace(BRIEF, boot_evidence=boot), replace(BRIEF, **fields)
    before, after = (verdict_on(cloudwatch, target, policy, now, history).decision for policy in (lenient, strict))
    assert is_no_more_permissive(before, after)


stamps = st.integers(0, 470 * 1440).map(lambda minutes: NOW - minutes * MINUTE)
points = st.dictionaries(stamps, st.floats(0, 1e9), max_size=30)


@given(
    st.lists(st.tuples(points, points, points), min_size=1, max_size=3),
    st.data(),
    st.sampled_from([1, 35, 455]),
)
@settings(max_examples=150)
def test_nothing_raises_whatever_the_series(
    series: list[tuple[dict[datetime, float], ...]], data: st.DataObject, lookback_days: int
) -> None:
    """Any stamps, values, starts, stops and words of people: a verdict with a reason, and a document that JSON can carry."""
    cloudwatch = CloudWatch(lambda: NOW)
    policy = replace(BRIEF, lookback_days=lookback_days)
    targets, histories = [], {}
    for number, metrics in enumerate(series, start=1):
        launched_at = data.draw(stamps)
        target = instance(
            arn=arn(number),
            state=data.draw(st.sampled_from(["running", "stopped"])),
            launched_at=launched_at,
            first_launched_at=data.draw(st.sampled_from([None, launched_at, min(launched_at, data.draw(stamps))])),
            stopped_at=data.draw(st.none() | stamps),
            hibernates=data.draw(st.booleans()),
        )
        targets.append(target)
        histories[target.arn] = data.draw(people)
        for metric, values in zip((USE, RAN, REFUSED), metrics, strict=True):
            for when, value in values.items():
                cloudwatch.put(metric, target.arn.instance_id, when, value)
    seen = gather(cloudwatch.client, targets, histories, policy, NOW)
    for target in targets:
        verdict = decide(target, seen[target.arn], histories[target.arn], policy, NOW)
        assert verdict.explanation
        assert verdict.revisit_at is None or verdict.revisit_at > NOW - timedelta(minutes=1)
        assert json.dumps(evidence_document(seen[target.arn]), allow_nan=False)
