"""The evidence of one cohort, while it is put together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.scaling import ACTIVITIES_KEPT_DAYS
from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.evidence.hours import hours_left
from imdsv2.domain.evidence.pool import Member, Trace, pool_of
from imdsv2.domain.evidence.strays import MOST_A_MEMBER, MOST_CALLS
from imdsv2.domain.history import History
from imdsv2.domain.lifecycle import OURS
from imdsv2.domain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.evidence.pool import Pool
    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.pool import KeptPool
    from imdsv2.ledger.record import Record
    from imdsv2.line.evidence.membership import Membership

_WORTH_LOOKING = 24
"""Hours."""
_SERVES = timedelta(hours=24, minutes=10)
"""What is judged daily is judged with a jitter of ten minutes."""
_STARTS = timedelta(hours=3)
"""By then CloudWatch shows the two hours of a start."""
_SEEN = ("observed_hours", "tokenless_calls", "refused_calls")


@dataclass(slots=True, kw_only=True)
class CohortEvidence:
    """What is known of one cohort so far.

    ``before``, ``of_source``: the newest calls that are known of another version, and that its source tells of. ``taken``: the members
    that the batch at hand knows. ``is_read``: whether its membership was read. ``settled_at``, ``settled``: until when a person has
    settled calls, of all or of one; ``settled_of_source``: of all versions. ``mute``: whose endpoint was disabled when they were last judged. ``other_versions``: instances of other versions from the same source; ``calls_of_others``: what
    was heard of their calls, by cohort. ``unplaced``: what has ended, of this version or of an earlier one: nobody knows.
    """

    key: str
    members: dict[InstanceArn, Member]
    before: Trace | None = None
    of_source: Trace | None = None
    settled_at: datetime | None = None
    settled_of_source: datetime | None = None
    doubt: str | None = None
    problem: str | None = None
    is_read: bool = False
    taken: dict[InstanceArn, Member] = field(default_factory=dict)
    ended: dict[InstanceArn, Member] = field(default_factory=dict)
    other_versions: set[InstanceArn] = field(default_factory=set)
    instances: dict[InstanceArn, Instance] = field(default_factory=dict)
    histories: dict[InstanceArn, History] = field(default_factory=dict)
    settled: dict[InstanceArn, datetime] = field(default_factory=dict)
    doubtful: set[InstanceArn] = field(default_factory=set)
    calls_of_others: dict[str, list[Trace]] = field(default_factory=dict)
    unplaced: dict[InstanceArn, Member] = field(default_factory=dict)
    mute: set[InstanceArn] = field(default_factory=set)

    @classmethod
    def remembered(cls, known: KeptPool, source: KeptPool) -> CohortEvidence:
        """What is remembered of a cohort, and of its source."""
        of_source = source.before if source.before_key not in {None, known.key} else None
        return cls(
            key=known.key,
            members={each.arn: each for each in known.members},
            before=known.before,
            of_source=of_source,
            settled_at=max((when for when in (known.settled_at, source.settled_at) if when), default=None),
            settled_of_source=source.settled_at if source.key != known.key else None,
            doubt=known.doubt,
        )

    def add_judged(self, member: Member, record: Record, now: datetime, *, is_doubtful: bool) -> None:
        """Take in a member of the batch at hand. ``is_doubtful``: nobody knows yet whether its calls are isolated; they hold others
        until it is looked at closely, once a day for the same calls, since others may have been refused meanwhile."""
        known = self.members.get(member.arn)
        if is_doubtful and known is not None and _serves_still(known, member, now):
            member = replace(member, used=known.used, refused=known.refused, looked_at=known.looked_at)
        elif is_doubtful:
            member = replace(member, looked_at=now - _SERVES)
            self.doubtful.add(member.arn)
        self.taken[member.arn] = self.members[member.arn] = member
        self._settle(record)

    def set_membership(self, membership: Membership, since: datetime) -> None:
        """Take in who belongs to it; what ended before the window no longer does."""
        self.is_read, self.problem, self.doubt = True, membership.problem, membership.doubt
        self.instances, self.other_versions = membership.instances, membership.other_versions
        self.ended = {arn: each for arn, each in membership.ended.items() if not _is_over(each, since)}
        self.members = {arn: each for arn, each in membership.members.items() if not _is_over(each, since)} | self.taken

    def unread(self, since: datetime) -> list[InstanceArn]:
        """Whose records are wanted: those of all whom the batch does not hold, or of those with calls where all were looked at
        lately."""
        if self.is_read:
            return [arn for arn in (*self.members, *self.ended, *self.other_versions) if arn not in self.taken]
        return [arn for arn, each in self.members.items() if arn not in self.taken and each.traces(since, None)]

    def add_record(self, record: Record, since: datetime, now: datetime) -> None:
        """Take in what the ledger knows of one of these."""
        arn = record.arn
        if arn in self.other_versions:
            self._hear_of_other_version(record, since)
            return
        if arn in self.ended:
            ended = self.ended.pop(arn)
            if not self._is_of_this_version(ended, record, now):
                if self._is_of_this_source(record):
                    self._hear_of_other_version(record, since)
                else:
                    self.unplaced[arn] = ended
                return
            self.members[arn] = ended
        self._settle(record)
        self.histories[arn] = record.history
        if record.reason == Reason.ENDPOINT_DISABLED:
            self.mute.add(arn)
        if self.is_read:
            self.members[arn] = self._served_or_asked(self.members[arn], record, since, now)

    def unknown(self, now: datetime) -> list[Member]:
        """The members of whom nothing recent is known."""
        return [
            each
            for arn, each in self.members.items()
            if (arn not in self.taken or arn in self.doubtful)
            and not each.is_final
            and (each.looked_at is None or _is_to_be_asked(each, each.looked_at, now))
        ]

    def silent(self, since: datetime, now: datetime) -> list[Member]:
        """The members that made no call, and of whom no hours are known yet, or a day less than they may have been observed; those
        first of whom most hours are to be learnt."""
        silent = [
            each
            for arn, each in self.members.items()
            if arn not in self.taken and each.looked_at is not None and each.launched_at is not None
            if (unseen := self._hours_unseen(each, since, now)) >= _WORTH_LOOKING or (unseen and not each.hours)
            if not each.traces(since, self.settled.get(arn, self.settled_at))
            if not self._is_mute(arn)
        ]
        return sorted(silent, key=lambda each: (-self._hours_unseen(each, since, now), each.arn))

    def _is_mute(self, arn: InstanceArn) -> bool:
        """Whether its silence proves nothing, because its endpoint is disabled, or was when it was last judged before it ended."""
        if arn in self.instances:
            return self.instances[arn].options.http_endpoint == "disabled"
        return arn in self.mute

    def _hours_unseen(self, member: Member, since: datetime, now: datetime) -> int:
        """As for `Member`; what is stopped was observed until then at most."""
        stopped_at = self.instances[member.arn].stopped_at if member.arn in self.instances else None
        return member.hours_unseen(since, stopped_at or now)

    def history_of(self, arn: InstanceArn) -> History:
        """What the ledger knows of a member; where a person settled what all of the cohort did, it was refused nothing before that."""
        history = self.histories.get(arn, History())
        if self.settled_at is None or history.stands:
            return history
        return replace(history, cleared_at=max(history.cleared_at or self.settled_at, self.settled_at))

    def pool(self, since: datetime, now: datetime) -> Pool:
        """The evidence, as far as it was found."""
        everyone = dict.fromkeys(self.members, self.settled_at) if self.settled_at is not None else {}
        settled = {arn: when for arn, when in (everyone | self.settled).items() if when is not None}
        newest = _newer(self.before, self.of_source)
        counts_from = max(since, self.settled_of_source or since)
        before = newest if newest is not None and newest.over_at > counts_from else None
        members = self.members.values()
        pool = pool_of(self.key, members, since=since, now=now, settled=settled, before=before, doubt=self.doubt)
        return replace(pool, problem=self.problem or pool.problem)

    def _served_or_asked(self, member: Member, record: Record, since: datetime, now: datetime) -> Member:
        """A member as the ledger judged it within a day; but whose few calls may be isolated is to be looked at closely, because the
        ledger does not say so."""
        if not self._shows_the_window(record, since):
            return member
        served = _served(member, record, since, now)
        traces = [each for each in (served.used, served.refused) if each is not None]
        if served is member or not traces or any(each.calls > MOST_CALLS * MOST_A_MEMBER for each in traces):
            return served
        return replace(served, looked_at=None)

    def _shows_the_window(self, record: Record, since: datetime) -> bool:
        """Whether something was observed when it was judged, as far back as the cohort's window reaches, or else to its first launch
        or to a person's word: the policy may have looked back less far then."""
        seen = record.evidence or {}
        begins = seen.get("window_start")
        if begins is None or not any(seen.get(each) for each in _SEEN):
            return False
        first = self.instances[record.arn].first_launched_at if record.arn in self.instances else None
        return any(
            datetime.fromisoformat(begins) <= each for each in (since, first, record.mended_at) if each is not None
        )

    def _settle(self, record: Record) -> None:
        times = [when for when in (record.cleared_at, record.mended_at, self.settled_at) if when is not None]
        if times:
            self.settled[record.arn] = max(times)

    def _hear_of_other_version(self, record: Record, since: datetime) -> None:
        """What another version from the same source is known to use."""
        if record.cohort is None or record.cohort == self.key or not self._is_of_this_source(record):
            return
        seen = _served(Member(arn=record.arn), record, since, record.decided_at or since)
        settled_at = max((when for when in (record.cleared_at, record.mended_at) if when), default=None)
        self.calls_of_others.setdefault(record.cohort, []).extend(seen.traces(since, settled_at))

    def _is_of_this_source(self, record: Record) -> bool:
        """Whether the ledger says so; what it judged under another ``cohort_tag`` has another name there."""
        return record.cohort is not None and lineage_of(record.cohort) == lineage_of(self.key)

    def weigh_other_versions(
        self, known: Mapping[str, KeptPool], since: datetime, now: datetime, policy: Policy
    ) -> None:
        """Take in what other versions are known to use, but for isolated calls that their own evidence outweighs.

        Args:
            known: the evidence of their cohorts.
            since: the window's beginning.
            now: its end.
            policy: the policy in force.
        """
        for key, heard in self.calls_of_others.items():
            pool = pool_of(key, known[key].members, since=since, now=now)
            isolated = {each.arn: each.calls for each in pool.traces if each.isolated}
            told = {each.arn for each in heard if isolated.get(each.arn) == each.calls}
            held = [each for each in pool.binding(policy) if each.arn in told]
            for trace in (*held, *(each for each in heard if each.arn not in told)):
                self.before = _newer(self.before, trace)

    def of_unplaced(self) -> CohortEvidence:
        """What has ended and nobody knows of which version, as a cohort of its own."""
        return CohortEvidence(key=self.key, members=self.unplaced, settled_at=self.settled_at)

    def weigh_unplaced(self, unplaced: CohortEvidence, since: datetime, now: datetime, policy: Policy) -> None:
        """Take in what these used: of whichever version they were, the cohort cannot speak then. Their hours count for nobody."""
        pool = unplaced.pool(since, now)
        self.problem = self.problem or pool.problem
        for trace in pool.binding(policy):
            self.before = _newer(self.before, trace)

    def _is_of_this_version(self, ended: Member, record: Record, now: datetime) -> bool:
        """Whether an instance that the group has ended was of this version. The ledger knows; where it does not, what was launched
        after the first that is known of this version was."""
        if self._is_of_this_source(record):
            return record.cohort == self.key
        first = min((each.launched_at for each in self.members.values() if each.launched_at), default=None)
        forgotten_at = now - timedelta(days=ACTIVITIES_KEPT_DAYS)
        return first is not None and (ended.launched_at or forgotten_at) >= first


