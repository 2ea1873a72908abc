"""The last step of a sweep for the file of the fleet: joins the parts of all places, and keeps the numbers of the night."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

from imdsv2.domain.batches import batched
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.fleet_file import COLUMNS, LATEST, SCHEMA
from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.lifecycle import Status
from imdsv2.ledger.items import to_text
from imdsv2.sweep.fleet import part_key
from imdsv2.sweep.scope import missed
from imdsv2.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.s3 import SweepFiles
    from imdsv2.sweep.rows import Row

CARRIED_FOR = timedelta(days=7)
"""For so long, instances of a place that could not be looked at stay in the file as they were last seen."""
NIGHTS_KEPT = 400
_READS_AT_ONCE = 16
_READS_A_TIME = 64


@dataclass(slots=True, kw_only=True)
class Numbers:
    """What a night is remembered by."""

    counts: Counter[str] = field(default_factory=Counter)
    oldest: str = ""
    """When the oldest row was put together."""

    def note(self, row: Row) -> None:
        """Count an instance."""
        self.counts["instances"] += 1
        self.oldest = min(self.oldest or row["as_of"], row["as_of"])
        if row["http_tokens"] == "required":
            self.counts["required"] += 1
        elif row["http_endpoint"] == "disabled":
            self.counts["endpoint_disabled"] += 1
        else:
            self.counts["imdsv1_allowed"] += 1
            self.counts["held"] += row["decision"] == "hold"
        self.counts["enforced"] += row["status"] in {Status.ENFORCED, Status.VERIFIED}
        self.counts["rolled_back"] += row["status"] == Status.ROLLED_BACK


def join(
    files: SweepFiles,
    tallies: Iterable[Mapping[str, Any]],
    *,
    execution: str,
    dry_run: bool,
    unreachable: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """Join the parts of a sweep with what is kept of places that it could not look at, or was not asked about. Writes the file, then
    the document that names it, which is returned. Raises ClientError."""
    known = files.read_if_there(LATEST) or {}
    tallies = list(tallies)
    seen = {(each["account"], each["region"]): each for each in tallies if each.get("fleet") and not each["error"]}
    numbers, key = Numbers(), f"{execution}/instances.csv.gz"
    with tempfile.TemporaryFile() as file:
        _fill(file, chain(_rows(files, seen.values()), _kept(files, known, seen.keys(), now)), numbers)
        file.seek(0)
        files.write_packed(key, file)
    night = {"at": to_seconds(now), "dry_run": dry_run, **numbers.counts}
    document = {
        "schema": SCHEMA,
        "service_version": VERSION,
        "key": key,
        "execution": execution,
        "oldest": numbers.oldest,
        "ended_at": to_seconds(now),
        "dry_run": dry_run,
        "rows": numbers.counts["instances"],
        "places": len(tallies),
        "errors": {f"{each['account']} {each['region']}": each["error"] for each in tallies if missed(each)},
        "unreachable": dict(unreachable),
        "nights": _nights(known.get("nights", []), night),
    }
    files.write(LATEST, document)
    return document


def _fill(file: IO[bytes], rows: Iterable[Row], numbers: Numbers) -> None:
    with (
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, "utf-8", newline="") as text,
    ):
        table = csv.DictWriter(text, [*COLUMNS], restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for row in rows:
            numbers.note(row)
            table.writerow(row)


def _rows(files: SweepFiles, tallies: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """The rows of all parts, some parts at a time."""
    keys = (
        part_key(each["fleet"], Place(partition_of(each["region"]), each["region"], each["account"]), number)
        for each in tallies
        for number in range(each["parts"])
    )

    def read(key: str) -> bytes:
        with files.read_packed(key) as packed:
            return packed.read()

    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        for several in batched(keys, _READS_A_TIME):
            for part in pool.map(read, several):
                yield from csv.DictReader(io.StringIO(part.decode(), newline=""), [*COLUMNS])


def _kept(
    files: SweepFiles, known: Mapping[str, Any], seen: Collection[tuple[str, str]], now: datetime
) -> Iterator[Row]:
    """The rows of the file before, of places that this sweep did not see."""
    packed = files.read_packed_if_there(known["key"]) if known.get("schema") == SCHEMA else None
    if packed is None:
        return
    oldest = to_text(now - CARRIED_FOR)
    with packed, io.TextIOWrapper(packed, "utf-8", newline="") as text:
        for row in csv.DictReader(text):
            if (row["account"], row["region"]) not in seen and row["as_of"] >= oldest:
                yield row


def _nights(nights: Sequence[Mapping[str, Any]], night: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One entry a day (UTC): the last sweep's."""
    return [*(each for each in nights if each["at"][:10] != night["at"][:10]), night][-NIGHTS_KEPT:]
