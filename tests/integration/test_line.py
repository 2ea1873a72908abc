"""The whole pipeline in process: from a request to the instance, the ledger, the finding and the topic."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from tests.fixtures.events import finding
from tests.integration.builders import HUB, IMAGE, LEASE, MEMBER, NOW, OTHER, REGION, TABLE, arn_of, asked
from tests.integration.guarding import watch_use
from tests.integration.steering import named, steer
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Judgement
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

OUR_TAG = "imdsv2:enforced-at"


def run(cloud: Cloud, arn: InstanceArn, source: Source = Source.CONFIG, **how: Any) -> Judgement:
    """One function instance, once."""
    outcomes = cloud.line().run([asked(arn, source, **how)], "request-1")
    assert {} == outcomes.failed
    return outcomes.judged[arn]


def verdict(judgement: Judgement) -> tuple[str, str, str]:
    """The fields that a person reads first."""
    return str(judgement.verdict.decision), str(judgement.verdict.reason), str(judgement.status)


def revisit_in(cloud: Cloud, arn: InstanceArn) -> timedelta:
    """The time until the ledger schedules the re-evaluation."""
    return datetime.fromisoformat(cloud.current(arn)["revisit_at"]) - cloud.clock()


def within(base: timedelta) -> tuple[timedelta, timedelta]:
    """A wait with its jitter, which never shortens it, and lengthens it by at most a tenth or ten minutes."""
    return base - timedelta(seconds=1), base + min(base / 10, timedelta(minutes=10))


def leave_half_done(cloud: Cloud, arn: InstanceArn, *, at: str = "ModifyInstanceMetadataOptions") -> None:
    """A function dies at that call: the ledger says `enforcing`, and no function continues."""

    class Died(BaseException):
        """Lambda ends the process: no code in it can catch that."""

    dies = [True]

    def die(_: Call) -> None:
        if dies[0]:
            raise Died

    cloud.wire.on(at, die)
    with pytest.raises(Died):
        cloud.line().run([asked(arn, Source.CONFIG)], "request-0")
    dies[0] = False
    assert "enforcing" == cloud.current(arn)["status"]


def test_a_finding_ends_in_an_instance_that_requires_tokens(cloud: Cloud) -> None:
    """The main scenario: one change, its record, its note, its message."""
    arn = cloud.one(hop_limit=2)
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    judgement = run(cloud, arn, Source.SECURITYHUB, finding=failed)
    assert ("enforce", "unused", "enforced") == verdict(judgement)
    assert ("required", {OUR_TAG: "2026-11-20T12:00:00Z"}) == (cloud.tokens(arn), cloud.tags(arn))
    assert [{"InstanceId": arn.instance_id, "HttpTokens": "required"}] == cloud.changes()
    assert ["enforcing", "enforced"] == cloud.history(arn)
    assert "NOTIFIED" == cloud.hub.workflow_of(failed)
    assert "enforce (unused)" in str(cloud.hub.note_on(failed))
    (message,) = cloud.published()
    assert str(arn) in message["Message"]


def test_the_ledger_says_what_was_done_and_why(cloud: Cloud) -> None:
    """Every attribute of the `current` item in the contract."""
    arn = cloud.one(hop_limit=2)
    run(cloud, arn, Source.SECURITYHUB, finding=finding(str(arn)))
    current = cloud.current(arn)
    options = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"}
    expected = {
        "decision": "enforce",
        "reason": "unused",
        "status": "enforced",
        "source": "securityhub",
        "request_id": "request-1",
        "session": "test-session",
        "cohort": f"aws/{MEMBER}/{REGION}/image:{IMAGE}",
        "before": options,
        "after": options | {"HttpTokens": "required"},
        "confirmed": True,
        "watch": "open",
        "enforced_in": f"aws/{MEMBER}",
        "enforced_key": f"open#{current['enforced_at']}",
    }
    assert expected == {name: current[name] for name in expected}
    assert {"decided_at", "revisit_at", "enforced_at", "evidence", "findings"} <= set(current)
    assert not {"lease_until", "owner", "canary"} & set(current)
    assert 839 == current["evidence"]["observed_hours"]


def test_the_ledger_is_written_ahead_of_ec2_with_what_was_there_before(cloud: Cloud) -> None:
    """Nothing is changed before it is written down; the order is a look at it, and at its cohort, ledger, tag, look again, EC2,
    ledger, read back."""
    arn = cloud.one()
    seen: dict[str, Any] = {}
    cloud.wire.on("CreateTags", lambda _: seen.update(cloud.current(arn)))
    run(cloud, arn)
    assert ("enforcing", "optional", "request-1") == (seen["status"], seen["before"]["HttpTokens"], seen["owner"])
    assert LEASE.total_seconds() == pytest.approx((datetime.fromisoformat(seen["lease_until"]) - NOW).total_seconds())
    assert seen["lease_until"] == seen["revisit_at"]
    writing = {"TransactWriteItems", "CreateTags", "ModifyInstanceMetadataOptions", "DescribeInstances", "Publish"}
    order = [call.operation for call in cloud.wire.calls if call.operation in writing]
    assert [
        "DescribeInstances",
        "DescribeInstances",
        "TransactWriteItems",
        "CreateTags",
        "DescribeInstances",
        "ModifyInstanceMetadataOptions",
        "TransactWriteItems",
        "DescribeInstances",
        "Publish",
        "TransactWriteItems",
    ] == order


def test_observe_writes_what_it_would_do_and_changes_nothing(cloud: Cloud) -> None:
    """The default of a new deployment; a later run in `enforce` then acts."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    assert ("enforce", "unused", "would_enforce") == verdict(run(cloud, arn, Source.SECURITYHUB, finding=failed))
    assert ([], {}, ["would_enforce"]) == (cloud.changes(), cloud.tags(arn), cloud.history(arn))
    assert "NEW" == cloud.hub.workflow_of(failed)
    assert "observe" in str(cloud.hub.note_on(failed))
    assert not [call for call in cloud.wire.made("AssumeRole") if "write" in call.params["RoleArn"]]

    cloud.policy(mode="enforce")
    assert "enforced" == run(cloud, arn, Source.REVISIT).status
    assert ["would_enforce", "enforcing", "enforced"] == cloud.history(arn)
    assert "NOTIFIED" == cloud.hub.workflow_of(failed)
    assert "enforce (unused)" in str(cloud.hub.note_on(failed))


