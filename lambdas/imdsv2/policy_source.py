"""The policy in force: read from SSM at most every few seconds, with the last good one behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.aws import describe_error
from imdsv2.errors import PolicyRefused
from imdsv2.policy import Policy

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_ssm import SSMClient

    from imdsv2.ledger import Ledger

_FRESH_FOR = timedelta(seconds=5)
_GOOD_FOR = timedelta(minutes=5)
"""How long the last good policy may stand in for one that cannot be read; a refused one is never stood in for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    """The rules that verdicts follow; while there is a ``problem`` with them, nothing is enforced."""

    policy: Policy
    problem: str | None = None


class PolicySource:
    """Reads the parameter; a change is live within a minute in every function."""

    def __init__(self, ssm: SSMClient, ledger: Ledger, parameter: str) -> None:
        self._ssm = ssm
        self._ledger = ledger
        self._parameter = parameter
        self._read: tuple[datetime, PolicyInForce] | None = None

    def current(self, now: datetime) -> PolicyInForce:
        """The policy in force now. Raises ClientError only where the ledger fails."""
        if self._read is None or now - self._read[0] >= _FRESH_FOR:
            self._read = (now, self._load(now))
        return self._read[1]

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
        self._ledger.keep_policy(json.dumps(policy.to_document()), now)
        return PolicyInForce(policy=policy)

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
