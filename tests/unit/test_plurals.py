"""One is one: no text says "1 hours"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.culprit.when import Sharing
from imdsv2.domain.evidence.values import Recurrence
from imdsv2.domain.exemption import from_tags
from imdsv2.domain.gates import notice_not_given
from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.texts.words import sentence
from imdsv2.domain.verdict_table.decision import decide
from tests.unit import builders

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2027, 3, 1, 9, 30, tzinfo=UTC)
WRONG = re.compile(r"(?<![\d.,])1 (\w+ )?(hours|days|others|instances|calls|accounts|problems|are|were|have)\b")


def long_exemption(days: int) -> str:
    policy = Policy.from_document({"max_exemption_days": days})
    verdict = from_tags({policy.exempt_tag: "2029-01-01"}, None, policy, NOW)
    assert verdict is not None
    return verdict.explanation


SAID: dict[str, Callable[[int], str]] = {
    "notice": lambda number: notice_not_given(Policy.from_document({"notice_hours": number}), NOW).explanation,
    "exemption": long_exemption,
    "none called": lambda number: Sharing(looked_at=number + 1, calling=1, alike=1).says,
    "others called": lambda number: Sharing(looked_at=number + 1, calling=2, alike=1).says,
    "called alike": lambda number: Sharing(looked_at=number + 1, calling=2, alike=2).says,
}


@pytest.mark.parametrize("text", SAID)
def test_one_is_one_and_two_are_two(text: str) -> None:
    """In every sentence that counts."""
    one, two = SAID[text](1), SAID[text](2)
    assert WRONG.search(one) is None, one
    assert re.search(r"\b1 (hour|day|other)\b", one)
    assert re.search(r"\b2 (hours|days|others)\b", two)


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "there was 1 IMDSv1 call, "), (2, "there were 2 IMDSv1 calls, ")],
)
def test_older_calls_are_told_as_many_as_they_are(number: int, said: str) -> None:
    """With the verb that belongs to it."""
    older = Recurrence(calls=number, last=builders.NOW - timedelta(days=90), bursts=1)
    told = decide(builders.instance(), builders.evidence(older=older), History(), Policy(), builders.NOW).explanation
    assert said in told
    assert ("it is too old" in told) == (number == 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [("Migration.", "Migration."), ("Migration", "Migration."), ("Really?", "Really?"), ("Now!", "Now!")],
)
def test_a_reason_that_somebody_gave_ends_its_sentence(given: str, said: str) -> None:
    """What follows begins another."""
    assert said == sentence(given)
