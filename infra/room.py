"""How a state machine waits where Lambda has no room for one more invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_stepfunctions as sfn

if TYPE_CHECKING:
    from aws_cdk import aws_stepfunctions_tasks as tasks

ATTEMPTS = 100
"""Each wait is half of the longest on average: about four hours with five minutes, and 50 minutes with one."""


def wait_for_room(step: tasks.LambdaInvoke, *, longest: Duration) -> None:
    """Try a step again that Lambda has refused to start. ``longest``: of one wait.

    Step Functions' own retries of Lambda leave this error out. Where the account has few concurrent executions, a hundred steps would
    fail at once; with jitter they come back one by one.
    """
    step.add_retry(
        errors=["Lambda.TooManyRequestsException"],
        interval=Duration.seconds(5),
        backoff_rate=2,
        max_delay=longest,
        max_attempts=ATTEMPTS,
        jitter_strategy=sfn.JitterType.FULL,
    )
