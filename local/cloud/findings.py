"""Events that name an instance, in every shape in which AWS sends them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

CONTROL: Final = "EC2.8"
TITLE: Final = "EC2 instances should use Instance Metadata Service Version 2 (IMDSv2)"
CONSOLIDATED: Final = "security-control/EC2.8"
FOUNDATIONAL: Final = "aws-foundational-security-best-practices/v/1.0.0/EC2.8"
CIS: Final = "cis-aws-foundations-benchmark/v/3.0.0/5.6"
CONFIG_RULE: Final = "securityhub-ec2-imdsv2-check-1f2e3d4c"


def instance_arn(account: str, region: str, instance_id: str) -> str:
    """The ARN of an instance."""
    return f"arn:aws:ec2:{region}:{account}:instance/{instance_id}"


def finding(arn: str, *, generator: str = CONSOLIDATED) -> dict[str, Any]:
    """A failed finding of Security Hub's own, in the format that BatchImportFindings takes."""
    _, _, _, region, account, _ = arn.split(":", 5)
    now = _now()
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"arn:aws:securityhub:{region}:{account}:{generator}/finding/{uuid.uuid4()}",
        "ProductArn": f"arn:aws:securityhub:{region}::product/aws/securityhub",
        "GeneratorId": generator,
        "AwsAccountId": account,
        "Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
        "CreatedAt": now,
        "UpdatedAt": now,
        "Severity": {"Label": "HIGH"},
        "Title": TITLE,
        "Description": "The control fails if HttpTokens is optional.",
        "Resources": [{"Type": "AwsEc2Instance", "Id": arn, "Partition": "aws", "Region": region}],
        "Compliance": {"Status": "FAILED", "SecurityControlId": CONTROL},
        "Workflow": {"Status": "NEW"},
        "RecordState": "ACTIVE",
    }


def finding_v2(arn: str) -> dict[str, Any]:
    """A failed finding of the newer Security Hub (OCSF, class 2003)."""
    _, _, _, region, account, resource = arn.split(":", 5)
    return {
        "activity_id": 1,
        "class_uid": 2003,
        "type_uid": 200301,
        "status_id": 1,
        "status": "New",
        "severity_id": 4,
        "metadata": {
            "uid": uuid.uuid4().hex * 2,
            "product": {
                "uid": f"arn:aws:securityhub:{region}::productv2/aws/securityhub",
                "name": "Security Hub",
                "vendor_name": "AWS",
            },
            "version": "1.8.0",
        },
        "cloud": {"account": {"uid": account}, "provider": "AWS", "region": region},
        "finding_info": {
            "uid": f"arn:aws:securityhub:{region}:{account}:security-control/EC2.8/finding/{uuid.uuid4()}",
            "title": TITLE,
            "created_time_dt": _now(),
            "modified_time_dt": _now(),
        },
        "resources": [
            {
                "type": "AWS::EC2::Instance",
                "uid": resource.rpartition("/")[2],
                "uid_alt": arn,
                "cloud_partition": "aws",
                "region": region,
                "owner": {"account": {"uid": account}},
            }
        ],
        "compliance": {"control": CONTROL, "status": "Fail", "status_id": 3},
    }


def config_change(arn: str) -> dict[str, Any]:
    """The `detail` of a Config event about an instance that does not comply."""
    _, _, _, region, account, resource = arn.split(":", 5)
    instance_id = resource.rpartition("/")[2]
    qualifier = {"configRuleName": CONFIG_RULE, "resourceType": "AWS::EC2::Instance", "resourceId": instance_id}
    return {
        "resourceId": instance_id,
        "resourceType": "AWS::EC2::Instance",
        "awsRegion": region,
        "awsAccountId": account,
        "configRuleName": CONFIG_RULE,
        "messageType": "ComplianceChangeNotification",
        "recordVersion": "1.0",
        "newEvaluationResult": {
            "complianceType": "NON_COMPLIANT",
            "evaluationResultIdentifier": {"evaluationResultQualifier": qualifier, "orderingTimestamp": _now()},
            "resultRecordedTime": _now(),
        },
        "notificationCreationTime": _now(),
    }


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
