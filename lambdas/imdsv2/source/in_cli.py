"""Remedies as commands of the AWS CLI, for sources that nobody manages in another way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2.source.launches import TemplateLaunch
from imdsv2.source.launching import DEFAULT, LATEST
from imdsv2.source.quoting import compact, shell, shell_json
from imdsv2.source.remedy import Language, Remedy, hops_of, options_to_launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import Launch
    from imdsv2.source.launching import Configuration, Group

_SUFFIX = "-imdsv2"
_LONGEST_NAME = 255
_KEPT = "Running instances keep their options."


def command(service: str, operation: str, region: str, *words: str) -> str:
    """One command of the AWS CLI; the words are quoted already."""
    return " ".join(["aws", service, operation, "--region", shell(region), *words])


def option(name: str, value: str) -> str:
    """An option with its value. The CLI would take a value that begins with a dash for another option."""
    return f"--{name}{'=' if value.startswith('-') else ' '}{shell(value)}"


def of_templates(source: Source, launches: Sequence[TemplateLaunch]) -> Remedy:
    """The commands that make these launches from templates require tokens; the source's others stay as they are."""
    variables = _variables(launches)
    of_known = [each for each in source.launches if isinstance(each, TemplateLaunch) and not each.past]
    using = [each for each in of_known if _key(each) in variables]
    lines = [new_version(source, each, variables[_key(each)]) for each in launches]
    defaults = {_key(each): each for each in using if each.ref.version == DEFAULT}
    lines += [_make_default(source, each, variables[key]) for key, each in defaults.items()]
    pinned = any(each.ref.is_pinned for each in using)
    pointed = _point(source, variables) if pinned else None
    lines += [pointed] if pointed else []
    says = [
        "Makes a version of the launch template that differs in its metadata options only",
        *(["makes it the default, which everybody who launches from the default gets"] if defaults else []),
        *(["points the source to it"] if pointed else []),
    ]
    also = [behind(each) for each in launches if behind(each)]
    if any(each.ref.version == LATEST for each in using):
        also.append("Whoever launches from $Latest gets it at once.")
    if pinned and pointed is None:
        also.append("Whoever names the older version has to name the new one.")
    also.append(_way_back(using, has_pointer=pointed is not None))
    also += [_KEPT, *dict.fromkeys(hops_of(source, each.version.options).choice for each in launches)]
    return Remedy(language=Language.CLI, text=" &&\n".join(lines), says=f"{', and '.join(says)}. {' '.join(also)}")


def _way_back(using: Sequence[TemplateLaunch], *, has_pointer: bool) -> str:
    """How a person undoes it, by how the source names each version."""
    back = [
        f"make version {each.version.number} the default of {each.template.name} again"
        if each.ref.version == DEFAULT
        else f"make another version from {each.version.number} with HttpTokens=optional, which is the latest then"
        if each.ref.version == LATEST
        else f"point {'the source' if has_pointer else 'whoever names the new one'} to version {each.version.number} again"
        for each in using
    ]
    return f"To go back: {'; '.join(dict.fromkeys(back))}."


def behind(launch: TemplateLaunch) -> str:
    """A warning where the new version, which becomes the latest one, is not made from the present latest."""
    template, version = launch.template, launch.version
    if version.number == template.latest:
        return ""
    return (
        f"Careful: version {template.latest} of {template.name} is newer than {version.number}, from which the new version is made; "
        "whoever launches from $Latest would get the new one."
    )


def _key(launch: Launch) -> tuple[str, int]:
    return (launch.version.template, launch.version.number) if launch.version else ("", 0)


def _variables(launches: Sequence[Launch]) -> dict[tuple[str, int], str]:
    several = len(launches) > 1
    return {_key(each): f"version_{number}" if several else "version" for number, each in enumerate(launches, 1)}


def new_version(source: Source, launch: TemplateLaunch, variable: str) -> str:
    """The line that makes a version with tokens required, and keeps its number in a variable of the shell."""
    options = options_to_launch(launch.version.options, hops_of(source, launch.version.options))
    made = command(
        "ec2",
        "create-launch-template-version",
        source.place.region,
        option("launch-template-id", launch.version.template),
        f"--source-version {launch.version.number}",
        "--version-description 'IMDSv2 required'",
        "--launch-template-data",
        shell_json({"MetadataOptions": options}),
        "--query LaunchTemplateVersion.VersionNumber --output text",
    )
    return f"{variable}=$({made})"


def _make_default(source: Source, launch: TemplateLaunch, variable: str) -> str:
    return command(
        "ec2",
        "modify-launch-template",
        source.place.region,
        option("launch-template-id", launch.template.id),
        f'--default-version "${variable}"',
    )


