"""A function of the service, with the role that the roles in every account trust by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aws_cdk import Aws, CfnResource, Duration, RemovalPolicy, aws_iam, aws_lambda, aws_logs, aws_sqs
from constructs import Construct

from infra.names import CAPTURE, ENTERED_BY, METRIC_NAMESPACE, SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.names import Names

IN_PROGRESS = "2"
"""OCSF's status id for a finding that somebody works on: the only one that the service sets."""

_ASFF, _OCSF = "securityhub:ASFFSyntaxPath/", "securityhub:OCSFSyntaxPath/"
_NEVER_UPDATED: dict[str, dict[str, Any]] = {
    "OnlyEverNotified": {"StringEquals": {f"{_ASFF}Workflow.Status": ["NEW", "RESOLVED", "SUPPRESSED"]}},
    # A finding of a lower severity, or a false positive, is one that nobody looks at.
    "NeverRelabelled": {"Null": {f"{_ASFF}Severity.Label": "false"}},
    "NeverVerified": {"Null": {f"{_ASFF}VerificationState": "false"}},
    # What an update does not send has no key: StringNotEquals would match that too, therefore Null.
    "OnlyEverInProgress": {"Null": {f"{_OCSF}StatusId": "false"}, "StringNotEquals": {f"{_OCSF}StatusId": IN_PROGRESS}},
    "NeverRated": {"Null": {f"{_OCSF}SeverityId": "false"}},
}
"""What is denied of an update of a finding; the newer Security Hub knows the same by OCSF's status ids, under the same action."""

LEASE_MARGIN = Duration.seconds(60)
"""A lease outlives the function that took it by this duration, so that no second function acts at the same time."""


class ServiceFunction(Construct):
    """A handler of the asset with its role, its log group, and the queue for its failed asynchronous invocations."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        names: Names,
        description: str,
        code: aws_lambda.Code,
        timeout: Duration,
        memory_size: int,
        log_retention_days: int,
        architecture: str,
        failed_invocations: aws_sqs.IQueue | None,
        environment: Mapping[str, str],
        in_the_role_of: ServiceFunction | None = None,
    ) -> None:
        """`failed_invocations` is None if only a queue invokes the function, because that queue keeps failed messages
        itself.

        A function that checks the permissions of another function runs with that function's role.
        """
        super().__init__(scope, id_)
        self.name = name
        self._names = names
        self.role: aws_iam.Role = in_the_role_of.role if in_the_role_of else self._own_role()
        self.log_group = self._own_log_group(log_retention_days)
        self.function = aws_lambda.Function(
            self,
            "Function",
            function_name=names.function(name),
            description=description,
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            architecture=aws_lambda.Architecture.custom(architecture),
            handler=f"{name.replace('-', '_')}.handler",
            code=code,
            role=self.role,
            log_group=self.log_group,
            timeout=timeout,
            memory_size=memory_size,
            tracing=aws_lambda.Tracing.ACTIVE,
            dead_letter_queue=failed_invocations,
            environment={**_environment(names), **environment},
        )

    def _own_log_group(self, retention_days: int) -> aws_logs.LogGroup:
        log_group = aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self._names.function(self.name)}",
            # The log group has a fixed name: one that was left behind would block the next deployment. The ledger is
            # the record.
            removal_policy=RemovalPolicy.DESTROY,
        )
        cast("CfnResource", log_group.node.default_child).add_property_override("RetentionInDays", retention_days)
        log_group.grant_write(self.role)
        return log_group

    def _own_role(self) -> aws_iam.Role:
        return aws_iam.Role(
            self,
            "Role",
            role_name=self._names.function_role(self.name),
            description=f"{SERVICE}: function {self.name}",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        )

    def allow_entering_accounts(self, *, organization_id: str | None, captures: bool = False) -> None:
        """Assume the roles that trust this function: in any account of the organisation or, without one, in any account.
        The trust policies there decide which accounts allow it. ``captures``: whether there are roles that have instances watched."""
        entered = {role: functions for role, functions in ENTERED_BY.items() if captures or role != CAPTURE}
        roles = [self._names.role(role) for role, functions in entered.items() if self.name in functions]
        resources = [f"arn:{Aws.PARTITION}:iam::*:role/{self._names.role_resource(role)}" for role in roles]
        inside = {"StringEquals": {"aws:ResourceOrgID": organization_id}} if organization_id else None
        self.role.add_to_policy(
            aws_iam.PolicyStatement(
                sid="EnterAccounts", actions=["sts:AssumeRole"], resources=resources, conditions=inside
            )
        )

    def allow_asking_calendars(self) -> None:
        """Query whether changes are allowed now. The policy names the calendar and can change it without a
        deployment."""
        calendars = f"arn:{Aws.PARTITION}:ssm:{Aws.REGION}:*:document/*"
        self.role.add_to_policy(aws_iam.PolicyStatement(actions=["ssm:GetCalendarState"], resources=[calendars]))

    def allow_listing_accounts(self) -> None:
        """List the accounts of the organisation; Organizations answers only its management account and delegated
        administrators."""
        self.role.add_to_policy(aws_iam.PolicyStatement(actions=["organizations:ListAccounts"], resources=["*"]))

    def allow_answering_findings(self) -> None:
        """Read and annotate findings, but never close, reopen or suppress one."""
        hubs = f"arn:{Aws.PARTITION}:securityhub:{Aws.REGION}:{Aws.ACCOUNT_ID}:"
        resources = [f"{hubs}hub/default", f"{hubs}hubv2/*"]
        # The APIs of the newer Security Hub are authorised by the same two actions, on its own hub.
        self.role.add_to_policy(
            aws_iam.PolicyStatement(
                sid="AnswerFindings",
                actions=["securityhub:GetFindings", "securityhub:BatchUpdateFindings"],
                resources=resources,
            )
        )
        for sid, conditions in _NEVER_UPDATED.items():
            self.role.add_to_policy(
                aws_iam.PolicyStatement(
                    sid=sid,
                    effect=aws_iam.Effect.DENY,
                    actions=["securityhub:BatchUpdateFindings"],
                    resources=["*"],
                    conditions=conditions,
                )
            )


def _environment(names: Names) -> dict[str, str]:
    """What every function has in its environment."""
    return {
        "POWERTOOLS_SERVICE_NAME": names.prefix,
        "POWERTOOLS_METRICS_NAMESPACE": METRIC_NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": "INFO",
        # Otherwise each thread keeps memory that it has freed, and the process that of large answers, so that memory use grows during
        # a long sweep.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
    }
