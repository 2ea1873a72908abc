"""The verdict table: each row, its boundaries, and the order of the rows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.decision import decide, decide_without_evidence
from imdsv2.domain.evidence import Evidence
from imdsv2.domain.history import History
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.policy import BootEvidence, Mode, Policy
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, at, evidence, instance, options

if TYPE_CHECKING:
    from imdsv2.domain.instance import Target
    from imdsv2.domain.verdict import Verdict

ENFORCED = History(enforced_at=NOW - timedelta(hours=1), confirmed=True)
EXEMPT_TAG = "imdsv2:exempt-until"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
POLICY = Policy()


def judge(
    target: Target | None = None,
    seen: Evidence | None = None,
    history: History = History(),  # noqa: B008 - frozen
    policy: Policy = POLICY,
    now: datetime = NOW,
) -> Verdict:
    """Judge an instance that, unless a test says otherwise, may be enforced."""
    return decide(target or instance(), seen or evidence(), history, policy, now)


def row(verdict: Verdict) -> tuple[str, str]:
    """Decision and reason."""
    return verdict.decision.value, verdict.reason.value


# --- Row 1: out of scope -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"include_accounts": frozenset({"999999999999"})}, ("include_accounts", ACCOUNT)),
        ({"exclude_accounts": frozenset({ACCOUNT})}, ("exclude_accounts", ACCOUNT)),
        ({"exclude_regions": frozenset({REGION})}, ("exclude_regions", REGION)),
        (
            {"include_accounts": frozenset({ACCOUNT}), "exclude_accounts": frozenset({ACCOUNT})},
            ("exclude_accounts", ACCOUNT),
        ),
    ],
)
def test_what_the_policy_leaves_out_is_skipped(fields: dict[str, Any], named: tuple[str, ...]) -> None:
    """Row 1, and the explanation names the setting that leaves it out."""
    verdict = judge(policy=Policy(**fields))
    assert ("skip", "out_of_scope") == row(verdict)
    assert all(word in verdict.explanation for word in named)
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    "policy",
    [
        Policy(include_accounts=frozenset({ACCOUNT, "999999999999"})),
        Policy(exclude_accounts=frozenset({"999999999999"}), exclude_regions=frozenset({"us-east-1"})),
        *(Policy(mode=mode) for mode in Mode),
    ],
)
def test_what_the_policy_does_not_leave_out_is_judged(policy: Policy) -> None:
    """Other accounts, other Regions and the mode do not put an instance out of scope; the mode is a gate."""
    assert ("enforce", "unused") == row(judge(policy=policy))


# --- Rows 2 to 5 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("throttled", "wait"), [(False, DAY), (True, timedelta(minutes=15))])
def test_what_cannot_be_read_is_held(throttled: bool, wait: timedelta) -> None:
    """Row 2; throttling passes soon, a missing role does not."""
    verdict = judge(Unreachable(arn=arn(), problem="The role is missing; deploy it.", throttled=throttled))
    assert ("hold", "unreachable") == row(verdict)
    assert "deploy it" in verdict.explanation
    assert NOW + wait == verdict.revisit_at


@pytest.mark.parametrize("target", [Missing(arn=arn()), instance(state="terminated"), instance(state="shutting-down")])
def test_what_is_gone_is_skipped_for_ever(target: Target) -> None:
    """Row 3."""
    verdict = judge(target)
    assert ("skip", "gone") == row(verdict)
    assert verdict.revisit_at is None


def test_what_requires_tokens_is_skipped_for_ever() -> None:
    """Row 4."""
    verdict = judge(instance(options=options(http_tokens="required")))
    assert ("skip", "already_required") == row(verdict)
    assert verdict.revisit_at is None


def test_a_disabled_endpoint_stays_closed() -> None:
    """Row 5."""
    verdict = judge(instance(options=options(http_endpoint="disabled")))
    assert ("skip", "endpoint_disabled") == row(verdict)
    assert NOW + DAY == verdict.revisit_at


# --- Rows 6 and 7: exemption ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "now", "revisit_at"),
    [
        ("2026-11-20", NOW, at("2026-11-21 00:00")),
        ("2026-11-20", at("2026-11-20 23:59:59"), at("2026-11-21 00:00")),
        ("2027-02-28", NOW, at("2027-03-01 00:00")),
        ("9999-12-31", NOW, at("9999-12-31 00:00")),
        # In Auckland it is the 21st already; the date is one in UTC.
        ("2026-11-20", datetime(2026, 11, 21, 11, 30, tzinfo=timezone(timedelta(hours=13))), at("2026-11-21 00:00")),
    ],
)
def test_an_exemption_holds_to_the_end_of_its_day(value: str, now: datetime, revisit_at: datetime) -> None:
    """Row 6: the date is inclusive and in UTC, and the instance is re-evaluated the day after."""
    verdict = judge(instance(tags={EXEMPT_TAG: value}), now=now)
    assert ("skip", "exempt") == row(verdict)
    assert value in verdict.explanation
    assert revisit_at == verdict.revisit_at


@pytest.mark.parametrize(
    ("value", "now"),
    [
        ("2026-11-19", NOW),
        ("0001-01-01", NOW),
        ("2026-11-20", at("2026-11-21 00:00")),
        # In Honolulu it is still the 20th.
        ("2026-11-20", datetime(2026, 11, 20, 14, 0, tzinfo=timezone(timedelta(hours=-10)))),
    ],
)
def test_a_past_exemption_exempts_nothing(value: str, now: datetime) -> None:
    """Row 6 is left behind when its day is over."""
    assert ("enforce", "unused") == row(judge(instance(tags={EXEMPT_TAG: value}), now=now))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "forever",
        "true",
        "2026-1-1",
        "26-01-01",
        " 2027-01-01",
        "2027-01-01 ",
        "2027-01-01\n",
        "2027-01-01T00:00",
        "2027-01-01T00:00:00Z",
        "20270101",
        "2027-W01-1",
        "2027-W011",
        "2027-001",
        "2027/01/01",
        "01-01-2027",
        "2027-02-29",
        "2027-13-01",
        "2027-01-00",
        "0000-01-01",
        "+027-01-01",
        "-027-01-01",
        "2027-01-01-",
        "10000-01-01",
        "٢٠٢٧-٠١-٠١",  # noqa: RUF001 - digits, but not those of a date
        "2027\u201001\u201001",
        "\ud800",
        "x" * 10_000,
    ],
)
def test_an_exemption_that_is_no_date_holds(value: str) -> None:
    """Row 7: only `YYYY-MM-DD` is valid; the explanation names the tag, its value and the correct format."""
    verdict = judge(instance(tags={EXEMPT_TAG: value}))
    assert ("hold", "exemption_unreadable") == row(verdict)
    assert EXEMPT_TAG in verdict.explanation
    assert "YYYY-MM-DD" in verdict.explanation
    assert len(verdict.explanation) < 400
    verdict.explanation.encode()
    assert NOW + DAY == verdict.revisit_at


def test_the_exempt_tag_is_the_one_of_the_policy() -> None:
    """The tag named in the policy exempts; the default tag then no longer does."""
    policy = Policy(exempt_tag="keep-v1-until")
    assert ("skip", "exempt") == row(judge(instance(tags={"keep-v1-until": "2027-01-01"}), policy=policy))
    assert ("enforce", "unused") == row(judge(instance(tags={EXEMPT_TAG: "2027-01-01"}), policy=policy))


# --- Row 10: changed back ------------------------------------------------------------------------------------------


def test_what_somebody_changed_back_is_never_fought() -> None:
    """Row 10; the explanation says when it was enforced and how a person clears it."""
    verdict = judge(history=ENFORCED)
    assert ("hold", "changed_back") == row(verdict)
    assert "2026-11-20 13:30 UTC" in verdict.explanation
    assert "clear" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        (timedelta(), "not_ready"),
        (timedelta(seconds=-5), "not_ready"),
        (timedelta(minutes=9, seconds=59), "not_ready"),
        (timedelta(minutes=10), "not_ready"),
        (timedelta(minutes=10, seconds=1), "changed_back"),
    ],
)
def test_a_change_has_ten_minutes_to_settle(since: timedelta, reason: str) -> None:
    """Row 10: EC2 may show the old value for a while; this does not mean that someone changed it back."""
    verdict = judge(history=History(enforced_at=NOW - since, confirmed=True))
    assert ("hold", reason) == row(verdict)
    assert NOW + (DAY if reason == "changed_back" else timedelta(minutes=15)) == verdict.revisit_at


def test_a_change_that_ec2_is_still_applying_is_nobody_s_word_yet() -> None:
    """Row 10: `pending` means that the value in EC2 is not final."""
    verdict = judge(instance(options=options(state="pending")), history=ENFORCED)
    assert ("hold", "not_ready") == row(verdict)


def test_a_change_to_a_stopped_instance_waits_for_its_start() -> None:
    """Row 10: on a stopped instance the change applies at the next start, however long ago it was made."""
    verdict = judge(instance(state="stopped", stopped_at=NOW - HOUR), history=ENFORCED)
    assert ("hold", "not_ready") == row(verdict)
    assert "starts" in verdict.explanation
    assert NOW + timedelta(minutes=15) == verdict.revisit_at


@pytest.mark.parametrize(
    "history",
    [
        History(),
        History(enforced_at=NOW - HOUR, confirmed=False),
        History(enforced_at=NOW - HOUR, confirmed=True, cleared_at=NOW - HOUR / 2),
        History(cleared_at=NOW - HOUR),
        History(confirmed=True),
    ],
)
def test_only_a_confirmed_enforcement_that_was_not_cleared_counts(history: History) -> None:
    """Row 10 applies only to the service's own changes, and a person may clear them."""
    assert ("enforce", "unused") == row(judge(history=history))


