"""The policy in force: read from SSM by one thread for all, kept for 5 seconds, with the last valid policy in the ledger as a fallback."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.pages import pages
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.domain.policy import Policy
from imdsv2.errors import PolicyRefused
from imdsv2.ledger.items import to_text
from imdsv2.ledger.trail import Provenance

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_ssm import SSMClient

    from imdsv2.ledger.last_good_policy import LastGoodPolicy

_FRESH_FOR = timedelta(seconds=5)
_RENEWED_AFTER = timedelta(seconds=3)
"""When the next thread reads it anew, while the others go on with what they have: all of those that change instances would stop and wait
for the one that reads."""
_GOOD_FOR = timedelta(minutes=5)
"""How long the last valid policy may stand in for an unreadable one; for a refused one, enforcement stops at once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The policy in force at a time. ``version``, ``modified_at``: of the parameter; None if it could not be used."""

    at: datetime
    in_force: PolicyInForce
    version: int | None = None
    modified_at: datetime | None = None

    @property
    def stamp(self) -> str | None:
        """By which one writing of the parameter is told from another."""
        return _stamp(self.modified_at, self.version)

    def is_older(self, age: timedelta, now: datetime) -> bool:
        """Whether it was read that long ago."""
        return now - self.at >= age


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One writing of the parameter: its text, and who wrote it when, as Systems Manager says."""

    version: int | None
    value: str
    modified_at: datetime | None = None
    by: str | None = None

    @property
    def stamp(self) -> str | None:
        """As of a `Reading`."""
        return _stamp(self.modified_at, self.version)


class PolicySource:
    """Reads the policy parameter; a change takes effect within a minute in every function. ``provenance``: is told of the version."""

    def __init__(
        self, ssm: SSMClient, last_good: LastGoodPolicy, parameter: str, provenance: Provenance | None = None
    ) -> None:
        self._ssm = ssm
        self._last_good = last_good
        self._parameter = parameter
        self._provenance = provenance or Provenance()
        self._last: Reading | None = None
        self._kept: Reading | None = None
        self._reading = Lock()

    def current(self, now: datetime) -> PolicyInForce:
        """The policy in force now. Writes nothing. Raises ClientError only if the ledger fails."""
        return self.read(now).in_force

    def keep(self, now: datetime) -> None:
        """Save the policy in force to the ledger as the fallback, if it is valid and was read from the parameter."""
        reading = self.read(now)
        if reading.version is None or reading.modified_at is None or reading is self._kept:
            return
        document = json.dumps(reading.in_force.policy.to_document())
        self._last_good.keep(document, reading.at, reading.version, reading.modified_at)
        self._kept = reading

    def read(self, now: datetime) -> Reading:
        """The policy in force now, and the parameter that it was read from. Writes nothing. Raises as `current`."""
        last = self._last
        if last is None or last.is_older(_FRESH_FOR, now):
            with self._reading:
                return self._read_anew(now)
        if last.is_older(_RENEWED_AFTER, now) and self._reading.acquire(blocking=False):
            try:
                return self._read_anew(now)
            finally:
                self._reading.release()
        return last

    def writings(self, stamp: str | None) -> list[Writing]:
        """The writings of the parameter later than a `stamp`, oldest first; without one, the last. Raises ClientError, and also where
        the function's role may not ask."""
        found = [
            Writing(
                version=each["Version"],
                value=each["Value"],
                modified_at=each["LastModifiedDate"],
                by=each.get("LastModifiedUser"),
            )
            for page in pages(self._ssm.get_parameter_history, Name=self._parameter)
            for each in page["Parameters"]
        ]
        found.sort(key=lambda each: (str(each.stamp), each.version or 0))
        return found[-1:] if stamp is None else [each for each in found if str(each.stamp) > stamp]

    def _read_anew(self, now: datetime) -> Reading:
        last = self._last
        # Another thread may have read it while this one waited.
        if last is not None and not last.is_older(_RENEWED_AFTER, now):
            return last
        self._last = reading = self._load(now)
        self._provenance.policy_version = reading.version
        return reading

    def _load(self, now: datetime) -> Reading:
        try:
            parameter = self._ssm.get_parameter(Name=self._parameter)["Parameter"]
            policy = Policy.from_json(parameter["Value"])
        except PolicyRefused as error:
            problem = f"The policy in {self._parameter} is refused ({error}); correct it."
            return Reading(now, replace(self._fallback(now, problem, timedelta()), is_refused=True))
        except CALL_FAILURES as error:
            problem = f"The policy in {self._parameter} cannot be read ({describe_error(error)})."
            return Reading(now, self._fallback(now, problem, _GOOD_FOR))
        in_force = PolicyInForce(policy=policy)
        return Reading(now, in_force, parameter["Version"], parameter["LastModifiedDate"])

    def _fallback(self, now: datetime, problem: str, good_for: timedelta) -> PolicyInForce:
        kept = self._last_good.read()
        if kept is None:
            return PolicyInForce(policy=Policy(), problem=problem)
        document, read_at = kept
        try:
            policy = Policy.from_json(document)
        except PolicyRefused:
            # Saved by another version of the service and invalid in this one: use the defaults.
            return PolicyInForce(policy=Policy(), problem=problem)
        return PolicyInForce(policy=policy, problem=None if now - read_at < good_for else problem)


def _stamp(modified_at: datetime | None, version: int | None) -> str | None:
    return f"{to_text(modified_at)} {version}" if modified_at is not None else None
