"""The analyzer's log: both forms that it has had, and whatever else stands in it."""

from __future__ import annotations

import json
import random

import pytest

from imdsv2.culprit.trace_log import LONGEST_LOG, MOST_PROCESSES, Process, Trace, read_trace

OLDER = (
    "[2022-12-20T11:03:58] [WARNING] IMDSv1(!) (pid:1016:curl argv:curl http://169.254.169.254/latest/meta-data/) called by -> "
    "(pid:1015:backup.sh argv:/bin/bash ./backup.sh) -> (pid:900:cron argv:/usr/sbin/cron -f) -> (pid:1:systemd argv:/sbin/init)"
)
NEWER = (
    "[2026-11-20 11:03:58,123] [WARNING] imdsv1(!) (pid:77:collector argv:/opt/collector --once) called by -> (pid:1:systemd argv:/sbin/init)"
    " req details: get /latest/meta-data/iam/security-credentials/web http/1.1, host: 169.254.169.254, accept: */*, "
)
ON_STDOUT = "[WARNING] imdsv1(!) (pid:9:agent argv:/usr/bin/agent) req details: get /latest/ http/1.1"
GONE = (
    "[2026-11-20 11:03:58,123] [WARNING] imdsv1(!) (pid:5 unable to get argv information) req details: get / http/1.0"
)
V2 = "[2022-12-20T11:03:58] [INFO] IMDSv2 (pid:1018:curl argv:curl -H x) called by -> (pid:1015:a argv:b)"
UNTOLD = "[2026-11-20 11:03:58,123] [ERROR] {missing payload} imdsv1(!) (pid:6:python argv:python3 x.py) req details: "


@pytest.mark.parametrize(
    ("line", "process"),
    [
        (
            OLDER,
            Process(
                name="curl",
                command="curl http://169.254.169.254/latest/meta-data/",
                parents=("/bin/bash ./backup.sh", "/usr/sbin/cron -f", "/sbin/init"),
                calls=1,
            ),
        ),
        (NEWER, Process(name="collector", command="/opt/collector --once", parents=("/sbin/init",), calls=1)),
        (ON_STDOUT, Process(name="agent", command="/usr/bin/agent", parents=(), calls=1)),
        (f"     42 {ON_STDOUT}", Process(name="agent", command="/usr/bin/agent", parents=(), calls=42)),
        (GONE, Process(name="", command="", parents=(), calls=1)),
    ],
)
def test_each_form_of_a_line_is_read(line: str, process: Process) -> None:
    """With time or without, counted or not, with the request or without."""
    assert Trace(processes=(process,)) == read_trace(line)
    assert Trace(processes=(process,)) == read_trace(f"{line}\r\n".encode())


def test_calls_are_added_up_and_others_counted_apart() -> None:
    """By the program and its command line, whatever the process ids."""
    log = "\n".join([V2, OLDER, NEWER, OLDER.replace("1016", "2016"), UNTOLD, "Starting ImdsPacketAnalyzer...", "", V2])
    found = read_trace(log)
    assert [("curl", 2), ("collector", 1)] == [(each.name, each.calls) for each in found.processes]
    assert (2, 1, 1, False) == (found.by_v2, found.untold, found.unread, found.cut)


@pytest.mark.parametrize("log", ["", "\n\n", b"", b"\xff\xfe\x00", "no log at all", "IMDSv1(!) (pid:", "]" * 1000])
def test_what_is_no_log_names_nobody(log: str | bytes) -> None:
    """Nor does it raise."""
    found = read_trace(log)
    assert () == tuple(each for each in found.processes if each.command)


def test_a_log_may_end_anywhere() -> None:
    """Run Command cuts its output."""
    whole = "\n".join([OLDER, NEWER, ON_STDOUT])
    for end in range(len(whole)):
        found = read_trace(whole[:end])
        assert all(each.calls == 1 for each in found.processes)
    assert read_trace(f"{OLDER}\n--output truncated--").cut


def test_a_huge_log_is_read_in_part() -> None:
    """So many characters, and so many processes; it says that there was more."""
    many = "\n".join(ON_STDOUT.replace("agent", f"agent{number}") for number in range(MOST_PROCESSES + 5))
    assert (MOST_PROCESSES, True) == (len(read_trace(many).processes), read_trace(many).cut)
    huge = read_trace(f"{ON_STDOUT}\n" * (2 * LONGEST_LOG // len(ON_STDOUT)))
    assert (1, True) == (len(huge.processes), huge.cut)
    endless = read_trace(ON_STDOUT.replace("/usr/bin/agent", "a" * 50_000_000))
    assert len(json.dumps([each.command for each in endless.processes])) < 1_000


HOSTILE = "\x1b]0;x\x07\x1b[2J=cmd|' /C calc'!A0\u202e\x00\x08" + "\ud800"


def test_a_hostile_log_harms_nothing() -> None:
    """Terminal escapes, formulas, what turns text around, halves of characters, and tokens."""
    line = f"[WARNING] IMDSv1(!) (pid:1:{HOSTILE[:10]} argv:{HOSTILE} --token=AQAEAF==) called by -> (pid:2:sh argv:{HOSTILE})"
    [process] = read_trace(line).processes
    for each in (process.name, process.command, *process.parents, process.says):
        assert each.isprintable()
        assert each == each.encode().decode()
    assert "AQAEAF" not in process.says


def test_a_command_line_cannot_pretend_to_be_another_line() -> None:
    """What it says of itself stands in its own entry: one line is one call of one process."""
    forged = ON_STDOUT.replace("/usr/bin/agent", f"/usr/bin/agent) called by -> (pid:1:innocent argv:innocent) {OLDER}")
    assert ["agent"] == [each.name for each in read_trace(forged).processes]


def test_noise_never_raises() -> None:
    """Random bytes, and random pieces of lines."""
    chance = random.Random(5)  # noqa: S311 - chooses, keeps no secret
    pieces = [
        OLDER,
        NEWER,
        "(pid:",
        " called by -> ",
        ") -> ",
        " argv:",
        "\x1b[",
        "imdsv1(!) ",
        "9" * 30,
        "\n",
        "[" * 50,
    ]
    for _ in range(300):
        assert len(read_trace(chance.randbytes(300)).processes) <= 300
        text = "".join(chance.choice(pieces)[: chance.randint(1, 200)] for _ in range(20))
        assert all(each.says.isprintable() for each in read_trace(text).processes)
