"""Reminders: people are notified before and after an exemption or a hold ends, once each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.history import History, Hold
from imdsv2.domain.instance import Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Digest, Policy
from imdsv2.domain.request import Source
from imdsv2.domain.verdict import Decision
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.ledger.record import Record
from imdsv2.line import record as recording
from imdsv2.line.judgement import Case, Judgement
from imdsv2.line.messages import headline
from imdsv2.line.verdict_record import Signature
from tests.unit.builders import arn, at, evidence, instance, request
from tests.world.records import record_with

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import Target

SOON = "What keeps IMDSv1 on ends soon"
ENDED = "What kept IMDSv1 on has ended"
END = date(2026, 12, 31)
BEFORE = at("2026-12-28 00:00")
"""Three days before the last day begins."""
AFTER = at("2027-01-01 00:00")
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
STATUSES = {Decision.ENFORCE: Status.WOULD_ENFORCE, Decision.HOLD: Status.HELD, Decision.SKIP: Status.SKIPPED}


def exempt_until(end: date | None) -> Target:
    """An instance whose tag exempts it."""
    return instance(tags={"imdsv2:exempt-until": end.isoformat()} if end else {})


def hold_until(end: date) -> dict[str, Any]:
    """The ledger record of an instance that alice holds."""
    return {"hold": {"owner": "alice", "reason": "Quarter-end.", "until": end.isoformat()}}


def judged(record: Record, target: Target, now: datetime) -> Record:
    """The record after one more judgement."""
    verdict = decide(target, evidence(), record.history, Policy(), now)
    case = Case(arn=record.arn, requests=(request(source=Source.REVISIT, finding=None),))
    judgement = Judgement(case=case, record=record, verdict=verdict, status=STATUSES[verdict.decision], target=target)
    return recording.final(judgement, Signature(request_id="request-1", session=None), now, Digest.OFF).applied()


def told(record: Record, now: datetime) -> Record:
    """The record after people have been notified, if there was news."""
    if headline(record) is None or not record.owes_notification():
        return record
    return replace(record, notified_at=now)


def news(record: Record) -> str | None:
    """The notification that is owed."""
    return headline(record) if record.owes_notification() else None


NEW = Record(arn=arn())


@pytest.mark.parametrize(
    ("now", "expected"),
    [(BEFORE - MINUTE, None), (BEFORE, SOON), (at("2026-12-31 23:59"), SOON)],
)
def test_three_days_before_an_exemption_ends_people_are_told(now: datetime, expected: str | None) -> None:
    """Not earlier, or it would be forgotten by then."""
    assert expected == news(judged(NEW, exempt_until(END), now))


def test_three_days_before_a_persons_hold_ends_people_are_told() -> None:
    """Instead of the news that it is held, which they know."""
    held = record_with(Record(arn=arn(), version=1), **hold_until(END))
    known = told(judged(held, instance(), BEFORE - DAY), BEFORE - DAY)
    assert None is news(known)
    assert SOON == news(judged(known, instance(), BEFORE))


def test_they_are_told_once() -> None:
    """However often it is judged in those days."""
    record = told(judged(NEW, exempt_until(END), BEFORE), BEFORE)
    for hours in range(1, 72, 7):
        record = judged(record, exempt_until(END), BEFORE + timedelta(hours=hours))
        assert None is news(record)


def test_whoever_could_not_be_told_is_told_later() -> None:
    """A message that fails stays owed: the next judgement does not treat it as sent."""
    record = judged(judged(NEW, exempt_until(END), BEFORE), exempt_until(END), BEFORE + DAY)
    assert SOON == news(record)
    ended = judged(told(record, BEFORE + DAY), exempt_until(END), AFTER)
    assert ENDED == news(judged(ended, exempt_until(END), AFTER + DAY))


def test_an_exemption_that_is_prolonged_is_reminded_of_anew() -> None:
    """The new end counts; until it is near, there is no news."""
    record = told(judged(NEW, exempt_until(END), BEFORE), BEFORE)
    longer = END + timedelta(days=90)
    record = judged(record, exempt_until(longer), BEFORE + DAY)
    assert None is news(record)
    assert SOON == news(judged(record, exempt_until(longer), BEFORE + timedelta(days=90)))


@pytest.mark.parametrize("target", [exempt_until(END), exempt_until(None)])
def test_after_it_has_ended_people_are_told(target: Target) -> None:
    """With the instance's new verdict, whether or not the tag is still there."""
    record = judged(told(judged(NEW, exempt_until(END), BEFORE), BEFORE), target, AFTER)
    assert ENDED == news(record)
    assert str(record.explanation).startswith("What kept it from being changed ended on 2026-12-31. No IMDSv1")
    assert "would_enforce" == record.status