@pytest.mark.parametrize("cleared_at", [ENFORCED.enforced_at, NOW - DAY])
def test_a_clearance_voids_earlier_enforcements_only(cleared_at: datetime) -> None:
    """A call with `clear` enforces at the same time as it clears; it does not void that enforcement."""
    assert ("hold", "changed_back") == row(judge(history=replace(ENFORCED, cleared_at=cleared_at)))


# --- Row 11: not ready ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "stopping", "rebooting-one-day", ""])
def test_an_instance_between_states_is_not_ready(state: str) -> None:
    """Row 11: any state except running and stopped, including states that EC2 may add."""
    verdict = judge(instance(state=state))
    assert ("hold", "not_ready") == row(verdict)
    assert NOW + timedelta(minutes=15) == verdict.revisit_at


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_running_and_stopped_instances_are_judged_by_their_evidence(state: str) -> None:
    """Row 11 lets both pass; only instances that pass need a query to CloudWatch."""
    target = instance(state=state, stopped_at=NOW if state == "stopped" else None)
    assert decide_without_evidence(target, History(), POLICY, NOW) is None
    assert ("enforce", "unused") == row(judge(target))


# --- Row 12: evidence incomplete -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "wait"),
    [
        (None, DAY),
        (evidence(problem="CloudWatch answered Forbidden"), DAY),
        (evidence(problem="CloudWatch answered PartialData", tokenless_calls=3), DAY),
        (evidence(problem="Throttling: slow down", throttled=True), timedelta(minutes=15)),
    ],
)
def test_incomplete_evidence_is_none(seen: Evidence | None, wait: timedelta) -> None:
    """Row 12, whatever else the answers contain; the explanation says what went wrong."""
    verdict = decide(instance(), seen, History(), POLICY, NOW)
    assert ("hold", "evidence_incomplete") == row(verdict)
    assert (seen.problem if seen and seen.problem else "no answer") in verdict.explanation
    assert NOW + wait == verdict.revisit_at


