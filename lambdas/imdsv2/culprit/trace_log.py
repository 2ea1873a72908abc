"""Reads the log of AWS's IMDS Packet Analyzer: which processes called IMDSv1 while it watched, and how often.

A line of it, as its README and its source have it (github.com/aws/aws-imds-packet-analyzer; newer versions write everything after the
level in lower case, and add the request):

    [2022-12-20T11:03:58] [WARNING] IMDSv1(!) (pid:1016:curl argv:curl http://...) called by -> (pid:1015:job.sh argv:...) -> ...

Whoever runs on the instance decides what stands in a log: nothing of it is believed further than as a text, and all of it is bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from imdsv2.culprit.plain import plain, without_secrets

LONGEST_LOG = 1_000_000
LONGEST_LINE = 4_000
LONGEST_COMMAND = 400
_LONGEST_NAME = 64
MOST_PROCESSES = 50
_MOST_PARENTS = 3

_LINE = re.compile(
    # How often, where lines were counted; time and level; what the analyzer says where it saw no request.
    r"\s*(?:(?P<times>\d{1,9}) +)?(?:\[[^\]]{0,40}\] *){0,2}(?P<missing>\{missing payload\} *)?"
    r"imdsv(?P<version>[12])(?:\(!\))? *(?P<rest>\(pid:.*)",
    re.IGNORECASE | re.DOTALL,
)
_PROCESS = re.compile(
    r"\(?pid:\d{1,10}(?::(?P<name>.{0,64}?) argv:(?P<command>.*)| unable to get argv.*)", re.IGNORECASE | re.DOTALL
)
_CALLED_BY = re.compile(r"\) called by -> (?=\(pid:)", re.IGNORECASE)
_PARENT = re.compile(r"\) -> (?=\(pid:)", re.IGNORECASE)
_REQUEST = ") req details: "
_TRUNCATED = "output truncated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A program that called without a token. ``command``: its command line, empty where the process was gone; ``parents``: what had
    started it, the nearest first."""

    name: str
    command: str
    parents: tuple[str, ...]
    calls: int

    @property
    def says(self) -> str:
        """As one line."""
        started = f", started by {' < '.join(self.parents)}" if self.parents else ""
        return f"{self.command or self.name or 'a process that was gone'}{started}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a log says. ``untold``: calls of which the analyzer could not tell the version; ``unread``: lines that are none of its;
    ``cut``: whether there was more than is kept here."""

    processes: tuple[Process, ...] = ()
    by_v2: int = 0
    untold: int = 0
    unread: int = 0
    cut: bool = False


def read_trace(log: str | bytes) -> Trace:
    """The processes in a log, those with most calls first. Any text is taken; raises nothing."""
    whole = log.decode("utf-8", errors="replace") if isinstance(log, bytes) else log
    text = whole[:LONGEST_LOG]
    calls: Counter[tuple[str, str]] = Counter()
    parents: dict[tuple[str, str], tuple[str, ...]] = {}
    by_v2 = untold = unread = 0
    for line in text.split("\n"):
        found = _LINE.match(line[:LONGEST_LINE])
        if found is None:
            unread += bool(line.strip())
            continue
        times = int(found["times"] or 1)
        if found["missing"]:
            untold += times
        elif found["version"] == "2":
            by_v2 += times
        else:
            name, command, above = _chain(found["rest"])
            calls[name, command] += times
            parents.setdefault((name, command), above)
    ranked = sorted(calls.items(), key=lambda each: (-each[1], each[0]))
    return Trace(
        processes=tuple(
            Process(name=name, command=command, parents=parents[name, command], calls=number)
            for (name, command), number in ranked[:MOST_PROCESSES]
        ),
        by_v2=by_v2,
        untold=untold,
        unread=unread,
        cut=len(whole) > LONGEST_LOG or len(ranked) > MOST_PROCESSES or _TRUNCATED in whole[-200:].lower(),
    )


def _chain(rest: str) -> tuple[str, str, tuple[str, ...]]:
    """Name and command line of the process that called, and the names of what had started it."""
    end = rest.lower().rfind(_REQUEST)
    chain = rest[:end] if end >= 0 else rest.rstrip().removesuffix(")")
    first, *above = _CALLED_BY.split(chain, maxsplit=1)
    name, command = _process(first)
    started = [_process(each) for each in _PARENT.split(above[0])] if above else []
    return name, command, tuple(command or name for name, command in started[:_MOST_PARENTS] if command or name)


def _process(text: str) -> tuple[str, str]:
    found = _PROCESS.match(text)
    if found is None or found["command"] is None:
        return "", ""
    return plain(found["name"], _LONGEST_NAME), without_secrets(plain(found["command"], LONGEST_COMMAND))
