"""Physical names that something outside their own construct must know: another account, a policy, a person."""

SERVICE = "imdsv2-remediation"
METRIC_NAMESPACE = "Imdsv2Remediation"

EVENT_BUS = SERVICE
POLICY_PARAMETER = f"/{SERVICE}/policy"

READ_ROLE = f"{SERVICE}-read"
WRITE_ROLE = f"{SERVICE}-write"
ROLLBACK_ROLE = f"{SERVICE}-rollback"

CUSTOM_ACTION_ID = "RequireIMDSv2"

ENFORCED_AT_TAG = "imdsv2:enforced-at"
ROLLED_BACK_AT_TAG = "imdsv2:rolled-back-at"

FORWARDING_RULE = f"{SERVICE}-forward"

ROLES_STACK = "Imdsv2RemediationMember"
FORWARDING_STACK = "Imdsv2RemediationForwarding"

ENTERED_BY = {
    READ_ROLE: ("remediate", "manual", "revisit", "sweep", "guard"),
    WRITE_ROLE: ("remediate", "manual", "revisit", "sweep"),
    ROLLBACK_ROLE: ("manual", "guard"),
}
"""Role in an account, to the functions that it trusts and whose roles may assume it."""


def function_name(function: str) -> str:
    """The physical name of a function, e.g. `imdsv2-remediation-remediate`."""
    return f"{SERVICE}-{function}"


def function_role_name(function: str) -> str:
    """The physical name of a function's own role, which the roles in every account trust by name."""
    return f"{SERVICE}-fn-{function}"
