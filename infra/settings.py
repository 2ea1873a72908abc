"""The settings of a deployment: read from the CDK context once, validated, and immutable."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from imdsv2.errors import PolicyRefused
from infra.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_BATCHING_WINDOW_SECONDS = 10
"""The longest that a finding waits for its batch."""

LONGEST_STANDARD_PARAMETER = 4096
"""Maximum bytes of an SSM parameter of the standard tier."""

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
"""The only retention periods that CloudWatch Logs accepts."""

CALLERS = ("DELEGATED_ADMIN", "SELF")
"""The role in which the security account calls StackSets: delegated administrator or management account."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_ORGANIZATIONAL_UNIT = re.compile(r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32}")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings under `context` in `cdk.json`; `-c name=value` on the command line overrides one of them."""

    policy: str
    """The initial policy document, as the JSON text that goes into the parameter."""
    member_accounts: tuple[str, ...]
    """Accounts that may put their Config events on the bus; empty with an organisation, because all of its accounts
    may."""
    organization_id: str | None
    """Nobody outside this organisation may put events on the bus, and its roles trust only accounts inside it."""
    organizational_units: tuple[str, ...]
    """Organizational units to which the stack deploys the member templates; empty: they are deployed by hand."""
    member_regions: tuple[str, ...]
    """Regions whose Config events the organisation's accounts forward; empty: the Region of the stack."""
    call_as: str
    notification_email: str | None
    """The email address to subscribe to the topic; empty: no subscription."""
    log_retention_days: int
    quota_share: float
    """The share of AWS's request quotas that the service uses; people share these quotas."""
    batching_window_seconds: int
    """Seconds for which findings are collected into a batch; 0: no window, and batches of ten at most."""

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Settings:
        """Validate the settings in a CDK context. The CDK's own keys contain a colon or a slash; the service's keys
        never do."""
        given = {name: value for name, value in context.items() if name.isidentifier()}
        known = {each.name for each in fields(cls)}
        for name in sorted(given.keys() ^ known):
            if name in known:
                raise SettingRefused(name, "is missing; write it under context in cdk.json")
            raise SettingRefused(name, f"is no setting; known are {', '.join(sorted(known))}")
        settings = cls(**{name: _CHECKS[name](name, value) for name, value in given.items()})
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        """Refuse a setting that another setting would make ineffective, because its author expects an effect."""
        if self.organization_id is not None and self.member_accounts:
            takes = "takes no accounts beside organization_id, which lets all of its accounts in; make it []"
            raise SettingRefused("member_accounts", takes)
        if self.organization_id is None and self.organizational_units:
            raise SettingRefused("organizational_units", "needs organization_id, the organisation that they belong to")
        if self.member_regions and not self.organizational_units:
            takes = "needs organizational_units: without them nothing is deployed to members, in any Region; make it []"
            raise SettingRefused("member_regions", takes)


def _policy(name: str, value: object) -> str:
    """The document as written, once the code that reads it at run time has accepted it."""
    document = _from_command_line(value)
    text = json.dumps(document, indent=2)
    try:
        Policy.from_json(text)
    except PolicyRefused as refusal:
        raise SettingRefused(name, f"is refused: {refusal}") from refusal
    if len(text.encode()) > LONGEST_STANDARD_PARAMETER:
        raise SettingRefused(name, f"is longer than {LONGEST_STANDARD_PARAMETER} bytes; shorten its lists")
    return text


def _list_of(what: str, pattern: re.Pattern[str], example: str) -> Callable[[str, object], tuple[str, ...]]:
    """A check for a list of texts of one format; it returns them in order, without duplicates."""
    takes = f'takes a list of {what} in quotes, e.g. ["{example}"]'

    def check(name: str, value: object) -> tuple[str, ...]:
        given = _from_command_line(value)
        if not isinstance(given, list):
            raise SettingRefused(name, f"{takes}, not {json.dumps(given)}")
        for each in given:
            if not isinstance(each, str) or pattern.fullmatch(each) is None:
                raise SettingRefused(name, f"{takes}; {json.dumps(each)} is none")
        return tuple(sorted(set(given)))

    return check


def _organization(name: str, value: object) -> str | None:
    if value == "":
        return None
    if isinstance(value, str) and _ORGANIZATION.fullmatch(value):
        return value
    raise SettingRefused(name, f'takes the id of an organisation (o-...), or "" for none, not {json.dumps(value)}')


def _caller(name: str, value: object) -> str:
    if isinstance(value, str) and value in CALLERS:
        return value
    raise SettingRefused(name, f"takes {' or '.join(CALLERS)}, not {json.dumps(value)}")


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


def _quota_share(name: str, value: object) -> float:
    share = _from_command_line(value)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < math.inf:
        takes = "takes a number above 0, e.g. 0.5, or 2 where AWS has raised the quotas"
        raise SettingRefused(name, f"{takes}, not {json.dumps(share)}")
    return float(share)


def _from_command_line(value: object) -> object:
    """`cdk -c name=value` passes every value as text: parse it as the JSON that cdk.json would contain."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "policy": _policy,
    "member_accounts": _list_of("account ids", _ACCOUNT, "222222222222"),
    "organization_id": _organization,
    "organizational_units": _list_of("ids of organisational units or roots", _ORGANIZATIONAL_UNIT, "ou-ab12-cd34ef56"),
    "member_regions": _list_of("Regions", _REGION, "eu-west-1"),
    "call_as": _caller,
    "notification_email": _email,
    "log_retention_days": _retention,
    "quota_share": _quota_share,
    "batching_window_seconds": _window,
}
