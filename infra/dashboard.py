"""One dashboard that answers: does the service work, and what does it do?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, aws_cloudwatch, aws_lambda
from constructs import Construct

from infra.alarms import DAY, service_metric
from infra.names import METRIC_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.names import Names
    from infra.queues import FindingsQueue

WIDTH = 12
ROWS = 20
"""Rows of a table."""


class Dashboard(Construct):
    """Alarms first, then how much is left to do, then verdicts, the outcome of changes, the queue and the functions."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        alarms: Sequence[aws_cloudwatch.IAlarm],
        findings: FindingsQueue,
        functions: Mapping[str, aws_lambda.IFunction],
        names: Names,
    ) -> None:
        super().__init__(scope, id_)
        self.dashboard = aws_cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=names.prefix, default_interval=Duration.days(7)
        )
        self.dashboard.add_widgets(
            aws_cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=2 * WIDTH, height=3)
        )
        self._show_fleet(names)
        self._show_verdicts(names)
        self._show_running(findings, functions)

    def _show_fleet(self, names: Names) -> None:
        """What is left to do, and who makes calls."""
        self.dashboard.add_widgets(
            _searched("Allows IMDSv1, by account", "account", "Imdsv1Allowed", names),
            _searched("Held, by reason", "reason", "Held", names),
        )
        self.dashboard.add_widgets(
            _graph(
                "Accounts that cannot be looked at",
                service_metric(names.prefix, "UnreachableAccounts", statistic="Maximum", period=DAY),
            ),
            _graph("Age of the last sweep (h)", service_metric(names.prefix, "SweepAgeHours", statistic="Maximum")),
        )
        # The metrics are in the accounts of the instances; what the functions saw of them is in their logs.
        self.dashboard.add_widgets(
            _table(
                "Most IMDSv1 calls (in the window of the last verdict)",
                ["remediate", "manual", "revisit", "sweep"],
                [
                    'filter message = "verdict" and calls > 0',
                    "stats latest(calls) as in_the_window, latest(last_call) as last, latest(reason) as verdict by target",
                    "sort in_the_window desc",
                ],
                names,
            ),
            _table(
                "Refused calls (since tokens are required)",
                ["guard"],
                [
                    'filter message = "calls refused"',
                    "stats max(refused_calls) as refused, latest(last_call) as last by target",
                    "sort refused desc",
                ],
                names,
            ),
        )

    def _show_verdicts(self, names: Names) -> None:
        """Verdicts, and what came of changes."""
        self.dashboard.add_widgets(
            _graph(
                "Verdicts",
                service_metric(names.prefix, "Verdicts"),
                service_metric(names.prefix, "Enforced"),
                service_metric(names.prefix, "Failed"),
            ),
            _graph(
                "Refused",
                service_metric(names.prefix, "PoisonMessages"),
                service_metric(names.prefix, "PolicyRefused", statistic="Maximum"),
            ),
        )
        self.dashboard.add_widgets(
            _graph(
                "After the change", service_metric(names.prefix, "Verified"), service_metric(names.prefix, "RolledBack")
            ),
            _graph(
                "Waiting for a person",
                service_metric(names.prefix, "LeftBroken", statistic="Maximum"),
                service_metric(names.prefix, "BreakersOpen", statistic="Maximum"),
            ),
        )

    def _show_running(self, findings: FindingsQueue, functions: Mapping[str, aws_lambda.IFunction]) -> None:
        """The queue and the functions."""
        self.dashboard.add_widgets(
            _graph(
                "Findings waiting",
                findings.queue.metric_approximate_number_of_messages_visible(),
                findings.dead_letters.metric_approximate_number_of_messages_visible(label="dead letters"),
            ),
            _graph("Age of the oldest finding (s)", findings.queue.metric_approximate_age_of_oldest_message()),
        )
        self.dashboard.add_widgets(
            _graph("Function errors", *(each.metric_errors(label=name) for name, each in functions.items())),
            _graph(
                "Function duration, p95 (ms)",
                *(each.metric_duration(label=name, statistic="p95") for name, each in functions.items()),
            ),
        )
        self.dashboard.add_widgets(
            _graph("Refused starts", *(each.metric_throttles(label=name) for name, each in functions.items())),
        )


def _graph(title: str, *metrics: aws_cloudwatch.IMetric) -> aws_cloudwatch.GraphWidget:
    return aws_cloudwatch.GraphWidget(title=title, left=list(metrics), width=WIDTH)


def _table(title: str, functions: Sequence[str], query: Sequence[str], names: Names) -> aws_cloudwatch.LogQueryWidget:
    """The first rows that a query finds in the logs of functions. It is charged by the size of the logs, each time that somebody looks."""
    return aws_cloudwatch.LogQueryWidget(
        title=title,
        log_group_names=[f"/aws/lambda/{names.function(each)}" for each in functions],
        query_lines=[*query, f"limit {ROWS}"],
        view=aws_cloudwatch.LogQueryVisualizationType.TABLE,
        width=WIDTH,
    )


def _searched(title: str, dimension: str, metric: str, names: Names) -> aws_cloudwatch.GraphWidget:
    """A stacked graph of a metric that has a value for each account or reason, as the sweeps find them."""
    terms = f'{{{METRIC_NAMESPACE},{dimension},service}} MetricName="{metric}" service="{names.prefix}"'
    found = aws_cloudwatch.MathExpression(
        expression=f"SEARCH('{terms}', 'Maximum', {DAY.to_seconds()})", using_metrics={}, period=DAY, label=""
    )
    return aws_cloudwatch.GraphWidget(title=title, left=[found], width=WIDTH, stacked=True, period=DAY)
