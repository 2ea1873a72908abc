"""The stack of the security account: composes the constructs and grants their permissions to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, FileSystem, Stack, aws_lambda

from infra.broadcast import add_broadcast
from infra.central_bus import CentralBus
from infra.custom_action import CustomAction
from infra.encryption import ServiceKey
from infra.finding_rules import FindingRules, allow_deliveries
from infra.function_schedule import FunctionSchedule
from infra.functions import LEASE_MARGIN, ServiceFunction
from infra.ledger import Ledger
from infra.member_roles import MemberRoles
from infra.monitoring import monitor
from infra.notifications import Notifications
from infra.outputs import add_outputs
from infra.policy_parameter import PolicyParameter
from infra.queues import FailedInvocations, FindingsQueue
from infra.release import stamp
from infra.roles import conform
from infra.roll_out import RollOut
from infra.selftest import add_selftest
from infra.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aws_cdk import aws_events
    from aws_cdk.aws_stepfunctions import StateMachine
    from constructs import Construct

    from infra.dashboard import Dashboard
    from infra.roll_out import MemberTemplates
    from infra.settings import Settings

REMEDIATE_TIMEOUT = REVISIT_TIMEOUT = Duration.minutes(5)
MANUAL_TIMEOUT = SWEEP_TIMEOUT = GUARD_TIMEOUT = CHECK_TIMEOUT = Duration.minutes(15)
SMALL_TIMEOUT = Duration.minutes(1)

JUDGE_MEMORY = 1024
CHECK_MEMORY = 512
SMALL_MEMORY = 256


class ServiceStack(Stack):
    """Imdsv2Remediation."""

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, asset: Path, member_templates: MemberTemplates
    ) -> None:
        super().__init__(scope, id_, description="Requires IMDSv2 where it is safe, one finding at a time")
        self._settings = settings
        self._names = settings.names
        self._called = {"MANUAL_FUNCTION": self._names.function("manual"), "MEMBER_ROLES": self._names.member_roles}
        self._code = aws_lambda.Code.from_asset(str(asset))
        self._release = FileSystem.fingerprint(str(asset))
        self.key = ServiceKey(self, "Encryption", names=self._names)
        self.findings = self._findings()
        self.failed = FailedInvocations(self, "FailedInvocations", key=self.key.key)
        self.ledger = Ledger(self, "Ledger", key=self.key.key)
        self.policy = PolicyParameter(self, "Policy", names=self._names)
        self.notifications = Notifications(self, "Notifications", key=self.key.key, email=settings.notification_email)
        self.bus = self._bus()
        self.rules = [self._rules("OwnFindings", None), self._rules("ForwardedFindings", self.bus.bus)]
        allow_deliveries(self.findings, rule_arns=[arn for each in self.rules for arn in each.rule_arns])

        self.remediate = self._remediate()
        self.manual = self._manual()
        self.revisit = self._revisit()
        self.sweep = self._sweep()
        self.guard = self._guard()
        for enforcing in (self.remediate, self.manual, self.revisit, self.sweep_function):
            enforcing.allow_asking_calendars()
        self.check = self._check()
        self.custom_action = self._custom_action()
        self.policy_note = self._first_policy()
        self._enter_accounts(member_templates)
        self.broadcast = add_broadcast(
            self, self._function, ledger=self.ledger, bus=self.bus, failed=self.failed, key=self.key, names=self._names
        )
        self.dashboard = self._monitor()
        add_outputs(self)
        stamp(self)
        conform(self, names=self._names, boundary=settings.role_permissions_boundary)

    def _findings(self) -> FindingsQueue:
        return FindingsQueue(
            self,
            "Findings",
            key=self.key.key,
            # Lambda retries a throttled batch within this time; AWS recommends six times the function's timeout.
            visibility_timeout=Duration.seconds(
                6 * REMEDIATE_TIMEOUT.to_seconds() + self._settings.batching_window_seconds
            ),
        )

    def _bus(self) -> CentralBus:
        return CentralBus(
            self,
            "CentralBus",
            organization_id=self._settings.organization_id,
            member_accounts=self._settings.member_accounts,
            names=self._names,
        )

    def _manual(self) -> ServiceFunction:
        manual = self._judge(
            "manual",
            "Judges the instances named in its input",
            MANUAL_TIMEOUT,
            environment={"CAPTURE_DOCUMENT": self._names.capture_document} if self._settings.capture else None,
        )
        self.ledger.grant_due(manual.role)
        self.ledger.grant_enforced(manual.role)
        return manual

    def _monitor(self) -> Dashboard:
        return monitor(
            self,
            topic=self.notifications.topic,
            findings=self.findings,
            failed=self.failed,
            judges=[self.remediate, self.manual, self.revisit, self.sweep_function, self.guard],
            broadcast=self.broadcast,
            sweep=self.sweep,
            rules=self.rules,
            names=self._names,
        )

    def _enter_accounts(self, member_templates: MemberTemplates) -> None:
        # The security account's own instances are reached through the same roles as all others.
        MemberRoles(
            self,
            "MemberRoles",
            security_account=Aws.ACCOUNT_ID,
            organization_id=self._settings.organization_id,
            names=self._names,
            selftest=self._settings.selftest,
            capture=self._settings.capture is not None,
        )
        add_selftest(self, self._settings, self._function)
        if self._settings.organizational_units:
            RollOut(self, "RollOut", settings=self._settings, names=self._names, templates=member_templates)

    def _rules(self, id_: str, bus: aws_events.IEventBus | None) -> FindingRules:
        return FindingRules(self, id_, bus=bus, findings=self.findings, settings=self._settings)

    def _remediate(self) -> ServiceFunction:
        function = self._judge(
            "remediate",
            "Answers the findings in the queue",
            REMEDIATE_TIMEOUT,
            keeps_failed=False,
            environment={
                "DEAD_LETTER_QUEUE_URL": self.findings.dead_letters.queue_url,
                "CUSTOM_ACTION_ID": self._names.custom_action_id,
                # One a line: names may have spaces.
                "CONFIG_RULE_NAMES": "\n".join(self._settings.config_rule_names),
            },
        )
        self.findings.feed(
            function.function,
            window_seconds=self._settings.batching_window_seconds,
            at_once=self._settings.remediate_concurrency,
        )
        self.findings.grant_setting_aside(function.role)
        return function

    def _judge(
        self,
        name: str,
        description: str,
        timeout: Duration,
        *,
        keeps_failed: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> ServiceFunction:
        """A function that runs the whole pipeline from target to record, with the permissions of each step."""
        function = self._function(
            name,
            description,
            timeout,
            keeps_failed=keeps_failed,
            memory_size=JUDGE_MEMORY,
            environment={
                "LEDGER_TABLE": self.ledger.table.table_name,
                "POLICY_PARAMETER": self.policy.name,
                "NOTIFICATIONS_TOPIC_ARN": self.notifications.topic.topic_arn,
                "LEASE_SECONDS": str(timeout.to_seconds() + LEASE_MARGIN.to_seconds()),
                "CHAT_MESSAGES": str(self._settings.chat_messages).lower(),
                "QUOTA_SHARE": str(self._settings.quota_share),
                **self._called,
                **(environment or {}),
            },
        )
        function.allow_entering_accounts(
            organization_id=self._settings.organization_id, captures=self._settings.capture is not None
        )
        function.allow_answering_findings()
        self.ledger.grant_records(function.role)
        self.policy.grant_read(function.role)
        self.notifications.grant_publish(function.role)
        self.key.grant_use_through(function.role, "dynamodb", "sns", "sqs")
        return function

    def _revisit(self) -> ServiceFunction:
        function = self._judge("revisit", "Judges anew what is due", REVISIT_TIMEOUT, keeps_failed=False)
        self.ledger.grant_due(function.role)
        self.policy.grant_history(function.role)
        self._start(function, "rate(1 minute)", "Judge anew what is due")
        return function

    def _guard(self) -> ServiceFunction:
        function = self._judge(
            "guard", "Watches what was enforced, and puts back what breaks", GUARD_TIMEOUT, keeps_failed=False
        )
        self.ledger.grant_enforced(function.role)
        # A pass may take longer than the interval: each pass claims its accounts in the ledger.
        self._start(function, "rate(5 minutes)", "Watch what was enforced")
        return function

    def _start(self, function: ServiceFunction, rate: str, description: str) -> None:
        id_ = f"{function.name.capitalize()}Schedule"
        FunctionSchedule(self, id_, function=function, rate=rate, description=description, names=self._names)

    def _sweep(self) -> StateMachine:
        sweep = Sweep(self, "Sweep", key=self.key, settings=self._settings)
        self.results = sweep.bucket
        asks_organization = self._settings.organization_id is not None
        accounts = [] if asks_organization else [Aws.ACCOUNT_ID, *self._settings.member_accounts]
        self.sweep_function = self._judge(
            "sweep",
            "Goes through an account and Region",
            SWEEP_TIMEOUT,
            environment={"SWEEP_BUCKET": sweep.bucket.bucket_name, "SWEEP_ACCOUNTS": " ".join(accounts)},
        )
        self.ledger.grant_due(self.sweep_function.role)
        self.ledger.grant_trail(self.sweep_function.role)
        if asks_organization:
            self.sweep_function.allow_listing_accounts()
        return sweep.run_with(self.sweep_function, self.failed)

    def _check(self) -> ServiceFunction:
        return self._function(
            "check",
            "Finds out what the write and rollback roles of an account may do, by dry runs",
            CHECK_TIMEOUT,
            keeps_failed=True,
            memory_size=CHECK_MEMORY,
            environment=self._called,
            # It runs with the role of an enforcing function, so that its proof applies there and no account has to
            # trust another role.
            in_the_role_of=self.manual,
        )

    def _custom_action(self) -> CustomAction:
        function = self._of_resource("custom-action", "Makes and keeps the Security Hub custom action")
        return CustomAction(self, "CustomAction", function=function, release=self._release, names=self._names)

    def _first_policy(self) -> str:
        function = self._of_resource("first-policy", "Creates the policy parameter if there is none")
        return self.policy.create_with(function, document=self._settings.policy, release=self._release)

    def _of_resource(self, name: str, description: str) -> ServiceFunction:
        """A function that keeps a resource for which CloudFormation has no type."""
        function = self._function(
            name, description, SMALL_TIMEOUT, keeps_failed=True, memory_size=SMALL_MEMORY, environment={}
        )
        self.key.grant_use_through(function.role, "sqs")
        return function

    def _function(
        self,
        name: str,
        description: str,
        timeout: Duration,
        *,
        keeps_failed: bool,
        memory_size: int,
        environment: Mapping[str, str],
        in_the_role_of: ServiceFunction | None = None,
    ) -> ServiceFunction:
        return ServiceFunction(
            self,
            f"Function-{name}",
            name=name,
            names=self._names,
            description=description,
            code=self._code,
            timeout=timeout,
            memory_size=memory_size,
            log_retention_days=self._settings.log_retention_days,
            architecture=self._settings.architecture,
            failed_invocations=self.failed.queue if keeps_failed else None,
            environment=environment,
            in_the_role_of=in_the_role_of,
        )
