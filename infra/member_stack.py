"""The template of a member account: the two roles, and nothing that would need a bootstrapped account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import BootstraplessSynthesizer, CfnParameter, Stack

from infra.member_roles import MemberRoles

if TYPE_CHECKING:
    from constructs import Construct


class MemberStack(Stack):
    """Imdsv2RemediationMember: deployed once in every account whose instances the service shall answer for."""

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(
            scope,
            id_,
            stack_name=id_,
            description="Lets imdsv2-remediation of the security account in",
            synthesizer=BootstraplessSynthesizer(),
        )
        security_account = CfnParameter(
            self,
            "SecurityAccountId",
            description="The account in which the stack Imdsv2Remediation is deployed",
            allowed_pattern="[0-9]{12}",
            constraint_description="twelve digits",
        )
        MemberRoles(self, "MemberRoles", security_account=security_account.value_as_string)
