"""The function's settings from its environment, validated at start: a missing one makes the deployment fail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.errors import SettingMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUOTA_SHARE = "0.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the installation has named: another one may live in the same account.

    ``member_roles``: path and name of the accounts' roles without their last part, e.g. `imdsv2-remediation-`.
    ``manual_function``: the function that takes people's commands; texts for people name it.
    """

    member_roles: str
    manual_function: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Names:
        """Raises SettingMissing, which names the variable."""
        return cls(
            member_roles=_required(environment, "MEMBER_ROLES"),
            manual_function=_required(environment, "MANUAL_FUNCTION"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of every function.

    ``lease``: longer than the function's time limit, so that an expired lease means that its holder is no longer
    running. ``quota_share``: the share of AWS's quotas to use where the accounts' own users need them too. ``chat_messages``: whether
    messages have the form that chats show. ``capture_document``: the document that watches instances; None where it was not deployed.
    """

    region: str
    ledger_table: str
    policy_parameter: str
    notifications_topic_arn: str
    lease: timedelta
    dead_letter_queue_url: str | None
    quota_share: float
    names: Names
    chat_messages: bool = False
    capture_document: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises SettingMissing, which names the variable."""
        lease = _required(environment, "LEASE_SECONDS")
        if not lease.isdecimal():
            raise SettingMissing("LEASE_SECONDS")
        return cls(
            region=_required(environment, "AWS_REGION"),
            ledger_table=_required(environment, "LEDGER_TABLE"),
            policy_parameter=_required(environment, "POLICY_PARAMETER"),
            notifications_topic_arn=_required(environment, "NOTIFICATIONS_TOPIC_ARN"),
            lease=timedelta(seconds=int(lease)),
            dead_letter_queue_url=environment.get("DEAD_LETTER_QUEUE_URL"),
            quota_share=_share(environment, "QUOTA_SHARE"),
            names=Names.from_environment(environment),
            chat_messages=environment.get("CHAT_MESSAGES") == "true",
            capture_document=environment.get("CAPTURE_DOCUMENT") or None,
        )


def _share(environment: Mapping[str, str], name: str) -> float:
    try:
        share = float(environment.get(name, _QUOTA_SHARE))
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf:
        raise SettingMissing(name)
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """Additional settings of the function that reads events. ``config_rules``: names of Config rules beside AWS's own, or
    prefixes that end with `*`."""

    custom_action_id: str
    config_rules: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> EventSettings:
        """Raises SettingMissing, which names the variable."""
        return cls(
            custom_action_id=_required(environment, "CUSTOM_ACTION_ID"),
            config_rules=tuple(environment.get("CONFIG_RULE_NAMES", "").splitlines()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """The settings of the function that sends events. ``source``: as which the bus knows them."""

    name: str
    source: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> BusSettings:
        """Raises SettingMissing, which names the variable."""
        return cls(name=_required(environment, "EVENT_BUS"), source=_required(environment, "EVENT_SOURCE"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """Additional settings of the sweep. ``accounts``: empty if the accounts are to be read from Organizations."""

    bucket: str
    accounts: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SweepSettings:
        """Raises SettingMissing, which names the variable."""
        return cls(
            bucket=_required(environment, "SWEEP_BUCKET"),
            # The security account is always the first; somebody may have listed it among the members, too.
            accounts=tuple(dict.fromkeys(environment.get("SWEEP_ACCOUNTS", "").split())),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise SettingMissing(name)
    return value
