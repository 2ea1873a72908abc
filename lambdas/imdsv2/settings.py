"""The function's environment, read once and checked at start: a missing name fails the deploy, not a finding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.errors import SettingMissing

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the stack tells a function.

    ``lease`` is longer than the function's time limit, so that whoever finds it over may take the work over.
    """

    region: str
    ledger_table: str
    policy_parameter: str
    notifications_topic_arn: str
    lease: timedelta
    dead_letter_queue_url: str | None

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
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise SettingMissing(name)
    return value
