"""AMIs as EC2 describes them. IAM: ``ec2:DescribeImages`` for the read role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.pages import listed
from imdsv2.domain.batches import batched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef

IDS_A_CALL = 100


def described_images(ec2: EC2Client, ids: Iterable[str]) -> Iterator[ImageTypeDef]:
    """The AMIs of these ids that the account may see; others are left out. Raises ClientError or BotoCoreError.

    Asked for by a filter: an id that has been deregistered, as is usual for the AMIs of older instances, would fail a call
    that names ids.
    """
    for batch in batched(sorted({each for each in ids if each.startswith("ami-")}), IDS_A_CALL):
        shown = ec2.describe_images(
            Filters=[{"Name": "image-id", "Values": batch}], IncludeDeprecated=True, IncludeDisabled=True
        )
        yield from listed(shown, "Images")
