"""The setting `guardrails`: which policies there are, what they are attached to, and what they take."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import SettingRefused
from infra.guardrails.policies import Guardrail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TARGET = re.compile(r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32}|[0-9]{12}")
_ROLE = re.compile(r"[A-Za-z0-9+=,.@_/-]+\*?")
_MOST_HOPS = 64

STACK_SETS = "stacksets-exec-*"
"""The roles as which StackSets of an organisation deploy to its accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailOptions:
    """The setting, checked.

    Args:
        targets: guardrail to the roots, organizational units and accounts that it is attached to; only these are made.
        max_hop_limit: launches with more hops are refused, 1 to 64.
        networks: addresses from which instances reach AWS without an endpoint, e.g. those of NAT gateways; with none,
            use of credentials outside endpoints is not looked at.
        tokens_enforced: whether the default also refuses launches that allow IMDSv1; it forbids rollbacks, too.
        deployers: roles (path and name, `*` at the end) that may change the excepted roles, and each other.
        selftest: whether the role of the self-test is excepted.
    """

    targets: Mapping[Guardrail, tuple[str, ...]] = field(default_factory=dict)
    max_hop_limit: int = 2
    networks: tuple[str, ...] = ()
    tokens_enforced: bool = False
    deployers: tuple[str, ...] = (STACK_SETS,)
    selftest: bool = False

    @classmethod
    def from_setting(cls, name: str, given: object) -> GuardrailOptions:
        """Check the setting; an empty object makes no guardrail.

        Raises:
            SettingRefused: names the field and what it takes.
        """
        if not isinstance(given, dict):
            takes = 'takes an object, e.g. {"launches": ["ou-ab12-cd34ef56"]}, or {} for no guardrails'
            raise SettingRefused(name, f"{takes}, not {json.dumps(given)}")
        checks: dict[str, Callable[[str, object], Any]] = {
            "max_hop_limit": _hops,
            "networks": _networks,
            "tokens_enforced": _switch,
            "deployers": _deployers,
        }
        guardrails = [each.value for each in Guardrail]
        for key in given:
            if key not in checks and key not in guardrails:
                known = ", ".join([*guardrails, *checks])
                raise SettingRefused(name, f"has no field {json.dumps(key)}; known are {known}")
        targets = {each: _targets(f"{name}.{each}", given[each]) for each in Guardrail if each in given}
        rest = {key: check(f"{name}.{key}", given[key]) for key, check in checks.items() if key in given}
        return cls(targets=targets, **rest)


def _targets(name: str, given: object) -> tuple[str, ...]:
    takes = (
        'takes a list of roots, organizational units and accounts, e.g. ["ou-ab12-cd34ef56"]; [] attaches it to none'
    )
    return _texts(name, given, _TARGET, takes)


def _deployers(name: str, given: object) -> tuple[str, ...]:
    takes = f'takes a list of names of roles with their paths, e.g. ["{STACK_SETS}"]'
    return _texts(name, given, _ROLE, takes)


def _texts(name: str, given: object, pattern: re.Pattern[str], takes: str) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise SettingRefused(name, f"{takes}, not {json.dumps(given)}")
    for each in given:
        if not isinstance(each, str) or pattern.fullmatch(each) is None:
            raise SettingRefused(name, f"{takes}; {json.dumps(each)} is none")
    return tuple(sorted(set(given)))


def _hops(name: str, given: object) -> int:
    if type(given) is not int or not 1 <= given <= _MOST_HOPS:
        raise SettingRefused(name, f"takes a whole number from 1 to {_MOST_HOPS}, not {json.dumps(given)}")
    return given


def _switch(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise SettingRefused(name, f"takes true or false, not {json.dumps(given)}")
    return given


def _networks(name: str, given: object) -> tuple[str, ...]:
    takes = 'takes a list of networks, e.g. ["203.0.113.0/24"]'
    if not isinstance(given, list):
        raise SettingRefused(name, f"{takes}, not {json.dumps(given)}")
    return tuple(sorted({_network(name, each, takes) for each in given}))


def _network(name: str, given: Any, takes: str) -> str:
    try:
        return str(ipaddress.ip_network(given if isinstance(given, str) else ""))
    except ValueError:
        raise SettingRefused(name, f"{takes}; {json.dumps(given)} is none") from None
