"""Which software used credentials that IMDSv1 had delivered: its name and version, as the user agent of its requests says."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.culprit.known import SDKS, Known, fits
from imdsv2.culprit.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_LONGEST = 200
_CALLERS = 20
_PRODUCT = re.compile(r"([A-Za-z][\w.+-]{0,60})/v?(\d[\w.+-]{0,30})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A call to AWS with credentials of an instance's role that IMDSv1 delivered. All texts are as CloudTrail has them."""

    at: datetime
    user_agent: str
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Software, by one user agent. ``name`` and ``version`` as it calls itself, empty where it does not; ``known``: what is known of
    it."""

    user_agent: str
    name: str
    version: str
    calls: int
    last: datetime
    example: str
    known: Known | None

    @property
    def says(self) -> str:
        """As a sentence with what to do."""
        what = f"{self.name} {self.version}".strip() or "Software that does not name itself"
        if self.known is None:
            return f"{what}: find it on the instance, and update it to a version that uses IMDSv2."
        if fits(self.version, self.known):
            return f"{what}: too old. {self.known.remedy}"
        return (
            f"{what}: knows IMDSv2, and fell back to IMDSv1. That happens in containers behind hop limit 1 and where it is configured: "
            "look for containers there."
        )


def callers_of(deliveries: Iterable[Delivery]) -> list[Caller]:
    """The software behind deliveries, the most frequent first, at most 20."""
    counts: Counter[str] = Counter()
    newest: dict[str, Delivery] = {}
    for each in deliveries:
        agent = plain(each.user_agent, _LONGEST)
        counts[agent] += 1
        if agent not in newest or each.at > newest[agent].at:
            newest[agent] = each
    return [
        _caller(agent, number, newest[agent])
        for agent, number in sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:_CALLERS]
    ]


def _caller(agent: str, calls: int, newest: Delivery) -> Caller:
    products = _PRODUCT.findall(agent)
    by_name = {name.lower(): (name, version) for name, version in reversed(products)}
    known = next((each for each in SDKS if any(token in by_name for token in each.agents)), None)
    name, version = "", ""
    if known is not None:
        name, version = next(by_name[token] for token in known.agents if token in by_name)
    elif products:
        name, version = products[0]
    return Caller(
        user_agent=agent,
        name=name,
        version=version,
        calls=calls,
        last=newest.at,
        example=plain(newest.call, _LONGEST),
        known=known,
    )
