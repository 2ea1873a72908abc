"""Starts the local AWS. Configured by environment variables, which `local.cloud.cloud` sets."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from local.server import (
    autoscaling,
    config,
    dynamodb,
    eventbridge,
    gateway,
    iam,
    lambda_,
    organization_policies,
    organizations,
    run_command,
    ssm,
    sts,
)
from local.server import platform as ms
from local.server.cloudformation import stack_sets, types
from local.server.cloudtrail import requests as cloudtrail
from local.server.cloudwatch import alarms, published
from local.server.cloudwatch import requests as cloudwatch
from local.server.ec2 import actions as ec2
from local.server.imds import endpoints as imds
from local.server.securityhub import requests as securityhub
from local.server.stepfunctions import executions, map_results


def main() -> None:
    """Install all additions to ministack and serve until the process is ended."""
    for module in (
        ec2,
        autoscaling,
        cloudwatch,
        published,
        alarms,
        config,
        organizations,
        organization_policies,
        eventbridge,
        ssm,
        run_command,
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
        cloudtrail,
        gateway,
    ):
        module.install()
    if scratch := os.environ.get("LOCAL_END_WITH_PARENT"):
        threading.Thread(target=_end_with_parent, args=[scratch], daemon=True).start()
    ms.app.main()


def _end_with_parent(scratch: str) -> None:
    """End this process group when standard input closes: the process that started the server, which holds it, has ended or crashed."""
    sys.stdin.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()
