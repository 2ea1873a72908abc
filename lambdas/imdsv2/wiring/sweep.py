"""Builds the steps of the sweep: its plan, its way through a place, and its summary with the digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.aws.parsing import new_session
from imdsv2.aws.s3 import SweepFiles
from imdsv2.aws.sessions import CONFIG
from imdsv2.intake.events import CONTROL, suppressed
from imdsv2.ledger.digests import Digests
from imdsv2.settings import SweepSettings
from imdsv2.sweep.digest import DailyDigest
from imdsv2.sweep.fleet import FleetWriter
from imdsv2.sweep.plan import Planning, active_accounts
from imdsv2.sweep.region import RegionStep
from imdsv2.sweep.sources import SourceSweep
from imdsv2.sweep.summary import Summing
from imdsv2.wiring.fixing import build_fixing
from imdsv2.wiring.sources import build_source_book, build_source_judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imdsv2.domain.instance import Place
    from imdsv2.domain.request import Request
    from imdsv2.wiring.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The steps of a sweep, and the files through which they pass on what they find."""

    files: SweepFiles
    planning: Planning
    region: RegionStep
    summing: Summing


def wire_sweep(service: Service, environment: Mapping[str, str]) -> Sweep:
    """Build the steps of the sweep. Raises SettingMissing, which names the variable."""
    settings = SweepSettings.from_environment(environment)
    session = new_session()
    s3: Any = session.create_client("s3", config=CONFIG)
    organizations: Any = session.create_client("organizations", config=CONFIG)
    return build_sweep(
        service, SweepFiles(s3, settings.bucket), lambda: [*settings.accounts] or active_accounts(organizations)
    )


def build_sweep(service: Service, files: SweepFiles, accounts: Callable[[], list[str]]) -> Sweep:
    """Build the steps of the sweep. ``accounts``: lists those to go through where an order names none."""
    line = service.line
    return Sweep(
        files=files,
        planning=Planning(
            clients=service.clients,
            ledger=line.ledger,
            files=files,
            home_region=service.settings.region,
            accounts=accounts,
            suppressed=partial(_suppressed, service),
        ),
        region=RegionStep(
            line=line,
            clients=service.clients,
            files=files,
            sources=build_source_sweep(service),
            fleet_writer=partial(build_fleet_writer, service, write=files.write_packed),
            fix_sources=build_fixing(service).sweep,
        ),
        summing=Summing(
            files=files,
            policies=line.policies,
            sweeps=service.sweeps,
            digest=build_digest(service),
            now=line.now,
            logger=line.logger,
        ),
    )


def _suppressed(service: Service) -> Iterator[Request]:
    """The instances whose finding somebody has suppressed."""
    for is_v2, finding in service.hub.suppressed_of(CONTROL):
        yield from suppressed(finding, is_v2=is_v2)


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
