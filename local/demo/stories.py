"""The demo's instances, in the order of the verdict table: what each did, and the verdict that it has to get."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from local.cloud.run import SECURITY
from local.demo.fleet import BETA, DAY, ELSEWHERE, MOST_TAGS, SANDBOX, SSM_TAG, STRANGER, Before, Machine, Via

_MANAGED = {SSM_TAG: "Linux"}


def machines() -> tuple[Machine, ...]:
    """The fleet, in the order of the verdict table."""
    held = (*_held_before_evidence(), *_held_by_evidence(), *_held_by_gates_and_ec2(), *_waiting())
    return tuple(map(_with_software, (*_skipped(), *held, *_enforced())))


def canaries() -> tuple[Machine, ...]:
    """Instances that are enforced before the rest of their cohort is launched."""
    first = Machine(
        name="shop-1", story="canary of the shop", account=BETA, runs_as="shop", decision="enforce", reason="unused"
    )
    return (_with_software(first),)


def _with_software(machine: Machine) -> Machine:
    """Give each instance its own image unless `runs_as` says otherwise, so that it does not wait for a canary of its cohort."""
    software = hashlib.sha256((machine.runs_as or machine.name).encode()).hexdigest()
    return replace(machine, image=f"ami-{software[:17]}")


def _skipped() -> tuple[Machine, ...]:
    return (
        Machine(name="sandbox-1", story="never used", account=SANDBOX, decision="skip", reason="out_of_scope"),
        Machine(
            name="batch-old",
            story="terminated",
            via=Via.CONFIG,
            tags={"local:state": "terminated"},
            decision="skip",
            reason="gone",
        ),
        Machine(
            name="web-modern",
            story="tokens required",
            options={"HttpTokens": "required"},
            decision="skip",
            reason="already_required",
        ),
        Machine(
            name="vault",
            story="endpoint closed",
            options={"HttpEndpoint": "disabled"},
            decision="skip",
            reason="endpoint_disabled",
        ),
        Machine(
            name="legacy-app",
            story="exempt until 2099",
            calls={5: 12},
            tags={"imdsv2:exempt-until": "2099-12-31", **_MANAGED},
            runs="legacy.sh",
            decision="skip",
            reason="exempt",
        ),
    )


def _held_before_evidence() -> tuple[Machine, ...]:
    return (*_held_by_what_is_said(), *_held_by_the_past(), *_held_by_state())


def _held_by_what_is_said() -> tuple[Machine, ...]:
    return (
        Machine(name="stranger-1", story="no role to enter", account=STRANGER, decision="hold", reason="unreachable"),
        Machine(
            name="legacy-db",
            story="exempt, but when?",
            tags={"imdsv2:exempt-until": "soon"},
            decision="hold",
            reason="exemption_unreadable",
        ),
    )


def _held_by_the_past() -> tuple[Machine, ...]:
    return (
        Machine(
            name="web-reopened",
            story="opened again by hand",
            via=Via.CONFIG_FORWARDED,
            happened=Before.CHANGED_BACK,
            decision="hold",
            reason="changed_back",
        ),
        Machine(
            name="blue-batch",
            story="never used, team blue holds it",
            happened=Before.HELD,
            decision="hold",
            reason="held_by_person",
        ),
        Machine(
            name="legacy-agent",
            story="broke when tokens were required",
            via=Via.CONFIG,
            happened=Before.BROKE,
            tags=_MANAGED,
            runs="agent.py",
            decision="hold",
            reason="broke_before",
        ),
        Machine(
            name="grey-agent",
            story="never used, put back for a person",
            happened=Before.UNDONE,
            decision="hold",
            reason="undone_by_person",
        ),
    )


def _held_by_state() -> tuple[Machine, ...]:
    return (
        Machine(
            name="forgotten",
            story="stopped 460 days ago",
            started=500 * DAY,
            stopped=460 * DAY,
            decision="hold",
            reason="stopped_too_long",
        ),
        Machine(
            name="web-booting",
            story="just starting",
            via=Via.CONFIG,
            tags={"local:state": "pending"},
            decision="hold",
            reason="not_ready",
        ),
        Machine(
            name="edge-7",
            story="metric answer partial",
            tags={"local:metrics": "PartialData"},
            decision="hold",
            reason="evidence_incomplete",
        ),
    )


def _held_by_evidence() -> tuple[Machine, ...]:
    return (*_held_by_use(), *_held_by_its_cohort(), *_held_by_what_is_unknown())


def _held_by_use() -> tuple[Machine, ...]:
    return (
        Machine(
            name="eks-node-1",
            story="40 calls, hop limit 1",
            via=Via.CIS,
            account=BETA,
            calls={3: 40},
            tags={"eks:cluster-name": "prod"},
            decision="hold",
            reason="hop_limit_fallback",
        ),
        Machine(
            name="cron-monthly",
            story="3 calls, 30 days ago",
            calls={30 * DAY: 3},
            tags=_MANAGED,
            runs="billing.sh",
            decision="hold",
            reason="v1_in_use",
        ),
        Machine(
            name="agent-refused",
            story="required for 3 days, 900 calls refused",
            refused=dict.fromkeys((100, 90, 80), 300),
            decision="hold",
            reason="v1_refused",
        ),
        Machine(
            name="quarterly",
            story="uses it every 90 days",
            started=300 * DAY,
            calls={day * DAY: 5 for day in (40, 130, 220)},
            runs="quarter.sh",
            decision="hold",
            reason="v1_recurs",
        ),
        Machine(
            name="appliance",
            story="4 calls at its start, 60 days ago",
            via=Via.V2,
            started=60 * DAY,
            calls={60 * DAY - 1: 4},
            decision="hold",
            reason="v1_at_boot",
        ),
    )


def _held_by_its_cohort() -> tuple[Machine, ...]:
    return (
        Machine(
            name="reports-1",
            story="one of two of a group, 45 calls two days ago",
            calls={2 * DAY: 45},
            tags={"aws:autoscaling:groupName": "reports", **_MANAGED},
            runs="reports.py",
            runs_as="reports",
            decision="hold",
            reason="v1_in_use",
        ),
        Machine(
            name="reports-2",
            story="the other, never used",
            tags={"aws:autoscaling:groupName": "reports"},
            runs_as="reports",
            decision="hold",
            reason="cohort_uses_v1",
        ),
    )


def _held_by_what_is_unknown() -> tuple[Machine, ...]:
    return (
        Machine(
            name="agentless",
            story="runs, publishes nothing",
            account=BETA,
            region=ELSEWHERE,
            mute=True,
            decision="hold",
            reason="no_evidence",
        ),
        Machine(
            name="blind-spot",
            story="never used, no datapoint for 60 hours",
            gap=range(200, 260),
            decision="hold",
            reason="no_evidence",
        ),
        Machine(name="web-new", story="never used, 3 days old", started=3 * DAY, decision="hold", reason="too_young"),
        Machine(
            name="web-restarted",
            story="never used, started minutes ago",
            via=Via.FOUNDATIONAL,
            started=0.4,
            first=80 * DAY,
            decision="hold",
            reason="boot_not_observable",
        ),
    )


def _held_by_gates_and_ec2() -> tuple[Machine, ...]:
    return (
        Machine(
            name="audited",
            story="never used, finding suppressed",
            suppressed=True,
            decision="hold",
            reason="suppressed",
        ),
        Machine(
            name="tag-hoarder",
            story="never used, 50 tags",
            tags={f"cost:{number}": "x" for number in range(MOST_TAGS - 3)},
            decision="hold",
            reason="untaggable",
            again=("enforce", "unused"),
        ),
        Machine(
            name="eks-auto-1",
            story="never used, managed by EKS",
            account=BETA,
            tags={"local:operator": "eks.amazonaws.com"},
            decision="hold",
            reason="managed_elsewhere",
            again=("enforce", "unused"),
        ),
    )


def _waiting() -> tuple[Machine, ...]:
    return (
        Machine(
            name="shop-2",
            story="never used, runs what shop-1 runs",
            account=BETA,
            runs_as="shop",
            decision="hold",
            reason="canary_wait",
        ),
    )


def _enforced() -> tuple[Machine, ...]:
    return (*_enforced_by_evidence(), *_enforced_by_cohort())


def _enforced_by_cohort() -> tuple[Machine, ...]:
    shape: dict[str, Any] = {"tags": {"aws:autoscaling:groupName": "workers"}, "runs_as": "workers"}
    others = [
        Machine(
            name=f"worker-{number}",
            story="tokens required, never used before",
            options={"HttpTokens": "required"},
            decision="skip",
            reason="already_required",
            **shape,
        )
        for number in (1, 2, 3)
    ]
    young = "a member of their group, five hours old, never used"
    return (
        *others,
        Machine(name="worker-4", story=young, started=5, decision="enforce", reason="cohort_unused", **shape),
    )


def _enforced_by_evidence() -> tuple[Machine, ...]:
    return (
        Machine(name="web-1", story="never used", decision="enforce", reason="unused"),
        Machine(name="web-2", story="never used", via=Via.FOUNDATIONAL, decision="enforce", reason="unused"),
        Machine(name="web-3", story="never used", via=Via.V2, account=BETA, decision="enforce", reason="unused"),
        Machine(
            name="api-1",
            story="never used",
            via=Via.CONFIG,
            account=BETA,
            region=ELSEWHERE,
            decision="enforce",
            reason="unused",
        ),
        Machine(
            name="api-2",
            story="never used",
            via=Via.CONFIG_FORWARDED,
            region=ELSEWHERE,
            decision="enforce",
            reason="unused",
        ),
        Machine(name="hub-own", story="never used", account=SECURITY, decision="enforce", reason="unused"),
        Machine(
            name="office",
            story="never used, runs by day",
            started=9,
            first=90 * DAY,
            shift=range(8, 20),
            decision="enforce",
            reason="unused",
        ),
        Machine(
            name="migrated",
            story="last used 50 days ago",
            started=80 * DAY,
            calls={50 * DAY: 9},
            decision="enforce",
            reason="unused",
        ),
        Machine(name="parked", story="never used, stopped", stopped=5 * DAY, decision="enforce", reason="unused"),
        Machine(
            name="picky",
            story="never used, wants HttpEndpoint",
            tags={"local:refuse-without-endpoint": "yes"},
            decision="hold",
            reason="not_ready",
            again=("enforce", "unused"),
        ),
    )
