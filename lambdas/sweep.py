"""Handler of the sweep function: one step of the state machine per invocation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.errors import NothingSeen
from imdsv2.sweep.order import parse_order
from imdsv2.sweep.summary import SweepEnd
from imdsv2.sweep.tally import Tally, saw_nothing
from imdsv2.wiring.function import wire
from imdsv2.wiring.sweep import wire_sweep
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = wire(os.environ, logger, request_id)
line, sweep = function.service.line, wire_sweep(function.service, os.environ)

_TIME_FOR_A_BATCH_MS = 300_000
"""The slowest batch: 1,000 changes at EC2's quota of five per second, plus a margin."""


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run one step: `plan`, `region` or `summarise`."""
    function.begin(context.get_remaining_time_in_millis())
    match event["step"]:
        case "plan":
            return _plan(event)
        case "region":
            return _region(event, context)
        case _:
            return _summarise(event)


def _plan(event: dict[str, Any]) -> dict[str, Any]:
    planned = sweep.planning.run(parse_order(event["input"]), event["execution"])
    _refuse_blindness(planned.places, 0, planned.blocked, planned.unreachable)
    return planned.document()


def _region(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    tally = sweep.region.run(
        Tally.from_document(event["tally"]),
        context.aws_request_id,
        dry_run=event["dry_run"],
        has_time=lambda: context.get_remaining_time_in_millis() > _TIME_FOR_A_BATCH_MS,
    )
    telemetry.report_policy(line.policies.current(line.now()), logger, metrics)
    return tally.document()


def _summarise(event: dict[str, Any]) -> dict[str, Any]:
    end = SweepEnd(**{name: event[name] for name in ("execution", "manifest", "unreachable", "dry_run")})
    summary = sweep.summing.run(end)
    totals = summary.totals()
    logger.info("sweep", extra={"summary": totals})
    if summary.is_whole:
        telemetry.report_fleet(summary.document, summary.tallies, os.environ["POWERTOOLS_SERVICE_NAME"])
        if not end.dry_run:
            totals |= sweep.summing.conclude(summary.fleet, end.execution)
    _refuse_blindness(summary.looked_for, summary.errors, summary.blocked, summary.key)
    return {**totals, "bucket": sweep.files.bucket, "key": summary.key}


def _refuse_blindness(places: int, errors: int, unreachable: int, key: str) -> None:
    """Report whether the sweep saw anything; the alarm needs a value either way. Raises NothingSeen."""
    is_blind = saw_nothing(places, errors, unreachable)
    telemetry.report_sweep(metrics, is_blind=is_blind)
    if is_blind:
        raise NothingSeen(sweep.files.bucket, key)
