"""What enforcing breaks, and what it leaves undone: `python -m tests.bench.safety` simulates it and writes docs/safety.md.

The same fleets go through the service's own code and through two simpler ways of enforcing. What came out is kept beside this
module, so that a test can see that the page says what follows from it. `python -m tests.bench.safety proof` takes other seeds
and writes nothing.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Mode, Policy
from tests.bench import safety_fleet
from tests.bench.measurement import Measurement, against
from tests.bench.safety_aws import ARRIVES_AFTER, PERIOD
from tests.bench.safety_fleet import BEGIN, DAY, DAYS, END, HIDDEN, HOUR, MINUTE, Mix, Software, build
from tests.bench.safety_life import BREAKER_CLOSED_AT, Life

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.safety_fleet import Machine

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "safety.md"
SIMULATED = Path(__file__).with_name("simulated.json")

SEEDS = (1, 2, 3, 4, 5)
PROOF_SEEDS = tuple(range(101, 109))
VARIANT_SEEDS = (1, 2, 3)
VARIANT_INSTANCES = 4_000
PROCESSES = 2

CLEAN_DAYS = 14
NOTICED_AFTER = 72
"""Hours until people notice breakage themselves, in the more lenient calculation."""
REACHED_BY = (1, 3, 7, 14, 30, 60, DAYS)
FAILED_WITHIN = (1, 7, 35, DAYS)
SERVICE, CLEAN, AT_ONCE = "service", "clean", "at_once"
DEFAULTS = Policy(mode=Mode.ENFORCE)
BROKEN_AIM, USEFUL_AIM = 0.1, 0.9

KINDS = {
    Software.MONTHLY: "only monthly",
    Software.BOOT: "only at boot",
    Software.LOAD: "only under load",
    Software.OFFICE: "only in office hours",
    Software.OPEN: "every day (open callers)",
}
WHY = {
    "young": "no call yet, instance younger than the window",
    "never": "no call yet, older instance",
    "older": "calls, all before the window",
    "inside": "calls in the window, in hours missing from the metric",
}
"""What `_seen_before` answers, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A change to the policy or to the fleet, to see what depends on it."""

    name: str
    policy: Policy = DEFAULTS
    mix: Mix = field(default_factory=lambda: Mix(instances=VARIANT_INSTANCES))
    guarded: bool = True
    recalls: bool = True


def _policy(**changes: Any) -> Policy:
    return Policy(mode=Mode.ENFORCE, **changes)


def _mix(*, share: float = 0.005, alone: float = 0.5) -> Mix:
    return Mix(hidden=dict.fromkeys(HIDDEN, share), alone=alone, instances=VARIANT_INSTANCES)


VARIANTS = (
    Variant(name="default policy and fleet"),
    Variant(name="no guard and no canaries: evidence alone", policy=_policy(canary=None), guarded=False),
    Variant(name="no recall after the watch", recalls=False),
    Variant(name="no canaries", policy=_policy(canary=None)),
    Variant(name="`watch_hours` 168, the maximum", policy=_policy(watch_hours=168)),
    Variant(name="`lookback_days` 14", policy=_policy(lookback_days=14)),
    Variant(name="`lookback_days` 60", policy=_policy(lookback_days=60)),
    Variant(name="every breaker alone in its cohort", mix=_mix(alone=1.0)),
    Variant(name="breakers in whole cohorts only", mix=_mix(alone=0.0)),
    Variant(name="10% of the fleet are hidden breakers", mix=_mix(share=0.025)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What was done to an instance: when tokens were required, and when they were made optional again."""

    machine: Machine
    required_at: float | None
    restored_at: float | None = None

    @property
    def broken_from(self) -> float | None:
        """The first call that failed."""
        if self.required_at is None:
            return None
        failed = self.machine.calls_between(self.required_at, self.restored_at or END)
        return failed[0] if failed else None

    @property
    def hours_broken(self) -> float:
        return ((self.restored_at or END) - self.broken_from) / HOUR if self.broken_from is not None else 0.0


# --- Simulating ----------------------------------------------------------------------------------------------------


