"""AWS's Regions, so that a mistyped one is refused with the one that was probably meant: nobody notices that what it named
stays in, or is left out."""

from __future__ import annotations

import re

from imdsv2.domain.instance import partition_of

_NUMBERS = {
    "af-south": "1",
    "ap-east": "12",
    "ap-northeast": "123",
    "ap-south": "12",
    "ap-southeast": "1234567",
    "ca-central": "1",
    "ca-west": "1",
    "cn-north": "1",
    "cn-northwest": "1",
    "eu-central": "12",
    "eu-isoe-west": "1",
    "eu-north": "1",
    "eu-south": "12",
    "eu-west": "123",
    "eusc-de-east": "1",
    "il-central": "1",
    "me-central": "1",
    "me-south": "1",
    "me-west": "1",
    "mx-central": "1",
    "sa-east": "1",
    "sa-west": "1",
    "us-east": "12",
    "us-gov-east": "1",
    "us-gov-west": "1",
    "us-iso-east": "1",
    "us-iso-west": "1",
    "us-isob-east": "1",
    "us-isob-west": "1",
    "us-isof-east": "1",
    "us-isof-south": "1",
    "us-west": "12",
}
REGIONS = frozenset(f"{place}-{number}" for place, numbers in _NUMBERS.items() for number in numbers)
"""The Regions of all partitions that the SDK of this version knows; a test compares them."""


LIKE_A_REGION = re.compile(r"[\w-]{1,40}", re.ASCII)
"""The form of a name that is looked up here: wide enough for typing errors, so that the likely one is told."""


def unknown_region(given: str) -> str | None:
    """What is wrong with the name of a Region, with the likely one; None if it is one."""
    if given in REGIONS:
        return None
    from difflib import get_close_matches

    likely = get_close_matches(given.lower(), sorted(REGIONS), n=1)
    meant = f"; did you mean {likely[0]}?" if likely else ""
    return f"{given[:40]} is no Region that this version knows{meant}"


def wrong_partition(partition: str, region: str) -> str | None:
    """What is wrong with an ARN whose partition is not that of its Region; None if nothing is, or this version does not know the Region.
    It names nothing that exists, and beside the true ARN it would be another instance to the ledger."""
    right = partition_of(region)
    return (
        f"{region} is in the partition {right}, not in {partition}"
        if region in REGIONS and partition != right
        else None
    )