@pytest.mark.parametrize("source", [Source.CUSTOM_ACTION, Source.MANUAL])
def test_a_person_who_asks_is_obeyed_in_observe(source: Source, cloud: Cloud) -> None:
    """The person chose this instance."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    assert "enforced" == run(cloud, arn, source).status
    assert "required" == cloud.tokens(arn)


@pytest.mark.parametrize("source", [Source.CONFIG, Source.CUSTOM_ACTION, Source.MANUAL])
def test_off_enforces_nothing_for_anybody(source: Source, cloud: Cloud) -> None:
    """It is recorded, and re-evaluated in a day, or once somebody switches it on."""
    cloud.policy(mode="off")
    arn = cloud.one()
    assert ("hold", "switched_off", "held") == verdict(run(cloud, arn, source))
    assert ("optional", {}) == (cloud.tokens(arn), cloud.tags(arn))
    low, high = within(timedelta(days=1))
    assert low <= revisit_in(cloud, arn) <= high


def test_a_refused_policy_enforces_nothing(cloud: Cloud) -> None:
    """A kill switch with a typo must not leave the service running."""
    run(cloud, cloud.one())
    cloud.raw_policy('{"mode": "of"}')
    arn = cloud.one()
    assert ("hold", "policy_unreadable", "held") == verdict(run(cloud, arn))
    assert "optional" == cloud.tokens(arn)


def test_switching_off_between_ledger_and_ec2_is_obeyed(cloud: Cloud) -> None:
    """Gates are checked again immediately before EC2; work already begun is undone."""
    arn = cloud.one()

    def switch_off(_: Call) -> None:
        cloud.policy(mode="off")
        cloud.clock.move(seconds=61)

    cloud.wire.on("CreateTags", switch_off)
    assert ("hold", "switched_off", "held") == verdict(run(cloud, arn))
    assert ("optional", {}) == (cloud.tokens(arn), cloud.tags(arn))
    assert ["enforcing", "held"] == cloud.history(arn)
    assert "lease_until" not in cloud.current(arn)


def test_going_back_to_observe_between_ledger_and_ec2_is_obeyed(cloud: Cloud) -> None:
    """The same for `observe`."""
    arn = cloud.one()

    def only_watch(_: Call) -> None:
        cloud.policy(mode="observe")
        cloud.clock.move(seconds=61)

    cloud.wire.on("CreateTags", only_watch)
    assert ("enforce", "unused", "would_enforce") == verdict(run(cloud, arn))
    assert ("optional", {}) == (cloud.tokens(arn), cloud.tags(arn))


def test_a_finding_suppressed_in_the_hub_holds_its_instance(cloud: Cloud) -> None:
    """Whatever the event says, because it may be older than the suppression. The service never ends a suppression."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed, workflow="SUPPRESSED")
    assert ("hold", "suppressed", "held") == verdict(run(cloud, arn, Source.SECURITYHUB, finding=failed))
    assert ("optional", "SUPPRESSED") == (cloud.tokens(arn), cloud.hub.workflow_of(failed))


def test_a_stored_finding_that_is_suppressed_by_now_holds_too(cloud: Cloud) -> None:
    """Neither a Config event about the same instance nor a person's request bypasses it."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    run(cloud, arn, Source.SECURITYHUB, finding=failed)
    cloud.policy(mode="enforce")
    cloud.hub.holds(failed, workflow="SUPPRESSED")
    assert ("hold", "suppressed", "held") == verdict(run(cloud, arn, Source.CONFIG))
    assert ("hold", "suppressed", "held") == verdict(run(cloud, arn, Source.MANUAL))


def test_a_finding_suppressed_between_ledger_and_ec2_holds(cloud: Cloud) -> None:
    """The gate is checked again, for the batch, right before EC2."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    cloud.wire.on("CreateTags", lambda _: cloud.hub.holds(failed, workflow="SUPPRESSED"))
    assert ("hold", "suppressed", "held") == verdict(run(cloud, arn, Source.SECURITYHUB, finding=failed))
    assert ("optional", {}) == (cloud.tokens(arn), cloud.tags(arn))


