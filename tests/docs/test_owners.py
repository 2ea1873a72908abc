"""docs/owners.md is for people who have got a message, so it knows how every message begins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.policy import Policy
from imdsv2.ledger.record_values import ENDED, ENDED_UNEXPLAINED, OPENED, PROBE, UNPROVEN, UNTAGGED
from imdsv2.line import messages
from imdsv2.line.messages import left_headline

PAGE = (Path(__file__).parents[2] / "docs" / "owners.md").read_text()
LEFT = (OPENED, UNPROVEN, PROBE, UNTAGGED, ENDED, ENDED_UNEXPLAINED, "another reason")
BEGINNINGS = {
    *messages.HEADLINES.values(),
    *messages.REMINDERS.values(),
    messages.NOTICE,
    messages.VERIFIED,
    *(left_headline(each, is_broken=broken) for each in LEFT for broken in (True, False)),
}


@pytest.mark.parametrize("begins", sorted(BEGINNINGS))
def test_every_beginning_of_a_message_is_in_the_table(begins: str) -> None:
    """In the words of the message, after which people search the page."""
    said = {
        part.strip().lower() for cell in re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE) for part in cell.split(";")
    }
    assert begins.lower() in said


def test_the_tags_that_people_write_are_those_that_the_service_reads() -> None:
    """As long as the policy has its defaults."""
    policy = Policy()
    assert {policy.exempt_tag, policy.rollback_tag} == set(re.findall(r"--tags Key=([^,]+),", PAGE))
    assert f"Tags[?Key=='{ENFORCED_TAG}']" in PAGE
