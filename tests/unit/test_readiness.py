"""What keeps an account and Region from graduation: instances, sources, and the launches that CloudTrail remembers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imdsv2.source.readiness import PastLaunch, newest_launches, still_open, with_templates, would_change
from tests.unit.source_builders import TEMPLATE, found, instance, source_of, template, versions, with_template

NOW = datetime(2027, 2, 3, 4, 5, tzinfo=UTC)
BUILDER = "arn:aws:sts::210987654321:assumed-role/builder/i-0a1b2c3d4e5f60718"


def launch(days: float, tokens: str | None = None, principal: str = BUILDER, **fields: Any) -> PastLaunch:
    """A launch so many days ago."""
    told = {"user_agent": "Packer/1.11 x", **fields}
    return PastLaunch(at=NOW - timedelta(days=days), principal=principal, tokens=tokens, **told)


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


ROLE = "arn:aws:sts::210987654321:assumed-role/ci"


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        (f"{ROLE}/packer-1734029384", f"{ROLE}/packer-1734115784", True),
        (f"{ROLE}/0f8fad5b-d9cb-469f-a165-70867728950e", f"{ROLE}/7c9e6679-7425-40de-944b-e07fc1f90ae7", True),
        (f"{ROLE}/botocore-session-1699999999", f"{ROLE}/botocore-session-1700000001", True),
        (f"{ROLE}/i-0a1b2c3d4e5f60718", f"{ROLE}/i-0a1b2c3d4e5f60719", True),
        (f"{ROLE}/ada@example.com", f"{ROLE}/bob@example.com", False),
        (f"{ROLE}/jsmith42", f"{ROLE}/mdoe7", False),
        (f"{ROLE}/packer-1734029384", f"{ROLE}2/packer-1734115784", False),
        ("arn:aws:iam::210987654321:user/ci-20240101", "arn:aws:iam::210987654321:user/ci-20250101", False),
    ],
)
def test_sessions_of_machines_are_one_habit_and_people_are_not(one: str, other: str, is_one: bool) -> None:
    """A number that differs each time would keep every launch of 90 days open, whatever was mended since."""
    assert (1 if is_one else 2) == len(newest_launches([launch(2, principal=one), launch(1, principal=other)]))


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("APN/1.0 HashiCorp/1.0 Packer/1.11.2", "APN/1.0 HashiCorp/1.0 Packer/1.12.0 (+https://x.y)", True),
        ("APN/1.0 HashiCorp/1.0 Packer/1.11.2", "APN/1.0 HashiCorp/1.0 Terraform/1.9.0", False),
        ("aws-cli/2.15.1 Python/3.11.6 Linux/5.10", "aws-cli/2.17.0 Python/3.12.1 Linux/6.1", True),
        ("Boto3/1.34.1 md/Botocore#1.34.1 ua/2.0", "Boto3/1.35.0 md/Botocore#1.35.0 ua/2.1", True),
        ("autoscaling.amazonaws.com", "ec2fleet.amazonaws.com", False),
        ("", "Packer/1.11", False),
    ],
)
def test_versions_of_a_tool_are_one_habit_and_tools_are_not(one: str, other: str, is_one: bool) -> None:
    """Whoever mends a tool often updates it by the way."""
    assert (1 if is_one else 2) == len(newest_launches([launch(2, user_agent=one), launch(1, user_agent=other)]))


def test_what_a_template_says_now_counts() -> None:
    """By id or name, default, latest or a number; what the launch says itself is not asked of it, nor is one that is gone."""
    known = found(
        templates={TEMPLATE: template()},
        versions=versions(v1={"HttpTokens": "optional"}, v2={"HttpTokens": "required"}),
    )
    name = template().name

    def said(**fields: Any) -> str | None:
        [one] = with_templates([launch(1, **fields)], known)
        return one.tokens

    assert "required" == said(template=TEMPLATE)
    assert "required" == said(template=name, version="$Default")
    assert "optional" == said(template=name, version="1")
    assert "required" == said(template=TEMPLATE, version="nonsense")
    assert said(template=TEMPLATE, version="7") is None
    assert said(template="lt-0000000000000000f") is None
    assert "optional" == said(template=TEMPLATE, tokens="optional")
    assert said() is None


def test_what_got_optional_after_the_lock_is_open() -> None:
    """The default was required: it said so itself. Before, it may have said nothing."""
    silent = launch(5, given="optional", template="lt-gone")
    assert [] == still_open([], {}, [], [silent])
    assert [] == still_open([], {}, [], [silent], NOW - timedelta(days=4))
    assert ["launch"] == [each.what for each in still_open([], {}, [], [silent], NOW - timedelta(days=6))]
    assert [] == still_open([], {}, [], [launch(5, given="required")], NOW - timedelta(days=6))


def test_what_got_tokens_already_would_not_change() -> None:
    """By a default or its AMI."""
    assert [] == would_change([launch(1, given="required")])
    assert 1 == len(would_change([launch(1, given="optional")]))


def test_launches_that_say_nothing_are_told_and_not_open() -> None:
    """They get tokens from the default; whether their software does without IMDSv1, nobody has seen."""
    assert [] == opened(launch(2))
    assert [launch(2)] == would_change([launch(9), launch(2), launch(1, "required", template="lt-1")])


def test_what_is_watched_is_open() -> None:
    """With the reason."""
    arn = instance().arn
    assert [(str(arn), "wait")] == [(each.name, each.because) for each in still_open([], {arn: "wait"}, [], [])]
