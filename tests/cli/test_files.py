"""Files that commands write: tried before anything is done, whole or not at all, and never in place of what is no file."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from imdsv2_cli.failure import Failure
from imdsv2_cli.files import write_file
from tests.cli import test_verdicts
from tests.cli.conftest import run
from tests.cli.test_steering import WEB, results
from tests.cli.test_verdicts import ARNS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Aws
    from tests.cli.test_verdicts import Fleet

fleet = test_verdicts.fleet


@pytest.mark.parametrize("name", ["answer.json", "answer.csv", "answer.txt"])
def test_a_change_whose_answer_could_not_be_written_is_not_made(aws: Aws, tmp_path: Path, name: str) -> None:
    """Whoever learns afterwards that there is no such folder has lost the answer."""
    aws.on_invoke("manual", results(WEB))
    done = run("release", WEB, "--yes", "--file", str(tmp_path / "none" / name))
    assert (1, 1, []) == (done.exit_code, done.stderr.count("\n"), aws.payloads())
    assert "there is no folder" in done.stderr


def test_a_plan_that_could_not_be_written_is_not_made(aws: Aws, fleet: Fleet, tmp_path: Path) -> None:
    """Judging thousands takes minutes."""
    done = run("assess", ARNS[0], "--plan", str(tmp_path / "none" / "plan.json"))
    assert (1, []) == (done.exit_code, aws.payloads())


def test_what_is_no_regular_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    """A pipe here; for the administrator's /dev/null it is the same."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, "told\n")
        assert b"told\n" == os.read(reader, 100)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert ["pipe"] == [each.name for each in tmp_path.iterdir()]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is written anew."""
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.csv", tmp_path / "a.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_file(link, "new")
    assert (True, "new", ["a.csv"]) == (
        link.is_symlink(),
        target.read_text(),
        [each.name for each in target.parent.iterdir()],
    )


def test_a_file_has_the_permissions_of_its_predecessor_or_of_the_umask(tmp_path: Path) -> None:
    """A plan is for a colleague to read; what was private stays so."""
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new", "x")
        (tmp_path / "private").touch(0o600)
        write_file(tmp_path / "private", "x")
    finally:
        os.umask(before)
    assert (0o640, 0o600) == tuple(stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("new", "private"))


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    """And nothing beside it."""
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_file(path, "\ud800")
    assert ("old", ["a.json"]) == (path.read_text(), [each.name for each in tmp_path.iterdir()])


def test_a_path_that_the_system_refuses_is_told(tmp_path: Path) -> None:
    """In its words."""
    with pytest.raises(Failure, match="too long"):
        write_file(tmp_path / ("x" * 300), "text")


def test_a_report_is_not_written_as_json(aws: Aws, tmp_path: Path) -> None:
    """A page of HTML in a file that is called .json helps nobody."""
    done = run("report", "--file", str(tmp_path / "fleet.json"))
    assert (2, []) == (done.exit_code, list(tmp_path.iterdir()))
    assert "html, csv, markdown" in done.stderr
