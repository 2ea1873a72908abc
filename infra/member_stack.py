"""The template of a member account: only the roles, so that the account needs no CDK bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import BootstraplessSynthesizer, CfnCondition, Fn, Stack

from infra.member_parameters import organization_parameter, security_account_parameter
from infra.member_roles import MemberRoles
from infra.names import ROLES_STACK

if TYPE_CHECKING:
    from constructs import Construct


class MemberStack(Stack):
    """Deployed once in every account whose instances the service manages."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(
            scope,
            ROLES_STACK,
            stack_name=ROLES_STACK,
            description="Lets imdsv2-remediation of the security account in",
            synthesizer=BootstraplessSynthesizer(),
        )
        security_account = security_account_parameter(self)
        organization = organization_parameter(self).value_as_string
        in_organization = CfnCondition(
            self, "InOrganization", expression=Fn.condition_not(Fn.condition_equals(organization, ""))
        )
        MemberRoles(
            self,
            "MemberRoles",
            security_account=security_account.value_as_string,
            organization_id=organization,
            only_if=in_organization,
        )
