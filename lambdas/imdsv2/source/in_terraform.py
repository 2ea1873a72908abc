"""Remedies in HCL: for Terraform and OpenTofu, and for Packer, which builds AMIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.source.launching import DEFAULT
from imdsv2.source.quoting import hcl, identifier, remark
from imdsv2.source.remedy import Language, Remedy, hops_of, options_to_launch, shown_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import TemplateLaunch
    from imdsv2.source.launching import Configuration, Image
    from imdsv2.source.remedy import Hops

_REFRESH = (
    "If a group's resource has an instance_refresh block, Terraform replaces the group's running instances with this change; so it does "
    "with a single aws_instance that names the template's latest version."
)
_ARGUMENTS = {
    "HttpEndpoint": "http_endpoint",
    "HttpTokens": "http_tokens",
    "HttpPutResponseHopLimit": "http_put_response_hop_limit",
    "HttpProtocolIpv6": "http_protocol_ipv6",
    "InstanceMetadataTags": "instance_metadata_tags",
}


def of_template(source: Source, launch: TemplateLaunch) -> Remedy:
    """The block for the resource of a launch template."""
    template, hops = launch.template, hops_of(source, launch.version.options)
    follows = launch.ref.version == DEFAULT
    text = _resource(
        f"Merge this into the resource of launch template {template.name} ({template.id}).",
        "aws_launch_template",
        template.name or template.id,
        ["update_default_version = true"] if follows else [],
        options_to_launch(launch.version.options, hops),
        hops,
    )
    resource = identifier(template.name or template.id)
    latest = f" Where a version is named, name aws_launch_template.{resource}.latest_version."
    named = latest if launch.ref.is_pinned else " Take out default_version if the resource has it." if follows else ""
    says = f"Terraform makes a version of the launch template that requires tokens.{named} {hops.choice}"
    return Remedy(language=Language.TERRAFORM, text=text, says=says, replaces=_REFRESH)


def of_configuration(source: Source, configuration: Configuration) -> Remedy:
    """The block for the resource of a launch configuration."""
    hops = hops_of(source, configuration.options)
    text = _resource(
        f"Merge this into the resource that makes launch configuration {remark(configuration.name)}.",
        "aws_launch_configuration",
        configuration.name,
        [],
        options_to_launch(configuration.options, hops),
        hops,
    )
    says = (
        "Terraform makes another launch configuration in place of this one: use name_prefix instead of name, and "
        f"create_before_destroy. {hops.choice}"
    )
    return Remedy(language=Language.TERRAFORM, text=text, says=says, replaces=_REFRESH)


def of_instances(source: Source) -> list[Remedy]:
    """The block for the resources of single instances."""
    options = shown_options(source)
    hops = hops_of(source, options)
    # The block names the endpoint as enabled, which must not open what somebody has closed.
    named = [each for each in source.instances if each.options.http_endpoint != "disabled"] or source.instances
    ids = ", ".join(each.arn.instance_id for each in named[:5]) + (", ..." if len(named) > 5 else "")
    text = _resource(
        f"Merge the block into the resources of these instances: {ids}.",
        "aws_instance",
        named[0].tags.get("Name", "") or named[0].arn.instance_id,
        [],
        options_to_launch(options, hops),
        hops,
    )
    closed = len(source.instances) - len(named)
    kept = f" {closed:,} more of it have a disabled endpoint: leave their http_endpoint as it is." if closed else ""
    says = f"Terraform changes the options of the running instances in place.{kept} {hops.choice}"
    return [Remedy(language=Language.TERRAFORM, text=text, says=says)]


def _resource(comment: str, kind: str, name: str, arguments: list[str], options: Mapping[str, Any], hops: Hops) -> str:
    lines = [f"# {remark(comment)}", f'resource "{kind}" "{identifier(name)}" {{']
    if hops.limit is not None and hops.limit > 1:
        lines.append(
            "  # checkov:skip=CKV_AWS_341:Containers reach the instance role with tokens; set 1 to keep them from it."
        )
    lines += [f"  {each}" for each in arguments]
    return "\n".join([*lines, *_block(options), "}"]) + "\n"


def _block(options: Mapping[str, Any]) -> list[str]:
    told = [(_ARGUMENTS[name], value) for name, value in options.items()]
    width = max(len(name) for name, _ in told)
    values = [(name, str(value) if isinstance(value, int) else hcl(value)) for name, value in told]
    return ["  metadata_options {", *(f"    {name:{width}} = {value}" for name, value in values), "  }"]


def in_packer(image: Image) -> Remedy:
    """The arguments with which Packer builds the next AMI so that its launches require tokens."""
    lines = [
        f"# Merge this into the source that builds {remark(image.name or image.id)} ({image.id}).",
        f'source "amazon-ebs" "{identifier(image.name or image.id)}" {{',
        '  imds_support = "v2.0"',
        *_block({"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}),
        "}",
    ]
    says = (
        "The next AMI that Packer builds has ImdsSupport v2.0: launches from it require tokens, with hop limit 2, unless they or the "
        "account's default say otherwise. The block makes the builder's own instance require tokens as well. Running instances "
        "and the present AMI stay as they are."
    )
    return Remedy(language=Language.PACKER, text="\n".join(lines) + "\n", says=says)
