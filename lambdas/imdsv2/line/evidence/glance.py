"""A short look at members of a cohort that nobody judges now: by the day, of which 500 fit into one call. It finds use; of what it
finds quiet, it counts no hours. Whose calls it finds is looked at as closely as what is judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, read
from imdsv2.domain.batches import batched
from imdsv2.domain.evidence.hours import HOUR, Hours
from imdsv2.domain.evidence.pool import member_of
from imdsv2.domain.evidence.weighing import day_with, problem_of
from imdsv2.domain.evidence.window import MEMORY
from imdsv2.domain.history import History
from imdsv2.domain.instance import Instance, MetadataOptions
from imdsv2.line.evidence.closed_hours import with_closed_hours
from imdsv2.line.evidence.gather import gather

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.evidence.pool import Member
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy

_DAY = 24 * HOUR
_HOUR = timedelta(hours=1)
_AT_ONCE = 100
"""The evidence of so many is in memory at a time."""
_UNKNOWN = MetadataOptions(http_tokens="unknown", http_endpoint="unknown", hop_limit=0)


def glance(
    cloudwatch: CloudWatchClient, members: Iterable[Member], since: datetime, now: datetime
) -> tuple[list[Member], list[Member]]:
    """Look at members by the day.

    Returns:
        Those that made no call and were refused none, or could not be read; and those with calls, which are to be looked at closely.
    """
    asked = {each.arn: each for each in members}
    span = Hours(day_with(since), Hours.touching(since, now).end)
    used = read(cloudwatch, TOKENLESS_CALLS, dict.fromkeys(asked, span), period=_DAY)
    refused = read(cloudwatch, REJECTED_CALLS, dict.fromkeys(asked, span), period=_DAY)
    quiet, loud = [], []
    for arn, member in asked.items():
        problem, _ = problem_of(used[arn], refused[arn])
        if problem is not None:
            quiet.append(replace(member, looked_at=None, problem=problem))
        elif any(used[arn].values.values()) or any(refused[arn].values.values()):
            loud.append(member)
        else:
            hours = _hours_left(member, since, now)
            started = member.started and hours > 0
            quiet.append(
                replace(member, looked_at=now, hours=hours, started=started, used=None, refused=None, problem=None)
            )
    return quiet, loud


def _hours_left(member: Member, since: datetime, now: datetime) -> int:
    """Of the hours in which it was observed, as many as are certainly still in the window: of what is older, the window has moved on
    since it was looked at."""
    if member.launched_at is not None and member.launched_at >= since:
        return member.hours
    gone = (now - member.looked_at) // _HOUR + 1 if member.looked_at is not None else member.hours
    return max(0, member.hours - gone)


def look_closely(
    cloudwatch: CloudWatchClient,
    members: Sequence[Member],
    instances: Mapping[InstanceArn, Instance],
    histories: Mapping[InstanceArn, History],
    policy: Policy,
    now: datetime,
    *,
    hibernating: Collection[InstanceArn] = (),
) -> list[Member]:
    """Members with all that CloudWatch tells of them.

    Args:
        cloudwatch: of their account and Region.
        members: whom to look at.
        instances: as EC2 shows those that are there.
        histories: what the ledger knows of them, where it knows them.
        policy: the policy in force.
        now: the time.
        hibernating: those of whose cohort an instance can hibernate, so that the last start of what has ended may have been a resume.
    """
    seen: list[Member] = []
    since = now - timedelta(days=policy.lookback_days)
    for several in batched(members, _AT_ONCE):
        batch = {each.arn: each for each in several}
        targets = [
            _shown(instances[arn], now) if arn in instances else _remains(each, now, hibernates=arn in hibernating)
            for arn, each in batch.items()
        ]
        known = {arn: histories.get(arn, History()) for arn in batch}
        evidence = gather(cloudwatch, targets, known, policy, now, closely=True)
        closed = {each.arn: each for each in targets if _is_closed(each, known[each.arn], evidence[each.arn])}
        evidence |= with_closed_hours(cloudwatch, closed, known, evidence, since)
        for target in targets:
            speaks = target.options.http_endpoint != "disabled"
            member = member_of(batch[target.arn], evidence[target.arn], now, since, speaks=speaks)
            seen.append(member if target.arn in instances else _without_hour_of_start(member, since))
    return seen


def _without_hour_of_start(member: Member, since: datetime) -> Member:
    """Of what has ended the window begins before its last start, so that the hour of that start counted as a whole one."""
    launched_at = member.launched_at
    if launched_at is None or launched_at <= since or not (launched_at.minute or launched_at.second):
        return member
    return replace(member, hours=max(0, member.hours - 1))


def _is_closed(target: Instance, history: History, evidence: Evidence) -> bool:
    """Whether the service requires tokens there, or did until it ended, and nothing was refused."""
    calls = evidence.refused.calls + evidence.refused.earlier
    return history.stands and target.options.http_tokens in {"required", "unknown"} and not calls


def _shown(instance: Instance, now: datetime) -> Instance:
    """What is there. Of what stopped nobody knows when, all is looked at that lies in the cohort's window."""
    unknown = instance.state == "stopped" and instance.stopped_at is None
    return replace(instance, stopped_at=now) if unknown else instance


def _remains(member: Member, now: datetime, *, hibernates: bool) -> Instance:
    """What has ended, as an instance that was stopped then. Its last start may not have been its first, so that the window begins
    before it. Where nobody knows when it was launched, nothing can be said of its start: it is taken to lie before everything that
    CloudWatch remembers."""
    launched_at = member.launched_at or now - MEMORY - timedelta(days=1)
    return Instance(
        arn=member.arn,
        state="stopped",
        launched_at=launched_at,
        first_launched_at=None,
        stopped_at=max(member.ended_at or now, launched_at),
        options=_UNKNOWN,
        hibernates=hibernates,
    )
