"""Single refused calls under watch: told with both readings, opening nothing; and what nevertheless counts at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Request, Source
from imdsv2.domain.texts.commands import command
from imdsv2.people.answer import result_document
from imdsv2.people.command_request import Command
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_people
from tests.fixtures.events import finding
from tests.integration.guarding import enforced, guard, live, probe, reject, restart
from tests.integration.test_departures import cohort_of, fleet, judge, told
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

PROBED = "IMDSv1 calls were rejected: a probe, or something broke"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def write(cloud: Cloud, arn: InstanceArn, **attributes: Any) -> None:
    """Another writer changes the ledger."""
    ledger = cloud.ledger()
    assert set() == ledger.write([change(ledger.read([arn])[arn], **attributes)], cloud.clock()).lost


def undo(cloud: Cloud, arn: InstanceArn) -> None:
    """A person has it put back."""
    command_ = parse({"undo": {"targets": [str(arn)]}, "dry_run": False, "caller": "kim"})
    assert isinstance(command_, Command)
    build_people(cloud.function()).carry_out(command_, "request-9", lambda: True)


# --- A probe -------------------------------------------------------------------------------------------------------


def looked_at(cloud: Cloud, arn: InstanceArn) -> str:
    """The explanation that a dry run gives to a person."""
    outcomes = cloud.line().run([Request(arn=arn, source=Source.MANUAL)], "look", dry_run=True)
    result = result_document(str(arn), outcomes.judged[arn])
    assert ("skip", "already_required") == (result["decision"], result["reason"])
    return str(result["explanation"])


@pytest.mark.parametrize("calls", [1, 2, 450])
def test_calls_within_five_minutes_are_told_once_and_open_nothing(cloud: Cloud, calls: int) -> None:
    """However many: whoever can forge one request can forge hundreds."""
    arn = enforced(cloud)
    live(cloud, arn, hours=3)
    probe(cloud, arn, calls)
    done = [guard(cloud) for _ in range(3)]
    assert [(0, 0)] * 3 == [(each.rolled_back, each.left_broken) for each in done]
    assert "required" == cloud.tokens(arn)
    (message,) = told(cloud, PROBED)
    current = cloud.current(arn)
    assert current["explanation"].partition(". ")[0] in message["Message"]
    assert command("undo", arn) in current["explanation"]
    assert current["explanation"].endswith(command("clear", arn))
    assert ("enforced", "open", "probe_or_breakage") == (current["status"], current["watch"], current["left_because"])
    assert str(current["probe_at"]).startswith("2026-11-20T15:00")
    assert PROBED in str(cloud.hub.note_on(finding(str(arn))))


def test_a_look_at_what_is_enforced_says_that_it_is_watched_and_what_was_refused(cloud: Cloud) -> None:
    """Who asks again after a change wants to know whether it holds."""
    arn = enforced(cloud)
    live(cloud, arn, hours=3)
    assert "it is watched, and no refused call is known yet" in looked_at(cloud, arn)
    probe(cloud, arn, 2)
    guard(cloud)
    said = looked_at(cloud, arn)
    assert "The service required them on 2026-11-20 12:00 UTC. 2 IMDSv1 calls were rejected" in said
    assert command("clear", arn) in said


def test_a_second_period_makes_it_breakage(cloud: Cloud) -> None:
    """Also hours after the first, while the watch goes on."""
    arn = enforced(cloud)
    probe(cloud, arn)
    assert 0 == guard(cloud).rolled_back
    live(cloud, arn, hours=20)
    probe(cloud, arn)
    assert 1 == guard(cloud).rolled_back


@pytest.mark.parametrize(("periods", "rolled_back"), [(1, [1]), (2, [0, 1]), (4, [0, 0, 0, 1])])
def test_the_policy_says_how_many_periods_are_breakage(cloud: Cloud, periods: int, rolled_back: list[int]) -> None:
    """With one, the first call opens IMDSv1."""
    cloud.policy(mode="enforce", rejected_periods=periods)
    arn = enforced(cloud)
    live(cloud, arn, hours=1)
    seen = []
    for _ in rolled_back:
        probe(cloud, arn)
        seen.append(guard(cloud).rolled_back)
    assert rolled_back == seen
    assert (1 if periods > 1 else 0) == len(told(cloud, PROBED)), "what follows within hours is no news of its own"


def test_a_watch_with_a_probe_comes_to_its_end(cloud: Cloud) -> None:
    """The verdict tells of it."""
    arn = enforced(cloud)
    live(cloud, arn, hours=10)
    probe(cloud, arn)
    live(cloud, arn, hours=15)
    guard(cloud)
    assert 1 == guard(cloud).verified
    explanation = cloud.current(arn)["explanation"]
    assert "1 IMDSv1 call was rejected, too few to be breakage, in 24 hours in which it ran." in explanation
    assert "for as long as tokens are required by the service" in explanation


def test_a_probe_that_a_person_cleared_counts_no_longer(cloud: Cloud) -> None:
    """The next is one again, and is told."""
    arn = enforced(cloud)
    live(cloud, arn, hours=2)
    probe(cloud, arn)
    guard(cloud)
    cloud.clock.move(minutes=7)
    write(cloud, arn, cleared_at=cloud.clock.tick())
    cloud.clock.move(minutes=31)
    probe(cloud, arn)
    assert 0 == guard(cloud).rolled_back
    assert 2 == len(told(cloud, PROBED))


def test_probes_of_many_instances_open_none(cloud: Cloud) -> None:
    """A scanner walks over the fleet, where each instance runs its own software."""
    arns = [enforced(cloud, tags={"aws:autoscaling:groupName": f"group-{number}"}) for number in range(6)]
    live(cloud, *arns, hours=4)
    for number, arn in enumerate(arns):
        probe(cloud, arn, at=cloud.clock() + number * MINUTE)
    cloud.clock.move(minutes=7)
    assert 0 == guard(cloud).rolled_back
    assert ["required"] * 6 == [cloud.tokens(arn) for arn in arns]
    assert 0 == len(cloud.accounts().of(arns[0]).rollbacks)
    (message,) = told(cloud, PROBED)
    assert all(command("clear", arn) in message["Message"] for arn in arns)


def test_what_was_told_is_broken_in_the_end(cloud: Cloud) -> None:
    """A person who sees that its software needs IMDSv1 undoes it, and that is breakage."""
    canary, others = fleet(cloud, count=3)
    live(cloud, canary, hours=1)
    probe(cloud, canary)
    guard(cloud)
    undo(cloud, canary)
    assert "broke_before" == cloud.current(canary)["reason"]
    assert ["canary_wait"] * 2 == judge(cloud, *others)


# --- Canaries ------------------------------------------------------------------------------------------------------


def test_a_canary_with_a_probe_is_clean_once_it_has_been_quiet_for_its_hours(cloud: Cloud) -> None:
    """And for those of the whole watch, whichever is longer: what fails seldom has the time to fail again."""
    canary, _ = fleet(cloud, count=2)
    cloud.policy(mode="enforce", canary={"share": 0.1, "hours": 8}, watch_hours=20)
    live(cloud, canary, hours=5)
    probe(cloud, canary)
    clean = []
    for hours in (5, 14, 2):
        live(cloud, canary, hours=hours)
        guard(cloud)
        guard(cloud)
        clean.append("clean_at" in cloud.current(canary))
    assert [False, False, True] == clean
    assert "verified" == cloud.current(canary)["status"]


def test_a_canary_whose_probes_nobody_explains_holds_its_cohort_in_the_end(cloud: Cloud) -> None:
    """Its software may be what calls: another canary would be no wiser."""
    cloud.policy(mode="enforce", canary={"share": 0.1, "hours": 24}, rejected_threshold=50)
    canary, others = fleet(cloud, count=2)
    cloud.policy(mode="enforce", canary={"share": 0.1, "hours": 24}, rejected_threshold=50)
    for _ in range(12):
        probe(cloud, canary)
        live(cloud, canary, hours=15)
        guard(cloud)
        guard(cloud)
    assert "unproven" == cloud.current(canary)["left_because"]
    assert "nobody has said what makes them" in cloud.current(canary)["explanation"]
    assert (canary, True) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)
    hour = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(others[0].instance_id, "MetadataNoToken", range(hour - 300, hour))
    assert ["cohort_uses_v1"] == judge(cloud, *others)


# --- At once -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "rolled_back"), [(1, 1), (59, 1), (66, 0)])
def test_one_call_within_the_hour_after_a_start_is_breakage(cloud: Cloud, minutes: float, rolled_back: int) -> None:
    """Boot software calls once and gives up."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    restart(cloud, arn)
    probe(cloud, arn, at=cloud.clock() + timedelta(minutes=minutes))
    cloud.clock.move(minutes=minutes)
    assert rolled_back == guard(cloud).rolled_back


