"""Answers which software calls IMDSv1 on instances or in a cohort. Only reads, unless a person has instances watched.

When it calls (CloudWatch, or the ledger), what of its cohort calls alike, which software used credentials that IMDSv1 had delivered
(CloudTrail), and what is known to be too old in its inventory (Systems Manager). What was not looked at is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, read
from imdsv2.aws.ec2 import look
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.inventory import Inventory, read_inventory
from imdsv2.aws.role_deliveries import Deliveries, read_deliveries
from imdsv2.culprit.deliveries import callers_of
from imdsv2.culprit.known import suspects_in
from imdsv2.culprit.when import Timing, sharing_of, timing_of
from imdsv2.domain.batches import batched
from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.evidence.hours import Hours
from imdsv2.domain.instance import Instance, Missing, Place, Unreachable
from imdsv2.domain.texts.words import count, were
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.errors import InvalidRequest
from imdsv2.ledger.items import account_key
from imdsv2.people.culprit.answer import Seen, culprit_document
from imdsv2.people.culprit.request import INSTANCES_A_CALL
from imdsv2.people.strangers import known_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.captures import Captures
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.culprit.capture import Capturing
    from imdsv2.people.culprit.request import CulpritQuestion

MEMBERS_COMPARED = 100
"""Members of a cohort whose hours are compared; they fit into one call of CloudWatch."""
_RECORDS_AT_ONCE = 500
_REMEMBERED = timedelta(days=90)
"""For so long CloudTrail keeps what can be looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprits:
    """Answers the question. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    captures: Captures
    capturing: Capturing
    policies: PolicySource
    now: Callable[[], datetime]

    def answer(self, question: CulpritQuestion) -> dict[str, Any]:
        """One result for each instance. Raises InvalidRequest for a cohort that the ledger does not know, ClientError if the ledger
        fails; what fails in an account is told with the instance."""
        now = self.now()
        policy = self.policies.current(now).policy
        arns, more = self._asked(question, policy, now)
        records = self.ledger.read(arns)
        mates = self._mates(records.values())
        seen = [self._seen(records[arn], mates.get(str(records[arn].cohort), {}), policy, now) for arn in arns]
        watched = {}
        if question.capture or question.collect is not None:
            watched = self.capturing.carry_out(question, [each for each in seen if each.in_scope])
        return {
            "command": "culprit",
            "dry_run": question.dry_run,
            "count": len(seen),
            "results": [culprit_document(each, watched.get(each.record.arn)) for each in seen],
            "problems": [
                f"Not looked at {were(more)} {count(more, 'more instance')} of this cohort; name them to ask about them."
            ]
            if more
            else [],
        }

    def _asked(self, question: CulpritQuestion, policy: Policy, now: datetime) -> tuple[list[InstanceArn], int]:
        """The instances to look at, those of a cohort with most calls first, and how many there are beside them."""
        if question.cohort is None:
            return list(question.targets), 0
        members = self._cohort(question.cohort)
        asked = list(members)[:MEMBERS_COMPARED]
        # All are of one account and Region: where these are out of scope, nobody looks there.
        in_scope = decide_scope(asked[0], policy, now) is None
        timings = self._timings(asked, self._look(members), policy, now)[0] if in_scope else {}
        ranked = sorted(members, key=lambda arn: (-timings.get(arn, Timing()).calls, arn))
        return ranked[:INSTANCES_A_CALL], max(0, len(ranked) - INSTANCES_A_CALL)

    def _cohort(self, cohort: str) -> dict[InstanceArn, Record]:
        """The members of a cohort that the ledger knows. Raises InvalidRequest, with the likely one, if it knows none."""
        cohorts = self._cohorts_beside([cohort])
        members = {
            arn: record
            for key, several in cohorts.items()
            if cohort in {key, lineage_of(key)}
            for arn, record in several.items()
        }
        if not members:
            likely = get_close_matches(cohort, sorted(cohorts), n=1)
            meant = f"; did you mean {likely[0]}?" if likely else ""
            raise InvalidRequest("culprit.cohort", f"the ledger knows no instance of cohort {cohort}{meant}")
        return members

    def _mates(self, records: Iterable[Record]) -> dict[str, dict[InstanceArn, Record]]:
        """The members of the instances' cohorts, by cohort: each account is walked through once, whoever is asked about in it."""
        return self._cohorts_beside({each.cohort for each in records if each.cohort is not None})

    def _cohorts_beside(self, wanted: Collection[str]) -> dict[str, dict[InstanceArn, Record]]:
        """The members of cohorts, and the names of all others of the same accounts and Regions. Records are read some at a time, and
        kept only of members: an account may have a hundred thousand."""
        found: dict[str, dict[InstanceArn, Record]] = {}
        for place in sorted({_place_of(each) for each in wanted}):
            arns = [each for each in known_in(self.ledger, account_key(place)) if each.region == place.region]
            for several in batched(arns, _RECORDS_AT_ONCE):
                for arn, record in self.ledger.read(several).items():
                    if record.cohort is None:
                        continue
                    members = found.setdefault(record.cohort, {})
                    if record.cohort in wanted or lineage_of(record.cohort) in wanted:
                        members[arn] = record
        return found

    def _seen(self, record: Record, mates: Mapping[InstanceArn, Record], policy: Policy, now: datetime) -> Seen:
        arn = record.arn
        scoped = decide_scope(arn, policy, now)
        if scoped is not None:
            return Seen(record=record, in_scope=False, not_looked_at=(scoped.explanation,))
        targets = self._look({arn: record})
        others = {each: mates[each] for each in [each for each in mates if each != arn][: MEMBERS_COMPARED - 1]}
        timings, unread = self._timings([arn, *others], {**targets, **self._look(others)}, policy, now)
        deliveries, untold = self._deliveries(arn, now)
        inventory, unlisted = self._inventory(arn)
        return Seen(
            record=record,
            target=targets.get(arn),
            timing=timings.get(arn),
            sharing=sharing_of(timings[arn], [timings[each] for each in others if each in timings])
            if arn in timings
            else None,
            callers=callers_of(deliveries.by_v1),
            deliveries=deliveries,
            inventory=inventory,
            suspects=suspects_in(inventory.applications),
            captured=self.captures.last(arn),
            not_looked_at=tuple(each for each in (_unseen(targets.get(arn)), unread, untold, unlisted) if each),
        )

    def _look(self, records: Mapping[InstanceArn, Record]) -> dict[InstanceArn, Target]:
        return look(self.clients, list(records))

    def _timings(
        self, arns: Sequence[InstanceArn], targets: Mapping[InstanceArn, Target], policy: Policy, now: datetime
    ) -> tuple[dict[InstanceArn, Timing], str | None]:
        """When instances of one account and Region called in the window, as far as CloudWatch answers; the first problem."""
        spans = {arn: Hours.touching(now - timedelta(days=policy.lookback_days), now) for arn in arns}
        try:
            cloudwatch = self.clients.cloudwatch(arns[0])
        except CALL_FAILURES as error:
            return {}, f"CloudWatch cannot be asked ({describe_error(error)}): deploy the member roles there."
        accepted, refused = (read(cloudwatch, metric, spans) for metric in (TOKENLESS_CALLS, REJECTED_CALLS))
        timings: dict[InstanceArn, Timing] = {}
        problem = None
        for arn in arns:
            if (found := accepted[arn].problem or refused[arn].problem) is not None:
                problem = problem or f"CloudWatch did not answer in full ({found}): ask again."
                continue
            calls = dict(accepted[arn].values)
            for hour, value in refused[arn].values.items():
                calls[hour] = calls.get(hour, 0.0) + value
            timings[arn] = timing_of(calls, _starts(targets.get(arn)))
        return timings, problem

    def _deliveries(self, arn: InstanceArn, now: datetime) -> tuple[Deliveries, str | None]:
        try:
            cloudtrail = self.clients.other("cloudtrail", arn)
            found = read_deliveries(cloudtrail, arn.instance_id, now - _REMEMBERED, now)
        except CALL_FAILURES as error:
            return (
                Deliveries(),
                f"CloudTrail cannot be asked ({describe_error(error)}): deploy the member roles there, or ask again.",
            )
        if found.since is None:
            return found, None
        return found, f"Of CloudTrail's events only the newest were looked at, back to {found.since:%Y-%m-%dT%H:%MZ}."

    def _inventory(self, arn: InstanceArn) -> tuple[Inventory, str | None]:
        try:
            found = read_inventory(self.clients.other("ssm", arn), arn.instance_id)
        except CALL_FAILURES as error:
            return (
                Inventory(),
                f"Systems Manager's inventory cannot be read ({describe_error(error)}): deploy the member roles there.",
            )
        if not found.managed:
            return found, "Systems Manager does not know this instance, so nobody has listed what is installed on it."
        if not found.complete:
            return found, "Its inventory is longer than what was read of it."
        if len(found.applications) <= 1:
            return (
                found,
                "No applications are in its inventory: have State Manager run AWS-GatherSoftwareInventory to list them.",
            )
        return found, None


def _unseen(target: Target | None) -> str | None:
    """Why EC2 does not show an instance: a mistyped id has neither calls nor software, and must not look like one without fault."""
    match target:
        case Missing():
            return "EC2 shows no such instance there: it has ended, or its id, account or Region is another. What is told is what is remembered of it."
        case Unreachable():
            return target.problem
        case _:
            return None


def _place_of(cohort: str) -> Place:
    partition, account, region, _ = cohort.split("/", 3)
    return Place(partition, region, account)


def _starts(target: Target | None) -> list[datetime]:
    return [target.launched_at] if isinstance(target, Instance) else []
