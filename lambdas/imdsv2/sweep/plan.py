"""The first step of a sweep: which accounts and Regions there are, and which files the next steps read and write."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.pages import listed, pages
from imdsv2.domain.instance import Place, partition_of
from imdsv2.sweep.suppressed import to_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_organizations import OrganizationsClient

    from imdsv2.aws.s3 import SweepFiles
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Request
    from imdsv2.ledger.table import Ledger
    from imdsv2.sweep.order import SweepOrder

_ACCOUNTS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The places of a sweep, and the accounts whose Regions could not be listed, with the reason."""

    places: list[dict[str, Any]]
    unreachable: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the next steps go on with. ``key``: the file of the places. ``unreachable``: the file of the accounts that could not be
    entered, of which there are ``blocked``."""

    dry_run: bool
    key: str
    places: int
    unreachable: str
    blocked: int

    def document(self) -> dict[str, Any]:
        """As JSON, for the state machine."""
        return {"dry_run": self.dry_run, "key": self.key, "places": self.places, "unreachable": self.unreachable}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """The first step. ``accounts``: lists those to go through where the order names none. ``suppressed``: what names instances whose
    finding somebody has suppressed, of which no event has told if that was before the service came."""

    clients: MemberClients
    ledger: Ledger
    files: SweepFiles
    home_region: str
    accounts: Callable[[], list[str]]
    suppressed: Callable[[], Iterable[Request]]

    def run(self, order: SweepOrder, execution: str) -> Planned:
        """Write the places of a sweep, and the accounts that could not be entered. Raises ClientError."""
        planned = plan(self.clients, order.accounts or self.accounts(), self.home_region, order.regions)
        places = with_files(planned.places, execution, order.spare_hours)
        places = with_suppressed(places, self.suppressed(), self.files.write, f"{execution}/suppressed")
        if not order.dry_run:
            places = with_known(places, self.ledger.indexes.waiting(), self.files.write, f"{execution}/known")
        key, unreachable = f"{execution}/plan.json", f"{execution}/unreachable.json"
        self.files.write(key, places)
        self.files.write(unreachable, planned.unreachable)
        self.files.write(order_key(execution), {"whole": not (order.accounts or order.regions)})
        return Planned(
            dry_run=order.dry_run,
            key=key,
            places=len(places),
            unreachable=unreachable,
            blocked=len(planned.unreachable),
        )


def order_key(execution: str) -> str:
    """The key of the file that says whether a sweep looks at everything."""
    return f"{execution}/order.json"


def active_accounts(organizations: OrganizationsClient) -> list[str]:
    """The organisation's active accounts. Raises ClientError.

    Only the management account and delegated administrators may call this. AWS announced that ``Status`` will be
    retired in September 2026; it is used if ``State`` is absent.
    """
    return [
        each["Id"]
        for page in pages(organizations.list_accounts)
        for each in listed(page, "Accounts")
        if each.get("State", each.get("Status")) == "ACTIVE"
    ]


def plan(clients: MemberClients, accounts: Iterable[str], home_region: str, only_regions: Sequence[str]) -> Plan:
    """List each account's enabled Regions. An account that cannot be accessed is left out, with the reason."""

    def regions_of(account: str) -> tuple[str, list[str], str | None]:
        try:
            ec2 = clients.ec2(Place(partition_of(home_region), home_region, account), "read")
            enabled = [each["RegionName"] for each in listed(ec2.describe_regions(), "Regions")]
        except CALL_FAILURES as error:
            return account, [], describe_error(error)
        return account, [each for each in sorted(enabled) if not only_regions or each in only_regions], None

    with ThreadPoolExecutor(_ACCOUNTS_AT_ONCE) as pool:
        asked = list(pool.map(regions_of, accounts))
    return Plan(
        places=[{"account": account, "region": region} for account, regions, _ in asked for region in regions],
        unreachable={account: problem for account, _, problem in asked if problem is not None},
    )


def with_files(places: Iterable[dict[str, Any]], execution: str, spare_hours: int) -> list[dict[str, Any]]:
    """The places, each with the files of this execution that its step writes: rows of the fleet, and sources. ``spare_hours``: see
    `Tally`."""
    spares = {"spare_hours": spare_hours} if spare_hours else {}
    return [
        {
            **place,
            **spares,
            "fleet": f"{execution}/fleet",
            "found": f"{execution}/sources/{place['account']}/{place['region']}.json",
        }
        for place in places
    ]


def with_suppressed(
    places: Iterable[dict[str, Any]], requests: Iterable[Request], write: Callable[[str, object], None], prefix: str
) -> list[dict[str, Any]]:
    """The places, each with the file of the suppressed findings there, by instance, if there are any. ``prefix``: how these files are
    named."""
    found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for each in requests:
        if each.finding is not None:
            found[each.arn.account, each.arn.region][each.arn.instance_id].append(to_document(each.finding))
    return _noted(places, found, write, prefix, "suppressed")


def with_known(
    places: Iterable[dict[str, Any]], waiting: Iterable[InstanceArn], write: Callable[[str, object], None], prefix: str
) -> list[dict[str, Any]]:
    """The places, each with the file in which what the ledger waits for there is written, if that is anything. ``prefix``: how
    these files are named."""
    known: dict[tuple[str, str], list[str]] = defaultdict(list)
    for arn in waiting:
        known[arn.account, arn.region].append(arn.instance_id)
    return _noted(places, {place: sorted(ids) for place, ids in known.items()}, write, prefix, "known")


def _noted(
    places: Iterable[dict[str, Any]],
    documents: Mapping[tuple[str, str], object],
    write: Callable[[str, object], None],
    prefix: str,
    name: str,
) -> list[dict[str, Any]]:
    """The places, each with the key of its own document under a name, if it has one."""
    noted = []
    for place in places:
        document = documents.get((place["account"], place["region"]))
        key = f"{prefix}/{place['account']}/{place['region']}.json"
        if document is not None:
            write(key, document)
        noted.append({**place, name: key} if document is not None else place)
    return noted
