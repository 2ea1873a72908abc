"""Which process of this machine talks to an instance's metadata service: what a probe in the kernel of the instance would see.

A test's clients are real processes, each with a connection of its own: `/proc/net/tcp` knows its socket by the ports of both ends, and
`/proc/<pid>/fd` who holds it. While an instance is watched, each request without a token becomes a line of a file, in the form of the
messages of AWS's IMDS Packet Analyzer.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Place: TypeAlias = tuple[str, str, str]

PROC: Final = Path("/proc")
PARENTS: Final = 3

# Account, Region and instance -> the files that get a line for each request.
_watched: dict[Place, list[Path]] = {}


@contextmanager
def watching(place: Place, file: Path) -> Iterator[None]:
    """Have requests to an instance written to a file within the block, beside the files of others who watch it."""
    _watched.setdefault(place, []).append(file)
    try:
        yield
    finally:
        _watched[place].remove(file)


def note(place: Place, ends: tuple[int, int], request: str) -> None:
    """Write who makes a request without a token, if the instance is watched. ``ends``: the ports of the connection, the caller's first."""
    files = list(_watched.get(place, ()))
    if not files:
        return
    chain = list(_chain(_pid_of(*ends)))
    called_by = f" called by -> {' -> '.join(chain[1:])}" if len(chain) > 1 else ""
    line = f"IMDSv1(!) {chain[0]}{called_by} Req details: GET {request} HTTP/1.1".lower().replace("\n", " ")
    for each in files:
        # A watch may end meanwhile.
        with suppress(OSError), each.open("a") as calls:
            calls.write(f"{line}\n")


def _pid_of(port: int, served_at: int) -> int | None:
    """The process that holds the socket of a connection. Its own port alone does not tell: another one to elsewhere may share it."""
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{served_at:04X}"):
            return _holder_of(f"socket:[{fields[9]}]")
    return None


def _holder_of(socket: str) -> int | None:
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            # Processes end, and some are not ours.
            with suppress(OSError):
                if any(str(each.readlink()) == socket for each in (entry / "fd").iterdir()):
                    return int(entry.name)
    return None


def _chain(pid: int | None) -> Iterator[str]:
    """The process and what started it, as the analyzer writes them."""
    if pid is None:
        yield "(pid:0 Unable to get argv information)"
        return
    for _ in range(1 + PARENTS):
        try:
            comm = (PROC / str(pid) / "comm").read_text().strip()
            argv = (PROC / str(pid) / "cmdline").read_text(errors="replace").replace("\0", " ").rstrip()
            status = (PROC / str(pid) / "stat").read_text()
        except OSError:
            return
        yield f"(pid:{pid}:{comm} argv:{argv})"
        pid = int(status.rpartition(")")[2].split()[1])
        if not pid:
            return