def test_after_a_persons_hold_has_ended_people_are_told() -> None:
    """Holds end like exemptions."""
    held = record_with(Record(arn=arn(), version=1), **hold_until(END))
    record = judged(told(judged(held, instance(), BEFORE), BEFORE), instance(), AFTER)
    assert ENDED == news(record)


def test_after_the_end_too_they_are_told_once() -> None:
    """From then on, the news is the verdict's."""
    record = told(judged(told(judged(NEW, exempt_until(END), BEFORE), BEFORE), exempt_until(END), AFTER), AFTER)
    record = judged(record, exempt_until(END), AFTER + DAY)
    assert None is news(record)
    assert "IMDSv1 could be switched off (observe mode)" == headline(record)


@pytest.mark.parametrize("now", [at("2026-11-25 00:00"), BEFORE])
def test_an_exemption_that_is_taken_away_has_not_ended(now: datetime) -> None:
    """Whoever removed the tag knows; the new verdict is news in itself."""
    record = told(judged(NEW, exempt_until(END), now), now)
    record = judged(record, exempt_until(None), now + MINUTE)
    assert "IMDSv1 could be switched off (observe mode)" == news(record)
    assert "ended on" not in str(record.explanation)


def test_what_takes_the_place_of_an_exemption_is_what_is_told_of() -> None:
    """The tag has expired, but alice holds the instance: for its owners, nothing has ended."""
    record = told(judged(NEW, exempt_until(END), BEFORE), BEFORE)
    record = record_with(record, **hold_until(date(2027, 6, 1)))
    assert "IMDSv1 stays on" == news(judged(record, exempt_until(END), AFTER))


def test_what_cannot_be_seen_does_not_end_unseen() -> None:
    """While an account is unreachable, the exemption may have been prolonged there. Once it is reachable again, people
    are notified."""
    record = told(judged(NEW, exempt_until(END), BEFORE), BEFORE)
    away = judged(record, Unreachable(arn=arn(), problem="denied"), AFTER)
    assert "IMDSv1 stays on" == news(away)
    assert "ended on" not in str(away.explanation)
    assert ENDED == news(judged(told(away, AFTER), exempt_until(END), AFTER + DAY))


def test_what_needs_no_exemption_any_more_does_not_miss_it() -> None:
    """It requires tokens by now, or was terminated: there is no news."""
    record = told(judged(NEW, exempt_until(END), BEFORE), BEFORE)
    gone = judged(record, instance(state="terminated"), AFTER)
    assert None is news(gone)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_however_often_it_is_judged_each_news_comes_at_most_once(hours: list[int]) -> None:
    """From long before the end to long after, at arbitrary times."""
    record, now, heard = NEW, BEFORE - 3 * DAY, []
    for step in hours:
        now += timedelta(hours=step)
        record = judged(record, exempt_until(END), now)
        heard += [news(record)] if news(record) in {SOON, ENDED} else []
        record = told(record, now)
    assert heard in ([], [SOON], [SOON, ENDED], [ENDED])
    assert (ENDED in heard) == (now >= AFTER and BEFORE - 3 * DAY + timedelta(hours=hours[0]) < AFTER)


def test_an_enforcement_is_greater_news_than_the_end_that_allowed_it() -> None:
    """One message reports both, under the headline of the enforcement."""
    exempt = told(judged(NEW, exempt_until(END), BEFORE), BEFORE)
    verdict = decide(instance(), evidence(), exempt.history, Policy(), AFTER)
    judgement = Judgement(
        case=Case(arn=arn(), requests=(request(),)),
        record=exempt,
        verdict=verdict,
        status=Status.ENFORCED,
        target=instance(),
    )
    record = recording.final(judgement, Signature(request_id="request-1", session=None), AFTER, Digest.OFF).applied()
    assert "IMDSv1 switched off" == news(record)
    assert str(record.explanation).startswith("What kept it from being changed ended on 2026-12-31.")


def test_a_hold_that_was_never_seen_to_hold_does_not_end() -> None:
    """It had expired before the service evaluated the instance."""
    held = record_with(Record(arn=arn(), version=1), **hold_until(END))
    assert ENDED != news(judged(held, instance(), AFTER + DAY))
    assert History(hold=Hold(owner="alice", reason="Quarter-end.", until=END)) == held.history
