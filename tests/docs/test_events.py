"""docs/events.md is up to date, and its commands name what exists."""

from __future__ import annotations

import json
import os
import re

from imdsv2.ledger.detail import MEANINGS
from imdsv2.ledger.trail import Kind
from tests.docs.events_page import PAGE, drawn

RENEW = "KEEP" in os.environ


def test_tables_and_schema_are_those_of_the_code() -> None:
    """Every kind, every attribute, and the schema that tests hold."""
    if RENEW:
        PAGE.write_text(drawn(PAGE.read_text()))
    assert drawn(PAGE.read_text()) == PAGE.read_text()
    assert set(Kind) == set(MEANINGS)


def test_the_example_of_a_rule_names_kinds_that_exist() -> None:
    """It can be copied."""
    [pattern] = re.findall(r"--event-pattern '(.*?)'", PAGE.read_text())
    asked = json.loads(pattern)
    assert ["imdsv2-remediation"] == asked["source"]
    assert ["111111111111"] == asked["account"], "members put events on the same bus"
    assert set(asked["detail-type"]) <= set(map(str, Kind))
