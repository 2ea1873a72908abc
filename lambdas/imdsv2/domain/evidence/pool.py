"""The evidence of a cohort, put together from that of its members, living or gone: pure.

A member with use, or with refused calls, always counts against the cohort, and nothing of it counts for the cohort; neither does
what is not known of a member.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.cohort import kind_of
from imdsv2.domain.evidence.hours import hours_left
from imdsv2.domain.evidence.strays import MOST_A_MEMBER, binding, refused_strays_of, strays_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2.domain.evidence.values import Evidence, Use
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy

SETTLED = timedelta(hours=3)
"""So long after its end, CloudWatch shows all that a member did."""
FEW_OF = 10
"""Calls by fewer than one member in so many say nothing of the others, where only their AMI or template is known to be the same."""
_MAY_RUN_ANYTHING = {"image", "template"}
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """IMDSv1 calls of one member: accepted, or refused. ``last``: the beginning of the last period with calls, an hour, or a day
    for refused calls. ``gone``: the member has ended. ``strays``: in so many hours they look like stray calls or probes, and there are
    no others (0: there are). ``times``: the hours among these in which calls were accepted, where they are known."""

    arn: InstanceArn
    calls: int
    last: datetime
    refused: bool = False
    gone: bool = False
    strays: int = 0
    times: tuple[datetime, ...] = ()

    @property
    def used_at(self) -> tuple[datetime, ...]:
        """When calls were accepted, as far as is known."""
        return self.times if self.times or self.refused else (self.last,)

    @property
    def holds_refused(self) -> bool:
        """Whether isolated calls of it were refused, or may have been."""
        return self.refused or self.strays > len(self.used_at)

    @property
    def isolated(self) -> bool:
        """Whether they say nothing of what others run, where enough is known of these."""
        return self.strays > 0

    @property
    def over_at(self) -> datetime:
        """When the period of the last call was over."""
        return self.last + (_DAY if self.refused else _HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What is known of one member of a cohort.

    ``launched_at``: its last start, where known. ``ended_at``: since when it is gone. ``looked_at``: when its metrics were last read
    (None: never). ``hours``: in which it was observed, in the cohort's window. ``started``: its last start was observed, with no call.
    ``used`` and ``refused``: its calls. ``problem``: why its metrics cannot be relied on.
    """

    arn: InstanceArn
    launched_at: datetime | None = None
    ended_at: datetime | None = None
    looked_at: datetime | None = None
    hours: int = 0
    started: bool = False
    used: Trace | None = None
    refused: Trace | None = None
    problem: str | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether no call of it is known, however old or settled: what made calls shows nothing for others."""
        return self.used is None and self.refused is None

    @property
    def is_final(self) -> bool:
        """Whether it is gone, and was looked at when CloudWatch showed all of it."""
        return self.ended_at is not None and self.looked_at is not None and self.looked_at >= self.ended_at + SETTLED

    def hours_since(self, since: datetime, now: datetime) -> int:
        """Of its observed hours, as many as certainly lie in the window that begins then. What is there was looked at within a day; of
        what has ended, the window has left hours behind since, and nobody knows which of them were observed."""
        if self.ended_at is None or self.looked_at is None:
            return self.hours
        counted_from = max(filter(None, (self.looked_at - (now - since), self.launched_at)))
        return min(hours_left(self.hours, counted_from, since), max(0, (self.ended_at - since) // _HOUR))

    def hours_unseen(self, since: datetime, now: datetime) -> int:
        """The hours of its life since then in which nobody knows whether it was observed."""
        if self.launched_at is None:
            return 0
        lived = (self.ended_at or now) - max(self.launched_at, since)
        return max(0, lived // _HOUR - self.hours)

    def traces(self, since: datetime, settled_at: datetime | None) -> list[Trace]:
        """Its calls since then, without those of which a person has said that they are settled."""
        if settled_at is not None and self.looked_at is not None and self.looked_at <= settled_at:
            return []
        latest = max(since, settled_at) if settled_at is not None else since
        return [each for each in (self.used, self.refused) if each is not None and each.over_at > latest]


def member_of(known: Member, evidence: Evidence, now: datetime, since: datetime, *, speaks: bool = True) -> Member:
    """A member as its evidence shows it now.

    Args:
        known: what is known of it.
        evidence: its own, whose window ends when it stopped: what lies before the cohort's shows nothing.
        now: the time.
        since: the beginning of the cohort's window.
        speaks: False where its silence proves nothing, because its endpoint is disabled.
    """
    use, start = evidence.use, evidence.start
    if evidence.problem is not None:
        return replace(known, looked_at=None, problem=evidence.problem)
    speaks = speaks and evidence.window_end > since
    lately, strays = evidence.hours_lately, strays_of(evidence)
    none = Trace(arn=known.arn, calls=0, last=evidence.window_end, gone=known.ended_at is not None)
    return replace(
        known,
        looked_at=now,
        problem=None,
        hours=(evidence.observed_hours if lately is None else lately) if speaks else 0,
        started=speaks and start is not None and start.observed and not start.calls,
        used=replace(none, calls=use.calls, last=use.last or none.last, strays=strays, times=_times(use, strays))
        if use.calls
        else None,
        refused=_refused(none, evidence, is_launch_known=known.launched_at is not None),
    )


def _refused(none: Trace, evidence: Evidence, *, is_launch_known: bool) -> Trace | None:
    """The refused calls of a member. Those that a person has settled hold nobody, but the member has made calls; not so where its
    evidence begins anew because it was mended."""
    refused = evidence.refused
    if refused.calls:
        strays = refused_strays_of(evidence) if is_launch_known else 0
        return replace(none, calls=refused.calls, last=refused.last or none.last, refused=True, strays=strays)
    if refused.earlier and refused.since is not None and refused.since != evidence.window_start:
        return replace(none, calls=refused.earlier, last=refused.since - _DAY, refused=True)
    return None


def _times(use: Use, strays: int) -> tuple[datetime, ...]:
    """The hours of isolated calls, of which there are at most two."""
    return tuple(sorted({when for when in (use.first, use.last) if when is not None})) if strays else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The evidence of a cohort.

    ``since``: the window's beginning. ``living``, ``gone``: how many members were looked at, ``quiet_members`` of them without any
    call that is known. ``hours``: in which the quiet ones were observed, together. ``starts``: how many of these were observed to
    start. ``traces``: calls in the window, the newest first, of different members. ``settled``: how many others made calls in it, of
    which a person says that they are settled. ``before``: calls in the window by another version from the same source, or by
    what has ended and nobody knows of which. ``problem``: what could not be read of living members; ``doubt``: why nobody can tell whether others belong to it; with either,
    the pool proves nothing.
    """

    key: str
    since: datetime
    living: int = 0
    gone: int = 0
    quiet_members: int = 0
    settled: int = 0
    hours: int = 0
    starts: int = 0
    traces: tuple[Trace, ...] = ()
    before: Trace | None = None
    problem: str | None = None
    doubt: str | None = None

    @property
    def members(self) -> int:
        """How many were looked at."""
        return self.living + self.gone

    def beside(self, arn: InstanceArn) -> Pool:
        """The same, without the calls of one member."""
        return replace(self, traces=tuple(each for each in self.traces if each.arn != arn))

    def binding(self, policy: Policy) -> list[Trace]:
        """The calls that hold members which made none, the newest first."""
        return binding(self.traces, self.hours, policy)

    @property
    def is_of_one_kind(self) -> bool:
        """Whether calls of some hold the others: a group or a tag says that all run the same software; an AMI or a template that people
        launch from says so only where many call."""
        return runs_one_software(self.key) or len(self.traces) * FEW_OF >= self.members

    def is_quiet(self, policy: Policy) -> bool:
        """Whether no call is known that holds others, and all members could be looked at."""
        return self.problem is None and self.doubt is None and not self.binding(policy)

    def is_proved(self, policy: Policy) -> bool:
        """Whether it speaks for members that were seen only briefly: enough hours and starts, and no call that holds."""
        enough = self.hours >= policy.min_observed_hours and self.starts >= policy.min_clean_starts
        return enough and self.is_quiet(policy) and self.before is None


