"""Records are copied as `dataclasses.replace` copies them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.policy import Policy
from imdsv2.domain.replacing import replace
from imdsv2.ledger.change import Change
from imdsv2.ledger.record import Record
from tests.unit.builders import arn

RECORD = Record(arn=arn(), status="held", owes=frozenset({"tag"}), evidence={"share": 1})
VALUES: list[Any] = [RECORD, Change(before=RECORD, after=RECORD), Policy()]


def other(value: Any) -> Any:
    """Something else for each field."""
    return st.fixed_dictionaries({}, optional={each.name: st.integers() for each in dataclasses.fields(value)})


@given(st.data())
def test_a_copy_has_the_fields_of_the_value_but_for_those_that_change(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(VALUES))
    changes = data.draw(other(value))
    before = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    copy = replace(value, **changes)
    assert dataclasses.replace(value, **changes) == copy
    assert type(value) is type(copy)
    assert before == {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}


def test_a_value_that_does_not_change_is_not_copied() -> None:
    assert RECORD is replace(RECORD, status=RECORD.status, missing_since=None)


@pytest.mark.parametrize("value", VALUES)
def test_a_field_that_does_not_exist_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="has no field statsu"):
        replace(value, statsu="held")


def test_a_copy_stays_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(RECORD, status="enforced").status = "held"  # type: ignore[misc]
