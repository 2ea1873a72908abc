"""DynamoDB's typed values: the same as boto3's, which is the reference for what other programs read and write."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from imdsv2.ledger.values import deserialize, serialize


class Shade(StrEnum):
    """A text that is a member of an enumeration, as most of the ledger's are."""

    DARK = "dark"


reference: Any = TypeDeserializer()

WRITTEN = [
    "",
    "Grüße",
    Shade.DARK,
    True,
    False,
    None,
    0,
    -17,
    10**37,
    Decimal("3.25"),
    Decimal("1E+3"),
    Decimal("-0.00"),
    [],
    ("a", 1, None),
    {},
    {"a": {"b": [{"c": True}, [Decimal("0.5")]]}},
    OrderedDict(x=1),
    MappingProxyType({"y": "z"}),
]


@pytest.mark.parametrize("value", WRITTEN, ids=repr)
def test_values_are_written_as_boto3_writes_them(value: Any) -> None:
    assert TypeSerializer().serialize(value) == serialize(value)


@pytest.mark.parametrize("value", WRITTEN, ids=repr)
def test_what_was_written_is_read_as_boto3_reads_it(value: Any) -> None:
    written = serialize(value)
    assert reference.deserialize(written) == deserialize(written)


@pytest.mark.parametrize("value", [{"SS": ["a", "b"]}, {"NS": ["1", "2.5"]}, {"B": b"\x00\xff"}, {"BS": [b"1", b"2"]}])
def test_types_that_only_others_write_can_be_read(value: dict[str, Any]) -> None:
    assert reference.deserialize(value) == deserialize(value)


@pytest.mark.parametrize(
    "value", [1.5, {"a"}, object(), [2.0], {"a": {1, 2}}, Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")]
)
def test_what_dynamodb_cannot_keep_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        serialize(value)


@pytest.mark.parametrize("value", [10**38 + 1, Decimal("1E+127"), Decimal("1E-200")])
def test_numbers_beyond_the_precision_are_refused(value: Any) -> None:
    with pytest.raises(ArithmeticError):
        serialize(value)


@pytest.mark.parametrize("value", [{}, {"X": "1"}])
def test_what_is_no_value_of_dynamodb_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        deserialize(value)
