"""What a refusal by AWS comes from: by its code where the code says it, else by words that AWS is known to use.

A message is read as a whole, without the part that is encoded: what decides often comes after an ARN of the caller and one of the
resource. The witness of each text is named beside it.
"""

from __future__ import annotations

import re
from enum import StrEnum

from imdsv2.aws.errors import error_code, readable_message

DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
"""Codes with which IAM denies a call: EC2's ("Error codes for the Amazon EC2 API"), STS's and those of other services."""

_ORGANIZATION_DENIES = re.compile(
    r"explicit deny in an? (?P<denied>service|resource) control policy|"
    r"because no (?P<missing>service|resource) control policy allows"
)
"""IAM User Guide, troubleshoot_access-denied.html: "with an explicit deny in a service control policy" and "because no service
control policy allows the ... action". Recorded with the policy's ARN and an encoded message behind it: "is not authorized to
perform: ec2:CreateKeyPair on resource: ... with an explicit deny in a service control policy: arn:aws:organizations::..."."""

_BOUNDARY_DENIES = re.compile(r"explicit deny in a permissions boundary|because no permissions boundary allows")
"""The same page: "with an explicit deny in a permissions boundary" and "because no permissions boundary allows the ... action"."""

_TOKENS_ENFORCED = re.compile(r"httpTokensEnforced is enabled", re.I)
"""EC2 User Guide, "Troubleshoot issues with IMDS": UnsupportedOperation, "You can't launch instances with IMDSv1 because
httpTokensEnforced is enabled for this account."; reported of a live account: "You can't set httpTokens to 'optional' because
httpTokensEnforced is enabled for this account."."""

_NOT_PERMITTED = "OperationNotPermitted"
_DECLARED = re.compile(r"denied due to an organizational policy|declarative[ -]polic", re.I)
"""Organizations User Guide, orgs_manage_policies_declarative.html: "This action is denied due to an organizational policy in
effect", unless the organisation has words of its own; therefore the code too, with which EC2 refuses what a declarative policy
forbids (recorded of EnableSnapshotBlockPublicAccess). The name in the second half is that of EC2's own `ManagedBy`."""

_WANTS_ENDPOINT = re.compile(r"\bHttpEndpoint\b.*\benabled\b", re.IGNORECASE | re.DOTALL)
"""Recorded by CloudTrail: InvalidParameterValue, "The HttpEndpoint is not set to 'enabled' in this request. To specify a value for
HttpTokens, set HttpEndpoint to 'enabled'.". Other words that demand the same are taken as well: whether it is enabled is looked at
before anything is sent."""


class Cause(StrEnum):
    """What forbids a change, as a person knows it."""

    SERVICE_CONTROL_POLICY = "a service control policy"
    RESOURCE_CONTROL_POLICY = "a resource control policy"
    TOKENS_ENFORCED = "the account's setting HttpTokensEnforced"
    DECLARATIVE_POLICY = "a declarative policy"
    PERMISSIONS_BOUNDARY = "the role's permissions boundary"
    PERMISSIONS = "the role's permissions"


OF_ALL = frozenset(
    {
        Cause.SERVICE_CONTROL_POLICY,
        Cause.RESOURCE_CONTROL_POLICY,
        Cause.DECLARATIVE_POLICY,
        Cause.PERMISSIONS_BOUNDARY,
    }
)
"""What the organisation forbids, it mostly forbids for all instances of an account and Region alike."""


def cause_of(error: Exception) -> Cause | None:
    """What a refusal comes from; None where nobody can tell."""
    code, message = error_code(error), readable_message(error)
    if code in DENIED:
        return _cause_of_denial(message)
    if _TOKENS_ENFORCED.search(message):
        return Cause.TOKENS_ENFORCED
    if code == _NOT_PERMITTED or _DECLARED.search(message):
        return Cause.DECLARATIVE_POLICY
    return None


def to_have_it_allowed(error: Exception) -> str:
    """What a person can do about a denial: other roles do not help where the organisation forbids it."""
    cause = cause_of(error)
    if cause in OF_ALL:
        return f"have {cause} allow it to the service's role there"
    return "deploy the member roles of this version there"


def _cause_of_denial(message: str) -> Cause:
    """The kind of policy that the message names; where it names none, the role's own."""
    denied = _ORGANIZATION_DENIES.search(message)
    if denied is not None:
        which = denied["denied"] or denied["missing"]
        return Cause.SERVICE_CONTROL_POLICY if which == "service" else Cause.RESOURCE_CONTROL_POLICY
    if _BOUNDARY_DENIES.search(message):
        return Cause.PERMISSIONS_BOUNDARY
    return Cause.DECLARATIVE_POLICY if _DECLARED.search(message) else Cause.PERMISSIONS


def wants_endpoint(error: Exception) -> bool:
    """Whether EC2 demands that the endpoint is enabled in the same call."""
    return error_code(error) == "InvalidParameterValue" and bool(_WANTS_ENDPOINT.search(readable_message(error)))
