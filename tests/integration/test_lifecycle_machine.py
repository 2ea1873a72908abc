"""Random walks through the life cycle: events, people, time and failures in any order, on the real pipeline, guard,
gates and ledger.

Hypothesis generates the walks. A judge in the small world checks every change when it is made, and after each step the
ledger must be consistent. `PROOF_EXAMPLES` sets the number of walks (`make proof` runs many).
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from imdsv2.aws import metadata_options as action
from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.request import Finding, Request, Source
from imdsv2.ledger import account, cohort, transactions
from imdsv2.ledger import table as ledger
from imdsv2.ledger.record import key_of
from imdsv2.line.messages import headline
from imdsv2.people import request as orders
from tests.integration.builders import LEASE, MEMBER, OTHER, REGION, TABLE
from tests.integration.walk.policy import CALENDAR, EXEMPT_TAG, POLICY
from tests.integration.walk.trouble import NO_LAG, Troubles, doubts, lags, troubles
from tests.integration.walk.words import FLEET, numbers
from tests.integration.walk.world import PRODUCT, Run, finding_id
from tests.world.cloudwatch import HOUR
from tests.world.ledger_table import create_table
from tests.world.life import period_of
from tests.world.serial import THREADED, SerialPool

if TYPE_CHECKING:
    import botocore.session

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Outcomes
    from imdsv2.wiring import Service
    from tests.integration.walk.machine import Machine
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

METRICS = ["MetadataNoToken", "MetadataNoTokenRejected", "CPUUtilization"]
some_numbers = st.lists(numbers, min_size=1, max_size=4)
times = st.sampled_from([timedelta(minutes=1), timedelta(minutes=7), HOUR, 3 * HOUR, 9 * HOUR, 26 * HOUR, 200 * HOUR])
policies = st.sampled_from(
    [
        {},
        {"mode": "off"},
        {"mode": "observe"},
        {"canary": {"share": 0.5, "hours": 6}},
        {"max_enforcements_per_hour": 1},
        {"rollback": "alert"},
        {"rejected_threshold": 2},
        {"approval": "required"},
        {"notice_hours": 12},
        {"change_calendar": CALENDAR},
    ]
)
meddling = st.sampled_from(
    [
        {"HttpTokens": "optional"},
        {"HttpTokens": "required"},
        {"HttpPutResponseHopLimit": 2},
        {"HttpEndpoint": "disabled"},
        {"HttpEndpoint": "enabled"},
        "removes our tag",
        "exempts",
        "ends the exemption",
        "suppresses",
    ]
)


class Lives(Troubles):
    """Six instances in two accounts, and every event that can affect them."""

    def __init__(self) -> None:
        super().__init__()
        self.undelivered: list[tuple[InstanceArn, Finding]] = []
        self.delivered: dict[InstanceArn, set[str]] = {}

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

    # --- Input of the service ------------------------------------------------------------------------------------

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
            due = function.line.ledger.due(now, 300)
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
        assert isinstance(command, orders.Command)
        how = Run(by_person=True, clears=frozenset({arn} if steer == "clear" else ()))
        answer = self.do(lambda function: function.people().carry_out(command, "steer", lambda: True), how)
        if steer in {"approve", "refuse"}:
            self.world.approved.pop(arn, None)
        if steer == "approve" and answer and answer["results"][0]["done"]:
            self.world.approved[arn] = self.world.clock() + timedelta(days=7)

    @rule(account=st.sampled_from([MEMBER, OTHER]))
    def person_closes_the_breaker(self, account: str) -> None:
        """Whether or not it is open."""
        command = orders.parse({"close_breaker": {"account": account}, "dry_run": False, "caller": "boss"})
        assert isinstance(command, orders.Command)
        self.do(lambda function: function.people().carry_out(command, "close", lambda: True), Run(by_person=True))

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
        done = self.do(lambda function: function.guard().run("guard", lambda: True))
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
        since = _time(item, "enforced_at")
        if item["status"] == "verified":
            since = _time(item, "restarted_at") or machine.launched_at
            if since <= _time(item, "enforced_at"):
                return False
        since = max(since, _time(item, "cleared_at") or since)
        return self._is_refused(machine, item, since) and self._may_be_put_back(machine, item)

    def is_to_be_recalled(self, machine: Machine) -> bool:
        """Whether its calls were rejected in the last three hours, after it was verified, however long ago that was."""
        item, now = self.world.current(machine.arn), self.world.clock()
        if item.get("status") != "verified":
            return False
        proved = max(_time(item, "verified_at"), _time(item, "cleared_at") or _time(item, "verified_at"))
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
        policy, tried_at = self.world.policy, _time(item, "left_at")
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

    # --- External events -----------------------------------------------------------------------------------------

    @rule(by=times)
    def time_passes(self, by: timedelta) -> None:
        """Minutes to weeks."""
        self.world.advance(by)

    @rule(calling=some_numbers, life=st.sampled_from([HOUR / 6, 9 * HOUR]), trouble=troubles)
    def life_goes_on(self, calling: list[int], life: timedelta, trouble: Trouble | None) -> None:
        """The usual course: findings arrive, time passes, some instances call IMDSv1, the guard passes. A guard that
        dies leaves unfinished work for the next finding."""
        self.findings_arrive(list(range(len(FLEET))), timedelta())
        self.world.advance(life)
        for number in calling:
            self.world.call(self.arns[number])
        self.world.advance(timedelta(minutes=6))
        for number in calling[1:]:
            self.world.call(self.arns[number])
        self.meets(trouble)
        self.guard_passes()
        if self.world.faulted:
            self.world.advance(LEASE + timedelta(minutes=1))
            self.findings_arrive(calling, timedelta())

    @rule(
        number=numbers,
        told=st.sampled_from(["boot", HOUR, None]),
        boots_with_imdsv1=st.booleans(),
        by_cohort=st.booleans(),
        tried_out=st.booleans(),
        life=st.sampled_from([HOUR, 5 * HOUR, 14 * HOUR, 60 * HOUR]),
    )
    def software_is_updated(
        self,
        number: int,
        *,
        told: str | timedelta | None,
        boots_with_imdsv1: bool,
        by_cohort: bool,
        tried_out: bool,
        life: timedelta,
    ) -> None:
        """The usual course: an instance that has called IMDSv1 is rebooted, a person tells of it or forgets to, time passes, and
        it is judged anew. Somebody may try out meanwhile whether the update helped; it did where it boots without IMDSv1."""
        self.world.call(self.arns[number])
        self.findings_arrive([number], timedelta())
        self.world.advance(timedelta(minutes=30))
        self.reboots(number, boots_with_imdsv1=boots_with_imdsv1 and not tried_out)
        if told is not None:
            self.person_says_mended(number, told, by_cohort=by_cohort, dry_run=False)
        if tried_out:
            self.world.advance(timedelta(hours=3))
            self.somebody_tries_it_out(number, boots_with_imdsv1=boots_with_imdsv1)
        self.world.advance(life)
        self.findings_arrive([number], timedelta())

    @rule(number=numbers, again=st.booleans(), late=st.booleans())
    def software_calls_imdsv1(self, number: int, *, again: bool, late: bool) -> None:
        """The call is answered or rejected, according to the options. Once it may be anybody's; software calls again. What is
        rejected may show hours later."""
        self.world.call(self.arns[number], late=late)
        if again:
            self.world.advance(timedelta(minutes=6))
            self.world.call(self.arns[number], late=late)

    @rule(number=numbers)
    def stops(self, number: int) -> None:
        """An instance is stopped."""
        if self.machine(number).state == "running":
            self.world.advance(timedelta(minutes=1))  # EC2 tells the time of a stop to the second.
            self.world.stop(self.arns[number])

    @rule(number=numbers, boots_with_imdsv1=st.booleans())
    def starts(self, number: int, *, boots_with_imdsv1: bool) -> None:
        """An instance is started, or restarted; boot software may call IMDSv1."""
        if self.machine(number).state != "terminated":
            self.world.start(self.arns[number])
            if boots_with_imdsv1:
                self.world.call(self.arns[number])

    @rule(number=numbers)
    def goes(self, number: int) -> None:
        """An instance is terminated, and EC2 forgets it immediately."""
        if number == len(FLEET) - 1:  # One of them: most walks need their instances.
            self.world.terminate(self.arns[number])

    @rule(number=numbers, what=meddling)
    def somebody_meddles(self, number: int, what: dict[str, Any] | str) -> None:
        """Someone outside the service changes the options, the service's tag, an exemption or a finding."""
        machine = self.machine(number)
        machine.is_about_to_change(self.world.clock())
        match what:
            case "removes our tag":
                machine.tags.pop(ENFORCED_TAG, None)
                machine.meddled = True
            case "exempts":
                machine.tags[EXEMPT_TAG] = "2026-11-22"
            case "ends the exemption":
                machine.tags.pop(EXEMPT_TAG, None)
            case "suppresses":
                self.world.toggle_suppression(machine.arn)
            case dict():
                machine.others_set(self.world.clock(), **what)

    @rule(fields=policies)
    def policy_changes(self, fields: dict[str, Any]) -> None:
        """One gate changes; the others have their defaults."""
        self.world.policy, self.world.policy_text = {**POLICY, **fields}, None

    @rule(number=numbers, what=st.sampled_from(["policy", "calendar", "account", *METRICS]))
    def something_turns(self, number: int, what: str) -> None:
        """A failure begins or ends: the policy has a typo, the calendar closes, an account or a metric cannot be
        read."""
        arn = self.arns[number]
        match what:
            case "policy":
                self.world.policy_text = '{"mode": "enforced"}' if self.world.policy_text is None else None
            case "calendar":
                self.world.calendar_open = not self.world.calendar_open
            case "account":
                self.world.members.closed ^= {arn.account}
            case metric:
                statuses = self.world.cloudwatch(arn.account).statuses
                if statuses.pop((metric, arn.instance_id), None) is None:
                    statuses[metric, arn.instance_id] = "PartialData"

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
                assert under_way == ("owner" in item)
                # A rollback that EC2 has accepted and does not show yet is left to the next pass.
                assert under_way == ("lease_until" in item or "returned_at" in item)
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
            [_time(item, "enforced_at"), *machine.mended]
        )  # What came before was dealt with, by a person's word.
        shown = any(since <= when <= _time(item, "decided_at") for when in machine.rejected_at)
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
            assert not (headline(entry) and entry.owes_notification())


def _time(item: dict[str, Any], name: str) -> Any:
    return datetime.fromisoformat(item[name]) if item.get(name) else None


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequential and without waiting, so that a failing walk is reproducible."""
    for module in THREADED:
        monkeypatch.setattr(module, "ThreadPoolExecutor", SerialPool)
    for module in (account, cohort, ledger, transactions):
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
    run_state_machine_as_test(Lives, settings=WALK)


def test_the_table_in_memory_answers_as_moto_does(outside: botocore.session.Session) -> None:
    """Some of the same walks, on moto's table."""
    client: Any = outside.create_client("dynamodb", region_name=REGION)

    class OverMoto(Lives):
        def dynamodb(self) -> Any:
            if TABLE in client.list_tables()["TableNames"]:
                client.delete_table(TableName=TABLE)
            create_table(client)
            return client

    run_state_machine_as_test(OverMoto, settings=settings(WALK, max_examples=3, stateful_step_count=20))
