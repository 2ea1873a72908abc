"""What the policy leaves out and nobody can look at either: a person's decision, and no fault that an alarm should tell of every night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.verdict_table.decision import decide_scope, why_left_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2.domain.policy import Policy

LEFT_OUT = "left_out"
"""Marks the tally of a place that failed and is not in the policy's scope; its error stays in it."""


def marked(tallies: Iterable[Mapping[str, Any]], policy: Policy, now: datetime) -> list[dict[str, Any]]:
    """The tallies of a sweep, with those marked that failed where the policy wants nothing done."""
    return [{**each, LEFT_OUT: True} if _is_left_out(each, policy, now) else dict(each) for each in tallies]


def missed(tally: Mapping[str, Any]) -> bool:
    """Whether a place was to be looked at, and could not be."""
    return bool(tally["error"]) and not tally.get(LEFT_OUT)


def in_scope(unreachable: Mapping[str, str], policy: Policy) -> dict[str, str]:
    """The accounts that could not be entered, without those that the policy leaves out."""
    return {account: why for account, why in unreachable.items() if why_left_out(account, policy) is None}


def _is_left_out(tally: Mapping[str, Any], policy: Policy, now: datetime) -> bool:
    region = tally["region"]
    place = Place(partition_of(region), region, tally["account"])
    return bool(tally["error"]) and decide_scope(place, policy, now) is not None
