"""What keeps an account and Region from graduation: instances, sources, and the launches that CloudTrail remembers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imdsv2.source.readiness import PastLaunch, newest_launches, still_open, would_change
from tests.unit.source_builders import found, instance, source_of, with_template

NOW = datetime(2027, 2, 3, 4, 5, tzinfo=UTC)
BUILDER = "arn:aws:sts::210987654321:assumed-role/builder/i-0a1b2c3d4e5f60718"


def launch(days: float, tokens: str | None = None, principal: str = BUILDER, **fields: Any) -> PastLaunch:
    """A launch so many days ago."""
    return PastLaunch(
        at=NOW - timedelta(days=days), principal=principal, tokens=tokens, user_agent="Packer/1.11 x", **fields
    )


def opened(*launches: PastLaunch) -> list[str]:
    """What launches keep open."""
    return [each.what for each in still_open([], {}, [], launches)]


@pytest.mark.parametrize(
    ("fields", "is_open"),
    [
        ({"tokens": "optional"}, True),
        ({"tokens": "optional", "state": "stopped"}, True),
        ({"tokens": "optional", "endpoint": "disabled"}, False),
        ({"tokens": "required"}, False),
    ],
)
def test_an_instance_that_allows_imdsv1_is_open(fields: dict[str, Any], is_open: bool) -> None:
    """A stopped one, too: it starts with the options that it has."""
    assert is_open == bool(still_open([instance(**fields)], {}, [], []))


@pytest.mark.parametrize(
    ("options", "is_open"),
    [({"HttpTokens": "optional"}, True), ({}, False), ({"HttpTokens": "required"}, False)],
)
def test_a_source_is_open_if_it_says_optional(options: dict[str, Any], is_open: bool) -> None:
    """What says nothing gets the new default."""
    assert is_open == bool(still_open([], {}, [with_template(options=options)], []))


def test_a_source_that_cannot_be_judged_is_open() -> None:
    """Its group is gone."""
    source = source_of([instance({"aws:autoscaling:groupName": "gone"}, tokens="required")], found())
    [told] = still_open([], {}, [source], [])
    assert ("source", "auto_scaling_group gone") == (told.what, told.name)


def test_what_is_launched_by_hand_gets_the_default() -> None:
    """By hand is silent, whatever its instances show."""
    assert [] == still_open([], {}, [source_of([instance(tokens="required")], found())], [])


def test_the_newest_launch_of_a_habit_counts() -> None:
    """Who says required by now has mended his tool; who said it once and says optional again has not."""
    assert ["launch"] == opened(launch(3, "optional"), launch(5, "required"))
    assert [] == opened(launch(3, "required"), launch(5, "optional"))
    assert ["launch"] == opened(
        launch(3, "required", principal="arn:aws:iam::210987654321:user/ada"), launch(5, "optional")
    )


def test_sessions_of_one_role_are_one_habit() -> None:
    """The session of an instance is named after it."""
    several = [launch(number, principal=BUILDER[:-1] + str(number)) for number in range(3)]
    assert 1 == len(newest_launches(several))


def test_launches_that_say_nothing_are_told_and_not_open() -> None:
    """They get tokens from the default; whether their software does without IMDSv1, nobody has seen."""
    assert [] == opened(launch(2))
    assert [launch(2)] == would_change([launch(9), launch(2), launch(1, "required", template="lt-1")])


def test_what_is_watched_is_open() -> None:
    """With the reason."""
    arn = instance().arn
    assert [(str(arn), "wait")] == [(each.name, each.because) for each in still_open([], {arn: "wait"}, [], [])]
