"""Handler of the sweep function: one step of the state machine per invocation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.sweep.run import Tally, add_up, go_through, parse_order, plan
from imdsv2.wiring import wire, wire_sweep
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = wire(os.environ, logger, request_id)
service = function.service
sweep = wire_sweep(os.environ)

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
    order = parse_order(event["input"])
    accounts = order.accounts or sweep.accounts()
    planned = plan(service.members, accounts, service.settings.region, order.regions)
    key, unreachable = (f"{event['execution']}/{name}.json" for name in ("plan", "unreachable"))
    sweep.files.write(key, planned.places)
    sweep.files.write(unreachable, planned.unreachable)
    return {"dry_run": order.dry_run, "key": key, "places": len(planned.places), "unreachable": unreachable}


def _region(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    tally = go_through(
        service.line,
        service.members,
        Tally.from_document(event["tally"]),
        context.aws_request_id,
        dry_run=event["dry_run"],
        has_time=lambda: context.get_remaining_time_in_millis() > _TIME_FOR_A_BATCH_MS,
    )
    telemetry.report_policy(service.line.policies.current(service.line.now()), logger, metrics)
    return tally.document()


def _summarise(event: dict[str, Any]) -> dict[str, Any]:
    tallies = list(sweep.files.tallies(event["manifest"]))
    unreachable = sweep.files.read(event["unreachable"])
    summary = {"dry_run": event["dry_run"], **add_up(tallies), "unreachable": unreachable}
    key = f"{event['execution']}/summary.json"
    sweep.files.write(key, {**summary, "places": tallies})
    # With a thousand accounts, the errors exceed what a state may pass on or a log line may hold.
    totals = {**summary, "errors": len(summary["errors"]), "unreachable": len(unreachable)}
    logger.info("sweep", extra={"summary": totals})
    return {**totals, "bucket": sweep.files.bucket, "key": key}
