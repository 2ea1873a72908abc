"""The sweep: sends every instance that still allows IMDSv1, in every account and Region, through the line.

It also covers instances that no finding reported. Three steps, each an invocation of the function: `plan` lists
accounts and Regions, `region` processes one of them, `summarise` adds up the results. This module is the heart of the second. Only a Region's
ids, packed, and three batches are in memory; if an invocation runs out of time, the next continues after the last instance.
"""

from __future__ import annotations

import gc
import heapq
import itertools
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import list_instances
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.aws.listing import Access
from imdsv2.domain.batches import batched
from imdsv2.domain.lifecycle import OURS, UNDER_WAY
from imdsv2.domain.request import Request, Source
from imdsv2.domain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from imdsv2.aws.listing import Listing
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.line.judgement import Judgement
    from imdsv2.line.run import Line
    from imdsv2.sweep.fleet import FleetWriter
    from imdsv2.sweep.tally import Tally

INSTANCES_A_BATCH = 340
"""Those under way are together about as many as one DescribeInstances call takes: a function can keep them in memory with all evidence."""
_BATCHES_AT_ONCE = 3
"""While EC2 takes the changes of one batch, which may take minutes, the next ones are judged."""


def go_through(
    line: Line,
    clients: MemberClients,
    tally: Tally,
    request_id: str,
    *,
    dry_run: bool,
    has_time: Callable[[], bool],
    known: Iterable[str] = (),
    suppressed: Mapping[str, Sequence[Finding]] = MappingProxyType({}),
    fleet: FleetWriter | None = None,
) -> Tally:
    """Process a place in batches until it is complete or time runs out. A permanent error of AWS is put in ``error``.

    ``known``: instances there that the ledger waits for. What requires tokens by now, or has gone, is evaluated with the others:
    otherwise the ledger would believe otherwise for days. ``suppressed``: findings of instances, by id, that somebody has suppressed; the
    gates ask for them, and the ledger knows them from then on. ``fleet``: writes the rows of every batch.

    Raises transient errors: the place cannot be read at present, or no instance of a batch could be evaluated. The
    sweep tolerates a few failed places, and a redrive repeats them.
    """
    try:
        listing = list_instances(clients.ec2(tally.place, "read"), fleet.note if fleet else None)
    except CALL_FAILURES as error:
        if may_pass(error):
            raise
        tally.error, tally.after = describe_error(error), None
        return tally
    way = _Way(
        line=line,
        tally=tally,
        listing=listing,
        request_id=request_id,
        dry_run=dry_run,
        suppressed=suppressed,
        fleet=fleet,
    )
    way.go_through(way.batches(known), has_time)
    return tally


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What came of a batch. ``spared``: the verdicts of those that were judged of late, and not again."""

    spared: Mapping[InstanceArn, str]
    judged: Mapping[InstanceArn, Judgement] = field(default_factory=dict)
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """The way through what EC2 lists of a place."""

    line: Line
    tally: Tally
    listing: Listing
    request_id: str
    dry_run: bool
    suppressed: Mapping[str, Sequence[Finding]]
    fleet: FleetWriter | None

    def batches(self, known: Iterable[str]) -> Iterator[list[str]]:
        """What is left to be evaluated, in order. The last batch may be empty, for those that only count."""
        after = self.tally.after
        left = (each for each, access in self.listing.between(after, None) if access is not Access.TOKEN_REQUIRED)
        stale = sorted(each for each in self._stale(known) if after is None or each > after)
        several = batched(heapq.merge(left, stale), INSTANCES_A_BATCH)
        return itertools.chain([next(several, [])], several)

    def go_through(self, batches: Iterator[Sequence[str]], has_time: Callable[[], bool]) -> None:
        """Evaluate batches, and count each when those before it are counted. The first one is begun in any case, so that every
        invocation gets on; what has been begun is ended."""
        waiting = next(batches, None)
        may_begin, taken = True, 0
        under_way: deque[tuple[Sequence[str], Future[_Judged]]] = deque()
        with ThreadPoolExecutor(_BATCHES_AT_ONCE) as pool:
            while under_way or (waiting is not None and may_begin):
                if waiting is not None and may_begin and len(under_way) < _BATCHES_AT_ONCE:
                    under_way.append((waiting, pool.submit(self._judge, waiting)))
                    waiting = next(batches, None)
                else:
                    self._take(*under_way.popleft(), is_last=waiting is None and not under_way)
                    taken += 1
                    if taken % _BATCHES_AT_ONCE == 0:
                        gc.collect()  # What a batch leaves behind that refers to itself would stay for many batches.
                may_begin = has_time()

    def _take(self, batch: Sequence[str], judging: Future[_Judged], *, is_last: bool) -> None:
        """Count what came of a batch, and what is listed up to its last instance, or all that is left. Nothing keeps the evidence of
        the batch after that."""
        came = judging.result()
        self.tally.by_verdict.update(came.spared.values())
        self.tally.by_verdict.update(str(each.verdict.reason) for each in came.judged.values())
        self.tally.failed += came.failed
        begins_after = self.tally.after
        self.tally.after = None if is_last else batch[-1]
        required = _count(self.tally, self.listing, batch, begins_after)
        if self.fleet is not None:
            self.fleet.write(self.tally.parts, required.union(batch), came.judged, self.listing)
            self.tally.parts += 1

    def _stale(self, known: Iterable[str]) -> set[str]:
        """Those that the ledger holds, of which EC2 says otherwise. What the service enforced is the guard's. None in a dry run."""
        if self.dry_run:
            return set()
        closed = {each for each in known if self.listing.access(each) in {None, Access.TOKEN_REQUIRED}}
        records = self.line.ledger.read(self._arns(closed)).values()
        return {each.arn.instance_id for each in records if each.status not in OURS | UNDER_WAY}

    def _judge(self, batch: Sequence[str]) -> _Judged:
        spared = self._spared(each for each in batch if self.listing.access(each) is Access.WITHOUT_TOKEN)
        requests = [each for arn in self._arns(batch) if arn not in spared for each in self._requests(arn)]
        if not requests:
            return _Judged(spared=spared)
        outcomes = self.line.run(requests, self.request_id, dry_run=self.dry_run)
        if outcomes.failed and not outcomes.judged:
            raise next(iter(outcomes.failed.values()))
        return _Judged(spared=spared, judged=outcomes.judged, failed=len(outcomes.failed))

    def _requests(self, arn: InstanceArn) -> Iterator[Request]:
        """One of the instance itself, and one for each of its suppressed findings."""
        yield Request(arn=arn, source=Source.SWEEP)
        for finding in self.suppressed.get(arn.instance_id, ()):
            yield Request(arn=arn, source=Source.SWEEP, finding=finding)

    def _spared(self, instance_ids: Iterable[str]) -> Mapping[InstanceArn, str]:
        """The verdicts of those that were judged of late. A dry run spares nobody."""
        if self.dry_run or not self.tally.spare_hours:
            return {}
        since = self.line.now() - timedelta(hours=self.tally.spare_hours)
        return self.line.judged_since(since, self._arns(instance_ids))

    def _arns(self, instance_ids: Iterable[str]) -> list[InstanceArn]:
        return [*map(self.tally.place.instance, sorted(instance_ids))]


def _count(tally: Tally, listing: Listing, batch: Sequence[str], begins_after: str | None) -> set[str]:
    """Count the instances up to the last one of a batch, those included that there was no need to evaluate: they require tokens, and
    are returned."""
    within = listing.between(begins_after, tally.after)
    required = {each for each, access in within if access is Access.TOKEN_REQUIRED}
    listed = Counter(map(listing.access, batch))
    tally.imdsv1_allowed += listed[Access.WITHOUT_TOKEN]
    tally.endpoint_disabled += listed[Access.ENDPOINT_DISABLED]
    tally.already_required += len(required)
    tally.not_there += listed[None]
    unjudged = len(required.difference(batch))
    if unjudged:
        tally.by_verdict[Reason.ALREADY_REQUIRED] += unjudged
    return required
