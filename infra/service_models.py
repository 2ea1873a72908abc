"""Every AWS operation that the functions call. The asset ships botocore's models of these, and tests expect IAM to
allow them."""

from __future__ import annotations

OPERATIONS: dict[str, frozenset[str]] = {
    "autoscaling": frozenset(
        {
            "DescribeAutoScalingGroups",
            "DescribeLaunchConfigurations",
            "DescribeScalingActivities",
            "UpdateAutoScalingGroup",
        }
    ),
    "batch": frozenset({"DescribeComputeEnvironments"}),
    "cloudtrail": frozenset({"LookupEvents"}),
    "cloudwatch": frozenset({"GetMetricData", "ListMetrics"}),
    "config": frozenset({"DescribeConfigurationRecorderStatus", "DescribeConfigurationRecorders"}),
    "dynamodb": frozenset({"BatchGetItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"}),
    "ec2": frozenset(
        {
            "CreateTags",
            "DeleteTags",
            "DescribeImages",
            "DescribeInstances",
            "DescribeRegions",
            "ModifyInstanceMetadataOptions",
        }
    ),
    "eks": frozenset({"DescribeNodegroup"}),
    "events": frozenset({"PutEvents"}),
    "iam": frozenset({"ListRoleTags"}),
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
            "ListAggregatorsV2",
            "ListFindingAggregators",
            "UpdateActionTarget",
        }
    ),
    "sns": frozenset({"Publish"}),
    "sqs": frozenset({"SendMessage"}),
    "ssm": frozenset(
        {
            "GetCalendarState",
            "GetCommandInvocation",
            "GetParameter",
            "GetParameterHistory",
            "ListInventoryEntries",
            "PutParameter",
            "SendCommand",
        }
    ),
    "sts": frozenset({"AssumeRole"}),
}
"""botocore's name of the service to botocore's names of the operations."""

SOURCE_OPERATIONS: dict[str, frozenset[str]] = {
    "ec2": frozenset(
        {
            "CreateLaunchTemplateVersion",
            "CreateTags",
            "DescribeFleets",
            "DescribeImages",
            "DescribeInstances",
            "DescribeLaunchTemplateVersions",
            "DescribeLaunchTemplates",
            "DescribeSpotFleetRequests",
            "GetInstanceMetadataDefaults",
            "ModifyImageAttribute",
            "ModifyInstanceMetadataDefaults",
            "ModifyLaunchTemplate",
        }
    ),
}
"""Every operation of EC2 that looks at what launches instances, and changes it. Its model is shipped apart: launch templates are most of it,
and the functions that judge instances must not read it at each start."""

SELFTEST_OPERATIONS: dict[str, frozenset[str]] = {
    "cloudformation": frozenset({"ListStackInstances"}),
    "cloudtrail": frozenset({"LookupEvents"}),
    "cloudwatch": frozenset({"GetMetricData", "ListMetrics"}),
    "config": frozenset(
        {"DescribeConfigRules", "DescribeConfigurationRecorderStatus", "DescribeConfigurationRecorders"}
    ),
    "dynamodb": frozenset({"Query"}),
    "ec2": frozenset(
        {
            "DescribeInstances",
            "GetConsoleOutput",
            "ModifyInstanceMetadataOptions",
            "RebootInstances",
            "RunInstances",
            "StartInstances",
            "StopInstances",
            "TerminateInstances",
        }
    ),
    "lambda": frozenset({"Invoke"}),
    "s3": frozenset({"GetObject", "PutObject"}),
    "securityhub": frozenset({"DescribeHub", "DescribeSecurityHubV2", "GetFindingsV2"}),
    "ssm": frozenset({"GetParameter", "PutParameter"}),
    "sts": frozenset({"AssumeRole"}),
}
"""Every AWS operation that the self-test calls. Its models are shipped apart: the other functions must not read RunInstances at each
start."""

NOT_READ: dict[str, dict[str, frozenset[str]]] = {"securityhub": {"Resource": frozenset({"Details"})}}
"""Members of answers that no function reads: service, shape, members. A finding's details of a resource of any type are two thirds of
Security Hub's model."""

READ: dict[str, dict[str, frozenset[str]]] = {
    "ec2": {
        "Reservation": frozenset({"Instances"}),
        "Instance": frozenset(
            {
                "HibernationOptions",
                "IamInstanceProfile",
                "ImageId",
                "InstanceId",
                "InstanceLifecycle",
                "LaunchTime",
                "MetadataOptions",
                "NetworkInterfaces",
                "Operator",
                "RootDeviceType",
                "State",
                "StateTransitionReason",
                "Tags",
            }
        ),
        "InstanceNetworkInterface": frozenset({"Attachment"}),
        "InstanceNetworkInterfaceAttachment": frozenset({"AttachTime", "DeviceIndex", "NetworkCardIndex"}),
    }
}
"""The only members that functions read of what EC2 says of each instance: service, shape, members. A sweep reads these answers up to
four times for every instance, and botocore takes the longer, the more members a shape has."""
