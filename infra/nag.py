"""Exceptions to cdk-nag's rules, each next to the construct that needs it, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations

if TYPE_CHECKING:
    from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of cdk-nag, e.g. `AwsSolutions-IAM5[Resource::*]`, for a construct and its children."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
