"""An instance of the walk, as it really is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.integration.builders import REGION
from tests.world.ec2 import Instance

if TYPE_CHECKING:
    from datetime import date, datetime

    from imdsv2.domain.instance import InstanceArn


_SHOWN_FOR = timedelta(minutes=3)
"""Longer than EC2 ever lags behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Was:
    """What was shown of an instance until a time at which it was changed."""

    until: datetime
    options: dict[str, Any]
    options_pending: bool
    tags: dict[str, str]


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
    ours: str | None = None
    """What the service has last set tokens to; None once somebody else has set them."""
    meddled: bool = False
    """Somebody else has changed its options or tags since the service has last required tokens."""
    broke: set[str] = field(default_factory=set)
    """Which of its enforcements broke, by the times that the ledger gives them."""
    past: list[Was] = field(default_factory=list)
    """What it was in the last minutes."""
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

    def is_about_to_change(self, now: datetime) -> None:
        """Remember what it is, because EC2 may go on to show that for a while."""
        was = Was(until=now, options=dict(self.options), options_pending=self.options_pending, tags=dict(self.tags))
        self.past = [*(each for each in self.past if now - each.until < _SHOWN_FOR), was]

    def as_of(self, then: datetime) -> Machine:
        """The same with the options and tags of a time in the last minutes."""
        was = next((each for each in self.past if each.until > then), None)
        if was is None:
            return self
        return replace(self, options=was.options, options_pending=was.options_pending, tags=dict(was.tags), past=[])

    def others_set(self, now: datetime, *, in_doubt: bool, **options: Any) -> None:
        """Somebody else changes its options. While a change of the service is in doubt, the same change of somebody else passes for it:
        EC2 shows no difference."""
        self.is_about_to_change(now)
        changes_tokens = options.get("HttpTokens", self.options["HttpTokens"]) != self.options["HttpTokens"]
        self.options |= options
        self.meddled = True
        if in_doubt and changes_tokens and options["HttpTokens"] == "required":
            self.ours, self.left = "required", dict(self.options)
        elif changes_tokens:
            self.ours = None

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


PRODUCT = f"arn:aws:securityhub:{REGION}::product/aws/securityhub"


def finding_id(arn: InstanceArn) -> str:
    """The id of the one finding of an instance."""
    return f"arn:aws:securityhub:{arn.region}:{arn.account}:finding/{int(arn.instance_id[2:], 16)}"
