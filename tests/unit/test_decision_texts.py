"""What explanations say: every command in them is complete, and what has to be filled in is only who pastes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.texts.commands import CALLER, account_command, command
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import ACCOUNT, NOW, arn
from tests.unit.test_decision_table import ROWS, combined

if TYPE_CHECKING:
    from imdsv2.domain.verdict import Reason

WITH_A_COMMAND = {
    "held_by_person": "release",
    "broke_before": "clear",
    "undone_by_person": "clear",
    "changed_back": "clear",
    "hop_limit_fallback": "mended",
    "v1_in_use": "mended",
    "v1_refused": "mended",
    "v1_at_boot": "mended",
    "v1_recurs": "mended",
    "boot_not_observable": "mended",
}


def commands_in(text: str) -> list[dict[str, Any]]:
    """Every JSON object in a text."""
    found, decoder, position = [], json.JSONDecoder(), text.find("{")
    while position >= 0:
        value, length = decoder.raw_decode(text[position:])
        found.append(value)
        position = text.find("{", position + length)
    return found


@pytest.mark.parametrize("condition", ROWS, ids=[reason for reason, _ in ROWS])
def test_every_command_in_an_explanation_is_a_payload(condition: tuple[Reason, dict[str, Any]]) -> None:
    """One for the very instance, which changes something, and for which somebody answers with his name."""
    reason, fields = condition
    verdict = decide(*combined([fields]), NOW)
    name = WITH_A_COMMAND.get(reason.value)
    at = {"at": f"{NOW:%Y-%m-%dT%H:%M:00Z}"} if name == "mended" else {}
    expected = [{name: {"targets": [str(arn())]}, **at, "dry_run": False, "caller": CALLER}] if name else []
    assert expected == commands_in(verdict.explanation)


@given(
    st.sampled_from(["clear", "mended", "release"]),
    st.from_regex(r"arn:aws(-cn)?:ec2:[a-z]{2}-[a-z]{4,9}-[1-9]:[0-9]{12}:instance/i-[0-9a-f]{17}", fullmatch=True),
)
def test_a_command_survives_the_text_around_it(name: str, text: str) -> None:
    """Whatever the instance."""
    said = f"When that is done: {command(name, InstanceArn.parse(text))} And then {account_command('close_breaker', ACCOUNT)}."
    assert [{name: {"targets": [text]}}, {"close_breaker": {"account": ACCOUNT}}] == [
        {key: value for key, value in each.items() if key not in {"dry_run", "caller"}} for each in commands_in(said)
    ]
