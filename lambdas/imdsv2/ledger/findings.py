"""The findings in a record's item: which are kept, and how they are written without exceeding DynamoDB's limits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from imdsv2.domain.batches import batched
from imdsv2.domain.request import Finding
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.serialisation import age, finding_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.ledger.record import Record
    from imdsv2.ledger.update import Update

FINDINGS_KEPT = 200
FINDINGS_BYTES = 300_000
"""The most that findings may take of an item's 400 KB."""

_FINDINGS_A_WRITE = 50
"""An expression is limited to 4 KB: about 25 bytes for each finding, and less than 1 KB for all other attributes."""
_TIME_BYTES = 27
_NAMES_BYTES = sum(len(each.name) for each in fields(Finding))
_OVERHEAD_BYTES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What one write does to the findings of an item."""

    new: Mapping[str, Mapping[str, Any]]
    gone: Sequence[str] = ()

    def into(self, update: Update) -> None:
        """Add it to the update of an item."""
        for key, item in self.new.items():
            update.set_path(f"findings.{update.name(key)}", item)
        for key in self.gone:
            update.remove_path(f"findings.{update.name(key)}")


def merges(record: Record, findings: Sequence[Finding]) -> list[Merge]:
    """The writes, at least one, that add findings to a record and drop the oldest that are too many or too large."""
    named = {key_of(finding, record.findings): finding for finding in findings}
    kept = _newest({**record.findings, **named})
    new = {key: finding_item(finding) for key, finding in named.items() if key in kept}
    if not record.version:
        return [Merge(new=new)]  # A new item takes them all at once.
    # In turns, so that no write adds much more than it drops: an item that is nearly full could not take it.
    turns = zip_longest(sorted(record.findings.keys() - kept), new)
    keys = [key for turn in turns for key in turn if key is not None]
    return [
        Merge(new={key: new[key] for key in part if key in new}, gone=[key for key in part if key not in new])
        for part in chunks(keys) or [[]]
    ]


def chunks(keys: Iterable[str]) -> list[list[str]]:
    """As many findings at a time as fit into one expression."""
    return [*batched(keys, _FINDINGS_A_WRITE)]


def _newest(findings: Mapping[str, Finding]) -> set[str]:
    kept: set[str] = set()
    size = 0
    for key in sorted(findings, key=lambda key: age(findings[key]), reverse=True)[:FINDINGS_KEPT]:
        size += len(key) + _size(findings[key])
        if size > FINDINGS_BYTES:
            break
        kept.add(key)
    return kept


def _size(finding: Finding) -> int:
    """The bytes that a finding takes in an item, once it is annotated."""
    texts = sum(len(text.encode()) for text in (finding.id, finding.product_arn, finding.region))
    return texts + 2 * _TIME_BYTES + _NAMES_BYTES + _OVERHEAD_BYTES