def test_a_custom_action_on_a_suppressed_finding_is_refused_with_a_note(cloud: Cloud) -> None:
    """The person who clicked reads the reason on the finding; it stays suppressed."""
    arn = cloud.one()
    failed = finding(str(arn), Workflow={"Status": "SUPPRESSED"})
    cloud.hub.holds(failed)
    judgement = run(cloud, arn, Source.CUSTOM_ACTION, finding=failed, suppressed=True)
    assert ("hold", "suppressed", "held") == verdict(judgement)
    assert "hold (suppressed)" in str(cloud.hub.note_on(failed))
    assert ("SUPPRESSED", "optional") == (cloud.hub.workflow_of(failed), cloud.tokens(arn))


def test_a_hub_that_cannot_be_asked_holds(cloud: Cloud) -> None:
    """A suppression cannot be ruled out."""
    arn = cloud.one()
    cloud.wire.refuse("GetFindings", "AccessDeniedException")
    judgement = run(cloud, arn, Source.SECURITYHUB, finding=finding(str(arn)))
    assert ("hold", "suppressed", "held") == verdict(judgement)


def test_our_own_echo_is_dropped(cloud: Cloud) -> None:
    """Updating a finding emits a new event of the same state: nothing is evaluated or written."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    run(cloud, arn, Source.SECURITYHUB, finding=failed)
    before = cloud.current(arn)
    cloud.wire.calls.clear()
    outcomes = cloud.line().run([asked(arn, finding=failed)], "request-2")
    assert ({arn}, {}, {}) == (outcomes.echoes, outcomes.judged, outcomes.failed)
    assert before == cloud.current(arn)
    assert {"dynamodb", "ssm"} >= {call.service for call in cloud.wire.calls}


def test_an_older_state_of_a_finding_is_an_echo_and_a_newer_one_is_not(cloud: Cloud) -> None:
    """Events arrive unordered."""
    arn = cloud.one()
    cloud.hub.holds(finding(str(arn)))
    run(cloud, arn, Source.SECURITYHUB, finding=finding(str(arn)))
    older = finding(str(arn), UpdatedAt="2026-11-19T06:00:00.000Z")
    newer = finding(str(arn), UpdatedAt="2026-11-20T06:00:00.001Z")
    assert {arn} == cloud.line().run([asked(arn, finding=older)], "request-2").echoes
    assert "enforced" == run(cloud, arn, Source.SECURITYHUB, finding=newer).status


def test_a_person_is_no_echo(cloud: Cloud) -> None:
    """A custom action on a finding that was answered is answered again."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    run(cloud, arn, Source.SECURITYHUB, finding=failed)
    assert "enforced" == run(cloud, arn, Source.CUSTOM_ACTION, finding=failed).status


def test_a_verdict_is_not_told_twice(cloud: Cloud) -> None:
    """Neither on the finding nor to people, as long as decision and reason stay the same."""
    arn = cloud.one(use=1.0)
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    run(cloud, arn, Source.SECURITYHUB, finding=failed)
    cloud.clock.move(hours=24)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 1], 7.0)
    run(cloud, arn, Source.REVISIT)
    assert (1, 1) == (len(cloud.wire.made("BatchUpdateFindings")), len(cloud.published()))
    assert ["held"] == cloud.history(arn)


def test_a_new_reason_is_told(cloud: Cloud) -> None:
    """The note on the finding is updated."""
    arn = cloud.one(use=1.0)
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    run(cloud, arn, Source.SECURITYHUB, finding=failed)
    cloud.metrics.forget(arn.instance_id)
    run(cloud, arn, Source.REVISIT)
    assert "no_evidence" in str(cloud.hub.note_on(failed))
    assert ["held"] == cloud.history(arn)


