"""Instances that began to run: a new one whose cohort is proved is due as soon as its own evidence can be there, not a day later.

EC2 tells of every start. Whatever need not be judged soon is dropped for the price of one description in a thousand.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import look
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.evidence.window import START
from imdsv2.domain.instance import Instance, Place
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import HOURLY
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.errors import LedgerContended
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import to_text
from imdsv2.line.evidence.cohort_evidence import CohortEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.pool import Pools
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.evidence.membership import Memberships

_IS_NEW = timedelta(hours=1)
"""Between first launch and last start, of an instance that is new."""
_WAITING = frozenset({Status.HELD, Status.WOULD_ENFORCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Makes new instances of proved cohorts due. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    pools: Pools
    memberships: Memberships
    policies: PolicySource
    now: Callable[[], datetime]
    logger: Logger

    def run(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Exception]:
        """Look at instances that began to run. Returns those of which the ledger could not be told: they are tried again. What EC2
        does not tell of an instance is left to Config, Security Hub and the sweep, as before."""
        places: dict[Place, list[InstanceArn]] = defaultdict(list)
        for arn in dict.fromkeys(arns):
            places[Place.of(arn)].append(arn)
        failed: dict[InstanceArn, Exception] = {}
        for several in places.values():
            try:
                failed |= self._run(several)
            except (*CALL_FAILURES, LedgerContended) as error:
                where = {"account": several[0].account, "region": several[0].region, "problem": describe_error(error)}
                self.logger.warning("starts of instances not noticed", extra=where)
                failed |= dict.fromkeys(several, error)
            except Exception as error:
                # A defect: the other messages of the batch must not come back with these.
                self.logger.exception("starts of instances failed", extra={"account": several[0].account})
                failed |= dict.fromkeys(several, error)
        return failed

    def _run(self, arns: list[InstanceArn]) -> Mapping[InstanceArn, Exception]:
        now = self.now()
        policy = self.policies.current(now).policy
        if not policy.cohort_evidence or decide_scope(arns[0], policy, now) is not None:
            return {}
        new = [
            each for each in look(self.clients, arns).values() if isinstance(each, Instance) and _is_of_concern(each)
        ]
        cohorts = self.memberships.cohorts(new, policy) if new else {}
        proved = self._proved({key for key in cohorts.values() if key is not None}, policy, now)
        due = {each.arn: each.launched_at + START + HOURLY for each in new if cohorts.get(each.arn) in proved}
        return self._make_due(due, now)

    def _proved(self, keys: set[str], policy: Policy, now: datetime) -> set[str]:
        """Those of these cohorts that the ledger knows to be proved; nobody is asked about the others."""
        if not keys:
            return set()
        known = self.pools.read({*keys, *map(lineage_of, keys)})
        since = now - timedelta(days=policy.lookback_days)
        return {
            key
            for key in keys
            if CohortEvidence.remembered(known[key], known[lineage_of(key)]).pool(since, now).is_proved(policy)
        }

    def _make_due(self, due: Mapping[InstanceArn, datetime], now: datetime) -> Mapping[InstanceArn, Exception]:
        if not due:
            return {}
        records = self.ledger.read(due)
        unknown = [
            Change(before=record, after=replace(record, revisit_at=due[arn]))
            for arn, record in records.items()
            if not record.version
        ]
        written = self.ledger.write(unknown, now)
        for arn, record in records.items():
            if _waits_longer(record, due[arn]) and record.revisit_at is not None:
                self.ledger.claim({arn: to_text(record.revisit_at)}, due[arn])
        return written.failed


def _is_of_concern(instance: Instance) -> bool:
    """Whether it is new, and could be enforced as far as EC2 shows it."""
    options = instance.options
    is_open = options.http_tokens == "optional" and options.http_endpoint == "enabled"
    if not is_open or instance.managed_by or instance.state not in {"pending", "running"}:
        return False
    first = instance.first_launched_at
    return first is None or instance.launched_at - first < _IS_NEW


def _waits_longer(record: Record, when: datetime) -> bool:
    waits = record.status is None or record.status in _WAITING
    return bool(record.version) and waits and record.revisit_at is not None and record.revisit_at > when
