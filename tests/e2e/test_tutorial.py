"""A day of an operator, from an empty ledger to the auditor: the commands of docs/tutorial.md, in their order, in a terminal."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import local.__main__ as command
from local.cloud.run import HOME, MEMBERS, ROOT, LocalCloud
from tests.e2e.terminal import Terminal
from tests.e2e.world import POLICY_LIVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
LOCAL = {"make local-up": command.up, "make local-account": command.account, "make local-down": command.down}
SHELL = ('eval "$(make -s local-env)"', 'export PATH="$PWD/.venv/bin:$PATH"')
"""What prepares a shell: the terminal of these tests is prepared in the same way."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Step:
    """A command, how it ends, and what the tutorial shows of its answer."""

    line: str
    code: int
    shown: tuple[str, ...]


def steps() -> Iterator[Step]:
    """Every command of the tutorial."""
    for block in re.findall(r"```console\n(.*?)```", TUTORIAL, re.DOTALL):
        for asked in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *shown = asked.splitlines()
            line, _, remark = first.partition("  #")
            ends = re.search(r"ends with (\d)", remark)
            yield Step(line.strip(), int(ends[1]) if ends else 0, tuple(filter(None, shown)))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """An empty folder, and a local AWS of its own that ends with the test, wherever it fails."""
    monkeypatch.setattr(command, "STATE", tmp_path / "up.json")
    cloud = LocalCloud()
    monkeypatch.setenv("LOCAL_PORT", str(cloud.port))
    monkeypatch.chdir(tmp_path)
    yield cloud
    command.down()


# `up` leaves its server behind on purpose, which Python takes for a mistake.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_tutorial_is_a_day_of_work(desk: LocalCloud, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each command ends as it says, and shows what it says; in the end, EC2, the report and the audit trail agree."""
    terminal = Terminal(desk)
    for step in steps():
        if step.line in SHELL:
            continue
        if step.line in LOCAL:
            LOCAL[step.line]()
            code, out = 0, capfd.readouterr().err
        else:
            program, *words = shlex.split(step.line)
            assert "imdsv2" == program, step.line
            ended = terminal.screen(*words, COLUMNS="400")
            code, out = ended.code, ended.out
        assert step.code == code, f"{step.line}: {out}"
        _shows(out, step)
        if step.line.startswith("imdsv2 policy set"):
            time.sleep(POLICY_LIVE_SECONDS)
        if step.line.startswith("imdsv2 audit") and "--file" in step.line:
            _agree(desk, tmp_path)


def _shows(out: str, step: Step) -> None:
    """Whatever the tutorial shows of an answer is in it, in that order; columns may be wider."""
    plain = " ".join(ESCAPES.sub("", out).split()).lower()
    for line in step.shown:
        expected = " ".join(line.split()).lower()
        assert expected in plain, f"{step.line}: {out}"
        plain = plain.partition(expected)[2]


def _agree(cloud: LocalCloud, folder: Path) -> None:
    """Only what was planned was changed, one of the two was put back, and both files tell of it."""
    ec2 = cloud.session(account=MEMBERS[0], region=HOME).client("ec2")
    tokens, ids = {}, {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for each in reservation["Instances"]:
            [name] = [tag["Value"] for tag in each["Tags"] if tag["Key"] == "Name"]
            tokens[name], ids[name] = each["MetadataOptions"]["HttpTokens"], each["InstanceId"]
    required = {name for name, value in tokens.items() if value == "required"}
    assert ({"web-2", "vault"}, 5) == (required, len(tokens))
    report, trail = (folder / "fleet.html").read_text(), (folder / "audit.csv").read_text()
    assert {name for name, each in ids.items() if each in report} >= tokens.keys() - required
    changes = [line for line in trail.splitlines() if ",enforced," in line]
    assert {ids["web-1"], ids["web-2"]} <= {each for line in changes for each in line.split(",")}


def test_every_command_that_prepares_the_day_is_one_of_the_makefile() -> None:
    """What the test calls is what make calls."""
    makefile = (ROOT / "Makefile").read_text()
    for line, function in LOCAL.items():
        assert f"{line.removeprefix('make ')}: " in makefile
        assert f"-m local {function.__name__}\n" in makefile


def test_the_day_has_every_task_of_an_operator() -> None:
    """None of these may get lost from the tutorial, or the scenario would lose it, too."""
    done = {" ".join(step.line.split()[1:3]) if " policy " in step.line else step.line.split()[1] for step in steps()}
    assert {
        *("status", "doctor", "sweep", "list", "explain", "assess", "approve", "enforce", "undo", "clear", "hold"),
        *("policy check", "policy set", "report", "audit"),
    } <= done