def test_a_note_that_is_still_owed_is_written_at_the_next_event(cloud: Cloud) -> None:
    """Security Hub was unavailable at the time of the verdict; the echo adds the missing note."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    cloud.wire.refuse("BatchUpdateFindings", "InternalException", times=1)
    run(cloud, arn, Source.SECURITYHUB, finding=failed)
    assert cloud.hub.note_on(failed) is None
    assert {arn} == cloud.line().run([asked(arn, finding=failed)], "request-2").echoes
    assert "enforce (unused)" in str(cloud.hub.note_on(failed))
    assert (1, 1) == (len(cloud.published()), len(cloud.changes()))


def test_a_message_that_is_still_owed_is_sent_at_the_next_event(cloud: Cloud) -> None:
    """The same for the topic."""
    arn = cloud.one()
    cloud.hub.holds(finding(str(arn)))
    cloud.wire.refuse("Publish", "InternalErrorException", times=1)
    run(cloud, arn, Source.SECURITYHUB, finding=finding(str(arn)))
    cloud.line().run([asked(arn, finding=finding(str(arn)))], "request-2")
    cloud.line().run([asked(arn, finding=finding(str(arn)))], "request-3")
    assert 2 == len(cloud.published())
    assert 1 == len(cloud.wire.made("BatchUpdateFindings"))


def test_every_finding_of_an_instance_gets_the_note(cloud: Cloud) -> None:
    """Each standard sends its own finding, and each is stored for later verdicts."""
    arn = cloud.one()
    standards = [finding(str(arn), standard=name) for name in ("fsbp", "nist", "cis")]
    cloud.hub.holds(*standards)
    outcomes = cloud.line().run([asked(arn, finding=each) for each in standards], "request-1")
    assert [arn] == list(outcomes.judged)
    assert all("enforce (unused)" in str(cloud.hub.note_on(each)) for each in standards)
    assert (1, 1) == (len(cloud.changes()), len(cloud.wire.made("BatchUpdateFindings")))


def test_an_unknown_finding_is_no_failure(cloud: Cloud) -> None:
    """Only the instance matters."""
    arn = cloud.one()
    assert "enforced" == run(cloud, arn, Source.SECURITYHUB, finding=finding(str(arn))).status


def test_already_required_never_replaces_enforced(cloud: Cloud) -> None:
    """A later evaluation completes the record and keeps it, history included."""
    arn = cloud.one()
    run(cloud, arn)
    before = cloud.current(arn)
    cloud.clock.move(hours=24)
    judgement = run(cloud, arn, Source.REVISIT)
    assert ("skip", "already_required") == verdict(judgement)[:2]
    after = cloud.current(arn)
    kept = ("status", "decision", "reason", "enforced_at", "confirmed", "before", "after")
    assert [before[name] for name in kept] == [after[name] for name in kept]
    assert ["enforcing", "enforced"] == cloud.history(arn)
    assert 1 == len(cloud.published())


def put_back(cloud: Cloud, arn: InstanceArn, *, as_far_as: Status = Status.ROLLED_BACK) -> None:
    """Roll back an enforcement, or stop in the middle of that; EC2 shows the previous options."""
    ledger, now = cloud.ledger(), cloud.clock.tick()
    under_way = {"status": Status.ROLLING_BACK, "lease_until": now + LEASE}
    done: dict[str, Any] = {"status": Status.ROLLED_BACK, "decision": "hold", "reason": "broke_before"}
    done |= {"explanation": "It broke.", "rolled_back_at": now, "broken_at": now, "lease_until": None, "watch": "done"}
    for attributes in [under_way, done] if as_far_as is Status.ROLLED_BACK else [under_way]:
        made = change(ledger.read([arn])[arn], **attributes)
        assert set() == ledger.write([made], cloud.clock.tick()).lost
    cloud.set_options(arn, http_tokens="optional")


def test_what_broke_is_held_until_a_person_clears_it(cloud: Cloud) -> None:
    """For every request; the ledger keeps `rolled_back` until the person's clearance."""
    arn = cloud.one()
    run(cloud, arn)
    put_back(cloud, arn)
    for source in (Source.REVISIT, Source.SWEEP, Source.CUSTOM_ACTION, Source.MANUAL):
        cloud.quiet(arn, hours=1)
        assert ("hold", "broke_before", "rolled_back") == verdict(run(cloud, arn, source))
    assert 1 == len(cloud.changes())
    watch_use(cloud, arn, days=1)
    steer(cloud, clear=named(arn))
    assert ("enforce", "unused", "enforced") == verdict(run(cloud, arn, Source.REVISIT))
    assert ["enforcing", "enforced", "rolling_back", "rolled_back", "enforcing", "enforced"] == cloud.history(arn)
    assert "open" == cloud.current(arn)["watch"]


def test_what_somebody_closed_again_after_a_rollback_stays_recorded_as_rolled_back(cloud: Cloud) -> None:
    """The service did not require tokens: the guard does not watch it, and if tokens became optional again, it would
    be held as before."""
    arn = cloud.one()
    run(cloud, arn)
    put_back(cloud, arn)
    cloud.set_options(arn, http_tokens="required")
    assert ("skip", "already_required", "rolled_back") == verdict(run(cloud, arn, Source.REVISIT))
    current = cloud.current(arn)
    assert ("broke_before", "done") == (current["reason"], current["watch"])
    cloud.set_options(arn, http_tokens="optional")
    assert ("hold", "broke_before", "rolled_back") == verdict(run(cloud, arn, Source.REVISIT))


def test_an_exemption_outweighs_an_earlier_breakage_and_does_not_end_it(cloud: Cloud) -> None:
    """Row 6 comes before row 9; after the exemption, the breakage holds it again."""
    arn = cloud.one()
    run(cloud, arn)
    put_back(cloud, arn)
    cloud.tag(arn, **{"imdsv2:exempt-until": "2026-11-21"})
    assert ("skip", "exempt", "skipped") == verdict(run(cloud, arn, Source.REVISIT))
    cloud.clock.move(days=3)
    assert ("hold", "broke_before", "held") == verdict(run(cloud, arn, Source.REVISIT))


