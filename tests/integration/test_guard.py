"""The guard's passes: what is verified, what breaks, what stays unproved, and how many calls this takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Source
from tests.fixtures.events import finding
from tests.integration.builders import LEASE, MEMBER, NOW, OTHER, asked
from tests.integration.guarding import (
    HOUR,
    Died,
    enforce,
    enforced,
    guard,
    live,
    probe,
    reject,
    restart,
    set_state,
    watch_use,
)
from tests.integration.steering import named, steer
from tests.world.records import change
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.guard.place import Pass
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

DESCRIBE = "DescribeInstances"
ASK = "GetMetricData"


def state(cloud: Cloud, arn: InstanceArn) -> tuple[str, str]:
    """The status of an instance, and whether its watch continues."""
    current = cloud.current(arn)
    return str(current["status"]), str(current["watch"])


def counts(done: Pass, *names: str) -> tuple[int, ...]:
    """Some of a pass's counters."""
    return tuple(getattr(done, name) for name in names)


def verified(cloud: Cloud, **how: Any) -> InstanceArn:
    """An instance that was verified."""
    arn = enforced(cloud, **how)
    live(cloud, arn, hours=25)
    assert 1 == guard(cloud).verified
    return arn


def asked_about(cloud: Cloud, made: int) -> list[tuple[str, int]]:
    """The metrics requested since then, each with its number of instances."""
    queries = [call.params["MetricDataQueries"] for call in cloud.wire.calls[made:] if call.operation == ASK]
    return sorted((each[0]["MetricStat"]["Metric"]["MetricName"], len(each)) for each in queries)


def judge_again(cloud: Cloud, arn: InstanceArn, source: Source = Source.REVISIT) -> tuple[str, str, str]:
    """Decision, reason and status after the pipeline has judged it again."""
    judged = cloud.line().run([asked(arn, source)], "request-3").judged[arn]
    return judged.verdict.decision, judged.verdict.reason, cloud.current(arn)["status"]


# --- Healthy -------------------------------------------------------------------------------------------------------


def test_what_stays_clean_is_verified(cloud: Cloud) -> None:
    """It ran for a day without a rejected call. There is nothing to re-evaluate, and no notification."""
    arn = enforced(cloud)
    told = len(cloud.published())
    live(cloud, arn, hours=25)
    done = guard(cloud)
    assert (1, 1, 0) == (done.watched, done.verified, done.failed)
    current = cloud.current(arn)
    assert ("verified", "enforce", "guard") == (current["status"], current["decision"], current["source"])
    assert str(current["explanation"]).startswith(
        "Tokens are required since 2026-11-20 12:00 UTC; no IMDSv1 call was rejected in 24 hours in which it ran."
    )
    assert "revisit_at" not in current
    assert "required" == cloud.tokens(arn)
    assert told == len(cloud.published())
    assert ["enforcing", "enforced", "verified"] == cloud.history(arn)


def test_the_watch_is_not_over_before_its_hours_are(cloud: Cloud) -> None:
    """Nor before CloudWatch shows the last of them."""
    arn = enforced(cloud)
    live(cloud, arn, hours=24)
    assert 0 == guard(cloud).verified
    assert 1 == guard(cloud, after=10).verified


