"""What the role `imdsv2-remediation-source` may do to AMIs: set `ImdsSupport` to `v2.0`, and nothing else."""

from __future__ import annotations

from aws_cdk import Aws, aws_iam

CHANGE_IMAGE = ["ec2:ModifyImageAttribute"]

# The name of the attribute that a call sends, as with instances.
ATTRIBUTE_SENT = "ec2:Attribute"


def image_statements() -> list[aws_iam.PolicyStatement]:
    """The account's own AMIs only. Another attribute, such as who may launch from it, is denied, not left out of the Allow: if
    EC2 does not send the key, the service still works, with only its own checks."""
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
    ]
