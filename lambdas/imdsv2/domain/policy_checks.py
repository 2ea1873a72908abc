"""Checks of a policy's fields: each takes the field's name and its parsed value, and returns the value as the policy keeps it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import ACCOUNT, REGION
from imdsv2.domain.json_values import shown
from imdsv2.domain.regions import LIKE_A_REGION, unknown_region
from imdsv2.errors import PolicyRefused

if TYPE_CHECKING:
    from enum import StrEnum

_CALENDAR = re.compile(
    rf"(arn:aws[a-z-]*:ssm:{REGION.pattern}:{ACCOUNT.pattern}:document/)?[a-zA-Z0-9_.-]{{3,128}}", re.ASCII
)
_TAG_KEY_CHARACTERS = 128

Check = Callable[[str, object], Any]
"""Raises PolicyRefused, which names the field and what it takes."""


def one_of(choices: type[StrEnum]) -> Check:
    """The check of a field that takes one of the values of an enumeration."""
    *others, last = (f'"{each}"' for each in choices)
    takes = f"takes {', '.join(others)} or {last}"

    def check(name: str, value: object) -> StrEnum:
        if not isinstance(value, str) or value not in set(choices):
            raise PolicyRefused(name, f"{takes}, not {shown(value)}")
        return choices(value)

    return check


def whole(unit: str, lowest: int, highest: int | None = None) -> Check:
    """The check of a field that takes a whole number of ``unit``, within bounds that are included."""
    bounds = f", {lowest} or more" if highest is None else f" from {lowest} to {highest}"
    takes = f"takes a whole number of {unit}{bounds}"

    def check(name: str, value: object) -> int:
        # Not isinstance, because bool is a subclass of int.
        if type(value) is not int or value < lowest or (highest is not None and value > highest):
            raise PolicyRefused(name, f"{takes}, not {shown(value)}")
        return value

    return check


def yes_or_no(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise PolicyRefused(name, f"takes true or false, not {shown(value)}")
    return value


def share(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise PolicyRefused(name, f"takes a number above 0 and up to 1, not {shown(value)}")
    return float(value)


def calendar(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _CALENDAR.fullmatch(value) is None:
        raise PolicyRefused(name, f"takes the name or ARN of an SSM Change Calendar, or null, not {shown(value)}")
    return value


def tag_key(name: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _TAG_KEY_CHARACTERS or value.startswith("aws:"):
        raise PolicyRefused(
            name, f"takes a tag key of 1 to 128 characters that does not begin with aws:, not {shown(value)}"
        )
    return value


def tag_key_or_none(name: str, value: object) -> str | None:
    return None if value is None else tag_key(name, value)


def accounts(name: str, value: object) -> frozenset[str]:
    return _all_matching(name, value, ACCOUNT, 'a list of account ids, e.g. ["222222222222"]')


def regions(name: str, value: object) -> frozenset[str]:
    named = _all_matching(name, value, LIKE_A_REGION, 'a list of Regions, e.g. ["us-east-1"]')
    for each in sorted(named):
        if (problem := unknown_region(each)) is not None:
            raise PolicyRefused(name, problem)
    return named


def _all_matching(name: str, value: object, pattern: re.Pattern[str], takes: str) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise PolicyRefused(name, f"takes {takes}, not {shown(value)}")
    for each in value:
        if not isinstance(each, str) or pattern.fullmatch(each) is None:
            raise PolicyRefused(name, f"takes {takes}; {shown(each)} is none")
    return frozenset(value)