def test_the_policy_says_how_long_it_lasts(cloud: Cloud) -> None:
    """A change of the policy also applies to instances already under watch."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    cloud.policy(mode="enforce", watch_hours=48)
    assert 0 == guard(cloud).verified
    live(cloud, arn, hours=24)
    assert 1 == guard(cloud).verified


def test_an_office_hours_instance_is_verified_after_days(cloud: Cloud) -> None:
    """Only the hours in which it ran count, across its starts."""
    arn = enforced(cloud)
    proved = []
    for _ in range(3):
        restart(cloud, arn)
        live(cloud, arn, hours=9)
        proved.append(guard(cloud, after=15).verified)
        set_state(cloud, arn, "stopped")
        cloud.clock.move(hours=14)
        set_state(cloud, arn, "running")
    assert [0, 0, 1] == proved


def test_one_that_was_stopped_at_its_enforcement_is_watched_from_its_start_on(cloud: Cloud) -> None:
    """Until then, EC2 may show tokens as optional; this is neither a change by someone nor running time."""
    arn = cloud.one()
    _stop(cloud, arn)
    enforce(cloud, arn)
    cloud.set_options(arn, http_tokens="optional")
    for _ in range(3):
        cloud.clock.move(days=3)
        done = guard(cloud)
        assert (1, 0, 0) == (done.watched, done.verified, done.failed)
        assert ("hold", "not_ready", "enforced") == judge_again(cloud, arn)
    cloud.set_options(arn, http_tokens="required")
    set_state(cloud, arn, "running")
    restart(cloud, arn)
    live(cloud, arn, hours=24)
    reject(cloud, arn)
    assert 1 == guard(cloud).rolled_back


def test_what_ec2_has_yet_to_apply_is_not_let_go(cloud: Cloud) -> None:
    """In the first minutes, an old answer of EC2 does not mean that someone changed it back."""
    arn = enforced(cloud)
    cloud.set_options(arn, http_tokens="optional")
    guard(cloud)
    assert ("hold", "not_ready", "enforced") == judge_again(cloud, arn)
    assert ("enforced", "open") == state(cloud, arn)


def test_nothing_is_verified_while_cloudwatch_is_late(cloud: Cloud) -> None:
    """A datapoint of the last whole hour is needed: before it, refused calls may not show either."""
    arn = enforced(cloud)
    live(cloud, arn, hours=23)
    cloud.clock.move(hours=2)
    for _ in range(3):
        assert 0 == guard(cloud).verified
    for hours in (1.6, 1.5):
        probe(cloud, arn, 150, at=cloud.clock() - hours * HOUR)
    assert 1 == guard(cloud).rolled_back


def test_one_that_stops_at_the_end_of_its_watch_is_verified_when_it_runs_again(cloud: Cloud) -> None:
    """Enough hours, but none just now."""
    arn = enforced(cloud)
    live(cloud, arn, hours=23)
    set_state(cloud, arn, "stopped")
    cloud.clock.move(hours=10)
    assert 0 == guard(cloud).verified
    set_state(cloud, arn, "running")
    live(cloud, arn, hours=2)
    assert 1 == guard(cloud).verified


# --- The next start ------------------------------------------------------------------------------------------------


def test_a_verified_one_is_watched_once_more_after_its_next_start(cloud: Cloud) -> None:
    """Boot software may need IMDSv1; calls rejected before that start belong to the earlier watch."""
    arn = verified(cloud)
    assert ("verified", "open") == state(cloud, arn)
    cloud.clock.move(days=60)
    restart(cloud, arn)
    assert 0 == guard(cloud).rolled_back
    reject(cloud, arn)
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(arn)
    assert ["enforcing", "enforced", "verified", "rolling_back", "rolled_back"] == cloud.history(arn)


def test_a_clean_start_ends_the_watch(cloud: Cloud) -> None:
    """Then the guard no longer watches it."""
    arn = verified(cloud)
    restart(cloud, arn)
    live(cloud, arn, hours=25)
    assert (1, 0) == counts(guard(cloud), "watched", "verified")
    assert ("verified", "done") == state(cloud, arn)
    assert 0 == guard(cloud).watched


def test_a_start_during_the_first_watch_is_the_next_start(cloud: Cloud) -> None:
    """The full hours count from that start."""
    arn = enforced(cloud)
    live(cloud, arn, hours=20)
    restart(cloud, arn)
    live(cloud, arn, hours=6)
    assert 1 == guard(cloud).verified
    assert ("verified", "open") == state(cloud, arn)
    live(cloud, arn, hours=12)
    guard(cloud)
    assert ("verified", "open") == state(cloud, arn)
    live(cloud, arn, hours=8)
    guard(cloud)
    assert ("verified", "done") == state(cloud, arn)


# --- Unproved ------------------------------------------------------------------------------------------------------


def test_seven_days_of_life_without_proof_are_said(cloud: Cloud) -> None:
    """It runs, but CloudWatch shows no CPUUtilization: people are notified once, and the watch ends."""
    arn = enforced(cloud)
    cloud.clock.move(days=6)
    guard(cloud)
    assert ("enforced", "open") == state(cloud, arn)
    cloud.clock.move(days=1)
    guard(cloud)
    assert ("enforced", "done") == state(cloud, arn)
    current = cloud.current(arn)
    assert "unproven" == current["left_because"]
    assert "its life could not be proved" in current["explanation"]
    assert "revisit_at" in current
    guard(cloud)
    (message,) = [each for each in cloud.published() if "nobody can say" in each["Subject"]]
    assert str(arn) in message["Message"]
    assert ("skip", "already_required", "enforced") == judge_again(cloud, arn)


def test_a_metric_that_cannot_be_read_proves_nothing(cloud: Cloud) -> None:
    """The watch continues until it can be read."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    cloud.metrics.status = "Forbidden"
    assert 0 == guard(cloud).verified
    assert ("enforced", "open") == state(cloud, arn)
    cloud.metrics.status = "Complete"
    assert 1 == guard(cloud).verified