def _point(source: Source, variables: Mapping[tuple[str, int], str]) -> str | None:
    """The command that points a group or fleet to the new versions of the templates that it pins; None if nothing can be."""
    region = source.place.region
    if source.group is not None and source.group.policy is not None:
        policy = _repointed(_whole(source.group.policy), source, variables)
        name = option("auto-scaling-group-name", source.group.name)
        return command("autoscaling", "update-auto-scaling-group", region, name, "--mixed-instances-policy", policy)
    if source.group is not None:
        ref = source.group.refs[0]
        named = {"LaunchTemplateId": ref.id, "LaunchTemplateName": ref.name, "Version": ref.version}
        word = _repointed(
            {"LaunchTemplateSpecification": named}, source, variables, inside="LaunchTemplateSpecification"
        )
        name = option("auto-scaling-group-name", source.group.name)
        return command("autoscaling", "update-auto-scaling-group", region, name, "--launch-template", word)
    if source.fleet is None or source.fleet.kind != "maintain":
        return None
    configs = _repointed(list(source.fleet.configs), source, variables)
    if source.fleet.id.startswith("sfr-"):
        whom = option("spot-fleet-request-id", source.fleet.id)
        return command("ec2", "modify-spot-fleet-request", region, whom, "--launch-template-configs", configs)
    whom = option("fleet-id", source.fleet.id)
    return command("ec2", "modify-fleet", region, whom, "--launch-template-configs", configs)


def _whole(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A mixed instances policy as it may be sent: what is left out could take its default. Pools belong to one strategy alone."""
    whole = {name: policy[name] for name in ("LaunchTemplate", "InstancesDistribution") if name in policy}
    distribution = dict(whole.get("InstancesDistribution", {}))
    if distribution.get("SpotAllocationStrategy") != "lowest-price":
        distribution.pop("SpotInstancePools", None)
    return {**whole, "InstancesDistribution": distribution} if distribution else whole


def _repointed(
    document: Any, source: Source, variables: Mapping[tuple[str, int], str], *, inside: str | None = None
) -> str:
    """A document of the API as a word of the shell, with the pinned versions replaced by the shell's variables."""

    def repoint(value: Any) -> Any:
        if isinstance(value, list):
            return [repoint(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: _pointed(each, source.launches, variables) if name == "LaunchTemplateSpecification" else repoint(each)
            for name, each in value.items()
        }

    repointed = repoint(json.loads(compact(document)))
    word = shell_json(repointed[inside] if inside else repointed)
    for variable in variables.values():
        word = word.replace(f"<{variable}>", f"'\"${variable}\"'")
    return word


def _pointed(
    named: Mapping[str, str], launches: Iterable[Launch], variables: Mapping[tuple[str, int], str]
) -> dict[str, str]:
    """A specification by id alone, because AWS refuses an id and a name beside each other."""
    version = named.get("Version") or DEFAULT
    for each in launches:
        ref = each.ref
        if ref is None or each.template is None or ref.version != version or each.past:
            continue
        if named.get("LaunchTemplateId") == each.template.id or named.get("LaunchTemplateName") == each.template.name:
            variable = variables.get(_key(each)) if ref.is_pinned else None
            return {"LaunchTemplateId": each.template.id, "Version": f"<{variable}>" if variable else version}
    by = "LaunchTemplateId" if named.get("LaunchTemplateId") else "LaunchTemplateName"
    return {by: named.get(by, ""), "Version": version}


def of_configuration(source: Source, group: Group, configuration: Configuration) -> Remedy:
    """Another launch configuration, because one cannot be changed. Its user data go from AWS to AWS: they may hold secrets."""
    region, name = source.place.region, configuration.name[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX
    hops = hops_of(source, configuration.options)
    settings = {
        "LaunchConfigurationName": name,
        **configuration.settings,
        "MetadataOptions": options_to_launch(configuration.options, hops),
    }
    lines = []
    if configuration.has_user_data:
        read = command(
            "autoscaling",
            "describe-launch-configurations",
            region,
            option("launch-configuration-names", configuration.name),
            "--query 'LaunchConfigurations[0].UserData' --output text",
        )
        lines.append(f"{read} | base64 --decode > user-data.bin")
    user_data = ["--user-data fileb://user-data.bin"] if configuration.has_user_data else []
    lines.append(
        command(
            "autoscaling", "create-launch-configuration", region, "--cli-input-json", shell_json(settings), *user_data
        )
    )
    lines.append(
        command(
            "autoscaling",
            "update-auto-scaling-group",
            region,
            option("auto-scaling-group-name", group.name),
            option("launch-configuration-name", name),
        )
    )
    lines += ["rm user-data.bin"] if configuration.has_user_data else []
    says = (
        "Makes a launch configuration like the present one that requires tokens, and points the group to it. Other groups that use "
        "the present one are not changed: for these, the last command alone is enough, with their names. AWS takes no new launch configurations from newer accounts: there, move the group to a "
        f"launch template. {_KEPT} {hops.choice}"
    )
    return Remedy(language=Language.CLI, text=" &&\n".join(lines), says=says)
