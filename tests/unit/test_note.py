"""The note on findings: the sentence itself and what to do, within the length that Security Hub keeps."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.security_hub import NOTE_LENGTH
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.texts.commands import account_command, command, commands_in, hold_command
from imdsv2.ledger.record import Record
from imdsv2.line.note import note, shortened
from imdsv2.people.command_request import HoldCommand
from imdsv2.people.request import parse

ARN = InstanceArn.of(region="eu-west-1", account="222222222222", instance_id="i-0123456789abcdef0")
CLEAR = command("clear", ARN)
IN_CLI = f"imdsv2 clear {ARN}"
MORE = f" (More: imdsv2 explain {ARN.instance_id})"
LONG = "The software on it calls the metadata service without a token again and again. " * 20


def record(explanation: str | None, *, status: str = "held", reason: str = "broke_before") -> Record:
    """A judged instance."""
    decision = "hold" if status == "held" else "enforce"
    return Record(arn=ARN, explanation=explanation, status=status, decision=decision, reason=reason)


def commands(text: str) -> list[str]:
    """The payloads in a text; every brace belongs to one."""
    found = [text[start:end] for start, end in commands_in(text)]
    assert text.count("{") == sum(each.count("{") for each in found)
    return found


def test_what_fits_is_said_as_it_is() -> None:
    """With the command as the command line takes it, the one that shows more, and what the command line is."""
    expected = (
        f"IMDSv1 stays on: hold (broke_before). It broke; then: {IN_CLI}{MORE} imdsv2 is the command line of the service that wrote "
        "this: ask your security team."
    )
    assert expected == note(record(f"It broke; then: {CLEAR}"))


def test_what_was_changed_has_the_way_back() -> None:
    """For whoever reads it because something fails; it names no instance, so that such notes go on sharing a call."""
    said = note(record("No IMDSv1 call.", status="enforced", reason="unused"))
    assert said.startswith(
        "IMDSv1 switched off: enforce (unused). No IMDSv1 call. (More: imdsv2 explain INSTANCE; if something fails: imdsv2 undo INSTANCE)"
    )
    assert len(note(record(f"{LONG}{CLEAR}", status="enforced", reason="unused"))) <= NOTE_LENGTH


@pytest.mark.parametrize("room", range(0, 160, 7))
def test_what_imdsv2_is_is_left_out_first(room: int) -> None:
    """The sentence itself stays whole for as long as it fits."""
    prose = "x" * (NOTE_LENGTH - room - len("IMDSv1 stays on: hold (broke_before).  then: ") - len(IN_CLI) - len(MORE))
    said = note(record(f"{prose} then: {CLEAR}"))
    assert f"{prose} then: {IN_CLI}{MORE}" in said
    assert len(said) <= NOTE_LENGTH


def test_a_verdict_without_an_explanation_has_its_headline() -> None:
    """What needs no action, too. Findings that say the same share a call, so none of them names its instance."""
    said = note(record(None, status="verified", reason="unused"))
    begin = "IMDSv1 is off, and nothing has needed it since: enforce (unused). (More: imdsv2 explain INSTANCE)"
    assert said.startswith(begin)


def test_a_long_sentence_is_cut_at_a_word_and_keeps_its_command() -> None:
    """With the words that introduce the command."""
    said = note(record(f"{LONG}Update it, then say so: {CLEAR}"))
    assert said.endswith(f"… Update it, then say so: {IN_CLI}{MORE}")
    cut = said.partition("…")[0].partition("(broke_before). ")[2]
    assert LONG.startswith(f"{cut} ")
    assert NOTE_LENGTH - 20 <= len(said) <= NOTE_LENGTH


def test_a_command_that_is_too_long_is_left_out_as_a_whole() -> None:
    """With the words that introduce it; half a command helps nobody."""
    hold = hold_command(ARN, "o" * 256, date(2026, 12, 20))
    said = note(record(f"{LONG}Or have it held: {hold}"))
    assert "imdsv2 hold" not in said
    assert "Or have" not in said
    assert said.endswith(f"…{MORE}")


def test_of_two_commands_the_first_is_kept_where_both_are_too_long() -> None:
    """And both where they fit."""
    other = command("undo", ARN, reason="r" * 200)
    said = note(record(f"{LONG}If it was nothing: {CLEAR} If it broke: {other}"))
    assert (1, 0) == (said.count(IN_CLI), said.count("imdsv2 undo"))
    both = note(record(f"{LONG}If it was nothing: {CLEAR} If it broke: {command('undo', ARN)}"))
    assert (1, 1) == (both.count(IN_CLI), both.count(f"imdsv2 undo {ARN}"))


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
    assert isinstance(parsed, HoldCommand)
    assert "".join(each if each.isprintable() else " " for each in owner) == parsed.owner