def test_an_account_that_cannot_be_entered_is_waited_for_and_said_after_seven_days(cloud: Cloud) -> None:
    """Seven days without access, whatever the age of the enforcement."""
    arn = enforced(cloud)
    cloud.clock.move(days=5)
    shut = [True]
    cloud.wire.refuse("AssumeRole", "AccessDenied", "no role", when=lambda _: shut[0])
    guard(cloud)
    cloud.clock.move(days=6)
    guard(cloud)
    assert ("enforced", "open") == state(cloud, arn)
    cloud.clock.move(days=1)
    guard(cloud)
    assert ("enforced", "done") == state(cloud, arn)
    assert "cannot be read (AccessDenied to AssumeRole: no role)" in cloud.current(arn)["explanation"]


@pytest.mark.parametrize("code", ["AccessDenied", "RequestLimitExceeded"])
def test_one_look_in_vain_ends_no_watch(cloud: Cloud, code: str) -> None:
    """However old the enforcement; a successful check restarts the seven days."""
    arn, old = enforced(cloud), verified(cloud, account=OTHER)
    cloud.clock.move(days=5)
    shut = [True]
    cloud.wire.refuse(DESCRIBE, code, when=lambda _: shut[0])
    for _ in range(4):
        shut[0] = True
        guard(cloud)
        shut[0] = False
        set_state(cloud, arn, "stopped")
        guard(cloud)
        cloud.clock.move(days=5)
    assert (("enforced", "open"), ("verified", "open")) == (state(cloud, arn), state(cloud, old))
    assert "unseen_since" not in cloud.current(arn)


def test_a_broken_one_that_cannot_be_seen_still_counts_as_broken(cloud: Cloud) -> None:
    """The alarm must not clear because the account is unreachable."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = enforced(cloud)
    reject(cloud, arn)
    assert 1 == guard(cloud).left_broken
    cloud.wire.refuse("AssumeRole", "AccessDenied")
    assert 1 == guard(cloud).left_broken


# --- No longer the service's ---------------------------------------------------------------------------------------


def test_what_somebody_changed_back_is_let_go_and_judged_at_once(cloud: Cloud) -> None:
    """The guard never overrides people; the pipeline says the same."""
    arn = enforced(cloud)
    cloud.clock.move(hours=1)
    cloud.set_options(arn, http_tokens="optional")
    assert 0 == guard(cloud).rolled_back
    assert ("held", "done") == state(cloud, arn)
    assert datetime.fromisoformat(cloud.current(arn)["revisit_at"]) <= cloud.clock()
    assert ("hold", "changed_back", "held") == judge_again(cloud, arn)
    assert 0 == guard(cloud).watched
    assert 1 == len(cloud.changes())


@pytest.mark.parametrize("how", ["terminated", "shutting-down", "unknown"])
def test_what_has_gone_is_let_go(cloud: Cloud, how: str) -> None:
    """Whether or not EC2 still shows the terminated instance."""
    arn = enforced(cloud)
    if how == "unknown":
        cloud.wire.refuse(DESCRIBE, "InvalidInstanceID.NotFound", f"The instance ID '{arn.instance_id}' does not exist")
        guard(cloud)
        assert ("enforced", "open") == state(cloud, arn), "so soon after the change, it may be an old answer"
        cloud.clock.move(minutes=1)
    else:
        set_state(cloud, arn, how)
    guard(cloud)
    assert ("enforced", "done") == state(cloud, arn)
    assert ("skip", "gone", "skipped") == judge_again(cloud, arn)
    looked_for_once_more = how == "unknown"
    assert looked_for_once_more == ("revisit_at" in cloud.current(arn))


def test_a_verified_one_that_goes_is_let_go(cloud: Cloud) -> None:
    """Even though nothing else would evaluate it."""
    arn = verified(cloud)
    set_state(cloud, arn, "terminated")
    guard(cloud)
    assert ("verified", "done") == state(cloud, arn)


def test_a_person_who_clears_what_was_left_broken_begins_its_watch_anew(cloud: Cloud) -> None:
    """Calls rejected until then are settled; later ones count."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = enforced(cloud)
    reject(cloud, arn)
    guard(cloud)
    cloud.policy(mode="enforce")
    cloud.clock.move(minutes=10)
    steer(cloud, clear=named(arn))
    assert (0, 0) == counts(guard(cloud), "rolled_back", "left_broken")
    reject(cloud, arn)
    assert 1 == guard(cloud).rolled_back


