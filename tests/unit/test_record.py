"""The ledger entry after a judgement: what is written, what is kept, and when the instance is re-evaluated."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain import lifecycle
from imdsv2.domain.instance import Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Digest, Policy
from imdsv2.domain.request import Finding, Source
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.record import Record
from imdsv2.line import record as recording
from imdsv2.line.verdict_record import Signature
from tests.unit.builders import (
    NOW,
    arn,
    at,
    evidence,
    finding,
    instance,
    judgement,
    options,
    refused,
    request,
    start,
    unseen_start,
    use,
    verdict,
)
from tests.world.records import attributes_of, changed, record_with

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2.ledger.change import Change
    from imdsv2.line.judgement import Judgement

SIGNATURE = Signature(request_id="request-1", session="session-1")
LEASE = timedelta(seconds=360)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def record(status: Status, *, findings: Iterable[Finding] = (), **attributes: Any) -> Record:
    """An item as read from the ledger."""
    defaults = {"status": status, "decision": "enforce", "reason": "unused"}
    known = Record(arn=arn(), version=3, findings={key_of(each): each for each in findings})
    return record_with(known, **(defaults | attributes))


def final(judged: Judgement, now: datetime = NOW) -> Change:
    """The item written at the end; the ledger accepts it."""
    change = recording.final(judged, SIGNATURE, now, Digest.OFF)
    lifecycle.check(judged.record.status, str(change.applied().status))
    return change


# --- Before the call to EC2 ----------------------------------------------------------------------------------------


def test_ahead_of_ec2_the_ledger_knows_what_was_there_who_acts_and_until_when() -> None:
    """The item is due exactly when the lease ends, so that the work of a function that died is taken over."""
    judged = judgement(target=instance(image_id="ami-1"))
    change = recording.enforcing(judged, SIGNATURE, LEASE, NOW)
    expected = {
        "status": "enforcing",
        "decision": "enforce",
        "reason": "unused",
        "before": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "after": None,
        "owner": "request-1",
        "request_id": "request-1",
        "session": "session-1",
        "cohort": "aws/222222222222/eu-west-1/image:ami-1",
        "canary": False,
        "enforcing_at": NOW,
        "lease_until": NOW + LEASE,
        "revisit_at": NOW + LEASE,
        "decided_at": NOW,
        "source": "securityhub",
    }
    assert expected == {name: getattr(change.after, name) for name in expected}
    assert "enforced_at" not in changed(change)


def test_ahead_of_ec2_a_canary_is_known_for_one() -> None:
    """The guard watches it on behalf of its cohort, too."""
    assert True is recording.enforcing(judgement(canary=True), SIGNATURE, LEASE, NOW).after.canary


def test_ahead_of_ec2_an_approval_is_spent() -> None:
    """The next attempt needs a new approval; the name of the approver is kept."""
    approval = {"word": "approved", "by": "alice", "request_id": "request-0", "at": "2026-11-20T10:00:00.000000Z"}
    known = record(Status.HELD, approval=approval)
    written = recording.enforcing(judgement(record=known), SIGNATURE, LEASE, NOW).applied()
    assert "alice, request request-0" == written.approved_by
    assert written.approval is None


@pytest.mark.parametrize(("status", "is_over"), [(Status.ENFORCED, True), (Status.HELD, False), (Status.FAILED, False)])
def test_a_notice_is_over_once_the_change_is_made(status: Status, is_over: bool) -> None:
    """The next change needs a new notice; a change that was stopped before EC2, or refused there, keeps its notice."""
    known = record(Status.HELD, notice_ends_at="2026-11-20T12:00:00.000000Z")
    ahead = recording.enforcing(judgement(record=known), SIGNATURE, LEASE, NOW).applied()
    ended = recording.final(judgement(record=ahead, status=status), SIGNATURE, NOW, Digest.OFF).applied()
    assert is_over == (ended.notice_ends_at is None)


@pytest.mark.parametrize(
    "approval",
    [
        {},
        {"approval": {"word": "refused", "by": "bob", "request_id": "request-2", "at": "2026-11-20T10:00:00.000000Z"}},
    ],
)
def test_ahead_of_ec2_nobody_approved_what_needed_no_approval(approval: dict[str, Any]) -> None:
    """A change without approval carries neither the approver nor the refuser of an earlier change."""
    known = record(Status.HELD, approved_by="alice, request request-0", **approval)
    written = recording.enforcing(judgement(record=known), SIGNATURE, LEASE, NOW).applied()
    assert not {"approval", "approved_by"} & attributes_of(written).keys()


def test_ahead_of_ec2_no_finding_counts_as_answered() -> None:
    """If the function dies now, the finding's next event is not dropped as an echo."""
    (written,) = recording.enforcing(judgement(), SIGNATURE, LEASE, NOW).findings
    assert finding().id == written.id
    assert written.updated_at is None


