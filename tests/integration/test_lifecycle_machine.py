"""Random walks through the life cycle: events, people, time and failures in any order, on the real pipeline, guard,
gates and ledger.

Hypothesis generates the walks. A judge in the small world checks every change when it is made, and after each step the
ledger must be consistent. `PROOF_EXAMPLES` sets the number of walks (`make proof` runs many).
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, run_state_machine_as_test

from imdsv2.aws import metadata_options as action
from imdsv2.ledger import account, cohort, items, transactions
from tests.integration.builders import REGION, TABLE
from tests.integration.walk.events import METRICS, Events, policies
from tests.integration.walk.inputs import time_of
from tests.integration.walk.policy import POLICY
from tests.integration.walk.trouble import NO_LAG, doubts, lags, troubles
from tests.integration.walk.words import FLEET, numbers
from tests.world.cloudwatch import HOUR
from tests.world.ledger_table import create_table
from tests.world.serial import THREADED, SerialPool

if TYPE_CHECKING:
    import botocore.session

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.walk.trouble import Trouble

WALKS = int(os.environ.get("PROOF_EXAMPLES", "150"))
STEPS = 40

JUDGED = {"would_enforce", "enforcing", "held", "skipped"}
FOLLOWS = {
    "": JUDGED,
    "would_enforce": JUDGED,
    "held": JUDGED,
    "skipped": JUDGED,
    "failed": JUDGED,
    "enforcing": JUDGED | {"enforced", "failed"},
    "enforced": JUDGED | {"verified", "rolling_back"},
    "verified": JUDGED | {"rolling_back"},
    "rolling_back": {"rolled_back", "enforced", "verified"},
    "rolled_back": JUDGED,
}
"""Which status may follow which, as the documentation has it; written independently of the code."""


class Lives(Events):
    """Six instances in two accounts, and every event that can affect them. ``ended``: how many walks have come to the end of their
    teardown, and stood all that is asserted there."""

    ended: ClassVar[int] = 0

    @initialize(
        found=st.booleans(),
        fields=policies,
        unclear=st.none() | numbers,
        using=st.sets(numbers),
        lag=lags,
        trouble=troubles | doubts,
    )
    def launch(
        self,
        fields: dict[str, Any],
        unclear: int | None,
        using: set[int],
        lag: timedelta = NO_LAG,
        trouble: Trouble | None = None,
        *,
        found: bool,
    ) -> None:
        """Everything runs, some use IMDSv1, and Security Hub may have reported all of it already; one metric may
        be incomplete. EC2 may lag, and something may fail at the first change."""
        self.looks_lag(lag, index=lag > NO_LAG)
        self.arns = [self.world.launch(account, number, image) for number, (account, image) in enumerate(FLEET)]
        self.policy_changes(fields)
        if unclear is not None:
            self.something_turns(unclear, METRICS[0])
        for number in using:
            self.world.call(self.arns[number])
        if found:
            self.meets(trouble)
            self.findings_arrive(list(range(len(FLEET))), timedelta())

    # --- Invariants ----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        """The judge has found no violation."""
        assert [] == self.wrong

    @invariant()
    def every_item_explains_itself(self) -> None:
        """Every item has a decision, a reason, an explanation, and a time of re-evaluation."""
        for arn in self.world.machines:
            item = self.world.current(arn)
            if "status" in item:
                assert all(item.get(name) for name in ("decision", "reason", "explanation", "source", "decided_at"))
                under_way = item["status"] in {"enforcing", "rolling_back"}
                # Whoever takes over a tag that was left behind takes a lease, and may die.
                may_be_leased = under_way or "untag" in item.get("owes", ())
                assert under_way <= ("owner" in item) <= may_be_leased
                # A rollback that EC2 has accepted and does not show yet is left to the next pass.
                assert under_way <= ("lease_until" in item or "returned_at" in item) <= may_be_leased
                if "revisit_at" not in item:
                    assert item["status"] == "verified" or item["reason"] in {"gone", "already_required"}
                if item["status"] == "rolling_back":
                    assert "open" == item["watch"]
                if item["status"] == "rolled_back":
                    since = {"broke_before": "rolled_back_at", "undone_by_person": "undone_at"}[item["reason"]]
                    assert ("hold", True) == (item["decision"], since in item)
                if item["reason"] == "changed_back" and item.get("watch") == "done" and "cleared_at" not in item:
                    # Whoever puts back what was rejected calls tells that it broke, also where nobody asks.
                    assert item.get("left_because") != "opened_by_person" or self._counts_as_told(arn, item)

    def _counts_as_told(self, arn: InstanceArn, item: dict[str, Any]) -> bool:
        """Whether the ledger says that something broke wherever CloudWatch showed a rejected call when it was let go."""
        machine = self.world.machines[arn]
        since = max(
            [time_of(item, "enforced_at"), *machine.mended]
        )  # What came before was dealt with, by a person's word.
        shown = any(since <= when <= time_of(item, "decided_at") for when in machine.rejected_at)
        return not shown or "broken_at" in item or "could not be read" in item["explanation"]

    @invariant()
    def every_move_is_allowed(self) -> None:
        """From the first judgement on; the last transition leads to the current status."""
        for arn in self.world.machines:
            history = self.world.history(arn)
            assert all(after in FOLLOWS[before] for before, after in zip(["", *history], history, strict=False)), (
                history
            )
            assert (history[-1] if history else None) == self.world.current(arn).get("status")

    def teardown(self) -> None:
        """Once all failures have ended, all work completes: nothing stays unfinished, and every notification is
        sent."""
        if self.wrong or not hasattr(self, "arns"):
            return
        world = self.world
        world.policy, world.policy_text = dict(POLICY), None
        world.members.closed.clear()
        for place in world.places.values():
            place.cloudwatch.statuses.clear()
        self.two_hours_pass()
        for _ in range(3):
            world.advance(26 * HOUR)
            self.findings_arrive(list(range(len(FLEET))), timedelta())
            self.revisit()
            self.guard_passes()
            self.nothing_is_wrong()
            self.every_item_explains_itself()
            self.every_move_is_allowed()
        assert [] == self.undelivered
        for arn, entry in world.function().line.ledger.read(world.machines).items():
            assert entry.status not in {"enforcing", "rolling_back"}
            assert self.delivered.get(arn, set()) <= entry.findings.keys()
            assert {} == entry.owed_notes()
            assert not (entry.has_news and entry.owes_notification())
        type(self).ended += 1


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequential and without waiting, so that a failing walk is reproducible."""
    for module in THREADED:
        monkeypatch.setattr(module, "ThreadPoolExecutor", SerialPool)
    for module in (account, cohort, items, transactions):
        monkeypatch.setattr(module, "pause", lambda _: None)
    monkeypatch.setattr(action, "_READ_BACK_AFTER", (0, 0))


WALK = settings(
    max_examples=WALKS,
    stateful_step_count=STEPS,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def test_no_walk_through_a_life_breaks_a_promise() -> None:
    """In any order of events: no invariant is violated, and every instance ends in a consistent, explained state."""
    Lives.ended = 0
    run_state_machine_as_test(Lives, settings=WALK)
    assert Lives.ended >= WALKS / 2, "the machine judges each walk at its end"


def test_the_table_in_memory_answers_as_moto_does(outside: botocore.session.Session) -> None:
    """Some of the same walks, on moto's table."""
    client: Any = outside.create_client("dynamodb", region_name=REGION)

    class OverMoto(Lives):
        def dynamodb(self) -> Any:
            if TABLE in client.list_tables()["TableNames"]:
                client.delete_table(TableName=TABLE)
            create_table(client)
            return client

    OverMoto.ended = 0
    run_state_machine_as_test(OverMoto, settings=settings(WALK, max_examples=3, stateful_step_count=20))
    assert OverMoto.ended >= 2, "the machine judges each walk at its end"
