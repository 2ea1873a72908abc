"""Reboots of which CloudTrail knows, for instances that are held only because nobody saw their last start.

EC2 does not show reboots, but a reboot through its API is on record. Boot software ran then, as at a start: where the two hours after it
were observed without a call, that is an observed start. The window stays as it is, since nobody has said that software was
updated. What CloudTrail does not tell, or what fails, leaves the instance held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, may_pass
from imdsv2.aws.reboots import last_reboots
from imdsv2.domain.evidence.reboot import is_later, may_be_sought
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.line.evidence.gather import gather

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.record import Record


def with_reboots(
    clients: MemberClients,
    instances: Sequence[Instance],
    evidence: Mapping[InstanceArn, Evidence],
    histories: Mapping[InstanceArn, History],
    policy: Policy,
    now: datetime,
) -> dict[InstanceArn, Evidence]:
    """The evidence of instances of one account and Region; anew from a reboot, where only an observed start is missing and
    CloudTrail knows of one. It is asked once a day for each of these."""
    asked = [
        each
        for each in instances
        if each.arn in evidence and _lacks_a_start(each, evidence[each.arn], histories[each.arn], policy, now)
    ]
    if not asked:
        return dict(evidence)
    found = _found(clients, asked, now)
    if found is None:
        return dict(evidence)
    moved = {
        each.arn: replace(histories[each.arn], rebooted_at=found[each.arn.instance_id])
        for each in asked
        if each.arn.instance_id in found and is_later(found[each.arn.instance_id], each, histories[each.arn])
    }
    rebooted = [each for each in asked if each.arn in moved]
    anew = gather(clients.cloudwatch(asked[0].arn), rebooted, moved, policy, now) if rebooted else {}
    sought = {each.arn: replace(anew.get(each.arn, evidence[each.arn]), reboot_sought_at=now) for each in asked}
    return {**evidence, **sought}


def noted(record: Record, evidence: Evidence) -> Record:
    """A record with what was found, and when it was sought: whatever else the evidence is worth."""
    return replace(
        record,
        rebooted_at=evidence.rebooted_at or record.rebooted_at,
        reboot_sought_at=evidence.reboot_sought_at or record.reboot_sought_at,
    )


def _lacks_a_start(instance: Instance, evidence: Evidence, history: History, policy: Policy, now: datetime) -> bool:
    return may_be_sought(decide(instance, evidence, history, policy, now), evidence, history, now)


def _found(clients: MemberClients, asked: Sequence[Instance], now: datetime) -> Mapping[str, datetime] | None:
    """Reboots by instance id; None where CloudTrail may answer when it is asked again, and has not been asked."""
    try:
        cloudtrail = clients.other("cloudtrail", asked[0].arn)
        return last_reboots(cloudtrail, {each.arn.instance_id for each in asked}, now)
    except CALL_FAILURES as error:
        return None if may_pass(error) else {}
