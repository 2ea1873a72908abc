"""All of a world that its future depends on, as a text: whoever leaves the same one behind is followed by the same days."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.proof.crashes.functions import Queue
    from tests.proof.crashes.world import World

_TIME = re.compile(r"(20\d\d-\d\d-\d\dT\d\d:\d\d):\d\d(?:\.\d+)?(?:Z|\+00:00)")
_OF_ONE_RUN = {"request_id", "session", "version", "owner", "written_by", "explanation", "evidence"}
"""What names the run that wrote it, and what nobody reads again."""


def likeness(world: World, queue: Queue) -> str:
    """The ledger, the instances, their refused calls, findings, messages and what waits; times to the minute."""
    return json.dumps(
        [
            world.clock().replace(second=0, microsecond=0),
            sorted(json.dumps(_neutral(_named(item)), default=str) for item in world.items()),
            [(str(arn), each.options, each.state, sorted(each.tags)) for arn, each in world.instances.items()],
            world.findings.findings,
            world.told,
            sorted(map(str, world.callers)),
            [(str(arn), *rest) for arn, *rest in world.witness.changes],
            world.witness.wrong,
            queue.messages,
            [
                (*key, len(points), sum(points.values()))
                for place in world.places.values()
                for key, points in place.cloudwatch.points.items()
            ],
        ],
        default=str,
    )


def _named(item: dict[str, Any]) -> dict[str, Any]:
    """An item whose key does not name the run that wrote it."""
    return {**item, "sk": "event"} if str(item["sk"]).startswith(("event#", "decision#")) else item


def _neutral(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _neutral(each) for key, each in sorted(value.items()) if key not in _OF_ONE_RUN}
        case list() | tuple() | set() | frozenset():
            return sorted((_neutral(each) for each in value), key=str)
        case str():
            return _TIME.sub(lambda found: found[1], value)
    return value
