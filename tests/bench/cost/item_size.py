"""How large an item is by DynamoDB's own rule (Developer Guide, "DynamoDB item sizes and formats"): writes are billed by that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEXED_BYTES = 100
"""Billed beside each stored item (DynamoDB pricing)."""
_NESTED, _ELEMENT = 3, 1
"""Of a list or map, and of each of its elements."""


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """The size of an item in the form of DynamoDB's API."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    [(kind, held)] = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return _number_bytes(held)
        case "B":
            return len(held)
        case "SS":
            return sum(len(each.encode()) for each in held)
        case "NS":
            return sum(map(_number_bytes, held))
        case "L":
            return _NESTED + sum(_ELEMENT + _value_bytes(each) for each in held)
        case "M":
            return _NESTED + item_bytes(held) + _ELEMENT * len(held)
        case _:
            return 1


def _number_bytes(text: str) -> int:
    """One byte for two significant digits, and one more; another for a sign."""
    digits = text.lstrip("-").replace(".", "").strip("0")
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")
