"""The cohort items: the canaries of each cohort, and whether the rest may follow. All functions share these items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.batches import batched
from imdsv2.domain.cohort import Cohort
from imdsv2.domain.instance import InstanceArn
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import CURRENT, pause, put_unless_overtaken, read_batch, to_text, to_time
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

_COHORTS_A_CALL = 100
_ATTEMPTS = 12


class Cohorts:
    """The cohort items. Every method may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def read(self, keys: Iterable[str]) -> dict[str, Cohort]:
        """Read cohorts by key; a cohort that is not in the ledger is returned empty, with version 0."""
        found = {key: Cohort(key=key) for key in keys}
        for names in batched([*found], _COHORTS_A_CALL):
            keys_asked = [_key(name) for name in names]
            read = map(_cohort, read_batch(self._dynamodb, self._table, keys_asked))
            found |= {cohort.key: cohort for cohort in read}
        return found

    def save(self, cohort: Cohort) -> bool:
        """Write a cohort. False if it has changed since it was read."""
        attributes = {
            "canaries": [str(arn) for arn in cohort.canaries],
            "wanted": cohort.wanted,
            "opened_at": to_text(cohort.opened_at) if cohort.opened_at else None,
            "broken_by": str(cohort.broken_by) if cohort.broken_by else None,
            "broken_at": to_text(cohort.broken_at) if cohort.broken_at else None,
            "unexplained": cohort.unexplained or None,
            "denied_at": to_text(cohort.denied_at) if cohort.denied_at else None,
            "denied_why": cohort.denied_why,
            "denied_reason": cohort.denied_reason,
        }
        return put_unless_overtaken(self._dynamodb, self._table, _key(cohort.key), cohort.version, attributes)

    def change(self, key: str, change: Callable[[Cohort], Cohort]) -> None:
        """Read, change and write a cohort, with retries on conflict."""
        for attempt in range(_ATTEMPTS):
            if self.save(change(self.read([key])[key])):
                return
            pause(attempt)
        raise LedgerContended(f"others keep changing {key} in the ledger; this is tried again")


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": f"cohort#{name}"}, "sk": {"S": CURRENT}}


def _cohort(item: Mapping[str, Any]) -> Cohort:
    values = {name: deserialize(value) for name, value in item.items()}
    broken_by = values.get("broken_by")
    return Cohort(
        key=values["pk"].removeprefix("cohort#"),
        version=int(values["version"]),
        canaries=tuple(map(InstanceArn.parse, values["canaries"])),
        wanted=int(values["wanted"]),
        opened_at=to_time(values.get("opened_at")),
        broken_by=InstanceArn.parse(broken_by) if broken_by else None,
        broken_at=to_time(values.get("broken_at")),
        unexplained=bool(values.get("unexplained")),
        denied_at=to_time(values.get("denied_at")),
        denied_why=values.get("denied_why"),
        denied_reason=values.get("denied_reason"),
    )