# --- Rows 13 to 15: use --------------------------------------------------------------------------------------------

USED = evidence(tokenless_calls=3, last_tokenless_call=at("2026-11-20 14:00"))


@pytest.mark.parametrize(
    "tag",
    [
        "eks:cluster-name",
        "aws:eks:cluster-name",
        "kubernetes.io/cluster/prod",
        "karpenter.sh/nodepool",
        "AmazonECSManaged",
    ],
)
def test_use_on_a_container_host_with_a_hop_limit_of_one_may_be_the_limits_fault(tag: str) -> None:
    """Row 13; the explanation names the use, the remedy and its risk."""
    verdict = judge(instance(tags={tag: ""}), USED)
    assert ("hold", "hop_limit_fallback") == row(verdict)
    assert "3 IMDSv1 calls, the last on 2026-11-20 14:00 UTC" in verdict.explanation
    assert "hop limit to 2" in verdict.explanation
    assert "instance role" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    ("tags", "hop_limit"),
    [
        ({}, 1),
        ({"eks:cluster-name": "prod"}, 2),
        ({"eks:cluster-name": "prod"}, 3),
        ({"EKS:cluster-name": "prod"}, 1),
        ({"kubernetes.io/cluster": "prod"}, 1),
        ({"karpenter.sh/nodepools": "prod"}, 1),
        ({"aws:autoscaling:groupName": "AmazonECSManaged"}, 1),
    ],
)
def test_other_use_in_the_window_holds(tags: dict[str, str], hop_limit: int) -> None:
    """Row 14; the explanation gives the number of calls and the time of the last one."""
    verdict = judge(instance(tags=tags, options=options(hop_limit=hop_limit)), USED)
    assert ("hold", "v1_in_use") == row(verdict)
    assert verdict.explanation.startswith("3 IMDSv1 calls, the last on 2026-11-20 14:00 UTC")
    assert NOW + DAY == verdict.revisit_at


