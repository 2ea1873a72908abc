"""What the service says of an instance is what its datapoints say, looked at one after the other (plain_evidence.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings

from imdsv2.domain.verdict import Decision
from tests.unit.evidence_builders import verdict_on
from tests.unit.plain_evidence import plain_verdict
from tests.unit.plain_lives import tellings

if TYPE_CHECKING:
    from tests.unit.plain_told import Told


@given(tellings())
@settings(max_examples=300)
def test_a_verdict_is_what_the_datapoints_and_people_say(told: Told) -> None:
    """Whatever was launched, stopped, lost, called, refused, mended, rebooted, cleared and accepted, and when."""
    said = verdict_on(told.cloudwatch, told.target, told.policy, told.now, told.history)
    decision, reasons = plain_verdict(told)
    assert said.decision is not Decision.ENFORCE or decision is Decision.ENFORCE, (said, reasons)
    assert (decision, True) == (said.decision, said.reason in reasons), (said, reasons)
