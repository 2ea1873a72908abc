"""A table whose answers get lost, and that refuses what it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from tests.world.dynamodb import Item, Table
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def is_record_of(arn: object, action: Item) -> bool:
    """Whether an action of a transaction writes an instance's record: as an update, or as a new item."""
    key = action.get("Key") or action["Item"]
    return (key["pk"], key["sk"]) == ({"S": str(arn)}, {"S": "current"})


class LossyTable(Table):
    """A table in memory.

    ``repeats``: every write is sent twice, as the SDK does if the first answer was lost. ``loses``: how many transactions are done
    without an answer. ``refuse``: called with each transaction's actions; raises to refuse it. ``forgets``: tokens are
    not known again, as after ten minutes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeats = False
        self.loses = 0
        self.forgets = False
        self.refuse: Callable[[Sequence[Item]], None] = lambda _: None
        self.between: Callable[[], object] = lambda: None
        self.tokens: list[str] = []
        self.requests: list[Item] = []

    def put_item(self, **request: Any) -> Item:
        return self._twice(super().put_item, request)

    def update_item(self, **request: Any) -> Item:
        return self._twice(super().update_item, request)

    def transact_write_items(self, *, TransactItems: list[Item], ClientRequestToken: str) -> Item:  # noqa: N803
        self.tokens.append(ClientRequestToken)
        actions = [next(iter(each.values())) for each in TransactItems]
        self.requests += actions
        self.refuse(actions)
        token = f"{ClientRequestToken} {len(self.tokens)}" if self.forgets else ClientRequestToken
        answer = super().transact_write_items(TransactItems=TransactItems, ClientRequestToken=token)
        if self.loses:
            self.loses -= 1
            raise ReadTimeoutError(endpoint_url="https://dynamodb")
        return answer

    def _twice(self, send: Callable[..., Item], request: Item) -> Item:
        if self.repeats:
            send(**request)
            self.between()
        return send(**request)


def throttled() -> Exception:
    """DynamoDB refuses a transaction as a whole."""
    return refusal("ThrottlingException", "Rate exceeded", "TransactWriteItems")
