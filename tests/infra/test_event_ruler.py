"""The engine by which tests judge event patterns answers as Amazon's does, for all that the service's patterns are written with.

The cases are our own; each outcome is that of event-ruler 2.0.1 (github.com/aws/event-ruler, commit 337e8d9), compiled
with Java's own parser of decimals in place of the faster one that it depends on. On its published correctness cases, too, ministack's
engine agreed with it. The proof `tests/proof/judges/test_event_ruler.py` asks event-ruler again.

Not covered, because no pattern has them: `anything-but`, `exists`, `numeric`, `cidr`, `wildcard`, `$or`, and suffixes in any case.
Not covered either: what EventBridge does beside its engine (quotas, which fields of the envelope it fills in), and numbers that
are no small whole ones.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.event_patterns import config_pattern, patterns
from tests.infra.event_engine import FIXTURE, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES: list[dict[str, Any]] = json.loads((FIXTURE / "cases.json").read_text())
NAMES = [f"{case['operator']}: {case['name']}" for case in CASES]


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What ministack's engine answers, by the case's name."""
    return dict(zip(NAMES, matches([(case["event"], case["pattern"]) for case in CASES]), strict=True))


@pytest.mark.parametrize(("name", "case"), list(zip(NAMES, CASES, strict=True)), ids=NAMES)
def test_ministack_answers_as_event_ruler(name: str, case: dict[str, Any], answers: dict[str, Any]) -> None:
    """Whether the pattern matches the event."""
    assert case["matches"] is answers[name]


def test_cases_have_names_of_their_own() -> None:
    """Two cases of one name would share an answer."""
    assert len(NAMES) == len(set(NAMES))


def test_every_operator_of_the_patterns_has_cases() -> None:
    """An operator that is new in a pattern needs cases here, of which some match and some do not."""
    used = {
        operator
        for pattern in (*patterns("RequireIMDSv2", []).values(), config_pattern(["acme-imdsv2", "acme-*"]))
        for operator in _operators(pattern)
    }
    for operator in used:
        assert {True, False} == {case["matches"] for case in CASES if case["operator"] == operator}, operator


def _operators(written: Any) -> Iterator[str]:
    """What a pattern is written with. Below a field are further fields, or its alternatives in an array."""
    if isinstance(written, dict):
        for each in written.values():
            yield from _operators(each)
        return
    for alternative in written:
        if isinstance(alternative, dict):
            [(operator, operand)] = alternative.items()
            yield " ".join([operator, *operand]) if isinstance(operand, dict) else operator
        else:
            yield "equal" if isinstance(alternative, str) else "number"
