"""An instance that EC2 does not know: looked for once more, because its launch may not have reached all of EC2 yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.request import Source
from tests.fixtures.events import finding
from tests.integration.builders import asked
from tests.integration.guarding import enforced
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Outcomes
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


class Unseen:
    """EC2 does not know an instance until it is told to."""

    def __init__(self, cloud: Cloud, arn: InstanceArn) -> None:
        self._id, self._is_unseen = arn.instance_id, True
        cloud.wire.on("DescribeInstances", self._refuse)

    def end(self) -> None:
        """From now on, EC2 shows it."""
        self._is_unseen = False

    def _refuse(self, call: Call) -> None:
        if self._is_unseen and self._id in call.params.get("InstanceIds", []):
            message = f"The instance ID '{self._id}' does not exist"
            raise refusal("InvalidInstanceID.NotFound", message, call.operation)


def ask(cloud: Cloud, arn: InstanceArn, source: Source = Source.CONFIG) -> Outcomes:
    """Evaluate it in a new function."""
    return cloud.line().run([asked(arn, source)], "request-1")


def revisit(cloud: Cloud, arn: InstanceArn) -> list[str]:
    """Let a quarter of an hour pass with its jitter, and evaluate what is due. Returns the reasons."""
    cloud.clock.move(minutes=17)
    found = [each for each in cloud.ledger().indexes.due(cloud.clock(), 10) if each == arn]
    outcomes = cloud.line().run([asked(each, Source.REVISIT) for each in found], "request-2")
    return [str(each.verdict.reason) for each in outcomes.judged.values()]


@pytest.mark.parametrize("source", [Source.SECURITYHUB, Source.SWEEP, Source.MANUAL])
def test_what_was_launched_moments_ago_is_found_at_the_second_look(source: Source, cloud: Cloud) -> None:
    """Whoever asked: without it, the same finding would be an echo and the instance would never be evaluated."""
    arn = cloud.one()
    unseen = Unseen(cloud, arn)
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    request = asked(arn, source, finding=failed if source is Source.SECURITYHUB else None)
    judged = cloud.line().run([request], "request-1").judged[arn]
    assert ("skip", "gone") == (judged.verdict.decision, judged.verdict.reason)
    unseen.end()
    assert ["unused"] == revisit(cloud, arn)
    assert "required" == cloud.tokens(arn)
    assert "missing_since" not in cloud.current(arn)


def test_what_is_still_missing_is_settled(cloud: Cloud) -> None:
    """After a quarter of an hour it is believed, and nobody looks again; the record keeps since when."""
    arn = cloud.one()
    Unseen(cloud, arn)
    ask(cloud, arn)
    since = cloud.current(arn)["missing_since"]
    assert ["gone"] == revisit(cloud, arn)
    assert (since, False) == (cloud.current(arn)["missing_since"], "revisit_at" in cloud.current(arn))
    assert [] == revisit(cloud, arn)


def test_a_second_request_meanwhile_neither_settles_nor_delays_it(cloud: Cloud) -> None:
    """The quarter of an hour begins with the first look."""
    arn = cloud.one()
    Unseen(cloud, arn)
    ask(cloud, arn)
    since = datetime.fromisoformat(cloud.current(arn)["missing_since"])
    cloud.clock.move(minutes=10)
    ask(cloud, arn)
    again_at = datetime.fromisoformat(cloud.current(arn)["revisit_at"])
    assert timedelta(minutes=15) <= again_at - since <= timedelta(minutes=17)


def test_once_it_was_seen_the_quarter_of_an_hour_begins_anew(cloud: Cloud) -> None:
    """Two hiccups a day apart do not add up."""
    arn = cloud.one(use=1.0)
    unseen = Unseen(cloud, arn)
    ask(cloud, arn)
    unseen.end()
    assert ["v1_in_use"] == revisit(cloud, arn)
    cloud.clock.move(days=1)
    Unseen(cloud, arn)
    ask(cloud, arn)
    assert "revisit_at" in cloud.current(arn)


def test_what_cannot_be_read_is_neither_missing_nor_seen(cloud: Cloud) -> None:
    """An account that refuses in between proves nothing."""
    arn = cloud.one()
    Unseen(cloud, arn)
    ask(cloud, arn)
    since = cloud.current(arn)["missing_since"]
    cloud.wire.refuse("AssumeRole", "AccessDenied", times=1)
    assert ["unreachable"] == revisit(cloud, arn)
    assert since == cloud.current(arn)["missing_since"]


def test_what_was_enforced_and_is_missing_stays_with_the_guard(cloud: Cloud) -> None:
    """Its watch goes on: the guard lets it go once it has seen whether calls had been refused."""
    arn = enforced(cloud)
    Unseen(cloud, arn)
    assert "gone" == ask(cloud, arn).judged[arn].verdict.reason
    assert "open" == cloud.current(arn)["watch"]
    assert ["gone"] == revisit(cloud, arn)
    assert "open" == cloud.current(arn)["watch"]
