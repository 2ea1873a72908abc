"""The demo's fleet covers the verdict table."""

from __future__ import annotations

from imdsv2.domain.verdict import Decision, Reason
from local.demo.stories import machines

# Gates that bind a whole account or everything at once, which would hide the rows.
NOT_OF_ONE_INSTANCE = {
    Reason.SWITCHED_OFF,
    Reason.POLICY_UNREADABLE,
    Reason.BREAKER_OPEN,
    Reason.APPROVAL_REQUIRED,
    Reason.NOTICE_GIVEN,
    Reason.CALENDAR_CLOSED,
    Reason.CAP_REACHED,
}


def test_every_reason_has_an_instance() -> None:
    """A row that is added to the table has to be shown."""
    assert set(Reason) - NOT_OF_ONE_INSTANCE == {Reason(machine.reason) for machine in machines()}


def test_the_fleet_is_spread() -> None:
    """Three accounts and two Regions, as the local AWS has them, and both of Security Hub's formats and Config tell of it."""
    fleet = machines()
    assert {"111111111111", "222222222222", "333333333333"} <= {machine.account for machine in fleet}
    assert {"eu-west-1", "us-east-1"} == {machine.region for machine in fleet}
    assert 6 == len({machine.via for machine in fleet})


def test_names_and_decisions_are_well_formed() -> None:
    """One name an instance; decisions are the service's."""
    fleet = machines()
    assert len(fleet) == len({machine.name for machine in fleet})
    assert {machine.decision for machine in fleet} == {decision.value for decision in Decision}
