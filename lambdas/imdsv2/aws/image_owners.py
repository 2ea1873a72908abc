"""Whose AMIs instances run on. IAM: ``ec2:DescribeImages`` for the read role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.described_images import described_images
from imdsv2.aws.errors import CALL_FAILURES, describe_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Placed


class ImageOwners:
    """Knows which AMIs belong to others than the account that uses them; remembers it, because that never changes."""

    def __init__(self, clients: MemberClients, logger: Logger) -> None:
        self._clients = clients
        self._logger = logger
        self._foreign: dict[tuple[str, str, str], bool | None] = {}

    def foreign(self, place: Placed, images: Iterable[str]) -> set[str]:
        """Of some AMIs, those that EC2 shows as another account's. What it does not show (deregistered, or the call failed) may be
        the account's own."""
        wanted = set(images)
        unknown = sorted(image for image in wanted if (place.account, place.region, image) not in self._foreign)
        if unknown:
            try:
                self._ask(place, unknown)
            except CALL_FAILURES as error:
                problem = {"account": place.account, "region": place.region, "problem": describe_error(error)}
                self._logger.warning("owners of AMIs not read; instances of one AMI count as one cohort", extra=problem)
        return {image for image in wanted if self._foreign.get((place.account, place.region, image))}

    def is_known_own(self, place: Placed, image: str) -> bool:
        """Whether EC2 has shown the AMI as the account's own. Asked of what `foreign` was asked about before."""
        return self._foreign.get((place.account, place.region, image)) is False

    def _ask(self, place: Placed, images: list[str]) -> None:
        shown = described_images(self._clients.ec2(place, "read"), images)
        owners = {each["ImageId"]: each.get("OwnerId") for each in shown}
        for image in images:
            foreign = owners[image] != place.account if image in owners else None
            self._foreign[place.account, place.region, image] = foreign
