"""What a judgement becomes in the ledger: what is written, what stays, and when it is judged anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2 import record
from imdsv2.decision import decide
from imdsv2.ledger import Entry, key_of
from imdsv2.model import Decision, Finding, Reason, Source, Status, Unreachable
from imdsv2.policy import Policy
from tests.unit.builders import NOW, arn, evidence, finding, instance, judgement, options, request, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2.judgement import Judgement
    from imdsv2.ledger import Change

LEASE = timedelta(seconds=360)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def entry(status: Status, *, findings: Iterable[Finding] = (), **attributes: Any) -> Entry:
    """An item as it was read from the ledger."""
    defaults = {"status": status, "decision": "enforce", "reason": "unused"}
    return Entry(
        arn=arn(), version=3, attributes=defaults | attributes, findings={key_of(each): each for each in findings}
    )


def final(judged: Judgement, now: datetime = NOW) -> Change:
    """What is written at the end."""
    return record.final(judged, "request-1", now)


# --- Ahead of EC2 --------------------------------------------------------------------------------------------------


def test_ahead_of_ec2_the_ledger_knows_what_was_there_who_acts_and_until_when() -> None:
    """The item is looked at again when the lease ends, to the second: whoever died is then taken over."""
    change = record.enforcing(judgement(), "request-1", LEASE, NOW)
    expected = {
        "status": "enforcing",
        "decision": "enforce",
        "reason": "unused",
        "before": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "after": None,
        "owner": "request-1",
        "request_id": "request-1",
        "lease_until": NOW + LEASE,
        "revisit_at": NOW + LEASE,
        "decided_at": NOW,
        "source": "securityhub",
    }
    assert expected == {name: change.attributes[name] for name in expected}
    assert "enforced_at" not in change.attributes


def test_ahead_of_ec2_no_finding_counts_as_answered() -> None:
    """If we die now, the finding's next event is no echo."""
    (written,) = record.enforcing(judgement(), "request-1", LEASE, NOW).findings
    assert finding().id == written.id
    assert written.updated_at is None


def test_ahead_of_ec2_a_known_finding_keeps_its_state() -> None:
    """What was answered before stays answered."""
    known = entry(Status.HELD, findings=[finding()])
    assert () == record.enforcing(judgement(entry=known), "request-1", LEASE, NOW).findings


# --- The end -------------------------------------------------------------------------------------------------------


def test_an_enforcement_is_recorded_with_its_time_and_what_ec2_shows() -> None:
    """From then on the instance counts as enforced by us, and nobody holds it."""
    after = options(http_tokens="required", state="applied")
    change = final(judgement(entry=entry(Status.ENFORCING), status=Status.ENFORCED, after=after))
    expected = {
        "status": "enforced",
        "enforced_at": NOW,
        "confirmed": True,
        "after": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "owner": None,
        "lease_until": None,
        "changed_at": NOW,
    }
    assert expected == {name: change.attributes[name] for name in expected}
    assert NOW + DAY <= change.attributes["revisit_at"] <= NOW + DAY + timedelta(minutes=10)
    assert "before" not in change.attributes


@pytest.mark.parametrize("status", [Status.HELD, Status.SKIPPED, Status.WOULD_ENFORCE, Status.FAILED])
def test_what_was_not_enforced_gets_no_time_of_enforcement(status: Status) -> None:
    """And what was known of earlier enforcements is not touched."""
    change = final(judgement(entry=entry(Status.ENFORCED, enforced_at="2026-11-01T00:00:00.000000Z"), status=status))
    assert not {"enforced_at", "confirmed", "cleared_at", "before", "after"} & change.attributes.keys()
    assert status is change.attributes["status"]


def test_the_verdict_is_recorded_with_its_reasons() -> None:
    """Everything a person asks for when he reads the item."""
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
        "decided_at": NOW,
        "error": error,
    }
    assert expected == {name: change.attributes[name] for name in expected}
    assert 839 == change.attributes["evidence"]["observed_hours"]


def test_a_person_s_request_names_the_source_of_a_shared_verdict() -> None:
    """Where a finding and a person ask in the same batch, the person's is the one that says how far it may go."""
    change = final(judgement(request(), request(source=Source.CUSTOM_ACTION), status=Status.HELD))
    assert Source.CUSTOM_ACTION is change.attributes["source"]


@pytest.mark.parametrize(
    ("status", "reason", "changes"),
    [
        (Status.WOULD_ENFORCE, Reason.UNUSED, False),
        (Status.HELD, Reason.UNUSED, True),
        (Status.WOULD_ENFORCE, Reason.V1_IN_USE, True),
    ],
)
def test_only_another_verdict_is_news(status: Status, reason: Reason, changes: bool) -> None:
    """Notes and messages are owed from `changed_at` on; the same verdict again owes none."""
    change = final(judgement(entry=entry(Status.WOULD_ENFORCE), status=status, verdict=verdict(reason=reason)))
    assert changes is ("changed_at" in change.attributes)


@pytest.mark.parametrize("status", list(Status))
def test_clear_is_recorded_whatever_the_verdict(status: Status) -> None:
    """It voids what was before it, whether or not the instance is enforced now."""
    asked = request(source=Source.MANUAL, finding=None, clear=True)
    assert NOW == final(judgement(asked, status=status)).attributes["cleared_at"]


