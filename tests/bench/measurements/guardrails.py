"""guardrail.requests: how many requests an IAM evaluator that is not ours answers as the guardrails are meant."""

from __future__ import annotations

from tests.bench.measurement import Measurement, against
from tests.infra.guardrail_requests import TABLE, denied


def requests() -> Measurement:
    """The whole table; the baseline is its length."""
    answers = denied(TABLE)
    as_expected = sum(answers[each.name] == each.denied for each in TABLE)
    return against("guardrail.requests", as_expected, "requests", len(TABLE), "requests in the table")
