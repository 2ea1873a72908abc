"""Gathers the evidence of IMDSv1 use from CloudWatch, in as few calls as its limits allow.

For *use*, every hour that overlaps a range counts; for *coverage* and *observed hours*, only hours entirely inside it.
A missing datapoint never counts as zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import TOKENLESS_CALLS, UTILIZATION, read
from imdsv2.domain.evidence import Evidence
from imdsv2.domain.hours import HOUR, Hours, Series, at
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.domain.policy import Policy

_WEEK = 7 * 24 * HOUR
_BOOT = timedelta(hours=2)
_SHUTDOWN = timedelta(minutes=10)
"""How long an instance may keep running after EC2 was told to stop it."""
_WORTH_OBSERVING = timedelta(minutes=15)
"""The remainder of the hour of the start needs a datapoint only if it is at least this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One instance and its window."""

    instance: Instance
    start: datetime
    end: datetime

    @property
    def touched(self) -> Hours:
        """The hours to check for use; software may make calls until the instance is really off."""
        is_stopped = self.instance.state == "stopped"
        return Hours.touching(self.start, self.end + _SHUTDOWN if is_stopped else self.end)

    @property
    def inside(self) -> Hours:
        return Hours.inside(self.start, self.end)

    @property
    def boot(self) -> Hours:
        return Hours.touching(self.instance.launched_at, self.instance.launched_at + _BOOT)


def gather(
    cloudwatch: CloudWatchClient, instances: Iterable[Instance], policy: Policy, now: datetime
) -> dict[InstanceArn, Evidence]:
    """Read the evidence of instances of one account and Region.

    A failed or incomplete answer becomes evidence with a ``problem``, never an exception.
    """
    lookback = timedelta(days=policy.lookback_days)
    oldest = now - timedelta(days=LONGEST_MEMORY_DAYS)
    gathered: dict[InstanceArn, Evidence] = {}
    looks: dict[InstanceArn, _Look] = {}
    for instance in instances:
        end = instance.stopped_at if instance.state == "stopped" else now
        if end is None:
            gathered[instance.arn] = Evidence(window_start=now - lookback, window_end=now, window_known=False)
            continue
        start = max(end - lookback, instance.first_launched_at or oldest)
        looks[instance.arn] = _Look(instance=instance, start=min(start, end), end=end)

    tokenless = read(cloudwatch, TOKENLESS_CALLS, {arn: look.touched for arn, look in looks.items()})
    boots = read(
        cloudwatch,
        TOKENLESS_CALLS,
        {
            arn: look.boot
            for arn, look in looks.items()
            if look.boot.first < look.touched.first and look.instance.launched_at >= oldest
        },
    )
    short = {
        arn: span for arn, look in looks.items() if (span := _unexplained(look, tokenless[arn], policy)) is not None
    }
    ran = read(cloudwatch, UTILIZATION, short)
    for arn, look in looks.items():
        gathered[arn] = _evidence(look, tokenless[arn], boots.get(arn), ran.get(arn), oldest, now)
    return gathered | _older_use(cloudwatch, looks, gathered, policy, oldest)


def _unexplained(look: _Look, tokenless: Series, policy: Policy) -> Hours | None:
    """The hours in which the instance must be known to have run or not; None if the metric alone settles coverage."""
    if tokenless.problem is not None or any(tokenless.values.get(hour) for hour in look.touched):
        return None
    missing = [hour for hour in look.inside if hour not in tokenless.values]
    observed = len(look.inside) - len(missing)
    if not missing or observed / len(look.inside) >= policy.min_coverage:
        return None
    return Hours(missing[0], missing[-1] + 1)


def _evidence(
    look: _Look, tokenless: Series, boot: Series | None, ran: Series | None, oldest: datetime, now: datetime
) -> Evidence:
    seen = {**(boot.values if boot else {}), **tokenless.values}
    used = [hour for hour in look.touched if tokenless.values.get(hour)]
    observed = sum(hour in tokenless.values for hour in look.inside)
    ran_hours = sum(hour in tokenless.values or hour in ran.values for hour in look.inside) if ran else len(look.inside)
    problems = [series for series in (tokenless, boot, ran) if series is not None and series.problem is not None]
    needed, observable_at = _boot_hours(look.instance.launched_at)
    forgotten = look.instance.launched_at < oldest
    return Evidence(
        window_start=look.start,
        window_end=look.end,
        problem=problems[0].problem if problems else None,
        throttled=any(series.throttled for series in problems),
        tokenless_calls=math.ceil(sum(tokenless.values[hour] for hour in used)),
        last_tokenless_call=at(used[-1]) if used else None,
        boot_observed=not forgotten and observable_at <= now and all(hour in seen for hour in needed),
        boot_observable_at=observable_at,
        boot_forgotten=forgotten,
        boot_tokenless_calls=math.ceil(sum(seen.get(hour, 0) for hour in look.boot)),
        observed_hours=observed,
        coverage=observed / ran_hours if ran_hours else 0.0,
    )


def _boot_hours(launched_at: datetime) -> tuple[list[int], datetime]:
    """The hours that must have a datapoint for the start to count as observed, and the end of the last one."""
    containing = math.floor(launched_at.timestamp() / HOUR)
    first_whole = math.ceil(launched_at.timestamp() / HOUR)
    worth_observing = at(containing + 1) - launched_at >= _WORTH_OBSERVING
    needed = [containing, first_whole] if worth_observing and containing != first_whole else [first_whole]
    return needed, at(first_whole + 1)


def _older_use(
    cloudwatch: CloudWatchClient,
    looks: Mapping[InstanceArn, _Look],
    gathered: Mapping[InstanceArn, Evidence],
    policy: Policy,
    oldest: datetime,
) -> dict[InstanceArn, Evidence]:
    """Add use before the window, for instances that the window would allow to be enforced. For information only.

    Read in periods of a week: a few hundred instances fit into one call, and people need no more exact date.
    """
    spans = {}
    for arn, look in looks.items():
        begin = max(look.instance.first_launched_at or oldest, oldest)
        if _speaks_for_enforcing(gathered[arn], policy) and begin < at(look.touched.first):
            spans[arn] = Hours(Hours.touching(begin, begin).first, look.touched.first)
    older = read(cloudwatch, TOKENLESS_CALLS, spans, period=_WEEK)
    return {arn: _with_older(gathered[arn], series) for arn, series in older.items()}


def _speaks_for_enforcing(evidence: Evidence, policy: Policy) -> bool:
    return (
        evidence.problem is None
        and evidence.tokenless_calls + evidence.boot_tokenless_calls == 0
        and evidence.coverage >= policy.min_coverage
        and evidence.observed_hours >= policy.min_observed_hours
    )


def _with_older(evidence: Evidence, older: Series) -> Evidence:
    used = [hour for hour, value in older.values.items() if value]
    return replace(
        evidence,
        problem=older.problem,
        throttled=older.throttled,
        older_tokenless_calls=math.ceil(sum(older.values[hour] for hour in used)),
        older_last_tokenless_call=at(max(used)) if used else None,
    )
