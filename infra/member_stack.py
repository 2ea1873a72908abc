"""The template of a member account: only the roles, so that the account needs no CDK bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import BootstraplessSynthesizer, CfnCondition, Fn, Stack

from infra.member_parameters import organization_parameter, security_account_parameter
from infra.member_roles import MemberRoles
from infra.release import stamp
from infra.roles import conform

if TYPE_CHECKING:
    from constructs import Construct

    from infra.settings import Settings


class MemberStack(Stack):
    """Deployed once in every account whose instances the service manages."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        names = settings.names
        super().__init__(
            scope,
            names.roles_stack,
            stack_name=names.roles_stack,
            description="Lets imdsv2-remediation of the security account in",
            synthesizer=BootstraplessSynthesizer(),
            # The same template whoever makes it: with the command line, the CDK would add a resource of its own.
            analytics_reporting=False,
        )
        security_account = security_account_parameter(self, names)
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
            names=names,
            selftest=settings.selftest,
            capture=settings.capture is not None,
        )
        conform(self, names=names, boundary=settings.role_permissions_boundary)
        stamp(self)
