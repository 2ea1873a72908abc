"""What a cohort says, by the datapoints of all its members, as docs/cohorts.md has it: slow, and without memory and short cuts. What it
computes is compared with what the service says (test_cohort_reference.py)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.verdict import Decision, Reason
from tests.unit.evidence_builders import DAY, RAN, REFUSED, START, USE
from tests.unit.plain_evidence import ACCEPTABLE, Hours, clean_starts, holding_rows, start_is_seen, used_at_start
from tests.unit.plain_told import FINE_FOR, SHUTDOWN, Told, five_of
from tests.world.cloudwatch import HOUR, hour_of

if TYPE_CHECKING:
    from imdsv2.domain.policy import Policy

LITTLE = {Reason.NO_EVIDENCE, Reason.TOO_YOUNG, Reason.BOOT_NOT_OBSERVABLE}
SHARED = {"group", "fleet"}
"""What gives all its instances the user data of the template."""


@dataclass(frozen=True, kw_only=True)
class Sibling:
    """One member, living or gone, as it is known to the others. ``settled``: until when a person has settled what it did."""

    told: Told
    is_gone: bool = False
    settled: datetime | None = None

    @property
    def seen_as(self) -> Told:
        """Of what has ended nobody knows the first launch."""
        if not self.is_gone:
            return self.told
        return replace(self.told, target=replace(self.told.target, first_launched_at=None))

    @property
    def since(self) -> datetime:
        """The beginning of the cohort's window."""
        return self.told.now - timedelta(days=self.told.policy.lookback_days)

    @property
    def used(self) -> Counter[datetime]:
        """Its accepted calls by the hour, in its own window."""
        told, off = self.seen_as, self.told.end + SHUTDOWN * (self.told.target.state == "stopped")
        calls = told.points(USE).items()
        hours: Counter[datetime] = Counter()
        for when, value in calls:
            if value and hour_of(when) + HOUR > told.begin and hour_of(when) < off:
                hours[hour_of(when)] += round(value)
        return hours

    @property
    def refusals(self) -> list[datetime]:
        """Its refused calls that no person has settled: the day, or on that of a person's word the five minutes."""
        told, word = self.seen_as, self.seen_as.settled_until
        is_fine = word is not None and word >= told.now - FINE_FOR
        known = [each for each in self._refused_at() if told.counts(each)]
        return [five_of(each) if is_fine and day_of(each) == day_of(word or each) else day_of(each) for each in known]

    def _refused_at(self) -> list[datetime]:
        """The stamps of all its refused calls, as often as there were some."""
        told, off = self.seen_as, self.told.end + SHUTDOWN * (self.told.target.state == "stopped")
        points = told.points(REFUSED).items()
        first = day_of(hour_of(told.begin))
        return [when for when, value in points for _ in range(round(value)) if first <= when and hour_of(when) < off]

    @property
    def refused(self) -> Counter[datetime]:
        """The same by the day."""
        return Counter(map(day_of, self.refusals))

    @property
    def calls(self) -> bool:
        """Whether calls of it count: in the cohort's window, and not settled."""
        return self.uses or self.was_refused

    @property
    def latest(self) -> datetime:
        """What was over by then counts no more."""
        settled = self.settled or self.since
        return self.told.now + DAY if settled >= self.told.now else max(self.since, settled)

    @property
    def uses(self) -> bool:
        """Whether accepted calls of it count."""
        return any(hour + HOUR > self.latest for hour in self.used)

    @property
    def was_refused(self) -> bool:
        """Whether refused calls of it count."""
        return any(each + DAY > self.latest for each in self.refusals)

    @property
    def is_quiet(self) -> bool:
        """Whether it made none at all, or none since its evidence began anew."""
        was_mended = self.seen_as.settled_until == self.seen_as.begin
        return not self.used and not (self.refusals if was_mended else self._refused_at())

    @property
    def strays(self) -> int:
        """In how many hours and days its calls came, if they look like strays or probes; else none."""
        told, used = self.seen_as, self.used if self.uses else Counter[datetime]()
        refused = self.refused if self.was_refused else Counter[datetime]()
        times = len(used) + len(refused)
        few = all(each <= 2 for each in used.values()) and all(each == 1 for each in refused.values())
        if not few or times > 2:
            return 0
        if used_at_start(told) or (told.started > told.begin and not start_is_seen(told)):
            return 0
        reported = {hour_of(each) for each in told.points(USE) if hour_of(each) + HOUR > told.begin}
        for hour in used:
            had_run = all(hour - number * HOUR in reported for number in (1, 2, 3))
            if not had_run or told.started - HOUR < hour < told.started + START:
                return 0
        near = [each for each in self.refusals if told.started - DAY < each < told.started + START]
        return 0 if refused and near else times

    @property
    def speaks(self) -> bool:
        """Whether what it showed in the window counts for others."""
        is_open = self.told.target.options.http_endpoint != "disabled"
        return self.is_quiet and is_open and self.told.end > self.since

    @property
    def hours(self) -> int:
        """The whole hours of the cohort's window in which it was observed."""
        told, history = self.seen_as, self.told.history
        hours = Hours.of(told)
        seen = set(hours.seen)
        is_closed = history.stands and (self.is_gone or told.target.options.http_tokens == "required")
        if is_closed and history.enforced_at is not None and not self._refused_at():
            ran = {hour_of(each) for each in told.points(RAN)}
            seen |= {each for each in hours.inside if each >= history.enforced_at and each in ran}
        seen = {each for each in seen if each >= self.since}
        launched = self.told.target.launched_at
        # The hour of its start was not whole, or not in the window at all; of what has ended nobody knows.
        is_one_less = self.is_gone and launched > self.since and launched != hour_of(launched)
        return max(0, len(seen) - is_one_less)

    @property
    def started(self) -> bool:
        """Whether its last start was seen without a call."""
        return start_is_seen(self.seen_as) and not used_at_start(self.seen_as)


