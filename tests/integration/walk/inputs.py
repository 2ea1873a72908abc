"""What the service is given on the walk: events, schedules and people's commands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.request import Finding, Request, Source
from imdsv2.ledger.finding_key import key_of
from imdsv2.people import request as orders
from imdsv2.people.command_request import Command
from imdsv2.wiring.guard import build_guard
from imdsv2.wiring.people import build_people
from tests.integration.builders import MEMBER, OTHER, REGION
from tests.integration.walk.machine import PRODUCT, finding_id
from tests.integration.walk.trouble import Troubles, troubles
from tests.integration.walk.words import numbers
from tests.integration.walk.world import Run
from tests.world.cloudwatch import HOUR
from tests.world.life import period_of

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Outcomes
    from imdsv2.wiring.service import Service
    from tests.integration.walk.machine import Machine
    from tests.integration.walk.trouble import Trouble

some_numbers = st.lists(numbers, min_size=1, max_size=4)


class Inputs(Troubles):
    """Events, schedules and commands reach the service."""

    def __init__(self) -> None:
        super().__init__()
        self.undelivered: list[tuple[InstanceArn, Finding]] = []
        self.delivered: dict[InstanceArn, set[str]] = {}

    @rule(chosen=some_numbers, age=st.sampled_from([timedelta(), HOUR, 30 * HOUR]))
    def findings_arrive(self, chosen: list[int], age: timedelta) -> None:
        """New ones, old ones and duplicates, in one batch; failed messages stay in the queue."""
        for number in chosen:
            finding = Finding(
                id=finding_id(self.arns[number]),
                product_arn=PRODUCT,
                region=REGION,
                updated_at=self.world.clock() - age,
            )
            self.undelivered.append((self.arns[number], finding))
        self.deliver()

    @rule()
    def deliver(self) -> None:
        """Deliver the queue's messages again, old ones included."""
        requests = [Request(arn=arn, source=Source.SECURITYHUB, finding=each) for arn, each in self.undelivered]
        outcomes = self.judge(requests)
        settled = {*outcomes.judged, *outcomes.echoes} if outcomes else set()
        for arn, finding in self.undelivered:
            if arn in settled:
                self.delivered.setdefault(arn, set()).add(key_of(finding))
        self.undelivered = [each for each in self.undelivered if each[0] not in settled]

    @rule(account=st.sampled_from([MEMBER, OTHER]))
    def sweep(self, account: str) -> None:
        """The daily evaluation of all instances that allow IMDSv1."""
        found = [
            arn
            for arn, each in self.world.machines.items()
            if arn.account == account and each.state != "terminated" and each.options["HttpTokens"] == "optional"
        ]
        self.judge([Request(arn=arn, source=Source.SWEEP) for arn in found])

    @rule()
    def revisit(self) -> None:
        """Due instances are re-evaluated."""

        def act(function: Service) -> Outcomes:
            now = function.line.now()
            due = function.line.ledger.indexes.due(now, 300)
            claimed = function.line.ledger.claim(due, now + function.settings.lease)
            return function.line.run([Request(arn=arn, source=Source.REVISIT) for arn in claimed], "revisit")

        self.do(act)

    @rule(chosen=some_numbers, trouble=troubles)
    def person_enforces(self, chosen: list[int], trouble: Trouble | None) -> None:
        """By hand, not as a dry run."""
        self.meets(trouble)
        arns = {self.arns[number] for number in chosen}
        requests = [Request(arn=arn, source=Source.MANUAL, caller="ops") for arn in sorted(arns)]
        self.judge(requests, Run(by_person=True))

    @rule(chosen=some_numbers)
    def person_asks(self, chosen: list[int]) -> None:
        """A dry run changes nothing, whatever its result."""
        before = self.everything()
        requests = [Request(arn=self.arns[number], source=Source.MANUAL) for number in sorted(set(chosen))]
        self.do(lambda function: function.line.run(requests, "dry", dry_run=True), Run(by_person=True))
        assert before == self.everything()

    @rule(
        number=numbers,
        order=st.sampled_from(
            [
                {"undo": {}},
                {"approve": {}, "caller": "boss"},
                {"refuse": {}, "caller": "boss"},
                {"hold": {}, "reason": "Not now.", "owner": "team", "until": "2026-11-22"},
                {"release": {}},
                {"clear": {}},
            ]
        ),
    )
    def person_steers(self, number: int, order: dict[str, Any]) -> None:
        """Undo, approvals, holds and clearances, each for one instance."""
        arn, steer = self.arns[number], next(iter(order))
        if steer == "hold" and self.world.clock().date().isoformat() > order["until"]:
            return
        command = orders.parse({"caller": "ops"} | order | {steer: {"targets": [str(arn)]}, "dry_run": False})
        assert isinstance(command, Command)
        how = Run(by_person=True, clears=frozenset({arn} if steer == "clear" else ()))
        answer = self.do(lambda function: build_people(function).carry_out(command, "steer", lambda: True), how)
        if steer in {"approve", "refuse"}:
            self.world.approved.pop(arn, None)
        if steer == "approve" and answer and answer["results"][0]["done"]:
            self.world.approved[arn] = self.world.clock() + timedelta(days=7)

    @rule(account=st.sampled_from([MEMBER, OTHER]))
    def person_closes_the_breaker(self, account: str) -> None:
        """Whether or not it is open."""
        command = orders.parse({"close_breaker": {"account": account}, "dry_run": False, "caller": "boss"})
        assert isinstance(command, Command)
        self.do(lambda function: build_people(function).carry_out(command, "close", lambda: True), Run(by_person=True))

    @rule()
    def guard_passes(self) -> None:
        """The next pass rolls back every broken instance that may be rolled back."""
        self.world.advance(timedelta(minutes=5))
        self._guard_rescues([each for each in self.world.machines.values() if self.is_to_be_rescued(each)])

    @rule()
    def guard_passes_in_the_next_hour(self) -> None:
        """It recalls instances that broke after they were verified."""
        self.world.advance(timedelta(minutes=65))
        machines = self.world.machines.values()
        self._guard_rescues([each for each in machines if self.is_to_be_rescued(each) or self.is_to_be_recalled(each)])

    def _guard_rescues(self, due: list[Machine]) -> None:
        done = self.do(lambda function: build_guard(function).run("guard", lambda: True))
        if done is None or self.world.faulted:
            return
        # Where EC2 does not show the change yet, the next pass looks again.
        ends = {"rolled_back", "rolling_back"} if self.world.lag else {"rolled_back"}
        for each in due:
            assert "optional" == each.options["HttpTokens"]
            assert self.world.current(each.arn)["status"] in ends

    def is_to_be_rescued(self, machine: Machine) -> bool:
        """Whether the ledger says that the service enforced it, its software has calls rejected, and nothing prevents
        a rollback."""
        item = self.world.current(machine.arn)
        if item.get("status") not in {"enforced", "verified"} or item["watch"] != "open":
            return False
        since = time_of(item, "enforced_at")
        if item["status"] == "verified":
            since = time_of(item, "restarted_at") or machine.launched_at
            if since <= time_of(item, "enforced_at"):
                return False
        since = max(since, time_of(item, "cleared_at") or since)
        return self._is_refused(machine, item, since) and self._may_be_put_back(machine, item)

    def is_to_be_recalled(self, machine: Machine) -> bool:
        """Whether its calls were rejected in the last three hours, after it was verified, however long ago that was."""
        item, now = self.world.current(machine.arn), self.world.clock()
        if item.get("status") != "verified":
            return False
        proved = max(time_of(item, "verified_at"), time_of(item, "cleared_at") or time_of(item, "verified_at"))
        return self._is_refused(machine, item, max(proved, now - 3 * HOUR)) and self._may_be_put_back(machine, item)

    def _is_refused(self, machine: Machine, item: dict[str, Any], since: datetime) -> bool:
        """Whether calls were rejected in two separate periods of five minutes, or within the hour after boot software ran, as far
        as the service can know: at a start, unless one was watched and proved clean, or at what a person told of."""
        mended_at = machine.mended_at
        refused = [when for when in machine.rejected_at if when >= max(since, mended_at or since)]
        has_started_clean = item["status"] == "verified" and item["watch"] == "done" and "restarted_at" in item
        starts = [mended_at, None if has_started_clean else machine.launched_at]
        at_start = any(timedelta() <= when - start < HOUR for when in refused for start in starts if start)
        is_pattern = at_start or len({period_of(when) for when in refused}) >= 2
        return is_pattern and len(refused) >= int(self.world.policy.get("rejected_threshold", 1))

    def _may_be_put_back(self, machine: Machine, item: dict[str, Any]) -> bool:
        policy, tried_at = self.world.policy, time_of(item, "left_at")
        return (
            bool(item["confirmed"])
            and machine.options == machine.left
            and ENFORCED_TAG in machine.tags
            and machine.state != "terminated"
            and machine.arn.account not in self.world.members.closed
            and not self.world.cloudwatch(machine.arn.account).statuses
            and policy.get("rollback", "auto") == "auto"
            and self.world.policy_text is None
            and (tried_at is None or self.world.clock() - tried_at >= HOUR)
        )


def time_of(item: dict[str, Any], name: str) -> Any:
    """A time in an item of the ledger; None where it is not there."""
    return datetime.fromisoformat(item[name]) if item.get(name) else None
