"""An instance of the walk, as it really is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.world.ec2 import Instance

if TYPE_CHECKING:
    from datetime import datetime

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