def test_one_call_is_told_as_one() -> None:
    """The explanation uses the singular."""
    verdict = judge(seen=replace(USED, tokenless_calls=1))
    assert verdict.explanation.startswith("1 IMDSv1 call, the last on")


@pytest.mark.parametrize("boot_evidence", list(BootEvidence))
def test_use_around_the_last_start_holds(boot_evidence: BootEvidence) -> None:
    """Row 15 holds whether or not the policy requires that the start was observed, and on container hosts too."""
    target = instance(tags={"eks:cluster-name": "prod"})
    verdict = judge(target, evidence(boot_tokenless_calls=2), policy=Policy(boot_evidence=boot_evidence))
    assert ("hold", "v1_at_boot") == row(verdict)
    assert "2 IMDSv1 calls" in verdict.explanation
    assert f"{target.launched_at:%Y-%m-%d %H:%M} UTC" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


# --- Rows 16 and 17: how much was seen -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coverage", "expected"),
    [
        (0.0, ("hold", "no_evidence")),
        (0.8999, ("hold", "no_evidence")),
        (0.9, ("enforce", "unused")),
        (1.0, ("enforce", "unused")),
    ],
)
def test_coverage_must_reach_the_minimum(coverage: float, expected: tuple[str, str]) -> None:
    """Row 16."""
    verdict = judge(seen=evidence(coverage=coverage))
    assert expected == row(verdict)
    if expected[0] == "hold":
        assert "90%" in verdict.explanation
        assert NOW + DAY == verdict.revisit_at


def test_without_a_stop_time_there_is_no_window() -> None:
    """Row 16, even if the numbers look good: the days they refer to are unknown."""
    verdict = judge(instance(state="stopped"), evidence(window_known=False))
    assert ("hold", "no_evidence") == row(verdict)
    assert "stopped" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_observed_hours_must_reach_the_minimum() -> None:
    """Row 17 requires as many hours as the policy says, not one more."""
    assert ("enforce", "unused") == row(judge(seen=evidence(observed_hours=168)))
    assert ("hold", "too_young") == row(judge(seen=evidence(observed_hours=167)))


