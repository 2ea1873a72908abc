"""Handler of the sweep function: one step of the state machine per invocation."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.domain.policy import SourceMode
from imdsv2.errors import NothingSeen
from imdsv2.sweep.join import join
from imdsv2.sweep.order import parse_order
from imdsv2.sweep.plan import plan, with_files, with_known
from imdsv2.sweep.run import go_through
from imdsv2.sweep.scope import LEFT_OUT, in_scope, marked
from imdsv2.sweep.sources import LEFT
from imdsv2.sweep.tally import Tally, add_up, saw_nothing
from imdsv2.wiring.fixing import build_fixing
from imdsv2.wiring.function import wire
from imdsv2.wiring.sweep import build_digest, build_fleet_writer, build_source_sweep, wire_sweep
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from imdsv2.domain.policy import Policy
    from imdsv2.sweep.fleet import FleetWriter

function = wire(os.environ, logger, request_id)
service = function.service
sweep, source_sweep = wire_sweep(os.environ), build_source_sweep(service)

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
    places = with_files(planned.places, event["execution"], order.spare_hours)
    if not order.dry_run:
        places = with_known(places, service.line.ledger.waiting(), sweep.files.write, f"{event['execution']}/known")
    sweep.files.write(key, places)
    sweep.files.write(unreachable, planned.unreachable)
    sweep.files.write(f"{event['execution']}/order.json", {"whole": not (order.accounts or order.regions)})
    _refuse_blindness(len(places), 0, len(planned.unreachable), unreachable)
    return {"dry_run": order.dry_run, "key": key, "places": len(places), "unreachable": unreachable}


def _region(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    tally = Tally.from_document(event["tally"])

    def has_time() -> bool:
        return context.get_remaining_time_in_millis() > _TIME_FOR_A_BATCH_MS

    if tally.after != LEFT:
        with _fleet(tally) as fleet:
            tally = go_through(
                service.line,
                service.members,
                tally,
                context.aws_request_id,
                dry_run=event["dry_run"],
                has_time=has_time,
                known=sweep.files.read(tally.known) if tally.known else (),
                fleet=fleet,
            )
    if tally.after in {None, LEFT} and tally.error is None:
        tally.after = None if has_time() else LEFT
        if tally.after is None:
            _judge_sources(tally, dry_run=event["dry_run"])
    in_force = service.line.policies.current(service.line.now())
    if _is_to_change_sources(tally, in_force.policy, dry_run=event["dry_run"]):
        tally.source_changes.update(build_fixing(service).sweep(tally.place, context.aws_request_id))
    telemetry.report_policy(in_force, logger, metrics)
    return tally.document()


def _is_to_change_sources(tally: Tally, policy: Policy, *, dry_run: bool) -> bool:
    """Once for each account and Region, when all of its instances have been judged."""
    return not dry_run and tally.after is None and tally.error is None and policy.source is SourceMode.FIX


def _fleet(tally: Tally) -> AbstractContextManager[FleetWriter | None]:
    """What writes the rows of a place; nothing where the sweep was planned by an earlier version, which names no files."""
    if tally.fleet is None:
        return nullcontext()
    return closing(build_fleet_writer(service, tally.place, tally.fleet, sweep.files.write_packed))


def _judge_sources(tally: Tally, *, dry_run: bool) -> None:
    """Judge what launches the instances of a place, after these; its file has them all."""
    sources = source_sweep.go_through(tally.place, dry_run=dry_run)
    tally.sources = sources.counts
    if tally.found and sources.documents:
        sweep.files.write(tally.found, sources.documents)


def _summarise(event: dict[str, Any]) -> dict[str, Any]:
    now = service.line.now()
    policy = service.line.policies.current(now).policy
    tallies = marked(sweep.files.tallies(event["manifest"]), policy, now)
    unreachable = in_scope(sweep.files.read(event["unreachable"]), policy)
    summary = {"dry_run": event["dry_run"], **add_up(tallies), "unreachable": unreachable}
    key = f"{event['execution']}/summary.json"
    sweep.files.write(key, {**summary, "places": tallies})
    fleet = join(
        sweep.files,
        tallies,
        execution=event["execution"],
        dry_run=event["dry_run"],
        unreachable=unreachable,
        now=service.line.now(),
    )
    # With a thousand accounts, the errors exceed what a state may pass on or a log line may hold.
    totals = {**summary, "errors": len(summary["errors"]), "unreachable": len(unreachable)}
    logger.info("sweep", extra={"summary": totals})
    if _is_whole(event["execution"]):
        telemetry.report_fleet(summary, tallies, os.environ["POWERTOOLS_SERVICE_NAME"])
        if not event["dry_run"]:
            service.sweeps.ended(service.line.now())
            totals |= _send_digest(str(fleet["key"]), event["execution"])
    looked_for = [each for each in tallies if LEFT_OUT not in each]
    _refuse_blindness(len(looked_for), totals["errors"], totals["unreachable"], key)
    return {**totals, "bucket": sweep.files.bucket, "key": key}


def _send_digest(fleet: str, execution: str) -> dict[str, Any]:
    """Tell every owner of the day. What fails is told by the next night's run: the sweep itself is not repeated for it."""
    try:
        sent = build_digest(service).run(sweep.files, fleet, execution)
    except CALL_FAILURES:
        logger.exception("digest not sent; the next sweep does it")
        return {}
    return {"digests": sent.document()} if sent else {}


def _is_whole(execution: str) -> bool:
    """Whether the sweep looked at all accounts and Regions; of one that began under an earlier version, that is not known."""
    try:
        return bool(sweep.files.read(f"{execution}/order.json")["whole"])
    except CALL_FAILURES:
        return False


def _refuse_blindness(places: int, errors: int, unreachable: int, key: str) -> None:
    """Report whether the sweep saw anything; the alarm needs a value either way. Raises NothingSeen."""
    is_blind = saw_nothing(places, errors, unreachable)
    telemetry.report_sweep(metrics, is_blind=is_blind)
    if is_blind:
        raise NothingSeen(sweep.files.bucket, key)
