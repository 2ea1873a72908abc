"""The verdict on one instance by its datapoints, one after the other, as the documents have it: slow, and without the questions, calls,
pages, memory and short cuts of the service. What it computes is compared with what the service says (test_evidence_reference.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from imdsv2.domain.policy import BootEvidence
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.evidence_builders import DAY, FIVE, RAN, REFUSED, USE
from tests.unit.plain_told import FINE_FOR, SHUTDOWN, Told, five_of, may_be_since
from tests.world.cloudwatch import HOUR, MEMORY, hour_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imdsv2.domain.policy import Policy

WEEK = 7 * DAY
ACCEPTABLE = {
    Reason.HOP_LIMIT_FALLBACK,
    Reason.V1_IN_USE,
    Reason.V1_AT_BOOT,
    Reason.V1_RECURS,
    Reason.TOO_YOUNG,
    Reason.BOOT_NOT_OBSERVABLE,
}


def plain_verdict(told: Told) -> tuple[Decision, set[Reason]]:
    """The decision, and the reasons that are right for it: of several rows the first, except that older use is not looked for where
    the window itself says too little."""
    acceptance = told.history.acceptance
    accepts = acceptance is not None and told.now.date() <= acceptance.until
    holding = [each for each in holding_rows(told) if not (accepts and each in ACCEPTABLE)]
    if not holding:
        return Decision.ENFORCE, {Reason.UNUSED}
    few = Reason.NO_EVIDENCE, Reason.TOO_YOUNG
    beside = {each for each in holding[1:2] if holding[0] is Reason.V1_RECURS and each in few}
    return Decision.HOLD, {holding[0]} | beside


def holding_rows(told: Told) -> Iterator[Reason]:
    """Every row from 13 on that holds it, in order."""
    if _used(told):
        is_host = any(key.startswith("kubernetes.io/cluster/") for key in told.target.tags)
        yield Reason.HOP_LIMIT_FALLBACK if is_host and told.target.options.hop_limit == 1 else Reason.V1_IN_USE
    if _refused(told):
        yield Reason.V1_REFUSED
    if used_at_start(told):
        yield Reason.V1_AT_BOOT
    if _recurs(told):
        yield Reason.V1_RECURS
    hours = Hours.of(told)
    if not hours.are_covered(told.policy):
        yield Reason.NO_EVIDENCE
    if len(hours.seen) < told.policy.min_observed_hours and not _starts_suffice(told, hours):
        yield Reason.TOO_YOUNG
    if told.policy.boot_evidence is BootEvidence.REQUIRE and not start_is_seen(told):
        yield Reason.BOOT_NOT_OBSERVABLE


def _used(told: Told) -> bool:
    """Rows 13 and 14: a call in an hour that touches the window; of the hour of a person's word, what may have come after it."""
    off = told.end + SHUTDOWN if told.target.state == "stopped" else told.end
    used = [each for each in told.calls(USE) if hour_of(each) + HOUR > told.begin and hour_of(each) < off]
    word = told.history.mended_at
    if word is not None and word == told.begin and word >= told.now - FINE_FOR:
        used = [each for each in used if may_be_since(each, word)]
    return bool(used)


def _refused(told: Told) -> bool:
    """Row 14b: by the day, but for the one in the midst of which a person settled them."""
    off = told.end + SHUTDOWN if told.target.state == "stopped" else told.end
    first = hour_of(told.begin).replace(hour=0)
    return any(told.counts(each) for each in told.calls(REFUSED) if first <= each and hour_of(each) < off)


def used_at_start(told: Told) -> bool:
    """Row 15."""
    if told.is_forgotten or told.history.proved_start == told.started:
        return False
    made = [*told.calls(USE), *(each for each in told.calls(REFUSED) if told.counts(each))]
    if told.is_fine:
        over = told.start_over
        return any(may_be_since(each, told.started) and five_of(each) < over for each in made)
    last = max(told.start_over, told.started + timedelta(seconds=1))
    return any(hour_of(five_of(told.started) - FIVE) <= each and hour_of(each) < last for each in made)