def simulate(seed: int, variant: Variant) -> dict[str, Any]:
    """One fleet, each way of enforcing."""
    machines = build(seed, variant.mix)
    life = Life(machines, variant.policy, guarded=variant.guarded, recalls=variant.recalls)
    life.run(seed)
    served = [
        Fate(machine=box.machine, required_at=box.required_at, restored_at=box.restored_at)
        for box in life.boxes.values()
    ]
    left = Counter(
        str(life.ledger.entries[fate.machine.arn].attributes["reason"])
        for fate in served
        if fate.machine.software is Software.SAFE and fate.required_at is None
    )
    return {
        "fleet": Counter(machine.software.value for machine in machines),
        SERVICE: _sum_up(served)
        | {
            "minutes_to_put_back": sorted(round(fate.hours_broken * 60) for fate in served if fate.restored_at),
            "why": _why(served, variant.policy),
            "first_failed": _first_failed(served),
            "left": dict(sorted(left.items())),
            "breakers_opened": life.breakers_opened,
        },
        CLEAN: _sum_up(Fate(machine=each, required_at=first_clean(each, CLEAN_DAYS)) for each in machines),
        AT_ONCE: _sum_up(Fate(machine=each, required_at=BEGIN) for each in machines),
    }


def first_clean(machine: Machine, days: int) -> float | None:
    """When the metric's sum over so many days is first seen to be zero on an instance that runs; missing data are zero."""
    when = float(BEGIN)
    while when < END:
        calls = machine.calls_between(when - days * DAY, when)
        if calls:
            when = calls[-1] + days * DAY + 1
        elif machine.is_running(when):
            return when
        else:
            when = machine.next_start(when) or END
    return None


def _sum_up(fates: Iterable[Fate]) -> dict[str, Any]:
    enforced: Counter[str] = Counter()
    broke: Counter[str] = Counter()
    put_back: Counter[str] = Counter()
    hours: defaultdict[str, float] = defaultdict(float)
    noticed: defaultdict[str, float] = defaultdict(float)
    reached: Counter[str] = Counter()
    for fate in fates:
        software = fate.machine.software.value
        if fate.required_at is None:
            continue
        enforced[software] += 1
        if fate.machine.software is Software.SAFE:
            reached.update(str(day) for day in REACHED_BY if fate.required_at <= BEGIN + day * DAY)
        if fate.broken_from is not None:
            broke[software] += 1
            put_back[software] += fate.restored_at is not None
            hours[software] += fate.hours_broken
            noticed[software] += min(fate.hours_broken, NOTICED_AFTER)
    return {
        "enforced": enforced,
        "broke": broke,
        "put_back": put_back,
        "hours": {software: round(value, 1) for software, value in hours.items()},
        "noticed_hours": {software: round(value, 1) for software, value in noticed.items()},
        "reached": reached,
    }


def _why(fates: Iterable[Fate], policy: Policy) -> dict[str, Counter[str]]:
    """Why what broke had been enforced, by kind: what there was to be seen before."""
    why: dict[str, Counter[str]] = {kind: Counter() for kind in HIDDEN}
    for fate in fates:
        if fate.machine.software in HIDDEN and fate.broken_from is not None and fate.required_at is not None:
            why[fate.machine.software][_seen_before(fate.machine, fate.required_at, policy)] += 1
    return why


def _first_failed(fates: Iterable[Fate]) -> Counter[str]:
    """How many days after the change, at most, the first call of a hidden breaker failed."""
    waits = [
        (fate.broken_from - fate.required_at) / DAY
        for fate in fates
        if fate.machine.software in HIDDEN and fate.broken_from is not None and fate.required_at is not None
    ]
    return Counter(str(next(day for day in FAILED_WITHIN if wait <= day)) for wait in waits)


def _seen_before(machine: Machine, required_at: float, policy: Policy) -> str:
    before = machine.calls_between(0, required_at)
    if not before and machine.first_launched > required_at - policy.lookback_days * DAY:
        return "young"
    if not before:
        return "never"
    return "older" if before[-1] < required_at - policy.lookback_days * DAY else "inside"


def _simulate_all(jobs: Sequence[tuple[int, Variant]]) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(simulate, *zip(*jobs, strict=True)))


# --- The benchmarks' rows --------------------------------------------------------------------------------------------


def measure(seeds: Sequence[int] = SEEDS) -> list[Measurement]:
    """The rows of the benchmarks."""
    return rows(_simulate_all([(seed, Variant(name="", mix=Mix())) for seed in seeds]))


