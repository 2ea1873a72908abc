"""Reboots, which EC2 does not show, and what people say of the past of instances: `mended` and `accept`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from imdsv2.people import request as orders
from imdsv2.people.command_request import Command
from imdsv2.wiring.people import build_people
from tests.integration.builders import MEMBER, OTHER
from tests.integration.walk.running import Running
from tests.integration.walk.world import Run
from tests.world.cloudwatch import HOUR

if TYPE_CHECKING:
    from tests.integration.walk.machine import Machine

FLEET = [*((MEMBER, image) for image in ("ami-one", "ami-one", "ami-two", "ami-two")), *2 * [(OTHER, "ami-one")]]
"""Account and image of each instance."""

numbers = st.integers(0, len(FLEET) - 1)


class Words(Running):
    """Reboots, and words about the past."""

    @rule(number=numbers, boots_with_imdsv1=st.booleans())
    def reboots(self, number: int, *, boots_with_imdsv1: bool) -> None:
        """An instance is rebooted: boot software runs and may call IMDSv1, which may be refused."""
        if self.machine(number).state == "running":
            self.world.reboot(self.arns[number])
            if boots_with_imdsv1:
                self.world.call(self.arns[number])

    def others_set(self, machine: Machine, **options: Any) -> None:
        """Somebody else changes the options of an instance."""
        in_doubt = self.world.current(machine.arn).get("status") == "enforcing"
        machine.others_set(self.world.clock(), in_doubt=in_doubt, **options)

    @rule(number=numbers, boots_with_imdsv1=st.booleans())
    def somebody_tries_it_out(self, number: int, *, boots_with_imdsv1: bool) -> None:
        """Somebody else requires tokens, reboots the instance to see what fails, and makes them optional again."""
        machine = self.machine(number)
        if machine.options["HttpTokens"] == "optional":
            self.others_set(machine, HttpTokens="required")
            self.world.advance(timedelta(minutes=20))
            self.reboots(number, boots_with_imdsv1=boots_with_imdsv1)
            self.world.advance(timedelta(minutes=20))
            self.others_set(machine, HttpTokens="optional")

    @rule(
        number=numbers,
        told=st.sampled_from(["boot", timedelta(), HOUR, 30 * HOUR, -HOUR]),
        by_cohort=st.booleans(),
        dry_run=st.booleans(),
    )
    def person_says_mended(self, number: int, told: str | timedelta, *, by_cohort: bool, dry_run: bool) -> None:
        """Of one instance, or of all that run the same software: truly (at its last boot), or so long ago. Of the future, nobody
        can."""
        machine, now = self.machine(number), self.world.clock()
        at = machine.booted_at if isinstance(told, str) else now - told
        cohort = {each.arn for each in self.world.machines.values() if each.cohort == machine.cohort}
        said_of = cohort if by_cohort else {machine.arn}
        expected = {arn for arn in said_of if self.world.current(arn).get("cohort") == machine.cohort}
        scope = {"cohort": machine.cohort} if by_cohort else {"targets": [str(machine.arn)]}
        before = self.everything()
        self.world.remember_periods(said_of, at)
        mended = {} if dry_run else dict.fromkeys(said_of, at)
        answer = self._say(
            {"mended": scope, "at": at.isoformat(), "dry_run": dry_run}, Run(by_person=True, mended=mended)
        )
        if dry_run or at > now:
            assert before == self.everything()
        if answer is not None:
            assert at <= self.world.clock()
            told_of = {each["target"]: each for each in answer["results"]}
            assert told_of.keys() <= set(map(str, said_of))
            assert {str(arn) for arn in expected if "revisit_at" in self.world.current(arn)} <= told_of.keys()
            assert all(each["done"] != bool(dry_run or each["problem"]) for each in told_of.values())

    @rule(number=numbers, until=st.sampled_from(["2026-11-22", "2027-03-31"]))
    def person_accepts(self, number: int, until: str) -> None:
        """What the evidence of one instance says."""
        if self.world.clock().date().isoformat() > until:
            return
        arn = self.arns[number]
        said = {"reason": "One probe.", "owner": "team", "until": until, "dry_run": False}
        self._say({"accept": {"targets": [str(arn)]}, **said}, Run(by_person=True, accepts=frozenset({arn})))

    def _say(self, order: dict[str, Any], how: Run) -> Any:
        command = orders.parse({"caller": "ops"} | order)
        assert isinstance(command, Command)
        return self.do(lambda function: build_people(function).carry_out(command, "say", lambda: True), how)
