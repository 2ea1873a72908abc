"""Chooses the remedies of a source: those of the service that launches for it, or those of what it launches from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.source import in_languages, in_own, in_services, in_stack, in_terraform
from imdsv2.source.effect import OPTIONAL
from imdsv2.source.launches import TemplateLaunch
from imdsv2.source.origin import MANAGED, Kind
from imdsv2.source.remedy import open_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Image
    from imdsv2.source.remedy import Remedy


_OF_SERVICES: Mapping[Kind, Callable[[Source], list[Remedy]]] = {
    Kind.KARPENTER: in_services.karpenter,
    Kind.EKS_NODE_GROUP: in_services.eks_node_group,
    Kind.BEANSTALK: in_services.beanstalk,
    Kind.EMR: in_services.emr,
    Kind.BATCH: in_services.batch,
    Kind.BY_HAND: in_services.by_hand,
    Kind.STACK_INSTANCE: in_stack.of_instance,
    Kind.TERRAFORM_INSTANCE: in_terraform.of_instances,
}


def remedies_of(source: Source) -> list[Remedy]:
    """The remedies of a source whose next launch allows IMDSv1; none for others, and for those that only AWS can change."""
    if source.tokens != OPTIONAL or source.origin.kind in MANAGED:
        return []
    if isinstance(source.own, TemplateLaunch):
        return in_own.of_own(source, source.own)
    if remedies := _OF_SERVICES.get(source.origin.kind):
        return remedies(source)
    launches = open_templates(source)
    found = in_languages.of_templates(source, launches) if launches else []
    if source.group is not None and source.configuration is not None:
        found += in_languages.of_configuration(source, source.group, source.configuration)
    if source.fleet is not None and source.fleet.specifications:
        found += in_services.spot_specifications(source)
    return found


def remedies_of_image(image: Image, region: str) -> list[Remedy]:
    """The remedies of an AMI of the account's own that does not require tokens."""
    return [in_terraform.in_packer(image), in_services.image_attribute(image, region)]
