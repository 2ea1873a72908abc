"""The evidence of cohorts, for instances of one account and Region at a time.

What the batch at hand has read costs nothing; what the ledger judged within a day serves; only of the rest CloudWatch is asked, once an
hour at most. What was found is kept in the ledger, so that members that have ended since are still known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.batches import batched
from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.evidence.pool import Member, member_of, to_keep
from imdsv2.domain.evidence.strays import may_be_strays
from imdsv2.domain.verdict import MAY_CHANGE
from imdsv2.domain.verdict_table.evidence_rows import OF_LITTLE_EVIDENCE
from imdsv2.ledger.pool import MOST_MEMBERS, KeptPool
from imdsv2.line.evidence.cohort_evidence import CohortEvidence
from imdsv2.line.evidence.glance import glance, look_closely

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.evidence.pool import Pool, Trace
    from imdsv2.domain.instance import InstanceArn, Placed
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.pool import Pools
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.evidence.membership import Memberships
    from imdsv2.line.judgement import Judgement

_ASKED_AGAIN = timedelta(hours=1)
_RECORDS_AT_ONCE = 500
_LOOKED_AT_CLOSELY = 100
"""So many members are looked at for hours and starts, where those at hand have too few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Siblings:
    """Puts the evidence of cohorts together. Methods may raise ClientError or LedgerContended."""

    clients: MemberClients
    ledger: Ledger
    pools: Pools
    memberships: Memberships

    def pooled(self, judged: Sequence[Judgement], policy: Policy, now: datetime, *, keep: bool) -> dict[str, Pool]:
        """The evidence of each cohort of which an instance may be enforced, as far as the instance itself goes.

        Args:
            judged: instances of one account and Region, judged without their cohorts.
            policy: the policy in force.
            now: the time.
            keep: whether what was found is written to the ledger.
        """
        examples = {
            each.cohort: each.instance
            for each in judged
            if each.cohort is not None and each.instance is not None and _may_be_enforced(each)
        }
        if not examples:
            return {}
        since = now - timedelta(days=policy.lookback_days)
        kept = self.pools.read({*examples, *map(lineage_of, examples)})
        known = {key: each.through(policy.lookback_days) for key, each in kept.items()}
        found = {key: CohortEvidence.remembered(known[key], known[lineage_of(key)]) for key in examples}
        for each in judged:
            if each.cohort in found:
                _take(found[each.cohort], each, since, now)
        old = {key: each for key, each in examples.items() if _is_old(known[key], now)}
        for key, membership in (self.memberships.read(old, known, policy, now) if old else {}).items():
            found[key].set_membership(membership, since)
        self._read_records(found.values(), since, now)
        self._weigh_other_versions(found.values(), since, now, policy)
        place = next(iter(examples.values())).arn
        unproved = {str(each.cohort) for each in judged if each.verdict.reason in OF_LITTLE_EVIDENCE}
        self._look(place, [found[key] for key in old], unproved, policy, since, now)
        pools = {key: each.pool(since, now) for key, each in found.items()}
        if keep:
            for one in found.values():
                self._keep(one, pools[one.key], known, policy, since, now)
        return pools

    def _read_records(self, found: Collection[CohortEvidence], since: datetime, now: datetime) -> None:
        """What the ledger knows of those whom the batch does not hold."""
        wanted: dict[InstanceArn, list[CohortEvidence]] = defaultdict(list)
        for each in found:
            for arn in each.unread(since):
                wanted[arn].append(each)
        for arns in batched(wanted, _RECORDS_AT_ONCE):
            for arn, record in self.ledger.read(arns).items():
                for each in wanted[arn]:
                    each.add_record(record, since, now)

    def _weigh_other_versions(
        self, found: Collection[CohortEvidence], since: datetime, now: datetime, policy: Policy
    ) -> None:
        """What the evidence of other versions says of the calls that were heard of them."""
        keys = {key for each in found for key, heard in each.calls_of_others.items() if heard}
        known = self.pools.read(keys) if keys else {}
        for each in found:
            each.calls_of_others = {key: heard for key, heard in each.calls_of_others.items() if heard}
            each.weigh_other_versions(known, since, now, policy)

    def _look(
        self,
        place: Placed,
        found: Sequence[CohortEvidence],
        unproved: Collection[str],
        policy: Policy,
        since: datetime,
        now: datetime,
    ) -> None:
        """Ask CloudWatch about those of whom nothing recent is known; and closely about some, where hours and starts are wanting."""
        unplaced = {each.key: each.of_unplaced() for each in found if each.unplaced and policy.cohort_evidence}
        everyone = [*found, *unplaced.values()]
        asked = [member for each in everyone for member in each.unknown(now)]
        wanting = [each for each in everyone if policy.cohort_evidence]
        if not asked and not wanting:
            return
        try:
            cloudwatch = self.clients.cloudwatch(place)
        except CALL_FAILURES as error:
            for each in found:
                each.problem = each.problem or describe_error(error)
            return
        owner = {arn: each for each in everyone for arn in each.members}
        if asked:
            quiet, loud = glance(cloudwatch, asked, since, now)
            for member in quiet:
                owner[member.arn].members[member.arn] = member
            self._look_closely(cloudwatch, loud, owner, policy, now)
        for each in wanting:
            members = self._worth_looking_at(each, each.key in unproved, policy, since, now)
            self._look_closely(cloudwatch, members, owner, policy, now)
        for each in found:
            if each.key in unplaced:
                each.weigh_unplaced(unplaced[each.key], since, now, policy)

    @staticmethod
    def _worth_looking_at(
        found: CohortEvidence, is_unproved: bool, policy: Policy, since: datetime, now: datetime
    ) -> list[Member]:
        """The members whose hours and starts may yet make the cohort speak for its members, or outweigh isolated calls."""
        pool, silent = found.pool(since, now), found.silent(since, now)[:_LOOKED_AT_CLOSELY]
        if pool.problem is not None or pool.doubt is not None:
            return []
        if not pool.binding(policy):
            return silent if is_unproved and not pool.is_proved(policy) else []
        may_have = pool.hours + sum(each.hours_unseen(since, now) for each in silent)
        return silent if not replace(pool, hours=may_have).binding(policy) else []

    def _look_closely(
        self,
        cloudwatch: CloudWatchClient,
        members: Sequence[Member],
        owner: dict[InstanceArn, CohortEvidence],
        policy: Policy,
        now: datetime,
    ) -> None:
        instances = {arn: owner[arn].instances[arn] for arn in (m.arn for m in members) if arn in owner[arn].instances}
        histories = {arn: owner[arn].history_of(arn) for arn in (m.arn for m in members)}
        hibernating = {m.arn for m in members if any(each.hibernates for each in owner[m.arn].instances.values())}
        for each in look_closely(cloudwatch, members, instances, histories, policy, now, hibernating=hibernating):
            owner[each.arn].members[each.arn] = each

    def _keep(
        self,
        found: CohortEvidence,
        pool: Pool,
        known: dict[str, KeptPool],
        policy: Policy,
        since: datetime,
        now: datetime,
    ) -> None:
        """Write what was found: all of it where all were looked at, else new calls. Where another was faster, its word stands."""
        kept, source = known[found.key], lineage_of(found.key)
        if found.is_read:
            # What could not be read is asked for again as soon as anybody asks.
            read_at = None if pool.problem is not None else now
            members = tuple(to_keep(found.members.values(), since, MOST_MEMBERS))
            read = replace(kept, read_at=read_at, members=members, lookback_days=policy.lookback_days)
            self.pools.save(replace(read, before=found.before, doubt=found.doubt))
        elif {each.arn for each in pool.traces} - {each.arn for each in kept.members if each.used or each.refused}:
            self.pools.save(replace(kept, members=tuple(to_keep(found.members.values(), since, MOST_MEMBERS))))
        if source != found.key:
            self._tell_source(source, found.key, pool.binding(policy), known[source])

    def _tell_source(self, source: str, key: str, held: Sequence[Trace], told: KeptPool) -> None:
        """What the next version has to know: the calls that hold; and of those that were told, that they have been outweighed since."""
        is_told = told.before is not None and told.before_key == key
        if held and (not is_told or told.before is None or held[0].over_at > told.before.over_at):
            self.pools.change(source, lambda item: replace(item, before=held[0], before_key=key))
        elif not held and is_told and told.before is not None and told.before.isolated:
            self.pools.change(
                source, lambda item: replace(item, before=None, before_key=None) if item.before == told.before else item
            )


def _may_be_enforced(judgement: Judgement) -> bool:
    """Whether nothing speaks against an instance itself; or too little is known of it."""
    return judgement.evidence is not None and judgement.verdict.reason in MAY_CHANGE | OF_LITTLE_EVIDENCE


def _take(found: CohortEvidence, judgement: Judgement, since: datetime, now: datetime) -> None:
    """Take in what the batch knows of a member: nothing, where its window is not known and so nothing was looked at."""
    instance, evidence = judgement.instance, judgement.evidence
    if instance is None or evidence is None or (evidence.problem is None and not evidence.window_known):
        return
    member = Member(arn=instance.arn, launched_at=instance.launched_at)
    found.add_judged(
        member_of(member, evidence, now, since), judgement.record, now, is_doubtful=may_be_strays(evidence)
    )


def _is_old(known: KeptPool, now: datetime) -> bool:
    return known.read_at is None or not timedelta() <= now - known.read_at < _ASKED_AGAIN
