"""A batch of many accounts for which a function's time does not suffice: what it has not begun comes back, and that alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imdsv2.aws.pacing import Pacing
from imdsv2.domain.request import Source
from imdsv2.errors import TimeExhausted
from imdsv2.intake.run import DeadLetters, process
from imdsv2.wiring.intake import build_intake
from tests.fixtures.events import config_change
from tests.integration.builders import EVENT_NAMES, MEMBER, OTHER, asked

if TYPE_CHECKING:
    import pytest

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud


class Time:
    """A function's seconds, which end when an account has been looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pacing = Pacing(share=1.0, clock=lambda: self.seconds, chance=lambda: 0.0)
        self.pacing.end_in(60)

    def end(self) -> None:
        """Its time is over."""
        self.seconds = 61.0


def body(arn: InstanceArn) -> str:
    """Config's event on an instance."""
    return json.dumps(config_change(arn.instance_id, account=arn.account, region=arn.region))


def test_a_place_that_is_not_begun_is_neither_asked_nor_answered(cloud: Cloud) -> None:
    """It is told as such, and the next run judges it."""
    time, arn = Time(), cloud.one()
    time.end()
    outcomes = cloud.function(time.pacing).line.run([asked(arn, Source.CONFIG)], "request-1")
    assert isinstance(outcomes.failed[arn], TimeExhausted)
    assert [] == cloud.wire.made("DescribeInstances", "GetMetricData", "TransactWriteItems")
    assert "enforced" == cloud.line().run([asked(arn, Source.CONFIG)], "request-2").judged[arn].status


def test_the_messages_of_what_was_judged_do_not_come_back(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is ended in the midst would bring back the whole batch; after five times it is among the dead letters."""
    monkeypatch.setattr("imdsv2.line.run._GROUPS_AT_ONCE", 1)
    time = Time()
    first, second = cloud.one(account=MEMBER), cloud.one(account=OTHER)
    cloud.wire.on("DescribeInstances", lambda _: time.end())
    records = [{"messageId": str(number), "body": body(arn)} for number, arn in enumerate((first, second))]
    letters = DeadLetters(cloud.client("sqs"), cloud.dead_letter_url)
    intake = build_intake(cloud.function(time.pacing))
    outcomes, again, poison = process(records, intake, letters, EVENT_NAMES, "request-1")
    assert ({first}, ["1"], 0) == ({*outcomes.judged}, again, poison)
