"""Finds an instance of which neither the last sweep nor the ledger tells, by asking the service what EC2 shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2_cli.aws import DENIED, code_of
from imdsv2_cli.failure import usage
from imdsv2_cli.fleet import ledger
from imdsv2_cli.fleet.joined import arn_of, renewed
from imdsv2_cli.fleet.places import swept_places
from imdsv2_cli.naming import find
from imdsv2_cli.verdicts import parts_of

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2_cli.base import App
    from imdsv2_cli.fleet.file import Row

_SHOWN = 5


def asked_for(app: App, name: str, account: str | None, region: str | None, now: datetime) -> Row | None:
    """The row of the instance that a name means to EC2, with what the ledger knows of it; None where there is none, or where the caller
    may not ask the service. Raises Failure for a name that several bear."""
    if name.startswith("arn:"):
        parts = parts_of(name)
        name, account, region = parts["instance"], parts["account"], parts["region"]
    if ":" in name:  # A cohort's.
        return None
    rows = [row for row in _shown(app, name, account, region, now) if name in {row["instance_id"], row["name"]}]
    if len(rows) > 1:
        some = ", ".join(map(arn_of, rows[:_SHOWN]))
        raise usage(f"{len(rows)} instances are called {name[:60]}", todo=f"name one of them by its ARN: {some}")
    for row in rows:
        record = next(iter(ledger.records(app, [arn_of(row)])), None)
        return renewed(row, record) if record is not None else row
    return None


def _shown(app: App, name: str, account: str | None, region: str | None, now: datetime) -> list[Row]:
    from botocore.exceptions import ClientError

    from imdsv2.domain.fleet_file import COLUMNS
    from imdsv2.ledger.items import to_text

    try:
        places = swept_places(app, account, region, quiet=True)
        answer = find(app, names=[name], account=account, region=region, places=places)
    except ClientError as error:
        if code_of(error) in DENIED:
            return []
        raise
    seen = ("name", "state", "http_tokens", "http_endpoint")
    return [
        {
            **dict.fromkeys(COLUMNS, ""),
            **{column: str(each.get(column) or "") for column in seen},
            **_place(each["target"]),
            "as_of": to_text(now),
        }
        for each in answer["results"]
    ]


def _place(arn: str) -> Row:
    parts = parts_of(arn)
    return {"account": parts["account"], "region": parts["region"], "instance_id": parts["instance"]}
