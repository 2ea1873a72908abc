"""Logs and metrics for operators: one log line per verdict, and the metrics behind alarms and the dashboard."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from imdsv2.domain.documents import to_seconds
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import MAY_CHANGE, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from aws_lambda_powertools import Logger, Metrics

    from imdsv2.domain.in_force import PolicyInForce
    from imdsv2.guard.place import Pass
    from imdsv2.line.judgement import Judgement, Outcomes


def report(
    outcomes: Outcomes, in_force: PolicyInForce, logger: Logger, metrics: Metrics, *, dry_run: bool = False
) -> None:
    """Log every verdict and, unless it is a dry run, count verdicts by result."""
    for arn, judgement in outcomes.judged.items():
        logger.info(
            "verdict",
            extra={
                "target": str(arn),
                "decision": judgement.verdict.decision,
                "reason": judgement.verdict.reason,
                "status": judgement.status,
                "source": judgement.case.source,
                "explanation": judgement.verdict.explanation,
                "dry_run": dry_run,
                **_calls(judgement),
            },
        )
    report_policy(in_force, logger, metrics)
    if dry_run:
        return
    statuses = [judgement.status for judgement in outcomes.judged.values()]
    _count(metrics, "Verdicts", len(statuses))
    _count(metrics, "Enforced", statuses.count(Status.ENFORCED))
    _count(metrics, "Failed", statuses.count(Status.FAILED))


def _calls(judgement: Judgement) -> dict[str, Any]:
    """The IMDSv1 calls in the window, where CloudWatch was asked: the dashboard lists who makes most of them."""
    use = judgement.evidence.use if judgement.evidence else None
    return {"calls": use.calls, "last_call": to_seconds(use.last)} if use and use.calls else {}


def report_policy(in_force: PolicyInForce, logger: Logger, metrics: Metrics) -> None:
    """Report whether the policy is usable; the alarm needs a value either way."""
    if in_force.problem is not None:
        logger.error("policy refused", extra={"problem": in_force.problem})
    _count(metrics, "PolicyRefused", int(in_force.problem is not None))


def report_pass(done: Pass, logger: Logger, metrics: Metrics) -> None:
    """Log and count the result of a guard pass; the alarms need a value from every pass."""
    logger.info("guard passed", extra={each.name: getattr(done, each.name) for each in fields(done)})
    _count(metrics, "GuardPasses", 1)
    _count(metrics, "Verified", done.verified)
    _count(metrics, "RolledBack", done.rolled_back)
    _count(metrics, "LeftBroken", done.left_broken)
    _count(metrics, "BreakersOpen", done.breakers_open)


def report_sweep(metrics: Metrics, *, is_blind: bool) -> None:
    """Count a sweep that could look at nothing."""
    _count(metrics, "SweepsBlind", int(is_blind))


_NOT_HELD = frozenset(
    {
        *(Reason.OUT_OF_SCOPE, Reason.GONE, Reason.ALREADY_REQUIRED, Reason.ENDPOINT_DISABLED, Reason.EXEMPT),
        *MAY_CHANGE,
    }
)
"""Reasons that hold nothing: beside thousands that require tokens, nobody would see what waits."""
ACCOUNTS_SHOWN = 100
"""Accounts with a figure of their own: CloudWatch bills each. What the others have is added up."""
_OTHERS = "others"


def report_fleet(summary: Mapping[str, Any], tallies: Iterable[Mapping[str, Any]], service: str) -> None:
    """Publish what a sweep of everything found: what allows IMDSv1 by account, what is held by reason, and what nobody could look at.
    An account of which not everything was seen has no value: it would look as if it were done."""
    by_account: Counter[str] = Counter()
    for each in tallies:
        by_account[each["account"]] += each.get("imdsv1_allowed") or 0
    blind = {place.partition(" ")[0] for place in summary["errors"]} | summary["unreachable"].keys()
    for account in blind:
        by_account.pop(account, None)
    shown = dict(by_account.most_common(ACCOUNTS_SHOWN))
    if len(by_account) > len(shown):
        shown[_OTHERS] = by_account.total() - sum(shown.values())
    for account, count in shown.items():
        _gauge("Imdsv1Allowed", count, service, account=account)
    for reason, count in summary["by_verdict"].items():
        if reason not in _NOT_HELD:
            _gauge("Held", count, service, reason=reason)
    _gauge("Imdsv1AllowedInAll", summary.get("imdsv1_allowed") or 0, service)
    _gauge("UnreachableAccounts", len(blind), service)


def report_sweep_age(age: timedelta, metrics: Metrics) -> None:
    """Publish how long ago the last sweep ended; the alarm needs a value at every pass of the guard."""
    metrics.add_metric(name="SweepAgeHours", unit=MetricUnit.NoUnit, value=round(age.total_seconds() / 3600, 2))


def _gauge(name: str, value: int, service: str, **dimensions: str) -> None:
    """One metric with dimensions of its own; the namespace is in the environment."""
    with single_metric(name=name, unit=MetricUnit.Count, value=value) as metric:
        metric.add_dimension(name="service", value=service)
        for dimension, of in dimensions.items():
            metric.add_dimension(name=dimension, value=of)


def count_poison(metrics: Metrics, messages: int) -> None:
    """Count the messages that the service itself sent to the dead-letter queue."""
    _count(metrics, "PoisonMessages", messages)


def _count(metrics: Metrics, name: str, value: int) -> None:
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
