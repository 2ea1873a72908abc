"""Whatever AWS does to a call: nothing slips, and in the end all is as it would have been.

The short form runs each operation with each group of faults, on paths and at calls that are chosen by a hash. With
``PROOF=long`` every row is run, and some of those that are followed by another fault, chosen by ``PROOF_SEED``.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from infra.service_models import OPERATIONS, SOURCE_OPERATIONS
from tests.proof import tally
from tests.proof.faults.branches import results
from tests.proof.faults.expected import EXPECTED, OTHER_ENDS, group_of
from tests.proof.faults.matrix import clean, pairs, rows, run
from tests.proof.faults.paths import PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.proof.faults.matrix import Result, Row

LONG = os.environ.get("PROOF") == "long"
SEED = os.environ.get("PROOF_SEED", "1")
PAIRS = 60
"""Rows of each path that are followed by another fault, others with each seed."""
_OUTSIDE = {
    *(f"securityhub:{operation}ActionTarget" for operation in ("Create", "Delete", "Update")),
    "securityhub:ListAggregatorsV2",
    "securityhub:ListFindingAggregators",
    "ssm:PutParameter",
    "events:PutEvents",
    "ssm:GetParameterHistory",
    "iam:ListRoleTags",
    "config:DescribeConfigurationRecorderStatus",
    "config:DescribeConfigurationRecorders",
}
"""Calls of the stack's own deployment and of the daily look at it, which CloudFormation, Lambda and the next day repeat; of the check,
which a person does; of what sends events, which the ledger's stream delivers again; and of what tells who wrote the policy, without which the change is told all the same."""


def all_rows() -> list[Row]:
    """Every row of a single fault, in an order that has nothing to do with the paths."""
    return sorted((row for path in PATHS for row in rows(path)), key=lambda row: crc32(str(row).encode()))


def sample(several: list[Row]) -> Iterator[Row]:
    """A row for each operation and group of faults, each kind and each path."""
    seen: set[tuple[str, str]] = set()
    for row in several:
        keys = {(row.operation, group_of(row.kind)), ("", row.kind), (row.path, "")}
        if not keys <= seen:
            yield row
        seen |= keys


def complaints_about(row: Row, result: Result) -> list[str]:
    """What is wrong about a row."""
    others = OTHER_ENDS.get((row.path, row.operation, row.kind), ())
    differs = () if any(each.endswith(others) for each in result.differs) else result.differs
    complaints = [*result.wrong, *(f"the end differs: {each}" for each in differs)]
    allowed = EXPECTED[row.operation][group_of(row.kind)]
    if row.then is None and result.outcome not in allowed:
        complaints.append(f"the outcome is {result.outcome!r}, expected {sorted(allowed)}")
    return [f"{row}: {each}" for each in complaints]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_wrong_without_faults(path: str) -> None:
    """Or a row could not be compared with it."""
    assert () == clean(path).wrong


def test_every_call_that_the_service_can_make_has_rows() -> None:
    """Each operation that is deployed is called on some path, and what is expected of its failures is known."""
    called = {operation for path in PATHS for operation in clean(path).calls}
    several = (*OPERATIONS.items(), *SOURCE_OPERATIONS.items())
    deployed = {f"{service}:{name}" for service, names in several for name in names}
    assert deployed - _OUTSIDE == called
    assert called == set(EXPECTED)


@pytest.mark.skipif(LONG, reason="the long form runs every row")
def test_what_a_fault_comes_to() -> None:
    """A sample: nothing is lost, changed twice, unwatched or untold; in the end all is as it would have been."""
    problems = [problem for row in sample(all_rows()) for problem in complaints_about(row, run(row))]
    assert not problems, "\n".join(problems)


@pytest.mark.skipif(LONG, reason="the long form runs every row so")
def test_a_copy_of_the_process_comes_to_the_same_as_a_run_from_the_beginning() -> None:
    """The long form runs rows in copies that branch off at the fault."""
    came = results("images")
    assert set(came) == set(rows("images"))
    assert {} == {row: result for row, result in list(came.items())[::7] if result != run(row)}


@pytest.mark.skipif(not LONG, reason="the short form runs a sample")
@pytest.mark.parametrize("path", PATHS)
def test_what_every_fault_of_a_path_comes_to(path: str) -> None:
    """Every row, and some that are followed by another fault."""
    single = rows(path)
    chance = random.Random(f"{SEED} {path}")  # noqa: S311 - chooses, keeps no secret
    doubled = [chance.choice(pairs(row)) for row in chance.sample(single, min(PAIRS, len(single)))]
    came = {**results(path), **{row: run(row) for row in doubled}}
    problems = {str(row): found for row, result in came.items() if (found := complaints_about(row, result))}
    tally.note("proof.faults", run=len(single), exist=len(rows(path)), violations=len(problems))
    tally.note("proof.faults.pairs", run=len(doubled), exist=sum(len(pairs(row)) for row in single), violations=0)
    assert not problems, "\n".join(each for found in problems.values() for each in found)
