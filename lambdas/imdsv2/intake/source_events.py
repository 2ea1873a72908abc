"""Reads from findings and compliance changes which launch template or launch configuration they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.node import account_of, shown
from imdsv2.domain.source_name import Named, SourceName
from imdsv2.errors import MessagePoisoned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.node import Node

KIND_OF_TYPE: Mapping[str, Named] = {
    "AWS::EC2::LaunchTemplate": Named.TEMPLATE_DEFAULT,
    "AWS::AutoScaling::LaunchConfiguration": Named.LAUNCH_CONFIGURATION,
}
"""Resource types as Config and the newer Security Hub name them."""
_TYPES = {
    Named.TEMPLATE_DEFAULT: "AwsEc2LaunchTemplate",
    Named.LAUNCH_CONFIGURATION: "AwsAutoScalingLaunchConfiguration",
}
"""As ASFF names them (Security Hub user guide, ASFF resource details)."""


def source_of_resource(resource: Node, kind: Named) -> SourceName | None:
    """What a resource of a finding (ASFF) names; None for one of another type. Raises MessagePoisoned."""
    if resource["Type"].text() != _TYPES[kind]:
        return None
    return _named(resource["Id"], kind)


def source_of_resource_v2(resource: Node, finding: Node, kind: Named) -> SourceName | None:
    """The same of a finding in OCSF, by ``uid`` or ``uid_alt`` where one is an ARN, else by the parts. Raises MessagePoisoned."""
    if KIND_OF_TYPE.get(resource["type"].text()) is not kind:
        return None
    for key in ("uid", "uid_alt"):
        node = resource.get(key)
        if node is not None and isinstance(node.value, str) and node.value.startswith("arn:"):
            return _named(node, kind)
    region = resource.given("region") or finding["cloud"]["region"]
    return source_of_ids(resource["uid"], region, account_of(resource, finding), kind)


def source_of_ids(name: Node, region: Node, account: Node, kind: Named) -> SourceName:
    """What Config names: a launch template by its id, a launch configuration by its ARN or name. Raises MessagePoisoned."""
    return _named(name, kind, region=region.text(), account=account.text())


def _named(node: Node, kind: Named, *, region: str | None = None, account: str | None = None) -> SourceName:
    try:
        return SourceName.named(kind, node.text(), region=region, account=account)
    except ValueError as error:
        raise MessagePoisoned(node.path, f"{error}, not {shown(node.value)}") from None
