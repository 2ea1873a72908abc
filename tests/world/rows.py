"""Rows of the file of the fleet, for tests of those who read it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

from imdsv2.domain.fleet_file import COLUMNS, LATEST, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.world.bucket import Bucket

KEY = "night/instances.csv.gz"


def row(number: int = 1, **fields: Any) -> dict[str, str]:
    """A held instance that uses IMDSv1; ``fields`` say otherwise."""
    known = {
        "account": "222222222222",
        "region": "eu-west-1",
        "instance_id": f"i-{number:017x}",
        "name": f"web-{number}",
        "owner": "blue",
        "cohort": "aws/222222222222/eu-west-1/group:web@lt-0123456789abcdef0+3",
        "source": "auto_scaling_group:web",
        "state": "running",
        "http_tokens": "optional",
        "http_endpoint": "enabled",
        "hop_limit": "1",
        "as_of": "2026-11-29T02:40:00.000000Z",
        "status": "held",
        "decision": "hold",
        "reason": "v1_in_use",
        "explanation": "It called IMDSv1. Update the software.",
        "since": "2026-11-20T02:30:00Z",
        "next_at": "2026-11-30T02:30:00Z",
        "calls": "12",
        "call_hours": "3",
        "last_call": "2026-11-28T05:00:00Z",
        "calls_by_hour": "5:4 29:8",
    }
    given = {name: str(value) for name, value in fields.items()}
    assert given.keys() <= COLUMNS.keys()
    return {**dict.fromkeys(COLUMNS, ""), **known, **given}


def required(number: int, **fields: Any) -> dict[str, str]:
    """An instance that the service changed and has proved healthy."""
    settled = {"http_tokens": "required", "status": "verified", "decision": "enforce", "reason": "unused"}
    blank = dict.fromkeys(("calls", "last_call", "calls_by_hour", "next_at"), "")
    return row(number, **{**settled, **blank, "enforced_at": "2026-11-10T02:31:00Z", "watch": "done", **fields})


def night(at: str, allowed: int, instances: int = 1000) -> dict[str, Any]:
    """The numbers of a night."""
    counts = {"instances": instances, "imdsv1_allowed": allowed, "required": instances - allowed, "held": allowed}
    return {"at": f"{at}T02:50:00Z", "dry_run": False, **counts}


def swept(rows: Iterable[Mapping[str, str]] = (), **fields: Any) -> dict[str, Any]:
    """The document that names the newest file."""
    return {
        "schema": SCHEMA,
        "key": KEY,
        "oldest": "2026-11-29T02:40:00.000000Z",
        "ended_at": "2026-11-29T02:50:00Z",
        "dry_run": False,
        "errors": {},
        "unreachable": {},
        "nights": [],
        "rows": len(list(rows)),
        **fields,
    }


def fill(bucket: Bucket, rows: Iterable[Mapping[str, str]], **fields: Any) -> None:
    """Put a file of the fleet into a bucket."""
    rows = list(rows)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [*COLUMNS], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    bucket.objects[KEY] = gzip.compress(text.getvalue().encode())
    bucket.objects[LATEST] = json.dumps(swept(rows, **fields)).encode()
