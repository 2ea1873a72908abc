"""Remedies for node groups of EKS and compute environments of Batch that copy a launch template of one's own: a version of that one, and
the service's own update, which makes another copy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.source import in_stack, in_terraform
from imdsv2.source.effect import OPTIONAL
from imdsv2.source.in_cli import behind, command, new_version, option
from imdsv2.source.in_services import BATCH_REPLACES, BATCH_TAKES, of_eksctl
from imdsv2.source.origin import Kind
from imdsv2.source.owner import CLOUDFORMATION, EKSCTL, TERRAFORM, owner_of
from imdsv2.source.quoting import shell_json
from imdsv2.source.remedy import Language, Remedy, hops_of

if TYPE_CHECKING:
    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import TemplateLaunch

_EKS_REPLACES = (
    "EKS replaces all nodes of the group, as many at a time as its update configuration says, and drains each first."
)


def of_own(source: Source, own: TemplateLaunch) -> list[Remedy]:
    """The remedies of a source with a template of one's own: where that one is managed, or as commands."""
    replaces = BATCH_REPLACES if source.origin.kind is Kind.BATCH else _EKS_REPLACES
    owner = owner_of(own.template.tags)
    alone = replace(source, launches=(own,), group=None, configuration=None, fleet=None, own=None)
    if own.effect.tokens == OPTIONAL and owner is not None:
        if owner.manager == EKSCTL:
            return [of_eksctl(source, owner)]
        found: list[Remedy] = []
        if owner.manager == CLOUDFORMATION and owner.logical_id:
            found = in_stack.of_template(alone, own, owner)
        elif owner.manager == TERRAFORM:
            found = [in_terraform.of_template(alone, own)]
        if found:
            return [replace(each, replaces=f"With the new version: {replaces}") for each in found]
    return [_in_cli(source, own, replaces)]


def _in_cli(source: Source, own: TemplateLaunch, replaces: str) -> Remedy:
    if own.effect.tokens != OPTIONAL:
        text, says = (
            _update(source, own, str(own.version.number)),
            "Your template requires tokens already; the copy is made anew.",
        )
    else:
        text = f"{new_version(source, own, 'version')} &&\n{_update(source, own, None)}"
        says = "Makes a version of your launch template that differs in its metadata options only, and has the service copy it anew."
        says = f"{says} To go back, have the service copy version {own.version.number} again: the instances are replaced again."
        says = f"{says} {behind(own)}".rstrip()
    choice = hops_of(source, own.version.options).choice
    if source.origin.kind is Kind.BATCH:
        choice = f"{BATCH_TAKES} {choice}"
    elif not own.version.image:
        choice = (
            f"The nodes keep the release of their AMI; leave out --release-version to have the newest one. {choice}"
        )
    return Remedy(language=Language.CLI, text=f"{text}\n", says=f"{says} {choice}", replaces=replaces)


def _update(source: Source, own: TemplateLaunch, number: str | None) -> str:
    """The service's update to a version: a number, or the one in the shell's variable."""
    region, template = source.place.region, own.version.template
    if source.origin.kind is Kind.BATCH:
        resources = {"launchTemplate": {"launchTemplateId": template, "version": number or "<version>"}}
        word = shell_json(resources).replace("<version>", "'\"$version\"'")
        whom = option("compute-environment", source.origin.name)
        return command("batch", "update-compute-environment", region, whom, "--compute-resources", word)
    whom = f"{option('cluster-name', source.origin.within)} {option('nodegroup-name', source.origin.name)}"
    named = f'--launch-template "id={template},version={number or "$version"}"'
    if own.version.image:
        return command("eks", "update-nodegroup-version", region, whom, named)
    # Without a release, EKS takes the newest one: another AMI, which nobody has asked for.
    asked = command("eks", "describe-nodegroup", region, whom, "--query nodegroup.releaseVersion --output text")
    updated = command("eks", "update-nodegroup-version", region, whom, named, '--release-version "$release"')
    return f"release=$({asked}) &&\n{updated}"
