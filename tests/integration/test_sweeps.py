"""When the last sweep ended: known from the first look on, so that one that never comes is noticed."""

from __future__ import annotations

from datetime import timedelta

from imdsv2.ledger.sweeps import Sweeps
from tests.integration.builders import NOW, TABLE
from tests.world.dynamodb import Table

HOUR = timedelta(hours=1)


def test_its_age_counts_from_its_end() -> None:
    """The next sweep begins it anew."""
    sweeps = Sweeps(Table().client, TABLE)
    sweeps.ended(NOW)
    assert 31 * HOUR == sweeps.age(NOW + 31 * HOUR)
    sweeps.ended(NOW + 32 * HOUR)
    assert HOUR == sweeps.age(NOW + 33 * HOUR)


def test_one_that_has_never_come_is_awaited_from_the_first_look_on() -> None:
    """A new installation is no alarm until the first night is over."""
    sweeps = Sweeps(Table().client, TABLE)
    assert timedelta() == sweeps.age(NOW)
    assert 40 * HOUR == sweeps.age(NOW + 40 * HOUR)
