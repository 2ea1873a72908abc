"""The sweep: sends every instance that still allows IMDSv1, in every account and Region, through the line.

It also covers instances that no finding reported. Three steps, each an invocation of the function: `plan` lists
accounts and Regions, `region` processes one of them, `summarise` adds up the results. Only a Region's ids and one batch
are in memory; if an invocation runs out of time, the next continues after the last instance.
"""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import list_instances
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.aws.pages import pages
from imdsv2.domain.batches import batched
from imdsv2.domain.instance import InstanceArn, Place, partition_of
from imdsv2.domain.lifecycle import OURS, UNDER_WAY
from imdsv2.domain.request import Request, Source
from imdsv2.domain.verdict import Reason
from imdsv2.sweep.scope import missed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_organizations import OrganizationsClient

    from imdsv2.aws.ec2 import Listing
    from imdsv2.aws.sessions import Members
    from imdsv2.line.judgement import Judgement
    from imdsv2.line.run import Line
    from imdsv2.sweep.fleet import FleetWriter

INSTANCES_A_BATCH = 1000
"""The maximum of one DescribeInstances call, and what a function can keep in memory with all evidence."""

TOTALS = ("instances", "imdsv1_allowed", "endpoint_disabled", "already_required", "not_there", "failed")
"""What is added up of all places."""

_ACCOUNTS_AT_ONCE = 16
_COUNTS = TOTALS[1:]


@dataclass(kw_only=True)
class Tally:
    """The progress in one account and Region; ``after``: the last instance evaluated, None once complete.

    Instances are counted when it is their turn, in one of ``imdsv1_allowed``, ``endpoint_disabled`` and ``already_required``.
    ``not_there``: what the ledger waits for and EC2 does not list. Each of the four has a verdict or is among ``failed``.
    ``known``: the file with what the ledger waits for, if any. ``fleet``: how the files of the fleet are named, if they are written;
    ``parts``: how many of this place are complete. ``found``: the file for its sources; ``sources``: how many there are of each
    verdict, once they are judged. ``spare_hours``: what was judged in so many hours before is counted
    with that verdict, and not judged again.
    """

    place: Place
    imdsv1_allowed: int = 0
    endpoint_disabled: int = 0
    already_required: int = 0
    not_there: int = 0
    by_verdict: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    after: str | None = None
    error: str | None = None
    known: str | None = None
    fleet: str | None = None
    parts: int = 0
    found: str | None = None
    sources: dict[str, int] | None = None
    spare_hours: int = 0
    source_changes: Counter[str] = field(default_factory=Counter)
    """How many sources ended how, where the policy has them changed."""

    @property
    def instances(self) -> int:
        return self.imdsv1_allowed + self.endpoint_disabled + self.already_required

    def document(self) -> dict[str, Any]:
        """The tally as a JSON-compatible dict."""
        return {
            "account": self.place.account,
            "region": self.place.region,
            "instances": self.instances,
            **{name: getattr(self, name) for name in _COUNTS},
            "by_verdict": dict(self.by_verdict),
            "after": self.after,
            "error": self.error,
            "known": self.known,
            **({"fleet": self.fleet, "parts": self.parts} if self.fleet else {}),
            **({"found": self.found} if self.found else {}),
            **({"sources": self.sources} if self.sources is not None else {}),
            **({"spare_hours": self.spare_hours} if self.spare_hours else {}),
            **({"source_changes": dict(self.source_changes)} if self.source_changes else {}),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Tally:
        """Resume from the previous invocation's tally; a bare ``{account, region}`` starts from the beginning."""
        region = document["region"]
        names = {each.name for each in fields(cls)} & document.keys()
        return cls(
            place=Place(partition_of(region), region, document["account"]),
            **{name: document[name] for name in names - {"by_verdict", "error", "sources"}},
            by_verdict=Counter(document.get("by_verdict", {})),
            sources=Counter(document.get("sources", {})),
        )


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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The places of a sweep, and the accounts whose Regions could not be listed, with the reason."""

    places: list[dict[str, Any]]
    unreachable: dict[str, str]


def active_accounts(organizations: OrganizationsClient) -> list[str]:
    """The organisation's active accounts. Raises ClientError.

    Only the management account and delegated administrators may call this. AWS announced that ``Status`` will be
    retired in September 2026; it is used if ``State`` is absent.
    """
    return [
        each["Id"]
        for page in pages(organizations.list_accounts)
        for each in page["Accounts"]
        if each.get("State", each.get("Status")) == "ACTIVE"
    ]


def plan(members: Members, accounts: Iterable[str], home_region: str, only_regions: Sequence[str]) -> Plan:
    """List each account's enabled Regions. An account that cannot be accessed is left out, with the reason."""

    def regions_of(account: str) -> tuple[str, list[str], str | None]:
        try:
            ec2 = members.ec2(Place(partition_of(home_region), home_region, account), "read")
            enabled = [each["RegionName"] for each in ec2.describe_regions()["Regions"]]
        except CALL_FAILURES as error:
            return account, [], describe_error(error)
        return account, [each for each in sorted(enabled) if not only_regions or each in only_regions], None

    with ThreadPoolExecutor(_ACCOUNTS_AT_ONCE) as pool:
        asked = list(pool.map(regions_of, accounts))
    return Plan(
        places=[{"account": account, "region": region} for account, regions, _ in asked for region in regions],
        unreachable={account: problem for account, _, problem in asked if problem is not None},
    )


def with_known(
    places: Iterable[dict[str, Any]], waiting: Iterable[InstanceArn], write: Callable[[str, object], None], prefix: str
) -> list[dict[str, Any]]:
    """The places, each with the file in which what the ledger waits for there is written, if that is anything. ``prefix``: how
    these files are named."""
    known: dict[tuple[str, str], list[str]] = defaultdict(list)
    for arn in waiting:
        known[arn.account, arn.region].append(arn.instance_id)
    noted = []
    for place in places:
        there = known.get((place["account"], place["region"]))
        key = f"{prefix}/{place['account']}/{place['region']}.json"
        if there:
            write(key, sorted(there))
        noted.append({**place, "known": key} if there else place)
    return noted


def add_up(tallies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The totals of all tallies: the summary of the sweep. Of a place that failed, what was counted before counts."""
    total: Counter[str] = Counter()
    by_verdict: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    errors = {}
    for each in tallies:
        changes.update(each.get("source_changes", {}))
        total.update(places=1, **{name: each.get(name) or 0 for name in TOTALS})
        by_verdict.update(each["by_verdict"])
        sources.update(each.get("sources") or {})
        if missed(each):
            errors[f"{each['account']} {each['region']}"] = each["error"]
    changed = {"source_changes": dict(changes)} if changes else {}
    return {**total, "by_verdict": dict(by_verdict), "sources": dict(sources), **changed, "errors": errors}


def saw_nothing(places: int, errors: int, unreachable: int) -> bool:
    """Whether a sweep could look at nothing, though there is something to look at."""
    return places == errors and places + unreachable > 0
