"""Engines that judge event patterns: ministack's, which the local AWS uses, and Amazon's own, event-ruler, for those who have it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.infra.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

FIXTURE = ROOT / "tests" / "fixtures" / "event_ruler"

MINISTACK = """
import json, sys
from ministack.services.eventbridge import _test_event_pattern
for question in json.load(sys.stdin):
    status, _, body = _test_event_pattern(question)
    print(json.dumps(json.loads(body).get("Result") if status == 200 else body.decode()))
"""


def matches(asked: Sequence[tuple[Json, Json]]) -> list[Any]:
    """For each event and pattern, whether ministack's EventBridge matches it, or its message if it rejects the pattern."""
    questions = [{"Event": json.dumps(event), "EventPattern": json.dumps(pattern)} for event, pattern in asked]
    answers = _run([str(ROOT / ".venv-local/bin/python"), "-c", MINISTACK], questions)
    return [json.loads(line) for line in answers.splitlines()]


def ruler_matches(asked: Sequence[tuple[Json, Json]], class_path: str) -> list[Any]:
    """The same by event-ruler. `class_path`: its classes, Jackson's and the others that it needs, as Java takes them."""
    questions = [{"event": event, "pattern": pattern} for event, pattern in asked]
    answers: list[Any] = json.loads(_run(["java", "-cp", class_path, str(FIXTURE / "Answer.java")], questions))
    return answers


def _run(command: list[str], questions: list[Json]) -> str:
    return subprocess.run(command, input=json.dumps(questions), capture_output=True, text=True, check=True).stdout
