"""DynamoDB's typed values, e.g. ``{"S": "text"}``, and the Python values that they stand for.

boto3 has the same, but importing it takes a tenth of a cold start: with it come its sessions and S3's transfer manager.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Clamped, Context, Decimal, Inexact, Overflow, Rounded, Underflow
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_EXACT = Context(prec=38, Emin=-128, Emax=126, traps=[Clamped, Overflow, Inexact, Rounded, Underflow])
"""The numbers that DynamoDB keeps exactly. What it would round or refuse raises ArithmeticError."""


def serialize(value: Any) -> dict[str, Any]:
    """DynamoDB's form of text, a boolean, an integer, a Decimal, None, or a list, tuple or mapping of these.

    Raises TypeError for every other value, also for a float, which has no exact decimal form, and ArithmeticError for a number
    beyond DynamoDB's range or precision.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": _number(value)}
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": {name: serialize(each) for name, each in value.items()}}
        case list() | tuple():
            return {"L": [serialize(each) for each in value]}
        case _:
            raise TypeError(f"DynamoDB has no type for {type(value).__name__}: {value!r}")


def deserialize(value: Mapping[str, Any]) -> Any:
    """The Python value of DynamoDB's form: numbers are Decimals, and sets, which only others write, are sets.

    Raises TypeError for a type that DynamoDB does not have.
    """
    for kind, content in value.items():
        if read := _READ.get(kind):
            return read(content)
    raise TypeError(f"not a value of DynamoDB: {value!r}")


def plain(value: Any) -> Any:
    """A value that was read, as JSON has it: Decimals become integers, or floats."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
    return value


def _number(value: int | Decimal) -> str:
    number = _EXACT.create_decimal(value)
    if not number.is_finite():
        raise TypeError(f"DynamoDB has no type for {value}")
    return str(number)


def _as_it_is(content: Any) -> Any:
    return content


_READ: dict[str, Callable[[Any], Any]] = {
    "S": _as_it_is,
    "N": _EXACT.create_decimal,
    "BOOL": _as_it_is,
    "NULL": lambda _: None,
    "M": lambda content: {name: deserialize(each) for name, each in content.items()},
    "L": lambda content: [deserialize(each) for each in content],
    "B": bytes,
    "SS": set,
    "NS": lambda content: {_EXACT.create_decimal(each) for each in content},
    "BS": set,
}
