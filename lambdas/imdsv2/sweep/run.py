"""The sweep: sends every instance that still allows IMDSv1, in every account and Region, through the line.

It also covers instances that no finding reported. Three steps, each an invocation of the function: `plan` lists
accounts and Regions, `region` processes one of them, `summarise` adds up the results. This module is the second. Only a Region's
ids and one batch are in memory; if an invocation runs out of time, the next continues after the last instance.
"""

from __future__ import annotations

import gc
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import list_instances
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.domain.batches import batched
from imdsv2.domain.lifecycle import OURS, UNDER_WAY
from imdsv2.domain.request import Request, Source
from imdsv2.domain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imdsv2.aws.ec2 import Listing
    from imdsv2.aws.sessions import Members
    from imdsv2.domain.instance import InstanceArn, Place
    from imdsv2.line.judgement import Judgement
    from imdsv2.line.run import Line
    from imdsv2.sweep.fleet import FleetWriter
    from imdsv2.sweep.tally import Tally

INSTANCES_A_BATCH = 1000
"""The maximum of one DescribeInstances call, and what a function can keep in memory with all evidence."""


def go_through(
    line: Line,
    members: Members,
    tally: Tally,
    request_id: str,
    *,
    dry_run: bool,
    has_time: Callable[[], bool],
    known: Iterable[str] = (),
    fleet: FleetWriter | None = None,
) -> Tally:
    """Process a place in batches until it is complete or time runs out. A permanent error of AWS is put in ``error``.

    ``known``: instances there that the ledger waits for. What requires tokens by now, or has gone, is evaluated with the others:
    otherwise the ledger would believe otherwise for days. ``fleet``: writes the rows of every batch.

    Raises transient errors: the place cannot be read at present, or no instance of a batch could be evaluated. The
    sweep tolerates a few failed places, and a redrive repeats them.
    """
    try:
        listing = list_instances(members.ec2(tally.place, "read"), fleet.note if fleet else None)
    except CALL_FAILURES as error:
        if may_pass(error):
            raise
        tally.error, tally.after = describe_error(error), None
        return tally
    batches = _batches(line, tally, listing, known, dry_run=dry_run)
    for number, batch in enumerate(batches, 1):
        is_last = number == len(batches)
        _go_through_batch(line, tally, listing, batch, request_id, dry_run=dry_run, is_last=is_last, fleet=fleet)
        if not is_last and not has_time():
            break
        gc.collect()  # What a batch leaves behind that refers to itself would stay for several batches.
    return tally


def _batches(line: Line, tally: Tally, listing: Listing, known: Iterable[str], *, dry_run: bool) -> list[list[str]]:
    """What is left to be evaluated, in order. The last batch may be empty, for those that only count."""
    open_ = listing.allowing_imdsv1 | listing.endpoint_disabled
    stale = _stale(line, tally.place, {*known} - open_) if not dry_run else set()
    remaining = sorted(each for each in open_ | stale if tally.after is None or each > tally.after)
    return [*batched(remaining, INSTANCES_A_BATCH)] or [[]]


def _go_through_batch(
    line: Line,
    tally: Tally,
    listing: Listing,
    batch: Sequence[str],
    request_id: str,
    *,
    dry_run: bool,
    is_last: bool,
    fleet: FleetWriter | None,
) -> None:
    """A function of its own, so that all evidence of a batch is let go before the next one is read."""
    begins_after = tally.after
    spared = {} if dry_run else _spared(line, tally, listing.allowing_imdsv1.intersection(batch))
    judged = _judge(line, tally, batch, spared, request_id, dry_run=dry_run)
    tally.after = None if is_last else batch[-1]
    required = _count(tally, listing, batch, begins_after)
    if fleet is not None:
        fleet.write(tally.parts, required.union(batch), judged, listing)
        tally.parts += 1


def _stale(line: Line, place: Place, instance_ids: Iterable[str]) -> set[str]:
    """Those that the ledger holds, of which EC2 says otherwise. What the service enforced is the guard's."""
    records = line.ledger.read(_arns(place, instance_ids)).values()
    return {each.arn.instance_id for each in records if each.status not in OURS | UNDER_WAY}


def _count(tally: Tally, listing: Listing, batch: Sequence[str], begins_after: str | None) -> set[str]:
    """Count the instances up to the last one of a batch, those included that there was no need to evaluate: they require tokens, and
    are returned."""
    judged = set(batch)
    required = {
        each
        for each in listing.required
        if (begins_after is None or each > begins_after) and (tally.after is None or each <= tally.after)
    }
    tally.imdsv1_allowed += len(judged & listing.allowing_imdsv1)
    tally.endpoint_disabled += len(judged & listing.endpoint_disabled)
    tally.already_required += len(required)
    tally.not_there += len(judged - listing.allowing_imdsv1 - listing.endpoint_disabled - required)
    unjudged = len(required - judged)
    if unjudged:
        tally.by_verdict[Reason.ALREADY_REQUIRED] += unjudged
    return required


def _spared(line: Line, tally: Tally, instance_ids: Iterable[str]) -> dict[InstanceArn, str]:
    """The verdicts of those that were judged of late."""
    if not tally.spare_hours:
        return {}
    return line.judged_since(line.now() - timedelta(hours=tally.spare_hours), _arns(tally.place, instance_ids))


def _judge(
    line: Line,
    tally: Tally,
    instance_ids: Iterable[str],
    spared: Mapping[InstanceArn, str],
    request_id: str,
    *,
    dry_run: bool,
) -> dict[InstanceArn, Judgement]:
    tally.by_verdict.update(spared.values())
    arns = [arn for arn in _arns(tally.place, instance_ids) if arn not in spared]
    if not arns:
        return {}
    outcomes = line.run([Request(arn=arn, source=Source.SWEEP) for arn in arns], request_id, dry_run=dry_run)
    if outcomes.failed and not outcomes.judged:
        raise next(iter(outcomes.failed.values()))
    tally.by_verdict.update(str(each.verdict.reason) for each in outcomes.judged.values())
    tally.failed += len(outcomes.failed)
    return outcomes.judged


def _arns(place: Place, instance_ids: Iterable[str]) -> list[InstanceArn]:
    return [*map(place.instance, sorted(instance_ids))]
