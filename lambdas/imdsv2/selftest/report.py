"""The result of a self-test: every belief with its outcome, as one JSON document and as a table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, Any

from imdsv2.selftest.agenda import ENDED
from imdsv2.selftest.beliefs import BELIEFS
from imdsv2.selftest.result import Outcome
from imdsv2.selftest.seen import to_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.selftest.seen import Seen

COLUMNS = ("belief", "outcome", "for_safety", "statement", "expected", "seen", "if_wrong")


def judged(seen: Seen) -> list[dict[str, Any]]:
    """One row for each belief, in the order of the list."""
    rows = []
    for belief in BELIEFS:
        result = belief.check(seen)
        rows.append(
            {
                "belief": belief.id,
                "outcome": str(result.outcome),
                "for_safety": belief.for_safety,
                "statement": belief.statement,
                "expected": result.expected,
                "seen": result.seen,
                "if_wrong": belief.if_wrong,
                "witness": {"source": str(belief.witness.source), "where": belief.witness.where},
                "raw": to_document(result.raw),
            }
        )
    return rows


def totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many beliefs had which outcome, and which were contradicted."""
    counted = Counter(row["outcome"] for row in rows)
    contradicted = [row for row in rows if row["outcome"] == Outcome.CONTRADICTED]
    return {
        **{str(outcome).replace(" ", "_"): counted[outcome] for outcome in Outcome},
        "contradicted_beliefs": [row["belief"] for row in contradicted],
        "contradicted_for_safety": [row["belief"] for row in contradicted if row["for_safety"]],
    }


def next_step(counted: Mapping[str, Any], seen: Seen) -> str:
    """What the person who started the self-test does with its result."""
    if not seen.instances:
        return 'Nothing was tried: `problem` says why. docs/beliefs.md, "If the launch fails", says what a launch needs; then start again.'
    if counted["contradicted_for_safety"]:
        return (
            'Set "mode": "observe" in the policy until it is settled why AWS differs from what the service relies on, and report result.json; '
            "`if_wrong` says what may happen."
        )
    if counted["contradicted_beliefs"]:
        return "Nothing is unsafe. `if_wrong` says what the service does in place of what it should do; report result.json."
    if seen.instances and not counted["confirmed"] and all(seen.state_of(role) in ENDED for role in seen.instances):
        return (
            "The instances ended before anything could be tried. See in EC2 why (state transition reason); if their volumes are encrypted with "
            "a key of your own, permit the role of the self-test to use it, and start again."
        )
    if counted["not_tried"]:
        return (
            "Nothing was contradicted. Read in `seen` why some were not tried, and start again if you need them and the reason is in your hands, "
            "e.g. Config is off."
        )
    return "Nothing."


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV, without the raw observations."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
