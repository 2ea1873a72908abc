"""What the service says of a member of a cohort is what the datapoints of all members say, looked at one after the other
(plain_cohort.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.evidence import strays
from imdsv2.domain.evidence.pool import Member, pool_of
from imdsv2.domain.verdict import Decision, Verdict
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.line.evidence.glance import look_closely
from tests.unit.builders import ACCOUNT, NOW, REGION, options
from tests.unit.evidence_builders import DAY, USE, look
from tests.unit.plain_cohort import Cohort, Sibling, plain_verdict_in
from tests.unit.plain_lives import lives, policies
from tests.world.cloudwatch import CloudWatch

if TYPE_CHECKING:
    from tests.unit.plain_told import Told

TIMES, HOURS = 2, 4
"""An isolated call is outweighed by fewer hours than in the service, so that few members have them."""
KEYS = ("group:oven@lt-0b1e+2+ami-0f", "group:oven@ami-0f", "image:ami-0f", "template:lt-0b1e@2+ami-0f", "tag:oven")


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """Mostly quiet ones."""
    now = NOW.replace(minute=0) + timedelta(minutes=draw(st.integers(0, 59)))
    cloudwatch, policy = CloudWatch(lambda: now), draw(policies)
    speaks = draw(st.sampled_from([True, True, True, False]))
    policy = replace(policy, rejected_periods=draw(st.sampled_from([1, 2, 2])), cohort_evidence=speaks)
    hibernates = draw(st.sampled_from([False] * 4 + [True]))
    members = []
    for number in range(1, draw(st.integers(2, 6)) + 1):
        calm = draw(st.sampled_from([True, True, False]))
        told = draw(lives(cloudwatch, policy, now, number, loud=60 if number == 1 else 12, calm=calm))
        told = replace(told, target=replace(told.target, hibernates=hibernates))
        if number > 1 and calm:
            told = draw(closed_or_mute(told))
        said = [each for each in (told.history.cleared_at, told.history.mended_at) if each is not None]
        may_end = told.target.state == "stopped" and told.target.options.http_endpoint == "enabled"
        is_gone = number > 1 and may_end and draw(st.booleans())
        members.append(Sibling(told=told, is_gone=is_gone, settled=max(said, default=None)))
    key = f"aws/{ACCOUNT}/{REGION}/{draw(st.sampled_from(KEYS))}"
    return Cohort(key=key, members=members, times=TIMES, hours=HOURS)


@st.composite
def closed_or_mute(draw: st.DrawFn, told: Told) -> Told:
    """Now and then the service has required tokens of one since, or its endpoint is disabled."""
    target = told.target
    match draw(st.integers(1, 8)):
        case 8:
            return replace(told, target=replace(target, options=options(http_endpoint="disabled")))
        case 7 if told.end > target.launched_at:
            closed_at = target.launched_at + (told.end - target.launched_at) * draw(st.floats(0, 1))
            points = told.cloudwatch.points.get((USE, target.arn.instance_id), {})
            for when in [each for each, value in points.items() if each > closed_at and not value]:
                del points[when]
            history = replace(told.history, enforced_at=closed_at, confirmed=True)
            return replace(told, history=history, target=replace(target, options=options(http_tokens="required")))
    return told


def said_of(cohort: Cohort) -> Verdict:
    """What the service says of the first."""
    own, policy = cohort.own, cohort.policy
    known = [
        Member(
            arn=each.told.target.arn,
            launched_at=each.told.target.launched_at,
            ended_at=each.told.target.stopped_at if each.is_gone else None,
        )
        for each in cohort.members
    ]
    there = {each.told.target.arn: each.told.target for each in cohort.members if not each.is_gone}
    histories = {each.told.target.arn: each.told.history for each in cohort.members}
    with patch.multiple(strays, TIMES_THE_HOURS=TIMES, _WEEK_HOURS=HOURS):
        hibernating = {arn for arn in histories if own.target.hibernates}
        seen = look_closely(own.cloudwatch.client, known, there, histories, policy, own.now, hibernating=hibernating)
        settled = {each.told.target.arn: each.settled for each in cohort.members if each.settled is not None}
        pool = pool_of(cohort.key, seen, since=own.now - policy.lookback_days * DAY, now=own.now, settled=settled)
        evidence = look(own.cloudwatch, own.target, policy, own.now, own.history)
        return decide(own.target, evidence, own.history, policy, own.now, pool)


@given(cohorts())
@settings(max_examples=200)
def test_a_verdict_is_what_the_datapoints_of_all_say(cohort: Cohort) -> None:
    """Whatever its members did, living or gone, and whatever people said of it."""
    said = said_of(cohort)
    decision, reasons = plain_verdict_in(cohort)
    assert said.decision is not Decision.ENFORCE or decision is Decision.ENFORCE, (said, reasons)
    assert (decision, True) == (said.decision, said.reason in reasons), (said, reasons)
