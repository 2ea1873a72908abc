"""Requests: an instance to evaluate, and the finding that named it, if any. Every event source produces these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.source_name import SourceName


class Source(StrEnum):
    """The event source that named the instance."""

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
    """A finding that named an instance, as Security Hub identifies it."""

    id: str
    product_arn: str
    region: str
    updated_at: datetime | None = None
    annotated_at: datetime | None = None

    @property
    def is_v2(self) -> bool:
        """Whether Security Hub V2 (OCSF) sent the finding; it has API operations of its own."""
        return "::productv2/" in self.product_arn


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to evaluate one instance."""

    arn: InstanceArn
    source: Source
    finding: Finding | None = None
    suppressed: bool = False
    caller: str | None = None

    @property
    def asked_by_person(self) -> bool:
        """Whether a person asked for this instance: such a request acts in `observe` mode too, and is never an echo."""
        return self.source in {Source.MANUAL, Source.CUSTOM_ACTION}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """A request to judge what a finding names that launches instances: a launch template, a launch configuration."""

    name: SourceName
    source: Source
    finding: Finding | None = None

    @property
    def asked_by_person(self) -> bool:
        """Whether a person asked: such a request is never an echo."""
        return self.source is Source.CUSTOM_ACTION