def rows(runs: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """Medians over the seeds. Only hidden breakers count as broken: who calls in the open is no surprise to anybody who looks."""
    broken, baseline = ([hidden(run[way], "hours") for run in runs] for way in (SERVICE, CLEAN))
    useful = [run[SERVICE]["enforced"].get(Software.SAFE, 0) for run in runs]
    safe = [run["fleet"][Software.SAFE] for run in runs]
    ratios = [one / other for one, other in zip(broken, baseline, strict=True)]
    at_once = statistics.median(hidden(run[AT_ONCE], "hours") for run in runs)
    reached = [one / other for one, other in zip(useful, safe, strict=True)]
    return [
        against(
            "safety.broken",
            statistics.median(broken),
            "instance-hours",
            statistics.median(baseline),
            f"enforcing after a clean {CLEAN_DAYS}-day window, no watch",
            f"(ratio {min(ratios):.3f} .. {max(ratios):.3f} in {len(runs)} fleets; at once: {at_once:.0f} instance-hours)",
        ),
        against(
            "safety.useful",
            statistics.median(useful),
            "truly safe instances enforced",
            statistics.median(safe),
            "all truly safe instances",
            f"(ratio {min(reached):.3f} .. {max(reached):.3f})",
        ),
    ]


def hidden(way: Mapping[str, Any], what: str) -> float:
    """A figure of one way of enforcing, for the hidden breakers together."""
    figures: Mapping[str, float] = way[what]
    return sum(figures.get(kind, 0) for kind in HIDDEN)


def results() -> dict[str, Any]:
    """All that the page tells of."""
    runs = [(seed, Variant(name="", mix=Mix())) for seed in SEEDS]
    variants = [(seed, variant) for variant in VARIANTS for seed in VARIANT_SEEDS]
    done = iter(_simulate_all([*runs, *variants]))
    return {
        "runs": [next(done) for _ in SEEDS],
        "variants": {variant.name: [next(done) for _ in VARIANT_SEEDS] for variant in VARIANTS},
    }


# --- The page ------------------------------------------------------------------------------------------------------


def page(simulated: Mapping[str, Any]) -> str:
    """docs/safety.md."""
    runs, variants = simulated["runs"], simulated["variants"]
    broken, useful = rows(runs)
    assert broken.ratio is not None
    assert useful.ratio is not None
    return TEXT.format(
        fleets=len(runs),
        instances=f"{sum(runs[0]['fleet'].values()):,}",
        days=DAYS,
        clean_days=CLEAN_DAYS,
        noticed_after=NOTICED_AFTER,
        ways=_ways(runs),
        broken_ratio=f"{broken.ratio:.3f}",
        broken_judged=_judged(broken.ratio <= BROKEN_AIM),
        broken_aim=BROKEN_AIM,
        useful_ratio=f"{useful.ratio:.3f}",
        useful_judged=_judged(useful.ratio >= USEFUL_AIM),
        useful_aim=USEFUL_AIM,
        by_seed=_by_seed(runs),
        kinds=_kinds(runs),
        why=_why_table(runs),
        first_failed=_first_failed_table(runs),
        put_back=_put_back(runs),
        reached=_reached(runs),
        left=_left(runs),
        breakers=f"{statistics.median(run[SERVICE]['breakers_opened'] for run in runs):g}",
        breaker_hour=BREAKER_CLOSED_AT,
        variants=_variants(variants),
        variant_instances=f"{VARIANT_INSTANCES:,}",
        variant_fleets=len(VARIANT_SEEDS),
        assumptions=_assumptions(),
        watch_hours=DEFAULTS.watch_hours,
        lookback=DEFAULTS.lookback_days,
        delay=(PERIOD + ARRIVES_AFTER) // MINUTE,
        observed_hours=DEFAULTS.min_observed_hours,
    )


def _judged(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _ways(runs: Sequence[Mapping[str, Any]]) -> str:
    names = {
        SERVICE: "this service, default policy",
        CLEAN: f"after a clean {CLEAN_DAYS}-day window, without a watch",
        AT_ONCE: "all at once",
    }
    return _table(
        (
            "enforcing",
            "hidden breakers broken",
            "instance-hours",
            "if people notice",
            "open callers, instance-hours",
            "safe instances reached",
        ),
        [
            (
                name,
                _spread([hidden(run[way], "broke") for run in runs]),
                _spread([hidden(run[way], "hours") for run in runs]),
                _spread([hidden(run[way], "noticed_hours") for run in runs]),
                _spread([run[way]["hours"].get(Software.OPEN, 0) for run in runs]),
                f"{statistics.median(_reached_share(run, way, DAYS) for run in runs):.1%}",
            )
            for way, name in names.items()
        ],
    )


def _by_seed(runs: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        (
            "fleet",
            "this service",
            f"clean {CLEAN_DAYS} days",
            "ratio",
            "ratio if people notice",
            "safe instances reached",
        ),
        [
            (
                str(seed),
                f"{hidden(run[SERVICE], 'hours'):,.0f}",
                f"{hidden(run[CLEAN], 'hours'):,.0f}",
                f"{hidden(run[SERVICE], 'hours') / hidden(run[CLEAN], 'hours'):.3f}",
                f"{hidden(run[SERVICE], 'noticed_hours') / hidden(run[CLEAN], 'noticed_hours'):.3f}",
                f"{_reached_share(run, SERVICE, DAYS):.1%}",
            )
            for seed, run in zip(SEEDS, runs, strict=True)
        ],
    )


def _kinds(runs: Sequence[Mapping[str, Any]]) -> str:
    def total(way: str, what: str, kind: str) -> float:
        figures: Iterable[float] = (run[way][what].get(kind, 0) for run in runs)
        return sum(figures)

    return _table(
        (
            "calls IMDSv1",
            "instances",
            "changed",
            "broke",
            "rolled back",
            "instance-hours",
            "clean window: broke",
            "instance-hours",
        ),
        [
            (
                KINDS[kind],
                f"{sum(run['fleet'][kind] for run in runs):,}",
                *(f"{total(SERVICE, what, kind):,.0f}" for what in ("enforced", "broke", "put_back", "hours")),
                *(f"{total(CLEAN, what, kind):,.0f}" for what in ("broke", "hours")),
            )
            for kind in (*HIDDEN, Software.OPEN)
        ],
    )


def _why_table(runs: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        ("what was observable before the change", *(KINDS[kind] for kind in HIDDEN)),
        [
            (text, *(f"{sum(run[SERVICE]['why'][kind].get(why, 0) for run in runs):,}" for kind in HIDDEN))
            for why, text in WHY.items()
        ],
    )


def _first_failed_table(runs: Sequence[Mapping[str, Any]]) -> str:
    heads = [f"within {day} {'day' if day == 1 else 'days'}" for day in FAILED_WITHIN[:-1]]
    counts = [sum(run[SERVICE]["first_failed"].get(str(day), 0) for run in runs) for day in FAILED_WITHIN]
    return _table(
        ("first failed call after the change", *heads, "later"),
        [("instances", *(f"{count:,}" for count in counts))],
    )


def _put_back(runs: Sequence[Mapping[str, Any]]) -> str:
    minutes = sorted(each for run in runs for each in run[SERVICE]["minutes_to_put_back"])
    if not minutes:
        return "No instance was rolled back"
    return (
        f"{len(minutes):,} instances were rolled back, half of them within {statistics.median(minutes):g} minutes of their first failed call "
        f"and the slowest after {minutes[-1]:,}"
    )


def _reached(runs: Sequence[Mapping[str, Any]]) -> str:
    names = {SERVICE: "this service", CLEAN: f"clean {CLEAN_DAYS} days", AT_ONCE: "all at once"}
    return _table(
        ("share of safe instances reached, by day", *map(str, REACHED_BY)),
        [
            (name, *(f"{statistics.median(_reached_share(run, way, day) for run in runs):.1%}" for day in REACHED_BY))
            for way, name in names.items()
        ],
    )


def _reached_share(run: Mapping[str, Any], way: str, day: int) -> float:
    reached: float = run[way]["reached"].get(str(day), 0) / run["fleet"][Software.SAFE]
    return reached


def _left(runs: Sequence[Mapping[str, Any]]) -> str:
    reasons = sorted({reason for run in runs for reason in run[SERVICE]["left"]})
    return _table(
        ("safe instances not reached, by reason at the end", *(f"`{reason}`" for reason in reasons)),
        [("", *(_spread([run[SERVICE]["left"].get(reason, 0) for run in runs]) for reason in reasons))],
    )


def _variants(variants: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    return _table(
        ("changed", "this service, instance-hours", f"clean {CLEAN_DAYS} days", "ratio", "safe instances reached"),
        [
            (
                name,
                _spread(broken := [hidden(run[SERVICE], "hours") for run in runs]),
                _spread(clean := [hidden(run[CLEAN], "hours") for run in runs]),
                f"{statistics.median(broken) / statistics.median(clean):.3f}",
                f"{statistics.median(_reached_share(run, SERVICE, DAYS) for run in runs):.1%}",
            )
            for name, runs in variants.items()
        ],
    )


def _assumptions() -> str:
    f = safety_fleet
    habits = ", ".join(f"{share:.0%} {habit}" for habit, share in f.HABITS.items())
    regions = ", ".join(f"{name} {share:.0%}" for name, (share, _) in f.REGIONS.items())
    return _table(
        ("what", "how", "because"),
        [
            (
                "places",
                f"{f.ACCOUNTS} accounts, the n-th with 1/n of the first; {regions}",
                "organisations have a few large accounts and one main Region",
            ),
            (
                "cohorts",
                f"Auto Scaling groups of 1 to {f.LARGEST_COHORT} instances; twice as large is half as frequent (log-uniform)",
                "from single servers to web farms",
            ),
            (
                "age",
                f"a cohort {f.YOUNGEST_COHORT_DAYS} to {f.OLDEST_DAYS} days (log-uniform); {f.REPLACED_SHARE:.0%} of its instances have been replaced since, at a random time",
                "old machines run next to last week's",
            ),
            ("habits of cohorts", habits, "servers that nobody touches, patched servers, workstations"),
            (
                "steady",
                f"stopped and started every {f.RESTARTS_EVERY_DAYS} days on average",
                "retired hardware, resizing",
            ),
            (
                "patched",
                f"stopped and started every {f.PATCHED_EVERY_DAYS} days, the whole cohort at once",
                "monthly maintenance",
            ),
            (
                "office",
                f"Monday to Friday {f.OFFICE_HOURS[0]} to {f.OFFICE_HOURS[1]} local time; {f.BREAK_SHARE:.0%} of the cohorts have one break of {f.BREAK_DAYS[0]} to {f.BREAK_DAYS[1]} days",
                "cost-saving schedules, holidays",
            ),
            (
                "stopped",
                f"{f.PARKED_SHARE:.0%} of the others, for {f.PARKED_DAYS[0]} to {f.PARKED_DAYS[1]} days so far; half of them start again in time",
                "kept just in case",
            ),
            (
                "gaps",
                f"{f.FEW_GAPS[0]:.0%} lack {_range(f.FEW_GAPS[1])} of their hours in both IMDSv1 metrics, {f.MANY_GAPS[0]:.0%} lack {_range(f.MANY_GAPS[1])}",
                "monitoring is never complete",
            ),
            ("open callers", f"{f.OPEN_SHARE:.0%} of the cohorts call every day", "old SDKs; any check finds them"),
            (
                "hidden breakers",
                "2% of the instances, a quarter of each kind; half of them in whole cohorts, half alone in an otherwise safe cohort",
                "software in an image, and software that someone installed by hand",
            ),
            ("only monthly", "once a month on a day and minute of the cohort", "billing, certificates, reports"),
            (
                "only at boot",
                f"{f.BOOT_CALL_AFTER[0] // 60} to {f.BOOT_CALL_AFTER[1] // 60} minutes after each start; {f.CHANGED_SINCE_SHARE:.0%} got that software only in the last {f.CHANGED_WITHIN_DAYS} days, and most have not started since",
                "user data, agents; configuration management changes what runs at the next boot",
            ),
            (
                "only under load",
                f"two-hour bursts of calls across the cohort, every {f.BURSTS_EVERY_DAYS[0]} to {f.BURSTS_EVERY_DAYS[1]} days on average (log-uniform, Poisson); each burst affects {f.BURST_HITS:.0%} of it",
                "rare code paths, campaigns, failovers",
            ),
            (
                "only on office-hours instances",
                f"at any time of a working day, every {f.OFFICE_CALLS_EVERY_DAYS[0]} to {f.OFFICE_CALLS_EVERY_DAYS[1]} working days on average (log-uniform)",
                "software that a person starts",
            ),
        ],
    )


def _range(shares: tuple[float, float]) -> str:
    return f"{shares[0]:.0%} to {shares[1]:.0%}"


def _spread(figures: Sequence[float]) -> str:
    """The median, and the least and the most."""
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} .. {max(figures):,.0f})"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TEXT = """# What enforcing breaks, and what it leaves undone

This page is generated by `python -m tests.bench.safety`. The script simulates {fleets} fleets of {instances} instances for {days} days. It runs
each fleet three times with the same IMDSv1 calls:

- under this service, with its default policy in `enforce`;
- under a clean-window job, which requires tokens as soon as the sum of `MetadataNoToken` over {clean_days} days is zero (a missing datapoint
  counts as zero) and never checks again;
- with all instances changed at once.

For the service, the pipeline and the guard are the real code, from the verdict table to the rollback. EC2, CloudWatch, the table's storage and
time are simulated. Figures are medians of the fleets, with minimum and maximum in brackets.

2% of the instances are hidden breakers: their software calls IMDSv1 only monthly, only at boot, only under load, or only occasionally on
instances that run in office hours. A hidden breaker counts as broken from its first failed call until it is rolled back, or to the end.

{ways}

**Instance-hours broken, compared with the clean window: {broken_ratio}** (the target is {broken_aim} at most: {broken_judged}).
**Safe instances reached: {useful_ratio}** of all (the target is {useful_aim} at least: {useful_judged}).

The service missed the first target in its first run with these fleets: the instances that stayed broken failed for the first time after the watch.
The recall of such instances was added for this reason; its effect is shown below.

"If people notice" counts no breakage for longer than {noticed_after} hours, as if someone always noticed within that time and rolled the instance back. Open
callers, which use IMDSv1 every day, are not included in the other columns. The clean window breaks the open callers that it evaluates before their first call
or after a break, because it treats silence as health.

{by_seed}

## Who was broken, for how long, and why

All fleets together:

{kinds}

{put_back}. Rollbacks within minutes are those whose first call failed while the guard was watching: for {watch_hours} hours after the change, and again after the next
start. Rollbacks after about an hour are recalls: for {lookback} days, the service asks CloudWatch every hour which instances reject calls. Instances that were not
rolled back failed for the first time later than that, or in an hour missing from the metric. They stayed broken to the end, unless people notice.

{first_failed}

Why they had been changed at all:

{why}

- **Monthly jobs.** A monthly job on an instance younger than a month has not run yet. {observed_hours} observed hours are enough for the verdict, so the job can be
  missed. Older instances of the cohort show it, but each instance is judged by its own evidence, and the canaries' day is over before the job runs. When
  the job runs, it fails, the instance is recalled within two hours, and its cohort is held.
- **Bursts.** Any window misses bursts that are rarer than the window. A longer window sees more of them and recalls for longer, but instances with past calls
  wait longer. Bursts are most of what stays broken.
- **Boot software.** Software that calls at boot is observed at the last start, however long ago. Software installed since then is not: it fails at the next start,
  which the guard watches, and is rolled back within minutes.
- **Office-hours instances.** Days on which the instance did not run are not evidence for this service. The clean window counts them as zeros, so after a break of
  two weeks it treats any such instance as clean.

## What safe instances wait for

{reached}

{left}

The default policy changes at most 50 instances an hour in an account and Region, and a tenth of each cohort one day before the rest. Younger instances
wait for their {observed_hours} observed hours. `no_evidence` are instances whose metric has gaps. `canary_wait` are instances in the cohort of an instance that broke: nobody
updates its software in these {days} days, so they stay held. Account circuit breakers that opened: {breakers}; a person closes each at {breaker_hour}:00 UTC on the next working day.

## What depends on what

{variant_fleets} fleets of {variant_instances} instances, with one change at a time. The clean window always takes {clean_days} days and runs on the same fleet.

{variants}

A shorter window lets more breaking changes through, and each breakage holds its cohort. That is why a shorter window reaches fewer safe instances.

## The fleet

These assumptions were fixed before the first run and not changed afterwards. They are guesses about what organisations have, not measurements.

{assumptions}

## What is left out

- Instances that are launched or terminated during the simulation.
- People who update software, exempt, clear or object.
- API quotas and failures (the pacing has its own simulation).
- CloudWatch delays of more than {delay} minutes.

Waiting instances are re-evaluated every ten minutes instead of every minute. Evaluations whose result is known not to change are skipped, and work
that runs in parallel in production is run sequentially. A test compares a small fleet with and without these simplifications.
"""


# --- Running it ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Simulate, and write what came out and the page, which takes half an hour; with `proof`, other fleets, which are only printed."""
    if sys.argv[1:] == ["proof"]:
        for each in measure(PROOF_SEEDS):
            sys.stdout.write(
                f"{each.name}: {each.value:,.0f} of {each.baseline:,.0f}, ratio {each.ratio:.3f} {each.spread}\n"
            )
        return
    simulated = results()
    SIMULATED.write_text(json.dumps(simulated, indent=1) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(simulated))
    sys.stderr.write(f"written to {PAGE}\n")


if __name__ == "__main__":
    main()
