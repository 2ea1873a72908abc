"""The command that has AMIs require tokens: what it takes, and what it refuses, with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.people.request import parse
from imdsv2.people.sources.image_request import CONFIRMATION, ImageOrder

IMAGE = "ami-0123456789abcdef0"
GIVEN = {"account": "222222222222", "region": "eu-west-1", "image_ids": [IMAGE]}
CONFIRMED = {**GIVEN, "confirm": CONFIRMATION}


def order(given: Any = GIVEN, **fields: Any) -> ImageOrder:
    """A command that is taken."""
    parsed = parse({"images": given, **fields})
    assert isinstance(parsed, ImageOrder)
    return parsed


def refused(given: Any, **fields: Any) -> str:
    """The field for which a command is refused."""
    with pytest.raises(InvalidRequest) as refusal:
        parse({"images": given, **fields})
    return refusal.value.field


def test_without_more_it_is_a_dry_run() -> None:
    """Which needs neither caller nor confirmation."""
    parsed = order()
    assert (True, None, (IMAGE,), "222222222222") == (
        parsed.dry_run,
        parsed.caller,
        parsed.image_ids,
        parsed.place.account,
    )


def test_the_real_one_is_confirmed_and_signed() -> None:
    """Both, in the words that are asked for."""
    parsed = order(CONFIRMED, dry_run=False, caller="ada", reason="All users are proved.")
    assert (False, "ada", "All users are proved.") == (parsed.dry_run, parsed.caller, parsed.reason)
    assert "images.confirm" == refused(GIVEN, dry_run=False, caller="ada")
    for word in ("yes", "CANNOT BE UNDONE", "", True, None, 1):
        assert "images.confirm" == refused({**GIVEN, "confirm": word}, dry_run=False, caller="ada")
    assert "caller" == refused(CONFIRMED, dry_run=False)


def test_one_ami_twice_is_one() -> None:
    """In the order asked."""
    assert (IMAGE, "ami-00000001") == order({**GIVEN, "image_ids": [IMAGE, "ami-00000001", IMAGE]}).image_ids


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "images"),
        ([], "images"),
        (None, "images"),
        ("ami-1", "images"),
        ({**GIVEN, "targets": []}, "images.'targets'"),
        ({**GIVEN, "account": 222222222222}, "images.account"),
        ({**GIVEN, "account": "22222222222"}, "images.account"),
        ({**GIVEN, "region": "eu-west-99"}, "images.region"),
        ({name: value for name, value in GIVEN.items() if name != "region"}, "images.region"),
        ({name: value for name, value in GIVEN.items() if name != "account"}, "images.account"),
        ({name: value for name, value in GIVEN.items() if name != "image_ids"}, "images.image_ids"),
        ({**GIVEN, "image_ids": []}, "images.image_ids"),
        ({**GIVEN, "image_ids": IMAGE}, "images.image_ids"),
        ({**GIVEN, "image_ids": ["i-0123456789abcdef0"]}, "images.image_ids"),
        ({**GIVEN, "image_ids": [IMAGE, 7]}, "images.image_ids"),
        ({**GIVEN, "image_ids": [f"ami-{number:08x}" for number in range(51)]}, "images.image_ids"),
    ],
)
def test_what_it_refuses(given: Any, field: str) -> None:
    """With the field's name."""
    assert field == refused(given)


def test_other_fields_are_refused() -> None:
    """As in every command."""
    assert "'clear'" == refused(GIVEN, clear=True)
    assert "dry_run" == refused(GIVEN, dry_run="no")
