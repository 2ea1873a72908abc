"""What launches the members of groups: whether its next launch requires tokens, and what its owners do about that.

The verdict on a source is the service's own word (`imdsv2.source.verdict`): some running member is known to do without IMDSv1, and
none is held for its use. Owners who are told apply the remedy some days later; a source that is fixed launches members that
require tokens, from new versions of the template as well. The service itself waits until the version in use is proved. An owner
whose new members break takes the remedy back.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsv2.source.verdict import held_for_use, word_of
from tests.bench.simulation.assumptions import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imdsv2.domain.instance import InstanceArn
    from tests.bench.simulation.cloud import SimulatedInstance
    from tests.bench.simulation.ledger import MemoryLedger

REPORT, FIX = "report", "fix"
APPLIED_AFTER_DAYS, APPLIED_SPREAD = 14, 0.5
"""By owners who were told: the median, and the spread of the logarithm."""


@dataclass(slots=True, kw_only=True)
class Origin:
    """One group. ``applied_at``: when the remedy is applied, or was (None: nobody was told). ``taken_back``: the template whose
    members broke. Times are seconds since 1970."""

    members: list[SimulatedInstance] = field(default_factory=list)
    applied_at: float | None = None
    taken_back: int | None = None

    def launches_required(self, when: float) -> bool:
        return self.applied_at is not None and self.applied_at <= when


class Origins:
    """All groups of a fleet. ``source``: as in the policy; None where nobody looks at what launches instances."""

    def __init__(self, source: str | None, ledger: MemoryLedger, seed: int) -> None:
        self._source, self._ledger = source, ledger
        self._chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self._groups: dict[str, Origin] = defaultdict(Origin)

    def launch(self, instances: Iterable[SimulatedInstance]) -> None:
        """Members that a group has launched since: from a source that is fixed, they require tokens from the beginning."""
        for each in instances:
            if each.machine.version is None:
                continue
            origin = self._groups[each.machine.group]
            origin.members = [other for other in origin.members if other.is_there]
            origin.members.append(each)
            if origin.launches_required(each.machine.first_launched):
                each.required_at, each.launched_required = float(each.machine.first_launched), True

    def hear(self, arns: Iterable[InstanceArn], instances: Mapping[InstanceArn, SimulatedInstance], now: float) -> None:
        """Judge the sources of instances about which there is something new, and tell their owners."""
        if self._source is None:
            return
        machines = (instances[arn].machine for arn in arns)
        for group in sorted({each.group for each in machines if each.version is not None}):
            origin = self._groups[group]
            if origin.applied_at is None and self._may_be_fixed(origin):
                origin.applied_at = now + self._days_to_apply() * DAY

    def take_back(self, instance: SimulatedInstance) -> None:
        """The owner found that a new member broke."""
        origin = self._groups[instance.machine.group]
        origin.applied_at, origin.taken_back = None, instance.machine.version

    def _days_to_apply(self) -> float:
        return 0.0 if self._source == FIX else APPLIED_AFTER_DAYS * self._chance.lognormvariate(0, APPLIED_SPREAD)

    def _may_be_fixed(self, origin: Origin) -> bool:
        there = [each.machine for each in origin.members if each.is_there]
        asked = [each.arn for each in there if self._ledger.knows(each.arn)]
        words = {arn: word_of(record) for arn, record in self._ledger.read(asked).items()}
        known = [each for each in there if each.arn in words]
        is_new = all(each.version != origin.taken_back for each in known)
        # The service waits until the version in use is proved; owners may apply a remedy as soon as any is.
        proving = (
            {max(each.version or 0 for each in there)} if self._source == FIX else {each.version for each in known}
        )
        clean = any(each.version in proving and words[each.arn].clean for each in known)
        return is_new and clean and not held_for_use(words)