def start_is_seen(told: Told) -> bool:
    """Row 18: whether each period of its start has a whole datapoint, and no refused call."""
    if told.history.proved_start == told.started:
        return True
    first = told.target.first_launched_at
    is_launch = first is not None and told.target.launched_at - first <= timedelta(minutes=1)
    may_be_resume = told.target.hibernates and told.started == told.target.launched_at and not is_launch
    if told.is_forgotten or may_be_resume or told.start_over > told.now:
        return False
    needed = _fine_needed(told) if told.is_fine else _hours_needed(told)
    period_of = five_of if told.is_fine else hour_of
    refused = {period_of(each) for each in told.calls(REFUSED)}
    samples: dict[datetime, int] = {}
    for each in told.points(USE):
        more = told.cloudwatch.samples[USE, told.target.arn.instance_id][each]
        samples[period_of(each)] = samples.get(period_of(each), 0) + 1 + more
    known = sorted(samples[each] for each in needed if each in samples)
    usual = known[len(known) // 2] if known and told.is_fine else 0
    whole = (samples.get(each, 0) >= (1 if each < told.started else max(usual, 1)) for each in needed)
    return bool(needed) and all(whole) and not any(each in refused for each in needed)


def _fine_needed(told: Told) -> list[datetime]:
    """The five minutes wholly inside its start, and those in which it began where half of them were left."""
    first = five_of(told.started)
    if first + FIVE - told.started < FIVE / 2:
        first += FIVE
    return _steps(first, five_of(told.start_over), FIVE)


def _hours_needed(told: Told) -> list[datetime]:
    """The first whole hour, and the one in which it began where a quarter of it was left."""
    first = hour_of(told.started)
    needed = [first] if first == told.started else [first, first + HOUR]
    if first != told.started and first + HOUR - told.started < HOUR / 4:
        needed = needed[1:]
    return [each for each in needed if each < told.start_over]


def _steps(first: datetime, end: datetime, step: timedelta) -> list[datetime]:
    return [first + number * step for number in range(max(0, math.ceil((end - first) / step)))]


def _recurs(told: Told) -> bool:
    """Row 15b: use before the window, by weeks since 1970; weeks that follow each other are one burst."""
    oldest = told.now - MEMORY
    said = (told.target.first_launched_at, told.history.mended_at)
    begin = max(each for each in (oldest, *said) if each is not None)
    if told.begin <= begin:
        return False
    weeks = sorted(
        {_week_of(each) for each in told.calls(USE) if _week_of(begin) <= each and each < hour_of(told.begin)}
    )
    silences = [later + WEEK - earlier for earlier, later in pairwise(weeks) if later - earlier > WEEK]
    return bool(silences) and told.now < min(weeks[-1] + WEEK, told.begin) + 2 * max(silences)


def _week_of(when: datetime) -> datetime:
    seconds = WEEK.total_seconds()
    return datetime.fromtimestamp(when.timestamp() // seconds * seconds, when.tzinfo)


@dataclass(frozen=True, kw_only=True)
class Hours:
    """The whole hours of the window.

    ``seen``: with a datapoint, and no refused call. ``ran``: in which it ran, seen or not, but for those in which the service
    required tokens.
    """

    inside: list[datetime]
    seen: set[datetime]
    ran: list[datetime]

    @classmethod
    def of(cls, told: Told) -> Hours:
        """The hours of an instance."""
        first = hour_of(told.begin + HOUR - timedelta(microseconds=1))
        inside = [each for each in _steps(first, told.end, HOUR) if each + HOUR <= told.end]
        refused = {hour_of(each) for each in told.calls(REFUSED)}
        reported = {hour_of(each) for each in told.points(USE)}
        lived = reported | refused | {hour_of(each) for each in told.points(RAN)}
        required = _required(told)
        seen = {each for each in inside if each in reported and each not in refused}
        ran = [
            each
            for each in inside
            if each in seen or ((each in lived or each >= told.target.launched_at) and not _touches(each, required))
        ]
        return cls(inside=inside, seen=seen, ran=ran)

    def are_covered(self, policy: Policy) -> bool:
        """Row 16: whether enough was observed, of late as well, and no gap is too long."""
        if not self.ran or len(self.seen) / len(self.ran) < policy.min_coverage:
            return False
        if not any(each in self.seen for each in self.ran[-3:]):
            return False
        return self.longest_gap() <= policy.max_gap_hours

    def longest_gap(self) -> int:
        """Hours in which it did not run neither count nor end it."""
        longest = current = 0
        for each in self.ran:
            current = 0 if each in self.seen else current + 1
            longest = max(longest, current)
        return longest


def _required(told: Told) -> tuple[datetime, datetime] | None:
    """From when to when the service required tokens, as far as is known."""
    since, history = told.history.enforced_at, told.history
    if since is None:
        return None
    ways_back = [each for each in (history.rolled_back_at, history.undone_at) if each is not None and each >= since]
    until = max(ways_back, default=None) or history.required_seen_at
    return (since, until) if until is not None and until >= since else None


def _touches(hour: datetime, span: tuple[datetime, datetime] | None) -> bool:
    return span is not None and hour + HOUR > span[0] and hour < span[1]


def _starts_suffice(told: Told, hours: Hours) -> bool:
    """Row 17: enough observed starts of what has existed for as many hours as the policy wants."""
    is_young = told.end - told.begin < told.policy.min_observed_hours * HOUR
    return not is_young and clean_starts(told, hours) >= told.policy.min_clean_starts


def clean_starts(told: Told, hours: Hours) -> int:
    """The last start, where it was seen without a call, and those before it in the window."""
    if not start_is_seen(told) or used_at_start(told):
        return 0
    return (told.started >= told.begin) + len(list(_earlier_starts(told, hours)))


def _earlier_starts(told: Told, hours: Hours) -> Iterator[datetime]:
    """An hour in which it began to run, seen, and the next, too, unless it was off by then. It did not run in the hour before, which is
    known of."""
    if told.target.hibernates:
        return
    lived = {hour_of(each) for metric in (USE, RAN, REFUSED) for each in told.points(metric)}
    required, used = _required(told), {hour_of(each) for each in told.calls(USE)}
    for before, hour, after in _threes(hours.inside):
        began = hour in lived and before not in lived and not _touches(before, required)
        ran = {hour, after} if after in lived or _touches(after, required) else {hour}
        is_seen = ran <= hours.seen and not ran & used
        if began and is_seen and after < hour_of(told.started):
            yield hour


def _threes(hours: list[datetime]) -> Iterable[tuple[datetime, datetime, datetime]]:
    return zip(hours, hours[1:], hours[2:], strict=False)
