"""Reads EC2 Fleets and Spot Fleet requests: which launch templates they launch from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_code
from imdsv2.aws.pages import listed, pages
from imdsv2.domain.batches import batched
from imdsv2.source.launching import DEFAULT, Fleet, Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

IDS_A_CALL = 100
_ID = re.compile(r"(?:fleet|sfr)-[0-9a-f-]+", re.ASCII)
_ATTEMPTS = 4
"""Asking again without the ids that EC2 does not know. Fleets of the type `instant` are forgotten soon; their instances stay."""


def read_fleets(ec2: EC2Client, ids: Iterable[str]) -> dict[str, Fleet]:
    """The EC2 Fleets of these ids; those that EC2 has forgotten are left out. Raises ClientError or BotoCoreError."""

    def ask(some: Sequence[str], **more: Any) -> Mapping[str, Any]:
        return ec2.describe_fleets(FleetIds=some, **more)

    return {each["FleetId"]: _fleet(each) for each in _known(ask, "Fleets", ids)}


def read_spot_fleets(ec2: EC2Client, ids: Iterable[str]) -> dict[str, Fleet]:
    """The Spot Fleet requests of these ids; those that EC2 has forgotten are left out. Raises ClientError or BotoCoreError."""

    def ask(some: Sequence[str], **more: Any) -> Mapping[str, Any]:
        return ec2.describe_spot_fleet_requests(SpotFleetRequestIds=some, **more)

    return {each["SpotFleetRequestId"]: _spot_fleet(each) for each in _known(ask, "SpotFleetRequestConfigs", ids)}


def _known(ask: Callable[..., Mapping[str, Any]], answer: str, ids: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for some in batched(sorted({*ids}), IDS_A_CALL):
        yield from _known_of(ask, answer, some)


def _known_of(ask: Callable[..., Mapping[str, Any]], answer: str, some: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Those that EC2 knows of a call's ids. It may name one unknown id at a time, or none: then each is asked for by itself, since
    what is only not named would be taken for forgotten."""
    for _ in range(_ATTEMPTS):
        try:
            for page in pages(ask, some=some) if some else ():
                yield from listed(page, answer)
        except ClientError as error:
            if not _is_unknown(error):
                raise
            unknown = {*_ID.findall(error.response["Error"].get("Message", ""))} & {*some}
            if not unknown:
                break
            some = [each for each in some if each not in unknown]
        else:
            return
    if len(some) > 1:
        for each in some:
            yield from _known_of(ask, answer, [each])


def _is_unknown(error: ClientError) -> bool:
    return "NotFound" in error_code(error) or "NonExist" in error_code(error)


def _fleet(seen: Mapping[str, Any]) -> Fleet:
    configs = tuple(seen.get("LaunchTemplateConfigs", []))
    return Fleet(
        id=seen["FleetId"],
        kind=seen.get("Type", "maintain"),
        refs=tuple(_refs(configs)),
        configs=configs,
        tags=_tags(seen),
    )


def _spot_fleet(seen: Mapping[str, Any]) -> Fleet:
    request = seen.get("SpotFleetRequestConfig", {})
    configs = tuple(request.get("LaunchTemplateConfigs", []))
    return Fleet(
        id=seen["SpotFleetRequestId"],
        kind=request.get("Type", "maintain"),
        refs=tuple(_refs(configs)),
        configs=configs,
        specifications=len(request.get("LaunchSpecifications", [])),
        tags=_tags(seen),
    )


def _refs(configs: Iterable[Mapping[str, Any]]) -> Iterator[Ref]:
    for config in configs:
        specification = config.get("LaunchTemplateSpecification", {})
        types = tuple(each["InstanceType"] for each in config.get("Overrides", []) if "InstanceType" in each)
        yield Ref(
            id=specification.get("LaunchTemplateId", ""),
            name=specification.get("LaunchTemplateName", ""),
            version=specification.get("Version") or DEFAULT,
            types=types,
        )


def _tags(seen: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in seen.get("Tags", [])}
