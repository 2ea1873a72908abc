"""Properties of a cohort's evidence, whatever its members did: what makes less known, or more used, never makes it more permissive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.evidence.pool import Member, pool_of
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Decision
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.line.evidence.glance import look_closely
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, instance
from tests.unit.evidence_builders import DAY, MINUTE, RAN, REFUSED, START, UNKNOWN, USE, look, lose, periods, report
from tests.world.cloudwatch import HOUR, CloudWatch

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import Instance, InstanceArn

KEY = f"aws/{ACCOUNT}/{REGION}/group:press@lt-0b7e+2+ami-0f"
POLICY = Policy(lookback_days=3, min_observed_hours=16, min_clean_starts=2, max_gap_hours=6)
SINCE = NOW - 3 * DAY
PAST = 100
"""Hours: farther back than the window reaches."""


@dataclass(kw_only=True)
class Herd:
    """A cohort, the first of which is judged; with what CloudWatch remembers, who has ended, and what people said."""

    cloudwatch: CloudWatch
    instances: list[Instance]
    ended: dict[InstanceArn, datetime]
    settled: dict[InstanceArn, datetime]

    def decision(self, policy: Policy = POLICY) -> Decision:
        """What becomes of the first."""
        own = self.instances[0]
        members = [
            Member(arn=each.arn, launched_at=each.launched_at, ended_at=self.ended.get(each.arn))
            for each in self.instances
        ]
        there = {each.arn: each for each in self.instances if each.arn not in self.ended}
        seen = look_closely(self.cloudwatch.client, members, there, {}, policy, NOW)
        since = NOW - policy.lookback_days * DAY
        pool = pool_of(KEY, seen, since=since, now=NOW, settled=self.settled)
        return decide(own, look(self.cloudwatch, own, policy), UNKNOWN, policy, NOW, pool).decision

    def points(self, arn_: InstanceArn, metric: str = USE) -> dict[datetime, float]:
        """Its datapoints."""
        return self.cloudwatch.points.setdefault((metric, arn_.instance_id), {})


@st.composite
def herds(draw: st.DrawFn) -> Herd:
    """Mostly quiet ones, so that the judged one is often enforced: young or old, with a few holes, stops, and calls."""
    cloudwatch = CloudWatch(lambda: NOW)
    instances, ended, settled = [], {}, {}
    for number in range(1, draw(st.integers(2, 4)) + 1):
        first = draw(st.integers(4 * 60, PAST * 60))
        last = draw(st.just(first) | st.integers(3 * 60, first))
        stopped = draw(st.none() | st.none() | st.integers(0, last - 1)) if number > 1 else None
        gone = stopped is not None and draw(st.booleans())
        target = instance(
            arn=arn(number),
            first_launched_at=NOW - first * MINUTE,
            launched_at=NOW - last * MINUTE,
            state="running" if stopped is None else "stopped",
            stopped_at=None if stopped is None else NOW - stopped * MINUTE,
        )
        report(cloudwatch, target, NOW - first * MINUTE, target.stopped_at or NOW)
        for hours in draw(st.lists(st.integers(3, PAST), max_size=2)):
            lose(cloudwatch, target, NOW - hours * HOUR, NOW - (hours - 2) * HOUR)
        known = sorted(cloudwatch.points.get((USE, target.arn.instance_id), {}))
        if known and number > 1 and draw(st.sampled_from([False, False, True])):
            cloudwatch.add(USE, target.arn.instance_id, draw(st.sampled_from(known)), draw(st.integers(1, 4)))
        if target.stopped_at and gone:
            ended[target.arn] = target.stopped_at
        if draw(st.sampled_from([False, False, True])):
            settled[target.arn] = NOW - draw(st.integers(0, PAST)) * HOUR
        instances.append(target)
    return Herd(cloudwatch=cloudwatch, instances=instances, ended=ended, settled=settled)


def is_no_more_permissive(before: Decision, after: Decision) -> bool:
    """Enforcing is the most that a verdict permits."""
    return before is Decision.ENFORCE or after is not Decision.ENFORCE


@given(herds(), st.data())
@settings(max_examples=150)
def test_a_call_more_by_anybody_never_permits_more(herd: Herd, data: st.DataObject) -> None:
    """Accepted or refused; in the window or before it; by one that lives, is stopped or has ended."""
    target = data.draw(st.sampled_from(herd.instances))
    known = sorted(herd.points(target.arn))
    if not known:
        return
    before = herd.decision()
    metric = data.draw(st.sampled_from([USE, REFUSED]))
    herd.cloudwatch.add(metric, target.arn.instance_id, data.draw(st.sampled_from(known)), data.draw(st.integers(1, 9)))
    assert is_no_more_permissive(before, herd.decision())


@given(herds(), st.data())
@settings(max_examples=150)
def test_datapoints_less_of_anybody_never_permit_more(herd: Herd, data: st.DataObject) -> None:
    """Those without calls: fewer hours, and starts that nobody saw."""
    target = data.draw(st.sampled_from(herd.instances))
    quiet = sorted(when for when, value in herd.points(target.arn).items() if not value)
    if not quiet:
        return
    before = herd.decision()
    for when in data.draw(st.sets(st.sampled_from(quiet), min_size=1)):
        del herd.points(target.arn)[when]
    assert is_no_more_permissive(before, herd.decision())


@given(herds(), st.integers(0, 3), st.integers(0, PAST), st.integers(1, 30))
@settings(max_examples=150)
def test_a_longer_gap_of_anybody_never_permits_more(herd: Herd, index: int, begins: int, length: int) -> None:
    """In its calls; and since the last start, when EC2 says that it ran, in what tells of its life as well."""
    target = herd.instances[index % len(herd.instances)]
    before = herd.decision()
    begin, end = NOW - begins * HOUR, NOW - (begins - length) * HOUR
    for metric, since in ((USE, begin), (RAN, max(begin, target.launched_at))):
        points = herd.points(target.arn, metric)
        for when in [each for each, value in points.items() if since <= each < end and (metric == RAN or not value)]:
            del points[when]
    assert is_no_more_permissive(before, herd.decision())


@given(herds(), st.integers(1, 3), st.integers(0, PAST * 60))
@settings(max_examples=150)
def test_who_ends_never_permits_more(herd: Herd, index: int, minutes: int) -> None:
    """A member is terminated: what it did before is known no better, and its later hours do not come."""
    target = herd.instances[index % len(herd.instances)]
    if target is herd.instances[0] or target.arn in herd.ended:
        return
    before = herd.decision()
    calls = [when for metric in (USE, REFUSED) for when, value in herd.points(target.arn, metric).items() if value]
    end = max(NOW - minutes * MINUTE, target.launched_at, *calls) if target.stopped_at is None else target.stopped_at
    herd.ended[target.arn] = end
    for points in (herd.points(target.arn, metric) for metric in (USE, RAN)):
        for when in [each for each, value in points.items() if each > end and not value]:
            del points[when]
    assert is_no_more_permissive(before, herd.decision())


def test_the_hour_in_which_a_member_started_is_no_whole_one_after_its_end() -> None:
    """Nor was it before."""
    cloudwatch, launched = CloudWatch(lambda: NOW), NOW - 4 * HOUR
    one = instance(arn=arn(2), first_launched_at=launched, launched_at=launched)
    report(cloudwatch, one, launched, NOW)
    seen = []
    for ended in (None, NOW):
        member = Member(arn=one.arn, launched_at=launched, ended_at=ended)
        there = {one.arn: one} if ended is None else {}
        seen += look_closely(cloudwatch.client, [member], there, {}, POLICY, NOW)
    assert launched.minute
    assert [3, 3] == [each.hours for each in seen]


@given(herds(), st.integers(1, 3), st.integers(0, PAST))
@settings(max_examples=150)
def test_who_was_stopped_earlier_never_permits_more(herd: Herd, index: int, hours: int) -> None:
    """What lies before the cohort's window shows nothing of what runs in it."""
    target = herd.instances[index % len(herd.instances)]
    if target is herd.instances[0] or target.stopped_at is None:
        return
    before = herd.decision()
    moved = hours * HOUR
    place = herd.instances.index(target)
    for metric in (USE, RAN):
        points = herd.points(target.arn, metric)
        earlier = {when - moved: value for when, value in points.items()}
        points.clear()
        points.update(earlier)
    herd.instances[place] = replace(
        target,
        launched_at=target.launched_at - moved,
        first_launched_at=(target.first_launched_at or target.launched_at) - moved,
        stopped_at=target.stopped_at - moved,
    )
    if target.arn in herd.ended:
        herd.ended[target.arn] -= moved
    used = any(herd.points(target.arn).values())
    assert used or is_no_more_permissive(before, herd.decision())


