"""Partitions: a Region is in one of them, and an ARN that says another names nothing."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest

from imdsv2.domain.instance import InstanceArn, partition_of
from imdsv2.domain.regions import REGIONS, wrong_partition
from imdsv2.errors import InvalidRequest, TargetRefused
from imdsv2.intake.event_names import EventNames
from imdsv2.intake.events import parse
from imdsv2.people.fields import instance
from imdsv2.people.request import parse as parse_request
from tests.fixtures.events import finding, finding_v2, imported, imported_v2, instance_arn, started

OF_THE_SDK: dict[str, str] = {}
_loader: Any = botocore.session.Session().get_component("data_loader")
for _each in _loader.load_data("partitions")["partitions"]:
    OF_THE_SDK |= dict.fromkeys(_each["regions"], _each["id"])

WRONG = [
    ("aws-cn", "eu-west-1"),
    ("aws", "cn-north-1"),
    ("aws", "us-gov-west-1"),
    ("aws-us-gov", "us-east-1"),
    ("aws-x", "eu-west-3"),
]


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_the_partition_of_every_region_is_that_of_the_sdk(region: str) -> None:
    """A role, or an instance named by its parts, would else have an ARN that does not exist."""
    assert OF_THE_SDK[region] == partition_of(region)
    assert wrong_partition(OF_THE_SDK[region], region) is None


@pytest.mark.parametrize(("partition", "region"), WRONG)
def test_an_event_that_names_another_partition_is_poison(partition: str, region: str) -> None:
    """Whoever may put events on the bus could else give one instance several names in the ledger."""
    arn = instance_arn(region=region, partition=partition)
    named = finding(instance_arn(region=region, partition=partition_of(region)))
    named["Resources"][0]["Id"] = arn
    ocsf = finding_v2(region=region, partition=partition_of(region))
    ocsf["resources"][0]["uid_alt"] = arn
    events = [imported(named), imported_v2(ocsf), started(resources=[arn])]
    for event in events:
        (complaint,) = parse(json.dumps(event), EventNames(custom_action_id="RequireIMDSv2")).poison
        assert f"{region} is in the partition {partition_of(region)}, not in {partition}" == complaint.problem


@pytest.mark.parametrize(("partition", "region"), WRONG)
def test_a_person_who_names_another_partition_is_told_the_right_one(partition: str, region: str) -> None:
    """And not that member roles are missing there."""
    arn = instance_arn(region=region, partition=partition)
    refused = instance(arn)
    assert isinstance(refused, TargetRefused)
    assert partition_of(region) in refused.problem
    with pytest.raises(InvalidRequest, match="is in the partition"):
        parse_request({"undo": {"targets": [arn]}})


def test_a_region_that_this_version_does_not_know_may_be_in_any_partition() -> None:
    """AWS opens new ones, and their findings must not be lost."""
    arn = instance_arn(region="xy-north-1", partition="aws-xy")
    (request,) = parse(json.dumps(imported(finding(arn))), EventNames(custom_action_id="RequireIMDSv2")).requests
    assert InstanceArn.parse(arn) == request.arn
