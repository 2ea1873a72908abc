"""Traces a place for somebody who asks; why it cannot be looked at belongs to the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.origins import trace
from imdsv2.domain.verdict_table.decision import decide_scope

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2.aws.origins import Traced
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Place
    from imdsv2.domain.policy import Policy


def traced_for(
    clients: MemberClients, place: Place, policy: Policy, now: datetime, problems: list[str]
) -> Traced | None:
    """What runs in a place and what launched it. None where it is out of scope or cannot be read; ``problems`` grows by the reason, and
    by what was not answered."""
    scoped = decide_scope(place, policy, now)
    if scoped is not None:
        problems.append(scoped.explanation)
        return None
    try:
        traced = trace(clients, place)
    except CALL_FAILURES as error:
        problems.append(
            f"Instances in account {place.account}, {place.region} cannot be read ({describe_error(error)}): deploy the member "
            "roles there and enable the Region, then ask again."
        )
        return None
    problems += traced.found.problems.values()
    return traced


def not_there(place: Place, ids: Iterable[str]) -> list[str]:
    """The problem of each instance that was named and is not in the place."""
    return [f"Instance {each} does not exist in account {place.account}, {place.region}." for each in sorted(ids)]
