"""The ledger's table in memory: as strict as DynamoDB for the ledger's requests, and a hundred times as fast as moto.

It supports only the expressions that the service writes. The walk through the life cycle also runs on moto's table, so
that the two are compared.
"""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from botocore.session import get_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

_CLAUSES = re.compile(r"\b(SET|REMOVE|ADD)\b")
_CONDITION = re.compile(r"(attribute_exists|attribute_not_exists)\(([\w#.]+)\)|([\w#.]+) (=|<=|>=) (:\w+)")
_KEY = re.compile(r"(\w+) BETWEEN (:\w+) AND (:\w+)|(\w+) (=|<=) (:\w+)")
_FILTER = re.compile(r"(begins_with|contains)\((\w+), (:\w+)\)")
_INDEXES = {
    "due": ("revisit_shard", "revisit_at"),
    "enforced": ("enforced_in", "enforced_key"),
    "trail": ("trail_day", "sk"),
}
_WHOLE = {None, "trail"}
_PROJECTED = {"status", "enforced_at", "restarted_at", "cohort", "undo", "broken_at"}


class Table:
    """One table; ``on_write`` is called before and after each transaction."""

    def __init__(self, on_write: Callable[[str], None] = lambda _: None) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self._on_write = on_write
        self._done: set[str] = set()
        self.exceptions = _exceptions()

    @property
    def client(self) -> DynamoDBClient:
        """The table, typed as the client that the code under test expects."""
        return cast("DynamoDBClient", self)

    def get_item(self, *, Key: Item, **_: Any) -> Item:  # noqa: N803 - AWS's names
        item = self.items.get(_key(Key))
        return {"Item": item} if item else {}

    def batch_get_item(self, *, RequestItems: Item) -> Item:  # noqa: N803
        ((table, wanted),) = RequestItems.items()
        keys = [_key(each) for each in wanted["Keys"]]
        assert 1 <= len(keys) <= 100
        assert len(set(keys)) == len(keys)
        return {"Responses": {table: [self.items[each] for each in keys if each in self.items]}}

    def put_item(self, **request: Any) -> Item:
        self._require(request, "PutItem", _key(request["Item"]))
        self.items[_key(request["Item"])] = copy.deepcopy(request["Item"])
        return {}

    def update_item(self, **request: Any) -> Item:
        key = _key(request["Key"])
        self._require(request, "UpdateItem", key)
        self.items[key] = _updated(self.items.get(key), request)
        return {"Attributes": self.items[key]}

    def transact_write_items(self, *, TransactItems: list[Item], ClientRequestToken: str) -> Item:  # noqa: N803
        """All or nothing, and no item twice. A repetition, known by its token, changes nothing."""
        self._on_write("before")
        if ClientRequestToken in self._done:
            return {}
        actions = [next(iter(each.values())) for each in TransactItems]
        keys = [_key(each.get("Key") or each["Item"]) for each in actions]
        assert len(set(keys)) == len(keys) <= 100
        held = [self._holds(each, key) for each, key in zip(actions, keys, strict=True)]
        if not all(held):
            reasons = [{"Code": "None" if each else "ConditionalCheckFailed"} for each in held]
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise self.exceptions.TransactionCanceledException(answer, "TransactWriteItems")
        changed = {
            key: copy.deepcopy(each["Item"]) if "Item" in each else _updated(self.items.get(key), each)
            for each, key in zip(actions, keys, strict=True)
        }
        self.items.update(changed)
        self._done.add(ClientRequestToken)
        self._on_write("after")
        return {}

    def query(self, **request: Any) -> Item:
        """Ascending by the sort key; an item without a key of the index is not in it."""
        values, index = request["ExpressionAttributeValues"], request.get("IndexName")
        keys = _INDEXES.get(index or "", ("pk", "sk"))
        found = [each for each in self.items.values() if all(key in each for key in keys)]
        for between, low, high, name, sign, value in _KEY.findall(request["KeyConditionExpression"]):
            found = [each for each in found if _lies(each, between or name, sign, values, low, high, value)]
        filters = f"{request['KeyConditionExpression']} {request.get('FilterExpression', '')}"
        for word, name, value in _FILTER.findall(filters):
            text = next(iter(values[value].values()))
            found = [
                each
                for each in found
                if (each[name]["S"].startswith(text) if word == "begins_with" else text in each[name]["S"])
            ]
        found.sort(key=lambda each: _place(each, keys[1]))
        shown = {"pk", "sk", *keys, *(_PROJECTED if index == "enforced" else ())}
        if "ExclusiveStartKey" in request:
            after = _place(request["ExclusiveStartKey"], keys[1])
            found = [each for each in found if _place(each, keys[1]) > after]
        page = found[: request.get("Limit")]
        answer: Item = {
            "Items": [{name: each[name] for name in each if index in _WHOLE or name in shown} for each in page]
        }
        if len(page) < len(found):
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in ("pk", "sk", *keys)}
        return answer

    def _require(self, request: Mapping[str, Any], operation: str, key: tuple[str, str]) -> None:
        if not self._holds(request, key):
            answer: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
            raise self.exceptions.ConditionalCheckFailedException(answer, operation)

    def _holds(self, request: Mapping[str, Any], key: tuple[str, str]) -> bool:
        expression, item = request.get("ConditionExpression", ""), self.items.get(key, {})
        choices = expression.split(" OR ")
        return not expression or any(
            all(_is_met(part, item, request) for part in choice.split(" AND ")) for choice in choices
        )


