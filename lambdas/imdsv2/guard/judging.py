"""What the signs of instances under watch come to: healthy, broken, a probe or breakage, or nobody can say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.breakage import of_a_cohort, returning
from imdsv2.domain.health import LONGEST_LIFE, Health
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.window import MEMORY
from imdsv2.guard.signs import Begin, gather_signs, hours_of_use
from imdsv2.ledger.items import account_key
from imdsv2.ledger.record import OVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import InstanceArn, Place, Unreachable
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.response import Response
    from imdsv2.guard.rollback import Return
    from imdsv2.guard.watch import Watched
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_LIFELESS = "its life could not be proved"
_UNEXPLAINED = "IMDSv1 calls go on being rejected, too few to be breakage, and nobody has said what makes them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What broke, and how many have proved healthy."""

    broken: list[Return] = field(default_factory=list)
    verified: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """Judges instances of one account and Region at a time, and records and tells what came out. ``now``: the clock."""

    members: Members
    ledger: Ledger
    response: Response
    now: Callable[[], datetime]

    def judge(
        self,
        place: Place,
        under_watch: Mapping[InstanceArn, Watched],
        recalled: AbstractSet[InstanceArn],
        policy: Policy,
    ) -> Judged:
        """Record what is healthy, tell what cannot be proved and what may be a probe, and return what broke.

        Of the ``recalled``, whose watch is over or has yet to begin anew, nothing is to be learnt but that calls are refused.
        """
        signs = self._signs(place, under_watch)
        patterns = {arn: each.pattern(signs[arn], policy) for arn, each in under_watch.items()}
        patterns |= self._of_cohorts(
            {arn: each for arn, each in under_watch.items() if patterns[arn] is None}, signs, policy
        )
        health = {arn: each.health(signs[arn], policy, self.now()) for arn, each in under_watch.items()}
        open_ = {arn: each for arn, each in under_watch.items() if health[arn] is not Health.BROKEN}
        unclear = {arn: each for arn, each in open_.items() if patterns[arn] is None and each.is_news(signs[arn])}
        patterns |= self._before(place, unclear, signs, policy)
        broken = [arn for arn in under_watch if health[arn] is Health.BROKEN or patterns[arn] is not None]
        told = self._tell_probes([each for arn, each in unclear.items() if arn not in broken], signs)
        others = {arn: each for arn, each in under_watch.items() if arn not in {*broken, *told, *recalled}}
        clean = [each for arn, each in others.items() if health[arn] is Health.CLEAN]
        unproven = [each for arn, each in others.items() if health[arn] is Health.UNPROVEN]
        self.tell_unproven(
            [(each.record, _UNEXPLAINED if signs[each.record.arn].refused else _LIFELESS) for each in unproven]
        )
        return Judged(
            broken=[under_watch[arn].broken(signs[arn], patterns[arn]) for arn in broken],
            verified=self._settle(clean, signs, policy),
        )

    def tell_out_of_sight(
        self, records: Mapping[InstanceArn, Record], unseen: Mapping[InstanceArn, Unreachable]
    ) -> None:
        """Tell of those that nobody has been able to look at for as long as a watch may last; when that began is noted."""
        now = self.now()
        out_of_sight = [
            records[arn] for arn, target in unseen.items() if not target.throttled and not records[arn].is_to_go_back
        ]
        newly = [record for record in out_of_sight if record.unseen_since is None]
        self.ledger.write([Change(before=each, after=replace(each, unseen_since=now)) for each in newly], now)
        too_long = [each for each in out_of_sight if now - (each.unseen_since or now) >= LONGEST_LIFE]
        self.tell_unproven([(each, unseen[each.arn].problem) for each in too_long])

    def tell_unproven(self, unproven: Iterable[tuple[Record, str]]) -> None:
        """Tell of those of which nobody can say whether something broke. A canary of which that is so because calls were refused
        holds its cohort, until a person has said what they were."""
        unproven, now = list(unproven), self.now()
        unexplained = [record for record, why in unproven if why == _UNEXPLAINED and record.awaits_canary_proof]
        self.response.hold_cohorts(unexplained, unexplained=True)
        changes = [
            Change(
                before=record,
                after=replace(
                    record,
                    watch=OVER,
                    canary_lost=True,
                    left_because="unproven",
                    explanation=f"Tokens are required, and after seven days nobody can say that nothing broke: {why}. See for yourself; "
                    "the service watches it no longer, except for rejected calls.",
                    changed_at=now,
                ),
            )
            for record, why in unproven
        ]
        self._write_and_tell(changes)

    def _signs(self, place: Place, under_watch: Mapping[InstanceArn, Watched]) -> dict[InstanceArn, Signs]:
        if not under_watch:
            return {}
        begins = {arn: Begin(watch=each.since, count=each.counted_from) for arn, each in under_watch.items()}
        now = self.now()
        ripe = {arn for arn, each in under_watch.items() if now - each.since >= timedelta(hours=each.hours)}
        return gather_signs(self.members.cloudwatch(place), begins, ripe, now)

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
        rows = self.ledger.enforced_since(account_key(place), self.now() - MEMORY)
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
        used = hours_of_use(self.members.cloudwatch(place), spans)
        found = {arn: returning(signs[arn].refused, used[arn], policy.rejected_threshold) for arn in enough}
        return {arn: words for arn, words in found.items() if words is not None}

    def _tell_probes(self, unclear: Iterable[Watched], signs: Mapping[InstanceArn, Signs]) -> set[InstanceArn]:
        """Tell, once, of refused calls that are too few to be breakage. Returns of whom."""
        changes = [each.told(signs[each.record.arn], self.now()) for each in unclear]
        self._write_and_tell(changes)
        return {change.arn for change in changes}

    def _settle(self, clean: Iterable[Watched], signs: Mapping[InstanceArn, Signs], policy: Policy) -> int:
        """Record what is clean. Returns how many have proved healthy."""
        now = self.now()
        changes = [
            change for each in clean if (change := each.settled(signs[each.record.arn], policy, now)) is not None
        ]
        overtaken = self.ledger.write(changes, now)
        newly = [
            change.arn
            for change in changes
            if change.arn not in overtaken and change.after.status != change.before.status
        ]
        self.response.tell(newly)
        return len(newly)

    def _write_and_tell(self, changes: list[Change]) -> None:
        overtaken = self.ledger.write(changes, self.now())
        self.response.tell([change.arn for change in changes if change.arn not in overtaken])
