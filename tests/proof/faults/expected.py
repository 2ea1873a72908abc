"""What a fault has to come to at once, by operation and kind of fault. What it has to come to in the end is the same for all:
what would have been without it (`matrix.run` compares), unless `OTHER_ENDS` says otherwise.

Outcomes: `same`, nothing is to be seen of it after the step; `owed`, what is missing is done by a later pass; `failed`, the
message, the place or the request failed, is counted and comes again; `held` with a reason; `alarm`, an instance counts as
left broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proof.faults.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPS: Mapping[str, frozenset[str]] = {
    "once": frozenset({"throttled once", "error once", "unavailable once", "reset once", "timeout once", "slow"}),
    "done once": frozenset({"lost once", "timeout once, done"}),
    "lasting": frozenset({"throttled", "error", "reset", "timeout"}),
    "lasting, done": frozenset({"error, done", "lost", "timeout, done"}),
    "in doubt": frozenset({"lost, then denied", "lost, then throttled"}),
    "expired": frozenset({"expired"}),
    "denied": frozenset({"denied"}),
    "garbled": frozenset({"unreadable", "wrong"}),
    "partial": frozenset({"partial"}),
    "empty page": frozenset({"empty page"}),
    "stale": frozenset({"stale"}),
}
"""Kinds from which the same is expected."""


def group_of(kind: str) -> str:
    """The group of a kind."""
    (group,) = [name for name, kinds in GROUPS.items() if kind in kinds]
    return group


assert frozenset(KINDS) == frozenset().union(*GROUPS.values())

_BY_BOTOCORE = frozenset({"same", "owed"})
"""What botocore tries again costs time at most, after which something may be left to the next pass."""
_UNREAD = frozenset({"same", "owed", "failed", "held not_ready"})
"""What cannot be parsed is no answer; what is of another shape is a defect to the line: the group is halved and tried again, or
fails. Immediately before a change it is held."""


def _row(others: str, **by_group: str) -> Mapping[str, frozenset[str]]:
    """Outcomes by group of faults: those that are named, and ``others``."""
    named = {name.replace("__", ", ").replace("_", " "): frozenset(each.split(", ")) for name, each in by_group.items()}
    usual = frozenset(others.split(", "))
    retried = dict.fromkeys(("once", "done once", "empty page"), _BY_BOTOCORE) | {"garbled": _UNREAD | usual}
    return {**dict.fromkeys(GROUPS, usual), **retried, **named}


EXPECTED: Mapping[str, Mapping[str, frozenset[str]]] = {
    # A cohort of which nobody knows who has ended speaks for no young member; these are old.
    "autoscaling:DescribeScalingActivities": _row("same, owed"),
    # What cannot be read is no evidence; of the guard's instances nothing is concluded until the next pass.
    "cloudwatch:GetMetricData": _row("held evidence_incomplete, owed, same"),
    # What nobody was told of refused calls counts as a failure of the place, and is asked again.
    "cloudwatch:ListMetrics": _row("same, owed, failed"),
    # The ledger: without it nothing is done, or what was done is written by a later run. Immediately before a change it is asked
    # once more, with the gates: what cannot be read then is held.
    "dynamodb:BatchGetItem": _row("failed, owed, held not_ready, same", partial="same, owed"),
    "dynamodb:GetItem": _row("failed, owed, held not_ready, same"),
    # A write that was done is recognised by its author, who goes on. Room under the cap that cannot be given back costs nothing else.
    "dynamodb:PutItem": _row("failed, owed, same"),
    # What is due and not shown is left to the next pass, held as it was.
    "dynamodb:Query": _row(
        "failed, owed", stale="same, owed", empty_page="same, owed, held calendar_closed, held notice_given"
    ),
    "dynamodb:TransactWriteItems": _row("failed, owed, same"),
    # A pass of the guard that cannot note how far it has looked back is followed by one that looks as far.
    "dynamodb:UpdateItem": _row("failed, owed, same"),
    # Instances: each is held with a reason, or its change is in doubt and looked at again.
    "ec2:CreateTags": _row("held untaggable, held not_ready, owed, same"),
    "ec2:DeleteTags": _row("same, owed"),
    # Unread owners of AMIs: the instances of one AMI are one cohort, and some wait. A person's request about AMIs fails, and is told why.
    "ec2:DescribeImages": _row("same, owed, held canary_wait, failed"),
    "ec2:DescribeInstances": _row(
        "held unreachable, held not_ready, held evidence_incomplete, owed, same, failed",
        stale="same, owed, held unused, alarm",
    ),
    "ec2:DescribeRegions": _row("same, owed"),
    # What was before is in the ledger; whoever asked is told, and asks again.
    "ec2:ModifyInstanceMetadataDefaults": _row("owed, same, failed"),
    "ec2:ModifyInstanceMetadataOptions": _row(
        "owed, same, held not_ready",
        expired="same",
        denied="held unused, owed, alarm, same",
        in_doubt="held unused, held not_ready, owed, alarm, same",
    ),
    # Where instances come from is only read: what fails is told to whoever asks. What a finding names, or the sweep, is held by
    # what cannot be read if nothing is known of it, and judged anew the next night. A source that is being changed is looked at again.
    **dict.fromkeys(
        (
            *("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeLaunchConfigurations"),
            *("batch:DescribeComputeEnvironments", "eks:DescribeNodegroup"),
            *("ec2:DescribeFleets", "ec2:DescribeLaunchTemplates"),
            *("ec2:DescribeLaunchTemplateVersions", "ec2:DescribeSpotFleetRequests"),
        ),
        _row("same, owed, failed", garbled="same, owed, failed"),
    ),
    # A source that is being changed: what AWS refuses is put back or told, and what is in doubt is looked at again.
    **dict.fromkeys(
        ("autoscaling:UpdateAutoScalingGroup", "ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"),
        _row("owed, same"),
    ),
    # An AMI is changed on a person's request, whose answer says what EC2 refused; they ask again.
    "ec2:ModifyImageAttribute": _row("owed, same", garbled="owed, same, failed"),
    # For graduation they decide: what is not read keeps the place open, and whoever asked asks again. A start that no reboot stands
    # for holds until the next day's question.
    "cloudtrail:LookupEvents": _row(
        "same, owed, held boot_not_observable", garbled="same, owed, failed, held boot_not_observable"
    ),
    "ec2:GetInstanceMetadataDefaults": _row("same, owed, failed"),
    # An inventory is asked for by whoever looks for the software that calls, and only tells: what is not read is said.
    "ssm:ListInventoryEntries": _row("same, owed", garbled="same, owed, failed"),
    # A command is sent once, and whoever asked is told what is not known of it; they ask again.
    "ssm:GetCommandInvocation": _row("same, owed"),
    "ssm:SendCommand": _row("owed, same"),
    # Findings: those that may not be read count as suppressed, others are asked for again; notes are owed.
    "securityhub:BatchUpdateFindings": _row("owed, same"),
    "securityhub:BatchUpdateFindingsV2": _row("owed, same"),
    "securityhub:GetFindings": _row(
        "held not_ready, owed, same",
        denied="held suppressed, owed, same",
        in_doubt="held suppressed, held not_ready, owed, same",
        expired="held not_ready, same, owed",
    ),
    "securityhub:GetFindingsV2": _row(
        "held not_ready, owed, same",
        denied="held suppressed, owed, same",
        in_doubt="held suppressed, held not_ready, owed, same",
        expired="held not_ready, same, owed",
    ),
    "sns:Publish": _row("owed, same"),
    # The queue delivers again what could not be buried.
    "sqs:SendMessage": _row("failed"),
    # Without a readable policy nothing is changed, except on the last good one; a calendar that is not read is closed.
    "ssm:GetCalendarState": _row("held calendar_closed", garbled="held calendar_closed"),
    # Judged by the defaults meanwhile, which want more evidence.
    "ssm:GetParameter": _row("held policy_unreadable, held no_evidence, owed, same"),
    # Whoever refuses calls in an account that cannot be entered is not known: the guard's pass counts it as failed.
    "sts:AssumeRole": _row("held unreachable, owed, same, alarm, failed"),
    # The sweep's steps are tried again.
    "organizations:ListAccounts": _row("failed"),
    "s3:GetObject": _row("failed"),
    "s3:PutObject": _row("failed"),
}

OTHER_ENDS: Mapping[tuple[str, str, str], tuple[str, ...]] = {
    # What was denied is judged anew. If its sibling has broken by then, that holds it; if not, it is changed later than without the fault,
    # and its watch still goes on at the end.
    ("finding that breaks", "ec2:ModifyInstanceMetadataOptions", "denied"): (
        "reason: unused -> cohort_uses_v1",
        "status: verified -> enforced",
    ),
}
"""By path, operation and kind: what the end says, one of these, where it rightly differs from that without a fault."""
