"""docs/beliefs.md is up to date, and its inputs are inputs."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields

import pytest

from imdsv2.selftest.agenda import INSTANCE_TYPE, SHORTEST_LIFE_MINUTES
from imdsv2.selftest.belief import Source
from imdsv2.selftest.beliefs import BELIEFS
from imdsv2.selftest.order import Order, parse_order
from infra import selftest_statements
from tests.docs.beliefs import PAGE, drawn

RENEW = "KEEP" in os.environ


def test_the_table_is_the_list() -> None:
    """Each belief with witness, check and consequence, as in the code."""
    if RENEW:
        PAGE.write_text(drawn(PAGE.read_text()))
    assert drawn(PAGE.read_text()) == PAGE.read_text()


@pytest.mark.parametrize("given", re.findall(r"--input '(.*?)'", PAGE.read_text()))
def test_an_example_of_an_input_is_one(given: str) -> None:
    """It can be copied."""
    assert "222222222222" == parse_order(json.loads(given)).account


def test_every_field_of_the_input_is_explained() -> None:
    """And no other."""
    table = PAGE.read_text().split("| field | default | meaning |")[1].split("\n\n")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert {each.name for each in fields(Order)} == named


def test_what_is_said_of_the_instances_is_so() -> None:
    """Type and life, in the page, in the agenda and in the role's permissions."""
    assert f"`{INSTANCE_TYPE}`" in PAGE.read_text()
    assert f"{SHORTEST_LIFE_MINUTES} minutes" in PAGE.read_text()
    assert INSTANCE_TYPE == selftest_statements.INSTANCE_TYPE


def test_every_belief_has_a_name_a_witness_and_a_check_of_its_own() -> None:
    """One check proves one belief; a witness says where it is to be found, unless there is none."""
    assert len(BELIEFS) == len({belief.id for belief in BELIEFS}) == len({belief.check for belief in BELIEFS})
    assert all(bool(belief.witness.where) == (belief.witness.source is not Source.NONE) for belief in BELIEFS)
    assert all(belief.statement.endswith(".") and belief.if_wrong.endswith(".") for belief in BELIEFS)
