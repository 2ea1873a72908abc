"""Builds what the check function enters accounts with: neither the ledger nor the line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.parsing import metrics_session, new_session
from imdsv2.aws.sessions import CONFIG, MemberClients
from imdsv2.settings import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def wire_member_clients(environment: Mapping[str, str], request_id: Callable[[], str]) -> MemberClients:
    """The clients of member accounts. ``request_id``: returns the id of the current invocation. Raises SettingMissing, which names the
    variable."""
    names = Names.from_environment(environment)
    session = new_session()
    sts: Any = session.create_client("sts", region_name=environment["AWS_REGION"], config=CONFIG)
    return MemberClients(
        session, metrics_session(session), sts, names.member_roles, request_id, lambda: datetime.now(UTC)
    )
