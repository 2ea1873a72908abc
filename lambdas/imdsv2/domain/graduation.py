"""Graduation: the metadata defaults of an account and Region in which nothing allows IMDSv1 any more are locked, and unlocked again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imdsv2.domain.instance import Placed

TOKENS, HOPS, ENFORCED = "HttpTokens", "HttpPutResponseHopLimit", "HttpTokensEnforced"
UNSET: Mapping[str, Any] = {TOKENS: "no-preference", HOPS: -1, ENFORCED: "no-preference"}
"""What EC2 takes to remove each of an account's defaults."""
BY_POLICY = "declarative-policy"
"""Who manages the defaults where the account itself cannot."""


class Lock(StrEnum):
    """What the ledger says of the defaults of a place."""

    LOCKING = "locking"
    LOCKED = "locked"
    UNLOCKING = "unlocking"
    UNLOCKED = "unlocked"
    FAILED = "failed"


_LONGEST = timedelta(minutes=16)
"""Longer than the function runs that changes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graduation:
    """The ledger's item of a place. ``version`` is 0 if there is none yet.

    Args:
        before: the defaults that were changed, as they were before the first change; put back by an undo.
        wanted: the defaults that the service has set.
        by: who asked for it, as claimed, with the request id.
    """

    place: Placed
    version: int = 0
    status: str | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    wanted: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    at: datetime | None = None
    error: str | None = None

    @property
    def holds(self) -> bool:
        """Whether defaults may stand that the service has set, and that an undo would put back."""
        return bool(self.before) and self.status != Lock.UNLOCKED

    def busy_until(self, now: datetime) -> datetime | None:
        """Until when another invocation may be changing them; None if none does."""
        if self.status not in {Lock.LOCKING, Lock.UNLOCKING} or self.at is None or now >= self.at + _LONGEST:
            return None
        return self.at + _LONGEST


def wanted_of(*, hop_limit: int | None, enforce: bool) -> dict[str, Any]:
    """The defaults to set. ``enforce`` is a step of its own: launches that allow IMDSv1 fail from then on, and so do rollbacks."""
    if enforce:
        return {ENFORCED: "enabled"}
    return {TOKENS: "required", **({HOPS: hop_limit} if hop_limit is not None else {})}


def missing(wanted: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``wanted`` the defaults do not say yet."""
    return {name: value for name, value in wanted.items() if now.get(name, UNSET[name]) != value}


def as_before(names: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The present value of each of these defaults, in the form in which EC2 takes it back."""
    return {name: now.get(name, UNSET[name]) for name in names}
