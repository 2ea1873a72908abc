"""After the change: instances whose software breaks are rolled back automatically, healthy ones are verified.
Workloads are real clients of a metadata service that obeys each instance's own options."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.run import MEMBERS
from tests.e2e import workloads
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World

GUARDED = {"mode": "enforce", "canary": {"share": 0.1, "hours": 24}}


def _imds(world: World, one: Launched, hops: int = 0) -> str:
    endpoint: str = world.cloud.imds(one.instance_id, account=one.machine.account, region=one.machine.region, hops=hops)
    return endpoint


def _enforce(world: World, one: Launched) -> None:
    [result] = world.ask({"targets": [one.arn], "dry_run": False, "caller": "e2e"})["results"]
    assert "enforced" == result["status"], result


def _image(name: str) -> str:
    """An AMI that no other test uses."""
    return f"ami-{name.encode().hex():0<17}"[:21]


def test_an_instance_whose_software_breaks_is_put_back_by_itself(world: World) -> None:
    """Its old SDK gets credentials again; options, tag, ledger, finding, cohort and the owner's mail all record the
    rollback."""
    world.set_policy(GUARDED)
    image = _image("old-sdk")
    first, second = world.launch(number=2, image=image)
    findings = {one.arn: events.finding(one.arn) for one in (first, second)}
    hub: Any = world.home.client("securityhub")
    hub.batch_import_findings(Findings=list(findings.values()))
    world.messages()
    world.send(*(events.imported(finding) for finding in findings.values()))
    _one_enforced_of(world, first, second)
    canary, follower = (first, second) if world.current(first).get("status") == "enforced" else (second, first)
    assert ("held", "canary_wait") == world.verdicts([follower])[0]
    _is_noted(world, canary)

    endpoint = _imds(world, canary)
    eventually(lambda: workloads.old_sdk(endpoint) == "denied" or None, "EC2 to apply the change")
    world.reject(canary)
    world.guard_until("rolled_back")
    assert "optional" == world.options(canary)["HttpTokens"]
    assert "ok" == workloads.old_sdk(endpoint)

    item = world.current(canary)
    assert ("rolled_back", "hold", "broke_before") == (item["status"], item["decision"], item["reason"])
    lived = [status for status in world.history(canary) if status != "would_enforce"]
    assert ["enforcing", "enforced", "rolling_back", "rolled_back"] == lived
    assert {"imdsv2:rolled-back-at"} == {each for each in world.tags(canary) if each.startswith("imdsv2:")}
    assert "broke_before" in _note(world, findings[canary.arn])
    _told(world, "switched on again", canary)
    [result] = world.ask({"targets": [follower.arn]})["results"]
    assert ("hold", "canary_wait") == (result["decision"], result["reason"])
    assert canary.instance_id in result["explanation"]


def test_clearing_what_broke_lets_its_cohort_go_on(world: World) -> None:
    """A person who has fixed the software clears the instance; canaries go first again."""
    world.set_policy(GUARDED)
    one, other = world.launch(number=2, image=_image("mended"))
    asked = world.ask({"targets": [one.arn, other.arn], "dry_run": False})["results"]
    canary = one if asked[0]["status"] == "enforced" else other
    world.reject(canary)
    world.guard()
    [cleared] = world.ask({"clear": {"targets": [canary.arn]}, "dry_run": False, "caller": "e2e"})["results"]
    assert (True, ["broke_before"]) == (cleared["done"], cleared["voids"])
    [result] = world.ask({"targets": [canary.arn], "dry_run": False})["results"]
    assert ("enforced", "unused") == (result["status"], result["reason"])


def _one_enforced_of(world: World, *fleet: Launched) -> None:
    """Wait for the canary, whose own finding may arrive before or after its evaluation as a canary."""

    def look() -> bool | None:
        return "enforced" in {world.current(one).get("status") for one in fleet} or None

    eventually(look, "a canary")


def _is_noted(world: World, one: Launched) -> None:
    """Wait for the function that enforced it to have written its note: it does so after the change, and later than the ledger."""

    def look() -> bool | None:
        findings = world.current(one).get("findings", {}).values()
        return (bool(findings) and all("annotated_at" in each for each in findings)) or None

    eventually(look, "the note of the enforcement")


def _note(world: World, finding: dict[str, Any]) -> str:
    hub = world.home.client("securityhub")
    [found] = hub.get_findings(Filters={"Id": [{"Value": finding["Id"], "Comparison": "EQUALS"}]})["Findings"]
    return str(found["Note"]["Text"])


def _told(world: World, headline: str, one: Launched) -> None:
    def look() -> bool | None:
        return any(headline in each["Subject"] and one.arn in each["Message"] for each in world.messages()) or None

    eventually(look, f"a message that says {headline}")


def test_a_clean_instance_is_verified_and_watched_once_more_after_its_next_start(world: World) -> None:
    """Software that uses tokens keeps working."""
    one = world.launch_one()
    endpoint = _imds(world, one)
    _enforce(world, one)
    assert "ok" == workloads.sdk(endpoint)
    world.guard()
    assert "enforced" == world.current(one)["status"]
    world.age(one, hours=26)
    world.guard()
    item = world.current(one)
    assert ("verified", "enforce") == (item["status"], item["decision"])
    assert "revisit_at" not in item
    ec2 = world.cloud.session(account=one.machine.account, region=one.machine.region).client("ec2")
    ec2.stop_instances(InstanceIds=[one.instance_id])
    ec2.start_instances(InstanceIds=[one.instance_id])
    boot_script = workloads.BootScript(endpoint=endpoint)
    assert "denied" == boot_script.starts()
    assert 1 <= world.guard()["rolled_back"]
    assert ("rolled_back", "broke_before") == world.verdicts([one])[0]
    assert "ok" == boot_script.starts()


def test_alert_only_tells(world: World) -> None:
    """With `rollback` set to `alert`, people are notified once, and nothing is changed."""
    world.set_policy({"mode": "enforce", "rollback": "alert"})
    one = world.launch_one()
    _enforce(world, one)
    world.messages()
    world.reject(one)
    assert 1 <= world.guard()["left_broken"]
    assert "required" == world.options(one)["HttpTokens"]
    _told(world, "Something broke", one)
    world.guard()
    assert not any("Something broke" in message["Subject"] for message in world.messages())


def test_what_somebody_has_changed_since_is_left_alone(world: World) -> None:
    """Someone else set a hop limit: people are notified, and the instance is left alone."""
    one = world.launch_one()
    _enforce(world, one)
    ec2 = world.cloud.session(account=one.machine.account, region=one.machine.region).client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=one.instance_id, HttpPutResponseHopLimit=3)
    world.reject(one)
    world.guard()
    assert "required" == world.options(one)["HttpTokens"]
    assert "HttpPutResponseHopLimit" in world.current(one)["explanation"]


@pytest.mark.parametrize(
    ("obstacle", "says"), [("tag", "imdsv2:enforced-at"), ("enforced by account", "HttpTokensEnforced")]
)
def test_what_may_not_be_put_back_is_said_at_once(world: World, obstacle: str, says: str) -> None:
    """The tag is missing, or the account enforces tokens: the ledger says what a person can do."""
    one = world.launch_one(account=MEMBERS[1], region="us-east-1")
    _enforce(world, one)
    ec2 = world.cloud.session(account=MEMBERS[1], region="us-east-1").client("ec2")
    if obstacle == "tag":
        ec2.delete_tags(Resources=[one.instance_id], Tags=[{"Key": "imdsv2:enforced-at"}])
    else:
        ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    try:
        world.reject(one)
        world.guard()
    finally:
        ec2.modify_instance_metadata_defaults(HttpTokensEnforced="disabled")
    assert "enforced" == world.current(one)["status"]
    assert says in world.current(one)["explanation"]


def test_the_breaker_opens_and_a_person_closes_it(world: World) -> None:
    """Three rollbacks in a day stop enforcement in the account, but never a rollback."""
    fleet = world.launch(number=4, account=MEMBERS[1])
    for one in fleet[:3]:
        _enforce(world, one)
        world.reject(one)
    assert 1 == world.guard()["breakers_open"]
    assert [("rolled_back", "broke_before")] * 3 == world.verdicts(fleet[:3])
    [result] = world.ask({"targets": [fleet[3].arn], "dry_run": False})["results"]
    assert ("hold", "breaker_open") == (result["decision"], result["reason"])
    close = {"close_breaker": {"account": MEMBERS[1]}, "caller": "e2e"}
    assert not world.ask(close)["results"][0]["done"]
    assert world.ask({**close, "dry_run": False})["results"][0]["done"]
    _enforce(world, fleet[3])


def test_a_container_behind_one_more_hop_breaks_for_real(world: World) -> None:
    """Its SDK falls back to IMDSv1 while it can, and gets nothing afterwards, until the guard has rolled the instance
    back."""
    one = world.launch_one()
    inside = _imds(world, one, hops=1)
    _enforce(world, one)
    assert "denied" == workloads.sdk(inside)
    world.reject(one)
    assert 1 <= world.guard()["rolled_back"]
    assert "ok" == workloads.sdk(inside)


def test_a_monthly_job_that_comes_after_the_watch_has_its_credentials_back_within_the_hour(world: World) -> None:
    """The instance was verified long before; CloudWatch lists it all the same."""
    one = world.launch_one()
    job = workloads.MonthlyJob(endpoint=_imds(world, one), day=1)
    _enforce(world, one)
    world.age(one, hours=26)
    world.guard()
    assert "verified" == world.current(one)["status"]
    world.age(one, hours=20 * 24)
    assert job.lives_through(date(2026, 8, 31)) is None
    assert "denied" == job.lives_through(date(2026, 9, 1))
    world.reject(one)
    assert 1 <= world.guard()["rolled_back"]
    assert ("rolled_back", "broke_before") == world.verdicts([one])[0]
    assert "ok" == job.lives_through(date(2026, 10, 1))


def test_a_container_that_falls_back_holds_its_host_before_anything_breaks(world: World) -> None:
    """Tokens do not reach the container at a hop limit of 1, so its SDK uses IMDSv1: the service detects this and
    names the remedy."""
    one = world.launch_one(tags={"eks:cluster-name": "shop"}, options={"HttpPutResponseHopLimit": 1})
    inside = _imds(world, one, hops=1)
    assert "ok" == workloads.sdk(inside)
    [result] = world.ask({"targets": [one.arn], "dry_run": False})["results"]
    assert ("hold", "hop_limit_fallback") == (result["decision"], result["reason"])
    assert "raise it to hop limit 2" in result["explanation"]
    ec2 = world.cloud.session(account=one.machine.account, region=one.machine.region).client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=one.instance_id, HttpPutResponseHopLimit=2)
    eventually(lambda: True if world.options(one)["State"] == "applied" else None, "EC2 to apply it")
    used = _tokenless_calls(world, one)
    assert "ok" == workloads.sdk(inside)
    assert used == _tokenless_calls(world, one)


def _tokenless_calls(world: World, one: Launched) -> int:
    [result] = world.ask({"targets": [one.arn]})["results"]
    calls: int = result["evidence"]["tokenless_calls"]
    return calls
