"""The account items: hourly caps, the circuit breaker, and the time of the guard's last pass.

All functions share these items. Writes use optimistic locking on the version that was read, and are retried on
conflict.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.domain.account import Account, Reservation
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import (
    account_key,
    is_written,
    new_id,
    pause,
    put_unless_overtaken,
    query_all,
    to_text,
    to_time,
)
from imdsv2.ledger.trail import Author, Event, Kind, Provenance, puts
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed

_ACCOUNTS = "accounts"
ACCOUNT_EVENTS = "account#"
"""Under it, with the account's key, lie its events."""
_ATTEMPTS = 12
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Accounts:
    """The account items. Every method may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance | None = None) -> None:
        self._provenance = provenance or Provenance()
        self._dynamodb = dynamodb
        self._table = table

    def of(self, there: Placed) -> Account:
        """The account of an instance or place."""
        return self._read(account_key(there))

    def all(self) -> list[Account]:
        """Every account with at least one enforcement, in the order of the guard's last pass, oldest first."""
        items = query_all(
            self._dynamodb,
            TableName=self._table,
            KeyConditionExpression="pk = :accounts",
            ExpressionAttributeValues={":accounts": {"S": _ACCOUNTS}},
        )
        found = [_account(item["sk"]["S"], item) for item in items]
        return sorted(found, key=lambda each: (each.guarded_at is not None, each.guarded_at, each.key))

    def claim(self, account: Account, now: datetime, *, looks_back: bool = False) -> bool:
        """Claim an account for a pass of the guard. False if another invocation has claimed it.

        ``looks_back``: whether the pass looks at what came before the last few minutes. Until it has `looked`, the passes after it know
        that nobody has: this one may die.
        """
        unclaimed = "guarded_at = :before" if account.guarded_at else "attribute_not_exists(guarded_at)"
        write_id = new_id()
        values = {":now": {"S": to_text(now)}, ":write_id": {"S": write_id}}
        if account.guarded_at:
            values[":before"] = {"S": to_text(account.guarded_at)}
        owed = ""
        if looks_back:
            owed, values[":since"] = ", unseen_since = :since", {"S": to_text(account.seen_until or _NEVER)}
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(account.key),
                UpdateExpression=f"SET guarded_at = :now, written_by = :write_id{owed} ADD version :one",
                ConditionExpression=unclaimed,
                ExpressionAttributeValues={**values, ":one": {"N": "1"}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return is_written(self._dynamodb, self._table, _key(account.key), write_id)
        return True

    def release(self, account: Account, claimed_at: datetime) -> None:
        """Give back a claim whose pass did not succeed: the next pass looks after the account as if there had been none."""
        values = {":claimed": {"S": to_text(claimed_at)}, ":one": {"N": "1"}}
        change = "REMOVE guarded_at"
        if account.guarded_at:
            change, values[":before"] = "SET guarded_at = :before", {"S": to_text(account.guarded_at)}
        with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(account.key),
                UpdateExpression=f"{change} ADD version :one",
                ConditionExpression="guarded_at = :claimed",
                ExpressionAttributeValues=values,
            )

    def looked(self, account: Account, claimed_at: datetime) -> None:
        """Note that a pass which looks back has come to its end, unless another one has been begun since."""
        with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(account.key),
                UpdateExpression="REMOVE unseen_since",
                ConditionExpression="guarded_at = :claimed",
                ExpressionAttributeValues={":claimed": {"S": to_text(claimed_at)}},
            )

    def reserve(
        self, there: Placed, wanted: int, cap: int, now: datetime, until: datetime
    ) -> tuple[Reservation, Account]:
        """Reserve cap for enforcements that begin between now and ``until``.

        Returns what was granted, which may be less than wanted, and the account after that. What is granted counts until
        it is settled, or an hour after ``until``.
        """
        asked = Reservation(id=new_id(), region=there.region, at=now, until=until, count=wanted)
        account = self._change(account_key(there), lambda known: known.with_reservation(asked, cap, now))
        return account.reserved.get(asked.id, replace(asked, count=0)), account

    def settle(self, there: Placed, reservation: Reservation, changed_at: Collection[datetime], now: datetime) -> None:
        """Count the changes when they were made, or may have been; the rest of the reservation is free again.

        To repeat it changes nothing.
        """
        if reservation.count:
            self._change(account_key(there), lambda known: known.settled(reservation, changed_at, now))

    def count_broken(
        self, account: str, broken: Mapping[str, datetime], enforced_that_day: int, now: datetime
    ) -> Account:
        """Count what broke in an account, by instance id with the time of its enforcement: what has been counted is not counted again.
        Opens its circuit breaker if that reaches the thresholds."""
        return self._change(account, lambda known: known.with_broken(broken, enforced_that_day, now), _opened(now))

    def breaker_told(self, account: Account, now: datetime) -> None:
        """Record that people were told of an open breaker. One that was closed and has opened anew since is still to be told."""
        told_of = account.breaker_opened_at

        def told(known: Account) -> Account:
            if told_of is None or known.breaker_opened_at != told_of:
                return known
            return replace(known, breaker_told_at=max(now, told_of))

        self._change(account.key, told)

    def close_breaker(self, account: str, closed_by: str, by: Author, now: datetime) -> Account:
        """Close the circuit breaker on behalf of a person; earlier rollbacks no longer count. One that another has closed stays as it is."""

        def closed(known: Account) -> Account:
            if known.breaker_opened_at is None:
                return known
            return replace(known, breaker_opened_at=None, rollbacks=(), breaker_closed_by=closed_by)

        return self._change(account, closed, _Telling(at=now, by=by))

    def _read(self, key: str) -> Account:
        answer = self._dynamodb.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _account(key, answer.get("Item", {}))

    def _change(self, key: str, change: Callable[[Account], Account], telling: _Telling | None = None) -> Account:
        for attempt in range(_ATTEMPTS):
            known = self._read(key)
            changed = change(known)
            if known.version and changed == known:
                return known
            attributes = {
                "enforcements": {
                    region: {to_text(minute): count for minute, count in counts.items()}
                    for region, counts in changed.enforcements.items()
                },
                "reserved": {key: _reserved_item(each) for key, each in changed.reserved.items()} or None,
                "last_enforced": {region: to_text(when) for region, when in changed.last_enforced.items()},
                "rollbacks": [to_text(each) for each in changed.rollbacks],
                "counted": {each: to_text(when) for each, when in changed.counted.items()} or None,
                "breaker_opened_at": to_text(changed.breaker_opened_at) if changed.breaker_opened_at else None,
                "breaker_told_at": to_text(changed.breaker_told_at) if changed.breaker_told_at else None,
                "breaker_closed_by": changed.breaker_closed_by,
                "guarded_at": to_text(changed.guarded_at) if changed.guarded_at else None,
                "unseen_since": to_text(changed.unseen_since) if changed.unseen_since else None,
            }
            events = [] if telling is None else list(self._events(known, changed, telling))
            if put_unless_overtaken(self._dynamodb, self._table, _key(key), known.version, attributes, events):
                return changed
            pause(attempt)
        raise LedgerContended(f"others keep changing account {key} in the ledger; this is tried again")

    def _events(self, known: Account, changed: Account, telling: _Telling) -> Iterator[dict[str, Any]]:
        """What has become of the breaker; nothing else of an account is a decision."""
        if known.breaker_opened_at == changed.breaker_opened_at:
            return iter(())
        opens = changed.breaker_opened_at is not None
        count = len(changed.rollbacks if opens else known.rollbacks)
        opened_at = changed.breaker_opened_at or known.breaker_opened_at
        details = {**telling.by.said(), "opened_at": to_text(opened_at) if opened_at else None, "rollbacks": count}
        event = Event(kind=Kind.BREAKER_OPENED if opens else Kind.BREAKER_CLOSED, details=details)
        return puts(self._table, f"{ACCOUNT_EVENTS}{known.key}", [event], telling.at, self._provenance)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """When something happens to a breaker, and by whom."""

    at: datetime
    by: Author


