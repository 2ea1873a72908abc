"""What the end-to-end tests run of the manual is all of it, but for a table that has no row too many."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.docs.commands import NOT_HERE, TUTORIAL, steps
from tests.docs.pages import ROOT, all_pages

if TYPE_CHECKING:
    from tests.docs.commands import Step

ALL = [step for several in steps().values() for step in several]
AWS = ROOT / ".venv-judges" / "bin" / "aws"


def test_every_line_with_a_prompt_is_a_command() -> None:
    """In lists, too, where the block is indented."""
    prompts = sum(
        len(re.findall(r"^ *\$ ", page, re.MULTILINE)) for name, page in all_pages().items() if name != TUTORIAL
    )
    assert prompts == len(ALL) > 100


@pytest.mark.parametrize("begins", NOT_HERE)
def test_the_table_has_no_row_that_nothing_needs(begins: str) -> None:
    """Whoever removes a command from the manual removes its row."""
    assert [step for step in ALL if step.text.startswith(begins)]


def test_every_command_of_our_own_is_run() -> None:
    """No excuse reaches the command line `imdsv2`, or a function that is invoked."""
    assert [] == [step.text for step in ALL if step.why_not and re.match(r"imdsv2 |aws lambda invoke ", step.text)]


@pytest.mark.skipif(not AWS.exists(), reason="the command line of AWS is not installed: run `make setup`")
@pytest.mark.parametrize(
    "step", [each for each in ALL if each.why_not and each.text.startswith("aws ")], ids=lambda step: step.text[:60]
)
def test_what_is_not_run_has_options_that_exist(step: Step) -> None:
    """The command line of AWS checks them before it would call."""
    environment = {
        "PATH": f"{AWS.parent}:{os.environ['PATH']}",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "FINDINGS_QUEUE_ARN": "arn:aws:sqs:eu-west-1:111111111111:findings",
        "FINDINGS_DEAD_LETTER_QUEUE_ARN": "arn:aws:sqs:eu-west-1:111111111111:dead",
        "SELFTEST_STATE_MACHINE_ARN": "arn:aws:states:eu-west-1:111111111111:stateMachine:selftest",
    }
    done = subprocess.run(
        ["bash", "-euc", f"{step.text} --generate-cli-skeleton output"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
