"""What CloudWatch remembers of an instance's use of IMDSv1, as values: the window, the last start, and what came before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """IMDSv1 calls in a range of time. ``first``, ``last``: the beginning of the first and last period with calls; ``pattern``: when they come
    (``once``, ``at starts``, ``daily at 02:00``, ``weekly on Mondays at 02:00``, ``steady``, ``at no fixed time``). ``near_start``:
    some of them came when the instance may have begun to run, for want of datapoints in the hours before. ``most``: in one hour. ``week``:
    the calls in each hour of the week that has any, from Monday 00:00 UTC (0) to Sunday 23:00 (167)."""

    calls: int = 0
    hours: int = 0
    days: int = 0
    first: datetime | None = None
    last: datetime | None = None
    pattern: str = ""
    near_start: bool = False
    most: int = 0
    week: Mapping[int, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """IMDSv1 calls that were refused because tokens were required.

    ``calls`` count: they came after ``since`` (None: in the whole window). ``earlier`` came before it, and are told only.
    ``last``: the beginning of the last period with refused calls that count; there are so many ``days`` with some, and ``most`` calls
    on one. ``near_start``: some came on the day of the last start, as far as is known.
    """

    calls: int = 0
    last: datetime | None = None
    earlier: int = 0
    since: datetime | None = None
    days: int = 0
    most: int = 0
    near_start: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was seen of the two hours after the last start (or a later reboot that a person or CloudTrail told of).

    ``observed``: every period of it has a whole datapoint. ``observable_at``: when its last period is over. ``forgotten``:
    CloudWatch no longer has its datapoints. ``resumable``: the instance can hibernate, so that its last start may have been a
    resume, at which no boot software runs. ``missing`` of ``periods`` had no datapoint, or an incomplete one.
    """

    at: datetime
    observed: bool = False
    observable_at: datetime | None = None
    forgotten: bool = False
    resumable: bool = False
    calls: int = 0
    periods: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """Use before the window that comes again: silences between bursts of use, in weeks.

    ``ends_at``: when the silence since the last use will be longer than twice the longest before; None where there was only
    one burst, or none.
    """

    calls: int = 0
    last: datetime | None = None
    bursts: int = 0
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The longest run of hours in which the instance ran and that have no datapoint."""

    hours: int = 0
    begins: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What CloudWatch remembers of an instance's use of IMDSv1.

    ``problem`` is set where an answer was not complete; then nothing else here may be relied on. ``passes``: AWS throttled,
    failed or did not answer, so the next look may succeed. ``coverage`` is the share of the hours in which the instance ran
    that have a datapoint; where the metric alone shows enough, it is a lower bound. ``hours_lately``: of the observed hours, those in
    the last days at which the policy looks; None where that is all of them. ``fresh``: one of the last three whole
    hours has a datapoint. ``enough_at``: when it will have been observed for the hours that the policy wants, if it runs on;
    None where it will not. ``clean_starts``: how many starts in the window were observed, without a call. ``stopped_too_long``:
    it stopped before everything that CloudWatch remembers. ``quiet_until``: no call that CloudWatch remembers was made before
    then; ``unrefused``: from when to when it was asked for refused calls, and had none. Both are None where these looks do not
    say so. ``rebooted_at``: the last reboot that CloudTrail told of; ``reboot_sought_at``: when it was asked just now.
    """

    window_start: datetime
    window_end: datetime
    window_known: bool = True
    stopped_too_long: bool = False
    problem: str | None = None
    passes: bool = False
    use: Use = Use()
    refused: Refused = Refused()
    start: Start | None = None
    observed_hours: int = 0
    hours_lately: int | None = None
    coverage: float = 0.0
    fresh: bool = True
    newest: datetime | None = None
    gap: Gap = Gap()
    enough_at: datetime | None = None
    clean_starts: int = 0
    older: Recurrence = Recurrence()
    quiet_until: datetime | None = None
    unrefused: tuple[datetime, datetime] | None = None
    rebooted_at: datetime | None = None
    reboot_sought_at: datetime | None = None
    period_seconds: int = 3600
