"""The table of what the fleet is made of, and why."""

from __future__ import annotations

from tests.bench.simulation import assumptions as f
from tests.bench.simulation.table import table


def assumptions_table() -> str:
    """The rows of the page's last table."""
    return table(("what", "how", "because"), [*_instances(), *_callers()])


def _instances() -> list[tuple[str, str, str]]:
    habits = ", ".join(f"{share:.0%} {habit}" for habit, share in f.HABITS.items())
    regions = ", ".join(f"{name} {share:.0%}" for name, (share, _) in f.REGIONS.items())
    return [
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
    ]


def _callers() -> list[tuple[str, str, str]]:
    return [
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
    ]


def _range(shares: tuple[float, float]) -> str:
    return f"{shares[0]:.0%} to {shares[1]:.0%}"