def test_ahead_of_ec2_a_known_finding_keeps_its_state() -> None:
    """Findings already answered stay answered."""
    known = record(Status.HELD, findings=[finding()])
    assert () == recording.enforcing(judgement(record=known), SIGNATURE, LEASE, NOW).findings


# --- The end -------------------------------------------------------------------------------------------------------


def test_an_enforcement_is_recorded_with_its_time_and_what_ec2_shows() -> None:
    """From then on, the instance counts as enforced by the service, and the lease is released."""
    after = options(http_tokens="required", state="applied")
    change = final(judgement(record=record(Status.ENFORCING), status=Status.ENFORCED, after=after))
    expected = {
        "status": "enforced",
        "enforced_at": NOW,
        "confirmed": True,
        "after": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "owner": None,
        "lease_until": None,
        "changed_at": NOW,
    }
    assert expected == {name: getattr(change.after, name) for name in expected}
    assert NOW + DAY <= (change.after.revisit_at or NOW) <= NOW + DAY + timedelta(minutes=10)
    assert "before" not in changed(change)


def test_an_enforcement_is_watched_from_the_beginning() -> None:
    """State from the watch of an earlier enforcement is dropped."""
    earlier: dict[str, Any] = dict.fromkeys(("restarted_at", "verified_at", "clean_at"), "2026-11-01T00:00:00.000000Z")
    known = record(Status.ENFORCING, watch="done", canary_lost=True, left_because="Its tag is gone.", **earlier)
    written = final(judgement(record=known, status=Status.ENFORCED, after=options(http_tokens="required"))).applied()
    assert written.is_watched
    assert not {*earlier, "canary_lost", "left_because"} & attributes_of(written).keys()


@pytest.mark.parametrize("before", [Status.ENFORCED, Status.VERIFIED])
@pytest.mark.parametrize("status", [Status.HELD, Status.SKIPPED, Status.WOULD_ENFORCE])
def test_what_is_no_longer_as_we_left_it_is_not_watched_any_more(before: Status, status: Status) -> None:
    """The guard has nothing to do; the instance is judged like any other."""
    watched = record(before, watch="open", enforced_at="2026-11-01T00:00:00.000000Z")
    assert "done" == final(judgement(record=watched, status=status)).after.watch
    over = record(before, watch="done", enforced_at="2026-11-01T00:00:00.000000Z")
    assert "watch" not in changed(final(judgement(record=over, status=status)))


@pytest.mark.parametrize(
    ("before", "status"),
    [
        (Status.ENFORCED, Status.HELD),
        (Status.VERIFIED, Status.HELD),
        (Status.ROLLED_BACK, Status.ROLLED_BACK),
        (Status.ENFORCED, Status.SKIPPED),
        (Status.ENFORCED, Status.WOULD_ENFORCE),
        (Status.ENFORCING, Status.FAILED),
    ],
)
def test_what_was_not_enforced_gets_no_time_of_enforcement(before: Status, status: Status) -> None:
    """The data of earlier enforcements is not changed."""
    change = final(judgement(record=record(before, enforced_at="2026-11-01T00:00:00.000000Z"), status=status))
    assert not {"enforced_at", "confirmed", "cleared_at", "before", "after"} & changed(change).keys()
    assert status == change.after.status


