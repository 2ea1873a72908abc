"""The policy in force: read from SSM, cached for 5 seconds, with the last valid policy in the ledger as a fallback."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.aws.errors import describe_error
from imdsv2.domain.policy import Policy, PolicyInForce
from imdsv2.errors import PolicyRefused

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_ssm import SSMClient

    from imdsv2.ledger.table import Ledger

_FRESH_FOR = timedelta(seconds=5)
_GOOD_FOR = timedelta(minutes=5)
"""How long the last valid policy may stand in for an unreadable one; for a refused one, enforcement stops at once."""


class PolicySource:
    """Reads the policy parameter; a change takes effect within a minute in every function."""

    def __init__(self, ssm: SSMClient, ledger: Ledger, parameter: str) -> None:
        self._ssm = ssm
        self._ledger = ledger
        self._parameter = parameter
        self._read: tuple[datetime, PolicyInForce] | None = None
        self._kept_at: datetime | None = None

    def current(self, now: datetime) -> PolicyInForce:
        """The policy in force now. Writes nothing. Raises ClientError only if the ledger fails."""
        if self._read is None or now - self._read[0] >= _FRESH_FOR:
            self._read = (now, self._load(now))
        return self._read[1]

    def keep(self, now: datetime) -> None:
        """Save the policy in force to the ledger as the fallback, if it is valid and was read from the parameter."""
        in_force = self.current(now)
        read_at = self._read[0] if self._read else now
        if in_force.problem is None and in_force.is_from_parameter and self._kept_at != read_at:
            self._ledger.keep_policy(json.dumps(in_force.policy.to_document()), read_at)
            self._kept_at = read_at

    def _load(self, now: datetime) -> PolicyInForce:
        try:
            text = self._ssm.get_parameter(Name=self._parameter)["Parameter"]["Value"]
            policy = Policy.from_json(text)
        except PolicyRefused as error:
            return self._last_good(
                now, f"The policy in {self._parameter} is refused ({error}); correct it.", timedelta()
            )
        except (ClientError, BotoCoreError) as error:
            problem = f"The policy in {self._parameter} cannot be read ({describe_error(error)})."
            return self._last_good(now, problem, _GOOD_FOR)
        return PolicyInForce(policy=policy, is_from_parameter=True)

    def _last_good(self, now: datetime, problem: str, good_for: timedelta) -> PolicyInForce:
        kept = self._ledger.last_good_policy()
        if kept is None:
            return PolicyInForce(policy=Policy(), problem=problem)
        document, read_at = kept
        try:
            policy = Policy.from_json(document)
        except PolicyRefused:
            # Saved by another version of the service and invalid in this one: use the defaults.
            return PolicyInForce(policy=Policy(), problem=problem)
        return PolicyInForce(policy=policy, problem=None if now - read_at < good_for else problem)
