"""What happens outside the service on the walk: time, software, people with consoles, the policy, failures."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from imdsv2.domain.instance import ENFORCED_TAG
from tests.integration.builders import LEASE
from tests.integration.walk.inputs import Inputs, some_numbers
from tests.integration.walk.policy import CALENDAR, EXEMPT_TAG, POLICY
from tests.integration.walk.trouble import troubles
from tests.integration.walk.words import FLEET, numbers
from tests.world.cloudwatch import HOUR

if TYPE_CHECKING:
    from tests.integration.walk.trouble import Trouble

METRICS = ["MetadataNoToken", "MetadataNoTokenRejected", "CPUUtilization"]
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


class Events(Inputs):
    """Every event that can affect the instances."""

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
                self.others_set(machine, **what)

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