def test_a_young_instance_is_judged_when_it_is_old_enough() -> None:
    """Row 17: an instance of two days reaches 168 hours in 120 more, if it keeps running."""
    launched_at = NOW - timedelta(days=2)
    seen = evidence(window_start=launched_at, observed_hours=48)
    verdict = judge(instance(launched_at=launched_at), seen)
    assert ("hold", "too_young") == row(verdict)
    assert "48 hours" in verdict.explanation
    assert "168" in verdict.explanation
    assert "2026-11-25 14:30 UTC" in verdict.explanation
    assert NOW + timedelta(hours=120) == verdict.revisit_at


@pytest.mark.parametrize(
    ("why", "target", "seen", "policy"),
    [
        ("it is stopped", instance(state="stopped", stopped_at=NOW), evidence(observed_hours=100), POLICY),
        ("its window is full already", instance(), evidence(observed_hours=100), POLICY),
        (
            "the first hours leave the window before the last ones are in it",
            instance(launched_at=NOW - timedelta(days=6)),
            evidence(window_start=NOW - timedelta(days=6), observed_hours=50),
            Policy(lookback_days=7, min_observed_hours=160),
        ),
    ],
)
def test_hours_that_cannot_be_reached_are_told(why: str, target: Instance, seen: Evidence, policy: Policy) -> None:
    """Row 17: the instance is re-evaluated in a day, and the explanation says that waiting does not help."""
    verdict = judge(target, seen, policy=policy)
    assert ("hold", "too_young") == row(verdict), why
    assert "too little" in verdict.explanation, why
    assert f"{policy.lookback_days} days" in verdict.explanation, why
    assert NOW + DAY == verdict.revisit_at, why


# --- Row 18: the last start ----------------------------------------------------------------------------------------


def test_a_start_that_was_not_observed_holds() -> None:
    """Row 18; a restart makes the start observable, and the policy may waive the requirement."""
    verdict = judge(seen=evidence(boot_observed=False))
    assert ("hold", "boot_not_observable") == row(verdict)
    assert f"{instance().launched_at:%Y-%m-%d %H:%M} UTC" in verdict.explanation
    assert "estart it" in verdict.explanation
    assert "boot_evidence" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_a_forgotten_start_holds() -> None:
    """Row 18: the explanation says that the start is older than the metric's retention."""
    verdict = judge(seen=evidence(boot_observed=False, boot_forgotten=True))
    assert ("hold", "boot_not_observable") == row(verdict)
    assert "no longer remembers" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize(
    "over_at", [NOW + timedelta(minutes=30), NOW + timedelta(seconds=1), NOW - timedelta(minutes=59)]
)
def test_a_start_that_is_not_yet_observable_is_looked_at_an_hour_after_it_is(over_at: datetime, state: str) -> None:
    """Row 18: an hour after the periods end, when CloudWatch has had time to show them."""
    target = instance(state=state, stopped_at=NOW if state == "stopped" else None)
    verdict = judge(target, evidence(boot_observed=False, boot_observable_at=over_at))
    assert ("hold", "boot_not_observable") == row(verdict)
    assert over_at + HOUR == verdict.revisit_at
    assert f"{over_at + HOUR:%Y-%m-%d %H:%M} UTC" in verdict.explanation


def test_an_hour_after_the_periods_ended_there_is_nothing_more_to_wait_for() -> None:
    """Row 18: a datapoint still missing by then will not arrive; the instance is re-evaluated in a day."""
    assert NOW + DAY == judge(seen=evidence(boot_observed=False, boot_observable_at=NOW - HOUR)).revisit_at


@pytest.mark.parametrize("forgotten", [False, True])
def test_the_policy_may_ignore_the_start(forgotten: bool) -> None:
    """Row 18 does not apply with `boot_evidence: ignore`, and the explanation does not claim what was not observed."""
    seen = evidence(boot_observed=False, boot_forgotten=forgotten)
    verdict = judge(seen=seen, policy=Policy(boot_evidence=BootEvidence.IGNORE))
    assert ("enforce", "unused") == row(verdict)
    assert "not observed" in verdict.explanation


