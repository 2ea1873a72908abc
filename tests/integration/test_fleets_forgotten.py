"""Fleets of which EC2 has forgotten some: those that it knows are read, however it names the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.aws.fleets import read_fleets, read_spot_fleets

if TYPE_CHECKING:
    from tests.integration.builders import Stub

KINDS = [
    (read_fleets, "describe_fleets", "FleetIds", "Fleets", "FleetId", "fleet", "InvalidFleetId.NotFound"),
    (
        read_spot_fleets,
        "describe_spot_fleet_requests",
        "SpotFleetRequestIds",
        "SpotFleetRequestConfigs",
        "SpotFleetRequestId",
        "sfr",
        "InvalidSpotFleetRequestId.NotFound",
    ),
]


@pytest.fixture(params=KINDS, ids=["EC2 Fleets", "Spot Fleets"])
def kind(request: pytest.FixtureRequest) -> Any:
    """One of the two kinds of fleets."""
    return request.param


def ids(kind: Any, count: int) -> list[str]:
    """Names as EC2 makes them, in order."""
    return [f"{kind[5]}-{number:08x}-0000-4000-8000-00000000beef" for number in range(count)]


def test_what_ec2_knows_is_read_though_it_names_the_forgotten_one_by_one(stub: Stub, kind: Any) -> None:
    """Fleets of the type `instant` are forgotten soon: there may be dozens of them in one call, and a few that are there."""
    read, operation, parameter, answer, name, _, code = kind
    ec2, asked = stub.client("ec2"), ids(kind, 7)
    gone, there = asked[:5], asked[5:]
    for number in range(4):
        expected = {parameter: asked[number:]}
        stub.refuse(ec2, operation, code, f"The ID '{gone[number]}' does not exist", expected=expected)
    stub.refuse(ec2, operation, code, f"The ID '{gone[4]}' does not exist", expected={parameter: [gone[4]]})
    for each in there:
        stub.answer(ec2, operation, {answer: [{name: each}]}, {parameter: [each]})
    assert set(there) == set(read(ec2, asked))
    stub.check_all_used()


def test_what_ec2_knows_is_read_though_it_names_nobody(stub: Stub, kind: Any) -> None:
    """To leave out all of them would say of each that EC2 no longer shows it."""
    read, operation, parameter, answer, name, _, code = kind
    ec2, (gone, there) = stub.client("ec2"), ids(kind, 2)
    stub.refuse(ec2, operation, code, "One of them does not exist", expected={parameter: [gone, there]})
    stub.refuse(ec2, operation, code, "It does not exist", expected={parameter: [gone]})
    stub.answer(ec2, operation, {answer: [{name: there}]}, {parameter: [there]})
    assert {there} == set(read(ec2, [there, gone]))
    stub.check_all_used()


def test_another_refusal_is_raised(stub: Stub, kind: Any) -> None:
    """It says nothing of any of them."""
    read, operation = kind[0], kind[1]
    ec2 = stub.client("ec2")
    stub.refuse(ec2, operation, "UnauthorizedOperation")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        read(ec2, ids(kind, 2))