@pytest.mark.parametrize("after", [timedelta(), LEASE, timedelta(days=2)], ids=["at-once", "lease-over", "days-later"])
def test_nobody_judges_an_instance_that_is_being_put_back(after: timedelta, cloud: Cloud) -> None:
    """Not even after the lease: the guard finishes abandoned rollbacks. The finding waits for its note."""
    arn = cloud.one()
    run(cloud, arn)
    put_back(cloud, arn, as_far_as=Status.ROLLING_BACK)
    cloud.clock.move(seconds=after.total_seconds())
    late = finding(str(arn))
    cloud.hub.holds(late)
    cloud.wire.calls.clear()
    assert ("hold", "broke_before", "rolling_back") == verdict(run(cloud, arn, Source.SECURITYHUB, finding=late))
    assert not [call for call in cloud.wire.calls if call.service == "ec2"]
    assert [late["Id"]] == [each["id"] for each in cloud.current(arn)["findings"].values()]
    assert cloud.hub.note_on(late) is None
    (cleared,) = steer(cloud, clear=named(arn))
    assert not cleared["done"]
    assert "cleared_at" not in cloud.current(arn)


def test_what_is_verified_is_not_looked_at_again(cloud: Cloud) -> None:
    """A late finding leaves the record unchanged."""
    arn = cloud.one()
    run(cloud, arn)
    ledger = cloud.ledger()
    verified = {"status": Status.VERIFIED, "verified_at": cloud.clock.tick(), "revisit_at": None}
    ledger.write([change(ledger.read([arn])[arn], **verified)], cloud.clock.tick())
    cloud.clock.move(hours=24)
    assert ("skip", "already_required", "verified") == verdict(run(cloud, arn, Source.SECURITYHUB))
    current = cloud.current(arn)
    assert ("verified", "enforce", "unused", "open") == tuple(
        current[name] for name in ("status", "decision", "reason", "watch")
    )
    assert not {"revisit_at", "revisit_shard"} & set(current)


def test_an_instance_that_somebody_else_closed_is_skipped_for_good(cloud: Cloud) -> None:
    """No action, no notification, no re-evaluation."""
    arn = cloud.one(tokens="required")
    assert ("skip", "already_required", "skipped") == verdict(run(cloud, arn))
    assert "revisit_at" not in cloud.current(arn)
    assert [] == cloud.published()


def test_what_somebody_made_optional_again_is_not_fought(cloud: Cloud) -> None:
    """Right after the service's change, EC2 may still be applying it; later, it is a person's decision, until it is
    cleared."""
    arn = cloud.one()
    run(cloud, arn)
    cloud.set_options(arn, http_tokens="optional")
    cloud.clock.move(minutes=9)
    assert ("hold", "not_ready", "enforced") == verdict(run(cloud, arn, Source.REVISIT))
    cloud.clock.move(minutes=15)
    assert ("hold", "changed_back", "held") == verdict(run(cloud, arn, Source.REVISIT))
    assert ("hold", "changed_back", "held") == verdict(run(cloud, arn, Source.MANUAL))
    assert (1, "open") == (len(cloud.changes()), cloud.current(arn)["watch"]), "the guard lets it go"
    steer(cloud, clear=named(arn))
    assert "enforced" == run(cloud, arn, Source.REVISIT).status
    assert 2 == len(cloud.changes())


def test_what_was_cleared_and_enforced_again_is_not_fought_either(cloud: Cloud) -> None:
    """The clearance voids the enforcements before it, not its own."""
    arn = cloud.one()
    run(cloud, arn)
    cloud.clock.move(hours=1)
    cloud.set_options(arn, http_tokens="optional")
    steer(cloud, clear=named(arn))
    assert "enforced" == run(cloud, arn, Source.REVISIT).status
    cloud.clock.move(hours=1)
    cloud.set_options(arn, http_tokens="optional")
    assert ("hold", "changed_back", "held") == verdict(run(cloud, arn))


def test_nobody_touches_an_instance_that_somebody_is_enforcing(cloud: Cloud) -> None:
    """During the lease, the finding is left to the lease's owner, and the request is answered."""
    arn = cloud.one()
    leave_half_done(cloud, arn)
    late = finding(str(arn))
    cloud.hub.holds(late)
    cloud.wire.calls.clear()
    cloud.clock.move(seconds=LEASE.total_seconds() - 1)
    assert "enforcing" == run(cloud, arn, Source.SECURITYHUB, finding=late).status
    assert not [call for call in cloud.wire.calls if call.service == "ec2"]
    assert [late["Id"]] == [each["id"] for each in cloud.current(arn)["findings"].values()]


