"""The remedies of launches from templates and launch configurations: each where its template is managed; where nobody is known to manage
it, as commands and, for those who use Terraform without tags that say so, in its language too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.source import in_cli, in_services, in_stack, in_terraform
from imdsv2.source.owner import CLOUDFORMATION, EKSCTL, TERRAFORM, Owner, owner_of, owner_of_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import TemplateLaunch
    from imdsv2.source.launching import Configuration, Group
    from imdsv2.source.remedy import Remedy


def of_templates(source: Source, launches: Sequence[TemplateLaunch]) -> list[Remedy]:
    """The remedies of a source's launches from templates, older versions first. Where a template is managed it is one thing, however many
    of its versions are launched: its text is made from the newest."""
    newest = {each.version.template: each for each in launches}
    managed = {template: _where_managed(source, each) for template, each in newest.items()}
    found = [each for several in managed.values() for each in several or ()]
    free = [each for each in launches if managed[each.version.template] is None]
    if free:
        found.append(_minding(source, in_cli.of_templates(source, free)))
    if not source.owners:
        found += [_perhaps(in_terraform.of_template(source, each)) for each in newest.values()]
    return found


def _where_managed(source: Source, launch: TemplateLaunch) -> list[Remedy] | None:
    """The remedies where a template is managed: none for one that a service made for itself. None where commands change it."""
    owner = owner_of_template(launch.template)
    if owner is None:
        return None
    if owner.made_it:
        return []
    if owner.manager == CLOUDFORMATION and owner.logical_id:
        return in_stack.of_template(source, launch, owner)
    if owner.manager == EKSCTL:
        return [in_services.of_eksctl(source, owner)]
    return [in_terraform.of_template(source, launch)] if owner.manager == TERRAFORM else None


def of_configuration(source: Source, group: Group, configuration: Configuration) -> list[Remedy]:
    """The remedies of a group's launch configuration, which has no tags: it is managed where its group is."""
    owner = _of_pointer(source)
    if owner is not None and owner.manager == TERRAFORM:
        return [in_terraform.of_configuration(source, configuration)]
    if in_its_stack := in_stack.of_configuration(source, configuration):
        return in_its_stack
    remedy = _minding(source, in_cli.of_configuration(source, group, configuration))
    return [remedy] if owner else [remedy, _perhaps(in_terraform.of_configuration(source, configuration))]


def _minding(source: Source, remedy: Remedy) -> Remedy:
    """A remedy as commands, with a word on the owner of the group or fleet that it may point to something new."""
    owner = _of_pointer(source)
    if owner is None:
        return remedy
    says = (
        f"{remedy.says} The group or fleet belongs to {owner.said}: where the commands point it to something new, make the same change "
        "there, or the next deployment undoes it."
    )
    return replace(remedy, says=says)


def _of_pointer(source: Source) -> Owner | None:
    pointer = source.group or source.fleet
    return owner_of(pointer.tags) if pointer is not None else None


def _perhaps(remedy: Remedy) -> Remedy:
    return replace(remedy, says=f"Only if Terraform manages it, without tags that say so. {remedy.says}")
