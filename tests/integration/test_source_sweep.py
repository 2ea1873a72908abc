"""The sweep's look at sources: verdicts in the ledger with an event on change, findings judged anew, owners told once a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import Place
from imdsv2.wiring.sweep import build_source_sweep
from tests.bench.measurements.sources import measure_sweep
from tests.fixtures.events import imported, source_finding, template_arn
from tests.integration.builders import MEMBER, REGION, asked
from tests.integration.sourcing import (
    configuration,
    deliver,
    group,
    know_defaults,
    new_default,
    source_events,
    source_item,
    template,
)

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.sweep.sources import Sources
    from tests.integration.builders import Cloud

PLACE = Place("aws", REGION, MEMBER)
WEB = f"aws/{MEMBER}/{REGION}/auto_scaling_group:web"
FIX, HOLD, REQUIRED = ("fix_source", "unused"), ("hold", "v1_in_use"), ("already_required", "already_required")


@pytest.fixture(autouse=True)
def _defaults(cloud: Cloud) -> None:
    know_defaults(cloud)


def sweep(cloud: Cloud, *, dry_run: bool = False) -> Sources:
    """One night's look at the sources of the member's Region."""
    return build_source_sweep(cloud.function()).go_through(PLACE, dry_run=dry_run)


def web(cloud: Cloud, **how: Any) -> tuple[str, list[InstanceArn]]:
    """A group from the default of its template, whose instances are judged."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"}, **how)
    cloud.line().run([asked(arn) for arn in arns], "request-0")
    return made, arns


def told(cloud: Cloud) -> list[dict[str, Any]]:
    """The messages about sources."""
    return [each for each in cloud.published() if each["MessageAttributes"]["kind"]["StringValue"] == "source"]


def test_each_source_has_its_item_and_document(cloud: Cloud) -> None:
    """The verdict, its reason, since when, how many run, and the remedy's language; a second night changes none of it."""
    web(cloud)
    configuration(cloud)
    group(cloud, "old", LaunchConfigurationName="web-1")
    found = sweep(cloud)
    assert {"fix_source": 1, "hold": 1} == found.counts
    item = source_item(cloud, WEB)
    assert (*FIX, 2, 0, "aws-cli") == (
        item["verdict"],
        item["reason"],
        item["members"],
        item["allowing"],
        item["language"],
    )
    (document,) = [each for each in found.documents if each["key"] == WEB]
    assert ("fix_source", "optional", "now") == (
        document["verdict"],
        document["http_tokens"],
        document["remedies"][0]["apply"],
    )
    assert MEMBER == document["owner"]
    cloud.clock.move(hours=24)
    sweep(cloud)
    again = source_item(cloud, WEB)
    assert item["since"] == again["since"] < again["judged_at"]
    assert [FIX] == source_events(cloud, WEB)


def test_a_change_of_the_verdict_is_an_event(cloud: Cloud) -> None:
    """From use to proof to done, each with its time."""
    made, arns = web(cloud, use=2.0)
    sweep(cloud)
    cloud.clock.move(hours=1)
    new_default(cloud, made, HttpTokens="required", HttpEndpoint="enabled")
    sweep(cloud)
    assert [HOLD, REQUIRED] == source_events(cloud, WEB)
    assert "language" not in source_item(cloud, WEB)
    assert arns


def test_a_dry_run_writes_nothing(cloud: Cloud) -> None:
    """But answers the same."""
    web(cloud)
    found = sweep(cloud, dry_run=True)
    assert {"fix_source": 1} == found.counts
    assert {} == source_item(cloud, WEB)


def test_what_a_finding_named_is_judged_anew_each_night(cloud: Cloud) -> None:
    """The note changes with the verdict, without another event of Security Hub."""
    made, arns = web(cloud, use=2.0)
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    deliver(cloud, imported(asff))
    before = cloud.hub.note_on(asff)
    assert before is not None
    assert "hold (v1_in_use)" in before
    cloud.clock.move(hours=24)
    sweep(cloud)
    assert before == cloud.hub.note_on(asff)
    new_default(cloud, made, HttpTokens="required", HttpEndpoint="enabled")
    sweep(cloud)
    after = cloud.hub.note_on(asff)
    assert after is not None
    assert "already_required" in after
    assert arns


