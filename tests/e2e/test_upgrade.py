"""An earlier release is deployed, work is in flight, today's is deployed over it, and the earlier one over that again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import ENFORCED_TAG, ROLLED_BACK_TAG
from imdsv2.version import VERSION
from local.cloud.deploy import Deployment
from local.cloud.run import MEMBERS, ROOT, SECURITY, LocalCloud
from tests.e2e.world import World, eventually
from tests.fixtures import events, release
from tests.proof.killed.processes import killed_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.demo.fleet import Launched

CHANGED = ("IMDSv1 switched off", "IMDSv1 switched on again")
"""How messages about a change begin."""
CHANGE = "ModifyInstanceMetadataOptions"
POLICY = "/imdsv2-remediation/policy"
HOLD = {"reason": "The vendor tests.", "owner": "team-db", "until": "2030-01-31", "caller": "e2e", "dry_run": False}


class Releases:
    """A local AWS on which one release is deployed over another: members first on the way up, last on the way down."""

    def __init__(self, cloud: LocalCloud, earlier: Deployment) -> None:
        self._cloud, self._earlier = cloud, earlier
        self.earlier_version = release.version(earlier.assembly)
        self._today = Deployment.synthesised(ROOT, {})
        self.world = World(cloud)

    def install_earlier(self) -> None:
        """A deployment of the time before."""
        self._deploy_members(self._earlier)
        self._deploy_service(self._earlier)

    def upgrade(self) -> None:
        """As docs/upgrade.md says."""
        self.upgrade_members()
        self.upgrade_service()

    def upgrade_members(self) -> None:
        """The accounts' roles."""
        self._deploy_members(self._today)

    def upgrade_service(self) -> None:
        """The stack of the security account."""
        self._deploy_service(self._today)

    def go_back(self) -> None:
        """The other way round."""
        self._deploy_service(self._earlier)
        self._deploy_members(self._earlier)

    def policy(self) -> str:
        """The document, as somebody has written it."""
        ssm = self._cloud.session().client("ssm")
        return str(ssm.get_parameter(Name=POLICY)["Parameter"]["Value"])

    def versions(self, one: Launched) -> Any:
        """What the check says of the account of an instance."""
        return self.world.invoke("imdsv2-remediation-check", {"targets": [one.arn]})["versions"]

    def _deploy_members(self, deployment: Deployment) -> None:
        for account in MEMBERS:
            deployment.deploy_member(self._cloud.session(account=account), security_account=SECURITY)

    def _deploy_service(self, deployment: Deployment) -> None:
        self._cloud.outputs = deployment.deploy_service(self._cloud.session())
        self.world.set_queue_listening(enabled=False)
        self.world.switch_batching_window_off()
        self.world.stop_schedules()


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    """The earlier release, deployed, in `enforce` mode; queue and schedules wait for the test."""
    release.unpack(tmp_path)
    with LocalCloud() as cloud:
        both = Releases(cloud, Deployment(assembly=tmp_path))
        both.install_earlier()
        both.world.set_policy({"mode": "enforce"})
        yield both


def message(one: Launched) -> str:
    """Security Hub's message about an instance."""
    return json.dumps(events.imported(events.finding(one.arn, finding_id=f"{one.arn}/finding/upgrade")))


def enforce(world: World, one: Launched) -> None:
    """A finding is answered."""
    assert {"batchItemFailures": []} == world.remediate(message(one))
    assert "enforced" == world.current(one)["status"]


def begin(world: World) -> dict[str, Launched]:
    """Work in every stage, by its name."""
    names = ("watched", "breaking", "enforcing", "held", "queued", "put back")
    fleet = dict(zip(names, world.launch(number=len(names)), strict=True))
    for name in ("watched", "breaking", "put back"):
        enforce(world, fleet[name])
    world.reject(fleet["put back"])
    world.guard()
    world.reject(fleet["breaking"])
    [held] = world.ask({"hold": {"targets": [fleet["held"].arn]}, **HOLD})["results"]
    assert held["done"], held
    killed_in(world, message(fleet["enforcing"]), CHANGE)
    eventually(lambda: world.options(fleet["enforcing"])["HttpTokens"] == "required" or None, "EC2 to have done it")
    world.queue(message(fleet["queued"]), message(fleet["held"]))
    assert "enforcing" == world.current(fleet["enforcing"])["status"]
    return fleet


