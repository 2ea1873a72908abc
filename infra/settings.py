"""The settings of a deployment: read from the CDK context once, checked, and never changed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from imdsv2.errors import PolicyRefused
from imdsv2.policy import Policy
from infra.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_BATCHING_WINDOW_SECONDS = 10
"""A finding waits no longer than this before it is looked at."""

LONGEST_STANDARD_PARAMETER = 4096
"""Bytes that an SSM parameter of the standard tier holds."""

LOG_RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
"""The only retentions that CloudWatch Logs knows."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `cdk.json` says under `context`; `-c name=value` on the command line overrides one of them."""

    policy: str
    """The first policy document, as the JSON text that goes into the parameter."""
    member_accounts: tuple[str, ...]
    """Accounts that may put their Config events on the bus."""
    notification_email: str | None
    """Who is told; nobody is subscribed if it is empty."""
    log_retention_days: int
    batching_window_seconds: int
    """How long findings are collected into one batch; 0 answers each at once, in batches of ten at most."""

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Settings:
        """Check the settings among a CDK context's keys. The CDK's own keys hold a colon or a slash, ours never do."""
        given = {name: value for name, value in context.items() if name.isidentifier()}
        known = {each.name for each in fields(cls)}
        for name in sorted(given.keys() ^ known):
            if name in known:
                raise SettingRefused(name, "is missing; write it under context in cdk.json")
            raise SettingRefused(name, f"is no setting; known are {', '.join(sorted(known))}")
        return cls(**{name: _CHECKS[name](name, value) for name, value in given.items()})


def _policy(name: str, value: object) -> str:
    """The document as it stands, once the code that will read it has accepted it."""
    document = _from_command_line(value)
    text = json.dumps(document, indent=2)
    try:
        Policy.from_json(text)
    except PolicyRefused as refusal:
        raise SettingRefused(name, f"is refused: {refusal}") from refusal
    if len(text.encode()) > LONGEST_STANDARD_PARAMETER:
        raise SettingRefused(name, f"is longer than {LONGEST_STANDARD_PARAMETER} bytes; shorten its lists")
    return text


def _accounts(name: str, value: object) -> tuple[str, ...]:
    accounts = _from_command_line(value)
    takes = 'takes a list of account ids in quotes, e.g. ["222222222222"]'
    if not isinstance(accounts, list):
        raise SettingRefused(name, f"{takes}, not {json.dumps(accounts)}")
    for each in accounts:
        if not isinstance(each, str) or _ACCOUNT.fullmatch(each) is None:
            raise SettingRefused(name, f"{takes}; {json.dumps(each)} is none")
    return tuple(sorted(set(accounts)))


def _email(name: str, value: object) -> str | None:
    if value == "":
        return None
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return value
    raise SettingRefused(name, f'takes one e-mail address, or "" for none, not {json.dumps(value)}')


def _retention(name: str, value: object) -> int:
    days = _from_command_line(value)
    if type(days) is not int or days not in LOG_RETENTION_DAYS:
        raise SettingRefused(name, f"takes one of {', '.join(map(str, LOG_RETENTION_DAYS))}, not {json.dumps(days)}")
    return days


def _window(name: str, value: object) -> int:
    seconds = _from_command_line(value)
    if type(seconds) is not int or not 0 <= seconds <= LONGEST_BATCHING_WINDOW_SECONDS:
        takes = f"takes a whole number of seconds from 0 to {LONGEST_BATCHING_WINDOW_SECONDS}"
        raise SettingRefused(name, f"{takes}, not {json.dumps(seconds)}")
    return seconds


def _from_command_line(value: object) -> object:
    """`cdk -c name=value` hands every value over as text: read it as the JSON that would stand in cdk.json."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "policy": _policy,
    "member_accounts": _accounts,
    "notification_email": _email,
    "log_retention_days": _retention,
    "batching_window_seconds": _window,
}
