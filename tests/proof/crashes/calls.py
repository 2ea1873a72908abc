"""Every AWS call of a function passes here: it gets a name, and the function may die just before or just after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SET = re.compile(r"([\w#.]+) = :")
_REMOVED = re.compile(r"REMOVE (.*)$")


class Killed(BaseException):
    """Lambda ends the process: no code in it can catch that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Just before (`before`) or just after (`after`) a call of a function; ``nth``: its number among those of this name."""

    call: str
    when: str
    nth: int = 0

    @property
    def name(self) -> str:
        """What it is called whatever came before it."""
        return f"{self.when} {self.call}"

    def __str__(self) -> str:
        return f"{self.name} #{self.nth}"


class Process:
    """One invocation of a function. ``dies_at``: where it ends; from then on none of its calls reaches AWS."""

    def __init__(self, dies_at: Point | None = None) -> None:
        self.dies_at = dies_at
        self.is_dead = False
        self.calls: list[str] = []
        """The names of the calls that were begun."""
        self.done: list[str] = []
        """The names of those that AWS has carried out or refused."""

    def make(self, call: str, perform: Callable[[], Any]) -> Any:
        """Make a call, unless the function has died. Raises Killed."""
        if self.is_dead:
            raise Killed(call)
        point, nth = self.dies_at, self.calls.count(call)
        is_here = point is not None and (point.call, point.nth) == (call, nth)
        self.calls.append(call)
        if is_here and point is not None and point.when == "before":
            self._die(call)
        try:
            return perform()
        finally:
            self.done.append(call)
            if is_here:
                self._die(call)

    def points(self) -> list[Point]:
        """Every point at which this invocation could have died."""
        seen: list[str] = []
        points = []
        for call in self.calls:
            points += [Point(call=call, when=when, nth=seen.count(call)) for when in ("before", "after")]
            seen.append(call)
        return points

    def _die(self, call: str) -> None:
        self.is_dead = True
        raise Killed(call)


class Client:
    """A client of AWS whose every operation passes the process."""

    def __init__(self, client: Any, process: Process) -> None:
        self._client, self._process = client, process

    def __getattr__(self, name: str) -> Any:
        behind = getattr(self._client, name)
        if not callable(behind):
            return behind

        def operation(**request: Any) -> Any:
            return self._process.make(name_of(name, request), lambda: behind(**request))

        return operation


def name_of(method: str, request: Mapping[str, Any]) -> str:
    """The operation, and what tells calls of the same operation apart: the status written, the item read, the tag set."""
    operation = "".join(part.capitalize() for part in method.split("_"))
    detail = _DETAILS.get(method, _nothing)(request)
    return f"{operation} {detail}".strip()


def _nothing(request: Mapping[str, Any]) -> str:
    return ""


def _kind(item: Mapping[str, Any]) -> str:
    """Whose item it is: an instance's, or that of accounts, a cohort or the policy."""
    pk = str(item["pk"]["S"])
    return "instance" if pk.startswith("arn:") else pk.partition("#")[0]


def _put(request: Mapping[str, Any]) -> str:
    item = request["Item"]
    return f"{_kind(item)} {'held' if 'broken_by' in item else ''}".strip()


def _read(request: Mapping[str, Any]) -> str:
    ((_, wanted),) = request["RequestItems"].items()
    return _joined(_kind(each) for each in wanted["Keys"])


def _written(request: Mapping[str, Any]) -> str:
    """The statuses that are entered; where there are none, the attributes that are written."""
    actions = [next(iter(each.items())) for each in request["TransactItems"]]
    statuses = [
        action["Item"]["status"]["S"] for kind, action in actions if kind == "Put" and "status" in action["Item"]
    ]
    return _joined(statuses) or _joined(each for _, action in actions for each in _attributes(action))


def _attributes(action: Mapping[str, Any]) -> list[str]:
    expression, names = action.get("UpdateExpression", ""), action.get("ExpressionAttributeNames", {})
    paths = _SET.findall(expression) + [
        path for removed in _REMOVED.findall(expression) for path in re.split(r",\s*", removed)
    ]
    last = [path.rpartition(".")[2] for path in paths]
    known = {names.get(each, each) for each in last} - {"version"}
    return ["finding" if re.fullmatch("[0-9a-f]{32}", each) else each for each in known]


def _updated(request: Mapping[str, Any]) -> str:
    return f"{_kind(request['Key'])} {_joined(_attributes(request))}"


def _queried(request: Mapping[str, Any]) -> str:
    values = [each["S"] for each in request["ExpressionAttributeValues"].values() if "S" in each]
    first = next((each.partition("#")[0] for each in values if "#" in each), "")
    return f"{request.get('IndexName', 'accounts')} {first}".strip()


def _tagged(request: Mapping[str, Any]) -> str:
    return _joined(tag["Key"] for tag in request["Tags"])


def _joined(names: Iterable[str]) -> str:
    return "+".join(sorted(set(names)))


_DETAILS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "get_item": lambda request: _kind(request["Key"]),
    "put_item": _put,
    "update_item": _updated,
    "batch_get_item": _read,
    "transact_write_items": _written,
    "query": _queried,
    "create_tags": _tagged,
    "delete_tags": _tagged,
    "modify_instance_metadata_options": lambda request: str(request.get("HttpTokens", "")),
    "get_metric_data": lambda request: _joined(
        each["MetricStat"]["Metric"]["MetricName"] for each in request["MetricDataQueries"]
    ),
    "publish": lambda request: str(request["MessageAttributes"]["reason"]["StringValue"]),
}