def test_the_verdict_is_recorded_with_its_reasons() -> None:
    """Everything that a person needs when reading the item."""
    asked = request(source=Source.MANUAL, finding=None, caller="alice")
    held = verdict(decision=Decision.HOLD, reason=Reason.V1_IN_USE, explanation="3 IMDSv1 calls.")
    error = {"code": "X", "message": "x"}
    change = final(judgement(asked, verdict=held, status=Status.HELD, error=error, evidence=evidence()))
    expected = {
        "decision": "hold",
        "reason": "v1_in_use",
        "explanation": "3 IMDSv1 calls.",
        "source": "manual",
        "caller": "alice",
        "request_id": "request-1",
        "session": "session-1",
        "decided_at": NOW,
        "error": error,
    }
    assert expected == {name: getattr(change.after, name) for name in expected}
    assert 839 == (change.after.evidence or {})["observed_hours"]


def test_a_person_s_request_names_the_source_of_a_shared_verdict() -> None:
    """If a finding and a person ask in the same batch, the person's request determines how far the service may go."""
    change = final(judgement(request(), request(source=Source.CUSTOM_ACTION), status=Status.HELD))
    assert Source.CUSTOM_ACTION == change.after.source


@pytest.mark.parametrize(
    ("status", "reason", "changes"),
    [
        (Status.WOULD_ENFORCE, Reason.UNUSED, False),
        (Status.HELD, Reason.UNUSED, True),
        (Status.WOULD_ENFORCE, Reason.V1_IN_USE, True),
    ],
)
def test_only_another_verdict_is_news(status: Status, reason: Reason, changes: bool) -> None:
    """Notes and messages are owed from `changed_at` on; repeating the same verdict owes none."""
    change = final(judgement(record=record(Status.WOULD_ENFORCE), status=status, verdict=verdict(reason=reason)))
    assert changes is ("changed_at" in changed(change))


# --- What the evidence proved --------------------------------------------------------------------------------------


def test_a_start_that_was_proved_is_kept() -> None:
    """Its metrics age, the proof does not: whatever the verdict is otherwise."""
    held = verdict(decision=Decision.HOLD, reason=Reason.TOO_YOUNG)
    written = final(judgement(record=record(Status.HELD), verdict=held, status=Status.HELD)).applied()
    assert start().at == written.proved_start == written.history.proved_start


@pytest.mark.parametrize(
    "fields",
    [
        {"start": unseen_start()},
        {"start": start(calls=1)},
        {"start": None},
        {"use": use()},
        {"refused": refused()},
        {"problem": "CloudWatch answered PartialData"},
    ],
)
def test_what_is_not_proved_takes_no_earlier_proof_away(fields: dict[str, Any]) -> None:
    """It is that of another start, or of the same one before its metrics were forgotten."""
    known = record(Status.HELD, proved_start="2026-10-01T08:00:00.000000Z")
    for seen in (evidence(**fields), None):
        written = final(judgement(record=known, evidence=seen, status=Status.HELD)).applied()
        assert at("2026-10-01 08:00") == written.proved_start
    assert final(judgement(evidence=evidence(**fields), status=Status.HELD)).applied().proved_start is None


# --- Already required ----------------------------------------------------------------------------------------------

ALREADY = verdict(decision=Decision.SKIP, reason=Reason.ALREADY_REQUIRED, revisit_at=None)
REQUIRED = instance(options=options(http_tokens="required"))


def test_an_enforcement_left_half_done_is_completed_unconfirmed() -> None:
    """The enforcing function died; EC2 shows the intended options, but a person may have set them."""
    taken_over = judgement(record=record(Status.ENFORCING), verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)
    written = final(taken_over).applied()
    expected = {"status": "enforced", "decision": "enforce", "reason": "unused"}
    assert expected == {name: getattr(written, name) for name in expected}
    assert (NOW, False) == (written.history.enforced_at, written.history.confirmed)
    assert "required" == (written.after or {})["HttpTokens"]
    assert not {"owner", "lease_until"} & attributes_of(written).keys()
    assert written.changed_at is not None
    assert written.is_watched


