"""The note on findings: the sentence itself and what to do, within the length that Security Hub keeps."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.commands import account_command, command, commands_in, hold_command
from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.record import Record
from imdsv2.line.messages import Directions
from imdsv2.line.note import note, shortened
from imdsv2.people.request import Command, parse

ARN = InstanceArn.of(region="eu-west-1", account="222222222222", instance_id="i-0123456789abcdef0")
LENGTH = 512
DIRECTIONS = Directions("ledger", "imdsv2-remediation-manual")
CLEAR = command("clear", ARN)
LONG = "The software on it calls the metadata service without a token again and again. " * 20


def record(explanation: str | None, *, status: str = "held", reason: str = "broke_before") -> Record:
    """A judged instance."""
    decision = "hold" if status == "held" else "enforce"
    return Record(arn=ARN, explanation=explanation, status=status, decision=decision, reason=reason)


def commands(text: str) -> list[str]:
    """The commands in a text; every brace belongs to one."""
    found = [text[start:end] for start, end in commands_in(text)]
    assert text.count("{") == sum(each.count("{") for each in found)
    return found


def test_what_fits_is_said_as_it_is() -> None:
    """With the function that takes the command, and where the evidence is."""
    expected = (
        f"IMDSv1 stays on: hold (broke_before). It broke; then: {CLEAR} Commands are payloads of the function {DIRECTIONS.manual_function}. "
        "Evidence: DynamoDB table ledger."
    )
    assert expected == note(record(f"It broke; then: {CLEAR}"), DIRECTIONS)


@pytest.mark.parametrize("room", range(0, 160, 7))
def test_where_to_find_more_is_left_out_first(room: int) -> None:
    """The sentence itself stays whole for as long as it fits."""
    prose = "x" * (LENGTH - room - len("IMDSv1 stays on: hold (broke_before).  then: ") - len(CLEAR))
    said = note(record(f"{prose} then: {CLEAR}"), DIRECTIONS)
    assert f"{prose} then: {CLEAR}" in said
    assert len(said) <= LENGTH


def test_a_verdict_without_an_explanation_has_its_headline() -> None:
    """What needs no action, too."""
    expected = "IMDSv1 is off, and nothing has needed it since: enforce (unused). Evidence: DynamoDB table ledger."
    assert expected == note(record(None, status="verified", reason="unused"), DIRECTIONS)


def test_a_long_sentence_is_cut_at_a_word_and_keeps_its_command() -> None:
    """With the words that introduce the command."""
    said = note(record(f"{LONG}Update it, then say so: {CLEAR}"), DIRECTIONS)
    assert said.endswith(f"… Update it, then say so: {CLEAR}")
    cut = said.partition("…")[0].partition("(broke_before). ")[2]
    assert LONG.startswith(f"{cut} ")
    assert LENGTH - 20 <= len(said) <= LENGTH


def test_a_command_that_is_too_long_is_left_out_as_a_whole() -> None:
    """With the words that introduce it; half a command helps nobody."""
    hold = hold_command(ARN, "o" * 256, date(2026, 12, 20))
    said = note(record(f"{LONG}Or have it held: {hold}"), DIRECTIONS)
    assert [] == commands(said)
    assert "Or have" not in said
    assert said.endswith("…")


def test_of_two_commands_the_first_is_kept_where_both_are_too_long() -> None:
    """And both where they fit."""
    other = command("undo", ARN, reason="r" * 120)
    said = note(record(f"{LONG}If it was nothing: {CLEAR} If it broke: {other}"), DIRECTIONS)
    assert [CLEAR] == commands(said)
    both = note(record(f"{LONG}If it was nothing: {CLEAR} If it broke: {command('undo', ARN)}"), DIRECTIONS)
    assert [CLEAR, command("undo", ARN)] == commands(both)


words = st.text(st.characters(exclude_characters="{}", codec="utf-8"), max_size=40)
pieces = st.lists(words | st.sampled_from([CLEAR, account_command("close_breaker", "222222222222"), ". ", LONG]))


@given(pieces.map("".join), st.integers(60, 600))
def test_no_text_is_too_long_and_no_command_is_cut(text: str, length: int) -> None:
    """Whatever it says, and however short it has to be."""
    said = shortened(text, length)
    assert len(said) <= length
    assert set(commands(said)) <= set(commands(text))
    assert said == text or len(text) > length


def test_a_brace_of_another_text_is_no_command() -> None:
    """EC2's messages may hold anything."""
    text = f"EC2 said {{oops }} and {CLEAR} {{"
    assert [CLEAR] == [text[start:end] for start, end in commands_in(text)]


@pytest.mark.parametrize("owner", ["team-web", "Bob's", "a\nb\x00", "équipe", "a" * 256, 'say "hi" {x}'])
def test_a_command_is_taken_between_single_quotes_of_a_shell(owner: str) -> None:
    """Whatever the tag that names the owner holds."""
    text = hold_command(ARN, owner, date(2026, 12, 20))
    assert "'" not in text
    parsed = parse(json.loads(text))
    assert isinstance(parsed, Command)
    assert "".join(each if each.isprintable() else " " for each in owner) == parsed.owner
