"""Amazon's own engine for event patterns, on the cases by which the tests' engine is judged and on the service's own patterns.

It runs where EVENT_RULER names the class path of event-ruler (https://github.com/aws/event-ruler) and of what it depends on, and
Java 17 or later is installed; nothing of that is needed for the rest.
"""

from __future__ import annotations

import json
import os

import pytest

from infra.event_patterns import patterns
from tests.infra.event_engine import FIXTURE, ruler_matches
from tests.infra.test_event_patterns import CASES as EVENTS

CLASS_PATH = os.environ.get("EVENT_RULER", "")
NAMED = ("EC2_IMDSV2_CHECK", "require-imdsv2", "Baseline-Ec2Imdsv2Check*")

pytestmark = pytest.mark.skipif(not CLASS_PATH, reason="needs Java and event-ruler: set EVENT_RULER to its class path")


def test_the_outcomes_on_record_are_its() -> None:
    """The engine of today answers as the one whose answers are kept."""
    cases = json.loads((FIXTURE / "cases.json").read_text())
    answers = ruler_matches([(case["event"], case["pattern"]) for case in cases], CLASS_PATH)
    assert [case["matches"] for case in cases] == answers


@pytest.mark.parametrize("names", [(), NAMED], ids=["as deployed", "with names of Config rules"])
def test_it_lets_each_event_through_exactly_its_own_rule(names: tuple[str, ...]) -> None:
    """What `tests/infra/test_event_patterns.py` asks of ministack's engine, asked of Amazon's."""
    rules = patterns("RequireIMDSv2", names)
    asked = [(case, rule) for case in EVENTS for rule in rules]
    answers = ruler_matches([(case.event, rules[rule]) for case, rule in asked], CLASS_PATH)
    assert [] == [
        (case.name, rule, answer)
        for (case, rule), answer in zip(asked, answers, strict=True)
        if answer is not (case.rule == rule)
    ]