def test_what_was_cleared_and_enforced_at_once_is_enforced() -> None:
    """Were it changed back afterwards, the service would not fight that."""
    asked = request(source=Source.MANUAL, finding=None, clear=True)
    written = final(judgement(asked, status=Status.ENFORCED, after=options(http_tokens="required"))).applied()
    later = decide(instance(), evidence(), written.history, Policy(), NOW + HOUR)
    assert Reason.CHANGED_BACK is later.reason


# --- Already required ----------------------------------------------------------------------------------------------

ALREADY = verdict(decision=Decision.SKIP, reason=Reason.ALREADY_REQUIRED, revisit_at=None)
REQUIRED = instance(options=options(http_tokens="required"))


def test_an_enforcement_left_half_done_is_completed_unconfirmed() -> None:
    """Whoever was enforcing died; EC2 shows what he wanted, but a person may have done it."""
    taken_over = judgement(entry=entry(Status.ENFORCING), verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)
    written = final(taken_over).applied()
    expected = {"status": "enforced", "decision": "enforce", "reason": "unused"}
    assert expected == {name: written.attributes[name] for name in expected}
    assert (NOW, False) == (written.history.enforced_at, written.history.confirmed)
    assert "required" == written.attributes["after"]["HttpTokens"]
    assert not {"owner", "lease_until"} & written.attributes.keys()
    assert "changed_at" in written.attributes


def test_an_enforcement_is_not_replaced_by_what_it_brought_about() -> None:
    """`already_required` after `enforced` is our own doing; only the next look is set."""
    known = entry(Status.ENFORCED, enforced_at="2026-11-19T00:00:00.000000Z", confirmed=True)
    change = final(judgement(entry=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED))
    written = change.applied()
    assert "enforced" == written.status
    assert known.history == written.history
    assert "changed_at" not in change.attributes
    assert written.attributes["revisit_at"] is not None


@pytest.mark.parametrize("before", [None, Status.HELD, Status.WOULD_ENFORCE, Status.FAILED, Status.SKIPPED])
def test_what_others_made_required_is_skipped_for_ever(before: Status | None) -> None:
    """Nothing of ours is there to be completed, and there is nothing to judge anew."""
    known = entry(before) if before else Entry(arn=arn())
    written = final(judgement(entry=known, verdict=ALREADY, status=Status.SKIPPED, target=REQUIRED)).applied()
    assert "skipped" == written.status
    assert "already_required" == written.attributes["reason"]
    assert "revisit_at" not in written.attributes
    assert written.history.enforced_at is None


def test_an_account_that_cannot_be_read_takes_nothing_back() -> None:
    """What we enforced stays recorded as enforced while nobody can look."""
    unreachable = verdict(decision=Decision.HOLD, reason=Reason.UNREACHABLE, revisit_at=NOW + DAY)
    target = Unreachable(arn=arn(), problem="Access denied.")
    judged = judgement(entry=entry(Status.ENFORCED), verdict=unreachable, status=Status.HELD, target=target)
    assert "enforced" == final(judged).applied().status


# --- When it is judged anew ----------------------------------------------------------------------------------------


@given(st.timedeltas(timedelta(days=-2), timedelta(days=400)))
def test_what_falls_due_together_is_spread_a_little_and_never_early(wait: timedelta) -> None:
    """At most a tenth of the wait and ten minutes later than the verdict says; what is due already is not put off."""
    due = NOW + wait
    revisit_at = final(judgement(verdict=verdict(revisit_at=due), status=Status.HELD)).attributes["revisit_at"]
    assert due <= revisit_at <= due + max(timedelta(), min(wait / 10, timedelta(minutes=10)))


def test_equal_waits_do_not_end_at_the_same_time() -> None:
    """A fleet judged in one batch comes back spread out."""
    judged = judgement(verdict=verdict(revisit_at=NOW + DAY), status=Status.HELD)
    assert len({final(judged).attributes["revisit_at"] for _ in range(50)}) > 40


# --- Findings ------------------------------------------------------------------------------------------------------


def test_the_findings_that_asked_are_answered_in_the_state_they_had() -> None:
    """Each of them, and a note still owed."""
    change = final(judgement(request(), request(finding=finding(2)), request(source=Source.CONFIG, finding=None)))
    assert (finding(1), finding(2)) == change.findings


def test_of_two_states_of_a_finding_the_newer_counts() -> None:
    """In whatever order their events came, in one batch or in two."""
    old, new = finding(updated_at=NOW - HOUR), finding(updated_at=NOW)
    for order in ((old, new), (new, old)):
        change = final(judgement(*(request(finding=each) for each in order)))
        assert (new,) == change.findings
    assert () == final(judgement(request(finding=old), entry=entry(Status.HELD, findings=[new]))).findings


def test_a_finding_keeps_the_note_it_bears() -> None:
    """A newer event about it does not make the note owed again."""
    known = finding(updated_at=NOW - HOUR, annotated_at=NOW - HOUR)
    change = final(judgement(request(finding=finding(updated_at=NOW)), entry=entry(Status.HELD, findings=[known])))
    assert (replace(known, updated_at=NOW),) == change.findings


def test_a_finding_that_was_only_announced_is_answered() -> None:
    """What was written ahead of EC2 without its time gets it with the verdict."""
    announced = finding(updated_at=None)
    change = final(judgement(entry=entry(Status.ENFORCING, findings=[announced]), status=Status.ENFORCED))
    assert (finding(),) == change.findings
