"""The verdict on an instance whose evidence is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import NOW, evidence, instance

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.verdict import Verdict

POLICY = Policy()


def judge(target: Instance | None = None, seen: Evidence | None = None, policy: Policy = POLICY) -> Verdict:
    """Judge an instance that, unless a test says otherwise, may be enforced."""
    return decide(target or instance(), seen or evidence(), History(), policy, NOW)


def row(verdict: Verdict) -> tuple[str, str]:
    """Decision and reason."""
    return verdict.decision.value, verdict.reason.value
