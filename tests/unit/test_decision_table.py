"""The verdict table as a whole: each row alone, their order, and what holds for any values."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.evidence.values import Evidence, Gap, Recurrence, Refused, Start, Use
from imdsv2.domain.history import Acceptance, History, Hold
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.policy import BootEvidence, Mode, Policy
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.domain.verdict_table.evidence_rows import ACCEPTABLE
from tests.unit.builders import (
    ACCOUNT,
    NOW,
    REGION,
    arn,
    at,
    evidence,
    gap,
    instance,
    options,
    recurring,
    refused,
    start,
    unseen_start,
    use,
)

if TYPE_CHECKING:
    from imdsv2.domain.instance import Target

ENFORCED = History(enforced_at=NOW - timedelta(hours=1), confirmed=True)
EXEMPT_TAG = "imdsv2:exempt-until"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
POLICY = Policy()
HELD = History(hold=Hold(owner="dora", reason="Freeze.", until=date(2026, 12, 1)))
BROKE = History(rolled_back_at=NOW - DAY)
UNDONE = History(undone_at=NOW - DAY, undone_by="erik")
ACCEPTANCE = Acceptance(
    owner="carol", reason="It falls back.", until=date(2026, 12, 1), by="carol", request_id="request-1", at=NOW
)


# --- The table as a whole ------------------------------------------------------------------------------------------

CONTAINER_HOST = {"eks:cluster-name": "prod"}

ROWS: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.OUT_OF_SCOPE, {"policy": {"exclude_accounts": frozenset({ACCOUNT})}}),
    (Reason.GONE, {"target": {"state": "terminated"}}),
    (Reason.ALREADY_REQUIRED, {"options": {"http_tokens": "required"}}),
    (Reason.ENDPOINT_DISABLED, {"options": {"http_endpoint": "disabled"}}),
    (Reason.EXEMPT, {"tags": {EXEMPT_TAG: "2027-01-01"}}),
    (Reason.EXEMPTION_UNREADABLE, {"tags": {EXEMPT_TAG: "forever"}}),
    (Reason.HELD_BY_PERSON, {"history": {"hold": HELD.hold}}),
    (Reason.BROKE_BEFORE, {"history": {"rolled_back_at": NOW - DAY}}),
    (Reason.UNDONE_BY_PERSON, {"history": {"undone_at": NOW - DAY, "undone_by": "erik"}}),
    (Reason.CHANGED_BACK, {"history": {"required_seen_at": NOW - HOUR}}),
    (Reason.CHANGED_BACK, {"tags": {"imdsv2:rolled-back-at": "2026-11-01T06:00:00Z"}}),
    (Reason.NOT_READY, {"target": {"state": "pending"}}),
    (Reason.EVIDENCE_INCOMPLETE, {"evidence": {"problem": "CloudWatch answered PartialData"}}),
    (Reason.STOPPED_TOO_LONG, {"evidence": {"stopped_too_long": True}}),
    (Reason.HOP_LIMIT_FALLBACK, {"evidence": {"use": use()}, "tags": CONTAINER_HOST}),
    (Reason.V1_IN_USE, {"evidence": {"use": use()}}),
    (Reason.V1_REFUSED, {"evidence": {"refused": refused()}}),
    (Reason.V1_AT_BOOT, {"evidence": {"start": start(calls=1)}}),
    (Reason.V1_RECURS, {"evidence": {"older": recurring()}}),
    (Reason.NO_EVIDENCE, {"evidence": {"coverage": 0.5}}),
    (Reason.TOO_YOUNG, {"evidence": {"observed_hours": 5}}),
    (Reason.BOOT_NOT_OBSERVABLE, {"evidence": {"start": unseen_start()}}),
    (Reason.UNUSED, {}),
]
"""Every row that an instance in EC2 can reach, in the table's order, with the only condition that makes it match."""


def combined(conditions: list[dict[str, Any]]) -> tuple[Instance, Evidence, History, Policy]:
    """An instance to which all conditions apply; if two set the same field, the first does."""
    fields: dict[str, dict[str, Any]] = {}
    for condition in reversed(conditions):
        for part, changes in condition.items():
            fields[part] = fields.get(part, {}) | changes
    target = instance(
        **fields.get("target", {}), options=options(**fields.get("options", {})), tags=fields.get("tags", {})
    )
    seen = evidence(**fields.get("evidence", {}))
    return target, seen, History(**fields.get("history", {})), Policy(**fields.get("policy", {}))


@pytest.mark.parametrize("condition", ROWS, ids=[reason for reason, _ in ROWS])
def test_every_row_is_reached_by_what_it_says_alone(condition: tuple[Reason, dict[str, Any]]) -> None:
    """Each row's condition alone leads to its reason."""
    reason, fields = condition
    assert reason is decide(*combined([fields]), NOW).reason


