"""What the signs of instances come to that a source launched with tokens required: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.breakage import of_a_cohort, pattern
from imdsv2.domain.health import Health, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.domain.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A member whose software broke, and in which pattern its calls were refused."""

    member: Instance
    why: str


def broken_of(
    members: Sequence[Instance],
    signs: Mapping[InstanceArn, Signs],
    policy: Policy,
    *,
    standing: int,
    is_proved: bool = False,
) -> Broken | None:
    """The first member whose refused calls are breakage.

    Args:
        members: what was launched with tokens required, and is looked at.
        signs: theirs.
        policy: the policy in force.
        standing: how many members there are.
        is_proved: whether the source was proved before; no watch bounds then what counts together.
    """
    refused = {each.arn: signs[each.arn].refused for each in members if signs[each.arn].refused}
    for each in members:
        why = pattern(
            signs[each.arn].refused,
            starts=[each.launched_at],
            watched_from=None if is_proved else each.launched_at,
            threshold=policy.rejected_threshold,
            periods=policy.rejected_periods,
        )
        if why is not None:
            return Broken(member=each, why=why)
    together = of_a_cohort(refused, standing=standing, policy=policy)
    first = next((each for each in members if each.arn in refused), None)
    return Broken(member=first, why=together) if together is not None and first is not None else None


def is_clean(member: Instance, signs: Signs, policy: Policy, now: datetime) -> bool:
    """Whether a member has run for the watch without a refused call."""
    health = judge(
        signs,
        broken=False,
        since=member.launched_at,
        hours=policy.watch_hours,
        running_since=member.launched_at if member.state == "running" else None,
        min_coverage=policy.min_coverage,
        now=now,
    )
    return health is Health.CLEAN
