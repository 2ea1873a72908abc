"""The sweep: sends every instance that still allows IMDSv1, in every account and Region, through the line.

It also covers instances that no finding reported. Three steps, each an invocation of the function: `plan` lists
accounts and Regions, `region` processes one of them, `summarise` adds up the results. Only a Region's ids and one batch
are in memory; if an invocation runs out of time, the next continues after the last instance.
"""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import list_instances
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.domain.instance import InstanceArn, Place, partition_of
from imdsv2.domain.request import Request, Source
from imdsv2.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mypy_boto3_organizations import OrganizationsClient

    from imdsv2.aws.sessions import Members
    from imdsv2.line.run import Line

INSTANCES_A_BATCH = 1000
"""The maximum of one DescribeInstances call, and what a function can keep in memory with all evidence."""

_ACCOUNTS_AT_ONCE = 16
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", re.ASCII)


@dataclass(kw_only=True)
class Tally:
    """The progress in one account and Region; ``after``: the last instance evaluated, None once complete."""

    place: Place
    instances: int | None = None
    imdsv1_allowed: int = 0
    by_verdict: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    after: str | None = None
    error: str | None = None

    def document(self) -> dict[str, Any]:
        """The tally as a JSON-compatible dict. ``instances`` is null if only those that allow IMDSv1 were listed."""
        return {
            "account": self.place.account,
            "region": self.place.region,
            "instances": self.instances,
            "imdsv1_allowed": self.imdsv1_allowed,
            "by_verdict": dict(self.by_verdict),
            "failed": self.failed,
            "after": self.after,
            "error": self.error,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Tally:
        """Resume from the previous invocation's tally; a bare ``{account, region}`` starts from the beginning."""
        region = document["region"]
        return cls(
            place=Place(partition_of(region), region, document["account"]),
            instances=document.get("instances"),
            imdsv1_allowed=document.get("imdsv1_allowed", 0),
            by_verdict=Counter(document.get("by_verdict", {})),
            failed=document.get("failed", 0),
            after=document.get("after"),
        )


def go_through(
    line: Line, members: Members, tally: Tally, request_id: str, *, dry_run: bool, has_time: Callable[[], bool]
) -> Tally:
    """Process a place in batches until it is complete or time runs out. A permanent error of AWS is put in ``error``.

    Raises transient errors: the place cannot be read at present, or no instance of a batch could be evaluated. The
    sweep tolerates a few failed places, and a redrive repeats them.
    """
    try:
        listing = list_instances(members.ec2(tally.place, "read"), every=dry_run)
    except CALL_FAILURES as error:
        if may_pass(error):
            raise
        tally.error, tally.after = describe_error(error), None
        return tally
    if tally.after is None:
        tally.instances = listing.instances
    remaining = [each for each in listing.allowing_imdsv1 if tally.after is None or each > tally.after]
    for start in range(0, len(remaining), INSTANCES_A_BATCH):
        batch = remaining[start : start + INSTANCES_A_BATCH]
        _judge(line, tally, batch, request_id, dry_run=dry_run)
        tally.after = batch[-1] if start + len(batch) < len(remaining) else None
        if tally.after is not None and not has_time():
            break
    else:
        tally.after = None
    return tally


def _judge(line: Line, tally: Tally, instance_ids: Sequence[str], request_id: str, *, dry_run: bool) -> None:
    place = tally.place
    arns = [InstanceArn(place.partition, place.region, place.account, each) for each in instance_ids]
    outcomes = line.run([Request(arn=arn, source=Source.SWEEP) for arn in arns], request_id, dry_run=dry_run)
    if outcomes.failed and not outcomes.judged:
        raise next(iter(outcomes.failed.values()))
    tally.imdsv1_allowed += len(arns)
    tally.by_verdict.update(str(each.verdict.reason) for each in outcomes.judged.values())
    tally.failed += len(outcomes.failed)


@dataclass(frozen=True, kw_only=True)
class SweepOrder:
    """The input of a sweep. Default: a dry run of all accounts and Regions."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    dry_run: bool = True


def parse_order(document: object) -> SweepOrder:
    """Parse the input of the state machine. Raises InvalidRequest, which names the field and the accepted values."""
    if not isinstance(document, dict):
        raise InvalidRequest("input", 'takes an object, e.g. {"dry_run": true}')
    unknown = sorted(str(name) for name in document.keys() - {"accounts", "regions", "dry_run"})
    if unknown:
        raise InvalidRequest(unknown[0][:60], "is no field; known are accounts, regions and dry_run")
    dry_run = document.get("dry_run", True)
    if not isinstance(dry_run, bool):
        raise InvalidRequest("dry_run", "takes true or false")
    return SweepOrder(
        accounts=_texts(document, "accounts", _ACCOUNT, "account ids"),
        regions=_texts(document, "regions", _REGION, "Regions"),
        dry_run=dry_run,
    )


def _texts(document: dict[str, Any], name: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
    given = document.get(name, [])
    if not isinstance(given, list) or not all(isinstance(each, str) and pattern.fullmatch(each) for each in given):
        raise InvalidRequest(name, f"takes a list of {what}; leave it out for all")
    return tuple(dict.fromkeys(given))


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
    accounts: list[str] = []
    request: dict[str, Any] = {}
    while True:
        page = organizations.list_accounts(**request)
        accounts += [each["Id"] for each in page["Accounts"] if each.get("State", each.get("Status")) == "ACTIVE"]
        if not page.get("NextToken"):
            return accounts
        request = {"NextToken": page["NextToken"]}


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


def add_up(tallies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The totals of all tallies: the summary of the sweep."""
    total: Counter[str] = Counter()
    by_verdict: Counter[str] = Counter()
    errors = {}
    for each in tallies:
        total.update(
            places=1, imdsv1_allowed=each["imdsv1_allowed"], failed=each["failed"], instances=each["instances"] or 0
        )
        by_verdict.update(each["by_verdict"])
        if each["error"]:
            errors[f"{each['account']} {each['region']}"] = each["error"]
    return {**total, "by_verdict": dict(by_verdict), "errors": errors}