@cache
def _exceptions() -> Any:
    """The classes of DynamoDB's errors, which only a real client has; the model takes a tenth of a second to load."""
    client: Any = get_session().create_client(
        "dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return client.exceptions


def _key(key: Item) -> tuple[str, str]:
    return key["pk"]["S"], key["sk"]["S"]


def _place(item: Item, name: str) -> tuple[str, tuple[str, str]]:
    """Where an item stands in an index that is sorted by an attribute."""
    return str(item[name]["S"]), _key(item)


def _is_met(part: str, item: Item, request: Mapping[str, Any]) -> bool:
    match = _CONDITION.fullmatch(part)
    assert match is not None, part
    function, tested, name, sign, value = match.groups()
    at = _at(item, tested or name, request)
    if function:
        return (at is not None) == (function == "attribute_exists")
    asked = request["ExpressionAttributeValues"][value]
    if sign != "=":
        return at is not None and bool(at["S"] <= asked["S"] if sign == "<=" else at["S"] >= asked["S"])
    return bool(at == asked)


def _steps(path: str, request: Mapping[str, Any]) -> list[str]:
    names = request.get("ExpressionAttributeNames", {})
    return [names[step] if step.startswith("#") else step for step in path.split(".")]


def _at(item: Item, path: str, request: Mapping[str, Any]) -> Any:
    *parents, last = _steps(path, request)
    for step in parents:
        item = item.get(step, {}).get("M", {})
    return item.get(last)


def _updated(item: Item | None, request: Mapping[str, Any]) -> Item:
    changed: Item = copy.deepcopy(item) if item else dict(request["Key"])
    values = request.get("ExpressionAttributeValues", {})
    _, *clauses = _CLAUSES.split(request["UpdateExpression"])
    for clause, body in zip(clauses[::2], clauses[1::2], strict=True):
        for action in body.strip().split(", "):
            path, _, value = action.replace(" = ", " ").partition(" ")
            parent, last = _parent(changed, _steps(path, request))
            match clause:
                case "SET":
                    parent[last] = copy.deepcopy(values[value])
                case "REMOVE":
                    parent.pop(last, None)
                case _:
                    parent[last] = {"N": str(int(parent.get(last, {"N": "0"})["N"]) + int(values[value]["N"]))}
    return changed


def _parent(item: Item, steps: list[str]) -> tuple[Item, str]:
    *parents, last = steps
    for step in parents:
        if "M" not in item.get(step, {}):
            message = "The document path provided in the update expression is invalid for update"
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "UpdateItem")
        item = item[step]["M"]
    return item, last


def _lies(each: Item, name: str, sign: str, values: Item, low: str, high: str, value: str) -> bool:
    if low:
        return bool(values[low]["S"] <= each[name]["S"] <= values[high]["S"])
    return bool(each[name] == values[value] if sign == "=" else each[name]["S"] <= values[value]["S"])
