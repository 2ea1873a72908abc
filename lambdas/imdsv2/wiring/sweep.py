"""Builds what the sweep needs beside the line: its files and accounts, its look at sources, and the digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.parsing import new_session
from imdsv2.aws.s3 import SweepFiles
from imdsv2.aws.sessions import CONFIG
from imdsv2.ledger.digests import Digests
from imdsv2.settings import SweepSettings
from imdsv2.sweep.digest import DailyDigest
from imdsv2.sweep.fleet import FleetWriter
from imdsv2.sweep.plan import active_accounts
from imdsv2.sweep.sources import SourceSweep
from imdsv2.wiring.sources import build_source_book, build_source_judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_organizations import OrganizationsClient

    from imdsv2.domain.instance import Place
    from imdsv2.wiring.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Additional dependencies of the sweep: its S3 files, its settings and the list of accounts."""

    files: SweepFiles
    settings: SweepSettings
    organizations: OrganizationsClient

    def accounts(self) -> list[str]:
        """The accounts from the settings, else the organisation's active accounts. Raises ClientError."""
        return list(self.settings.accounts) or active_accounts(self.organizations)


def wire_sweep(environment: Mapping[str, str]) -> Sweep:
    """Build the sweep's additional dependencies. Raises SettingMissing, which names the variable."""
    settings = SweepSettings.from_environment(environment)
    session = new_session()
    s3: Any = session.create_client("s3", config=CONFIG)
    organizations: Any = session.create_client("organizations", config=CONFIG)
    return Sweep(files=SweepFiles(s3, settings.bucket), settings=settings, organizations=organizations)


def build_fleet_writer(service: Service, place: Place, prefix: str, write: Callable[[str, bytes], None]) -> FleetWriter:
    """Build what writes the rows of a place. ``prefix``: how the parts of this sweep are named. ``write``: writes a part."""
    line = service.line
    return FleetWriter(
        place=place,
        prefix=prefix,
        ledger=line.ledger,
        memberships=service.memberships,
        policy=line.policies.current(line.now()).policy,
        write=write,
        now=line.now,
    )


def build_source_sweep(service: Service) -> SourceSweep:
    """Build what judges the sources of each place in the sweep."""
    return SourceSweep(judge=build_source_judge(service), book=build_source_book(service), logger=service.line.logger)


def build_digest(service: Service) -> DailyDigest:
    """Build what sends the daily digest."""
    line = service.line
    return DailyDigest(
        digests=Digests(service.dynamodb, service.settings.ledger_table),
        policies=line.policies,
        topic=service.topic,
        now=line.now,
        logger=line.logger,
    )