def _opened(now: datetime) -> _Telling:
    return _Telling(at=now, by=Author(source="guard"))


def _key(account: str) -> dict[str, Any]:
    return {"pk": {"S": _ACCOUNTS}, "sk": {"S": account}}


def _account(key: str, item: Mapping[str, Any]) -> Account:
    values = {name: deserialize(value) for name, value in item.items()}
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
        reserved={key: _reservation(key, each) for key, each in values.get("reserved", {}).items()},
        rollbacks=tuple(map(datetime.fromisoformat, values.get("rollbacks", []))),
        counted={each: datetime.fromisoformat(when) for each, when in values.get("counted", {}).items()},
        breaker_opened_at=to_time(values.get("breaker_opened_at")),
        breaker_told_at=to_time(values.get("breaker_told_at")),
        breaker_closed_by=values.get("breaker_closed_by"),
        guarded_at=to_time(values.get("guarded_at")),
        unseen_since=to_time(values.get("unseen_since")),
    )


def _reserved_item(reservation: Reservation) -> dict[str, Any]:
    times = {"at": to_text(reservation.at), "until": to_text(reservation.until)}
    return {"region": reservation.region, "count": reservation.count, **times}


def _reservation(key: str, item: Mapping[str, Any]) -> Reservation:
    at, until = (datetime.fromisoformat(item[name]) for name in ("at", "until"))
    return Reservation(id=key, region=item["region"], at=at, until=until, count=int(item["count"]))
