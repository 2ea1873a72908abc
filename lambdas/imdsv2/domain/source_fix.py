"""What the service did to a source of instances, and what was there before: the versions it made, and what pointed where."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from imdsv2.domain.instance import Place

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

FIXED_TAG = "imdsv2:fixed-at"
"""The service's tag on a launch template of which it makes versions, with the time. Written before; the role may act only where it is."""
FORBIDDEN_BY = ", forbidden by "
"""In what a fix is hindered by: what follows is a policy that no role of the service's can change."""
_DESCRIPTION = "imdsv2-remediation"
_A_PASS = timedelta(minutes=4)
"""At least as much lies between two passes of the guard."""
_AN_HOUR = timedelta(hours=1)


class FixStatus(StrEnum):
    """How far the fix of a source is. `ANNOUNCED`: its owner has notice. `LEFT`: somebody changed what was to be changed."""

    ANNOUNCED = "announced"
    FIXING = "fixing"
    FIXED = "fixed"
    VERIFIED = "verified"
    GOING_BACK = "going_back"
    GONE_BACK = "gone_back"
    LEFT = "left"
    FAILED = "failed"


STANDS = frozenset({FixStatus.FIXED, FixStatus.VERIFIED})
"""What was changed is in force, as far as the ledger knows."""
UNDER_WAY = frozenset({FixStatus.FIXING, FixStatus.GOING_BACK})
"""Begun, and not known to be done: whoever comes next looks at EC2, and goes on."""

