"""Fast copies of DynamoDB items, which are JSON. ministack calls `copy.deepcopy` about six times for every write."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, Final

from local.server import platform as ms

ATOMS: Final = frozenset({str, bytes, int, float, bool, type(None)})


def install() -> None:
    """Replace the `deepcopy` that ministack's DynamoDB uses."""
    ms.dynamodb.copy = SimpleNamespace(deepcopy=copied)


def copied(value: Any) -> Any:
    """A deep copy. Values that are not plain JSON are copied by `copy.deepcopy`."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is dict:
        return {name: copied(each) for name, each in value.items()}
    if kind is list:
        return [copied(each) for each in value]
    return copy.deepcopy(value)
