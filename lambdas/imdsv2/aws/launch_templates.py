"""Reads launch templates and the versions that are of interest, in as few calls as EC2's pages allow."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_code
from imdsv2.aws.pages import listed, pages
from imdsv2.source.launching import DEFAULT, LATEST, Template, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import LaunchTemplateTypeDef, LaunchTemplateVersionTypeDef

PAGE = 200
"""Most templates, or versions, that a page of EC2's answer holds."""
_NO_SUCH = ("InvalidLaunchTemplateId", "InvalidLaunchTemplateName")


def read_templates(ec2: EC2Client) -> dict[str, Template]:
    """All launch templates of an account and Region, by id. They are listed, not asked for by id: one that was deleted, which
    instances go on naming, would fail the call for all. Raises ClientError or BotoCoreError."""
    return {
        each["LaunchTemplateId"]: _template(each)
        for page in pages(ec2.describe_launch_templates, MaxResults=PAGE)
        for each in listed(page, "LaunchTemplates")
    }


def templates_of(ec2: EC2Client, ids: Iterable[str]) -> dict[str, Template]:
    """These launch templates, by id; one that is gone is left out. Raises ClientError or BotoCoreError."""
    found: dict[str, Template] = {}
    for each in ids:
        try:
            for page in pages(ec2.describe_launch_templates, LaunchTemplateIds=[each]):
                found |= {shown["LaunchTemplateId"]: _template(shown) for shown in listed(page, "LaunchTemplates")}
        except ClientError as error:
            if not is_no_such_template(error):
                raise
    return found


def is_no_such_template(error: ClientError) -> bool:
    """Whether EC2 says that it does not know the launch template."""
    return error_code(error).startswith(_NO_SUCH)


def read_versions(
    ec2: EC2Client, templates: Mapping[str, Template], wanted: AbstractSet[tuple[str, int]]
) -> dict[tuple[str, int], Version]:
    """The wanted versions, by template and number; those that no longer exist are left out. Raises ClientError or BotoCoreError.

    EC2 lists the default and latest versions of all templates together, other versions for one template at a time. Whichever
    takes fewer calls is asked.
    """
    found: dict[tuple[str, int], Version] = {}
    if _listing_pays(templates, wanted):
        found = {(each.template, each.number): each for each in _pages(ec2, {"Versions": [DEFAULT, LATEST]})}
    numbers: dict[str, list[str]] = defaultdict(list)
    for template, number in sorted(wanted - found.keys()):
        if template in templates:
            numbers[template].append(str(number))
    for template, several in numbers.items():
        found |= {(each.template, each.number): each for each in _of_one(ec2, template, several)}
    return {key: version for key, version in found.items() if key in wanted}


def _listing_pays(templates: Mapping[str, Template], wanted: Iterable[tuple[str, int]]) -> bool:
    entries = sum(1 if each.default == each.latest else 2 for each in templates.values())
    wanted = [(template, number) for template, number in wanted if template in templates]
    one_by_one = {template for template, _ in wanted}
    left = {
        template
        for template, number in wanted
        if number not in {templates[template].default, templates[template].latest}
    }
    return math.ceil(entries / PAGE) + len(left) < len(one_by_one)


def _of_one(ec2: EC2Client, template: str, numbers: Sequence[str]) -> list[Version]:
    try:
        return list(_pages(ec2, {"LaunchTemplateId": template, "Versions": numbers}))
    except ClientError as error:
        if is_no_such_template(error):  # Deleted since it was listed.
            return []
        raise


def _pages(ec2: EC2Client, request: dict[str, Any]) -> Iterator[Version]:
    if "LaunchTemplateId" not in request:
        request = {**request, "MaxResults": PAGE}
    for page in pages(ec2.describe_launch_template_versions, **request):
        yield from map(_version, listed(page, "LaunchTemplateVersions"))


def _template(seen: LaunchTemplateTypeDef) -> Template:
    operator = seen.get("Operator", {})
    return Template(
        id=seen["LaunchTemplateId"],
        name=seen.get("LaunchTemplateName", ""),
        default=seen.get("DefaultVersionNumber", 1),
        latest=seen.get("LatestVersionNumber", 1),
        tags={tag["Key"]: tag["Value"] for tag in seen.get("Tags", [])},
        managed_by=operator.get("Principal", "another AWS service") if operator.get("Managed") else None,
    )


def _version(seen: LaunchTemplateVersionTypeDef) -> Version:
    data = seen.get("LaunchTemplateData", {})
    options = {name: value for name, value in data.get("MetadataOptions", {}).items() if name != "State"}
    return Version(
        template=seen["LaunchTemplateId"],
        number=seen["VersionNumber"],
        image=data.get("ImageId", ""),
        options=options,
    )