def runs_one_software(key: str) -> bool:
    """Whether a cohort's key says that all of its members run the same; an AMI, or a template that people launch from, does not."""
    return kind_of(key) not in _MAY_RUN_ANYTHING


def pool_of(
    key: str,
    members: Iterable[Member],
    *,
    since: datetime,
    now: datetime,
    settled: dict[InstanceArn, datetime] | None = None,
    before: Trace | None = None,
    doubt: str | None = None,
) -> Pool:
    """The members' evidence, put together.

    Args:
        key: the cohort.
        members: what is known of each; those that nobody has looked at yet prove nothing.
        since: the window's beginning, ``now`` its end.
        settled: until when a person has settled what members did.
        before: calls by an earlier version from the same source.
        doubt: why nobody can tell whether others belong to it.
    """
    living = gone = quiet = hours = starts = settled_calls = 0
    problem: str | None = None
    newest: list[Trace] = []
    for each in members:
        problem = problem or each.problem
        if each.looked_at is None:
            continue
        living, gone = living + (each.ended_at is None), gone + (each.ended_at is not None)
        traces = each.traces(since, (settled or {}).get(each.arn))
        if traces:
            newest.append(_as_one(traces))
        elif each.is_quiet:
            quiet, hours, starts = quiet + 1, hours + each.hours_since(since, now), starts + each.started
        elif each.traces(since, None):
            settled_calls += 1
    newest.sort(key=lambda each: (each.over_at, each.calls, each.arn), reverse=True)
    return Pool(
        key=key,
        since=since,
        living=living,
        gone=gone,
        quiet_members=quiet,
        settled=settled_calls,
        hours=hours,
        starts=starts,
        traces=tuple(newest),
        before=before,
        problem=problem,
        doubt=doubt,
    )


def _as_one(traces: list[Trace]) -> Trace:
    """The newest calls of one member, accepted or refused."""
    newest = max(traces, key=lambda each: each.over_at)
    strays = sum(each.strays for each in traces)
    if not all(each.strays for each in traces) or strays > MOST_A_MEMBER:
        return replace(newest, strays=0, times=())
    times = {when for each in traces for when in each.used_at}
    return replace(newest, strays=strays, times=tuple(sorted(times)))


def to_keep(members: Iterable[Member], since: datetime, most: int) -> list[Member]:
    """The members that are remembered: those that have not been gone for longer than the window, and of more than ``most`` first
    those with calls, then those that are gone and were not looked at since, then the living. The rest can only have proved more."""
    present = [each for each in members if each.ended_at is None or each.ended_at > since]
    if len(present) <= most:
        return present

    def rank(member: Member) -> tuple[int, bool, InstanceArn]:
        if member.used is not None or member.refused is not None:
            return 0, False, member.arn
        return (3 if member.is_final else 1 if member.ended_at is not None else 2), member.started, member.arn

    return sorted(present, key=rank)[:most]
