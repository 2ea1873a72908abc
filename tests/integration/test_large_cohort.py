"""Canaries of a large cohort: only as many instances are evaluated as it takes to choose them."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2.domain.cohort import cohort_of, in_order
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.domain.policy import Canary, Policy
from imdsv2.ledger.record import Record
from imdsv2.line import judge as judging
from imdsv2.line.evidence.membership import Memberships
from imdsv2.line.judge import Judge
from tests.unit import builders

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.line.judgement import Further

KIB_AN_INSTANCE = 350
FIRST = 1_000_000


@dataclass
class Place:
    """An account and Region with a cohort of that size, of which every ``willing_one_in`` could be enforced."""

    size: int
    willing_one_in: int = 1
    asked_for: list[int] = field(default_factory=list)
    """How many instances CloudWatch was asked about, call by call."""

    def __post_init__(self) -> None:
        self.instances = [
            builders.instance(arn=builders.arn(FIRST + number), image_id="ami-1") for number in range(self.size)
        ]
        self.order = in_order(each.arn for each in self.instances)
        self.willing = set(self.order[:: self.willing_one_in])

    def gather(self, _: Any, instances: Sequence[Instance], *__: Any) -> dict[InstanceArn, Evidence]:
        """Evidence, with as much held in memory meanwhile as CloudWatch's answers take for a year."""
        self.asked_for.append(len(instances))
        held = [bytearray(KIB_AN_INSTANCE * 1024) for _ in instances]
        found = {
            each.arn: builders.evidence(use=builders.use(calls=0 if each.arn in self.willing else 3))
            for each in instances
        }
        held.clear()
        return found

    def read(self, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Record]:
        """Empty records, as the ledger has them of instances that it does not know."""
        return {arn: Record(arn=arn) for arn in arns}

    def look_further(self, monkeypatch: pytest.MonkeyPatch) -> Further:
        """Ask on behalf of one more instance of the cohort."""
        policy = PolicyInForce(policy=Policy(canary=Canary(share=0.1, hours=24)))
        members: Any = type("Members", (), {"ec2": lambda *_: None, "cloudwatch": lambda *_: None})()
        ledger: Any = self
        policies: Any = type("Policies", (), {"current": lambda *_: policy})()
        monkeypatch.setattr(judging, "running_instances", lambda *_: self.instances)
        monkeypatch.setattr(judging, "gather", self.gather)
        one = builders.instance(arn=builders.arn(FIRST - 1), image_id="ami-1")
        asked = builders.judgement(builders.request(arn=one.arn), record=Record(arn=one.arn), target=one)
        images: Any = type("Images", (), {"foreign": lambda *_: set()})()
        siblings: Any = type("Siblings", (), {"pooled": lambda *_, **__: {}})()
        siblings.memberships = Memberships(clients=members, images=images)
        judge = Judge(clients=members, ledger=ledger, policies=policies, siblings=siblings, now=lambda: builders.NOW)
        return judge.look_further([asked], {str(cohort_of(one))})


def test_three_thousand_willing_ones_cost_the_evidence_of_the_few_that_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """301 with the one that asks, rounded up to batches of a hundred; they are the first in the canaries' order."""
    place = Place(3000)
    further = place.look_further(monkeypatch)
    assert [100] * 4 == place.asked_for
    assert place.order[:400] == [each.arn for each in further.willing]
    assert [2600] == list(further.unseen.values())


def test_a_small_cohort_is_evaluated_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the share is that of those that could be enforced."""
    place = Place(100, willing_one_in=4)
    further = place.look_further(monkeypatch)
    assert ([100], 25, [0]) == (place.asked_for, len(further.willing), list(further.unseen.values()))


def test_where_few_are_willing_the_search_goes_on_until_they_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of what is willing, or may be, in the order of all."""
    place = Place(1000, willing_one_in=5)
    further = place.look_further(monkeypatch)
    willing = [arn for arn in place.order if arn in place.willing]
    assert willing[: len(further.willing)] == [each.arn for each in further.willing]
    left = sum(further.unseen.values())
    assert len(further.willing) >= (len(further.willing) + left) / 10
    assert left > 0


def test_memory_does_not_grow_with_the_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CloudWatch answers about a batch is let go before the next."""
    peaks = []
    for size in (1000, 3000):
        place = Place(size)
        tracemalloc.start()
        place.look_further(monkeypatch)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    a_batch = 100 * KIB_AN_INSTANCE * 1024
    assert max(peaks) < 1.2 * a_batch
    assert peaks[1] - peaks[0] < 0.1 * a_batch
