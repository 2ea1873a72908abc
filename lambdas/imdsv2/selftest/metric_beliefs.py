"""What the code takes for granted about CloudWatch's metrics."""

from __future__ import annotations

from imdsv2.selftest import arrival_checks, metric_checks, witnesses
from imdsv2.selftest.belief import Belief

METRIC_BELIEFS: tuple[Belief, ...] = (
    Belief(
        id="counts-tokenless-calls",
        statement="MetadataNoToken counts every call without a token that the metadata service answers, once.",
        witness=witnesses.METRICS,
        check=metric_checks.counts_tokenless_calls,
        if_wrong="It may require tokens where IMDSv1 is in use. The watch then sees the refused calls and rolls back.",
        for_safety=True,
    ),
    Belief(
        id="zero-without-calls",
        statement="While tokens are optional, MetadataNoToken reports 0 for an instance that only uses tokens.",
        witness=witnesses.METRICS,
        check=metric_checks.zero_without_calls,
        if_wrong="It holds every instance: without datapoints as `no_evidence`, above 0 as `v1_in_use`.",
    ),
    Belief(
        id="stamped-with-start",
        statement="A datapoint is stamped with the start of the five minutes that it covers.",
        witness=witnesses.METRICS,
        check=metric_checks.stamped_with_start,
        if_wrong="It may credit calls of a start to the time before it, and take an unobserved start for a clean one.",
        for_safety=True,
    ),
    Belief(
        id="hours-sum-up",
        statement="A datapoint by the hour is the sum of those of the five minutes in it.",
        witness=witnesses.RETENTION,
        check=metric_checks.hours_sum_up,
        if_wrong="It may require tokens where IMDSv1 is in use, or hold instances that do not use it.",
        for_safety=True,
    ),
    Belief(
        id="datapoints-arrive",
        statement="CloudWatch shows a datapoint at most 15 minutes after the end of its five minutes.",
        witness=witnesses.NONE,
        check=arrival_checks.datapoints_arrive,
        if_wrong="It holds recent starts as `boot_not_observable` for longer, and verifies enforced instances later.",
    ),
    Belief(
        id="accepted-ends-with-required",
        statement="Once tokens are required, MetadataNoToken is absent or 0.",
        witness=witnesses.TRANSITION,
        check=metric_checks.accepted_ends_with_required,
        if_wrong="After a rollback it holds the instance as `v1_in_use` although those calls were refused.",
    ),
    Belief(
        id="rejected-counts",
        statement="MetadataNoTokenRejected counts every call that is refused because it has no token, once.",
        witness=witnesses.TRANSITION,
        check=metric_checks.rejected_counts,
        if_wrong="The watch misses software that broke, or takes one call for a pattern.",
        for_safety=True,
    ),
    Belief(
        id="rejected-in-its-period",
        statement="The datapoint of a refused call is stamped with the start of the five minutes that contain the call.",
        witness=witnesses.METRICS,
        check=metric_checks.rejected_in_its_period,
        if_wrong="Refused calls shortly after a change or a start may be credited to the time before it.",
        for_safety=True,
    ),
    Belief(
        id="rejections-arrive",
        statement="CloudWatch shows refused calls at most 15 minutes after the end of their five minutes.",
        witness=witnesses.NONE,
        check=arrival_checks.rejections_arrive,
        if_wrong="Broken software waits that much longer for its rollback.",
    ),
    Belief(
        id="rejected-silent-when-clean",
        statement="MetadataNoTokenRejected is absent or 0 where nothing is refused.",
        witness=witnesses.TRANSITION,
        check=metric_checks.rejected_silent_when_clean,
        if_wrong="It rolls healthy instances back.",
    ),
    Belief(
        id="rejected-is-listed",
        statement="ListMetrics lists an instance with refused calls at most 15 minutes after their datapoint is shown.",
        witness=witnesses.LIST_METRICS,
        check=arrival_checks.rejected_is_listed,
        if_wrong="The recall of late breakage comes later, or not at all.",
        for_safety=True,
    ),
    Belief(
        id="clean-is-not-listed",
        statement="ListMetrics does not list an instance with MetadataNoTokenRejected of which nothing was refused.",
        witness=witnesses.NONE,
        check=arrival_checks.clean_is_not_listed,
        if_wrong="It reads more metrics than needed, which costs more and changes no verdict.",
    ),
    Belief(
        id="cpu-while-running",
        statement="CPUUtilization has a datapoint for every five minutes in which an instance runs.",
        witness=witnesses.METRICS,
        check=metric_checks.cpu_while_running,
        if_wrong="It never verifies enforced instances, and takes hours in which one ran for hours in which it was stopped.",
        for_safety=True,
    ),
    Belief(
        id="closed-counts-nothing",
        statement="An instance whose metadata endpoint is disabled has no MetadataNoToken above 0.",
        witness=witnesses.NONE,
        check=metric_checks.closed_counts_nothing,
        if_wrong="Nothing: such instances are skipped whatever the metric says.",
    ),
    Belief(
        id="empty-is-complete",
        statement="GetMetricData answers `Complete`, without values, for a metric that has no datapoint.",
        witness=witnesses.NONE,
        check=metric_checks.empty_is_complete,
        if_wrong="It holds instances as `evidence_incomplete`, and the watch proves nothing.",
    ),
)
