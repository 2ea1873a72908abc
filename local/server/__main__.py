"""Start the local AWS: ministack with our corrections. Steered by environment variables, which `local.cloud` sets."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from local.server import (
    buses,
    calendars,
    cloudwatch,
    ec2_actions,
    executions,
    gateway,
    iam,
    imds,
    items,
    lambdas,
    map_results,
    organization,
    securityhub,
    sessions,
    stack_sets,
    stack_types,
)
from local.server import platform as ms


def main() -> None:
    """Serve until ended."""
    for module in (
        ec2_actions,
        cloudwatch,
        organization,
        buses,
        calendars,
        stack_types,
        stack_sets,
        iam,
        imds,
        items,
        lambdas,
        executions,
        map_results,
        securityhub,
        sessions,
        gateway,
    ):
        module.install()
    if scratch := os.environ.get("LOCAL_END_WITH_PARENT"):
        threading.Thread(target=_end_with_parent, args=[scratch], daemon=True).start()
    ms.app.main()


def _end_with_parent(scratch: str) -> None:
    """Whoever started us holds our standard input; when it closes, even by a crash, we end, and all that is ours with us."""
    sys.stdin.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()
