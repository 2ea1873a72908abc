"""What each setting takes: a value is refused with the setting's name and what it takes instead."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from imdsv2.domain.regions import unknown_region
from imdsv2.errors import PolicyRefused
from infra.capture_options import CaptureOptions
from infra.errors import SettingRefused
from infra.event_patterns import LONGEST_PATTERN, config_pattern
from infra.guardrails.options import GuardrailOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

ARCHITECTURES = ("arm64", "x86_64")
"""What Lambda calls the processors; the functions hold nothing that is compiled for one."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_ORGANIZATIONAL_UNIT = re.compile(r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32}")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_RULE_NAME = re.compile(r"(?! )[ -)+-~]{1,128}(\*|(?<! ))")
_NAME_PREFIX = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ROLE_PREFIX = re.compile(r"[A-Za-z0-9+=,.@_-]*")
_ROLE_PATH = re.compile(r"/([A-Za-z0-9+=,.@_-]+/)*")
_POLICY_NAME = re.compile(r"([A-Za-z0-9+=,.@_-]+/)*[A-Za-z0-9+=,.@_-]{1,128}")

RESERVED = ("aws", "ssm", "amazon", "amzn")
"""Names of parameters (the first two) and documents (all but the second) must not begin like this."""
RESERVED_PATHS = ("/aws-service-role/", "/aws-reserved/")
DEFAULT_BUS = "default"
LONGEST_NAME_PREFIX = 24
LONGEST_ROLE_PREFIX = 16
"""Together with the rest of a role's name, these stay within the 64 characters that IAM takes."""
LONGEST_ROLE_PATH = 64
"""Characters; IAM takes 512, but the functions' environment holds it too."""
MOST_AT_ONCE = 1000
FEWEST_BATCHES_AT_ONCE = 2
"""The least that Lambda takes as the maximum concurrency of a queue."""
MOST_MEMBER_ACCOUNTS = 200
"""Accounts; more would exceed the 4 KB of a function's environment and the 10 KB of a bus's policy."""


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


def _regions(name: str, value: object) -> tuple[str, ...]:
    """Regions that exist: with another one, StackSets would fail in the middle of a deployment."""
    regions = _list_of("Regions", _REGION, "eu-west-1")(name, value)
    for each in regions:
        if (problem := unknown_region(each)) is not None:
            remedy = "into a Region newer than this version, deploy the rule by hand"
            raise SettingRefused(name, f"takes Regions that exist: {problem}; {remedy}")
    return regions


def _organization(name: str, value: object) -> str | None:
    if value == "":
        return None
    if isinstance(value, str) and _ORGANIZATION.fullmatch(value):
        return value
    raise SettingRefused(name, f'takes the id of an organisation (o-...), or "" for none, not {json.dumps(value)}')


def _one_of(words: Sequence[str]) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise SettingRefused(name, f"takes {' or '.join(words)}, not {json.dumps(value)}")

    return check


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


def _whole_number(least: int, most: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        number = _from_command_line(value)
        if type(number) is not int or not least <= number <= most:
            raise SettingRefused(name, f"takes a whole number from {least} to {most}, not {json.dumps(number)}")
        return number

    return check


def _text(pattern: re.Pattern[str], longest: int, takes: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or pattern.fullmatch(value) is None:
            problem = f"takes {takes}, of at most {longest} characters, not {json.dumps(value)}"
            raise SettingRefused(name, problem)
        return value

    return check


def _name_prefix(name: str, value: object) -> str:
    takes = "lower-case letters and digits with hyphens between them, e.g. imdsv2-pilot"
    prefix = _text(_NAME_PREFIX, LONGEST_NAME_PREFIX, takes)(name, value)
    if prefix.startswith(RESERVED):
        begins = ", ".join(RESERVED[:-1])
        problem = (
            f"must not begin with {begins} or {RESERVED[-1]}, which Systems Manager refuses; put your own word in front"
        )
        raise SettingRefused(name, f"{problem}, e.g. acme-{prefix[: LONGEST_NAME_PREFIX - 5]}")
    if prefix == DEFAULT_BUS:
        raise SettingRefused(name, f"must not be {DEFAULT_BUS}: every account has an event bus of this name already")
    return prefix


def _accounts(name: str, value: object) -> tuple[str, ...]:
    accounts = _list_of("account ids", _ACCOUNT, "222222222222")(name, value)
    if len(accounts) > MOST_MEMBER_ACCOUNTS:
        remedy = "put them into an organisation and set organization_id, which needs no list"
        raise SettingRefused(name, f"takes at most {MOST_MEMBER_ACCOUNTS} accounts, not {len(accounts)}; {remedy}")
    return accounts


def _rule_names(name: str, value: object) -> tuple[str, ...]:
    what = "names of Config rules (up to 128 characters of ASCII), or beginnings of names that end with a star,"
    rules = _list_of(what, _RULE_NAME, "require-imdsv2")(name, value)
    if len(json.dumps(config_pattern(rules))) > LONGEST_PATTERN:
        remedy = "name their common beginning once, with a star behind it"
        raise SettingRefused(name, f"takes fewer names: EventBridge takes {LONGEST_PATTERN} characters; {remedy}")
    return rules


def _role_path(name: str, value: object) -> str:
    path = _text(_ROLE_PATH, LONGEST_ROLE_PATH, "a path that begins and ends with a slash, e.g. /security/")(
        name, value
    )
    if path.startswith(RESERVED_PATHS):
        begins = " or ".join(RESERVED_PATHS)
        raise SettingRefused(
            name, f"must not begin with {begins}, which IAM keeps for AWS; take another, e.g. /security/"
        )
    return path


def _boundary(name: str, value: object) -> str | None:
    if value == "":
        return None
    if isinstance(value, str) and _POLICY_NAME.fullmatch(value):
        return value
    takes = 'takes the name of a policy that every account has, with its path if it has one, or "" for no boundary'
    raise SettingRefused(name, f"{takes}, not {json.dumps(value)}")


def _switch(name: str, value: object) -> bool:
    given = _from_command_line(value)
    if not isinstance(given, bool):
        raise SettingRefused(name, f"takes true or false, not {json.dumps(given)}")
    return given


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


CHECKS: dict[str, Callable[[str, object], Any]] = {
    "policy": _policy,
    "member_accounts": _accounts,
    "organization_id": _organization,
    "organizational_units": _list_of("ids of organisational units or roots", _ORGANIZATIONAL_UNIT, "ou-ab12-cd34ef56"),
    "member_regions": _regions,
    "call_as": _one_of(CALLERS),
    "notification_email": _email,
    "chat_messages": _switch,
    "log_retention_days": _retention,
    "architecture": _one_of(ARCHITECTURES),
    "quota_share": _quota_share,
    "guardrails": lambda name, value: GuardrailOptions.from_setting(name, _from_command_line(value)),
    "capture": lambda name, value: CaptureOptions.from_setting(name, _from_command_line(value)),
    "selftest": _switch,
    "batching_window_seconds": _window,
    "config_rule_names": _rule_names,
    "sweep_concurrency": _whole_number(1, MOST_AT_ONCE),
    "remediate_concurrency": _whole_number(FEWEST_BATCHES_AT_ONCE, MOST_AT_ONCE),
    "name_prefix": _name_prefix,
    "role_prefix": _text(_ROLE_PREFIX, LONGEST_ROLE_PREFIX, 'characters that IAM takes in a name, e.g. acme-, or ""'),
    "role_path": _role_path,
    "role_permissions_boundary": _boundary,
}
