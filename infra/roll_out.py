"""StackSets that deploy the member templates to the accounts of an organisation, including accounts that join later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws, CfnStackSet
from constructs import Construct

from infra.member_parameters import HOME_REGION, ORGANIZATION, SECURITY_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.names import Names
    from infra.settings import Settings

TOLERATED_PERCENTAGE = 100
"""Accounts of a Region that may refuse: all. CloudFormation rounds a smaller share down, to none in an organisation of
three accounts, and then one account that still has roles deployed by hand would roll the whole service back. Which
accounts refused stands in the StackSet's instances; the sweep reports accounts that it cannot enter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTemplates:
    """The synthesised templates of members, as JSON text."""

    roles: str
    forwarding: str


def compact(template: str) -> str:
    """A template without white space: CloudFormation takes 51,200 bytes of one that is handed over as text, and half would be spaces."""
    return json.dumps(json.loads(template), separators=(",", ":"))


class RollOut(Construct):
    """Service-managed StackSets: AWS Organizations grants them access to its accounts, except the management
    account."""

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, names: Names, templates: MemberTemplates
    ) -> None:
        """The settings name an organisation and its organizational units."""
        super().__init__(scope, id_)
        self._settings = settings
        security_account = {SECURITY_ACCOUNT: Aws.ACCOUNT_ID}
        self.roles = self._stack_set(
            "Roles",
            name=names.roles_stack,
            description="Roles by which imdsv2-remediation enters the accounts of the organisation",
            template=templates.roles,
            parameters={**security_account, ORGANIZATION: settings.organization_id or ""},
            # IAM is global: any single Region will do.
            regions=[Aws.REGION],
            capability="CAPABILITY_NAMED_IAM",
            # The security account's roles are part of this stack and have the same names. If StackSets ignores this
            # filter when the account is moved into a unit later, CloudFormation refuses the duplicate roles, with no
            # other effect.
            except_security_account=True,
        )
        self.forwarding = self._stack_set(
            "Forwarding",
            name=names.forwarding_stack,
            description="Rules that forward Config's verdicts on IMDSv2 to imdsv2-remediation",
            template=templates.forwarding,
            parameters={**security_account, HOME_REGION: Aws.REGION},
            regions=settings.member_regions or [Aws.REGION],
            # With a prefix for roles, the role of the rule has a name too.
            capability="CAPABILITY_NAMED_IAM" if names.role_prefix else "CAPABILITY_IAM",
            except_security_account=False,
        )

    def _stack_set(
        self,
        id_: str,
        *,
        name: str,
        description: str,
        template: str,
        parameters: Mapping[str, str],
        regions: Sequence[str],
        capability: str,
        except_security_account: bool,
    ) -> CfnStackSet:
        targets = self._targets(except_security_account=except_security_account)
        return CfnStackSet(
            self,
            id_,
            stack_set_name=name,
            description=description,
            permission_model="SERVICE_MANAGED",
            call_as=self._settings.call_as,
            auto_deployment=CfnStackSet.AutoDeploymentProperty(enabled=True, retain_stacks_on_account_removal=False),
            # An account that joins during an operation waits for its turn instead of failing.
            managed_execution={"Active": True},
            operation_preferences=CfnStackSet.OperationPreferencesProperty(
                concurrency_mode="SOFT_FAILURE_TOLERANCE",
                failure_tolerance_percentage=TOLERATED_PERCENTAGE,
                max_concurrent_percentage=100,
                region_concurrency_type="PARALLEL",
            ),
            stack_instances_group=[
                CfnStackSet.StackInstancesProperty(deployment_targets=targets, regions=list(regions))
            ],
            template_body=compact(template),
            capabilities=[capability],
            parameters=[
                CfnStackSet.ParameterProperty(parameter_key=key, parameter_value=value)
                for key, value in parameters.items()
            ],
        )

    def _targets(self, *, except_security_account: bool) -> CfnStackSet.DeploymentTargetsProperty:
        units = list(self._settings.organizational_units)
        if not except_security_account:
            return CfnStackSet.DeploymentTargetsProperty(organizational_unit_ids=units)
        return CfnStackSet.DeploymentTargetsProperty(
            organizational_unit_ids=units, account_filter_type="DIFFERENCE", accounts=[Aws.ACCOUNT_ID]
        )
