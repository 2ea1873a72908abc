"""What the role that changes sources may do about an account's metadata defaults: tokens, hops and their enforcement, nothing else."""

from __future__ import annotations

from aws_cdk import aws_iam

_OTHERS = ("HttpEndpoint", "InstanceMetadataTags")
"""Defaults that the service never touches."""


def defaults_statements() -> list[aws_iam.PolicyStatement]:
    """EC2 knows no resource for this call. Where it sends no key per default, the condition holds for all of them, and only the
    service's own code limits what is sent. The value is open, because an undo puts back what was before."""
    return [
        aws_iam.PolicyStatement(
            sid="SetMetadataDefaults",
            actions=["ec2:ModifyInstanceMetadataDefaults"],
            resources=["*"],
            conditions={"Null": {f"ec2:Attribute/{each}": "true" for each in _OTHERS}},
        )
    ]
