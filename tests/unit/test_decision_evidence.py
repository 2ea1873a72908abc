"""Rows 11b to 15b of the verdict table: incomplete evidence, and use."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict_table.decision import decide, decide_without_evidence
from tests.unit.builders import (
    NOW,
    at,
    evidence,
    instance,
    options,
    recurring,
    refused,
    start,
    unseen_start,
    use,
)
from tests.unit.decisions import judge, row

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Evidence

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
QUARTER = timedelta(minutes=15)
POLICY = Policy()
MENDED = '{"mended": {"targets": ["arn:aws:ec2:eu-west-1:222222222222:instance/i-00000000000000001"]}'


# --- Rows 11b and 12 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "too_long"), [(454, False), (455, False), (456, True), (2000, True)])
def test_stopped_for_longer_than_the_memory_needs_no_look_at_cloudwatch(days: int, too_long: bool) -> None:
    """Row 11b, where EC2 says when it stopped."""
    target = instance(state="stopped", stopped_at=NOW - days * DAY)
    verdict = decide_without_evidence(target, History(), POLICY, NOW)
    assert too_long is (verdict is not None)
    if verdict is not None:
        assert ("hold", "stopped_too_long") == row(verdict)
        assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    ("seen", "wait"),
    [
        (None, DAY),
        (evidence(problem="CloudWatch answered Forbidden"), DAY),
        (evidence(problem="CloudWatch answered PartialData", use=use(3)), DAY),
        (evidence(problem="CloudWatch answered InternalError", passes=True, stopped_too_long=True), QUARTER),
        (evidence(problem="Throttling: slow down", passes=True), QUARTER),
    ],
)
def test_incomplete_evidence_is_none(seen: Evidence | None, wait: timedelta) -> None:
    """Row 12, whatever else the answers contain; the explanation says what went wrong."""
    verdict = decide(instance(), seen, History(), POLICY, NOW)
    assert ("hold", "evidence_incomplete") == row(verdict)
    assert (seen.problem if seen and seen.problem else "no answer") in verdict.explanation
    assert NOW + wait == verdict.revisit_at


# --- Rows 13 to 15b: use -------------------------------------------------------------------------------------------

USED = evidence(use=use(3, hours=2, days=2, last=at("2026-11-20 14:00"), pattern="daily at 14:00"))
TOLD = "3 IMDSv1 calls in 2 hours on 2 days (daily at 14:00), the last on 2026-11-20 between 14:00 and 15:00 UTC."


@pytest.mark.parametrize(
    "tag",
    [
        "eks:cluster-name",
        "aws:eks:cluster-name",
        "kubernetes.io/cluster/prod",
        "karpenter.sh/nodepool",
        "AmazonECSManaged",
        "AWSBatchServiceTag",
        "aws:batch:compute-environment",
        "aws:ecs:clusterName",
        "eks:eks-cluster-name",
        "eks:nodegroup-name",
        "alpha.eksctl.io/nodegroup-name",
        "eksctl.cluster.k8s.io/v1alpha1/cluster-name",
        "karpenter.sh/provisioner-name",
        "karpenter.k8s.aws/ec2nodeclass",
        "KubernetesCluster",
        "k8s.io/cluster-autoscaler/enabled",
        "k8s.io/cluster-autoscaler/orders",
        "kops.k8s.io/instancegroup",
        "sigs.k8s.io/cluster-api-provider-aws/cluster/orders",
        "elasticbeanstalk:environment-name",
        "elasticbeanstalk:environment-id",
    ],
)
def test_use_on_a_container_host_with_a_hop_limit_of_one_may_be_the_limits_fault(tag: str) -> None:
    """Row 13: a hypothesis, and how to tell; the explanation names the remedy and its price."""
    verdict = judge(instance(tags={tag: ""}), USED)
    assert ("hold", "hop_limit_fallback") == row(verdict)
    for words in (TOLD, "two possible causes", "hop limit 2", "within the hour", "instance role", "analyzer", MENDED):
        assert words in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_a_group_that_batch_has_named_is_one_of_container_hosts() -> None:
    """No tag of Batch's own need be on its instances."""
    tags = {"aws:autoscaling:groupName": "AWSBatch-orders-asg-0a1b2c3d-0a1b-0c2d-0e3f-0a1b2c3d4e5f"}
    assert ("hold", "hop_limit_fallback") == row(judge(instance(tags=tags), USED))


@pytest.mark.parametrize(
    ("tags", "hop_limit"),
    [
        ({}, 1),
        ({"aws:autoscaling:groupName": "MyAWSBatch-orders"}, 1),
        ({"eks:cluster-name": "prod"}, 2),
        ({"eks:cluster-name": "prod"}, 3),
        ({"KubernetesCluster": "orders"}, 2),
        ({"elasticbeanstalk:environment-name": "orders"}, 2),
        ({"KubernetesCluster": "orders"}, 4),
        ({}, 2),
        ({"EKS:cluster-name": "prod"}, 1),
        ({"k8s.io": "prod"}, 1),
        ({"kubernetes.io/cluster": "prod"}, 1),
        ({"karpenter.sh/nodepools": "prod"}, 1),
        ({"aws:autoscaling:groupName": "AmazonECSManaged"}, 1),
    ],
)
def test_other_use_in_the_window_holds(tags: dict[str, str], hop_limit: int) -> None:
    """Row 14; where nothing says that a host with limit 1 has no containers, the limit is named as a cause as well."""
    verdict = judge(instance(tags=tags, options=options(hop_limit=hop_limit)), USED)
    assert ("hold", "v1_in_use") == row(verdict)
    assert verdict.explanation.startswith(
        f"{TOLD} Without another call this hold ends by itself on 2026-12-25 15:00 UTC."
    )
    assert MENDED in verdict.explanation
    assert ("If it runs containers" in verdict.explanation) is (hop_limit == 1)
    overlay = bool(tags) and hop_limit == 2
    assert ("raise it to 3" in verdict.explanation) is overlay
    assert ("overlay" in verdict.explanation) is overlay
    assert NOW + DAY == verdict.revisit_at


