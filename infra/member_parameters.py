"""Parameters of the member templates that describe the security account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnParameter

if TYPE_CHECKING:
    from constructs import Construct

    from infra.names import Names

SECURITY_ACCOUNT = "SecurityAccountId"
ORGANIZATION = "OrganizationId"
HOME_REGION = "HomeRegion"


def security_account_parameter(scope: Construct, names: Names) -> CfnParameter:
    """The security account that the member trusts; there is no default. ``names``: of the installation that is meant."""
    return CfnParameter(
        scope,
        SECURITY_ACCOUNT,
        description=f"The account in which the stack {names.service_stack} is deployed",
        allowed_pattern="[0-9]{12}",
        constraint_description="twelve digits",
    )


def organization_parameter(scope: Construct) -> CfnParameter:
    """The organisation that both accounts belong to."""
    return CfnParameter(
        scope,
        ORGANIZATION,
        description="The organisation of both accounts; empty if they belong to none",
        default="",
        allowed_pattern="(o-[a-z0-9]{10,32})?",
        constraint_description="o- and ten characters or more, or nothing",
    )


def home_region_parameter(scope: Construct, names: Names) -> CfnParameter:
    """The Region of the security account's bus; there is no default. ``names``: of the installation that is meant."""
    return CfnParameter(
        scope,
        HOME_REGION,
        description=f"The Region in which the stack {names.service_stack} is deployed",
        allowed_pattern="[a-z]{2,}(-[a-z]+)+-[0-9]+",
        constraint_description="the name of a Region",
    )
