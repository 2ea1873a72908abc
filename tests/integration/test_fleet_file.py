"""The file of the fleet: every instance of a night, with what is known of it; and the numbers of all nights."""

from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from imdsv2.aws.s3 import SweepFiles
from imdsv2.domain.fleet_file import COLUMNS, LATEST
from imdsv2.domain.instance import Place
from imdsv2.sweep.join import CARRIED_FOR, join
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally
from imdsv2.wiring.sweep import build_fleet_writer
from tests.integration.builders import MEMBER, OTHER, REGION
from tests.integration.guarding import enforced
from tests.integration.steering import judge
from tests.world.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

HOSTILE = '=cmd|"/c calc"!A1,\n<script>'


class Nights:
    """The sweeps of some accounts, one after another, into one bucket."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.bucket = cloud, Bucket()
        self.files = SweepFiles(cast("Any", self.bucket), "results")

    def sweep(
        self,
        name: str = "night",
        accounts: Sequence[str] = (MEMBER,),
        *,
        dry_run: bool = False,
        spare_hours: int = 0,
        failed: Sequence[str] = (),
        batches: int = 99,
    ) -> dict[str, Any]:
        """One sweep. ``failed``: accounts that could not be looked at."""
        tallies = [
            self._place(
                Tally(place=Place("aws", REGION, each), fleet=f"{name}/fleet", spare_hours=spare_hours),
                dry_run,
                batches,
            )
            for each in accounts
        ]
        tallies += [{**Tally(place=Place("aws", REGION, each)).document(), "error": "no"} for each in failed]
        return join(self.files, tallies, execution=name, dry_run=dry_run, unreachable={}, now=self.cloud.clock())

    def _place(self, tally: Tally, dry_run: bool, batches: int) -> dict[str, Any]:
        service = self.cloud.function()
        line = service.line
        while True:
            left = iter([True] * (batches - 1) + [False] * 99)
            with closing(build_fleet_writer(service, tally.place, str(tally.fleet), self.files.write_packed)) as fleet:
                done = go_through(
                    line, service.clients, tally, "sweep", dry_run=dry_run, has_time=left.__next__, fleet=fleet
                )
            document = json.loads(json.dumps(done.document()))
            if done.after is None:
                return cast("dict[str, Any]", document)
            tally = Tally.from_document(document)

    def rows(self) -> dict[str, dict[str, str]]:
        """The newest file, by instance id."""
        latest = json.loads(self.bucket.objects[LATEST])
        text = gzip.decompress(self.bucket.objects[latest["key"]]).decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert len(rows) == len({each["instance_id"] for each in rows}) == latest["rows"]
        assert text.partition("\n")[0].split(",") == [*COLUMNS]
        return {each["instance_id"]: each for each in rows}


@pytest.fixture
def nights(cloud: Cloud) -> Nights:
    """An empty bucket."""
    return Nights(cloud)


def _of(nights: Nights, arn: InstanceArn) -> dict[str, str]:
    return nights.rows()[arn.instance_id]


def test_every_instance_is_in_the_file(cloud: Cloud, nights: Nights) -> None:
    """What requires tokens too, and what nobody has ever judged."""
    tags = {"Name": HOSTILE, "owner": "blue", "aws:autoscaling:groupName": "web"}
    [busy] = cloud.launch(use=2.0, tags=tags, hop_limit=2)
    idle, required, off = cloud.one(), cloud.one(tokens="required"), cloud.one(endpoint="disabled")
    latest = nights.sweep()
    assert {each.instance_id for each in (busy, idle, required, off)} == nights.rows().keys()
    row = _of(nights, busy)
    assert (HOSTILE, "blue", "auto_scaling_group:web") == (row["name"], row["owner"], row["source"])
    assert ("optional", "2", "held", "hold", "v1_in_use") == (
        row["http_tokens"], row["hop_limit"], row["status"], row["decision"], row["reason"],
    )  # fmt: skip
    assert "/group:web" in row["cohort"]
    assert int(row["calls"]) > 0 < int(row["call_hours"])
    assert sum(int(each.partition(":")[2]) for each in row["calls_by_hour"].split()) == int(row["calls"])
    assert all(row[each] for each in ("last_call", "since", "next_at", "explanation"))
    assert ("required", "enforced", "unused") == tuple(
        _of(nights, idle)[each] for each in ("http_tokens", "status", "reason")
    )
    assert ("required", "", "skip", "already_required") == tuple(
        _of(nights, required)[each] for each in ("http_tokens", "status", "decision", "reason")
    )
    assert "endpoint_disabled" == _of(nights, off)["reason"]
    assert {"instances": 4, "required": 2, "imdsv1_allowed": 1, "endpoint_disabled": 1}.items() <= latest["nights"][
        0
    ].items()


def test_a_dry_sweep_writes_the_file_and_no_more(cloud: Cloud, nights: Nights) -> None:
    """It shows what would be, and the ledger stays as it is."""
    arn = cloud.one()
    before = cloud.items()
    latest = nights.sweep(dry_run=True)
    assert before == cloud.items()
    assert latest["dry_run"] is True
    assert ("optional", "would_enforce", "unused", "") == tuple(
        _of(nights, arn)[each] for each in ("http_tokens", "status", "reason", "enforced_at")
    )


def test_what_was_judged_of_late_is_there_as_the_ledger_knows_it(cloud: Cloud, nights: Nights) -> None:
    """The night's sweep spares it; its row says what was found then."""
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    cloud.clock.move(hours=2)
    nights.sweep(spare_hours=20)
    row = _of(nights, arn)
    assert ("held", "v1_in_use") == (row["status"], row["reason"])
    assert row["calls_by_hour"]
    assert row["since"] < row["as_of"]