def test_what_was_left_half_done_before_ec2_is_judged_anew_after_the_lease(cloud: Cloud) -> None:
    """From the first row; its findings get their note although their messages are long gone."""
    arn = cloud.one()
    leave_half_done(cloud, arn)
    late = finding(str(arn))
    cloud.hub.holds(late)
    run(cloud, arn, Source.SECURITYHUB, finding=late)
    cloud.clock.move(seconds=LEASE.total_seconds())
    due = cloud.ledger().indexes.due(cloud.clock(), 10)
    assert [arn] == list(due)
    assert ("enforce", "unused", "enforced") == verdict(run(cloud, arn, Source.REVISIT))
    assert ["enforcing", "enforced"] == cloud.history(arn)
    assert cloud.current(arn)["confirmed"] is True
    assert "enforce (unused)" in str(cloud.hub.note_on(late))


def test_what_was_left_half_done_after_ec2_is_the_services_own(cloud: Cloud) -> None:
    """EC2 shows what was asked for, with the tag that is written before: it is counted from when EC2 was about to be asked."""
    arn = cloud.one()
    leave_half_done(cloud, arn)
    cloud.set_options(arn, http_tokens="required")
    cloud.clock.move(seconds=LEASE.total_seconds())
    judgement = run(cloud, arn, Source.REVISIT)
    current = cloud.current(arn)
    assert ("enforced", True) == (current["status"], current["confirmed"])
    assert current["enforcing_at"] == current["enforced_at"]
    assert ("enforce", "unused") == (current["decision"], current["reason"])
    assert "optional" == current["before"]["HttpTokens"]
    assert "enforced" == judgement.status
    assert OUR_TAG in cloud.tags(arn)
    assert "open" == current["watch"]
    assert "lease_until" not in current
    assert ["enforcing", "enforced"] == cloud.history(arn)


@pytest.mark.parametrize("elsewhere", ["without the tag", "with another hop limit"])
def test_what_somebody_else_may_have_done_is_not_confirmed(elsewhere: str, cloud: Cloud) -> None:
    """The service tags first, and changes nothing else; it is watched all the same."""
    arn = cloud.one()
    leave_half_done(cloud, arn)
    cloud.set_options(arn, http_tokens="required")
    if elsewhere == "without the tag":
        cloud.as_account(MEMBER, "ec2").delete_tags(Resources=[arn.instance_id], Tags=[{"Key": OUR_TAG}])
    else:
        cloud.set_options(arn, http_put_response_hop_limit="2")
    cloud.clock.move(seconds=LEASE.total_seconds())
    run(cloud, arn, Source.REVISIT)
    current = cloud.current(arn)
    assert ("enforced", False, "open") == (current["status"], current["confirmed"], current["watch"])


def test_what_was_seen_required_and_is_optional_again_was_opened_by_somebody(cloud: Cloud) -> None:
    """Whoever required it: an enforcement that nobody can confirm may have been a person's."""
    arn = cloud.one()
    leave_half_done(cloud, arn)
    cloud.set_options(arn, http_tokens="required")
    cloud.clock.move(seconds=LEASE.total_seconds())
    run(cloud, arn, Source.REVISIT)
    cloud.set_options(arn, http_tokens="optional")
    cloud.clock.move(hours=1)
    assert ("held", "changed_back") == (
        (judged := run(cloud, arn, Source.REVISIT)).status,
        judged.verdict.reason,
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cloud, arn: cloud.policy(mode="off"), "switched_off"),
        (lambda cloud, arn: cloud.metrics.forget(arn.instance_id), "no_evidence"),
        (lambda cloud, arn: cloud.tag(arn, reviewed_until="x"), None),
        (lambda cloud, arn: cloud.set_options(arn, http_endpoint="disabled"), "endpoint_disabled"),
        (lambda cloud, arn: cloud.policy(mode="enforce", exempt_tag="on-trial"), "exempt"),
    ],
    ids=["off", "evidence", "unrelated-tag", "endpoint", "exempt"],
)
def test_a_tag_left_behind_is_removed_where_the_takeover_does_not_enforce(
    change: Any, reason: str | None, cloud: Cloud
) -> None:
    """The tag would claim an enforcement that does not exist."""
    arn = cloud.one(tags={"on-trial": "2026-12-31"})
    leave_half_done(cloud, arn)
    assert OUR_TAG in cloud.tags(arn)
    change(cloud, arn)
    cloud.clock.move(seconds=LEASE.total_seconds())
    judgement = run(cloud, arn, Source.REVISIT)
    assert (reason or "unused") == judgement.verdict.reason
    assert (reason is None) == (OUR_TAG in cloud.tags(arn))


def test_a_tag_left_behind_is_removed_where_the_takeover_cannot_tag_anew(cloud: Cloud) -> None:
    """What cannot be tagged is not changed, and the earlier tag goes."""
    arn = cloud.one()
    leave_half_done(cloud, arn)
    cloud.wire.refuse("CreateTags", "RequestLimitExceeded", status=503)
    cloud.clock.move(seconds=LEASE.total_seconds())
    assert "held" == run(cloud, arn, Source.REVISIT).status
    assert OUR_TAG not in cloud.tags(arn)