def finish(world: World, fleet: dict[str, Launched]) -> None:
    """The queue is delivered, leases end, schedules run."""
    world.set_queue_listening(enabled=True)
    for name in ("queued", "held"):
        world.decided(fleet[name])
    world.set_queue_listening(enabled=False)
    for _ in range(2):
        for one in fleet.values():
            world.lease_ends(one)
        world.revisit()
        world.guard()


def state(world: World, one: Launched) -> tuple[str, str, Any]:
    """What an instance has come to: in the ledger, in EC2, and the service's tag."""
    ours = {ENFORCED_TAG, ROLLED_BACK_TAG} & world.tags(one).keys()
    return world.current(one)["status"], world.options(one)["HttpTokens"], ours


ENFORCED = ("enforced", "required", {ENFORCED_TAG})
PUT_BACK = ("rolled_back", "optional", {ROLLED_BACK_TAG})
ENDS = {
    "watched": ENFORCED,
    "breaking": PUT_BACK,
    "enforcing": ENFORCED,
    "held": ("held", "optional", set()),
    "queued": ENFORCED,
    "put back": PUT_BACK,
}
LIVES = {
    "watched": ["enforcing", "enforced"],
    "breaking": ["enforcing", "enforced", "rolling_back", "rolled_back"],
    "enforcing": ["enforcing", "enforced"],
    "held": ["held"],
    "queued": ["enforcing", "enforced"],
    "put back": ["enforcing", "enforced", "rolling_back", "rolled_back"],
}

TOLD_BY_EARLIER_FIRST = {"watched": 1, "breaking": 2, "enforcing": 0, "held": 0, "queued": 0, "put back": 2}
"""Messages at once: the earlier release tells of every change, this one leaves what it has switched off to the digest."""
TOLD_BY_EARLIER_LAST = {"watched": 0, "breaking": 1, "enforcing": 1, "held": 0, "queued": 1, "put back": 1}


def test_what_is_in_flight_survives_an_upgrade_and_the_way_back(releases: Releases) -> None:
    """Nothing is lost, nothing is done twice, people hear of each change once, and each release reads the other's items."""
    world = releases.world
    world.messages()
    for redeploy, version, at_once in (
        (releases.upgrade, VERSION, TOLD_BY_EARLIER_FIRST),
        (releases.go_back, releases.earlier_version, TOLD_BY_EARLIER_LAST),
    ):
        fleet = begin(world)
        changes, policy = world.calls(CHANGE), releases.policy()
        redeploy()
        assert policy == releases.policy()
        finish(world, fleet)
        assert ENDS == {name: state(world, one) for name, one in fleet.items()}
        assert LIVES == {name: world.history(one) for name, one in fleet.items()}
        assert {version} == {each.get("service_version") for each in world.events(fleet["queued"])}
        assert 2 == world.calls(CHANGE) - changes, "one was put back, one was enforced"
        told = [each for each in world.messages() if each["Subject"].startswith(CHANGED)]
        assert at_once == {name: sum(one.arn in each["Message"] for each in told) for name, one in fleet.items()}
        world.forget_breakage()


def test_the_check_tells_which_accounts_are_yet_to_be_upgraded(releases: Releases) -> None:
    """By the version that their roles are of."""
    one = releases.world.launch_one()
    releases.upgrade_service()
    before = releases.versions(one)
    assert (VERSION, {one.machine.account: releases.earlier_version}) == (before["service"], before["accounts"])
    assert [True] == [one.machine.account in each for each in before["outdated"]]
    releases.upgrade_members()
    assert {"service": VERSION, "accounts": {one.machine.account: VERSION}, "outdated": []} == releases.versions(one)