def test_one_call_is_told_as_one() -> None:
    """The explanation uses the singular."""
    verdict = judge(seen=evidence(use=use(1)))
    assert verdict.explanation.startswith("1 IMDSv1 call in 1 hour on 1 day (once), the last on")


@pytest.mark.parametrize(
    ("last", "revisit_at"),
    [
        (at("2026-10-16 14:00"), at("2026-11-20 15:00")),
        (at("2026-10-17 13:00"), at("2026-11-21 14:00")),
        (at("2026-10-17 14:00"), NOW + DAY),
    ],
)
def test_a_hold_that_ends_by_itself_within_a_day_is_judged_then(last: datetime, revisit_at: datetime) -> None:
    """Rows 13 and 14: at the hour that the text names."""
    for tags in ({}, {"eks:cluster-name": "prod"}):
        assert revisit_at == judge(instance(tags=tags), evidence(use=use(last=last))).revisit_at


def test_refused_calls_hold() -> None:
    """Row 14b: its software asks for IMDSv1, whoever required tokens."""
    verdict = judge(seen=evidence(refused=refused(40, last=at("2026-11-03 00:00"))))
    assert ("hold", "v1_refused") == row(verdict)
    for words in ("40 IMDSv1 calls were refused", "on 2026-11-03", "ends by itself on 2026-12-09", MENDED):
        assert words in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_one_refused_call_is_told_as_one() -> None:
    """The explanation uses the singular."""
    assert judge(seen=evidence(refused=refused(1))).explanation.startswith("1 IMDSv1 call was refused while")


@pytest.mark.parametrize("boot_evidence", list(BootEvidence))
def test_use_around_the_last_start_holds(boot_evidence: BootEvidence) -> None:
    """Row 15 holds whether or not the policy requires that the start was observed, and on container hosts too."""
    target = instance(tags={"eks:cluster-name": "prod"})
    verdict = judge(target, evidence(start=start(calls=2)), policy=Policy(boot_evidence=boot_evidence))
    assert ("hold", "v1_at_boot") == row(verdict)
    assert "2 IMDSv1 calls" in verdict.explanation
    assert f"{target.launched_at:%Y-%m-%d %H:%M} UTC" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    ("fields", "words", "never"),
    [
        ({}, "stop and start it, or reboot it and then say so", "replace"),
        ({"tags": {"aws:autoscaling:groupName": "web"}}, "let its Auto Scaling group replace it", "stop and start"),
        ({"stoppable": False}, "reboot it and then say so", "stop and start"),
    ],
)
def test_how_boot_software_runs_again_depends_on_the_instance(fields: dict[str, Any], words: str, never: str) -> None:
    """Row 15: a group replaces what is stopped, and not everything can be stopped."""
    verdict = judge(instance(**fields), evidence(start=start(calls=2)))
    assert words in verdict.explanation
    assert never not in verdict.explanation
    assert MENDED in verdict.explanation


@pytest.mark.parametrize(
    ("fields", "words", "never"),
    [
        ({}, "; or stop and start it. After", "replace"),
        (
            {"tags": {"aws:autoscaling:groupName": "web"}},
            "; or let its Auto Scaling group replace it",
            "stop-instances",
        ),
        ({"stoppable": False}, "within a day. After a reboot from inside", "stop"),
    ],
)
def test_an_unseen_start_is_answered_with_the_gentlest_way_first(
    fields: dict[str, Any], words: str, never: str
) -> None:
    """Row 18: a reboot through EC2 needs no word of anybody; AWS's commands come last, where a short text may drop them."""
    target = instance(**fields)
    told = judge(target, evidence(start=unseen_start())).explanation
    assert words in told
    assert never not in told
    assert MENDED in told
    asked = f"aws ec2 reboot-instances --region {target.arn.region} --instance-ids {target.arn.instance_id}"
    assert told.index("through EC2") < told.index(MENDED) < told.index(asked)
    assert (fields == {}) is ("aws ec2 start-instances" in told)


@pytest.mark.parametrize(
    ("ends_at", "expected", "revisit_at"),
    [
        (NOW + 30 * DAY, ("hold", "v1_recurs"), NOW + DAY),
        (NOW + HOUR, ("hold", "v1_recurs"), NOW + HOUR),
        (NOW, ("enforce", "unused"), NOW + DAY),
        (NOW - DAY, ("enforce", "unused"), NOW + DAY),
        (None, ("enforce", "unused"), NOW + DAY),
    ],
)
def test_use_that_comes_again_holds_until_the_silence_is_long_enough(
    ends_at: datetime | None, expected: tuple[str, str], revisit_at: datetime
) -> None:
    """Row 15b; afterwards it is told only."""
    verdict = judge(seen=evidence(older=recurring(12, last=at("2026-09-17 00:00"), ends_at=ends_at)))
    assert (*expected, revisit_at) == (*row(verdict), verdict.revisit_at)
    assert "12" in verdict.explanation
    assert "in the week from 2026-09-17" in verdict.explanation
    if expected[0] == "hold" and ends_at is not None:
        assert f"on {ends_at:%Y-%m-%d}" in verdict.explanation
        assert MENDED in verdict.explanation