# --- Cohorts -------------------------------------------------------------------------------------------------------


def canaries_first(cloud: Cloud, **fields: Any) -> None:
    """A policy in which a tenth goes first, for a day."""
    cloud.policy(**{"mode": "enforce", "canary": {"share": 0.1, "hours": 24}} | fields)


def go(cloud: Cloud, arns: list[InstanceArn]) -> list[InstanceArn]:
    """Process findings of all of them; returns those that then require tokens."""
    cloud.line().run([asked(arn, Source.REVISIT) for arn in arns], "request-1")
    return [arn for arn in arns if cloud.tokens(arn) == "required"]


def observe_use(cloud: Cloud, arns: list[InstanceArn]) -> None:
    """The metric continues, without a call, for those that still allow IMDSv1."""
    hour = int(cloud.clock().timestamp() // 3600)
    for arn in arns:
        cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - 300, hour))


def test_a_clean_canary_opens_its_cohort(cloud: Cloud) -> None:
    """After its hours, the others follow."""
    canaries_first(cloud, watch_hours=72)
    arns = cloud.launch(count=4)
    (canary,) = go(cloud, arns)
    live(cloud, canary, hours=25)
    observe_use(cloud, arns)
    assert [canary] == go(cloud, arns)
    guard(cloud)
    assert ("enforced", "clean_at" in cloud.current(canary)) == (cloud.current(canary)["status"], True)
    assert arns == go(cloud, arns)


def test_a_canary_that_breaks_holds_its_cohort_until_a_person_clears_it(cloud: Cloud) -> None:
    """All that run the same software stay as they are, and their verdicts say why."""
    canaries_first(cloud)
    arns = cloud.launch(count=4)
    (canary,) = go(cloud, arns)
    live(cloud, canary, hours=2)
    reject(cloud, canary)
    assert 1 == guard(cloud).rolled_back
    observe_use(cloud, arns)
    assert [] == go(cloud, arns)
    other = next(arn for arn in arns if arn != canary)
    assert "canary_wait" == cloud.current(other)["reason"]
    assert f"{canary.instance_id}, which runs the same software" in cloud.current(other)["explanation"]


def test_any_instance_that_breaks_holds_what_is_left_of_its_cohort(cloud: Cloud) -> None:
    """Even one that followed a clean canary."""
    canaries_first(cloud)
    arns = cloud.launch(count=3)
    (canary,) = go(cloud, arns)
    live(cloud, canary, hours=25)
    guard(cloud)
    observe_use(cloud, arns)
    assert arns == go(cloud, arns)
    follower = next(arn for arn in arns if arn != canary)
    reject(cloud, follower)
    guard(cloud)
    late = cloud.one()
    assert [] == go(cloud, [late])
    assert follower.instance_id in cloud.current(late)["explanation"]


