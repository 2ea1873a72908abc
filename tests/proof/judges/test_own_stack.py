"""Security Hub's foundational controls, as Prowler has them, on the stack as it is deployed: nothing is left unexplained.

The service must not raise findings against itself where it is to mend those of others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from infra.exceptions import OF_PROWLER
from local.cloud.run import HOME, SECURITY, LocalCloud
from tests.proof import tally
from tests.proof.judges.commands import FOUNDATIONAL, prowler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STACK = "Imdsv2Remediation"
NOT_KEPT = {
    "dynamodb_tables_pitr_enabled": (
        "AWS::DynamoDB::Table",
        "PointInTimeRecoverySpecification",
        {"PointInTimeRecoveryEnabled": True},
    ),
    "s3_bucket_lifecycle_enabled": (
        "AWS::S3::Bucket",
        "LifecycleConfiguration",
        {"Rules": [{"ExpirationInDays": 90, "Status": "Enabled"}]},
    ),
    "sns_topics_kms_encryption_at_rest_enabled": (
        "AWS::SNS::Topic",
        "KmsMasterKeyId",
        {"Fn::GetAtt": ["EncryptionKey3A692D6E", "Arn"]},
    ),
}
"""Checks that fail because the local AWS does not keep what they ask for; the template has it: type, property and value."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """Prowler's status by check and ARN of the stack's resources, and its template."""

    statuses: Mapping[tuple[str, str], str]
    template: Mapping[str, Any]

    @property
    def failed(self) -> set[tuple[str, str]]:
        return {each for each, status in self.statuses.items() if status == "FAIL" and each[0] not in NOT_KEPT}


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    """The stack in an account that has nothing else but what the CDK keeps there."""
    if os.environ.get("PROOF") != "long":
        pytest.skip("starts a local AWS, and needs Prowler: PROOF=long, by make proof")
    with LocalCloud() as cloud:
        cloud.deploy()
        home = cloud.session().client("cloudformation")
        pages = home.get_paginator("list_stack_resources").paginate(StackName=STACK)
        described = [each for page in pages for each in page["StackResourceSummaries"]]
        # Buckets have small letters only, whatever the stack calls them.
        ours = {each["PhysicalResourceId"].lower() for each in described}
        template = home.get_template(StackName=STACK)["TemplateBody"]
        found = prowler(cloud, account=SECURITY, region=HOME, asked=FOUNDATIONAL)
        yield Deployed(
            statuses={
                key: status for key, status in found.items() if any(key[1].lower().endswith(name) for name in ours)
            },
            template=template,
        )


def test_each_finding_has_its_reason(deployed: Deployed) -> None:
    """In the one file that has them all."""
    left = {each for each in deployed.failed if not any(accepted.covers(*each) for accepted in OF_PROWLER)}
    tally.note("proof.judges", run=len(deployed.statuses), exist=len(deployed.statuses), violations=len(left))
    assert set() == left


def test_each_reason_has_its_finding(deployed: Deployed) -> None:
    """What is mended needs no excuse."""
    assert [] == [each for each in OF_PROWLER if not any(each.covers(*found) for found in deployed.failed)]


def test_what_the_local_aws_does_not_keep_is_in_the_template(deployed: Deployed) -> None:
    """And fails for that reason alone."""
    for check, (kind, name, value) in NOT_KEPT.items():
        assert {"FAIL"} == {status for (each, _), status in deployed.statuses.items() if each == check}, check
        [resource] = [each for each in deployed.template["Resources"].values() if each["Type"] == kind]
        assert value == resource["Properties"][name], check


def test_much_is_in_order(deployed: Deployed) -> None:
    """Otherwise it would have judged nothing."""
    passed = {check for (check, _), status in deployed.statuses.items() if status == "PASS"}
    assert {"dynamodb_table_deletion_protection_enabled", "s3_bucket_level_public_access_block"} <= passed
    assert len(passed) > 5