@given(herds(), st.integers(0, 3))
@settings(max_examples=150)
def test_what_no_person_has_settled_never_permits_more(herd: Herd, index: int) -> None:
    """Of any member."""
    before = herd.decision()
    herd.settled.pop(herd.instances[index % len(herd.instances)].arn, None)
    assert is_no_more_permissive(before, herd.decision())


@given(herds(), st.integers(1, 3))
@settings(max_examples=150)
def test_whose_metric_cannot_be_read_never_permits_more(herd: Herd, index: int) -> None:
    """Whoever it is, nobody knows what it did."""
    target = herd.instances[index % len(herd.instances)]
    before = herd.decision()
    herd.cloudwatch.statuses[USE, target.arn.instance_id] = "PartialData"
    after = herd.decision()
    assert is_no_more_permissive(before, after)
    assert after is not Decision.ENFORCE


stricter = st.fixed_dictionaries(
    {},
    optional={
        "min_coverage": st.floats(0.9, 1),
        "max_gap_hours": st.integers(1, 6),
        "min_clean_starts": st.integers(2, 5),
        "cohort_evidence": st.just(False),
    },
)


@given(herds(), stricter, st.sampled_from([BootEvidence.IGNORE, BootEvidence.REQUIRE]))
@settings(max_examples=150)
def test_a_stricter_policy_never_permits_more(herd: Herd, fields: dict[str, Any], boot: BootEvidence) -> None:
    """In each of its fields, and in several at once."""
    lenient = replace(POLICY, boot_evidence=boot)
    strict = replace(POLICY, **fields)
    assert is_no_more_permissive(herd.decision(lenient), herd.decision(strict))


def test_such_herds_are_enforced_now_and_then() -> None:
    """Else the properties would hold for want of anything that is permitted."""
    cloudwatch = CloudWatch(lambda: NOW)
    launched = [NOW - hours * HOUR for hours in (12, 30, 40)]
    instances = [instance(arn=arn(number), launched_at=when) for number, when in enumerate(launched, start=1)]
    for each in instances:
        report(cloudwatch, each, each.launched_at, NOW)
        assert all(
            when in cloudwatch.points[USE, each.arn.instance_id]
            for when in periods(each.launched_at, each.launched_at + START)[1:]
        )
    herd = Herd(cloudwatch=cloudwatch, instances=instances, ended={}, settled={})
    assert Decision.ENFORCE is herd.decision()