TELL, COUNT = "tell", "count"
"""What a fix may owe: the message to people, the count towards the circuit breaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One version of a launch template that is made, from the version that was in use.

    Args:
        template, name: the launch template.
        base: the version in use, of which the new one is a copy.
        default, latest: the template's default and latest version before anything was changed.
        moves_default: whether the source follows the default.
        made: the version that the service made, None before.
        restored: the version that was made like ``base`` on the way back, for whoever follows the latest.
    """

    template: str
    name: str
    base: int
    default: int
    latest: int
    moves_default: bool = False
    made: int | None = None
    restored: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One place in which a group names a launch template. ``version`` as it is named: `$Default`, `$Latest` or a number;
    ``pinned``: whether the fix points it to the version that is made of this one."""

    template: str
    version: str
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFix:
    """The ledger's item of one source. ``version`` is 0 if there is none.

    Args:
        key: partition, account, Region, kind and name, e.g. `aws/222222222222/eu-west-1/auto_scaling_group:web`.
        attempt: the id of this attempt: the tokens of its calls and the descriptions of its versions are made of it.
        status: `FixStatus`.
        group: the Auto Scaling group, "" if there is none.
        pointers: what the group named before, in order: the main template, then those of overrides.
        steps: the versions that are made, older bases first.
        cohorts: the cohorts of its instances, without version and AMI.
        owner: as the policy's owner tag names it, else the account.
        caller: who asked for it; None for the sweep.
        because: the reason that whoever asked for it, or had it put back, gave.
        request_id, lease_until: the invocation that acts, until then.
        at: when the present status began.
        fixed_at: when the change was in force.
        notice_ends_at: when the owner's notice ends.
        broken_by, broken_at: the instance, by its ARN, whose software broke, and when.
        undone_by: the person who had it put back, and in which request.
        hindered_by: what AWS refuses while it goes back, e.g. `UnauthorizedOperation to ModifyLaunchTemplate, forbidden by a service
            control policy`; people are told once.
        explanation: what happened, and what a person can do.
        owes: `TELL` and `COUNT`, as far as they are not done.
        past: earlier statuses, each as `<ISO time> <status>`, the newest last.
        kept: the item as the ledger has it, from which this one may differ; None if it has none.
    """

    key: str
    version: int = 0
    attempt: str = ""
    status: FixStatus | None = None
    group: str = ""
    pointers: tuple[Pointer, ...] = ()
    steps: tuple[Step, ...] = ()
    cohorts: tuple[str, ...] = ()
    owner: str = ""
    caller: str | None = None
    because: str | None = None
    request_id: str | None = None
    lease_until: datetime | None = None
    at: datetime | None = None
    fixed_at: datetime | None = None
    notice_ends_at: datetime | None = None
    broken_by: str | None = None
    broken_at: datetime | None = None
    undone_by: str | None = None
    hindered_by: str = ""
    explanation: str = ""
    owes: frozenset[str] = frozenset()
    past: tuple[str, ...] = ()
    kept: SourceFix | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> Place:
        """The account and Region."""
        partition, account, region, _ = self.key.split("/", 3)
        return Place(partition, region, account)

    @property
    def named(self) -> str:
        """The source as people know it: its kind and name."""
        kind, _, name = self.key.split("/", 3)[3].partition(":")
        return f"{kind} {name}"

    @property
    def stands(self) -> bool:
        return self.status in STANDS

    def is_overdue(self, now: datetime) -> bool:
        """Whether it is to go back, and an earlier pass of the guard has tried that in vain."""
        return self.status is FixStatus.GOING_BACK and self.at is not None and now - self.at >= _A_PASS

    def is_stuck(self, now: datetime) -> bool:
        """Whether it was begun long ago, and could neither be completed nor given up."""
        return self.status is FixStatus.FIXING and self.at is not None and now - self.at >= _AN_HOUR

    @property
    def made(self) -> dict[str, list[int]]:
        """The versions that the service made, by template."""
        found: dict[str, list[int]] = {}
        for each in self.steps:
            if each.made is not None:
                found.setdefault(each.template, []).append(each.made)
        return found

    def is_leased(self, now: datetime) -> bool:
        """Whether another invocation may still be acting."""
        return self.lease_until is not None and now < self.lease_until

    def moved(
        self, status: FixStatus, now: datetime, explanation: str, *, lease_until: datetime | None = None
    ) -> SourceFix:
        """The item in another status; what it was before is kept."""
        before = (f"{self.at:%Y-%m-%dT%H:%M:%SZ} {self.status}",) if self.at and self.status else ()
        return replace(
            self,
            status=status,
            at=now,
            explanation=explanation,
            lease_until=lease_until,
            past=(*self.past, *before)[-_KEPT:],
        )

    def with_step(self, number: int, step: Step) -> SourceFix:
        """The item with one step replaced."""
        return replace(self, steps=(*self.steps[:number], step, *self.steps[number + 1 :]))

    def after(self) -> tuple[Pointer, ...]:
        """What the group names once every version is made."""
        return tuple(self._pointed(each) for each in self.pointers)

    def _pointed(self, pointer: Pointer) -> Pointer:
        made = {(each.template, str(each.base)): each.made for each in self.steps}
        number = made.get((pointer.template, pointer.version)) if pointer.pinned else None
        return pointer if number is None else replace(pointer, version=str(number))

    @property
    def points(self) -> bool:
        """Whether the group's own pointer is part of the fix."""
        return any(each.pinned for each in self.pointers)


_KEPT = 50


def names_of(pointers: Iterable[Pointer]) -> list[tuple[str, str]]:
    """Templates and versions as a group names them, in order: what is compared with what it names now."""
    return [(each.template, each.version) for each in pointers]


def description(fix_id: str, step: Step, *, back: bool = False) -> str:
    """The description of a version that the service makes: by it the version is recognised where an answer was lost."""
    what = "as before" if back else "HttpTokens=required"
    return f"{_DESCRIPTION} {fix_id}: version {step.base}, {what}"


def is_ours(text: str, fix_id: str, step: Step, *, back: bool = False) -> bool:
    """Whether a version's description says that this attempt made it from this base."""
    return text == description(fix_id, step, back=back)


def token(fix_id: str, step: Step, *, back: bool = False) -> str:
    """The client token with which EC2 makes the version once, however often it is asked."""
    return f"{fix_id}-{step.template[-8:]}-{step.base}{'-back' if back else ''}"