@given(st.sets(st.integers(0, len(ROWS) - 1), min_size=1))
def test_rows_are_asked_in_order(numbers: set[int]) -> None:
    """Of all the rows that match, the first wins; an enforcement that was put back since is no longer seen as opened."""
    matching = [ROWS[number] for number in sorted(numbers)]
    assert matching[0][0] is decide(*combined([fields for _, fields in matching]), NOW).reason


@given(st.sets(st.integers(0, len(ROWS) - 1), min_size=1))
def test_an_acceptance_passes_its_rows_and_no_other(numbers: set[int]) -> None:
    """Of the rows that match, the first that a person cannot accept holds; where there is none, it is enforced and says what
    was accepted."""
    matching = [ROWS[number] for number in sorted(numbers)]
    target, seen, history, policy = combined([fields for _, fields in matching])
    verdict = decide(target, seen, replace(history, acceptance=ACCEPTANCE), policy, NOW)
    binding = [reason for reason, _ in matching if reason not in ACCEPTABLE]
    assert (binding or [Reason.UNUSED])[0] is verdict.reason
    if verdict.decision is Decision.ENFORCE and matching[0][0] is not Reason.UNUSED:
        assert verdict.explanation.startswith(f"carol accepts the change until 2026-12-01 in spite of {matching[0][0]}")
    ended = replace(history, acceptance=replace(ACCEPTANCE, until=date(2026, 11, 19)))
    assert matching[0][0] is decide(target, seen, ended, policy, NOW).reason


# --- Property tests ------------------------------------------------------------------------------------------------

# Times as EC2 and CloudWatch can give them; the edges of the calendar are dates of exemption only.
times = st.integers(0, 94 * 366 * 86_400).map(lambda seconds: at("2006-08-25 00:00") + timedelta(seconds=seconds))
maybe_times = st.none() | times
words = st.text(max_size=12)
calls = st.integers(0, 5)
tag_keys = st.sampled_from([EXEMPT_TAG, "eks:cluster-name", "kubernetes.io/cluster/x", "Name"])
tag_values = words | st.dates().map(date.isoformat)

instances = st.builds(
    Instance,
    arn=st.builds(arn, st.integers(1, 9), account=st.sampled_from([ACCOUNT, "333333333333"])),
    state=st.sampled_from(["running", "stopped", "pending", "stopping", "shutting-down", "terminated"]) | words,
    launched_at=times,
    first_launched_at=maybe_times,
    stopped_at=maybe_times,
    options=st.builds(
        options,
        http_tokens=st.sampled_from(["optional", "required"]) | words,
        http_endpoint=st.sampled_from(["enabled", "disabled"]) | words,
        hop_limit=st.integers(0, 64),
    ),
    tags=st.dictionaries(tag_keys, tag_values, max_size=3),
)
targets = (
    instances
    | st.builds(Missing, arn=st.just(arn()))
    | st.builds(Unreachable, arn=st.just(arn()), problem=words, throttled=st.booleans(), passes=st.booleans())
)
seen_before = st.builds(
    History,
    enforced_at=maybe_times,
    confirmed=st.booleans(),
    rolled_back_at=maybe_times,
    undone_at=maybe_times,
    required_seen_at=maybe_times,
    cleared_at=maybe_times,
    mended_at=maybe_times,
    missing_since=maybe_times,
    acceptance=st.none() | st.just(ACCEPTANCE),
)
evidences = st.builds(
    Evidence,
    window_start=times,
    window_end=times,
    window_known=st.booleans(),
    stopped_too_long=st.booleans(),
    problem=st.none() | words,
    passes=st.booleans(),
    use=st.builds(Use, calls=calls, hours=calls, days=calls, last=maybe_times, pattern=words),
    refused=st.builds(Refused, calls=calls, last=maybe_times, earlier=calls, since=maybe_times),
    start=st.none()
    | st.builds(
        Start,
        at=times,
        observed=st.booleans(),
        observable_at=maybe_times,
        forgotten=st.booleans(),
        resumable=st.booleans(),
        calls=calls,
        periods=calls,
        missing=calls,
    ),
    observed_hours=st.integers(0, 10_920),
    coverage=st.floats(0, 1),
    fresh=st.booleans(),
    newest=maybe_times,
    gap=st.builds(Gap, hours=st.integers(0, 100), begins=maybe_times),
    enough_at=maybe_times,
    older=st.builds(Recurrence, calls=calls, last=maybe_times, bursts=calls, ends_at=maybe_times),
)
policies = st.builds(
    Policy,
    mode=st.sampled_from(Mode),
    lookback_days=st.integers(1, 455),
    min_observed_hours=st.integers(0, 10_920),
    min_coverage=st.floats(0, 1, exclude_min=True),
    boot_evidence=st.sampled_from(BootEvidence),
    include_accounts=st.frozensets(st.sampled_from([ACCOUNT, "333333333333"])),
    exclude_regions=st.frozensets(st.sampled_from([REGION, "us-east-1"])),
)


