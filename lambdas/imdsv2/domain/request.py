"""What the ways in ask: one instance to judge, and the finding that named it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn


class Source(StrEnum):
    """Which way in named the instance."""

    SECURITYHUB = "securityhub"
    SECURITYHUB_V2 = "securityhub_v2"
    CUSTOM_ACTION = "custom_action"
    CONFIG = "config"
    MANUAL = "manual"
    REVISIT = "revisit"
    SWEEP = "sweep"
    GUARD = "guard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding that named an instance, as Security Hub identifies it."""

    id: str
    product_arn: str
    region: str
    updated_at: datetime | None = None
    annotated_at: datetime | None = None

    @property
    def is_v2(self) -> bool:
        """Whether the newer Security Hub (OCSF) sent it; it has operations of its own."""
        return "::productv2/" in self.product_arn


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One instance to judge: what every way in produces."""

    arn: InstanceArn
    source: Source
    finding: Finding | None = None
    suppressed: bool = False
    clear: bool = False
    caller: str | None = None

    @property
    def asked_by_person(self) -> bool:
        """Whether somebody asked for this very instance: such a request acts in `observe` too, and is no echo."""
        return self.source in {Source.MANUAL, Source.CUSTOM_ACTION}
