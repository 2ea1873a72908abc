"""Commands in messages work when pasted: in a shell, whatever the names in them hold."""

from __future__ import annotations

import json
import shlex
from datetime import date

import pytest

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.texts.commands import account_command, cohort_command, command, hold_command
from imdsv2.domain.texts.pasting import lines_to_paste
from imdsv2.fix.tell import undo_command
from imdsv2.people.command_request import Command
from imdsv2.people.request import parse

ARN = InstanceArn.of(account="222222222222", region="eu-west-1", instance_id="i-0123456789abcdef0")
FUNCTION = "imdsv2-remediation-manual"
SOURCE = "aws/222222222222/eu-west-1/auto_scaling_group:it's $(a) group"
COHORT = "aws/222222222222/eu-west-1/group:it's $(a) group"
CASES = {
    "undo": (command("undo", ARN), ["undo", str(ARN)]),
    "close_breaker": (account_command("close_breaker", "222222222222"), ["close-breaker", "--account", "222222222222"]),
    "clear": (cohort_command("clear", COHORT), ["clear", "--cohort", COHORT]),
    "undo of a source": (undo_command(SOURCE), ["undo", "--source", SOURCE]),
    "hold": (
        hold_command(ARN, "o'neill; rm -rf /", date(2027, 5, 31)),
        ["hold", str(ARN), "--owner", "o'neill; rm -rf /", "--reason", "YOUR REASON", "--until", "2027-05-31"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_command_is_given_for_the_command_line_and_for_the_function(name: str) -> None:
    """A shell reads both as they are meant; the function takes its payload."""
    payload, words = CASES[name]
    ours, theirs = lines_to_paste(f"Something broke. Say so: {payload}", FUNCTION)
    assert ["imdsv2", *words] == shlex.split(ours)
    call = shlex.split(theirs)
    assert ["aws", "lambda", "invoke", "--function-name", FUNCTION] == call[:5]
    assert isinstance(parse(json.loads(call[call.index("--payload") + 1])), Command)


def test_each_command_is_given_once_and_other_texts_none() -> None:
    """However often a text names it."""
    said = command("clear", ARN)
    assert 2 == len(lines_to_paste(f"{said} and again {said}", FUNCTION))
    assert [] == lines_to_paste("Nothing to do {yet}.", FUNCTION)
