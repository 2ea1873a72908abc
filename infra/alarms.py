"""The alarms of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import (
    Duration,
    aws_cloudwatch,
    aws_cloudwatch_actions,
    aws_events,
    aws_lambda,
    aws_sns,
    aws_sqs,
    aws_stepfunctions,
)
from constructs import Construct

from infra.names import METRIC_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.names import Names

FIVE_MINUTES = Duration.minutes(5)
OLDEST_FINDING = Duration.hours(1)
"""Longer than a failed attempt and its retry take."""
LONGEST_SILENCE = Duration.minutes(15)
"""Three passes of the guard, which is the longest that one pass can take."""
DAY = Duration.days(1)
OLDEST_SWEEP_HOURS = 30
"""A sweep every day, which may take long; six hours more than that is one that did not come."""
RUNBOOK = "docs/operations.md#"
"""Where a person who is paged finds what to do: the alarm's name is an anchor of that page."""

Comparison = aws_cloudwatch.ComparisonOperator
Missing = aws_cloudwatch.TreatMissingData


class Alarms(Construct):
    """Every alarm notifies the topic when it is raised and when it clears."""

    def __init__(self, scope: Construct, id_: str, *, topic: aws_sns.ITopic, names: Names) -> None:
        super().__init__(scope, id_)
        self._names = names
        self._action = aws_cloudwatch_actions.SnsAction(topic)
        self.all: list[aws_cloudwatch.Alarm] = []

    def on_dead_letters(self, *, queues: Mapping[str, aws_sqs.IQueue]) -> None:
        """A message in a dead-letter queue is a finding or an invocation that was never processed."""
        for name, queue in queues.items():
            self._alarm(
                f"{name}-dead-letters",
                f"Messages wait in the dead-letter queue of {name}: read why, mend it, move them back.",
                queue.metric_approximate_number_of_messages_visible(period=FIVE_MINUTES, statistic="Maximum"),
                threshold=1,
            )

    def on_age(self, *, queue: aws_sqs.IQueue) -> None:
        """Raised when findings wait longer than a failed attempt and its retry would explain."""
        self._alarm(
            "findings-waiting",
            "The oldest finding has waited for an hour: look at the errors of function remediate.",
            queue.metric_approximate_age_of_oldest_message(period=FIVE_MINUTES, statistic="Maximum"),
            threshold=OLDEST_FINDING.to_seconds(),
        )

    def on_errors(self, *, functions: Mapping[str, aws_lambda.IFunction]) -> None:
        """Raised by any invocation that ended in an error."""
        for name, function in functions.items():
            self._alarm(
                f"{name}-errors",
                f"Function {name} ended in an error: its log group says which.",
                function.metric_errors(period=FIVE_MINUTES, statistic="Sum"),
                threshold=1,
            )

    def on_refused_policy(self) -> None:
        """Nothing is enforced while this alarm is raised."""
        self._alarm(
            "policy-refused",
            "The policy parameter is refused or cannot be read. Nothing is enforced until it is mended.",
            self._metric("PolicyRefused", statistic="Maximum"),
            threshold=1,
        )

    def on_breakage(self) -> None:
        """Breakage that the guard found and a person must resolve. Between two passes, both alarms keep their last
        state."""
        self._alarm(
            "breaker-open",
            "Too much broke in an account, and nothing more is enforced there: find out why, then close its breaker.",
            self._metric("BreakersOpen", statistic="Maximum"),
            threshold=1,
            missing=Missing.IGNORE,
        )
        self._alarm(
            "left-broken",
            "An instance refuses calls of its software and was not put back: its item in the ledger says why.",
            # Long enough for every account to be processed once: concurrent passes may split the accounts.
            self._metric("LeftBroken", statistic="Maximum", period=LONGEST_SILENCE),
            threshold=1,
            missing=Missing.IGNORE,
        )

    def on_silent_guard(self) -> None:
        """While this alarm is raised, new breakage is neither detected nor rolled back."""
        self._alarm(
            "guard-silent",
            "The guard has not passed for a quarter of an hour: look at its errors and at its schedule.",
            _never_missing(self._metric("GuardPasses", period=LONGEST_SILENCE)),
            threshold=1,
            comparison=Comparison.LESS_THAN_THRESHOLD,
            missing=Missing.BREACHING,
        )

    def on_blind_sweep(self) -> None:
        """A sweep that could look at nothing, e.g. because its role is trusted nowhere. It keeps its state until the next sweep."""
        self._alarm(
            "sweep-blind",
            "The sweep could look at no account and Region: its output or its error says why.",
            self._metric("SweepsBlind", statistic="Maximum"),
            threshold=1,
            missing=Missing.IGNORE,
        )

    def on_missing_sweep(self) -> None:
        """No sweep has ended for longer than a day: what no finding reports is not seen. The guard publishes the age at every pass."""
        self._alarm(
            "sweep-missing",
            "No sweep has ended for more than a day: see its executions and its schedule, then start one.",
            self._metric("SweepAgeHours", statistic="Maximum", period=LONGEST_SILENCE),
            threshold=OLDEST_SWEEP_HOURS,
        )

    def on_unreachable_accounts(self) -> None:
        """Accounts that the last sweep could not look at, wholly or in a Region. It keeps its state until the next sweep."""
        self._alarm(
            "accounts-unreachable",
            "Some accounts cannot be looked at, and nothing is known of their instances: the sweep's result names them.",
            self._metric("UnreachableAccounts", statistic="Maximum"),
            threshold=1,
            missing=Missing.IGNORE,
        )

    def on_silent_revisit(self, *, function: aws_lambda.IFunction) -> None:
        """While this alarm is raised, nothing that waits in the ledger is judged. A start that Lambda refuses is no
        invocation: throttling counts as silence."""
        self._alarm(
            "revisit-silent",
            "Nothing that waits was judged for a quarter of an hour: look at schedule, errors and throttles of revisit.",
            _never_missing(function.metric_invocations(period=LONGEST_SILENCE, statistic="Sum")),
            threshold=1,
            comparison=Comparison.LESS_THAN_THRESHOLD,
            missing=Missing.BREACHING,
        )

    def on_failed_sweep(self, *, machine: aws_stepfunctions.IStateMachine) -> None:
        """A sweep that ended without its result; the next is a day away."""
        ends = [
            machine.metric_failed(period=FIVE_MINUTES),
            machine.metric_timed_out(period=FIVE_MINUTES),
            machine.metric_aborted(period=FIVE_MINUTES),
        ]
        self._on_sum("sweep-failed", "The sweep failed: see the execution's error, mend it, and redrive.", ends)

    def on_throttles(self, *, functions: Mapping[str, aws_lambda.IFunction]) -> None:
        """Lambda refuses to start functions: the account has too few concurrent executions. Everything is tried again,
        but slowly."""
        throttles = [each.metric_throttles(period=FIVE_MINUTES, statistic="Sum") for each in functions.values()]
        self._on_sum(
            "throttled",
            "Lambda refused starts for a quarter of an hour: lower sweep_concurrency, or have the account's limit raised.",
            throttles,
            periods=3,
        )

    def on_findings_elsewhere(self) -> None:
        """Security Hub aggregates findings in another Region. Looked at once a day."""
        self._alarm(
            "findings-elsewhere",
            "Security Hub aggregates findings in another Region: deploy the service there. The log of custom-action says where.",
            self._metric("AggregatedElsewhere", statistic="Maximum", period=DAY),
            threshold=1,
            missing=Missing.IGNORE,
        )

    def on_lost_events(self, *, rules: Sequence[aws_events.CfnRule]) -> None:
        """Events that EventBridge could deliver neither to the queue nor to its dead-letter queue, e.g. because it may
        not use the key."""
        lost = [
            aws_cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name="InvocationsFailedToBeSentToDlq",
                dimensions_map=_dimensions(rule),
                statistic="Sum",
                period=FIVE_MINUTES,
            )
            for rule in rules
        ]
        self._on_sum("events-lost", "EventBridge lost findings: it may use neither the queues nor their key.", lost)

    def _on_sum(
        self, name: str, description: str, metrics: Sequence[aws_cloudwatch.IMetric], *, periods: int = 1
    ) -> None:
        """Raised when several metrics together reach one, in so many periods of five minutes in a row."""
        together = aws_cloudwatch.MathExpression(
            expression="SUM(FILL(METRICS(), 0))",
            using_metrics={f"m{number}": metric for number, metric in enumerate(metrics)},
            period=FIVE_MINUTES,
            label=name,
        )
        self._alarm(name, description, together, threshold=1, periods=periods)

    def _metric(self, name: str, *, statistic: str = "Sum", period: Duration = FIVE_MINUTES) -> aws_cloudwatch.Metric:
        return service_metric(self._names.prefix, name, statistic=statistic, period=period)

    def _alarm(
        self,
        name: str,
        description: str,
        metric: aws_cloudwatch.IMetric,
        *,
        threshold: float,
        periods: int = 1,
        comparison: Comparison = Comparison.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        missing: Missing = Missing.NOT_BREACHING,
    ) -> None:
        alarm = aws_cloudwatch.Alarm(
            self,
            name,
            alarm_name=self._names.of(name),
            alarm_description=f"{description} Runbook: {RUNBOOK}{name}",
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        self.all.append(alarm)


def _never_missing(metric: aws_cloudwatch.Metric) -> aws_cloudwatch.MathExpression:
    """The metric with 0 in each period without a data point.

    CloudWatch looks for data points in more periods than an alarm names, and decides by how the alarm treats missing ones only when all
    of these are empty: silence would be told three periods late.
    """
    return aws_cloudwatch.MathExpression(
        expression="FILL(m0, 0)", using_metrics={"m0": metric}, period=LONGEST_SILENCE, label=metric.metric_name
    )


def service_metric(
    service: str, name: str, *, statistic: str = "Sum", period: Duration = FIVE_MINUTES
) -> aws_cloudwatch.Metric:
    """A metric that the functions of an installation publish themselves."""
    return aws_cloudwatch.Metric(
        namespace=METRIC_NAMESPACE,
        metric_name=name,
        dimensions_map={"service": service},
        statistic=statistic,
        period=period,
    )


def _dimensions(rule: aws_events.CfnRule) -> dict[str, str]:
    name = {"RuleName": rule.name or ""}
    return name if rule.event_bus_name is None else {**name, "EventBusName": rule.event_bus_name}