def test_a_template_that_nothing_uses_any_more_is_judged_anew_too(cloud: Cloud) -> None:
    """Its version is read for it alone."""
    made, idle = web(cloud)[0], template(cloud, "idle")
    asff = source_finding("EC2.170", template_arn(idle))
    cloud.hub.holds(asff)
    deliver(cloud, imported(asff))
    key = f"aws/{MEMBER}/{REGION}/template_default:{idle}"
    assert [("hold", "unproved")] == source_events(cloud, key)
    cloud.clock.move(hours=24)
    sweep(cloud)
    assert [("hold", "unproved")] == source_events(cloud, key)
    new_default(cloud, idle, HttpTokens="required", HttpEndpoint="enabled")
    sweep(cloud)
    assert [("hold", "unproved"), REQUIRED] == source_events(cloud, key)
    assert made


def test_owners_are_told_once_a_change_with_remedy_and_evidence(cloud: Cloud) -> None:
    """The owner by the tag of the instances; not again the next night."""
    cloud.policy(mode="observe", notice_hours=24)
    made, arns = web(cloud, tags={"owner": "blue"})
    sweep(cloud)
    (message,) = told(cloud)
    attributes = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    assert ("source", "fix_source", "blue", MEMBER, REGION) == (
        attributes["kind"],
        attributes["decision"],
        attributes["owner"],
        attributes["account"],
        attributes["region"],
    )
    for part in (WEB, f"create-launch-template-version --region {REGION} --launch-template-id {made}", "Evidence: "):
        assert part in message["Message"], part
    assert arns[0].instance_id in message["Message"]
    cloud.clock.move(hours=24)
    sweep(cloud)
    assert 1 == len(told(cloud))
    item = source_item(cloud, WEB)
    assert ("fix_source", "blue") == (item["told_verdict"], item["told_owner"])


def test_an_owner_who_was_told_to_change_it_is_told_to_wait(cloud: Cloud) -> None:
    """When use turns up; and again when that is over, and when it allows IMDSv1 again after it did not."""
    cloud.policy(mode="observe", notice_hours=24)
    made, arns = web(cloud)
    sweep(cloud)
    cloud.metrics.put(arns[0].instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 2], 3.0)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    sweep(cloud)
    assert ["fix_source", "hold"] == [each["MessageAttributes"]["decision"]["StringValue"] for each in told(cloud)]
    assert made


def test_without_the_notice_gate_nobody_is_told(cloud: Cloud) -> None:
    """The ledger and the bucket have it; once the gate is on, the message is due."""
    web(cloud)
    sweep(cloud)
    assert [] == told(cloud)
    cloud.policy(mode="enforce", notice_hours=24)
    cloud.clock.move(minutes=1)
    sweep(cloud)
    assert 1 == len(told(cloud))


def test_a_topic_that_does_not_answer_is_tried_the_next_night(cloud: Cloud) -> None:
    """At least once."""
    cloud.policy(mode="observe", notice_hours=24)
    web(cloud)
    cloud.wire.refuse("Publish", "InternalError", times=1, status=500)
    sweep(cloud)
    assert "told_verdict" not in source_item(cloud, WEB)
    cloud.clock.move(hours=24)
    sweep(cloud)
    assert "fix_source" == source_item(cloud, WEB)["told_verdict"]


def test_a_call_that_fails_changes_no_verdict(cloud: Cloud) -> None:
    """Nor is anybody told to wait because of it; a source that is unknown is held."""
    cloud.policy(mode="observe", notice_hours=24)
    web(cloud)
    sweep(cloud)
    cloud.clock.move(hours=24)
    cloud.wire.refuse("DescribeLaunchTemplates", "RequestLimitExceeded", times=2)
    sweep(cloud)
    assert [FIX] == source_events(cloud, WEB)
    assert ["fix_source"] == [each["MessageAttributes"]["decision"]["StringValue"] for each in told(cloud)]


def test_a_source_that_cannot_be_read_for_days_is_held(cloud: Cloud) -> None:
    """It says what to do."""
    web(cloud)
    sweep(cloud)
    cloud.clock.move(hours=24 * 4)
    cloud.wire.refuse("DescribeLaunchTemplates", "UnauthorizedOperation")
    sweep(cloud)
    assert [FIX, ("hold", "unreadable")] == source_events(cloud, WEB)
    assert "deploy the member roles" in source_item(cloud, WEB)["explanation"]


def test_a_place_that_cannot_be_read_fails_alone(cloud: Cloud) -> None:
    """The instances are judged; the summary counts it."""
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation")
    assert {"failed": 1} == sweep(cloud).counts


def test_out_of_scope_is_not_looked_at(cloud: Cloud) -> None:
    """As its instances are not."""
    cloud.policy(mode="enforce", exclude_accounts=[MEMBER])
    assert {} == sweep(cloud).counts
    assert [] == cloud.wire.made("DescribeInstances")


def test_the_look_stays_within_its_bar() -> None:
    """At most 20 calls in the account for 1,000 instances."""
    assert measure_sweep().value <= 20