@pytest.mark.parametrize("fate", ["stopped", "terminated", "unproven"])
def test_a_canary_that_proves_nothing_is_replaced(cloud: Cloud, fate: str) -> None:
    """It stopped, was terminated, or has no CPUUtilization."""
    canaries_first(cloud)
    arns = cloud.launch(count=3)
    (canary,) = go(cloud, arns)
    cloud.clock.move(hours=1)
    match fate:
        case "unproven":
            cloud.clock.move(days=8)
        case _:
            set_state(cloud, canary, fate)
    for _ in range(6):
        guard(cloud)  # What has gone is waited for until its last datapoints must have come.
    observe_use(cloud, arns)
    go(cloud, [arn for arn in arns if arn != canary])
    assert 1 == len([arn for arn in arns if arn != canary and cloud.tokens(arn) == "required"])


def test_a_canary_of_fewer_hours_than_the_watch_is_still_watched_to_its_end(cloud: Cloud) -> None:
    """With more hours than the watch, the canary counts as clean only after all of them."""
    canaries_first(cloud, canary={"share": 0.1, "hours": 48})
    arns = cloud.launch(count=2)
    (canary,) = go(cloud, arns)
    live(cloud, canary, hours=25)
    guard(cloud)
    assert "clean_at" not in cloud.current(canary)
    live(cloud, canary, hours=24)
    guard(cloud)
    assert ("verified", True) == (cloud.current(canary)["status"], "clean_at" in cloud.current(canary))


# --- Places and passes ---------------------------------------------------------------------------------------------


def test_passes_that_overlap_share_the_accounts(cloud: Cloud) -> None:
    """Each account is processed by one of them."""
    for account in (MEMBER, OTHER):
        reject(cloud, enforced(cloud, account=account))
    cloud.clock.move(minutes=5)
    guards = [cloud.guard() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda each: each.run("request-2", lambda: True), guards))
    assert (2, 2, 0) == (
        sum(each.watched for each in done),
        sum(each.rolled_back for each in done),
        sum(each.failed for each in done),
    )


def test_an_account_that_was_just_looked_after_is_left_to_that_pass(cloud: Cloud) -> None:
    """Until the next pass is due."""
    enforced(cloud)
    assert [1, 0, 1] == [guard(cloud).watched, guard(cloud, after=3).watched, guard(cloud, after=2).watched]


def test_a_pass_begins_no_account_that_it_has_no_time_for(cloud: Cloud) -> None:
    """The next pass starts with it."""
    arn = enforced(cloud)
    reject(cloud, arn)
    cloud.clock.move(minutes=5)
    assert 0 == cloud.guard().run("request-2", lambda: False).watched
    assert 1 == cloud.guard().run("request-3", lambda: True).rolled_back


