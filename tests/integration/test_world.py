"""The world in memory, held against moto: the same questions, the same answers, but where moto is known to be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.world.conformance.clouds import REGION, InMemory, Served
from tests.world.conformance.deviations import MOTO, STRICTER
from tests.world.conformance.suite import CHECKS, SERVICES, answer, unasked

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """An empty account in moto, without the corrections that other tests make."""
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # 1,300 of them.
    with mock_aws():
        yield Served("123456789012", **{name: boto3.client(name, region_name=REGION) for name in SERVICES})  # type: ignore[call-overload]


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - MOTO.keys() - STRICTER.keys()))
def test_the_world_answers_as_moto_does(name: str, moto: Served) -> None:
    """Whatever the service reads of it."""
    assert answer(name, moto) == answer(name, InMemory())


@pytest.mark.parametrize("name", sorted(MOTO))
def test_moto_still_answers_otherwise(name: str, moto: Served) -> None:
    """Else its line in the table of deviations is to be removed."""
    ours = answer(name, InMemory())
    try:
        theirs = answer(name, moto)
    except Exception:  # noqa: BLE001 - whatever moto raises in place of an answer
        return
    assert theirs != ours


@pytest.mark.parametrize("name", sorted(STRICTER))
def test_the_world_is_stricter_than_aws(name: str) -> None:
    """It refuses what a caller who knows the rules does not ask."""
    with pytest.raises(ClientError, match="ValidationError"):
        answer(name, InMemory())


def test_every_operation_of_the_world_is_asked() -> None:
    """An operation that is added needs a check."""
    assert set() == unasked()
