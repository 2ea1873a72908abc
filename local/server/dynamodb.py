"""DynamoDB's items, copied as what they are: JSON. ministack takes the general way, half a dozen times for every write."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, Final

from local.server import platform as ms

ATOMS: Final = frozenset({str, bytes, int, float, bool, type(None)})


def install() -> None:
    """Put our copying in the place of ministack's."""
    ms.dynamodb.copy = SimpleNamespace(deepcopy=copied)


def copied(value: Any) -> Any:
    """A deep copy; what is no plain JSON takes the general way."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is dict:
        return {name: copied(each) for name, each in value.items()}
    if kind is list:
        return [copied(each) for each in value]
    return copy.deepcopy(value)
