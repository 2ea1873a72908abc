"""The policy: one JSON document in an SSM parameter. An invalid field causes the whole document to be refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from imdsv2.domain.json_values import shown, shown_name, without_repeats
from imdsv2.domain.policy_checks import (
    Check,
    accounts,
    calendar,
    one_of,
    regions,
    share,
    tag_key,
    tag_key_or_none,
    whole,
    yes_or_no,
)
from imdsv2.errors import PolicyRefused

LONGEST_MEMORY_DAYS = 455
"""Days for which CloudWatch keeps one-hour datapoints."""

LONGEST_WATCH_HOURS = 168
"""The guard gives up on a watch after seven days of the instance's running time."""

SHORTEST_WATCH_HOURS = 3
"""What CloudWatch lists as active lately reaches back three hours: a shorter watch would end before it is seen."""

SHORTEST_CANARY_HOURS = 6
"""Software goes on for so long with the credentials that it has already fetched, whatever happens to the next request."""

LONGEST_NOTICE_HOURS = 90 * 24
"""90 days: an owner who is notified earlier than that has forgotten by the time of the change."""

LONGEST_EXEMPTION_DAYS = 3650
"""Ten years: what is meant to last longer is better left out of the policy's accounts and Regions."""


class Mode(StrEnum):
    """What the service may do."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class BootEvidence(StrEnum):
    """Whether the last start must have been observed."""

    REQUIRE = "require"
    IGNORE = "ignore"


class Watch(StrEnum):
    """How closely refused calls are looked for in the first hours of a watch."""

    FAST = "fast"
    SLOW = "slow"


class RollbackMode(StrEnum):
    """What the guard does when software breaks."""

    AUTO = "auto"
    ALERT = "alert"


class Approval(StrEnum):
    """Whether a person has to approve each change."""

    NONE = "none"
    REQUIRED = "required"


class SourceMode(StrEnum):
    """What becomes of what launches instances that allow IMDSv1."""

    REPORT = "report"
    FIX = "fix"


class Digest(StrEnum):
    """When people are told of what is not urgent."""

    DAILY = "daily"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The share of a cohort that goes first, and the hours it must stay clean before the rest follows."""

    share: float = 0.1
    hours: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The conditions and the scope of enforcement. Absent fields take these defaults."""

    mode: Mode = Mode.OBSERVE
    lookback_days: int = 35
    min_observed_hours: int = 168
    min_coverage: float = 0.9
    boot_evidence: BootEvidence = BootEvidence.REQUIRE
    exempt_tag: str = "imdsv2:exempt-until"
    include_accounts: frozenset[str] = frozenset()
    exclude_accounts: frozenset[str] = frozenset()
    exclude_regions: frozenset[str] = frozenset()
    max_enforcements_per_hour: int = 50
    watch_hours: int = 24
    watch: Watch = Watch.FAST
    rollback: RollbackMode = RollbackMode.AUTO
    rejected_threshold: int = 1
    rejected_periods: int = 2
    rollback_tag: str = "imdsv2:rollback"
    max_gap_hours: int = 24
    min_clean_starts: int = 3
    cohort_evidence: bool = True
    canary: Canary | None = Canary()
    cohort_tag: str | None = None
    change_calendar: str | None = None
    approval: Approval = Approval.NONE
    notice_hours: int = 0
    owner_tag: str = "owner"
    source: SourceMode = SourceMode.REPORT
    digest: Digest = Digest.DAILY
    max_exemption_days: int = 400

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Parse the SSM parameter's document. Raises PolicyRefused, which names the field and the accepted values."""
        try:
            document = json.loads(text, object_pairs_hook=without_repeats)
        except (ValueError, RecursionError) as error:
            raise PolicyRefused("policy", f"is not a JSON document ({error}); write one JSON object") from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Policy:
        """Validate a parsed document. Raises PolicyRefused, which names the field and the accepted values."""
        if not isinstance(document, Mapping):
            raise PolicyRefused("policy", 'takes a JSON object, e.g. {"mode": "observe"}')
        policy = cls(**_checked(document, _CHECKS, of="the policy"))
        hours = policy.lookback_days * 24
        if policy.min_observed_hours > hours:
            raise PolicyRefused(
                "min_observed_hours",
                f"is {shown(policy.min_observed_hours)}, but {policy.lookback_days} days have {hours} hours; lower it or raise lookback_days",
            )
        return policy

    def to_document(self) -> dict[str, Any]:
        """The policy as JSON-compatible values, with every field present."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def _plain(value: object) -> object:
    match value:
        case frozenset():
            return sorted(value)
        case Canary():
            return asdict(value)
        case _:
            return value


def _checked(document: Mapping[str, object], checks: Mapping[str, Check], *, of: str, path: str = "") -> dict[str, Any]:
    """Validate every field with its check. Raises PolicyRefused for an unknown field."""
    for name in document:
        if name not in checks:
            problem = f"is no field of {of}; known are {', '.join(sorted(checks))}"
            raise PolicyRefused(shown_name(f"{path}{name}"), problem)
    return {name: checks[name](f"{path}{name}", value) for name, value in document.items()}


def _canary(name: str, value: object) -> Canary | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise PolicyRefused(name, f'takes an object, e.g. {{"share": 0.1, "hours": 24}}, or null, not {shown(value)}')
    return Canary(**_checked(value, _CANARY_CHECKS, of=name, path=f"{name}."))


_CANARY_CHECKS: Mapping[str, Check] = {
    "share": share,
    "hours": whole("hours", SHORTEST_CANARY_HOURS, LONGEST_WATCH_HOURS),
}
_CHECKS: Mapping[str, Check] = {
    "mode": one_of(Mode),
    "lookback_days": whole("days", 1, LONGEST_MEMORY_DAYS),
    "min_observed_hours": whole("hours", 0),
    "min_coverage": share,
    "boot_evidence": one_of(BootEvidence),
    "exempt_tag": tag_key,
    "include_accounts": accounts,
    "exclude_accounts": accounts,
    "exclude_regions": regions,
    "max_enforcements_per_hour": whole("enforcements", 1),
    "watch_hours": whole("hours", SHORTEST_WATCH_HOURS, LONGEST_WATCH_HOURS),
    "watch": one_of(Watch),
    "rollback": one_of(RollbackMode),
    "rejected_threshold": whole("rejected calls", 1),
    "rejected_periods": whole("periods of five minutes", 1),
    "rollback_tag": tag_key,
    "max_gap_hours": whole("hours", 1),
    "min_clean_starts": whole("starts", 1),
    "cohort_evidence": yes_or_no,
    "cohort_tag": tag_key_or_none,
    "canary": _canary,
    "change_calendar": calendar,
    "approval": one_of(Approval),
    "notice_hours": whole("hours", 0, LONGEST_NOTICE_HOURS),
    "owner_tag": tag_key,
    "source": one_of(SourceMode),
    "digest": one_of(Digest),
    "max_exemption_days": whole("days", 1, LONGEST_EXEMPTION_DAYS),
}
