"""The notice to the owner: it begins when it was delivered, and nothing but a reason against the change ends it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imdsv2.domain.request import Source
from tests.fixtures.events import finding
from tests.integration.builders import NOW, asked
from tests.integration.guarding import Died
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

HOURS = 24
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)
HICCUPS = {
    "evidence_incomplete": ("GetMetricData", "InternalServiceFault"),
    "unreachable": ("DescribeInstances", "UnauthorizedOperation"),
}


class World:
    """One instance whose change needs notice, a topic and a CloudWatch that fail when told to, and the revisit function."""

    def __init__(self, cloud: Cloud) -> None:
        cloud.policy(mode="enforce", notice_hours=HOURS)
        self.cloud, self.arn, self.line = cloud, cloud.one(), cloud.line()
        self.topic_fails = False
        self.hiccup: str | None = None
        self.delivered: list[datetime] = []
        self.changed: list[datetime] = []
        cloud.wire.on("Publish", self._publish)
        cloud.wire.on("ModifyInstanceMetadataOptions", self._modify)
        for reason, (operation, code) in HICCUPS.items():
            cloud.wire.on(operation, lambda call, reason=reason, code=code: self._fail(call, reason, code))  # type: ignore[misc]

    def _publish(self, call: Call) -> None:
        if self.topic_fails:
            raise refusal("NotFoundException", "Topic does not exist", call.operation)
        reason = call.params["MessageAttributes"]["reason"]["StringValue"]
        if reason == "notice_given" and str(self.arn) in call.params["Message"]:
            self.delivered.append(self.cloud.clock())

    def _modify(self, call: Call) -> None:
        if call.params["InstanceId"] == self.arn.instance_id and not call.params.get("DryRun"):
            self.changed.append(self.cloud.clock())

    def _fail(self, call: Call, reason: str, code: str) -> None:
        if self.hiccup == reason:
            raise refusal(code, "no", call.operation)

    @property
    def item(self) -> dict[str, object]:
        """Its record."""
        return self.cloud.current(self.arn)

    @property
    def revisit_at(self) -> datetime:
        """When the revisit function takes it up."""
        return datetime.fromisoformat(str(self.item["revisit_at"]))

    def judge(self, source: Source = Source.CONFIG) -> str:
        """Evaluate it."""
        outcomes = self.line.run([asked(self.arn, source)], "request-1")
        return str(outcomes.judged[self.arn].verdict.reason)

    def revisit(self) -> str:
        """Let time pass until it is due, and evaluate it."""
        hours = (self.revisit_at - self.cloud.clock()) / HOUR
        self.cloud.quiet(self.arn, hours=max(hours, 0))
        return self.judge(Source.REVISIT)


@pytest.fixture
def world(cloud: Cloud) -> World:
    """A world in which nothing has happened yet."""
    return World(cloud)


STEPS = st.tuples(
    st.booleans(), st.sampled_from([None, None, *HICCUPS]), st.sampled_from(["revisit", "revisit", "event"])
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=4), wait=st.floats(0.01, 30))
def test_the_full_notice_lies_between_delivery_and_change(
    steps: list[tuple[bool, str | None, str]], wait: float, cloud: Cloud
) -> None:
    """Whatever fails, whoever asks and when; and once all works again, it is told, and changed."""
    world = World(cloud)
    for fails, hiccup, way in steps:
        world.topic_fails, world.hiccup = fails, hiccup
        if way == "event" or "revisit_at" not in _item(world):
            cloud.quiet(world.arn, hours=wait)
            world.judge()
        else:
            world.revisit()
    world.topic_fails, world.hiccup = False, None
    for _ in range(6):
        if "required" != cloud.tokens(world.arn):
            world.revisit()
    assert "required" == cloud.tokens(world.arn)
    assert 1 == len(world.changed)
    assert world.changed[0] - world.delivered[0] >= HOURS * HOUR


def _item(world: World) -> dict[str, object]:
    items = [each for each in world.cloud.items() if each["pk"] == str(world.arn) and each["sk"] == "current"]
    return items[0] if items else {}


def test_a_notice_that_reached_nobody_does_not_begin(world: World) -> None:
    """The gate holds, the record says what to look at, and delivery is tried every quarter of an hour."""
    world.topic_fails = True
    world.judge()
    for _ in range(5):
        assert "notice_ends_at" not in world.item
        assert "could not be delivered yet: check the notification topic" in str(world.item["explanation"])
        assert world.revisit_at - world.cloud.clock() <= QUARTER * 1.1
        assert "notice_given" == world.revisit()
    world.topic_fails = False
    world.revisit()
    begun = datetime.fromisoformat(str(world.item["notice_ends_at"])) - HOURS * HOUR
    assert timedelta() <= begun - world.delivered[0] < timedelta(seconds=1)
    assert f"IMDSv1 will be switched off after {begun + HOURS * HOUR:%Y-%m-%d %H:%M UTC}" in str(
        world.item["explanation"]
    )


@pytest.mark.parametrize("hiccup", HICCUPS)
def test_a_verdict_in_between_does_not_stand_for_the_notice(hiccup: str, world: World) -> None:
    """The owner never heard of the change, though people were told that it could not be judged."""
    world.topic_fails = True
    world.judge()
    world.topic_fails, world.hiccup = False, hiccup
    assert hiccup == world.revisit()
    world.hiccup = None
    world.cloud.quiet(world.arn, hours=HOURS)
    assert "notice_given" == world.judge()
    assert 1 == len(world.delivered)
    assert "unused" == world.revisit()


@pytest.mark.parametrize("hiccup", HICCUPS)
def test_a_verdict_in_between_does_not_end_a_notice_that_runs(hiccup: str, world: World) -> None:
    """Its end stays the one that the owner knows."""
    world.judge()
    ends_at = world.item["notice_ends_at"]
    world.hiccup = hiccup
    assert hiccup == world.judge()
    world.hiccup = None
    world.cloud.quiet(world.arn, hours=1)
    assert "notice_given" == world.judge()
    assert ends_at == world.item["notice_ends_at"]


def test_a_function_that_dies_before_it_has_told_leaves_the_notice_due(world: World) -> None:
    """Within a quarter of an hour, not at the end of a notice that nobody has."""
    dying = [True]

    def die(_: Call) -> None:
        if dying.pop() if dying else False:
            raise Died

    world.cloud.wire.on("Publish", die)
    with pytest.raises(Died):
        world.judge()
    assert world.revisit_at - world.cloud.clock() <= QUARTER * 1.1
    assert "notice_ends_at" not in world.item
    assert "notice_given" == world.revisit()
    assert world.revisit_at - world.cloud.clock() >= (HOURS - 1) * HOUR


def test_the_finding_s_note_says_what_became_of_the_notice(world: World) -> None:
    """While it cannot be delivered, and after it was."""
    failed = finding(str(world.arn))
    world.cloud.hub.holds(failed)
    world.topic_fails = True
    world.cloud.line().run([asked(world.arn, Source.SECURITYHUB, finding=failed)], "request-1")
    assert "could not be delivered yet" in world.cloud.hub.findings[failed["Id"]]["note"]
    world.topic_fails = False
    world.revisit()
    assert "IMDSv1 will be switched off after" in world.cloud.hub.findings[failed["Id"]]["note"]


def test_a_notice_that_ended_long_ago_is_given_anew(world: World) -> None:
    """Even where the verdict is the same as at that time."""
    world.judge()
    world.cloud.quiet(world.arn, hours=HOURS + 24 * 8)
    assert "notice_given" == world.judge()
    assert 2 == len(world.delivered)
    assert NOW + timedelta(days=9) < datetime.fromisoformat(str(world.item["notice_ends_at"]))
