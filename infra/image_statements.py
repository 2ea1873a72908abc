"""What the role `imdsv2-remediation-source` may do to AMIs: set `ImdsSupport` to `v2.0`, and nothing else."""

from __future__ import annotations

from aws_cdk import Aws, aws_iam

CHANGE_IMAGE = ["ec2:ModifyImageAttribute"]

# `ec2:Attribute` has the name of the attribute that a call sends, as with instances; who may launch from an AMI is
# sent as users, groups and organisations to add or remove, each under a key of its own (Service Authorization
# Reference, EC2, ModifyImageAttribute).
ATTRIBUTE_SENT = "ec2:Attribute"
SHARING_KEYS = ["ec2:Add/userId", "ec2:Add/group", "ec2:Remove/userId", "ec2:Remove/group"]


def image_statements() -> list[aws_iam.PolicyStatement]:
    """The account's own AMIs only. What else the operation can do is denied, not left out of the Allow: if EC2 does not send one of
    these keys, the service still works, with only its own checks."""
    images = [f"arn:{Aws.PARTITION}:ec2:*::image/*"]
    return [
        aws_iam.PolicyStatement(
            sid="RequireTokensOfImages",
            actions=CHANGE_IMAGE,
            resources=images,
            conditions={"StringEquals": {"ec2:Owner": Aws.ACCOUNT_ID}},
        ),
        aws_iam.PolicyStatement(
            sid="NeverAnotherAttribute",
            effect=aws_iam.Effect.DENY,
            actions=CHANGE_IMAGE,
            resources=images,
            conditions={"ForAnyValue:StringNotEquals": {ATTRIBUTE_SENT: ["ImdsSupport", "imdsSupport"]}},
        ),
        *(
            aws_iam.PolicyStatement(
                sid=f"NeverShare{number}",
                effect=aws_iam.Effect.DENY,
                actions=CHANGE_IMAGE,
                resources=images,
                conditions={"Null": {key: "false"}},
            )
            for number, key in enumerate(SHARING_KEYS, 1)
        ),
    ]