@given(targets, st.none() | evidences, seen_before, policies, times)
def test_there_is_always_a_verdict(
    target: Target, seen: Evidence | None, history: History, policy: Policy, now: datetime
) -> None:
    """It never raises, always gives a sentence as explanation, and re-evaluates everything that is not final."""
    verdict = decide(target, seen, history, policy, now)
    assert re.search(r"\S", verdict.explanation) or isinstance(target, Unreachable)
    is_missing = verdict.reason is Reason.GONE and isinstance(target, Missing)
    look_again = is_missing and now < (history.missing_since or now) + timedelta(minutes=15)
    is_final = verdict.reason in {Reason.GONE, Reason.ALREADY_REQUIRED} and not look_again
    assert is_final is (verdict.revisit_at is None)
    assert verdict.revisit_at is None or verdict.revisit_at.tzinfo is not None


# The likeliest to be enforced, so that a change for the worse has something to spoil.
promising = st.builds(
    evidence,
    window_start=st.sampled_from([NOW - timedelta(days=35), NOW - timedelta(days=5)]),
    start=st.sampled_from([start(), start(), unseen_start(), start(calls=1), unseen_start(observable_at=NOW + HOUR)]),
    observed_hours=st.integers(150, 839),
    coverage=st.floats(0.85, 1),
    gap=st.integers(0, 26).map(gap),
    use=st.sampled_from([Use(), Use(), Use(), use()]),
    older=st.sampled_from([Recurrence(), recurring(), recurring(ends_at=NOW - HOUR), Recurrence(calls=3, bursts=1)]),
)
worse = st.sampled_from(
    [
        lambda seen: replace(seen, use=use(seen.use.calls + 1)),
        lambda seen: replace(seen, refused=refused(seen.refused.calls + 1)),
        lambda seen: replace(seen, start=replace(seen.start, calls=seen.start.calls + 1)),
        lambda seen: replace(seen, start=replace(seen.start, observed=False, missing=1)),
        lambda seen: replace(seen, start=replace(seen.start, observed=False, forgotten=True)),
        lambda seen: replace(seen, start=replace(seen.start, observed=False, resumable=True)),
        lambda seen: replace(seen, older=recurring()),
        lambda seen: replace(seen, observed_hours=max(0, seen.observed_hours - 20)),
        lambda seen: replace(seen, coverage=seen.coverage / 1.05),
        lambda seen: replace(seen, gap=gap(seen.gap.hours + 10)),
        lambda seen: replace(seen, fresh=False),
        lambda seen: replace(seen, window_known=False),
        lambda seen: replace(seen, stopped_too_long=True),
        lambda seen: replace(seen, problem="CloudWatch answered PartialData"),
        lambda _: None,
    ]
)


@given(instances | st.just(instance()), promising, worse, seen_before, policies | st.just(POLICY))
def test_more_use_or_less_evidence_never_permits_more(
    target: Instance, seen: Evidence, spoil: Any, history: History, policy: Policy
) -> None:
    """A held instance is not enforced because more calls or less evidence were observed."""
    before = decide(target, seen, history, policy, NOW).decision
    after = decide(target, spoil(seen), history, policy, NOW).decision
    assert before is Decision.ENFORCE or after is not Decision.ENFORCE


@given(instances, evidences, seen_before, policies)
def test_any_use_any_gap_and_any_doubt_rules_enforcement_out(
    target: Instance, seen: Evidence, history: History, policy: Policy
) -> None:
    """An enforced instance had complete, unused, sufficient evidence, and no person objected."""
    if decide(target, seen, history, policy, NOW).decision is not Decision.ENFORCE:
        return
    assert seen.problem is None
    assert not seen.stopped_too_long
    assert 0 == seen.refused.calls
    assert seen.window_known
    assert seen.coverage >= policy.min_coverage
    assert seen.gap.hours <= policy.max_gap_hours
    assert seen.fresh
    if history.acceptance is None:
        assert 0 == seen.use.calls
        assert seen.start is None or 0 == seen.start.calls
        assert seen.older.ends_at is None or seen.older.ends_at <= NOW
        assert seen.observed_hours >= policy.min_observed_hours
        assert (seen.start and seen.start.observed) or policy.boot_evidence is BootEvidence.IGNORE
    assert target.state in {"running", "stopped"}
    assert "required" != target.options.http_tokens
    assert "disabled" != target.options.http_endpoint
