"""EC2 tags: in batches, all or none, at most 50 a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.server import platform as ms
from local.server.ec2.records import found, tags_of
from local.server.ec2.wire import Ec2Error, answer, many, refuse_dry_run, tags

if TYPE_CHECKING:
    from local.server.platform import Params, Response

MOST_RESOURCES: Final = 1000
MOST_TAGS: Final = 50
RESERVED: Final = "aws:"


def install() -> None:
    """Put these actions in the place of ministack's."""
    ms.EC2_ACTIONS["CreateTags"] = create_tags
    ms.EC2_ACTIONS["DeleteTags"] = delete_tags


def create_tags(params: Params) -> Response:
    """Set tags on up to 1,000 resources; if one refuses, none is changed."""
    refuse_dry_run(params)
    resources, new = _resources(params), {key: value or "" for key, value in tags(params).items()}
    _refuse_reserved(new)
    after = {resource: tags_of(resource) | new for resource in resources}
    for resource, kept in after.items():
        if sum(not key.startswith(RESERVED) for key in kept) > MOST_TAGS:
            raise Ec2Error("TagLimitExceeded", f"You have reached the maximum number of tags for resource {resource}.")
    for resource, kept in after.items():
        ms.EC2_TAGS[resource] = [{"Key": key, "Value": value} for key, value in kept.items()]
    return answer("CreateTags", "<return>true</return>")


def delete_tags(params: Params) -> Response:
    """Remove tags by key, or only where the value is the one sent."""
    refuse_dry_run(params)
    resources, gone = _resources(params), tags(params)
    _refuse_reserved(gone)
    for resource in resources:
        kept = {
            key: value for key, value in tags_of(resource).items() if not (key in gone and gone[key] in {None, value})
        }
        ms.EC2_TAGS[resource] = [{"Key": key, "Value": value} for key, value in kept.items()]
    return answer("DeleteTags", "<return>true</return>")


def _resources(params: Params) -> list[str]:
    resources = many(params, "ResourceId")
    if len(resources) > MOST_RESOURCES:
        raise Ec2Error("InvalidParameterValue", f"At most {MOST_RESOURCES} resources may be tagged in one request.")
    found(resource for resource in resources if resource.startswith("i-"))
    return resources


def _refuse_reserved(keys: dict[str, str] | dict[str, str | None]) -> None:
    if any(key.lower().startswith(RESERVED) for key in keys):
        raise Ec2Error("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
