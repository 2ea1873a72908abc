"""Metadata options that EC2 does not show: what is unknown is neither open nor closed, and nothing is concluded from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide, decide_without_evidence
from imdsv2.guard.watch import is_lost
from imdsv2.ledger.record import Record
from tests.unit.builders import NOW, evidence, instance, options

SHOWN = [("unknown", "unknown"), ("unknown", "enabled"), ("", ""), ("Required", "enabled")]


@pytest.mark.parametrize(("tokens", "endpoint"), SHOWN)
@pytest.mark.parametrize("state", ["running", "stopped", "pending"])
def test_an_instance_whose_options_are_not_shown_is_held_whatever_its_evidence(
    tokens: str, endpoint: str, state: str
) -> None:
    """What was there before could be neither recorded nor put back; the next look may show it."""
    target = instance(state=state, options=options(http_tokens=tokens, http_endpoint=endpoint))
    verdict = decide(target, evidence(), History(), Policy(), NOW)
    assert (Reason.UNREACHABLE, NOW + timedelta(minutes=15)) == (verdict.reason, verdict.revisit_at)
    assert verdict == decide_without_evidence(target, History(), Policy(), NOW)
    assert "nothing is changed" in verdict.explanation


@pytest.mark.parametrize(
    ("tokens", "endpoint", "state", "reason"),
    [
        ("unknown", "unknown", "terminated", Reason.GONE),
        ("required", "unknown", "running", Reason.ALREADY_REQUIRED),
        ("unknown", "disabled", "running", Reason.ENDPOINT_DISABLED),
    ],
)
def test_what_is_shown_settles_it_where_it_can(tokens: str, endpoint: str, state: str, reason: Reason) -> None:
    """One of both is enough."""
    target = instance(state=state, options=options(http_tokens=tokens, http_endpoint=endpoint))
    assert reason is decide(target, evidence(), History(), Policy(), NOW).reason


@pytest.mark.parametrize(("tokens", "lost"), [("unknown", False), ("required", False), ("optional", True)])
def test_the_guard_lets_go_of_an_instance_only_where_ec2_shows_it_open(tokens: str, lost: bool) -> None:
    """Else it would tell people that somebody has opened it, and watch it no longer."""
    target = instance(options=options(http_tokens=tokens))
    record = Record(arn=target.arn, enforced_at=NOW - timedelta(hours=1))
    assert lost is is_lost(record, target, NOW)
