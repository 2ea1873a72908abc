"""What an organisation may demand of every role: a permissions boundary, a prefix of its name, a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, aws_iam

if TYPE_CHECKING:
    from aws_cdk import Stack

    from infra.names import Names


def conform(stack: Stack, *, names: Names, boundary: str | None, many_regions: bool = False) -> None:
    """Apply the settings to all roles of a stack, once it is complete.

    With a prefix, roles whose names CloudFormation would generate get one too. ``many_regions``: the stack is deployed
    in several Regions of an account, so that these names have to differ by Region.
    """
    if boundary is not None:
        policy = aws_iam.ManagedPolicy.from_managed_policy_name(stack, "RolePermissionsBoundary", boundary)
        aws_iam.PermissionsBoundary.of(stack).apply(policy)
    for construct in stack.node.find_all():
        if not isinstance(construct, aws_iam.CfnRole):
            continue
        if names.role_path != "/":
            construct.path = names.role_path
        # A role without a name has a token for one, which resolves to nothing.
        if names.role_prefix and stack.resolve(construct.role_name) is None:
            within = construct.node.path.removeprefix(f"{stack.node.path}/").removesuffix("/Resource")
            within = within.removesuffix("/Role")
            name = names.role(within.lower().replace("/", "-"))
            construct.role_name = f"{name}-{Aws.REGION}" if many_regions else name
