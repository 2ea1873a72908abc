"""Alarms and dashboard of the service, around what they watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.alarms import Alarms
from infra.dashboard import Dashboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import Stack, aws_sns, aws_stepfunctions

    from infra.finding_rules import FindingRules
    from infra.functions import ServiceFunction
    from infra.names import Names
    from infra.queues import FailedInvocations, FindingsQueue


def monitor(
    stack: Stack,
    *,
    topic: aws_sns.ITopic,
    findings: FindingsQueue,
    failed: FailedInvocations,
    judges: Sequence[ServiceFunction],
    broadcast: ServiceFunction,
    sweep: aws_stepfunctions.IStateMachine,
    rules: Sequence[FindingRules],
    names: Names,
) -> Dashboard:
    """Create the alarms and the dashboard. ``judges``: the functions that decide about instances; ``broadcast``: the
    one that sends events to subscribers."""
    functions = {each.name: each.function for each in judges}
    alarms = Alarms(stack, "Alarms", topic=topic, names=names)
    alarms.on_dead_letters(queues={"findings": findings.dead_letters, "invocations": failed.queue})
    alarms.on_age(queue=findings.queue)
    alarms.on_errors(functions={**functions, "broadcast": broadcast.function})
    alarms.on_refused_policy()
    alarms.on_breakage()
    alarms.on_silent_guard()
    alarms.on_silent_revisit(function=functions["revisit"])
    alarms.on_failed_sweep(machine=sweep)
    alarms.on_blind_sweep()
    alarms.on_missing_sweep()
    alarms.on_unreachable_accounts()
    alarms.on_throttles(functions=functions)
    alarms.on_findings_elsewhere()
    alarms.on_lost_events(rules=[rule for each in rules for rule in each.rules.values()])
    return Dashboard(stack, "Dashboard", alarms=alarms.all, findings=findings, functions=functions, names=names)