# --- Row 19: unused ------------------------------------------------------------------------------------------------


def test_what_did_not_use_it_is_enforced() -> None:
    """Row 19; the explanation says how much was observed."""
    verdict = judge()
    assert ("enforce", "unused") == row(verdict)
    assert "No IMDSv1 call since 2026-10-16 14:30 UTC" in verdict.explanation
    assert "839 hours" in verdict.explanation
    assert "100%" in verdict.explanation
    assert NOW + HOUR == verdict.revisit_at


def test_older_use_is_told_and_does_not_hold() -> None:
    """Row 19: the explanation mentions use before the window that was not around the last start."""
    seen = evidence(older_tokenless_calls=12, older_last_tokenless_call=at("2026-08-03 05:00"))
    verdict = judge(seen=seen)
    assert ("enforce", "unused") == row(verdict)
    assert "12 IMDSv1 calls" in verdict.explanation
    assert "2026-08-03" in verdict.explanation


def test_a_stopped_instance_is_told_to_change_at_its_start() -> None:
    """Row 19: the explanation says that EC2 applies the change at the next start."""
    verdict = judge(instance(state="stopped", stopped_at=NOW))
    assert "stopped" in verdict.explanation
    assert "starts" in verdict.explanation


# --- The table as a whole ------------------------------------------------------------------------------------------

CONTAINER_HOST = {"eks:cluster-name": "prod"}

ROWS: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.OUT_OF_SCOPE, {"policy": {"exclude_accounts": frozenset({ACCOUNT})}}),
    (Reason.GONE, {"target": {"state": "terminated"}}),
    (Reason.ALREADY_REQUIRED, {"options": {"http_tokens": "required"}}),
    (Reason.ENDPOINT_DISABLED, {"options": {"http_endpoint": "disabled"}}),
    (Reason.EXEMPT, {"tags": {EXEMPT_TAG: "2027-01-01"}}),
    (Reason.EXEMPTION_UNREADABLE, {"tags": {EXEMPT_TAG: "forever"}}),
    (Reason.CHANGED_BACK, {"history": ENFORCED}),
    (Reason.NOT_READY, {"target": {"state": "pending"}}),
    (Reason.EVIDENCE_INCOMPLETE, {"evidence": {"problem": "CloudWatch answered PartialData"}}),
    (Reason.HOP_LIMIT_FALLBACK, {"evidence": {"tokenless_calls": 1}, "tags": CONTAINER_HOST}),
    (Reason.V1_IN_USE, {"evidence": {"tokenless_calls": 1}}),
    (Reason.V1_AT_BOOT, {"evidence": {"boot_tokenless_calls": 1}}),
    (Reason.NO_EVIDENCE, {"evidence": {"coverage": 0.5}}),
    (Reason.TOO_YOUNG, {"evidence": {"observed_hours": 5}}),
    (Reason.BOOT_NOT_OBSERVABLE, {"evidence": {"boot_observed": False}}),
    (Reason.UNUSED, {}),
]
"""Every row that an instance in EC2 can reach, in the table's order, with the only condition that makes it match."""


def combined(conditions: list[dict[str, Any]]) -> tuple[Instance, Evidence, History, Policy]:
    """An instance to which all conditions apply; if two set the same field, the first does."""
    fields: dict[str, dict[str, Any]] = {}
    history = History()
    for condition in reversed(conditions):
        for part, changes in condition.items():
            if part == "history":
                history = changes
            else:
                fields[part] = fields.get(part, {}) | changes
    target = instance(
        **fields.get("target", {}), options=options(**fields.get("options", {})), tags=fields.get("tags", {})
    )
    return target, evidence(**fields.get("evidence", {})), history, Policy(**fields.get("policy", {}))


