"""A new launch template version, or a new AMI, is a cohort of its own; what an earlier one needs holds it all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.cohort import Cohort, lineage_of
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Canary
from imdsv2.line.canaries import Canaries
from imdsv2.line.judgement import Further
from tests.integration.builders import MEMBER, NOW, REGION, asked
from tests.integration.guarding import enforced, guard, live, reject
from tests.integration.steering import steer
from tests.unit import builders
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.canaries import Turns
    from imdsv2.line.judgement import Judgement
    from tests.integration.builders import Cloud

TEMPLATE, VERSION, GROUP = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version", "aws:autoscaling:groupName"
LINEAGE = f"aws/{MEMBER}/{REGION}/group:web"
RULE = Canary(share=0.1, hours=24)


def of_version(number: int, version: int) -> Judgement:
    """An instance of the group, launched from that version."""
    arn = builders.arn(number)
    tags = {GROUP: "web", TEMPLATE: "lt-0a1b", VERSION: str(version)}
    return builders.judgement(
        builders.request(arn=arn), target=builders.instance(arn=arn, tags=tags, image_id="ami-0c")
    )


def ask(cloud: Cloud, *willing: Judgement, after: timedelta = timedelta()) -> Turns:
    """Ask whether it is their turn."""
    canaries = Canaries(cloud.cohorts(), cloud.ledger())
    return canaries.ask(willing, RULE, lambda _: Further(), NOW + after, dry_run=False)


def broke(cloud: Cloud, key: str, arn: InstanceArn) -> None:
    """An instance of a cohort, or of an earlier release's cohort, has broken."""
    ledger = cloud.ledger()
    ahead = change(ledger.read([arn])[arn], status=Status.ENFORCING, decision="enforce", reason="unused")
    ledger.write([ahead], NOW)
    made = change(ahead.applied(), status=Status.ROLLED_BACK, reason="broke_before", broken_at=NOW, rolled_back_at=NOW)
    ledger.write([made], NOW)
    cloud.cohorts().change(key, lambda known: Cohort(key=key, version=known.version, broken_by=arn, broken_at=NOW))


def test_each_version_has_canaries_of_its_own(cloud: Cloud) -> None:
    """What the canaries of one have proved says nothing about the next."""
    old, new = [of_version(number, 7) for number in range(3)], [of_version(number, 8) for number in range(10, 13)]
    turns = ask(cloud, *old, *new)
    assert 1 == len(turns.canaries & {each.arn for each in old})
    assert 1 == len(turns.canaries & {each.arn for each in new})
    assert 4 == len(turns.held)


@pytest.mark.parametrize("by", ["the same release", "an earlier release"])
def test_what_broke_in_one_version_holds_the_next_until_it_is_cleared(by: str, cloud: Cloud) -> None:
    """Earlier releases of the service named the group alone."""
    old, new = of_version(1, 7), of_version(2, 8)
    assert old.cohort is not None
    keys = [LINEAGE] if by == "an earlier release" else [old.cohort, lineage_of(old.cohort)]
    for key in keys:
        broke(cloud, key, old.arn)
    held = ask(cloud, new).held[new.arn]
    assert "canary_wait" == held.reason
    assert f"{old.arn.instance_id}, which runs the same software (Auto Scaling group web)" in held.explanation
    assert {new.arn} == set(Canaries(cloud.cohorts(), cloud.ledger()).broken([new], NOW))
    ledger = cloud.ledger()
    ledger.write([change(ledger.read([old.arn])[old.arn], cleared_at=NOW + timedelta(hours=1))], NOW)
    assert {new.arn} == ask(cloud, new, after=timedelta(hours=2)).canaries
    assert {} == Canaries(cloud.cohorts(), cloud.ledger()).broken([new], NOW + timedelta(hours=2))


def test_the_guard_holds_the_version_and_all_that_follow(cloud: Cloud) -> None:
    """The canary of version 7 breaks; version 8 is rolled out before anybody looks."""
    tags = {GROUP: "web", TEMPLATE: "lt-0a1b"}
    arn = enforced(cloud, tags=tags | {VERSION: "7"})
    live(cloud, arn, hours=1)
    reject(cloud, arn)
    assert 1 == guard(cloud).rolled_back
    cloud.policy(canary={"share": 0.1, "hours": 24}, mode="enforce")
    new = cloud.one(tags=tags | {VERSION: "8"})
    outcomes = cloud.line().run([asked(new)], "request-8")
    assert "canary_wait" == outcomes.judged[new].verdict.reason


def test_an_instance_in_no_cohort_waits_for_nobody(cloud: Cloud) -> None:
    """Its AMI belongs to Amazon."""
    cloud.wire.on("DescribeImages", _of_amazon)
    cloud.policy(canary={"share": 0.1, "hours": 24}, mode="enforce")
    arns = cloud.launch(count=3)
    cloud.line().run([asked(arn) for arn in arns], "request")
    assert [("enforced", None)] * 3 == [
        (current["status"], current.get("cohort")) for current in map(cloud.current, arns)
    ]


def test_commands_take_one_version_or_all(cloud: Cloud) -> None:
    """The key's part before the version names the source."""
    cloud.policy(approval="required", mode="enforce")
    tags = {GROUP: "web", TEMPLATE: "lt-0a1b"}
    old, new = cloud.one(tags=tags | {VERSION: "7"}), cloud.one(tags=tags | {VERSION: "8"})
    cloud.line().run([asked(old), asked(new)], "request")
    key = str(cloud.current(old)["cohort"])
    for cohort, expected in ((key, {old}), (lineage_of(key), {old, new})):
        results = steer(cloud, approve={"cohort": cohort}, caller="alice")
        assert {str(arn) for arn in expected} == {each["target"] for each in results}


def _of_amazon(call: Any) -> dict[str, Any]:
    asked_about = call.params["Filters"][0]["Values"]
    return {"Images": [{"ImageId": image, "OwnerId": "137112412989", "Public": True} for image in asked_about]}
