"""What AWS bills of one call, by the names in `Usage`; used where the calls are made, so it imports nothing of the tests."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

WRITE_UNIT = 1024
READ_UNIT = 2 * 4096
"""Of a query: what may be behind by moments costs half."""


def costs(service: str, operation: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, int]:
    """The billed units of one call; those that cost nothing count as calls only."""
    match service, operation:
        case "cloudwatch", "GetMetricData":
            # A page further on is the same request.
            return {} if params.get("NextToken") else {"metrics": len(params["MetricDataQueries"])}
        case "cloudwatch", "ListMetrics":
            return {"listings": 1}
        case "dynamodb", "BatchGetItem":
            return {"items_read": sum(len(table["Keys"]) for table in params["RequestItems"].values())}
        case "dynamodb", "GetItem":
            return {"items_read": 1}
        case "dynamodb", "Query":
            # Billed by the size of all items together.
            return {"items_read": math.ceil(len(json.dumps(answer["Items"])) / READ_UNIT)}
        case "dynamodb", "UpdateItem":
            return {"write_units": 1}
        case "dynamodb", "PutItem":
            return {"write_units": units(params["Item"])}
        case "dynamodb", "TransactWriteItems":
            return dict(sum(map(writes, params["TransactItems"]), Counter()))
        case "sns", "Publish":
            return {"publishes": 1}
        case _:
            return {f"{service}:{operation}": 1}


def writes(action: dict[str, Any]) -> Counter[str]:
    """One action of a transaction, which costs twice; an index takes the old entry out and the new one in. An event is written to the
    index of the trail as well, whole and once."""
    if "Put" in action:
        item = action["Put"]["Item"]
        if "trail_day" not in item:
            return Counter(write_units=2 * units(item))
        return Counter(write_units=3 * units(item), ledger_events=1)
    moved = {"revisit_at", "enforced_key"} & set(action["Update"].get("ExpressionAttributeNames", {}).values())
    return Counter(items_updated=1, write_units=2 * len(moved))


def units(item: dict[str, Any]) -> int:
    """Write units of an item, by its size on the wire, which is a little more than DynamoDB counts."""
    return math.ceil(len(json.dumps(item)) / WRITE_UNIT)