@pytest.mark.parametrize("status", [Status.ENFORCED, Status.VERIFIED, Status.ROLLED_BACK])
def test_what_we_did_is_not_replaced_by_what_it_brought_about(status: Status) -> None:
    """`already_required` afterwards results from the service's own change, or from someone requiring tokens again
    after a rollback."""
    history: dict[str, Any] = {"enforced_at": "2026-11-18T00:00:00.000000Z", "confirmed": True}
    if status is Status.ROLLED_BACK:
        history["rolled_back_at"] = "2026-11-19T00:00:00.000000Z"
    known = record(status, watch="open", **history)
    change = final(judgement(record=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED))
    written = change.applied()
    assert (status, "enforce", "unused") == (
        written.status,
        written.decision,
        written.reason,
    )
    assert replace(known.history, required_seen_at=NOW) == written.history
    assert not {"changed_at", "watch", "after"} & changed(change).keys()


@pytest.mark.parametrize("status", [Status.ENFORCED, Status.ROLLED_BACK])
def test_what_we_did_is_looked_at_again(status: Status) -> None:
    """Someone may change it back, and there may be no finding that reports it."""
    change = final(judgement(record=record(status), verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED))
    assert NOW + DAY <= (change.after.revisit_at or NOW) <= NOW + DAY + timedelta(minutes=10)


def test_what_is_verified_is_not_judged_anew() -> None:
    """It has proved that it needs no IMDSv1."""
    known = record(Status.VERIFIED, revisit_at="2026-11-19T00:00:00.000000Z")
    written = final(judgement(record=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)).applied()
    assert written.revisit_at is None


@pytest.mark.parametrize("before", [None, Status.HELD, Status.WOULD_ENFORCE, Status.FAILED, Status.SKIPPED])
def test_what_others_made_required_is_known_to_have_been_so(before: Status | None) -> None:
    """Whoever did it: if it allows IMDSv1 again, somebody has opened it."""
    known = record(before) if before else Record(arn=arn())
    written = final(judgement(record=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)).applied()
    assert NOW == written.required_seen_at
    opened = decide(instance(), evidence(), written.history, Policy(), NOW + DAY)
    assert (Decision.HOLD, Reason.CHANGED_BACK) == (opened.decision, opened.reason)


@pytest.mark.parametrize("before", [None, Status.HELD, Status.WOULD_ENFORCE, Status.FAILED, Status.SKIPPED])
def test_what_others_made_required_is_skipped_for_ever(before: Status | None) -> None:
    """The service has no change to complete and nothing to re-evaluate."""
    known = record(before) if before else Record(arn=arn())
    written = final(judgement(record=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)).applied()
    assert "skipped" == written.status
    assert "already_required" == written.reason
    assert written.revisit_at is None
    assert written.history.enforced_at is None


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.OUT_OF_SCOPE])
@pytest.mark.parametrize("status", [Status.ENFORCING, Status.ENFORCED, Status.VERIFIED, Status.ROLLED_BACK])
def test_what_cannot_be_looked_at_takes_nothing_back(status: Status, reason: Reason) -> None:
    """The enforcement stays recorded while the instance is unreadable; it is re-evaluated, because someone may have
    changed it back. What is in doubt is watched by nobody, so that it is looked at again soon."""
    unseen = verdict(decision=Decision.HOLD, reason=reason, revisit_at=NOW + DAY)
    target = Unreachable(arn=arn(), problem="Access denied.")
    change = final(judgement(record=record(status), verdict=unseen, status=Status.HELD, target=target))
    assert status == change.applied().status
    in_doubt = status is Status.ENFORCING and reason is Reason.UNREACHABLE
    wait = timedelta(minutes=15) if in_doubt else DAY
    assert NOW + wait <= (change.after.revisit_at or NOW) <= NOW + wait + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("reason", "status"), [(Reason.BROKE_BEFORE, Status.ROLLED_BACK), (Reason.V1_IN_USE, Status.HELD)]
)
def test_what_was_rolled_back_stays_so_for_as_long_as_that_holds_it(reason: Reason, status: Status) -> None:
    """Once a person has cleared it, it is held or enforced like any other; the history is kept."""
    known = record(Status.ROLLED_BACK, enforced_at="2026-11-18T00:00:00.000000Z", rolled_back_at="2026-11-19T00:00:00Z")
    held = verdict(decision=Decision.HOLD, reason=reason, revisit_at=NOW + DAY)
    written = final(judgement(record=known, verdict=held, status=status)).applied()
    assert (status, reason) == (written.status, written.reason)
    assert replace(known.history, proved_start=start().at) == written.history


