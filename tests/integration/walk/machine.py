"""An instance of the walk, as it really is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.world.ec2 import Instance

if TYPE_CHECKING:
    from datetime import date, datetime

    from imdsv2.domain.instance import InstanceArn


@dataclass(slots=True, kw_only=True)
class Machine(Instance):
    """An instance, what its software did, and what the judge has to remember of it."""

    arn: InstanceArn
    used_at: list[datetime] = field(default_factory=list)
    """When IMDSv1 calls of its software were answered."""
    rejected_at: list[datetime] = field(default_factory=list)
    """When they were refused."""
    left: dict[str, Any] | None = None
    """The options as the service left them, where it has changed them."""
    standing: bool = False
    """An enforcement that the service finished, and no person has cleared."""
    held: bool = False
    """It was put back, and no person has cleared that."""
    rebooted_at: datetime | None = None
    """When boot software ran without a start, which EC2 does not show."""
    mended: list[datetime] = field(default_factory=list)
    """When, by people's words, its updated software was started or rebooted; the last word counts."""
    accepted_until: date | None = None
    """Until when a person accepts what its evidence says."""

    @property
    def booted_at(self) -> datetime:
        """When boot software ran last."""
        return max(self.launched_at, self.rebooted_at or self.launched_at)

    @property
    def mended_at(self) -> datetime | None:
        """Where its evidence begins, by people's last word."""
        return self.mended[-1] if self.mended else None

    @property
    def cohort(self) -> str:
        """What runs the same software, as the ledger names it."""
        return f"aws/{self.arn.account}/{self.arn.region}/image:{self.image}"
