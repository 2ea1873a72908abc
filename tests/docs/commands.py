"""The commands of the manual: what somebody pastes from its pages, and what of that cannot be run without AWS."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.docs.pages import all_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TUTORIAL = "docs/tutorial.md"
"""`tests/e2e/test_tutorial.py` runs it, and looks at what it shows, too."""

_INSTALLS = "it installs from the internet; `make setup` installs the same for these tests"
_NO_SWITCH = "the local AWS has no such switch of the management account"
_NO_STACK_SETS = "StackSets of the local AWS are rolled out by the stack alone"
NOT_HERE: Mapping[str, str] = {
    "make demo": "tests/e2e/test_demo.py runs it",
    "python3 -m venv": _INSTALLS,
    "pip install": _INSTALLS,
    "npm ci": _INSTALLS,
    "npx cdk": "the CDK's command line deploys to AWS only; local/cloud/deploy.py does what it does, and the end-to-end tests begin with that",
    "aws cloudformation activate-organizations-access": _NO_SWITCH,
    "aws organizations register-delegated-administrator": _NO_SWITCH,
    "aws organizations enable-aws-service-access": _NO_SWITCH,
    "aws cloudformation update-stack-instances": _NO_STACK_SETS,
    "aws cloudformation delete-stack-instances": _NO_STACK_SETS,
    "aws sqs start-message-move-task": "the local SQS moves no messages from a dead-letter queue",
    'aws stepfunctions start-execution --state-machine-arn "$SELFTEST_STATE_MACHINE_ARN"': (
        "the self-test is off unless asked for, and takes an hour; tests/e2e/test_selftest.py rehearses it"
    ),
    "conftest test": "no package of Conftest is installed; tests/infra/test_gate.py has the same policy judged by another engine",
    "terraform plan": "it needs a configuration and Terraform's AWS provider from the internet; tests/infra/test_gate.py runs the block alone",
}
"""How a command begins that is not run, and why. Of those that call AWS, the command line of AWS at least has to take the options."""

_BLOCK = re.compile(r"^( *)```console\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """A command as it stands in a page, of several lines perhaps, and the code with which it ends."""

    page: str
    text: str
    code: int

    @property
    def why_not(self) -> str | None:
        """Why it is not run; None if it is."""
        return next((why for begins, why in NOT_HERE.items() if self.text.startswith(begins)), None)


def steps() -> dict[str, list[Step]]:
    """The commands of each page that has any, in their order; without the tutorial's."""
    found = {name: list(_of(name, text)) for name, text in sorted(all_pages().items()) if name != TUTORIAL}
    return {name: several for name, several in found.items() if several}


def _of(name: str, text: str) -> Iterator[Step]:
    for _, block in _BLOCK.findall(text):
        for pasted in re.split(r"^\$ ", textwrap.dedent(block), flags=re.MULTILINE)[1:]:
            ends = re.search(r"#.*ends with (\d)", pasted)
            yield Step(name, pasted.strip(), int(ends[1]) if ends else 0)
