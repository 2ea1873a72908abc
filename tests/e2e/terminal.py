"""The command line as people and scripts run it: as a process, in a pseudo-terminal or in pipes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.cloud.run import HOME, ROOT, SECURITY

if TYPE_CHECKING:
    from local.cloud.run import LocalCloud

SECONDS = 240
_COLUMNS = 200


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it wrote; in a terminal, both streams are one."""

    code: int
    out: str
    err: str = ""

    @property
    def document(self) -> Any:
        """Standard output as JSON."""
        assert self.out, f"{self.code}: {self.err}"
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Terminal:
    """Runs `imdsv2` as an operator of the security account."""

    cloud: LocalCloud

    @property
    def environment(self) -> dict[str, str]:
        """What the shell of an operator of the security account has."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.cloud.scratch),
            "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("cli", "lambdas")),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ACCESS_KEY_ID": SECURITY,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": HOME,
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "TERM": "xterm-256color",
        }

    def pipe(self, *args: str, stdin: str = "") -> Ended:
        """Run a command whose streams are pipes."""
        done = subprocess.run(
            [sys.executable, "-m", "imdsv2_cli", *args],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def screen(self, *args: str, types: str = "yes", asks: bytes = b"Type yes to go on", **environment: str) -> Ended:
        """Run a command in a terminal. Once it ``asks``, it is answered with ``types``."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _COLUMNS, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "imdsv2_cli", *args],
            env={**self.environment, **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        seen, answered, deadline = b"", False, time.monotonic() + SECONDS
        try:
            while time.monotonic() < deadline:
                try:
                    part = os.read(master, 65536)
                except OSError:  # What Linux says once the other end is closed.
                    break
                if not part:
                    break
                seen += part
                if not answered and asks in seen:
                    os.write(master, f"{types}\n".encode())
                    answered = True
            code = process.wait(max(1, deadline - time.monotonic()))
        finally:
            process.kill()
            os.close(master)
        return Ended(code, seen.decode())
