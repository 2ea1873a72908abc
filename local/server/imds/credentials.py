"""The credentials that the metadata service delivers: sessions of the role in the instance's profile, which remember whether they were
delivered with a token (`ec2:RoleDelivery`, 2.0) or without (1.0), and to which instance (`ec2:SourceInstanceArn`).

Not as in AWS: an instance without a profile delivers the key of its account's administrator, so that any workload can be tried.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms

if TYPE_CHECKING:
    from local.server.platform import Record

DEFAULT_ROLE: Final = "local-instance-role"
LIVE: Final = timedelta(hours=6)
WITH_TOKEN, WITHOUT_TOKEN = "2.0", "1.0"

_delivered: dict[tuple[str, str, str], dict[str, str]] = {}
"""By instance, role and delivery: the same credentials until they end."""


def install() -> None:
    """Let policies ask how credentials were delivered."""
    keys_of = ms.iam_evaluator._principal_keys

    def keys(credential: Any) -> dict[str, Any]:
        session = ms.sts._sessions.get(credential.access_key_id) or {}
        return {**keys_of(credential), **session.get("Delivery", {})}

    ms.iam_evaluator._principal_keys = keys


def role_of(instance: Record) -> str | None:
    """The name of the role in the instance's profile; None if it has no profile, or one without a role."""
    arn = (instance.get("IamInstanceProfile") or {}).get("Arn", "")
    profile = ms.iam._lookup_instance_profile(arn=arn) if arn else None
    return str(profile["Roles"][0]) if profile and profile["Roles"] else None


def deliver(instance: Record, delivery: str) -> tuple[str, dict[str, str]]:
    """The name of the instance's role, and credentials for it."""
    role = role_of(instance)
    if role is None:
        # A key of twelve digits acts in that account, so what is fetched here is good for calls.
        return DEFAULT_ROLE, _document(ms.account_id(), "test", "local")
    key = (instance["InstanceId"], role, delivery)
    if key not in _delivered:
        _delivered[key] = _session(instance["InstanceId"], role, delivery)
    return role, _delivered[key]


def _session(instance_id: str, role: str, delivery: str) -> dict[str, str]:
    account = ms.account_id()
    access_key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(40)
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{instance_id}",
        "UserId": f"{role}:{instance_id}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": time.time() + LIVE.total_seconds(),
        "AccountId": account,
        "PrincipalType": "AssumedRole",
        "Delivery": {
            "ec2:roledelivery": delivery,
            "ec2:sourceinstancearn": f"arn:aws:ec2:{ms.region()}:{account}:instance/{instance_id}",
        },
    }
    ms.sts.register_session(access_key, session)
    return _document(access_key, secret, token)


def _document(access_key: str, secret: str, token: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Code": "Success",
        "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "Type": "AWS-HMAC",
        "AccessKeyId": access_key,
        "SecretAccessKey": secret,
        "Token": token,
        "Expiration": f"{now + LIVE:%Y-%m-%dT%H:%M:%SZ}",
    }
