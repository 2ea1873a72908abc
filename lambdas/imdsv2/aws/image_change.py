"""Sets `ImdsSupport` of an AMI to `v2.0`: what is launched from it requires tokens unless the launch or the account says otherwise.
EC2 knows no way back on that AMI (EC2 User Guide, "Configure the AMI")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def require_imdsv2(ec2: EC2Client, image_id: str) -> None:
    """Set it for good. Setting it again changes nothing. Raises ClientError or BotoCoreError."""
    ec2.modify_image_attribute(ImageId=image_id, ImdsSupport={"Value": "v2.0"})


def may_require_imdsv2(ec2: EC2Client, image_id: str) -> bool:
    """Whether EC2 would let the role do so. Raises ClientError, if EC2 refuses for another reason, or BotoCoreError."""
    try:
        ec2.modify_image_attribute(ImageId=image_id, ImdsSupport={"Value": "v2.0"}, DryRun=True)
    except ClientError as error:
        if error_code(error) in {"DryRunOperation", "UnauthorizedOperation"}:
            return error_code(error) == "DryRunOperation"
        raise
    return False
