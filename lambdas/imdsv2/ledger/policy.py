"""The policy in force: read from SSM at most every few seconds, with the last good one behind it."""

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
"""How long the last good policy may stand in for one that cannot be read; a refused one is never stood in for."""


class PolicySource:
    """Reads the parameter; a change is live within a minute in every function."""

    def __init__(self, ssm: SSMClient, ledger: Ledger, parameter: str) -> None:
        self._ssm = ssm
        self._ledger = ledger
        self._parameter = parameter
        self._read: tuple[datetime, PolicyInForce] | None = None
        self._kept_at: datetime | None = None

    def current(self, now: datetime) -> PolicyInForce:
        """The policy in force now; nothing is written. Raises ClientError only where the ledger fails."""
        if self._read is None or now - self._read[0] >= _FRESH_FOR:
            self._read = (now, self._load(now))
        return self._read[1]

    def keep(self, now: datetime) -> None:
        """Remember the policy in force in the ledger, if it is a good one, for the time when there is none to be read."""
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
            # Kept by another version of the service; its rules are not ours to guess.
            return PolicyInForce(policy=Policy(), problem=problem)
        return PolicyInForce(policy=policy, problem=None if now - read_at < good_for else problem)
