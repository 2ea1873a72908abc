"""Prowler and Cloud Custodian on a fleet: what the service enforced, and nothing else, is in order after it.

What they call in order is where tokens are required or the metadata endpoint is disabled. Whether software needs IMDSv1 is beyond
them. The local AWS forgets the metadata options of launch configurations, so the check of these fails whatever they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proof import tally
from tests.proof.judges.commands import CHECKS, INSTANCES

if TYPE_CHECKING:
    from tests.proof.judges.conftest import Judged


def test_the_service_did_what_the_demo_expects(judged: Judged) -> None:
    """Otherwise the judges would judge something else."""
    assert {each.machine.name: (each.machine.decision, each.machine.reason) for each in judged.fleet} == judged.verdicts
    assert judged.enforced


def test_prowler_passes_exactly_what_was_enforced(judged: Judged) -> None:
    """Each such instance failed before; every other status of every check is the same, and none came or went."""
    enforced = {(INSTANCES, each.arn) for each in judged.fleet if each.instance_id in judged.enforced}
    assert {"FAIL"} == {judged.before.prowler[each] for each in enforced}
    expected = {**judged.before.prowler, **dict.fromkeys(enforced, "PASS")}
    wrong = {status for status, _ in expected.items() ^ judged.after.prowler.items()}
    tally.note("proof.judges", run=len(expected), exist=len(expected), violations=len(wrong))
    assert set() == wrong


def test_every_check_had_something_to_judge(judged: Judged) -> None:
    """A check without a resource would pass whatever the service does. Beside what it enforced, there is much that it left."""
    assert set(CHECKS) == {check for check, _ in judged.after.prowler}
    assert set(CHECKS) == {check for (check, _), status in judged.after.prowler.items() if status == "FAIL"}


def test_custodian_no_longer_chooses_exactly_what_was_enforced(judged: Judged) -> None:
    """It chose each such instance before, and chooses every other one as before."""
    assert judged.enforced <= judged.before.custodian
    assert judged.before.custodian - judged.enforced == judged.after.custodian


def test_the_judges_are_of_one_opinion(judged: Judged) -> None:
    """Before and after, instance by instance."""
    for opinions in (judged.before, judged.after):
        failed = {arn for (check, arn), status in opinions.prowler.items() if (check, status) == (INSTANCES, "FAIL")}
        assert opinions.custodian == {each.instance_id for each in judged.fleet if each.arn in failed}
