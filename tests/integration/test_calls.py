"""The number of AWS calls for a batch: measured by the benchmarks, and asserted here where it could get out of hand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.request import Source
from tests.bench.measurements import sources
from tests.bench.measurements.counting import Calls, floor
from tests.fixtures.events import finding
from tests.integration.builders import asked

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

INSTANCES = 300


@pytest.fixture
def calls(cloud: Cloud) -> Calls:
    """The calls for 300 findings of one account and Region, all of them enforced."""
    arns = cloud.launch(count=INSTANCES)
    findings = [finding(str(arn)) for arn in arns]
    cloud.hub.holds(*findings)
    outcomes = cloud.line().run(
        [asked(arn, finding=each) for arn, each in zip(arns, findings, strict=True)], "request-1"
    )
    assert {"enforced"} == {each.status for each in outcomes.judged.values()}
    assert {"required"} == {cloud.tokens(arn) for arn in arns}
    assert {"NOTIFIED"} == {cloud.hub.workflow_of(each) for each in findings}
    return Calls(made=Counter((call.service, call.operation) for call in cloud.wire.calls))


def test_a_batch_of_300_costs_little_more_than_the_least_that_it_could(calls: Calls) -> None:
    """EC2's and CloudWatch's quotas are shared with the account's owners."""
    assert calls.made["ec2", "ModifyInstanceMetadataOptions"] == INSTANCES
    assert 1.05 >= calls.of_looked_at / floor(instances=INSTANCES, lookback_days=35), calls.made
    assert 2.2 >= calls.others / INSTANCES, calls.made


def test_a_batch_that_holds_changes_nothing_and_asks_little(cloud: Cloud) -> None:
    """The common case: no tag, no change, no write role, and one message for all."""
    arns = cloud.launch(count=50, use=1.0)
    cloud.line().run([asked(arn, Source.CONFIG) for arn in arns], "request-1")
    made = Counter(call.operation for call in cloud.wire.calls)
    assert {"DescribeInstances": 1, "AssumeRole": 1, "Publish": 1, "GetFindings": 0, "CreateTags": 0} == {
        name: made[name] for name in ("DescribeInstances", "AssumeRole", "Publish", "GetFindings", "CreateTags")
    }


def test_a_thousand_instances_are_traced_in_twenty_calls() -> None:
    """The benchmark's own fleet, with 200 sources and more."""
    measured = sources.measure()
    assert 20 >= measured.value, measured.spread


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_group_costs_one_look_whatever_its_size(size: int) -> None:
    """Each thing that launches is read once."""
    fleet = sources.Fleet()
    fleet.group(size, LaunchTemplate={"LaunchTemplateId": fleet.template(), "Version": "$Default"})
    assert 1 == len(fleet.trace().origins)
    assert {
        "DescribeAutoScalingGroups": 1,
        "DescribeImages": 1,
        "DescribeInstances": 1,
        "DescribeLaunchTemplateVersions": 1,
        "DescribeLaunchTemplates": 1,
        "GetInstanceMetadataDefaults": 1,
    } == dict(fleet.calls)


def test_groups_and_configurations_are_read_by_the_hundred() -> None:
    """In as few calls as the API allows."""
    fleet = sources.Fleet()
    for number in range(250):
        name = f"configuration-{number}"
        fleet.configurations.append({"LaunchConfigurationName": name, "ImageId": f"ami-{number:08x}"})
        fleet.group(1, LaunchConfigurationName=name)
    fleet.trace()
    assert (3, 3, 3) == tuple(
        fleet.calls[name] for name in ("DescribeAutoScalingGroups", "DescribeLaunchConfigurations", "DescribeImages")
    )


def test_templates_that_pin_old_versions_are_asked_one_by_one() -> None:
    """EC2 lists only default and latest versions together; of the others each template is a call."""
    fleet = sources.Fleet()
    for number in range(10):
        version = {"Version": "1"} if number < 3 else {}
        fleet.group(1, LaunchTemplate={"LaunchTemplateId": fleet.template(latest=2), **version})
    fleet.trace()
    assert 1 + 3 == fleet.calls["DescribeLaunchTemplateVersions"]


def test_calls_are_counted_where_botocore_makes_them(cloud: Cloud) -> None:
    """The benchmarks' counter counts each call once."""
    counted = Calls()
    client = cloud.client("dynamodb")
    counted.watch(client.meta.events)
    client.describe_table(TableName="ledger")
    client.describe_table(TableName="ledger")
    assert {("dynamodb", "DescribeTable"): 2} == dict(counted.made)
    assert (0, 2) == (counted.of_looked_at, counted.others)