def test_an_instance_that_cannot_be_written_stops_no_other(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """The ledger fails for one instance; the other account is processed, and the log tells of the one."""
    bad, good = enforced(cloud), enforced(cloud, account=OTHER)
    for arn in (bad, good):
        reject(cloud, arn)

    def refuse(call: Call) -> None:
        if str(bad) in str(call.params):
            raise refusal("InternalServerError", "no", call.operation)

    cloud.wire.on("TransactWriteItems", refuse)
    done = guard(cloud)
    assert (2, 1) == (done.watched, done.rolled_back)
    assert [str(bad)] == [each.target for each in caplog.records if each.message == "not written"]  # type: ignore[attr-defined]
    assert ["required", "optional"] == [cloud.tokens(bad), cloud.tokens(good)]


def test_a_region_that_fails_stops_no_other_region(cloud: Cloud) -> None:
    """The Regions of an account are independent."""
    here, there = enforced(cloud), enforced(cloud, region="us-east-1")
    for arn in (here, there):
        reject(cloud, arn)
    cloud.wire.refuse(ASK, "InternalServerError", when=lambda call: call.region == "us-east-1", status=500)
    cloud.wire.refuse(DESCRIBE, "AccessDenied", when=lambda call: call.region == "us-east-1")
    assert 1 == guard(cloud).rolled_back
    assert ["optional", "required"] == [cloud.tokens(here), cloud.tokens(there)]


def test_what_is_being_enforced_again_is_left_to_whoever_does(cloud: Cloud) -> None:
    """Its lease applies to the guard too, also at the end of the earlier watch."""
    arn = enforced(cloud)
    cloud.clock.move(days=2)
    cloud.set_options(arn, http_tokens="optional")
    watch_use(cloud, arn, days=10)

    def die(_: Call) -> None:
        raise Died

    steer(cloud, clear=named(arn))
    cloud.wire.on("CreateTags", die)
    with pytest.raises(Died):
        cloud.line().run([asked(arn, Source.MANUAL)], "request-3")
    assert ("enforcing", "done") == state(cloud, arn)
    cloud.clock.move(seconds=LEASE.total_seconds())
    assert (0, 0) == counts(guard(cloud), "watched", "failed")


def test_an_undo_that_a_person_left_to_the_guard_is_done_by_it(cloud: Cloud) -> None:
    """Even for a verified instance, which nothing else would evaluate; it counts neither as breakage nor for the
    circuit breaker."""
    arn = verified(cloud)
    order = {"by": "ops", "why": "ops asked for it to be put back (request r).", "at": NOW, "request_id": "r"}
    ledger = cloud.ledger()
    ledger.write([change(ledger.read([arn])[arn], undo=order, watch="open")], cloud.clock())
    done = guard(cloud)
    assert (1, 0) == (done.rolled_back, done.left_broken)
    current = cloud.current(arn)
    assert ("rolled_back", "manual", "ops") == (current["status"], current["source"], current["caller"])
    assert ("undone_by_person", "ops") == (current["reason"], current["undone_by"])
    assert not {"undo", "broken_at", "rolled_back_at"} & set(current)
    assert () == cloud.accounts().of(arn).rollbacks


# --- Number of calls -----------------------------------------------------------------------------------------------


def test_a_pass_is_one_look_and_one_page_of_metrics(cloud: Cloud) -> None:
    """For thirty instances under watch in one account and Region: CPUUtilization is requested only if the watch might
    end."""
    arns = cloud.launch(count=30)
    cloud.line().run([asked(arn, Source.CONFIG) for arn in arns], "request-1")
    made = len(cloud.wire.calls)
    assert 30 == guard(cloud).watched
    assert 1 == len([call for call in cloud.wire.calls[made:] if call.operation == DESCRIBE])
    assert [("MetadataNoTokenRejected", 30)] == asked_about(cloud, made)
    live(cloud, *arns, hours=25)
    made = len(cloud.wire.calls)
    assert 30 == guard(cloud).verified
    assert 1 == len([call for call in cloud.wire.calls[made:] if call.operation == DESCRIBE])
    assert [("CPUUtilization", 30), ("MetadataNoTokenRejected", 30)] == asked_about(cloud, made)


def test_a_verified_one_that_did_not_start_costs_no_metric(cloud: Cloud) -> None:
    """Nor a read or write of its item: one description in EC2 is enough."""
    verified(cloud)
    made = len(cloud.wire.calls)
    assert 1 == guard(cloud).watched
    items = {"BatchGetItem", "TransactWriteItems"}
    assert ([], []) == (
        asked_about(cloud, made),
        [call for call in cloud.wire.calls[made:] if call.operation in items and "instance/i-" in str(call.params)],
    )


def test_what_is_left_broken_is_written_once(cloud: Cloud) -> None:
    """However many passes there are."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = enforced(cloud)
    reject(cloud, arn)
    guard(cloud)
    version = cloud.current(arn)["version"]
    guard(cloud)
    assert version == cloud.current(arn)["version"]


def test_the_finding_of_a_verified_one_says_so(cloud: Cloud) -> None:
    """Its note has the current verdict."""
    arn = verified(cloud)
    assert str(cloud.hub.note_on(finding(str(arn)))).startswith(
        "IMDSv1 is off, and nothing has needed it since: enforce (unused)."
    )


def _stop(cloud: Cloud, arn: InstanceArn) -> None:
    set_state(cloud, arn, "stopped")
    cloud.instance(arn)._reason = f"User initiated ({cloud.clock() - timedelta(minutes=1):%Y-%m-%d %H:%M:%S} GMT)"
