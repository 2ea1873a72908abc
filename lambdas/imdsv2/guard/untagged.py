"""Enforced instances from which the service's tag has gone: people are told before anything breaks, because the rollback role may
change only what bears the tag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.domain.instance import ENFORCED_TAG, Instance
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import to_text
from imdsv2.ledger.record_values import UNTAGGED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger


def tag_again(record: Record) -> str:
    """How the tag is set again, and how Terraform leaves it alone, in two sentences."""
    value = to_text(record.enforced_at) if record.enforced_at else "any time"
    return (
        f"Set it again: aws ec2 create-tags --resources {record.arn.instance_id} --tags Key={ENFORCED_TAG},Value={value} (in account "
        f"{record.arn.account}, {record.arn.region}). Where Terraform manages the instance, add to its resource: "
        f'lifecycle {{ ignore_changes = [tags["{ENFORCED_TAG}"], tags_all["{ENFORCED_TAG}"]] }}'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Untagged:
    """Notes instances of one account and Region whose tag has gone. ``now``: the clock."""

    ledger: Ledger
    writer: Writer
    now: Callable[[], datetime]

    def note(self, targets: Mapping[InstanceArn, Target]) -> list[Record]:
        """Note what is seen without its tag for the first time. Returns the records of which people have to be told."""
        bare = [arn for arn, target in targets.items() if _has_lost_its_tag(target)]
        if not bare:
            return []
        records = [each for each in self.ledger.read(bare).values() if self._is_news(each)]
        changes = {each.arn: self._noted(each) for each in records if each.untagged_at is None}
        lost = self.writer.write(changes.values()).lost
        return [
            changes[each.arn].applied() if each.arn in changes else each for each in records if each.arn not in lost
        ]

    def _is_news(self, record: Record) -> bool:
        """Whether it has to be noted, or has been and people have yet to be told."""
        if not record.stands or not record.confirmed or record.is_leased(self.now()) or record.is_to_go_back:
            return False
        if record.untagged_at is None:
            return record.left_because is None
        return record.left_because == UNTAGGED and record.owes_notification()

    def _noted(self, record: Record) -> Change:
        now = self.now()
        why = (
            f"Tokens are required, and the tag {ENFORCED_TAG} is gone; mostly Terraform removes what it does not know. Without it, the "
            f"account's rollback role may not put the instance back if its software breaks. {tag_again(record)}"
        )
        after = replace(record, untagged_at=now, left_because=UNTAGGED, explanation=why, changed_at=now)
        return Change(before=record, after=after)


def _has_lost_its_tag(target: Target) -> bool:
    if not isinstance(target, Instance) or target.state in {"terminated", "shutting-down"}:
        return False
    return target.options.http_tokens == "required" and ENFORCED_TAG not in target.tags