def test_after_a_start_that_was_clean_one_call_at_a_later_one_is_a_probe(cloud: Cloud) -> None:
    """Boot software has proved that it needs no IMDSv1; an instance that starts every morning is not open to one request then."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    restart(cloud, arn)
    guard(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    assert ("verified", "done") == (cloud.current(arn)["status"], cloud.current(arn)["watch"])
    restart(cloud, arn)
    probe(cloud, arn, at=cloud.clock() + 10 * MINUTE)
    cloud.clock.move(hours=1)
    assert 0 == guard(cloud).rolled_back
    assert ("required", 1) == (cloud.tokens(arn), len(told(cloud, PROBED)))


def test_one_call_within_the_hour_after_a_reboot_that_a_person_told_of_is_breakage(cloud: Cloud) -> None:
    """EC2 does not show reboots."""
    arn = enforced(cloud)
    live(cloud, arn, hours=3)
    write(cloud, arn, mended_at=cloud.clock())
    probe(cloud, arn, at=cloud.clock() + 4 * MINUTE)
    assert 1 == guard(cloud).rolled_back
    assert "within the hour after its start on 2026-11-20 15:00 UTC" in cloud.current(arn)["explanation"]


def test_what_was_refused_before_it_was_mended_counts_no_longer(cloud: Cloud) -> None:
    """A person has updated its software and rebooted it."""
    arn = enforced(cloud)
    live(cloud, arn, hours=3)
    reject(cloud, arn)
    cloud.clock.move(minutes=40)
    write(cloud, arn, mended_at=cloud.clock())
    assert 0 == guard(cloud).rolled_back


@pytest.mark.parametrize(("minutes", "counted"), [(3, True), (8, True), (21, False)])
def test_calls_count_from_the_moment_before_ec2_was_asked(cloud: Cloud, minutes: float, *, counted: bool) -> None:
    """Reading back takes minutes, and a datapoint bears the beginning of its own five minutes."""
    arn = enforced(cloud)
    write(cloud, arn, enforcing_at=cloud.clock() - 2 * MINUTE)
    probe(cloud, arn, 9, at=cloud.clock() - timedelta(minutes=minutes))
    guard(cloud)
    assert counted == bool(told(cloud, PROBED))


def test_a_datapoint_that_began_before_the_change_counts(cloud: Cloud) -> None:
    """It covers five minutes from its own beginning on, in which the change fell."""
    arn = enforced(cloud)
    cloud.clock.move(seconds=210)
    write(cloud, arn, enforcing_at=cloud.clock(), enforced_at=cloud.clock())
    probe(cloud, arn, at=cloud.clock() - timedelta(seconds=210))
    guard(cloud)
    assert 1 == len(told(cloud, PROBED))


def test_a_call_at_the_end_of_the_shortest_watch_is_listed_in_time(cloud: Cloud) -> None:
    """CloudWatch lists it a quarter of an hour later, when the watch is over; the recall sees it."""
    cloud.policy(mode="enforce", watch_hours=3)
    arn = enforced(cloud)
    live(cloud, arn, hours=4.2)
    assert 1 == guard(cloud, after=0).verified
    for minutes in (26, 20):
        probe(cloud, arn, at=cloud.clock() - minutes * MINUTE)
    assert 1 == guard(cloud, after=50).rolled_back


# --- Alert by tag --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "only_told"), [("alert", True), (" Alert", True), ("auto", False), ("", False)])
def test_a_tag_makes_the_guard_only_tell(cloud: Cloud, value: str, *, only_told: bool) -> None:
    """For hosts that face the internet: nothing opens them again but a person."""
    arn = enforced(cloud)
    cloud.tag(arn, imdsv2_rollback=value)
    reject(cloud, arn)
    done = guard(cloud)
    assert (not only_told, only_told) == (bool(done.rolled_back), bool(done.left_broken))
    assert only_told == (cloud.tokens(arn) == "required")
    if only_told:
        expected = (
            'It was not put back: Its tag imdsv2:rollback says "alert". Put it back by hand, or update its software.'
        )
        assert str(cloud.current(arn)["explanation"]).endswith(expected)
        assert 1 == guard(cloud).left_broken
        assert 1 == len(told(cloud, "Something broke, and IMDSv1 is still off"))
        assert arn == cohort_of(cloud, arn).broken_by


def test_the_policy_names_that_tag(cloud: Cloud) -> None:
    """The default's name means nothing then."""
    cloud.policy(mode="enforce", rollback_tag="team:imds")
    named, other = enforced(cloud), enforced(cloud)
    cloud.tag(named, team_imds="alert")
    cloud.tag(other, imdsv2_rollback="alert")
    for arn in (named, other):
        reject(cloud, arn)
    guard(cloud)
    assert ["required", "optional"] == [cloud.tokens(arn) for arn in (named, other)]


def test_a_person_puts_back_what_the_tag_leaves_to_people(cloud: Cloud) -> None:
    """The tag binds the guard alone."""
    arn = enforced(cloud)
    cloud.tag(arn, imdsv2_rollback="alert")
    reject(cloud, arn)
    guard(cloud)
    undo(cloud, arn)
    assert "optional" == cloud.tokens(arn)
