"""What the signs of instances under watch come to: healthy, broken, a probe or breakage, or nobody can say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.breakage import of_a_cohort, returning
from imdsv2.domain.evidence.window import MEMORY
from imdsv2.domain.health import LATE, LONGEST_LIFE, Health
from imdsv2.domain.lifecycle import Status
from imdsv2.guard.signs import Begin, gather_signs, hours_of_use
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import account_key
from imdsv2.ledger.record_values import UNPROVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import InstanceArn, Place, Unreachable
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.listing import Listing
    from imdsv2.guard.response import Response
    from imdsv2.guard.rollback_request import RollbackRequest
    from imdsv2.guard.watch import Watched
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_LIFELESS = "its life could not be proved"
_UNEXPLAINED = "IMDSv1 calls go on being rejected, too few to be breakage, and nobody has said what makes them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What broke; and what has yet to be recorded of the others, which `Judging.conclude` does."""

    broken: list[RollbackRequest] = field(default_factory=list)
    probed: list[Watched] = field(default_factory=list)
    clean: list[Watched] = field(default_factory=list)
    unproven: list[tuple[Record, str]] = field(default_factory=list)
    signs: Mapping[InstanceArn, Signs] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """Judges instances of one account and Region at a time, and records what came out. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    response: Response
    writer: Writer
    now: Callable[[], datetime]

    def judge(
        self,
        place: Place,
        under_watch: Mapping[InstanceArn, Watched],
        recalled: AbstractSet[InstanceArn],
        listing: Listing,
        policy: Policy,
    ) -> Judged:
        """Judge, and write nothing: what broke is put back before anything is recorded or told of the others.

        Of the ``recalled``, whose watch is over or has yet to begin anew, nothing is to be learnt but that calls are refused. Of what
        the ``listing`` spares, nothing is concluded: its watch goes on.
        """
        now = self.now()
        under_watch = {
            arn: each for arn, each in under_watch.items() if arn in recalled or listing.leaves_open(each, policy, now)
        }
        signs = self._signs(place, under_watch, recalled)
        patterns = {arn: each.pattern(signs[arn], policy) for arn, each in under_watch.items()}
        patterns |= self._of_cohorts(
            {arn: each for arn, each in under_watch.items() if patterns[arn] is None}, signs, policy
        )
        health = {arn: each.health(signs[arn], policy, self.now()) for arn, each in under_watch.items()}
        open_ = {arn: each for arn, each in under_watch.items() if health[arn] is not Health.BROKEN}
        unclear = {arn: each for arn, each in open_.items() if patterns[arn] is None and each.is_news(signs[arn])}
        patterns |= self._before(place, unclear, signs, policy)
        broken = [arn for arn in under_watch if health[arn] is Health.BROKEN or patterns[arn] is not None]
        probed = {arn: each for arn, each in unclear.items() if arn not in broken}
        others = {arn: each for arn, each in under_watch.items() if arn not in {*broken, *probed, *recalled}}
        return Judged(
            broken=[under_watch[arn].broken(signs[arn], patterns[arn]) for arn in broken],
            probed=list(probed.values()),
            clean=[each for arn, each in others.items() if health[arn] is Health.CLEAN],
            unproven=[
                (each.record, _UNEXPLAINED if signs[arn].refused else _LIFELESS)
                for arn, each in others.items()
                if health[arn] is Health.UNPROVEN
            ],
            signs=signs,
        )

    def conclude(self, judged: Judged, policy: Policy) -> tuple[int, list[Record]]:
        """Record what is healthy, what cannot be proved and what may be a probe. Returns how many have proved healthy, and the records
        of which people have to be told."""
        probes = [each.told(judged.signs[each.record.arn], self.now()) for each in judged.probed]
        owing = [*self._written(probes), *self._let_go_unproven(judged.unproven)]
        verified = self._settle(judged.clean, judged.signs, policy)
        return len(verified), [*owing, *verified]

    def out_of_sight(self, unseen: Iterable[tuple[Record, Unreachable]]) -> list[Record]:
        """Let go of those that nobody has been able to look at for as long as a watch may last; when that began is noted. Returns the
        records of which people have to be told."""
        now = self.now()
        waiting = [(record, target) for record, target in unseen if not record.is_to_go_back]
        newly = [record for record, _ in waiting if record.unseen_since is None]
        self.writer.write([Change(before=each, after=replace(each, unseen_since=now)) for each in newly])
        return self._let_go_unproven(
            [
                (record, target.problem)
                for record, target in waiting
                if not target.throttled and now - (record.unseen_since or now) >= LONGEST_LIFE
            ]
        )

    def _let_go_unproven(self, unproven: Sequence[tuple[Record, str]]) -> list[Record]:
        """Let go of those of which nobody can say whether something broke. A canary of which that is so because calls were refused
        holds its cohort, until a person has said what they were."""
        now = self.now()
        unexplained = [record for record, why in unproven if why == _UNEXPLAINED and record.awaits_canary_proof]
        self.response.holds.hold(unexplained, unexplained=True)
        changes = [
            Change(
                before=record,
                after=replace(
                    record,
                    canary_lost=True,
                    left_because=UNPROVEN,
                    explanation=f"Tokens are required, and after seven days nobody can say that nothing broke: {why}. See for yourself; "
                    "the service watches it no longer, except for rejected calls.",
                    changed_at=now,
                ),
            )
            for record, why in unproven
        ]
        return self._written(changes)

    def _signs(
        self, place: Place, under_watch: Mapping[InstanceArn, Watched], recalled: AbstractSet[InstanceArn]
    ) -> dict[InstanceArn, Signs]:
        if not under_watch:
            return {}
        begins = {arn: Begin(watch=each.since, count=each.counted_from) for arn, each in under_watch.items()}
        now = self.now()
        ripe = {
            arn
            for arn, each in under_watch.items()
            if arn not in recalled and now - each.since >= timedelta(hours=each.hours) + LATE
        }
        return gather_signs(self.clients.cloudwatch(place), begins, ripe, now)

    def _of_cohorts(
        self, under_watch: Mapping[InstanceArn, Watched], signs: Mapping[InstanceArn, Signs], policy: Policy
    ) -> dict[InstanceArn, str]:
        """What makes refused calls breakage because all that run the same software had theirs at the same moment."""
        cohorts: dict[str, dict[InstanceArn, Mapping[datetime, int]]] = {}
        for arn, each in under_watch.items():
            if each.record.cohort is not None and signs[arn].refused:
                cohorts.setdefault(each.record.cohort, {})[arn] = signs[arn].refused
        several = {cohort: refused for cohort, refused in cohorts.items() if len(refused) > 1}
        if not several:
            return {}
        place = next(iter(under_watch))
        rows = self.ledger.indexes.enforced_since(account_key(place), self.now() - MEMORY)
        standing = Counter(row.cohort for row in rows if row.status in {Status.ENFORCED, Status.VERIFIED})
        return {
            arn: words
            for cohort, refused in several.items()
            if (words := of_a_cohort(refused, standing=standing[cohort], policy=policy)) is not None
            for arn in refused
        }

    def _before(
        self, place: Place, unclear: Mapping[InstanceArn, Watched], signs: Mapping[InstanceArn, Signs], policy: Policy
    ) -> dict[InstanceArn, str]:
        """What makes refused calls breakage by what instances called before tokens were required; those of which nothing does
        are left out."""
        enough = {arn for arn in unclear if signs[arn].rejected_calls >= policy.rejected_threshold}
        if not enough:
            return {}
        oldest = self.now() - MEMORY
        spans = {}
        for arn in enough:
            record = unclear[arn].record
            begin = max(oldest, record.mended_at or oldest)
            spans[arn] = (begin, max(begin, record.enforced_at or begin))
        used = hours_of_use(self.clients.cloudwatch(place), spans)
        found = {arn: returning(signs[arn].refused, used[arn], policy.rejected_threshold) for arn in enough}
        return {arn: words for arn, words in found.items() if words is not None}

    def _settle(self, clean: Iterable[Watched], signs: Mapping[InstanceArn, Signs], policy: Policy) -> list[Record]:
        """Record what is clean. Returns what has proved healthy."""
        now = self.now()
        changes = [
            change for each in clean if (change := each.settled(signs[each.record.arn], policy, now)) is not None
        ]
        before = {change.arn: change.before.status for change in changes}
        return [each for each in self._written(changes) if each.status != before[each.arn]]

    def _written(self, changes: Sequence[Change]) -> list[Record]:
        """The records after the changes, without those that others have changed since."""
        lost = self.writer.write(changes).lost
        return [change.applied() for change in changes if change.arn not in lost]