@pytest.mark.parametrize("condition", ROWS, ids=[reason for reason, _ in ROWS])
def test_every_row_is_reached_by_what_it_says_alone(condition: tuple[Reason, dict[str, Any]]) -> None:
    """Each row's condition alone leads to its reason."""
    reason, fields = condition
    assert reason is decide(*combined([fields]), NOW).reason


@given(st.sets(st.integers(0, len(ROWS) - 1), min_size=1))
def test_rows_are_asked_in_order(numbers: set[int]) -> None:
    """Of all the rows that match, the first wins."""
    matching = [ROWS[number] for number in sorted(numbers)]
    assert matching[0][0] is decide(*combined([fields for _, fields in matching]), NOW).reason


@pytest.mark.parametrize(
    "target", [Missing(arn=arn()), Unreachable(arn=arn(), problem="Access denied."), instance(state="terminated")]
)
def test_scope_comes_before_anything_that_is_read(target: Target) -> None:
    """Row 1 is decided before the account is queried, whatever the account would answer."""
    assert ("skip", "out_of_scope") == row(judge(target, policy=Policy(exclude_regions=frozenset({REGION}))))


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
    | st.builds(Unreachable, arn=st.just(arn()), problem=words, throttled=st.booleans())
)
seen_before = st.builds(History, enforced_at=maybe_times, confirmed=st.booleans(), cleared_at=maybe_times)
evidences = st.builds(
    Evidence,
    window_start=times,
    window_end=times,
    window_known=st.booleans(),
    problem=st.none() | words,
    throttled=st.booleans(),
    tokenless_calls=calls,
    last_tokenless_call=maybe_times,
    boot_observed=st.booleans(),
    boot_observable_at=maybe_times,
    boot_forgotten=st.booleans(),
    boot_tokenless_calls=calls,
    observed_hours=st.integers(0, 10_920),
    coverage=st.floats(0, 1),
    older_tokenless_calls=calls,
    older_last_tokenless_call=maybe_times,
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
    assert (verdict.reason in {Reason.GONE, Reason.ALREADY_REQUIRED}) is (verdict.revisit_at is None)
    assert verdict.revisit_at is None or verdict.revisit_at.tzinfo is not None


# The likeliest to be enforced, so that a change for the worse has something to spoil.
promising = st.builds(
    evidence,
    window_start=st.sampled_from([NOW - timedelta(days=35), NOW - timedelta(days=5)]),
    boot_observed=st.booleans(),
    boot_observable_at=st.sampled_from([NOW - HOUR, NOW + HOUR, None]),
    observed_hours=st.integers(150, 839),
    coverage=st.floats(0.85, 1),
    tokenless_calls=st.sampled_from([0, 0, 0, 1]),
    boot_tokenless_calls=st.sampled_from([0, 0, 0, 1]),
)
worse = st.sampled_from(
    [
        lambda seen: replace(seen, tokenless_calls=seen.tokenless_calls + 1, last_tokenless_call=NOW),
        lambda seen: replace(seen, boot_tokenless_calls=seen.boot_tokenless_calls + 1),
        lambda seen: replace(seen, older_tokenless_calls=seen.older_tokenless_calls + 1),
        lambda seen: replace(seen, observed_hours=max(0, seen.observed_hours - 20)),
        lambda seen: replace(seen, coverage=seen.coverage / 1.05),
        lambda seen: replace(seen, boot_observed=False),
        lambda seen: replace(seen, boot_observed=False, boot_forgotten=True),
        lambda seen: replace(seen, window_known=False),
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
    assert 0 == seen.tokenless_calls == seen.boot_tokenless_calls
    assert seen.window_known
    assert seen.coverage >= policy.min_coverage
    assert seen.observed_hours >= policy.min_observed_hours
    assert seen.boot_observed or policy.boot_evidence is BootEvidence.IGNORE
    assert target.state in {"running", "stopped"}
    assert "required" != target.options.http_tokens
    assert "disabled" != target.options.http_endpoint