def test_a_call_that_timed_out_is_taken_over_after_the_lease(cloud: Cloud) -> None:
    """EC2 may have applied it: it stays `enforcing`, and the takeover reads the options."""
    arn = cloud.one()

    def time_out(_: Call) -> None:
        cloud.set_options(arn, http_tokens="required")
        raise ReadTimeoutError(endpoint_url="https://ec2")

    cloud.wire.on("ModifyInstanceMetadataOptions", time_out)
    assert "enforcing" == run(cloud, arn).status
    assert "enforcing" == cloud.current(arn)["status"]
    cloud.clock.move(seconds=LEASE.total_seconds())
    run(cloud, arn, Source.REVISIT)
    current = cloud.current(arn)
    assert ("enforced", True) == (current["status"], current["confirmed"])


def test_what_ec2_refuses_is_recorded_as_failed_with_its_code(cloud: Cloud) -> None:
    """People are notified, and the service's tag is removed."""
    arn = cloud.one()
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "UnauthorizedOperation", "not you")
    judgement = run(cloud, arn)
    current = cloud.current(arn)
    assert ("enforce", "unused", "failed") == verdict(judgement)
    assert {"code": "UnauthorizedOperation", "message": "not you"} == current["error"]
    assert ["enforcing", "failed"] == cloud.history(arn)
    assert {} == cloud.tags(arn)
    assert "could not" in cloud.published()[0]["Subject"]


def test_a_write_role_that_is_missing_holds_before_anything_is_written(cloud: Cloud) -> None:
    """Row 2: the account cannot be changed."""
    arn = cloud.one()
    cloud.wire.refuse("AssumeRole", "AccessDenied", when=lambda call: "write" in call.params["RoleArn"])
    assert ("hold", "unreachable", "held") == verdict(run(cloud, arn))
    assert ["held"] == cloud.history(arn)


def test_one_account_without_its_role_does_not_stop_the_others(cloud: Cloud) -> None:
    """Accounts and Regions fail independently."""
    reachable, unreachable, there = cloud.one(), cloud.one(account=OTHER), cloud.one(region="us-east-1")
    own = cloud.one(account=HUB)
    cloud.wire.refuse("AssumeRole", "AccessDenied", when=lambda call: OTHER in call.params["RoleArn"])
    requests = [asked(arn, Source.CONFIG) for arn in (unreachable, reachable, there, own)]
    outcomes = cloud.line().run(requests, "request-1")
    assert ("hold", "unreachable", "held") == verdict(outcomes.judged[unreachable])
    assert ["enforced"] * 3 == [str(outcomes.judged[arn].status) for arn in (reachable, there, own)]


def test_a_group_in_which_something_breaks_fails_alone_and_may_come_again(cloud: Cloud) -> None:
    """After an unexpected exception, its requests are retried; the others are done."""
    broken, fine = cloud.one(account=OTHER), cloud.one()

    def break_down(call: Call) -> None:
        if any(broken.account in str(each) for each in call.params["TransactItems"]):
            raise RuntimeError("nobody foresaw this")

    cloud.wire.on("TransactWriteItems", break_down)
    outcomes = cloud.line().run([asked(arn, Source.CONFIG) for arn in (broken, fine)], "request-1")
    assert [broken] == list(outcomes.failed)
    assert "enforced" == outcomes.judged[fine].status


def test_an_item_that_nobody_can_work_on_holds_up_only_itself(cloud: Cloud) -> None:
    """A defect that one instance causes is logged and retried; the others of its account and Region get their
    verdicts."""
    broken, *fine = [cloud.one() for _ in range(5)]
    unheard_of = {"pk": {"S": str(broken)}, "sk": {"S": "current"}, "status": {"S": "paused"}, "version": {"N": "1"}}
    cloud.client("dynamodb").put_item(TableName=TABLE, Item=unheard_of)
    outcomes = cloud.line().run([asked(arn, Source.CONFIG) for arn in (*fine, broken)], "request-1")
    assert [broken] == list(outcomes.failed)
    assert ["enforced"] * 4 == [str(outcomes.judged[arn].status) for arn in fine]


def test_an_account_out_of_scope_is_never_entered(cloud: Cloud) -> None:
    """Row 1 is decided before the account is read."""
    cloud.policy(mode="enforce", exclude_accounts=[MEMBER])
    arn = cloud.one()
    cloud.wire.calls.clear()
    assert ("skip", "out_of_scope", "skipped") == verdict(run(cloud, arn))
    assert not cloud.wire.made("AssumeRole", "DescribeInstances")


def test_one_missing_instance_does_not_hold_up_the_others(cloud: Cloud) -> None:
    """It is gone, and looked for once more; the others get their verdicts."""
    arn, gone = cloud.one(), arn_of("404")
    outcomes = cloud.line().run([asked(each, Source.CONFIG) for each in (gone, arn)], "request-1")
    assert ("skip", "gone", "skipped") == verdict(outcomes.judged[gone])
    assert "enforced" == outcomes.judged[arn].status
    assert "missing_since" in cloud.current(gone)
    assert revisit_in(cloud, gone) <= timedelta(minutes=17)


