"""The ledger's table on the walk: answers get lost, one item is throttled, and the index of the enforced is a few seconds behind."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.integration.walk.faults import Part
from tests.world.dynamodb import Item, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tests.integration.walk.world import World

BEHIND = timedelta(seconds=5)
"""How far the index is behind, where it is."""


class WalkTable(Table):
    """A table in memory that fails as the world of the walk says. ``world``: called at each request."""

    def __init__(self, world: Callable[[], World]) -> None:
        super().__init__(lambda when: _pass(world(), f"ledger {when}"))
        self.counted: Counter[str] = Counter()
        """How often the breakage of an instance was counted towards a breaker, by instance id."""
        self.is_behind = False
        self._world = world
        self._replaced: list[tuple[datetime, tuple[str, str], Item | None]] = []
        """What was replaced when; None where there had been nothing."""

    def put_item(self, **request: Any) -> Item:
        self._about_to_write([request["Item"]])
        before = self.items.get(_key(request["Item"]), {})
        answer = super().put_item(**request)
        self._count(before, request["Item"])
        if self._world().passing(f"put {request['Item']['pk']['S'].partition('#')[0]}"):
            return super().put_item(**request)
        return answer

    def update_item(self, **request: Any) -> Item:
        self._about_to_write([request["Key"]])
        return super().update_item(**request)

    def transact_write_items(self, *, TransactItems: list[Item], ClientRequestToken: str) -> Item:  # noqa: N803
        keys = [action.get("Key") or action["Item"] for each in TransactItems for action in each.values()]
        failing = self._world().fails(Part.ITEM, {each["pk"]["S"] for each in keys})
        if failing is not None:
            codes = ["ThrottlingError" if each["pk"]["S"] == failing else "None" for each in keys]
            answer: Any = {
                "Error": {"Code": "TransactionCanceledException"},
                "CancellationReasons": [{"Code": each} for each in codes],
            }
            raise self.exceptions.TransactionCanceledException(answer, "TransactWriteItems")
        self._about_to_write(keys)
        put = [each["Put"]["Item"] for each in TransactItems if "Put" in each]
        replaced = [(self.items.get(_key(each), {}), each) for each in put]
        done = super().transact_write_items(TransactItems=TransactItems, ClientRequestToken=ClientRequestToken)
        for before, after in replaced:
            self._count(before, after)
        if self._world().passing("ledger answered"):
            # Ten minutes later DynamoDB has forgotten the token.
            forgotten = f"{ClientRequestToken} again"
            return super().transact_write_items(TransactItems=TransactItems, ClientRequestToken=forgotten)
        return done

    def query(self, **request: Any) -> Item:
        if not self.is_behind or request.get("IndexName") != "enforced":
            return super().query(**request)
        now = self.items
        self.items = self._as_of(self._world().clock() - BEHIND)
        try:
            return super().query(**request)
        finally:
            self.items = now

    def _about_to_write(self, keys: list[Item]) -> None:
        now = self._world().clock()
        lately = [each for each in self._replaced if now - each[0] < BEHIND]
        self._replaced = [*lately, *((now, _key(each), self.items.get(_key(each))) for each in keys)]

    def _as_of(self, then: datetime) -> dict[tuple[str, str], Item]:
        items = dict(self.items)
        for when, key, before in reversed(self._replaced):
            if when <= then:
                break
            if before is None:
                items.pop(key, None)
            else:
                items[key] = before
        return items

    def _count(self, before: Item, after: Item) -> None:
        """Note what was counted anew, and require that it was counted once."""
        if after["pk"]["S"] != "accounts":
            return
        old, new = (each.get("counted", {}).get("M", {}) for each in (before, after))
        counted = [each for each, when in new.items() if old.get(each) != when]
        self.counted.update(counted)
        known = Counter(each["S"] for each in before.get("rollbacks", {}).get("L", []))
        added = Counter(each["S"] for each in after.get("rollbacks", {}).get("L", [])) - known
        if added.total() != len(counted):
            self._world().complain(f"{counted} broke, and {added.total()} were counted towards the breaker")


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _pass(world: World, point: str) -> None:
    world.passing(point)
