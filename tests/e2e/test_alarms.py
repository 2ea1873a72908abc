"""Every alarm of the stack is raised by what it is for, ends when that is over, and says both to the topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.alarm_rows import PREFIX, ROWS

if TYPE_CHECKING:
    from tests.e2e.world import World


def test_every_alarm_has_its_row(deployed: World) -> None:
    """An alarm that nobody has seen raised is a guess."""
    pages = deployed.home.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=PREFIX)
    alarms = [each["AlarmName"].removeprefix(PREFIX) for page in pages for each in page["MetricAlarms"]]
    assert sorted(ROWS) == sorted(alarms)


@pytest.mark.parametrize("name", ROWS)
def test_an_alarm_is_raised_and_ends(name: str, world: World) -> None:
    """By its cause and its end, and the topic is told of both."""
    row, alarm = ROWS[name], f"{PREFIX}{name}"
    world.messages()
    row.cause(world)
    assert {alarm: "ALARM"} == world.cloud.alarms(alarm, passed=row.after)
    world.cloud.alarms(passed=row.later)
    row.cure(world)
    assert {alarm: "OK"} == world.cloud.alarms(alarm)
    told = [json.loads(each["Message"]) for each in world.messages() if '"NewStateValue"' in each["Message"]]
    assert [(alarm, "ALARM"), (alarm, "OK")] == [(each["AlarmName"], each["NewStateValue"]) for each in told]
