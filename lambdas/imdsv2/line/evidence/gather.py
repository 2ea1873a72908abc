"""What CloudWatch remembers of instances' use of IMDSv1, read in as few calls as its limits allow.

Each look is asked only of those of which the looks before it leave it open: the window by the hour; refused calls by the day;
whether an instance ran; the last start by five minutes; use before the window by the week.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import (
    REJECTED_CALLS,
    TOKENLESS_CALLS,
    TOKENLESS_SAMPLES,
    UTILIZATION,
    instances_with_news,
    read,
)
from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.domain.evidence.hours import HOUR, WEEK_HOURS, Hours, Series, at
from imdsv2.domain.evidence.recurrence import recurrence_of
from imdsv2.domain.evidence.start import start_of
from imdsv2.domain.evidence.values import Evidence, Recurrence, Refused, Use
from imdsv2.domain.evidence.weighing import (
    day_with,
    earlier_starts,
    hours_unexplained,
    life_of,
    problem_of,
    quiet_hours,
    refused_in,
    speaks_for_enforcing,
    use_of,
)
from imdsv2.domain.evidence.window import FINE, FINE_MEMORY, MEMORY, window_of
from imdsv2.line.evidence.stops import stop_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.aws.cloudwatch import Metric
    from imdsv2.domain.evidence.values import Start
    from imdsv2.domain.evidence.window import Window
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.domain.policy import Policy

_DAY = 24 * HOUR
_WEEK = WEEK_HOURS * HOUR


def gather(
    cloudwatch: CloudWatchClient,
    instances: Iterable[Instance],
    histories: Mapping[InstanceArn, History],
    policy: Policy,
    now: datetime,
    *,
    closely: bool = False,
) -> dict[InstanceArn, Evidence]:
    """Read the evidence of instances of one account and Region. ``closely``: as members of a cohort. Whatever the window shows, refused
    calls and starts are looked at, because it depends on them what use says of others; what only the verdict on the instance itself
    depends on, coverage and older use, is not.

    A refused or incomplete answer is evidence with a ``problem``, never an exception.
    """
    looks = Looks(cloudwatch, policy, now, closely=closely)
    return looks.gather({each.arn: each for each in instances}, histories)


@dataclass(slots=True)
class Looks:
    """The looks at a group of instances, one after the other; what each found is kept for the next."""

    cloudwatch: CloudWatchClient
    policy: Policy
    now: datetime
    closely: bool = False
    tokenless: dict[InstanceArn, Series] = field(default_factory=dict)
    edges: dict[InstanceArn, Series] = field(default_factory=dict)
    ran: dict[InstanceArn, Series] = field(default_factory=dict)
    uses: dict[InstanceArn, Use] = field(default_factory=dict)
    refused: dict[InstanceArn, Series] = field(default_factory=dict)
    settled: dict[InstanceArn, Series] = field(default_factory=dict)
    straddled: dict[InstanceArn, Series] = field(default_factory=dict)
    unrefused: dict[InstanceArn, tuple[datetime, datetime]] = field(default_factory=dict)
    start_calls: dict[InstanceArn, Series] = field(default_factory=dict)
    start_refused: dict[InstanceArn, Series] = field(default_factory=dict)
    samples: dict[InstanceArn, Series] = field(default_factory=dict)

    def gather(
        self, instances: Mapping[InstanceArn, Instance], histories: Mapping[InstanceArn, History]
    ) -> dict[InstanceArn, Evidence]:
        """The evidence of each instance."""
        stops, unknown = stop_times(self.cloudwatch, instances, self.policy, self.now)
        windows = {
            arn: window_of(instance, histories[arn], self.policy, self.now, stopped_at=stops.get(arn))
            for arn, instance in instances.items()
            if arn not in unknown
        }
        self._look_at_windows(windows)
        open_ = {arn: window for arn, window in windows.items() if self._is_open(arn, window)}
        self._look_for_refused_calls(open_)
        self._look_whether_it_ran({} if self.closely else open_)
        self._look_at_starts(open_)
        evidence = {arn: self._evidence(arn, window) for arn, window in windows.items()}
        return unknown | evidence | self._with_older_use({} if self.closely else windows, evidence)

    def _read(
        self, metric: Metric, spans: Mapping[InstanceArn, Hours], period: int = HOUR
    ) -> dict[InstanceArn, Series]:
        return read(self.cloudwatch, metric, spans, period=period)

    def _look_at_windows(self, windows: Mapping[InstanceArn, Window]) -> None:
        self.tokenless = self._read(TOKENLESS_CALLS, {arn: window.touched for arn, window in windows.items()})
        edges = {
            arn: Hours(window.edge, window.edge + 1)
            for arn, window in windows.items()
            if window.edge is not None and self.tokenless[arn].values.get(window.edge)
        }
        fine = self._read(TOKENLESS_CALLS, edges, period=FINE)
        self.edges = {arn: each.holding(self.tokenless[arn].values[edges[arn].first]) for arn, each in fine.items()}

    def _is_open(self, arn: InstanceArn, window: Window) -> bool:
        """Whether the window leaves the verdict open: it is quiet, or a person accepts what was used in it."""
        problem, _ = problem_of(self.tokenless[arn], self.edges.get(arn))
        self.uses[arn] = use_of(window, self.tokenless[arn], self.edges.get(arn))
        acceptance = window.history.acceptance
        return problem is None and (
            self.closely or not self.uses[arn].calls or (acceptance is not None and acceptance.in_force(self.now))
        )

    def _look_for_refused_calls(self, windows: Mapping[InstanceArn, Window]) -> None:
        """By the day; on the day from whose midst on they count by five minutes, and by the hour before it."""
        spans = {arn: Hours(day_with(at(window.touched.first)), window.touched.end) for arn, window in windows.items()}
        spared = self._spared(
            {arn for arn, window in windows.items() if window.refused_is_known_from(spans[arn].first)}
        )
        asked = {arn: span for arn, span in spans.items() if arn not in spared}
        self.refused = self._read(REJECTED_CALLS, asked, period=_DAY)
        none = (arn for arn, days in self.refused.items() if days.problem is None and not any(days.values.values()))
        self.unrefused = {arn: (at(spans[arn].first), self.now) for arn in none}
        self.refused |= dict.fromkeys(spared, Series())
        settled, borders = {}, {}
        for arn, window in windows.items():
            since, days = window.refused_since, self.refused[arn].values
            if since is None or not any(days.values()):
                continue
            border = day_with(since)
            before = Hours(spans[arn].first, min(border + 24, spans[arn].end))
            if any(days.get(day) for day in range(before.first, before.end, 24)):
                settled[arn] = before
            if days.get(border) and since >= self.now - FINE_MEMORY:
                borders[arn] = Hours(border, border + 24)
        self.settled = self._read(REJECTED_CALLS, settled)
        fine = self._read(REJECTED_CALLS, borders, period=FINE)
        self.straddled = {arn: each.holding(self.refused[arn].values[borders[arn].first]) for arn, each in fine.items()}

    def _spared(self, known: AbstractSet[InstanceArn]) -> AbstractSet[InstanceArn]:
        """Those that had no call refused up to lately, and none since: one request for all. Where that fails, all are read."""
        try:
            named = instances_with_news(self.cloudwatch, REJECTED_CALLS, lately=False) if known else set()
        except CALL_FAILURES:
            return set()
        return {arn for arn in known if arn.instance_id not in named}

    def _look_whether_it_ran(self, windows: Mapping[InstanceArn, Window]) -> None:
        missing = {
            arn: hours_unexplained(window, self._quiet_hours(arn), self.policy) for arn, window in windows.items()
        }
        spans = {arn: Hours(hours[0], hours[-1] + 1) for arn, hours in missing.items() if hours}
        self.ran = self._read(UTILIZATION, spans)

    def _quiet_hours(self, arn: InstanceArn) -> Series:
        return quiet_hours(self.tokenless[arn], self.settled.get(arn))

    def _ran(self, arn: InstanceArn) -> Series | None:
        """In which hours it demonstrably ran, those with refused calls included; None where that was not asked."""
        ran, settled = self.ran.get(arn), self.settled.get(arn)
        if ran is None or settled is None:
            return ran
        return replace(ran, values={**settled.values, **ran.values})

    def _look_at_starts(self, windows: Mapping[InstanceArn, Window]) -> None:
        """Only where no proof is kept; of a start that lies in the window, its hours and days tell of its use. Of a member with use it
        is asked whether some came at its start: what boots with it says more of others than what came later."""
        unproved = {
            arn: window for arn, window in windows.items() if not (window.proof_is_kept or window.start_is_forgotten)
        }
        outside = {
            arn: window
            for arn, window in unproved.items()
            if not window.start_is_inside or (self.closely and self.uses[arn].calls)
        }
        settled = {arn: window for arn, window in unproved.items() if arn in self.settled}
        self.start_calls = self._calls_around(TOKENLESS_CALLS, outside)
        self.start_refused = self._calls_around(REJECTED_CALLS, outside | settled)
        fine = {arn: window.start_hours for arn, window in unproved.items() if window.start_is_fine}
        # An hour has a datapoint or has none: that of its calls does for both.
        hours = {arn: self.start_calls.get(arn, self.tokenless[arn]) for arn in unproved if arn not in fine}
        self.samples = hours | self._read(TOKENLESS_SAMPLES, fine, period=FINE)

    def _calls_around(self, metric: Metric, windows: Mapping[InstanceArn, Window]) -> dict[InstanceArn, Series]:
        """Calls around starts: by the hour, and where there are any by five minutes, while CloudWatch has these."""
        hours = self._read(metric, {arn: window.start_hours for arn, window in windows.items()})
        fine = {arn: window for arn, window in windows.items() if window.start_is_fine}
        none = {arn: replace(hours[arn], values={}) for arn in fine}
        used = {
            arn: window.start_hours
            for arn, window in fine.items()
            if hours[arn].problem is None and any(hours[arn].values.values())
        }
        calls = self._read(metric, used, period=FINE)
        return hours | none | {arn: each.holding(sum(hours[arn].values.values())) for arn, each in calls.items()}

    def _evidence(self, arn: InstanceArn, window: Window) -> Evidence:
        tokenless = self.tokenless[arn]
        problem, passes = problem_of(
            tokenless,
            *(
                each.get(arn)
                for each in (
                    self.edges,
                    self.ran,
                    self.refused,
                    self.settled,
                    self.straddled,
                    self.start_calls,
                    self.start_refused,
                    self.samples,
                )
            ),
        )
        life = life_of(window, self._quiet_hours(arn), self._ran(arn), self.policy)
        is_open = arn in self.refused
        start = self._start(arn, window) if is_open else None
        return Evidence(
            window_start=window.start,
            window_end=window.end,
            problem=problem,
            passes=passes,
            use=self.uses[arn],
            refused=refused_in(window, self.refused[arn], self.straddled.get(arn)) if is_open else Refused(),
            start=start,
            observed_hours=life.observed,
            hours_lately=life.lately,
            coverage=life.coverage,
            fresh=life.fresh,
            newest=life.newest,
            gap=life.gap,
            enough_at=life.enough_at,
            unrefused=self.unrefused.get(arn),
            clean_starts=self._clean_starts(arn, window, start),
            rebooted_at=window.history.rebooted_at,
        )

    def _start(self, arn: InstanceArn, window: Window) -> Start:
        return start_of(window, self.start_calls.get(arn), self.start_refused.get(arn), self.samples.get(arn))

    def _clean_starts(self, arn: InstanceArn, window: Window, start: Start | None) -> int:
        """Those of the window that were observed, the last one included."""
        if start is None or not start.observed or start.calls:
            return 0
        return (start.at >= window.start) + earlier_starts(window, self._quiet_hours(arn), self._ran(arn))

    def _with_older_use(
        self, windows: Mapping[InstanceArn, Window], evidence: Mapping[InstanceArn, Evidence]
    ) -> dict[InstanceArn, Evidence]:
        """Use before the window, where the window itself speaks for enforcing: by weeks, of which a few hundred instances fit
        into one call. Weeks begin at the same times for all, whoever is asked about in the same call."""
        oldest = self.now - MEMORY
        spans = {}
        for arn, window in windows.items():
            if not speaks_for_enforcing(evidence[arn], self.policy):
                continue
            begin = max(window.instance.first_launched_at or oldest, oldest, window.history.mended_at or oldest)
            first = Hours.touching(begin, begin).first // WEEK_HOURS * WEEK_HOURS
            is_known = window.is_quiet_before or begin >= at(window.touched.first)
            spans[arn] = Hours(first, first if is_known else window.touched.first)
        older = self._read(TOKENLESS_CALLS, spans, period=_WEEK)
        return {arn: _with_older(windows[arn], evidence[arn], series) for arn, series in older.items()}


def _with_older(window: Window, evidence: Evidence, weeks: Series) -> Evidence:
    older = recurrence_of(window, weeks) if weeks.problem is None else Recurrence()
    quiet_until = None if weeks.problem is not None or older.calls else window.end
    return replace(evidence, problem=weeks.problem, passes=weeks.passes, older=older, quiet_until=quiet_until)
