"""Launch templates: ministack's, with client tokens, the range of versions, tags that are set later, and launches from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from local.server import platform as ms
from local.server.ec2.wire import answer, one

if TYPE_CHECKING:
    from local.server.platform import Ec2Action, Params, Record, Response

_SET: Final = re.compile(r"<launchTemplateVersionSet>(.*)</launchTemplateVersionSet>", re.DOTALL)

_make: Ec2Action = ms.EC2_ACTIONS["CreateLaunchTemplateVersion"]
_describe: Ec2Action = ms.EC2_ACTIONS["DescribeLaunchTemplates"]
_describe_versions: Ec2Action = ms.EC2_ACTIONS["DescribeLaunchTemplateVersions"]

_TAKEN: Final = ("ImageId", "InstanceType")

_made: dict[tuple[str, str], Response] = {}
"""By account and client token, the answer to whoever asked first."""


def install() -> None:
    """Replace ministack's actions."""
    ms.EC2_ACTIONS["CreateLaunchTemplateVersion"] = create_version
    ms.EC2_ACTIONS["DescribeLaunchTemplates"] = describe
    ms.EC2_ACTIONS["DescribeLaunchTemplateVersions"] = describe_versions


def create_version(params: Params) -> Response:
    """Make a version; with a client token that was used before, answer that version."""
    token = one(params, "ClientToken")
    if token is None:
        return _make(params)
    key = (ms.account_id(), token)
    if key not in _made:
        made = _make(params)
        if made[0] != 200:
            return made
        _made[key] = made
    return _made[key]


def describe(params: Params) -> Response:
    """The templates, with the tags that they have now."""
    for template in ms.LAUNCH_TEMPLATES.values():
        template["Tags"] = ms.EC2_TAGS.get(template["LaunchTemplateId"], template.get("Tags", []))
    return _describe(params)


def describe_versions(params: Params) -> Response:
    """The versions of a template by number, or from one on; without a template, the default and latest versions of all."""
    if one(params, "LaunchTemplateId") is None and one(params, "LaunchTemplateName") is None:
        return _of_all(params)
    template = ms.LAUNCH_TEMPLATES.get(one(params, "LaunchTemplateId") or "")
    first = one(params, "MinVersion")
    if template is None or first is None:
        return _describe_versions(params)
    wanted = [each["VersionNumber"] for each in template["Versions"] if each["VersionNumber"] >= int(first)]
    asked = {f"LaunchTemplateVersion.{number}": [str(each)] for number, each in enumerate(wanted, 1)}
    return _describe_versions({**params, **asked})


def _of_all(params: Params) -> Response:
    """One answer out of those for each template."""
    found = [
        inner[1]
        for each in ms.LAUNCH_TEMPLATES
        if (inner := _SET.search(_describe_versions({**params, "LaunchTemplateId": [each]})[2].decode()))
    ]
    return answer(
        "DescribeLaunchTemplateVersions", f"<launchTemplateVersionSet>{''.join(found)}</launchTemplateVersionSet>"
    )


def with_template(params: Params) -> Params:
    """A launch, with what its launch template says where the launch itself does not. One whose template is unknown is left as it is."""
    try:
        _, version = _named(params)
    except (KeyError, ValueError):
        return params
    data = version.get("LaunchTemplateData", {})
    told = {name: data[name] for name in _TAKEN if name in data}
    told |= {f"MetadataOptions.{name}": value for name, value in data.get("MetadataOptions", {}).items()}
    return {**{name: [str(value)] for name, value in told.items()}, **params}


def source_tags(params: Params) -> list[dict[str, str]]:
    """The tags by which EC2 says which template and version an instance was launched from, if any."""
    try:
        template, version = _named(params)
    except (KeyError, ValueError):
        return []
    told = {"id": template["LaunchTemplateId"], "version": str(version["VersionNumber"])}
    return [{"Key": f"aws:ec2launchtemplate:{key}", "Value": value} for key, value in told.items()]


def _named(params: Params) -> tuple[Record, Record]:
    """The template and version that a launch names. Raises KeyError or ValueError."""
    template_id, name = (one(params, f"LaunchTemplate.LaunchTemplate{each}") or "" for each in ("Id", "Name"))
    return version_of(template_id, name, one(params, "LaunchTemplate.Version") or "$Default")


def version_of(template_id: str, name: str, version: str) -> tuple[Record, Record]:
    """A template, by id or name, and the version that is meant now. Raises KeyError if either does not exist."""
    by_name = (each for each in ms.LAUNCH_TEMPLATES.values() if each["LaunchTemplateName"] == name)
    template = ms.LAUNCH_TEMPLATES.get(template_id) or next(by_name, None)
    if template is None:
        raise KeyError(template_id or name)
    named = {"$Default": template["DefaultVersionNumber"], "$Latest": template["LatestVersionNumber"]}
    number = named.get(version) or int(version)
    found = next((each for each in template["Versions"] if each["VersionNumber"] == number), None)
    if found is None:
        raise KeyError(version)
    return template, found
