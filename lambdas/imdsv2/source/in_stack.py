"""Remedies for what CloudFormation manages: in its own YAML, and in the CDK (Python, TypeScript), by the logical id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.source.in_cli import command, option
from imdsv2.source.launching import DEFAULT, LATEST
from imdsv2.source.owner import CLOUDFORMATION, Owner, owner_of
from imdsv2.source.quoting import remark, typescript, yaml
from imdsv2.source.remedy import Language, Remedy, hops_of, options_to_launch, shown_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import TemplateLaunch
    from imdsv2.source.launching import Configuration

_ROLLS = (
    "If the stack's group has an UpdatePolicy (AutoScalingRollingUpdate or AutoScalingReplacingUpdate), CloudFormation replaces "
    "its running instances with this change; so it does with a single instance that names the template's latest version."
)
_STAYS = "CloudFormation changes the options of the running instance in place."
_NO_L2 = "Do not set the CDK's require_imdsv2 (requireImdsv2) on a single Instance: that replaces it."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    """A resource of a stack, with the property below which its metadata options are."""

    stack: str
    logical_id: str
    type: str
    path: tuple[str, ...]
    options: Mapping[str, Any]
    says: str
    replaces: str | None


def of_template(source: Source, launch: TemplateLaunch, owner: Owner) -> list[Remedy]:
    """The remedies for a launch template in a stack."""
    options = launch.version.options
    hops = hops_of(source, options)
    latest = f"!GetAtt {owner.logical_id}.LatestVersionNumber"
    follows = {
        DEFAULT: f" CloudFormation never moves the default, which this source follows: name {latest} in place of the default, or after the "
        f"deployment send: {_moved_default(source, launch)}",
        LATEST: "",
    }.get(launch.ref.version, f" Where a version is named, name {latest}.")
    says = f"The stack makes a version of the launch template that requires tokens.{follows} {hops.choice}"
    path = ("LaunchTemplateData",)
    return _rendered(owner, "AWS::EC2::LaunchTemplate", path, options_to_launch(options, hops), says, _ROLLS)


def _moved_default(source: Source, launch: TemplateLaunch) -> str:
    """The command that makes the latest version the default; EC2 takes its number alone."""
    region, whom = source.place.region, option("launch-template-id", launch.template.id)
    number = "--query 'LaunchTemplates[0].LatestVersionNumber' --output text"
    latest = command(
        "ec2", "describe-launch-templates", region, option("launch-template-ids", launch.template.id), number
    )
    return command("ec2", "modify-launch-template", region, whom, f'--default-version "$({latest})"') + "."


def of_configuration(source: Source, configuration: Configuration) -> list[Remedy]:
    """The remedies for a group's launch configuration in the group's stack; none if its name does not tell the logical id."""
    owner = _of_configuration(source)
    if owner is None:
        return []
    hops = hops_of(source, configuration.options)
    options = options_to_launch(configuration.options, hops)
    says = f"CloudFormation makes another launch configuration in place of this one. {hops.choice}"
    return _rendered(owner, "AWS::AutoScaling::LaunchConfiguration", (), options, says, _ROLLS)


def of_instance(source: Source) -> list[Remedy]:
    """The remedies for a single instance in a stack. Its own options are changed even where it has a launch template: naming another
    version of that would replace it."""
    options = shown_options(source)
    hops = hops_of(source, options)
    owner = Owner(manager=CLOUDFORMATION, stack=source.origin.within, logical_id=source.origin.name)
    says = f"{_STAYS} {_NO_L2} {hops.choice}"
    return _rendered(owner, "AWS::EC2::Instance", (), options_to_launch(options, hops), says, None)


def _of_configuration(source: Source) -> Owner | None:
    """The owner of a launch configuration, which has no tags: CloudFormation names it after the stack and the logical id."""
    owner = owner_of(source.group.tags) if source.group else None
    name = source.configuration.name if source.configuration else ""
    if owner is None or owner.manager != CLOUDFORMATION or not name.startswith(f"{owner.stack}-"):
        return None
    logical_id, _, suffix = name.removeprefix(f"{owner.stack}-").rpartition("-")
    return Owner(manager=CLOUDFORMATION, stack=owner.stack, logical_id=logical_id) if logical_id and suffix else None


def _rendered(
    owner: Owner, type_: str, path: tuple[str, ...], options: Mapping[str, Any], says: str, replaces: str | None
) -> list[Remedy]:
    resource = _Resource(
        stack=owner.stack,
        logical_id=owner.logical_id,
        type=type_,
        path=path,
        options=options,
        says=says,
        replaces=replaces,
    )
    return [render(resource) for render in (_in_yaml, _in_cdk_python, _in_cdk_typescript)]


def _in_yaml(resource: _Resource) -> Remedy:
    lines = [
        f"# Stack {remark(resource.stack)}: merge this into the resource {remark(resource.logical_id)}.",
        "Resources:",
        f"  {yaml(resource.logical_id)}:",
        f"    Type: {resource.type}",
        "    Properties:",
    ]
    names = [*resource.path, "MetadataOptions"]
    lines += [f"{'  ' * (3 + depth)}{name}:" for depth, name in enumerate(names)]
    indent = "  " * (3 + len(names))
    lines += [
        f"{indent}{name}: {yaml(str(value))}" for name, value in resource.options.items() if isinstance(value, str)
    ]
    lines += [f"{indent}{name}: {value}" for name, value in resource.options.items() if isinstance(value, int)]
    return Remedy(
        language=Language.CLOUDFORMATION, text="\n".join(lines) + "\n", says=resource.says, replaces=resource.replaces
    )


def _overrides(resource: _Resource) -> Iterator[tuple[str, str | int]]:
    for name, value in resource.options.items():
        yield ".".join([*resource.path, "MetadataOptions", name]), value


def _in_cdk_python(resource: _Resource) -> Remedy:
    lines = [
        f"# Stack {remark(resource.stack)}: call this at the end of the stack's constructor, or of the app.",
        "from aws_cdk import CfnResource, Stack",
        "",
        "",
        "def require_imdsv2(stack: Stack) -> None:",
        "    for construct in stack.node.find_all():",
        "        if not CfnResource.is_cfn_resource(construct):",
        "            continue",
        f"        if stack.resolve(construct.logical_id) == {typescript(resource.logical_id)}:",
    ]
    lines += [
        f"            construct.add_property_override({typescript(path)}, {_literal(value)})"
        for path, value in _overrides(resource)
    ]
    return Remedy(
        language=Language.CDK_PYTHON, text="\n".join(lines) + "\n", says=resource.says, replaces=resource.replaces
    )


def _in_cdk_typescript(resource: _Resource) -> Remedy:
    lines = [
        f"// Stack {remark(resource.stack)}: call this at the end of the stack's constructor, or of the app.",
        'import { CfnResource, Stack } from "aws-cdk-lib";',
        "",
        "export function requireImdsv2(stack: Stack): void {",
        "  for (const construct of stack.node.findAll()) {",
        "    if (!CfnResource.isCfnResource(construct)) continue;",
        f"    if (stack.resolve(construct.logicalId) === {typescript(resource.logical_id)}) {{",
    ]
    lines += [
        f"      construct.addPropertyOverride({typescript(path)}, {_literal(value)});"
        for path, value in _overrides(resource)
    ]
    lines += ["    }", "  }", "}"]
    return Remedy(
        language=Language.CDK_TYPESCRIPT, text="\n".join(lines) + "\n", says=resource.says, replaces=resource.replaces
    )


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else typescript(value)