def day_of(when: datetime) -> datetime:
    """The day (UTC) of a time."""
    return hour_of(when).replace(hour=0)


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The members of a cohort, the first of which is judged. ``times``: by how many times the hours that the policy wants, of at
    least ``hours``, an isolated call is outweighed."""

    key: str
    members: list[Sibling]
    times: int
    hours: int

    @property
    def own(self) -> Told:
        """The one that is judged."""
        return self.members[0].told

    @property
    def policy(self) -> Policy:
        """The same for all."""
        return self.own.policy

    @property
    def kind(self) -> str:
        """What makes it."""
        return self.key.split("/")[3].split(":")[0]

    @property
    def speaking(self) -> list[Sibling]:
        """Those that made no call."""
        return [each for each in self.members if each.speaks]

    @property
    def quiet_hours(self) -> int:
        """Observed hours of those that made no call."""
        return sum(each.hours for each in self.speaking)

    @property
    def starts(self) -> int:
        """How many of those were seen to start."""
        return sum(each.started for each in self.speaking)

    def binding(self, callers: list[Sibling]) -> list[Sibling]:
        """Of those that called, who holds others."""
        strays = [
            each for each in callers if each.strays and not (each.was_refused and self.policy.rejected_periods == 1)
        ]
        others = [each for each in callers if each not in strays]
        each_wants = self.times * max(self.policy.min_observed_hours, self.hours)
        outweighed = self.quiet_hours >= each_wants * sum(each.strays for each in strays)
        if not strays or (outweighed and self.policy.cohort_evidence and not has_timetable(strays)):
            return others
        return callers

    @property
    def holds(self) -> bool:
        """Row 14c."""
        callers = [each for each in self.members[1:] if each.calls]
        is_one_kind = self.kind not in {"image", "template"} or len(callers) * 10 >= len(self.members)
        return bool(self.binding(callers)) and is_one_kind

    @property
    def is_silent(self) -> bool:
        """Whether nobody's calls hold others, so that it may speak for members."""
        return self.policy.cohort_evidence and not self.binding([each for each in self.members if each.calls])

    @property
    def is_proved(self) -> bool:
        """Whether it was seen for long enough, and often enough to start."""
        return self.quiet_hours >= self.policy.min_observed_hours and self.starts >= self.policy.min_clean_starts


def has_timetable(strays: list[Sibling]) -> bool:
    """Whether three accepted calls came at the same hour, or at the same of three days or weeks that follow each other."""
    times = [hour for each in strays if each.uses for hour in each.used]
    near = [
        [sum(abs(one - first - number * step) <= HOUR for one in times) for number in range(3)]
        for first in times
        for step in (DAY, 7 * DAY)
    ]
    at_once = any(sum(abs(one - first) <= HOUR for one in times) >= 3 for first in times)
    return at_once or any(all(each) for each in near)


def plain_verdict_in(cohort: Cohort) -> tuple[Decision, set[Reason]]:
    """The decision, and the reasons that are right for it."""
    own, acceptance = cohort.own, cohort.own.history.acceptance
    accepts = acceptance is not None and own.now.date() <= acceptance.until
    rows = list(holding_rows(own))
    if cohort.holds:
        first = {Reason.HOP_LIMIT_FALLBACK, Reason.V1_IN_USE, Reason.V1_REFUSED}
        rows.insert(sum(each in first for each in rows), Reason.COHORT_USES_V1)
    holding = [each for each in rows if not (accepts and each in ACCEPTABLE | {Reason.COHORT_USES_V1})]
    if rows and set(rows) <= LITTLE and _speaks_for(cohort, own):
        return Decision.ENFORCE, {Reason.COHORT_UNUSED}
    if not holding:
        return Decision.ENFORCE, {Reason.UNUSED}
    beside = {each for each in holding[1:2] if holding[0] is Reason.V1_RECURS and each in LITTLE}
    return Decision.HOLD, {holding[0]} | beside


def _speaks_for(cohort: Cohort, own: Told) -> bool:
    """Row 18b."""
    hours, policy = Hours.of(own), cohort.policy
    others = [each for each in cohort.speaking if each.told is not own]
    is_fresh = any(each in hours.seen for each in hours.ran[-3:])
    if not others or not cohort.is_silent or not hours.seen or not is_fresh:
        return False
    return _hours_suffice(cohort, own, hours, policy) and _start_suffices(cohort, own)


def _hours_suffice(cohort: Cohort, own: Told, hours: Hours, policy: Policy) -> bool:
    wanted, first = policy.min_observed_hours * HOUR, own.target.first_launched_at
    is_new = first is not None and own.end - first < wanted and own.end - own.begin < wanted
    if is_new and hours.longest_gap() <= policy.max_gap_hours and cohort.is_proved:
        return True
    if not hours.are_covered(policy):
        return False
    if len(hours.seen) >= policy.min_observed_hours:
        return True
    mine = clean_starts(own, hours)
    of_others = sum(each.started for each in cohort.speaking if each.told is not own)
    return 0 < mine and own.end - own.begin >= wanted and mine + of_others >= policy.min_clean_starts


def _start_suffices(cohort: Cohort, own: Told) -> bool:
    """Its own, or that of another with the same user data."""
    if start_is_seen(own):
        return True
    is_over = own.is_forgotten or own.now >= own.start_over + HOUR
    is_shared = cohort.kind in SHARED and "@lt-" in cohort.key and not own.target.hibernates
    return is_over and is_shared and any(each.started for each in cohort.speaking if each.told is not own)
