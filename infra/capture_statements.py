"""What the role that has instances watched may do in an account: run the installation's own document, and read what it printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, aws_iam

if TYPE_CHECKING:
    from infra.names import Names


def capture_statements(names: Names) -> list[aws_iam.PolicyStatement]:
    """SendCommand is allowed only where both the document and the instance are. Of GetCommandInvocation IAM knows no resources; it shows
    what any command printed, and the service asks for those that it has sent."""
    place = f"*:{Aws.ACCOUNT_ID}"
    return [
        aws_iam.PolicyStatement(
            sid="WatchInstances",
            actions=["ssm:SendCommand"],
            resources=[
                f"arn:{Aws.PARTITION}:ssm:{place}:document/{names.capture_document}",
                f"arn:{Aws.PARTITION}:ec2:{place}:instance/*",
            ],
        ),
        aws_iam.PolicyStatement(sid="ReadWhatWasSeen", actions=["ssm:GetCommandInvocation"], resources=["*"]),
    ]
