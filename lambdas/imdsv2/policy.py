"""The policy: one JSON document in an SSM parameter, refused as a whole if any of it is not understood."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from imdsv2.errors import PolicyRefused

LONGEST_MEMORY_DAYS = 455
"""Days for which CloudWatch keeps one-hour datapoints."""

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", re.ASCII)
_TAG_KEY_CHARACTERS = 128


class Mode(StrEnum):
    """What the service may do."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class BootEvidence(StrEnum):
    """Whether the last start must have been observed."""

    REQUIRE = "require"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What has to be true before an instance is changed, and where. Absent fields take these defaults."""

    mode: Mode = Mode.OBSERVE
    lookback_days: int = 35
    min_observed_hours: int = 168
    min_coverage: float = 0.9
    boot_evidence: BootEvidence = BootEvidence.REQUIRE
    exempt_tag: str = "imdsv2:exempt-until"
    include_accounts: frozenset[str] = frozenset()
    exclude_accounts: frozenset[str] = frozenset()
    exclude_regions: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read the document of the SSM parameter. Raises PolicyRefused, which names the field and what it takes."""
        try:
            document = json.loads(text, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            raise PolicyRefused("policy", f"is not a JSON document ({error}); write one JSON object") from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Policy:
        """Check a parsed document. Raises PolicyRefused, which names the field and what it takes."""
        if not isinstance(document, Mapping):
            raise PolicyRefused("policy", 'takes a JSON object, e.g. {"mode": "observe"}')
        known = {each.name for each in fields(cls)}
        for name in document:
            if name not in known:
                raise PolicyRefused(
                    str(name)[:_TAG_KEY_CHARACTERS], f"is no field of the policy; known are {', '.join(sorted(known))}"
                )
        checked: dict[str, Any] = {name: _CHECKS[name](name, value) for name, value in document.items()}
        policy = cls(**checked)
        hours = policy.lookback_days * 24
        if policy.min_observed_hours > hours:
            raise PolicyRefused(
                "min_observed_hours",
                f"is {_shown(policy.min_observed_hours)}, but {policy.lookback_days} days have {hours} hours; lower it or raise lookback_days",
            )
        return policy

    def to_document(self) -> dict[str, Any]:
        """The same policy as plain JSON values, every field spelled out."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field given twice has no one meaning; json would silently take the last."""
    document = dict(pairs)
    if len(document) != len(pairs):
        repeated = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise PolicyRefused(repeated, "is given twice; keep one")
    return document


def _mode(name: str, value: object) -> Mode:
    if not isinstance(value, str) or value not in set(Mode):
        raise PolicyRefused(name, f'takes "off", "observe" or "enforce", not {_shown(value)}')
    return Mode(value)


def _boot_evidence(name: str, value: object) -> BootEvidence:
    if not isinstance(value, str) or value not in set(BootEvidence):
        raise PolicyRefused(name, f'takes "require" or "ignore", not {_shown(value)}')
    return BootEvidence(value)


def _days(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= LONGEST_MEMORY_DAYS:
        raise PolicyRefused(name, f"takes a whole number of days from 1 to {LONGEST_MEMORY_DAYS}, not {_shown(value)}")
    return value


def _hours(name: str, value: object) -> int:
    if type(value) is not int or value < 0:
        raise PolicyRefused(name, f"takes a whole number of hours, 0 or more, not {_shown(value)}")
    return value


def _share(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise PolicyRefused(name, f"takes a number above 0 and up to 1, not {_shown(value)}")
    return float(value)


def _tag_key(name: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _TAG_KEY_CHARACTERS or value.startswith("aws:"):
        raise PolicyRefused(
            name, f"takes a tag key of 1 to 128 characters that does not begin with aws:, not {_shown(value)}"
        )
    return value


def _accounts(name: str, value: object) -> frozenset[str]:
    return _all_matching(name, value, _ACCOUNT, 'a list of account ids, e.g. ["222222222222"]')


def _regions(name: str, value: object) -> frozenset[str]:
    return _all_matching(name, value, _REGION, 'a list of Regions, e.g. ["us-east-1"]')


def _all_matching(name: str, value: object, pattern: re.Pattern[str], takes: str) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise PolicyRefused(name, f"takes {takes}, not {_shown(value)}")
    for each in value:
        if not isinstance(each, str) or pattern.fullmatch(each) is None:
            raise PolicyRefused(name, f"takes {takes}; {_shown(each)} is none")
    return frozenset(value)


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "a value nested too deep to be shown"
    return text if len(text) <= 80 else text[:77] + "..."


_CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "mode": _mode,
    "lookback_days": _days,
    "min_observed_hours": _hours,
    "min_coverage": _share,
    "boot_evidence": _boot_evidence,
    "exempt_tag": _tag_key,
    "include_accounts": _accounts,
    "exclude_accounts": _accounts,
    "exclude_regions": _regions,
}