def _served(member: Member, record: Record, since: datetime, now: datetime) -> Member:
    """A member as the ledger judged it within a day; else as it is. What requires tokens is not judged, and its calls are refused
    since."""
    seen, decided_at = record.evidence, record.decided_at
    if seen is None or decided_at is None or now - decided_at >= _SERVES or record.status in OURS:
        return member
    if record.reason == Reason.EVIDENCE_INCOMPLETE or (member.looked_at is not None and member.looked_at > decided_at):
        return member
    last, begin, end = (seen.get(each) for each in ("last_tokenless_call", "window_start", "window_end"))
    is_of_late = end is not None and datetime.fromisoformat(end) > since
    none = Trace(arn=record.arn, calls=0, last=decided_at, gone=member.ended_at is not None)
    used, refused = int(seen.get("tokenless_calls", 0)), int(seen.get("refused_calls", 0))
    return replace(
        member,
        looked_at=decided_at,
        hours=hours_left(int(seen.get("observed_hours", 0)), datetime.fromisoformat(begin), since) if begin else 0,
        started=is_of_late and bool(seen.get("boot_observed")) and not seen.get("boot_tokenless_calls"),
        used=replace(none, calls=used, last=datetime.fromisoformat(last) if last else decided_at) if used else None,
        refused=replace(none, calls=refused, refused=True) if refused else None,
    )


def _is_to_be_asked(member: Member, looked_at: datetime, now: datetime) -> bool:
    """Whether a member may have called since it was looked at: a day is over, it has ended, or it had not been seen to start then,
    when software calls most."""
    starts = member.launched_at is not None and looked_at < member.launched_at + _STARTS
    return starts or now - looked_at >= _SERVES or member.ended_at is not None


def _serves_still(known: Member, member: Member, now: datetime) -> bool:
    """Whether a member was looked at within a day, and has made the same calls since."""
    one, other = known.used, member.used
    are_the_same = one is not None and other is not None and (one.calls, one.last) == (other.calls, other.last)
    return are_the_same and known.looked_at is not None and now - known.looked_at < _SERVES


def _newer(one: Trace | None, other: Trace | None) -> Trace | None:
    known = [each for each in (one, other) if each is not None]
    return max(known, key=lambda each: each.over_at) if known else None


def _is_over(member: Member, since: datetime) -> bool:
    return member.ended_at is not None and member.ended_at <= since
