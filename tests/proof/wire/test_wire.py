"""Whatever a connection does to a call, nothing is lost, changed twice, unwatched or untold; and the end is as without it.

Real connections between the functions' processes and the local AWS, with time-outs as deployed. The short form runs a few
rows; with ``PROOF=long``, every one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.proof import tally
from tests.proof.wire.faults import Kind
from tests.proof.wire.rows import ALWAYS, CALLS, FUNCTIONS, Row, rows, run

if TYPE_CHECKING:
    from tests.proof.wire.world import Behind

LONG = os.environ.get("PROOF") == "long"
SHORT = (
    Row("remediate", "ec2:ModifyInstanceMetadataOptions", Kind.RESET_AFTER, ALWAYS),
    Row("rollback", "ec2:ModifyInstanceMetadataOptions", Kind.CUT),
    Row("remediate", "dynamodb:TransactWriteItems", Kind.GATEWAY_AFTER),
    Row("rollback", "sns:Publish", Kind.RESET_BEFORE, ALWAYS),
)


@pytest.mark.skipif(LONG, reason="the long form runs every row")
def test_what_a_connection_does_to_a_call(behind: Behind) -> None:
    """A sample: answers that are lost, cut or a gateway's."""
    problems = [problem for row in SHORT for problem in run(row, behind)]
    assert not problems, "\n".join(problems)


@pytest.mark.skipif(not LONG, reason="the short form runs a sample")
@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("path", FUNCTIONS)
def test_what_every_connection_does_to_a_call(behind: Behind, path: str, operation: str) -> None:
    """Every row of a call."""
    table = list(rows(path, operation))
    found = {row: problems for row in table if (problems := run(row, behind))}
    tally.note("proof.wire", run=len(table), exist=len(table), violations=len(found))
    assert not found, "\n".join(each for problems in found.values() for each in problems)
