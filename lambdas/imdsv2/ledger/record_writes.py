"""Composes what is written of records: the actions of transactions, with their conditions and events. Calls nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.lifecycle import check
from imdsv2.domain.replacing import replace
from imdsv2.ledger.change_events import events_of, notice_delivered
from imdsv2.ledger.clocks import in_order
from imdsv2.ledger.findings import chunks, merges
from imdsv2.ledger.items import new_id, record_key, to_text
from imdsv2.ledger.serialisation import changed_attributes
from imdsv2.ledger.told import due_to_tell
from imdsv2.ledger.trail import puts
from imdsv2.ledger.transactions import Write
from imdsv2.ledger.update import Update
from imdsv2.ledger.values import serialize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.change import Change
    from imdsv2.ledger.findings import Merge
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.told import Told
    from imdsv2.ledger.trail import Event, Provenance


@dataclass(frozen=True, slots=True)
class RecordWrites:
    """Composes writes to a table. ``provenance``: what their events say of the function that writes them."""

    table: str
    provenance: Provenance

    def of_change(self, change: Change, now: datetime) -> list[Write]:
        """The write of a change, then those of the findings that are too many for it. Raises IllegalMove."""
        after = _as_written(change, now)
        first, *more = merges(change.before, change.findings)
        write_id = new_id()
        attributes = changed_attributes(change.before, after)
        attributes |= {"version": change.before.version + 1, "written_by": write_id}
        written = (
            self._changed(change, after, attributes, first)
            if change.before.version
            else self._created(change, attributes, first)
        )
        actions = [written, *self._events(change.arn, events_of(change, after, now), now)]
        return [Write(actions=actions, write_id=write_id), *(self._merge(change, each) for each in more)]

    def of_claim(self, arn: InstanceArn, due_at: str, until: datetime) -> list[Write]:
        """What puts an instance off that is still due at ``due_at``."""
        update, write_id = Update(), new_id()
        update.require_equal("revisit_at", due_at)
        update.set("revisit_at", to_text(until))
        update.set("written_by", write_id)
        return [Write(actions=[self._action(arn, update)], write_id=write_id)]

    def marks(self, told: Told, now: datetime) -> list[Write]:
        """What records that findings are annotated and people notified, and what that changes."""
        after = told.after(now)
        changed = changed_attributes(told.record, after)
        changed |= {"notified_at": to_text(now)} if told.notified else {}
        first, *more = chunks(sorted(told.annotated)) or [[]]
        if not changed and not first:
            return []
        events = self._events(told.record.arn, notice_delivered(told.record, after), now)
        return [
            self._mark(told.record, first, now, changed, events),
            *(self._mark(told.record, keys, now, {}, []) for keys in more),
        ]

    def unmarks(self, told: Told) -> list[Write]:
        """What records that the findings have to be annotated again."""
        writes = []
        for keys in chunks(sorted(told.annotated)):
            update = Update()
            for key in keys:
                update.remove_path(f"findings.{update.name(key)}.annotated_at")
                update.require(f"attribute_exists(findings.{update.name(key)})")
            writes.append(Write(actions=[self._action(told.record.arn, update)]))
        return writes

    def due_again(self, record: Record, now: datetime) -> list[Write]:
        """What makes an instance due that owes a note; nothing if it is due soon enough."""
        after = due_to_tell(record, record, now, owes=bool(record.owed_notes()))
        if after == record:
            return []
        update = Update()
        update.require_equal("version", record.version)
        update.set_all(changed_attributes(record, after))
        return [Write(actions=[self._action(record.arn, update)])]

    def _mark(
        self,
        record: Record,
        keys: Iterable[str],
        now: datetime,
        changed: Mapping[str, Any],
        events: Iterable[Mapping[str, Any]],
    ) -> Write:
        update = Update()
        update.require_equal("version", record.version)
        update.set_all(changed)
        for key in keys:
            path = f"findings.{update.name(key)}"
            update.require(f"attribute_exists({path})")
            update.set_path(f"{path}.annotated_at", to_text(now))
        update.set("written_by", new_id())
        return Write(actions=[self._action(record.arn, update), *events])

    def _merge(self, change: Change, merge: Merge) -> Write:
        update = Update()
        update.require_equal("version", change.before.version + 1)
        merge.into(update)
        return Write(actions=[self._action(change.arn, update)])

    def _changed(self, change: Change, after: Record, attributes: Mapping[str, Any], findings: Merge) -> dict[str, Any]:
        update = Update()
        _require_unchanged(update, change.before, after, unless_due=change.unless_due)
        update.set_all(attributes)
        findings.into(update)
        return self._action(change.arn, update)

    def _created(self, change: Change, attributes: Mapping[str, Any], findings: Merge) -> dict[str, Any]:
        """The first item of an instance, as it is: an update would name every attribute twice, and DynamoDB would set each by itself."""
        named = {name: value for name, value in attributes.items() if value is not None} | {"findings": findings.new}
        item = {**record_key(change.arn), **{name: serialize(value) for name, value in named.items()}}
        return {"Put": {"TableName": self.table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _action(self, arn: InstanceArn, update: Update) -> dict[str, Any]:
        return {"Update": {"TableName": self.table, "Key": record_key(arn), **update.arguments()}}

    def _events(self, arn: InstanceArn, events: Sequence[Event], now: datetime) -> Iterable[Mapping[str, Any]]:
        return puts(self.table, str(arn), events, now, self.provenance)


def _as_written(change: Change, now: datetime) -> Record:
    """The record after a change: its times in the order of writes, and due again while something is to be told. Raises IllegalMove."""
    ordered = in_order(change.before, change.after)
    owes = replace(change, after=ordered).applied().owes_telling
    after = due_to_tell(change.before, ordered, now, owes=owes)
    if after.status is not None:
        check(change.before.status, after.status)
    return after


def _require_unchanged(update: Update, before: Record, after: Record, *, unless_due: bool) -> None:
    """Make a write fail if the record is no longer what the change was decided on."""
    update.require_equal("version", before.version)
    if before.written_by is not None and after.changed_at != before.changed_at:
        # Whoever has just told of the verdict before would have told of this one, as far as the item says.
        update.require_equal("written_by", before.written_by)
    if unless_due and before.revisit_at is not None:
        # Whoever makes an instance due brings it forward; whoever claims it for work puts it off.
        update.require(f"revisit_at >= {update.value(to_text(before.revisit_at))}")
