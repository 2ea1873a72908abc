"""`imdsv2 audit` answers for what only a sweep has seen, and for whole days."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.ledger.trail import trail_day
from imdsv2_cli import times
from imdsv2_cli.auditing import open_row
from tests.cli import test_audit
from tests.cli.conftest import run
from tests.cli.test_audit import ARN, NOW, OTHER, event
from tests.world.rows import fill, required, row

if TYPE_CHECKING:
    from tests.cli.conftest import Aws
    from tests.world.bucket import Bucket

ledger, fleet = test_audit.ledger, test_audit.fleet
FRESH = f"{NOW:%Y-%m-%dT%H:%M:%S.%fZ}"


def allowing(*args: str) -> list[dict[str, Any]]:
    """What the answer says of instances that allow IMDSv1."""
    found: list[dict[str, Any]] = json.loads(run("audit", *args, "-o", "json").stdout)["allows_imdsv1"]
    return found


def test_what_a_dry_sweep_saw_is_told_although_the_ledger_never_heard_of_it(fleet: Bucket) -> None:
    """On the first day an auditor would read that nothing allows IMDSv1."""
    others = [
        row(8),
        row(9, reason="exempt", ends_on="2027-01-31"),
        row(10, reason="held_by_person", hold_owner="blue", ends_on="2027-02-28"),
        row(11, reason="", decision="", since=""),
        row(12, account="333333333333"),
        row(13, http_endpoint="disabled"),
        required(14),
    ]
    fill(fleet, [row(7, instance_id=ARN.rpartition("/")[2]), *others], oldest=FRESH)
    found = {each["instance"][-2:]: each for each in allowing("--account", "222222222222")}
    assert {"f0", "08", "09", "0a", "0b"} == found.keys()
    assert "3 calls." == found["f0"]["explanation"], "of what the ledger knows, its own word"
    who = ["the service", "whoever set the exempt tag", "blue", "nobody yet"]
    assert who == [found[each]["who"] for each in ("08", "09", "0a", "0b")]
    assert ("2027-01-31", "sweep", "v1_in_use") == (found["09"]["until"], found["08"]["source"], found["08"]["reason"])
    assert "33" == allowing("--account", "333333333333")[0]["account"][:2]
    said = run("audit", "--account", "222222222222").stdout
    assert "5 allow IMDSv1" in said


def test_before_the_first_sweep_it_says_what_it_does_not_know(fleet: Bucket) -> None:
    """An empty answer is no proof then."""
    fleet.objects.clear()
    done = run("audit", "--account", "999999999999", "--since", "1h")
    assert (0, True) == (done.exit_code, "Nothing allows IMDSv1" in done.stdout)
    assert "No sweep has ended yet" in done.stderr


def test_a_file_that_may_not_be_read_is_told(ledger: list[dict[str, Any]]) -> None:
    """The rest is answered."""
    assert ledger
    done = run("audit", "--since", "30d")
    assert (0, True) == (done.exit_code, "what only a sweep has seen is left out" in done.stderr)


@pytest.mark.parametrize("hours", [0, 12, 23.99])
def test_a_day_at_the_end_is_meant_with_all_its_hours(
    ledger: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """Who asks for May wants the 31st, too."""
    day = NOW - timedelta(days=3)
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    when = midnight + timedelta(hours=hours)
    ledger[:] = [event("broke", 0) | {"sk": {"S": f"decision#{when:%Y-%m-%dT%H:%M:%S.%fZ}#0a"}}]
    ledger[0]["trail_day"] = {"S": trail_day(when, ARN)}
    for since in (f"{day:%Y-%m-%d}", f"{day - timedelta(days=30):%Y-%m-%d}"):
        asked = ("audit", "--events-only", "-o", "json", "--since", since, "--until", f"{day:%Y-%m-%d}")
        assert ["broke"] == [each["kind"] for each in json.loads(run(*asked).stdout)["events"]]
    before = ("audit", "--events-only", "-o", "json", "--until", f"{day - timedelta(days=1):%Y-%m-%d}")
    assert [] == json.loads(run(*before).stdout)["events"]


@pytest.mark.parametrize("until", ["9999-12-31", "9999-12-31T23:59:59Z", "2999-01-01"])
def test_an_end_that_is_still_to_come_is_now(ledger: list[dict[str, Any]], until: str) -> None:
    """A day that nothing can have happened on is not asked for."""
    assert ledger
    document = json.loads(run("audit", "--since", "2d", "--until", until, "--events-only", "-o", "json").stdout)
    assert document["until"] <= times.to_text(times.now())
    assert 4 == len(document["events"])


def test_today_is_a_span_of_its_own(ledger: list[dict[str, Any]]) -> None:
    """From midnight to now."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    document = json.loads(run("audit", "--since", today, "--until", today, "--events-only", "-o", "json").stdout)
    assert f"{today}T00:00:00Z" == document["since"]
    assert ledger


@pytest.mark.parametrize(
    ("record", "who"),
    [
        ({"reason": "held_by_person"}, "somebody"),
        ({"reason": "held_by_person", "hold": {"owner": "blue", "reason": "Migration."}}, "blue"),
        ({"reason": "approval_required", "approval": {"word": "refused"}}, "somebody"),
        ({"reason": "approval_required", "approval": {"word": "refused", "by": "ann"}}, "ann"),
        ({"reason": "undone_by_person"}, "the service"),
    ],
)
def test_a_word_that_names_nobody_is_somebodys(record: dict[str, Any], who: str) -> None:
    """A hold was released a moment ago, and the instance is judged again within minutes."""
    found = open_row({"pk": ARN, "status": "held", **record})
    assert found is not None
    assert who == found["who"]


def test_it_agrees_with_the_list_on_what_allows_imdsv1(fleet: Bucket, aws: Aws) -> None:
    """A dry sweep saw one opened that the ledger has as verified, and one closed that the ledger holds; nothing happened to them since."""
    opened, closed = OTHER.rpartition("/")[2], ARN.rpartition("/")[2]
    fill(
        fleet,
        [
            row(1, instance_id=opened, account="333333333333", reason="changed_back", status="verified"),
            required(2, instance_id=closed, reason="already_required", status="skipped"),
        ],
        oldest=FRESH,
    )
    assert [opened] == [each["instance"] for each in allowing()]
    assert "changed_back" == allowing()[0]["reason"]
    assert aws.requests("query")


def test_an_account_that_no_sweep_could_see_is_told_to_the_auditor(fleet: Bucket) -> None:
    """Of the account that is asked for, or of all."""
    unreachable = {"444444444444": "AccessDenied on AssumeRole"}
    fill(fleet, [row(7)], oldest=FRESH, unreachable=unreachable, errors={"333333333333 eu-west-1": "denied"})
    said = run("audit").stderr
    for each in ("444444444444: AccessDenied on AssumeRole", "333333333333 eu-west-1: denied"):
        assert f"Not seen by the last sweep, so that more may allow IMDSv1: {each}" in said
    said = run("audit", "--account", "333333333333").stderr
    assert ("333333333333 eu-west-1: denied" in said, "444444444444" in said) == (True, False)
