"""Parses the question what guardrails would block today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.node import shown
from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

GUARDRAILS = "guardrails"
"""The name of the question, which is also its field in the event."""

_TAKES = frozenset({"account", "region", "max_hop_limit"})
_MOST_HOPS = 64
_HOPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailQuestion:
    """A validated question: about an account and Region, all Regions of an account, or all accounts that the ledger knows."""

    account: str | None = None
    region: str | None = None
    max_hop_limit: int = _HOPS
    dry_run: bool = True


def parse_guardrails(event: Mapping[str, Any]) -> GuardrailQuestion:
    """Parse the question. It only reads, so that a dry run is no different. Raises InvalidRequest, which names the field."""
    fields.refuse_unknown(event, {GUARDRAILS, "dry_run", "caller", "reason"})
    dry_run = fields.flag(event, "dry_run", default=True)
    for name in ("caller", "reason"):
        fields.text(event, name)
    given = event[GUARDRAILS]
    if not isinstance(given, dict):
        example = '{} for every account that the ledger knows, or {"account": "222222222222", "region": "eu-west-1"}'
        raise InvalidRequest(GUARDRAILS, f"takes an object, e.g. {example}")
    path = f"{GUARDRAILS}."
    fields.refuse_unknown_in(given, _TAKES, path)
    if "region" in given and "account" not in given:
        raise InvalidRequest(f"{path}region", "needs account beside it")
    hops = given.get("max_hop_limit", _HOPS)
    if type(hops) is not int or not 1 <= hops <= _MOST_HOPS:
        raise InvalidRequest(f"{path}max_hop_limit", f"takes a whole number from 1 to {_MOST_HOPS}, not {shown(hops)}")
    return GuardrailQuestion(
        account=fields.account(given, path),
        region=fields.region(given, path),
        max_hop_limit=hops,
        dry_run=dry_run,
    )
