"""Handler of the guard function, on a schedule: watches enforced instances and rolls back those that break."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.domain.texts.words import are, count
from imdsv2.errors import NotGuarded
from imdsv2.wiring.function import wire
from imdsv2.wiring.guard import build_guard
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from imdsv2.guard.place import Pass

function = wire(os.environ, logger, request_id)
service = function.service
guard = build_guard(service)

_STOP_BEFORE_END_MS = 180_000
"""No account is started in the last three minutes; the next pass starts with those left out."""


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int | str]:  # noqa: ARG001 - Lambda's signature
    """Run one pass over all accounts with enforcements. Raises NotGuarded if an account and Region failed."""
    function.begin(context.get_remaining_time_in_millis())
    line = service.line
    done = guard.run(context.aws_request_id, lambda: context.get_remaining_time_in_millis() > _STOP_BEFORE_END_MS)
    telemetry.report_pass(done, logger, metrics)
    telemetry.report_sweep_age(service.sweeps.age(line.now()), metrics)
    telemetry.report_policy(line.policies.current(line.now()), logger, metrics)
    if done.failed:
        raise NotGuarded(done.failed)
    return _answer(done)


def _answer(done: Pass) -> dict[str, int | str]:
    """The counts, and for whoever invokes it by hand why they say little."""
    if not done.accounts_left:
        return asdict(done)
    note = (
        f"A pass has just looked after {count(done.accounts_left, 'account')}, which {are(done.accounts_left)} left out here. "
        "imdsv2 status tells what is open, and a pass in five minutes looks again."
    )
    return {**asdict(done), "note": note}
