"""Start the local AWS: ministack with our corrections. Steered by environment variables, which `local.cloud.run` sets."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from local.server import dynamodb, eventbridge, gateway, iam, lambda_, organizations, ssm, sts
from local.server import platform as ms
from local.server.cloudformation import stack_sets, types
from local.server.cloudwatch import requests as cloudwatch
from local.server.ec2 import actions as ec2
from local.server.imds import endpoints as imds
from local.server.securityhub import requests as securityhub
from local.server.stepfunctions import executions, map_results


def main() -> None:
    """Serve until ended."""
    for module in (
        ec2,
        cloudwatch,
        organizations,
        eventbridge,
        ssm,
        types,
        stack_sets,
        iam,
        imds,
        dynamodb,
        lambda_,
        executions,
        map_results,
        securityhub,
        sts,
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