def test_an_enforced_instance_keeps_its_history_in_the_file(cloud: Cloud, nights: Nights) -> None:
    """EC2 shows no more than that tokens are required."""
    arn = enforced(cloud)
    nights.sweep()
    row = _of(nights, arn)
    assert ("required", "enforced", "open") == (row["http_tokens"], row["status"], row["watch"])
    assert row["enforced_at"]


def test_what_people_required_since_is_no_longer_told_as_held(cloud: Cloud, nights: Nights) -> None:
    """Even where a dry sweep leaves the ledger as it is."""
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    cloud.as_account(MEMBER, "ec2").modify_instance_metadata_options(InstanceId=arn.instance_id, HttpTokens="required")
    nights.sweep(dry_run=True)
    row = _of(nights, arn)
    assert ("skipped", "skip", "already_required", "") == tuple(
        row[each] for each in ("status", "decision", "reason", "next_at")
    )


def test_a_verdict_keeps_its_beginning(cloud: Cloud, nights: Nights) -> None:
    """`since` is when it came to be, not when it was looked at."""
    arn = cloud.one(use=1.0)
    nights.sweep("first")
    since = _of(nights, arn)["since"]
    cloud.clock.move(hours=25)
    nights.sweep("second", dry_run=True)
    assert since == _of(nights, arn)["since"]


@pytest.mark.parametrize("batches", [1, 99])
def test_a_large_place_is_written_part_by_part(
    cloud: Cloud, nights: Nights, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """However often the function runs out of time, each instance has one row."""
    monkeypatch.setattr("imdsv2.sweep.run.INSTANCES_A_BATCH", 2)
    monkeypatch.setattr("imdsv2.sweep.fleet._ROWS_AT_ONCE", 3)
    arns = [*cloud.launch(count=5, use=1.0), *cloud.launch(count=6, tokens="required")]
    nights.sweep(batches=batches)
    assert {each.instance_id for each in arns} == nights.rows().keys()
    assert 3 == sum(key.startswith("night/fleet/") for key in nights.bucket.objects)


def test_what_cannot_be_looked_at_stays_as_it_was_last_seen(cloud: Cloud, nights: Nights) -> None:
    """For a week; an instance that is gone from a place that was looked at goes at once."""
    there, elsewhere = cloud.one(use=1.0), cloud.one(account=OTHER, use=1.0)
    nights.sweep("first", [MEMBER, OTHER])
    cloud.as_account(MEMBER, "ec2").terminate_instances(InstanceIds=[there.instance_id])
    new = cloud.one(use=1.0)
    cloud.clock.move(hours=24)
    latest = nights.sweep("second", [MEMBER], failed=[OTHER])
    assert {new.instance_id, elsewhere.instance_id} == nights.rows().keys()
    assert {f"{OTHER} {REGION}": "no"} == latest["errors"]
    assert _of(nights, elsewhere)["as_of"] < _of(nights, new)["as_of"]
    cloud.clock.move(hours=CARRIED_FOR // timedelta(hours=1))
    nights.sweep("third", [MEMBER], failed=[OTHER])
    assert {new.instance_id} == nights.rows().keys()


def test_a_sweep_of_one_account_leaves_the_others_in_the_file(cloud: Cloud, nights: Nights) -> None:
    """A person swept only a part."""
    one, other = cloud.one(use=1.0), cloud.one(account=OTHER, use=1.0)
    nights.sweep("all", [MEMBER, OTHER])
    nights.sweep("part", [MEMBER], dry_run=True)
    assert {one.instance_id, other.instance_id} == nights.rows().keys()


def test_the_nights_are_remembered_one_a_day(cloud: Cloud, nights: Nights) -> None:
    """The last sweep of a day counts; a file that the bucket has forgotten hinders nobody."""
    cloud.launch(count=3, use=1.0)
    nights.sweep("a")
    cloud.one(tokens="required")
    nights.sweep("b")
    cloud.clock.move(hours=24)
    del nights.bucket.objects["b/instances.csv.gz"]
    latest = nights.sweep("c")
    assert [(4, 3, 3), (4, 3, 3)] == [
        (each["instances"], each["imdsv1_allowed"], each["held"]) for each in latest["nights"]
    ]
    assert 2 == len({date.fromisoformat(each["at"][:10]) for each in latest["nights"]})
