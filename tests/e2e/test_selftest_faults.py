"""Each belief of the self-test is wrong once: on the local AWS, the real state machine says so of it, and of nothing else.

Several faults that do not touch each other share a self-test, and two self-tests run at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.selftest.beliefs import BELIEFS
from local.cloud.run import MEMBERS
from tests.e2e import otherwise, rehearsal
from tests.e2e.rehearsal import UNTRIED, Run, output, unlike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.world import World

FIRST, SECOND = MEMBERS
LINE, WITHOUT_LINE = {"line": True}, {"line": False}
OF_LINE = frozenset({"line-enforces", "line-rolls-back"})

GROUPS: dict[str, Run] = {
    "answers": Run(
        account=FIRST,
        order=WITHOUT_LINE,
        otherwise=frozenset(
            {
                "attach-time-stays",
                "clean-is-not-listed",
                "config-event-arrives",
                "cpu-while-running",
                "empty-is-complete",
                "malformed-id-code",
                "other-options-stay",
                "reboots-on-record",
                "stop-time-is-readable",
                "stopped-takes-changes",
                "terminated-id-code",
                "unknown-id-code",
            }
        ),
    ),
    "rollback": Run(
        account=SECOND,
        order=LINE,
        otherwise=frozenset(
            {
                "closed-endpoint-code",
                "dry-run-code",
                "hours-sum-up",
                "line-rolls-back",
                "reboot-keeps-launch-time",
                "rejected-counts",
                "roles-are-as-meant",
                "security-hub-finding-arrives",
                "zero-without-calls",
            }
        ),
    ),
    "enforcement": Run(
        account=FIRST,
        order=LINE,
        otherwise=frozenset(
            {
                "key-endpoint-now",
                "key-tokens-sent",
                "line-enforces",
                "reboots-are-made",
                "required-outlasts-restarts",
                "stack-sets-are-current",
                "tokens-alone-accepted",
            }
        ),
    ),
    "times": Run(
        account=SECOND,
        order=WITHOUT_LINE,
        otherwise=frozenset(
            {
                "change-is-shown",
                "closed-counts-nothing",
                "counts-tokenless-calls",
                "datapoints-arrive",
                "rejected-silent-when-clean",
                "rejections-arrive",
                "security-hub-v2-finding-arrives",
                "stack-sets-are-current",
            }
        ),
    ),
    "stamps": Run(
        account=FIRST,
        order=WITHOUT_LINE,
        otherwise=frozenset(
            {
                "accepted-ends-with-required",
                "closed-endpoint-stays-closed",
                "key-options-sent",
                "rejected-in-its-period",
                "rejected-is-listed",
                "security-hub-v2-answers",
                "stamped-with-start",
                "start-moves-launch-time",
            }
        ),
    ),
    "descriptions": Run(
        account=SECOND,
        order=WITHOUT_LINE,
        otherwise=frozenset(
            {
                "managed-resources-accepted",
                "security-hub-v2-answers",
            }
        ),
    ),
}
"""Two neighbours run at a time, and share what is otherwise in the service's own account."""

ROUNDS = [dict(list(GROUPS.items())[at : at + 2]) for at in range(0, len(GROUPS), 2)]

LEAVES_UNTRIED: dict[str, frozenset[str]] = {
    "line-enforces": frozenset({"line-rolls-back"}),
    "rejected-is-listed": frozenset({"clean-is-not-listed"}),
    "tokens-alone-accepted": frozenset(
        {
            "accepted-ends-with-required",
            "change-is-shown",
            "clean-is-not-listed",
            "other-options-stay",
            "rejected-counts",
            "rejected-in-its-period",
            "rejected-is-listed",
            "rejections-arrive",
        }
    ),
    "managed-resources-accepted": frozenset(
        {
            "attach-time-stays",
            "change-is-shown",
            "other-options-stay",
            "reboot-keeps-launch-time",
            "required-outlasts-restarts",
            "start-moves-launch-time",
            "stopped-takes-changes",
            "terminated-id-code",
            "tokens-alone-accepted",
        }
    ),
}
"""Beliefs that cannot be tried where another is wrong."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with rehearsal.deployed() as world:
        yield world


@pytest.fixture(scope="module")
def judged(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The result of each group's self-test."""
    pace = rehearsal.minute_seconds(world, FIRST)
    results: dict[str, dict[str, Any]] = {}
    for groups in ROUNDS:
        done = rehearsal.rehearse(world, tmp_path_factory.mktemp("faults"), list(groups.values()), pace)
        results |= {name: rehearsal.result(world, output(each)) for name, each in zip(groups, done, strict=True)}
    return results


def test_every_belief_that_is_tried_is_wrong_once() -> None:
    """There is a way in which AWS is otherwise for each, and a group with it."""
    tried = {belief.id for belief in BELIEFS} - UNTRIED
    assert tried == otherwise.WAYS
    assert tried == frozenset().union(*(run.otherwise for run in GROUPS.values()))


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_otherwise_is_contradicted_and_nothing_else(group: str, judged: dict[str, dict[str, Any]]) -> None:
    """Each fault contradicts its own belief, by name."""
    found = {row["belief"]: row["seen"] for row in judged[group]["beliefs"] if row["outcome"] == "contradicted"}
    assert GROUPS[group].otherwise == found.keys(), found


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_as_believed_is_confirmed(group: str, judged: dict[str, dict[str, Any]]) -> None:
    """But for what cannot be tried."""
    run = GROUPS[group]
    untried = UNTRIED.union(*(LEAVES_UNTRIED.get(belief, frozenset()) for belief in run.otherwise))
    if run.order == WITHOUT_LINE:
        untried |= OF_LINE
    others = unlike("confirmed", judged[group])
    assert set() == others.keys() - run.otherwise - untried, others
