"""Instances that no sweep has seen yet, or not as they are now: found by name, and never taken for closed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.domain.history import Hold
from imdsv2.ledger.change import Change
from imdsv2.ledger.trail import trail_day
from imdsv2_cli.failure import Exit
from tests.cli import test_fleet
from tests.cli.conftest import run
from tests.cli.test_fleet import AT, arn, ids
from tests.world.rows import fill, required, row

if TYPE_CHECKING:
    from tests.cli.test_fleet import Installation

here = test_fleet.here

EARLIER = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
"""Before the file of the fleet was written."""
SINCE = AT - timedelta(hours=1)


def ec2_shows(here: Installation, *numbers: int, **fields: Any) -> None:
    """What the service finds by names: instances that are called new-1, new-2 and so on."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        shown = [
            {
                "target": str(arn(each)),
                "name": f"new-{each}",
                "state": "running",
                "http_tokens": "optional",
                "http_endpoint": "enabled",
                **fields,
            }
            for each in numbers
        ]
        names = asked["find"]["names"]
        found = [each for each in shown if {each["name"], each["target"].rpartition("/")[2]} & {*names}]
        return {"count": len(found), "results": found, "unknown": [], "problems": []}

    here.aws.on_invoke("manual", answer)


def test_a_name_is_found_before_the_first_sweep(here: Installation) -> None:
    """The ledger knows it of what a finding told of."""
    here.record(arn(1), SINCE, name="shop-1", belongs_to="blue", revisit_at=AT + timedelta(days=1))
    document = json.loads(here.said("explain", "shop-1", "-o", "json"))["instance"]
    assert ("shop-1", "blue", "optional") == tuple(document[each] for each in ("name", "owner", "http_tokens"))
    assert ids(1) == here.listed("--owner", "blue", "--name", "shop").keys()


@pytest.mark.parametrize("name", ["new-3", arn(3).instance_id, str(arn(3))])
@pytest.mark.parametrize("swept", [False, True])
def test_an_instance_that_only_ec2_knows_is_explained(here: Installation, name: str, swept: bool) -> None:
    """On the first day, and after a launch: what it is, and how it comes to be judged."""
    if swept:
        fill(here.bucket, [row(1)])
    ec2_shows(here, 3)
    told = here.said("explain", name)
    assert "not judged yet, HttpTokens is optional" in told
    assert f"or you: imdsv2 assess {arn(3).instance_id}" in told
    assert "new-3" in told


def test_what_the_ledger_knows_of_it_is_told_beside_it(here: Installation) -> None:
    """It waits for nothing, so that no index has it; EC2 was looked at just now."""
    here.record(arn(3), EARLIER, status="skipped", decision="skip", reason="already_required")
    ec2_shows(here, 3)
    document = json.loads(here.said("explain", "new-3", "-o", "json"))["instance"]
    assert ("already_required", "optional") == (document["reason"], document["http_tokens"])


def test_a_name_of_several_is_refused_with_their_arns(here: Installation) -> None:
    """As in the fleet."""
    ec2_shows(here, 3, 4, name="new")
    told = here.said("explain", "new", code=Exit.USAGE)
    assert "2 instances are called new" in told
    assert str(arn(4)) in told


@pytest.mark.parametrize("name", ["group:wbe", "new-9"])
def test_what_nobody_knows_is_refused(here: Installation, name: str) -> None:
    """A cohort's name is not looked for among instances."""
    fill(here.bucket, [row(1, name="new-8")])
    ec2_shows(here)
    assert f"nothing in the fleet is called {name}; " in here.said("explain", name, code=Exit.USAGE)
    assert name == "new-9" or [] == here.aws.payloads()


def test_who_may_not_invoke_the_service_is_told_what_the_fleet_knows(here: Installation) -> None:
    """Looking needs no right to change anything."""
    fill(here.bucket, [row(1)])
    here.aws.answers["lambda", "invoke"] = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Invoke")
    assert "did you mean web-1?" in here.said("explain", "web-2", code=Exit.USAGE)
    here.aws.answers["lambda", "invoke"] = ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")
    assert "wait a minute" in here.said("explain", "web-2", code=Exit.FAILED)


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_names_nothing(here: Installation, name: str) -> None:
    """A variable of a script that was never set must not mean all instances without a name."""
    fill(here.bucket, [row(1, name=""), row(2, name="")])
    assert "no instance and no cohort was named" in here.said("explain", name, code=Exit.USAGE)


@pytest.mark.parametrize("reason", ["changed_back", "v1_in_use", "unused", "exempt", "not_ready"])
def test_what_was_opened_since_the_sweep_allows_imdsv1(here: Installation, reason: str) -> None:
    """A verdict of this kind is given only where EC2 shows tokens as optional: the file is older."""
    fill(here.bucket, [required(1, status="", reason="already_required"), row(2, http_endpoint="disabled")])
    for number in (1, 2):
        here.record(arn(number), SINCE, reason=reason)
    assert ids(1, 2) == here.listed("--still-v1").keys()
    assert 2 == json.loads(here.said("status", "-o", "json"))["fleet"]["imdsv1_allowed"]


@pytest.mark.parametrize("reason", ["out_of_scope", "unreachable"])
def test_a_verdict_without_a_look_leaves_what_the_sweep_saw(here: Installation, reason: str) -> None:
    """Nobody asked EC2."""
    fill(here.bucket, [required(1, status="", reason="already_required"), row(2)])
    for number in (1, 2):
        here.record(arn(number), SINCE, reason=reason)
    assert ids(2) == here.listed("--still-v1").keys()


@pytest.mark.parametrize(
    ("reason", "status"), [("already_required", "skipped"), ("endpoint_disabled", "skipped"), ("unused", "enforced")]
)
def test_what_was_closed_since_the_sweep_is_closed(here: Installation, reason: str, status: str) -> None:
    """By the service, or by others."""
    fill(here.bucket, [row(1)])
    if status == "enforced":
        here.record(arn(1), SINCE - timedelta(minutes=1), status="enforcing", decision="enforce", reason=reason)
    here.record(arn(1), SINCE, status=status, decision="skip", reason=reason)
    assert {} == here.listed("--still-v1")


def test_a_persons_word_does_not_make_an_older_verdict_newer_than_the_sweep(here: Installation) -> None:
    """A dry sweep saw it opened, and writes nothing to the ledger; a hold is noted after that."""
    fill(here.bucket, [row(1)])
    here.record(arn(1), EARLIER, status="skipped", decision="skip", reason="already_required")
    until = (AT + timedelta(days=9)).date()
    hold = Hold(owner="blue", reason="Migration.", until=until, by="alice", request_id="r", at=AT)
    before = here.ledger.read([arn(1)])[arn(1)]
    written = here.ledger.write([Change(before=before, after=replace(before, hold=hold))], SINCE)
    assert not written.failed
    assert ids(1) == here.listed("--still-v1").keys()
    assert "blue" == json.loads(run("explain", "web-1", "-o", "json").stdout)["instance"]["hold_owner"]


def test_an_instance_that_was_watched_before_it_was_judged_stays_in_the_list(here: Installation) -> None:
    """The watch is an event of the trail; there is no record beside it."""
    fill(here.bucket, [row(1), row(2)])
    sk = f"decision#{SINCE:%Y-%m-%dT%H:%M:%S.%fZ}#0a"
    day = trail_day(SINCE, str(arn(1)))
    item = {"pk": str(arn(1)), "sk": sk, "kind": "capture_begun", "trail_day": day}
    here.table.put_item(Item={name: {"S": value} for name, value in item.items()})
    assert ids(1, 2) == here.listed().keys()
