"""The demo's fleet of one account and Region, judged by others before and after the service has processed its findings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.findings import CONSOLIDATED, finding
from local.cloud.run import HOME, LocalCloud
from local.demo.fleet import ALPHA, Launched, Machine, launch
from local.demo.stories import machines
from tests.e2e.world import World
from tests.proof.judges.commands import custodians, prowler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLACE = {"account": ALPHA, "region": HOME}


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """What the judges say: Prowler's status by check and ARN, and the ids of the instances that Custodian chooses."""

    prowler: Mapping[tuple[str, str], str]
    custodian: frozenset[str]

    @classmethod
    def on(cls, cloud: LocalCloud) -> Opinions:
        """Ask both."""
        return cls(prowler=prowler(cloud, **PLACE), custodian=custodians(cloud, **PLACE))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A fleet with the service's verdicts (decision and reason by name), and the opinions before and after them."""

    fleet: tuple[Launched, ...]
    verdicts: Mapping[str, tuple[str, str]]
    before: Opinions
    after: Opinions

    @property
    def enforced(self) -> frozenset[str]:
        """The ids of the instances on which the service has to require tokens."""
        return frozenset(each.instance_id for each in self.fleet if each.machine.is_enforced)


@pytest.fixture(scope="session")
def judged() -> Iterator[Judged]:
    """The service in mode `enforce`; what launches instances allows IMDSv1 too, and is none of the service's business."""
    if os.environ.get("PROOF") != "long":
        pytest.skip("starts a local AWS, and needs Prowler and Cloud Custodian: PROOF=long, by make proof")
    with LocalCloud() as cloud:
        cloud.deploy()
        world = World(cloud)
        world.switch_batching_window_off()
        world.stop_schedules()
        world.set_policy({"mode": "enforce"})
        fleet = tuple(launch(cloud, filter(_is_here, machines())))
        _create_sources(cloud)
        before = Opinions.on(cloud)
        verdicts = _processed(world, fleet)
        yield Judged(fleet=fleet, verdicts=verdicts, before=before, after=Opinions.on(cloud))


def _is_here(machine: Machine) -> bool:
    """One account and Region, and no past with the service or with people that would have to be played first."""
    played = machine.happened or machine.suppressed
    return (machine.account, machine.region) == (ALPHA, HOME) and not played


def _create_sources(cloud: LocalCloud) -> None:
    """A launch template and a group's launch configuration that allow IMDSv1."""
    session = cloud.session(**PLACE)
    options: Any = {"HttpTokens": "optional", "HttpEndpoint": "enabled"}
    session.client("ec2").create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"MetadataOptions": options}
    )
    autoscaling = session.client("autoscaling")
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="web",
        ImageId="ami-0abcdef1234567890",
        InstanceType="t3.micro",
        MetadataOptions=options,
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=0,
        MaxSize=1,
        AvailabilityZones=[f"{HOME}a"],
    )


def _processed(world: World, fleet: tuple[Launched, ...]) -> dict[str, tuple[str, str]]:
    """Decision and reason by name, after a finding on each instance has come from Security Hub."""
    hub = world.cloud.session(**PLACE).client("securityhub")
    for each in fleet:
        found: Any = finding(each.arn, generator=CONSOLIDATED)
        hub.batch_import_findings(Findings=[found])
    items = {each.machine.name: world.decided(each) for each in fleet}
    return {name: (item["decision"], item["reason"]) for name, item in items.items()}
