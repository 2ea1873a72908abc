"""Whatever AWS does to a call: nothing slips, and in the end all is as it would have been.

The short form runs each operation with each group of faults, on paths and at calls that are chosen by a hash. With
``PROOF=long`` every row is run, and every row followed by every other fault; ``PROOF_PART=2/8`` runs the second of eight
parts of that. Rows are counted in the output.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from infra.service_models import OPERATIONS
from tests.proof.faults.expected import EXPECTED, group_of
from tests.proof.faults.matrix import clean, pairs, rows, run
from tests.proof.faults.paths import PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.proof.faults.matrix import Row

_OUTSIDE = {"securityhub:CreateActionTarget", "securityhub:DeleteActionTarget", "securityhub:UpdateActionTarget"}
"""Calls of the stack's own deployment, which CloudFormation repeats."""


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


def chosen() -> tuple[list[Row], int]:
    """The rows to run, and how many there are."""
    single = all_rows()
    count = sum(1 + len(pairs(row)) for row in single)
    if os.environ.get("PROOF") != "long":
        return list(sample(single)), count
    number, _, parts = os.environ.get("PROOF_PART", "1/1").partition("/")
    several = [*single, *(pair for row in single for pair in pairs(row))]
    return several[int(number) - 1 :: int(parts)], count


def complaints_about(row: Row) -> list[str]:
    """What is wrong about a row."""
    result = run(row)
    complaints = [*result.wrong, *(f"the end differs: {each}" for each in result.differs)]
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
    deployed = {f"{service}:{name}" for service, names in OPERATIONS.items() for name in names}
    assert deployed - _OUTSIDE == called
    assert called == set(EXPECTED)


def test_what_a_fault_comes_to(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is lost, changed twice, unwatched or untold; in the end all is as it would have been."""
    several, count = chosen()
    problems = [problem for row in several for problem in complaints_about(row)]
    with capsys.disabled():
        print(f"\nfault matrix: {len(several)} rows run of {count}", end=" ")  # noqa: T201 - counts are its result
    assert not problems, "\n".join(problems)
