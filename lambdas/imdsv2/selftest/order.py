"""The input of a self-test: parsed and validated before anything is launched."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from imdsv2.domain.regions import unknown_region
from imdsv2.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

SELFTEST_TAG = "imdsv2:selftest"
"""Tag of every instance that a self-test launches. Its role may touch no other instance."""

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}", re.ASCII)
_MOST_TAGS, _LONGEST_KEY, _LONGEST_VALUE = 20, 128, 256
"""Of an instance; EC2 takes 50 tags, and these lengths."""
_LONGEST_LINE_AT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The wishes of the person who starts a self-test.

    Args:
        account: where the instances are launched.
        region: where the instances are launched.
        subnet: the subnet of the instances; None: the default VPC's. They need no way to the internet.
        line: whether the service itself is to enforce and roll back one of them, which takes one to two hours more.
        line_at: the minute at which that begins; None: as soon as there is evidence.
        set_observe_if_contradicted: whether the policy's mode is set to `observe` if a belief is wrong that safety relies on.
        tags: further tags of the instances, for accounts that demand some.
        confirm: whether to launch anything; without it the answer is the plan and its cost.
        minute_seconds: how long a minute of the agenda lasts; less than 60 only in rehearsals on the local AWS.
    """

    account: str
    region: str
    subnet: str | None = None
    line: bool = True
    line_at: int | None = None
    set_observe_if_contradicted: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    confirm: bool = False
    minute_seconds: float = 60


def parse_order(document: object) -> Order:
    """Parse the input. Raises InvalidRequest, which names the field and what it takes."""
    if not isinstance(document, dict):
        raise InvalidRequest("input", 'takes an object, e.g. {"account": "222222222222", "region": "eu-west-1"}')
    known = [each.name for each in fields(Order)]
    if unknown := sorted(str(name) for name in document.keys() - set(known)):
        raise InvalidRequest(unknown[0][:60], f"is no field; known are {', '.join(known)}")
    return Order(
        account=_matching(document, "account", _ACCOUNT, "an account id of 12 digits"),
        region=_region(document),
        subnet=None if document.get("subnet") is None else _matching(document, "subnet", _SUBNET, "a subnet's id"),
        line=_flag(document, "line", default=True),
        line_at=None if document.get("line_at") is None else round(_number(document, "line_at", 5, _LONGEST_LINE_AT)),
        set_observe_if_contradicted=_flag(document, "set_observe_if_contradicted", default=False),
        tags=_tags(document.get("tags", {})),
        confirm=_flag(document, "confirm", default=False),
        minute_seconds=_number({"minute_seconds": 60, **document}, "minute_seconds", 0.1, 60),
    )


def _matching(document: Mapping[str, Any], name: str, pattern: re.Pattern[str], what: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise InvalidRequest(name, f"takes {what}")
    return value


def _region(document: Mapping[str, Any]) -> str:
    region = document.get("region")
    if not isinstance(region, str):
        raise InvalidRequest("region", "takes a Region, e.g. eu-west-1")
    if (problem := unknown_region(region)) is not None:
        raise InvalidRequest("region", f"takes a Region: {problem}")
    return region


def _flag(document: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = document.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(name, "takes true or false")
    return value


def _number(document: Mapping[str, Any], name: str, least: float, most: float) -> float:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise InvalidRequest(name, f"takes a number from {least} to {most}")
    return value


def _tags(value: object) -> dict[str, str]:
    if (
        not isinstance(value, dict)
        or len(value) > _MOST_TAGS
        or not all(isinstance(each, str) for pair in value.items() for each in pair)
        or any(name == SELFTEST_TAG or name.lower().startswith("aws:") for name in value)
        or any(not 0 < len(name) <= _LONGEST_KEY or len(text) > _LONGEST_VALUE for name, text in value.items())
    ):
        raise InvalidRequest(
            "tags",
            f"takes an object of at most {_MOST_TAGS} texts, without {SELFTEST_TAG} and aws:*; names of at most {_LONGEST_KEY} characters, values "
            f"of at most {_LONGEST_VALUE}",
        )
    return dict(value)
