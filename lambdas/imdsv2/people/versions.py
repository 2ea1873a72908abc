"""Which version of the roles each account has, as the tag on its read role says.

IAM: ``iam:ListRoleTags`` for the read role, on itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.version import VERSION, VERSION_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn


def versions(clients: MemberClients, instances: Iterable[InstanceArn]) -> dict[str, Any]:
    """The versions of the service and of the roles in the accounts of some instances.

    Returns ``service``, ``accounts`` (None: its roles do not tell) and ``outdated``: for each account whose roles are of another
    version, what to do.
    """
    known: dict[str, str | None] = {}
    problems: dict[str, str] = {}
    for arn in instances:
        if arn.account in known:
            continue
        try:
            known[arn.account] = _version_in(clients, arn)
        except CALL_FAILURES as error:
            known[arn.account], problems[arn.account] = None, describe_error(error)
    outdated = [
        _advice(account, version, problems.get(account)) for account, version in known.items() if version != VERSION
    ]
    return {"service": VERSION, "accounts": known, "outdated": outdated}


def _version_in(clients: MemberClients, arn: InstanceArn) -> str | None:
    tags = clients.iam(arn).list_role_tags(RoleName=clients.role_name("read"))["Tags"]
    return next((str(each["Value"]) for each in tags if each["Key"] == VERSION_TAG), None)


def _advice(account: str, version: str | None, problem: str | None) -> str:
    has = f"has the roles of version {version}" if version else "has roles that do not tell their version"
    why = f" ({problem})" if problem else ""
    return (
        f"Account {account} {has}{why}; this service is version {VERSION}. Deploy the service's member templates there again, "
        "as docs/upgrade.md says."
    )
