"""What slows enforcement down beyond one instance: caps and the breaker of an account, and the canaries of a cohort.

They stand in the ledger, so that all functions share them. Every write is conditional on what was read, and done again
where somebody else was quicker.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from imdsv2.domain.account import Account
from imdsv2.domain.cohort import Cohort
from imdsv2.domain.instance import InstanceArn
from imdsv2.errors import LedgerContended
from imdsv2.ledger.table import account_key, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed

_ACCOUNTS = "accounts"
_CURRENT = "current"
_COHORTS_A_CALL = 100
_ATTEMPTS = 12

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class Brakes:
    """The shared items of the ledger's table. Every method may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def account(self, there: Placed) -> Account:
        """The account in which something lies."""
        return self._account(account_key(there))

    def accounts(self) -> list[Account]:
        """Every account in which anything was ever enforced, the one longest unguarded first."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :accounts",
            "ExpressionAttributeValues": {":accounts": {"S": _ACCOUNTS}},
        }
        found: list[Account] = []
        while True:
            answer = self._dynamodb.query(**request)
            found += [_account(item["sk"]["S"], item) for item in answer["Items"]]
            if not answer.get("LastEvaluatedKey"):
                return sorted(found, key=lambda each: (each.guarded_at is not None, each.guarded_at, each.key))
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def claim(self, account: Account, now: datetime) -> bool:
        """Take an account for a pass of the guard; False where somebody else has."""
        key = {"pk": {"S": _ACCOUNTS}, "sk": {"S": account.key}}
        unclaimed = "guarded_at = :before" if account.guarded_at else "attribute_not_exists(guarded_at)"
        values = {":now": {"S": to_text(now)}}
        if account.guarded_at:
            values[":before"] = {"S": to_text(account.guarded_at)}
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="SET guarded_at = :now ADD version :one",
                ConditionExpression=unclaimed,
                ExpressionAttributeValues={**values, ":one": {"N": "1"}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def reserve(self, there: Placed, wanted: int, cap: int, now: datetime) -> tuple[int, Account]:
        """Take room for enforcements that are about to begin. Returns how many, and the account as it is then."""
        granted = 0

        def take(account: Account) -> Account:
            nonlocal granted
            granted = min(wanted, account.room(there.region, cap, now))
            return account.with_enforcements(there.region, granted, now, now) if granted else account

        account = self._change(account_key(there), take)
        return granted, account

    def give_back(self, there: Placed, count: int, reserved_at: datetime, now: datetime) -> None:
        """Room that was reserved at a time and not used after all."""
        if count:
            self._change(
                account_key(there), lambda account: account.with_enforcements(there.region, -count, reserved_at, now)
            )

    def count_rollbacks(self, account: str, count: int, enforced_that_day: int, now: datetime) -> Account:
        """Remember rollbacks in an account; enough of them open its breaker."""
        return self._change(account, lambda known: known.with_rollbacks(count, enforced_that_day, now))

    def close_breaker(self, account: str, closed_by: str) -> Account:
        """A person lets the account go on; the rollbacks so far no longer count."""
        return self._change(
            account, lambda known: replace(known, breaker_opened_at=None, rollbacks=(), breaker_closed_by=closed_by)
        )

    def cohorts(self, keys: Iterable[str]) -> dict[str, Cohort]:
        """Cohorts by their names; one that the ledger does not know is a new one."""
        found = {key: Cohort(key=key) for key in keys}
        names = list(found)
        for first in range(0, len(names), _COHORTS_A_CALL):
            wanted: Any = {
                self._table: {
                    "Keys": [_cohort_key(name) for name in names[first : first + _COHORTS_A_CALL]],
                    "ConsistentRead": True,
                }
            }
            for attempt in range(_ATTEMPTS):
                answer = self._dynamodb.batch_get_item(RequestItems=wanted)
                read = map(_cohort, answer["Responses"].get(self._table, []))
                found |= {cohort.key: cohort for cohort in read}
                wanted = answer.get("UnprocessedKeys")
                if not wanted:
                    break
                _pause(attempt)
            else:
                raise LedgerContended("DynamoDB keeps leaving reads of the ledger undone; they are tried again")
        return found

    def save(self, cohort: Cohort) -> bool:
        """Write a cohort; False where somebody else has changed it since it was read."""
        attributes = {
            "canaries": [str(arn) for arn in cohort.canaries],
            "wanted": cohort.wanted,
            "opened_at": to_text(cohort.opened_at) if cohort.opened_at else None,
            "broken_by": str(cohort.broken_by) if cohort.broken_by else None,
            "broken_at": to_text(cohort.broken_at) if cohort.broken_at else None,
        }
        return self._put(_cohort_key(cohort.key), cohort.version, attributes)

    def change_cohort(self, key: str, change: Callable[[Cohort], Cohort]) -> None:
        """Change a cohort, however often others do so meanwhile."""
        for attempt in range(_ATTEMPTS):
            if self.save(change(self.cohorts([key])[key])):
                return
            _pause(attempt)
        raise LedgerContended(f"others keep changing {key} in the ledger; this is tried again")

    def _account(self, key: str) -> Account:
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"pk": {"S": _ACCOUNTS}, "sk": {"S": key}}, ConsistentRead=True
        )
        return _account(key, answer.get("Item", {}))

    def _change(self, key: str, change: Callable[[Account], Account]) -> Account:
        for attempt in range(_ATTEMPTS):
            known = self._account(key)
            changed = change(known)
            if known.version and changed == known:
                return known
            attributes = {
                "enforcements": {
                    region: {to_text(minute): count for minute, count in counts.items()}
                    for region, counts in changed.enforcements.items()
                },
                "last_enforced": {region: to_text(when) for region, when in changed.last_enforced.items()},
                "rollbacks": [to_text(each) for each in changed.rollbacks],
                "breaker_opened_at": to_text(changed.breaker_opened_at) if changed.breaker_opened_at else None,
                "breaker_closed_by": changed.breaker_closed_by,
                "guarded_at": to_text(changed.guarded_at) if changed.guarded_at else None,
            }
            if self._put({"pk": {"S": _ACCOUNTS}, "sk": {"S": key}}, known.version, attributes):
                return changed
            _pause(attempt)
        raise LedgerContended(f"others keep changing account {key} in the ledger; this is tried again")

    def _put(self, key: dict[str, Any], version: int, attributes: Mapping[str, Any]) -> bool:
        item = {name: _serialize(value) for name, value in attributes.items() if value is not None}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(version)}},
            }
        try:
            self._dynamodb.put_item(
                TableName=self._table, Item={**key, **item, "version": {"N": str(version + 1)}}, **condition
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _cohort_key(name: str) -> dict[str, Any]:
    return {"pk": {"S": f"cohort#{name}"}, "sk": {"S": _CURRENT}}


def _account(key: str, item: Mapping[str, Any]) -> Account:
    values = {name: _deserialize(value) for name, value in item.items()}
    return Account(
        key=key,
        version=int(values.get("version", 0)),
        last_enforced={
            region: datetime.fromisoformat(when) for region, when in values.get("last_enforced", {}).items()
        },
        enforcements={
            region: {datetime.fromisoformat(minute): int(count) for minute, count in counts.items()}
            for region, counts in values.get("enforcements", {}).items()
        },
        rollbacks=tuple(map(datetime.fromisoformat, values.get("rollbacks", []))),
        breaker_opened_at=_time(values.get("breaker_opened_at")),
        breaker_closed_by=values.get("breaker_closed_by"),
        guarded_at=_time(values.get("guarded_at")),
    )


def _cohort(item: Mapping[str, Any]) -> Cohort:
    values = {name: _deserialize(value) for name, value in item.items()}
    broken_by = values.get("broken_by")
    return Cohort(
        key=values["pk"].removeprefix("cohort#"),
        version=int(values["version"]),
        canaries=tuple(map(InstanceArn.parse, values["canaries"])),
        wanted=int(values["wanted"]),
        opened_at=_time(values.get("opened_at")),
        broken_by=InstanceArn.parse(broken_by) if broken_by else None,
        broken_at=_time(values.get("broken_at")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))  # noqa: S311 - jitter, not a secret
