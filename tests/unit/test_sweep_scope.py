"""What nobody can look at, and the policy leaves out: `exclude the account`, says the runbook of the alarm, and then it has to end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from imdsv2.domain.instance import Place
from imdsv2.domain.policy import Policy
from imdsv2.sweep.scope import LEFT_OUT, in_scope, marked, missed
from imdsv2.sweep.tally import Tally, add_up, saw_nothing

NOW = datetime(2027, 4, 8, 2, 30, tzinfo=UTC)
MANAGEMENT, PILOT, OTHER = "100000000001", "200000000002", "300000000003"


def tally(account: str, region: str = "eu-central-1", error: str | None = None, **counts: int) -> dict[str, Any]:
    """What became of a place, as the state machine's map has it."""
    return {**Tally(place=Place("aws", region, account), **counts).document(), "error": error}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (Policy(), {MANAGEMENT, PILOT, OTHER}),
        (Policy(exclude_accounts=frozenset({MANAGEMENT})), {PILOT, OTHER}),
        (Policy(include_accounts=frozenset({PILOT})), {PILOT}),
        (Policy(include_accounts=frozenset({PILOT}), exclude_accounts=frozenset({PILOT})), set()),
        (Policy(exclude_regions=frozenset({"eu-central-1"})), {MANAGEMENT, PILOT, OTHER}),
    ],
)
def test_an_account_without_roles_is_no_fault_once_the_policy_leaves_it_out(policy: Policy, left: set[str]) -> None:
    """The management account never gets roles from StackSets; a pilot's policy names a few of hundreds. A Region that is left out
    says nothing of the account's others."""
    assert left == in_scope(dict.fromkeys((MANAGEMENT, PILOT, OTHER), "AccessDenied"), policy).keys()


def test_a_region_that_a_control_denies_is_no_fault_once_the_policy_leaves_it_out() -> None:
    """A Region deny control refuses every call there, in every account, every night."""
    policy = Policy(exclude_regions=frozenset({"sa-east-1"}), exclude_accounts=frozenset({OTHER}))
    tallies = marked(
        [
            tally(PILOT, "sa-east-1", error="UnauthorizedOperation"),
            tally(PILOT, "eu-west-3", error="UnauthorizedOperation"),
            tally(OTHER, "eu-west-3", error="UnauthorizedOperation"),
            tally(OTHER, "eu-north-1", imdsv1_allowed=4),
            tally(PILOT, "eu-north-1", imdsv1_allowed=2),
        ],
        policy,
        NOW,
    )
    assert [True, None, True, None, None] == [each.get(LEFT_OUT) for each in tallies]
    assert [False, True, False, False, False] == [missed(each) for each in tallies]
    summary = add_up(tallies)
    assert {f"{PILOT} eu-west-3": "UnauthorizedOperation"} == summary["errors"]
    assert (5, 6) == (summary["places"], summary["imdsv1_allowed"])
    assert "UnauthorizedOperation" == tallies[0]["error"], "whoever reads the result still sees why"


def test_a_sweep_that_saw_nothing_of_what_was_to_be_seen_is_blind() -> None:
    """What is left out neither makes it blind nor hides that it is."""
    policy = Policy(exclude_regions=frozenset({"sa-east-1"}))

    def is_blind(*tallies: dict[str, Any]) -> bool:
        judged = marked(tallies, policy, NOW)
        looked_for = [each for each in judged if LEFT_OUT not in each]
        return saw_nothing(len(looked_for), len(add_up(judged)["errors"]), 0)

    denied = tally(PILOT, "sa-east-1", error="UnauthorizedOperation")
    assert is_blind(denied, tally(PILOT, "eu-west-3", error="AccessDenied"))
    assert not is_blind(denied, tally(PILOT, "eu-west-3"))
    assert not is_blind(denied)