def test_what_is_left_as_it_is_stops_being_so_with_the_next_verdict() -> None:
    """Someone made tokens optional where the service could not; that ends the state, once people have heard of it."""
    left: dict[str, Any] = {
        "left_because": "EC2 refused to go back.",
        "watch": "open",
        "enforced_at": "2026-11-18T00:00:00Z",
    }
    told = record(Status.ENFORCED, **left, notified_at="2026-11-19T00:00:00Z")
    assert final(judgement(record=told, status=Status.HELD)).applied().left_because is None
    untold = record(Status.ENFORCED, **left)
    assert "EC2 refused to go back." == final(judgement(record=untold, status=Status.HELD)).applied().left_because


# --- Canaries that no request named --------------------------------------------------------------------------------


def test_a_canary_that_nobody_asked_about_is_due_at_once() -> None:
    """The next run of due instances enforces it; until then, no work is in progress."""
    known = record(Status.HELD, reason="canary_wait", decision="hold", revisit_at="2026-11-21T00:00:00.000000Z")
    judged = judgement(request(source=Source.SWEEP, finding=None), record=known, canary=True)
    change = recording.summoned(judged, SIGNATURE, NOW)
    lifecycle.check(known.status, str(change.after.status))
    expected = {
        "status": "would_enforce",
        "decision": "enforce",
        "reason": "unused",
        "source": "sweep",
        "request_id": "request-1",
        "session": "session-1",
        "revisit_at": NOW,
        "decided_at": NOW,
    }
    assert expected == {name: getattr(change.after, name) for name in expected}
    assert not {"lease_until", "owner", "enforced_at"} & changed(change).keys()


# --- Re-evaluation -------------------------------------------------------------------------------------------------


@given(st.timedeltas(timedelta(days=-2), timedelta(days=400)))
def test_what_falls_due_together_is_spread_a_little_and_never_early(wait: timedelta) -> None:
    """Later than the verdict says by at most a tenth of the wait and ten minutes; overdue instances are not delayed."""
    due = NOW + wait
    revisit_at = final(judgement(verdict=verdict(revisit_at=due), status=Status.HELD)).after.revisit_at
    assert revisit_at is not None
    assert due <= revisit_at <= due + max(timedelta(), min(wait / 10, timedelta(minutes=10)))


def test_equal_waits_do_not_end_at_the_same_time() -> None:
    """Instances judged in one batch are re-evaluated at different times."""
    judged = judgement(verdict=verdict(revisit_at=NOW + DAY), status=Status.HELD)
    assert len({final(judged).after.revisit_at for _ in range(50)}) > 40


# --- Findings ------------------------------------------------------------------------------------------------------


def test_the_findings_that_asked_are_answered_in_the_state_they_had() -> None:
    """Each of them, with a note still owed."""
    change = final(judgement(request(), request(finding=finding(2)), request(source=Source.CONFIG, finding=None)))
    assert (finding(1), finding(2)) == change.findings


def test_of_two_states_of_a_finding_the_newer_counts() -> None:
    """In whatever order their events came, in one batch or in two."""
    old, new = finding(updated_at=NOW - HOUR), finding(updated_at=NOW)
    for order in ((old, new), (new, old)):
        change = final(judgement(*(request(finding=each) for each in order)))
        assert (new,) == change.findings
    assert () == final(judgement(request(finding=old), record=record(Status.HELD, findings=[new]))).findings


