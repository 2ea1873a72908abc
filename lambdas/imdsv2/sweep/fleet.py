"""The fleet as a sweep saw it: rows of one account and Region, written part by part, so that memory does not grow with the Region."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import parsed
from imdsv2.aws.listing import Access
from imdsv2.domain.batches import batched
from imdsv2.domain.fleet_file import COLUMNS
from imdsv2.ledger.items import to_text
from imdsv2.sweep.facts import Facts
from imdsv2.sweep.rows import facts_of, judged_row, recorded_row, required_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from imdsv2.aws.listing import Listing
    from imdsv2.domain.instance import InstanceArn, Place
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.evidence.membership import Memberships
    from imdsv2.line.judgement import Judgement
    from imdsv2.sweep.rows import Row

_ROWS_AT_ONCE = 500


class FleetWriter:
    """Keeps what EC2 lists of a place, and writes the rows of one batch at a time."""

    def __init__(
        self,
        *,
        place: Place,
        prefix: str,
        ledger: Ledger,
        memberships: Memberships,
        policy: Policy,
        write: Callable[[str, bytes], None],
        now: Callable[[], datetime],
    ) -> None:
        """``prefix``: how the parts of this sweep are named. ``write``: writes a part."""
        self._place = place
        self._prefix = prefix
        self._ledger = ledger
        self._memberships = memberships
        self._policy = policy
        self._write = write
        self._now = now
        self._facts = Facts()

    def note(self, page: Sequence[InstanceTypeDef]) -> None:
        """Keep a page of the listing."""
        instances = parsed(self._place, page)
        cohorts = self._memberships.cohorts(instances, self._policy)
        self._facts.add(facts_of(each, cohorts[each.arn], self._policy.owner_tag) for each in instances)

    def write(
        self, number: int, instance_ids: Iterable[str], judged: Mapping[InstanceArn, Judgement], listing: Listing
    ) -> None:
        """Write a part: the rows of the listed instances of one batch, in order; batches come in order too. Who was not judged is as the
        ledger knows it. Raises ClientError or LedgerContended."""
        # What this run has judged is written by now; what changes while the rows are put together is later than they are.
        as_of, packed = to_text(self._now()), io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
            io.TextIOWrapper(file, "utf-8", newline="") as text,
        ):
            rows = csv.DictWriter(text, [*COLUMNS], restval="", lineterminator="\n")
            for facts in batched(self._facts.of(sorted(instance_ids)), _ROWS_AT_ONCE):
                rows.writerows({**row, "as_of": as_of} for row in self._rows(facts, judged, listing))
        self._write(part_key(self._prefix, self._place, number), packed.getvalue())

    def _rows(self, facts: Iterable[Row], judged: Mapping[InstanceArn, Judgement], listing: Listing) -> Iterator[Row]:
        seen = {self._place.instance(row["instance_id"]): row for row in facts}
        records = self._ledger.read(arn for arn in seen if arn not in judged)
        for arn, row in seen.items():
            if arn in judged:
                yield row | judged_row(judged[arn], self._now())
            elif listing.access(arn.instance_id) is Access.TOKEN_REQUIRED:
                yield row | required_row(records[arn])
            else:
                yield row | recorded_row(records[arn])

    def close(self) -> None:
        """Forget what EC2 listed."""
        self._facts.close()


def part_key(prefix: str, place: Place, number: int) -> str:
    """The key of a part: parts of a place are numbered from 0."""
    return f"{prefix}/{place.account}/{place.region}/{number:05}.csv.gz"
