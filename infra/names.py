"""Physical names that something outside their own construct must know: another account, a policy, a person."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

SERVICE = "imdsv2-remediation"
"""The product; without another `name_prefix`, every name begins with it."""
METRIC_NAMESPACE = "Imdsv2Remediation"
"""Shared by installations; the dimension `service` tells them apart."""

READ, WRITE, ROLLBACK, SOURCE, SELFTEST = "read", "write", "rollback", "source", "selftest"
CAPTURE = "capture"

SPARED_HOURS = 20
"""What has been judged in so many hours before the nightly sweep is left to its own turn."""

ENTERED_BY = {
    READ: ("remediate", "manual", "revisit", "sweep", "guard"),
    WRITE: ("remediate", "manual", "revisit", "sweep"),
    ROLLBACK: ("manual", "guard"),
    SOURCE: ("manual", "sweep", "guard"),
    SELFTEST: ("selftest",),
    CAPTURE: ("manual",),
}
"""Role in an account, to the functions that it trusts and whose roles may assume it. Whoever enters both `write` and `rollback` could mark
an instance and then open it: only the function that people command has to."""

_BEFORE_DIGIT = re.compile(r"-(?=[0-9])")
_ACTION_ID, _ACTION_NAME = "RequireIMDSv2", "Require IMDSv2"
_LONGEST_ACTION_NAME = 20
"""Characters that Security Hub takes for a custom action's name, and for its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of one installation.

    Args:
        prefix: begins every name; another one lets a pilot live beside production.
        role_prefix: precedes the names of all roles, where an organisation demands it; empty by default.
        role_path: the IAM path of all roles, `/` by default.
    """

    prefix: str = SERVICE
    role_prefix: str = ""
    role_path: str = "/"

    @property
    def event_bus(self) -> str:
        """The bus to which members forward events."""
        return self.prefix

    @property
    def policy_parameter(self) -> str:
        """The SSM parameter that holds the policy."""
        return f"/{self.prefix}/policy"

    @property
    def forwarding_rule(self) -> str:
        """The rule in an account and Region that forwards Config's events."""
        return f"{self.prefix}-forward"

    @property
    def forwarding_started_rule(self) -> str:
        """The rule beside it that forwards starts of instances."""
        return f"{self.forwarding_rule}-started"

    @property
    def capture_document(self) -> str:
        """The document that watches instances, in each account and Region."""
        return self.of("capture")

    @property
    def service_stack(self) -> str:
        """The stack of the security account, e.g. `Imdsv2Remediation`."""
        return "".join(part.capitalize() for part in self.prefix.split("-"))

    @property
    def namesake(self) -> str | None:
        """Another prefix whose installation would have a stack of the same name; None where there is none that begins alike.

        The stacks of installations that are there keep their names, so that it is told and not mended.
        """
        other = _BEFORE_DIGIT.sub("", self.prefix)
        return other if other != self.prefix else None

    @property
    def roles_stack(self) -> str:
        """Stack and StackSet of the accounts' roles."""
        return f"{self.service_stack}Member"

    @property
    def forwarding_stack(self) -> str:
        """Stack and StackSet of the forwarding rule."""
        return f"{self.service_stack}Forwarding"

    @property
    def guardrail_stack(self) -> str:
        """The stack of the organisation's policies."""
        return f"{self.service_stack}Guardrails"

    @property
    def custom_action_id(self) -> str:
        """At most 20 letters and digits."""
        if self.prefix == SERVICE:
            return _ACTION_ID
        return _ACTION_ID + hashlib.sha256(self.prefix.encode()).hexdigest()[:6]

    @property
    def custom_action_name(self) -> str:
        """What people see in Security Hub, at most 20 characters; another installation adds the end of its prefix."""
        if self.prefix == SERVICE:
            return _ACTION_NAME
        return f"{_ACTION_NAME} {self.prefix.rpartition('-')[2]}"[:_LONGEST_ACTION_NAME]

    @property
    def member_roles(self) -> str:
        """Path and name of the accounts' roles without their last part, as the functions are told."""
        return f"{self.role_path[1:]}{self.role('')}"

    def of(self, what: str) -> str:
        """The name of an alarm, rule, schedule or state machine, e.g. `imdsv2-remediation-sweep`."""
        return f"{self.prefix}-{what}"

    def function(self, function: str) -> str:
        """The physical name of a function, e.g. `imdsv2-remediation-remediate`."""
        return self.of(function)

    def role(self, what: str) -> str:
        """The name of a role, e.g. `imdsv2-remediation-read`."""
        return f"{self.role_prefix}{self.of(what)}"

    def function_role(self, function: str) -> str:
        """The name of a function's own role, which the roles in every account trust by name."""
        return self.role(f"fn-{function}")

    def role_resource(self, name: str) -> str:
        """The end of a role's ARN, after `role/`."""
        return f"{self.role_path[1:]}{name}"
