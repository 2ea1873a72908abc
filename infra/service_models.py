"""Every AWS operation that the functions call. The asset ships botocore's models of these, and tests expect IAM to
allow them."""

from __future__ import annotations

OPERATIONS: dict[str, frozenset[str]] = {
    "cloudwatch": frozenset({"GetMetricData", "ListMetrics"}),
    "dynamodb": frozenset({"BatchGetItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"}),
    "ec2": frozenset(
        {"CreateTags", "DeleteTags", "DescribeInstances", "DescribeRegions", "ModifyInstanceMetadataOptions"}
    ),
    "organizations": frozenset({"ListAccounts"}),
    "s3": frozenset({"GetObject", "PutObject"}),
    "securityhub": frozenset(
        {
            "BatchUpdateFindings",
            "BatchUpdateFindingsV2",
            "CreateActionTarget",
            "DeleteActionTarget",
            "GetFindings",
            "GetFindingsV2",
            "UpdateActionTarget",
        }
    ),
    "sns": frozenset({"Publish"}),
    "sqs": frozenset({"SendMessage"}),
    "ssm": frozenset({"GetCalendarState", "GetParameter"}),
    "sts": frozenset({"AssumeRole"}),
}
"""botocore's name of the service to botocore's names of the operations."""
