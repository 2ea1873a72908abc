"""Rows 1 to 11 of the verdict table: what needs no look at CloudWatch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.instance import Missing, Unreachable
from imdsv2.domain.policy import Mode, Policy
from imdsv2.domain.verdict_table.decision import decide, decide_without_evidence
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, at, evidence, instance, options

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import Target
    from imdsv2.domain.verdict import Verdict

ENFORCED = History(enforced_at=NOW - timedelta(hours=1), confirmed=True)
EXEMPT_TAG = "imdsv2:exempt-until"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
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


@pytest.mark.parametrize(("passes", "wait"), [(False, DAY), (True, timedelta(minutes=15))])
def test_what_cannot_be_read_is_held(passes: bool, wait: timedelta) -> None:
    """Row 2; throttling, failures of AWS and lost connections pass soon, a missing role does not."""
    verdict = judge(Unreachable(arn=arn(), problem="The role is missing; deploy it.", passes=passes))
    assert ("hold", "unreachable") == row(verdict)
    assert "deploy it" in verdict.explanation
    assert NOW + wait == verdict.revisit_at


@pytest.mark.parametrize("target", [instance(state="terminated"), instance(state="shutting-down")])
def test_what_is_gone_is_skipped_for_ever(target: Target) -> None:
    """Row 3."""
    verdict = judge(target)
    assert ("skip", "gone") == row(verdict)
    assert verdict.revisit_at is None


@pytest.mark.parametrize(
    ("ago", "again_in"), [(None, 15 * MINUTE), (14 * MINUTE, MINUTE), (15 * MINUTE, None), (90 * DAY, None)]
)
def test_what_ec2_does_not_know_is_looked_for_once_more(ago: timedelta | None, again_in: timedelta | None) -> None:
    """Row 3: a launch may not have reached all of EC2 yet. Whoever asks meanwhile does not end the quarter of an hour."""
    history = History(missing_since=NOW - ago if ago else None)
    verdict = judge(Missing(arn=arn()), history=history)
    assert ("skip", "gone") == row(verdict)
    assert (NOW + again_in if again_in else None) == verdict.revisit_at
    assert ("once more" in verdict.explanation) is (again_in is not None)


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
        # Followed for max_exemption_days from when it is first seen.
        ("9999-12-31", NOW, at("2027-12-26 00:00")),
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


@pytest.mark.parametrize(
    "target", [Missing(arn=arn()), Unreachable(arn=arn(), problem="Access denied."), instance(state="terminated")]
)
def test_scope_comes_before_anything_that_is_read(target: Target) -> None:
    """Row 1 is decided before the account is queried, whatever the account would answer."""
    assert ("skip", "out_of_scope") == row(judge(target, policy=Policy(exclude_regions=frozenset({REGION}))))
