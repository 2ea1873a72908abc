"""Start the local AWS: ministack with our corrections. Steered by environment variables, which `local.cloud` sets."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading

from local.server import buses, cloudwatch, ec2_actions, gateway, iam, lambdas, securityhub, stack_types
from local.server import platform as ms


def main() -> None:
    """Serve until ended."""
    for module in (ec2_actions, cloudwatch, buses, stack_types, iam, lambdas, securityhub, gateway):
        module.install()
    if os.environ.get("LOCAL_EXIT_WITH_PARENT"):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    ms.app.main()


def _end_with_parent() -> None:
    """Whoever started us holds our standard input; when it closes, even by a crash, we end, and our Lambda workers with us."""
    sys.stdin.read()
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()