def test_evidence_that_is_not_complete_changes_nothing(cloud: Cloud) -> None:
    """Unknown is not zero."""
    cloud.metrics.status = "Forbidden"
    arn = cloud.one()
    assert ("hold", "evidence_incomplete", "held") == verdict(run(cloud, arn))
    assert [] == cloud.changes()


def test_motos_own_cloudwatch_leads_to_the_same_verdicts(cloud: Cloud) -> None:
    """This compares the fake CloudWatch of the other tests with moto's."""
    cloud.policy(mode="enforce", lookback_days=3, min_observed_hours=24)
    cloud.metrics.status = None
    unused, used, silent = (
        cloud.one(days=3, observed=False, tags={"aws:autoscaling:groupName": name}) for name in ("a", "b", "c")
    )
    for arn, value in ((unused, 0.0), (used, 2.0)):
        cloud.as_account(MEMBER, "cloudwatch").put_metric_data(
            Namespace="AWS/EC2",
            MetricData=[
                {
                    "MetricName": "MetadataNoToken",
                    "Dimensions": [{"Name": "InstanceId", "Value": arn.instance_id}],
                    "Timestamp": NOW - timedelta(hours=hours, minutes=-1),
                    "Value": value,
                }
                for hours in range(1, 73)
            ],
        )
        cloud.as_account(MEMBER, "cloudwatch").put_metric_data(
            Namespace="AWS/EC2",
            MetricData=[
                {
                    "MetricName": "MetadataNoToken",
                    "Dimensions": [{"Name": "InstanceId", "Value": arn.instance_id}],
                    "Timestamp": NOW - timedelta(hours=72, minutes=-5 * number),
                    "Value": 0.0,
                }
                for number in range(24)
            ],
        )
    outcomes = cloud.line().run([asked(arn, Source.CONFIG) for arn in (unused, used, silent)], "request-1")
    assert ["unused", "v1_in_use", "no_evidence"] == [
        str(outcomes.judged[arn].verdict.reason) for arn in (unused, used, silent)
    ]
    assert 144 == cloud.current(used)["evidence"]["tokenless_calls"]


@pytest.mark.parametrize(
    ("how", "reason", "wait"),
    [
        ({"use": 1.0}, "v1_in_use", timedelta(hours=24)),
        ({"observed": False}, "no_evidence", timedelta(hours=24)),
        ({"endpoint": "disabled"}, "endpoint_disabled", timedelta(hours=24)),
        ({"tags": {"imdsv2:exempt-until": "2026-11-21"}}, "exempt", timedelta(hours=36)),
        ({"tags": {"imdsv2:exempt-until": "soon"}}, "exemption_unreadable", timedelta(hours=24)),
        ({"days": 2}, "too_young", timedelta(hours=120)),
    ],
)
def test_every_hold_is_judged_anew_when_the_contract_says(
    how: dict[str, Any], reason: str, wait: timedelta, cloud: Cloud
) -> None:
    """With jitter, and never earlier."""
    arn = cloud.one(**how)
    assert reason == run(cloud, arn).verdict.reason
    low, high = within(wait)
    assert low <= revisit_in(cloud, arn) <= high


def test_would_enforce_is_judged_anew_daily(cloud: Cloud) -> None:
    """Where someone switches to `enforce`, that makes it due."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    run(cloud, arn)
    low, high = within(timedelta(days=1))
    assert low <= revisit_in(cloud, arn) <= high


def test_an_instance_that_is_starting_is_judged_anew_soon(cloud: Cloud) -> None:
    """And so is one that EC2 throttles."""
    arn, throttled = cloud.one(), cloud.one(account=OTHER)
    cloud.instance(arn)._state.name = "pending"
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", when=lambda call: call.account == OTHER)
    assert ("hold", "not_ready", "held") == verdict(run(cloud, arn))
    assert ("hold", "unreachable", "held") == verdict(run(cloud, throttled))
    low, high = within(timedelta(minutes=15))
    assert low <= revisit_in(cloud, arn) <= high
    assert low <= revisit_in(cloud, throttled) <= high


def test_duplicates_in_one_batch_are_one_case(cloud: Cloud) -> None:
    """Config and Security Hub report the same instance within milliseconds."""
    arn = cloud.one()
    failed = finding(str(arn))
    requests = [asked(arn, finding=failed), asked(arn, Source.CONFIG), asked(arn, finding=failed)]
    assert [arn] == list(cloud.line().run(requests, "request-1").judged)
    assert (1, ["enforcing", "enforced"]) == (len(cloud.changes()), cloud.history(arn))


def test_an_item_is_what_other_programs_can_read(cloud: Cloud) -> None:
    """Every attribute has a plain JSON value, and times are in UTC."""
    arn = cloud.one()
    run(cloud, arn, Source.SECURITYHUB, finding=finding(str(arn)))
    current = json.loads(json.dumps(cloud.current(arn), default=float))
    times = [current[name] for name in ("decided_at", "revisit_at", "enforced_at")]
    assert all(each.endswith("Z") for each in times)
    assert REGION == next(iter(current["findings"].values()))["region"]
