"""Software that runs on instances of the local AWS and calls their metadata service: real processes, each from a file of its own, by whose
name they are recognised on their command lines."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.cloud.run import LocalCloud
    from local.demo.fleet import Launched

SHELL: Final = 'while :; do curl -s "$IMDS/latest/meta-data/instance-id" >/dev/null; sleep 0.5; done\n'
PYTHON: Final = """
import os, time, urllib.request
while True:
    urllib.request.urlopen(os.environ["IMDS"] + "/latest/meta-data/local-ipv4").read()
    time.sleep(0.5)
"""
INTERPRETERS: Final = {".sh": ("/bin/sh", SHELL), ".py": (sys.executable, PYTHON)}
"""By the end of the file's name: what runs it, and its text. Both call without a token."""


def write(folder: Path, name: str) -> tuple[str, str]:
    """Write the software that a file's name stands for. Returns its command line."""
    program, text = INTERPRETERS[name[-3:]]
    (folder / name).write_text(text)
    return program, str(folder / name)


@contextmanager
def running(cloud: LocalCloud, one: Launched, *command: str) -> Iterator[None]:
    """Run it on an instance within the block."""
    machine = one.machine
    endpoint = cloud.imds(one.instance_id, account=machine.account, region=machine.region)
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], "IMDS": endpoint})  # noqa: S603 - our own files
    try:
        yield
    finally:
        process.kill()
        process.wait()
