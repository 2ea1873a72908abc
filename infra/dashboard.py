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
        self._show_work(names)
        self._show_running(findings, functions)

    def _show_work(self, names: Names) -> None:
        """What is left to do, verdicts, and what came of changes."""
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


def _searched(title: str, dimension: str, metric: str, names: Names) -> aws_cloudwatch.GraphWidget:
    """A stacked graph of a metric that has a value for each account or reason, as the sweeps find them."""
    terms = f'{{{METRIC_NAMESPACE},{dimension},service}} MetricName="{metric}" service="{names.prefix}"'
    found = aws_cloudwatch.MathExpression(
        expression=f"SEARCH('{terms}', 'Maximum', {DAY.to_seconds()})", using_metrics={}, period=DAY, label=""
    )
    return aws_cloudwatch.GraphWidget(title=title, left=[found], width=WIDTH, stacked=True, period=DAY)