def test_a_finding_keeps_the_note_it_bears() -> None:
    """A newer event about it does not make the note owed again."""
    known = finding(updated_at=NOW - HOUR, annotated_at=NOW - HOUR)
    change = final(judgement(request(finding=finding(updated_at=NOW)), record=record(Status.HELD, findings=[known])))
    assert (replace(known, updated_at=NOW),) == change.findings


def test_a_finding_that_was_only_announced_is_answered() -> None:
    """A finding written before the call to EC2, without its time, gets the time with the verdict."""
    announced = finding(updated_at=None)
    change = final(judgement(record=record(Status.ENFORCING, findings=[announced]), status=Status.ENFORCED))
    assert (finding(),) == change.findings


def test_a_change_that_is_completed_by_a_takeover_keeps_its_tag() -> None:
    """An earlier attempt owed its removal; without it nothing could be put back. The takeover's lease ends with it."""
    known = record(Status.ENFORCING, owes=["untag"], owner="dead", lease_until="2026-11-20T15:00:00Z")
    written = final(judgement(record=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)).applied()
    assert (Status.ENFORCED, frozenset(), None, None) == (
        written.status,
        written.owes,
        written.owner,
        written.lease_until,
    )
    assert not written.is_unfinished


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.ALREADY_REQUIRED])
def test_a_look_that_leaves_an_enforcement_standing_leaves_no_lease(reason: Reason) -> None:
    """The guard looks at nothing that is leased."""
    known = record(Status.ENFORCED, owes=["untag"], owner="me", lease_until="2026-11-20T15:00:00Z")
    seen = verdict(decision=Decision.SKIP, reason=reason, revisit_at=NOW + DAY)
    written = final(judgement(record=known, verdict=seen, status=Status.SKIPPED, target=REQUIRED)).applied()
    assert ("enforced", None) == (written.status, written.lease_until)


# --- What the digest tells ------------------------------------------------------------------------------------------

BEFORE = NOW - DAY


@pytest.mark.parametrize(
    ("known", "status", "told"),
    [
        (record(Status.ENFORCING), Status.ENFORCED, NOW),
        (Record(arn=arn()), Status.WOULD_ENFORCE, NOW),
        (record(Status.WOULD_ENFORCE, changed_at=BEFORE, notified_at=BEFORE), Status.WOULD_ENFORCE, BEFORE),
        (Record(arn=arn()), Status.SKIPPED, None),
    ],
    ids=["enforced", "would be", "as before", "no news"],
)
def test_what_the_digest_tells_is_told_with_the_verdict(known: Record, status: Status, told: datetime | None) -> None:
    """So that no second write has to say so; without a digest, news are owed."""
    judged = judgement(record=known, status=status)
    with_digest = recording.final(judged, SIGNATURE, NOW, Digest.DAILY).applied()
    assert (told, told is None) == (with_digest.notified_at, with_digest.owes_notification())
    without = recording.final(judged, SIGNATURE, NOW, Digest.OFF).applied()
    assert (known.notified_at, told != BEFORE) == (without.notified_at, without.owes_notification())


def test_what_is_urgent_is_told_at_once_all_the_same() -> None:
    """Nothing in an account that cannot be reached is looked after: that does not wait for the night."""
    unreachable = verdict(decision=Decision.HOLD, reason=Reason.UNREACHABLE)
    judged = judgement(verdict=unreachable, target=Unreachable(arn=arn(), problem="AccessDenied"), status=Status.HELD)
    told = recording.final(judged, SIGNATURE, NOW, Digest.DAILY).applied()
    assert told.notified_at is None
    assert told.owes_notification()


def test_what_nobody_has_heard_of_yet_does_not_wait_for_the_digest() -> None:
    """The guard has left it broken, and could not tell; the verdict that comes next says it once more."""
    left = record(Status.ENFORCED, left_because="NoTag", explanation="Left.", changed_at=BEFORE, broken_at=BEFORE)
    held = verdict(decision=Decision.HOLD, reason=Reason.NO_EVIDENCE)
    told = recording.final(judgement(record=left, verdict=held, status=Status.HELD), SIGNATURE, NOW, Digest.DAILY)
    assert ("NoTag", True) == (told.applied().left_because, told.applied().owes_notification())
