"""The service's tag on instances, by which a rollback tells its change: written before the change, replaced after a rollback.

IAM: ``ec2:CreateTags`` and ``ec2:DeleteTags`` for the write and rollback roles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imdsv2.aws.change_refusal import GONE, NO_SUCH_INSTANCE, Refusal, hold, throttled
from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code, may_have_been_done, may_pass
from imdsv2.aws.refusals import OF_ALL, cause_of
from imdsv2.domain.batches import batched
from imdsv2.domain.instance import ENFORCED_TAG, ROLLED_BACK_TAG
from imdsv2.domain.verdict import Reason
from imdsv2.errors import QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.instance import Instance, InstanceArn

_RESOURCES_A_TAGGING = 1000
_TAG_POLICY_FORBIDS = "TagPolicyViolation"
"""Error codes for the Amazon EC2 API. The tag's value is a time, so what a tag policy says of the tag, it says for all instances."""
_ONE_FAILS_ALL = {NO_SUCH_INSTANCE, "TagLimitExceeded"}


def tag(
    ec2: EC2Client, instances: Iterable[Instance], now: datetime, cohorts: Mapping[InstanceArn, str | None]
) -> dict[InstanceArn, Refusal]:
    """Tag instances of one account and Region. Returns those that could not be tagged; these must not be changed.

    ``cohorts``: of what the organisation forbids to one instance of a cohort, the others are not asked about.
    """
    refused: dict[InstanceArn, Refusal] = {}
    for batch in batched(instances, _RESOURCES_A_TAGGING):
        try:
            _create_tags(ec2, batch, now)
        except CALL_FAILURES as error:
            if len(batch) == 1 or may_pass(error):
                # What nobody answers is asked once: the others would wait for the same silence.
                refused |= {instance.arn: _untaggable(error, now) for instance in batch}
            else:
                # One instance that already has 50 tags fails the whole call: retry one by one to find it.
                refused |= _tag_one_by_one(ec2, batch, now, cohorts)
    return refused


def _tag_one_by_one(
    ec2: EC2Client, instances: Sequence[Instance], now: datetime, cohorts: Mapping[InstanceArn, str | None]
) -> dict[InstanceArn, Refusal]:
    refused: dict[InstanceArn, Refusal] = {}
    denied: dict[str, Refusal] = {}
    for instance in instances:
        cohort = cohorts.get(instance.arn)
        if cohort in denied:
            refused[instance.arn] = denied[cohort]
            continue
        alone = tag(ec2, [instance], now, cohorts)
        refused |= alone
        if cohort is not None and (refusal := alone.get(instance.arn)) is not None and refusal.is_of_all:
            denied[cohort] = refusal
    return refused


def untag(ec2: EC2Client, arns: Iterable[InstanceArn]) -> set[InstanceArn]:
    """Remove the service's tag from instances that were not changed after all. Returns those that may still have it."""
    left: set[InstanceArn] = set()
    for batch in batched(arns, _RESOURCES_A_TAGGING):
        try:
            ec2.delete_tags(Resources=[arn.instance_id for arn in batch], Tags=[{"Key": ENFORCED_TAG}])
        except CALL_FAILURES as error:
            if error_code(error) == NO_SUCH_INSTANCE and len(batch) == 1:
                continue
            if len(batch) == 1 or may_pass(error):
                left |= set(batch)
            else:
                # One that has gone fails the whole call.
                left |= {arn for each in batch for arn in untag(ec2, [each])}
    return left


def mark_rolled_back(ec2: EC2Client, arns: Iterable[InstanceArn], now: datetime) -> dict[InstanceArn, Exception]:
    """Replace the service's tag on rolled-back instances. Returns those whose tag is still to be replaced, with the error.

    What has gone has no tag. It fails the whole call, as one with 50 tags of its own does: the rest is tried one by one.
    """
    left: dict[InstanceArn, Exception] = {}
    for batch in batched(arns, _RESOURCES_A_TAGGING):
        try:
            _replace_tag(ec2, batch, now)
        except CALL_FAILURES as error:
            if len(batch) == 1 or error_code(error) not in _ONE_FAILS_ALL:
                left |= {arn: error for arn in batch if error_code(error) != NO_SUCH_INSTANCE}
                continue
            for arn in batch:
                left |= mark_rolled_back(ec2, [arn], now)
    return left


def _replace_tag(ec2: EC2Client, arns: Sequence[InstanceArn], now: datetime) -> None:
    ids = [arn.instance_id for arn in arns]
    # Delete first, because the instance may already have 50 tags.
    ec2.delete_tags(Resources=ids, Tags=[{"Key": ENFORCED_TAG}])
    ec2.create_tags(Resources=ids, Tags=[{"Key": ROLLED_BACK_TAG, "Value": now.strftime("%Y-%m-%dT%H:%M:%SZ")}])


def _create_tags(ec2: EC2Client, instances: Sequence[Instance], now: datetime) -> None:
    value = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    before = [instance.arn.instance_id for instance in instances if ROLLED_BACK_TAG in instance.tags]
    if before:
        # Before the new tag: the instance may already have 50 tags, and a failure here must leave no new tag behind.
        ec2.delete_tags(Resources=before, Tags=[{"Key": ROLLED_BACK_TAG}])
    ec2.create_tags(
        Resources=[instance.arn.instance_id for instance in instances], Tags=[{"Key": ENFORCED_TAG, "Value": value}]
    )


def _untaggable(error: Exception, now: datetime) -> Refusal:
    if error_code(error) == NO_SUCH_INSTANCE:
        return Refusal(verdict=GONE)
    why = f"Its tag {ENFORCED_TAG} cannot be written ({describe_error(error)}), so a later rollback could not tell our change; "
    if may_pass(error):
        in_doubt = not isinstance(error, ClientError | QuotaExhausted) or may_have_been_done(error)
        return Refusal(verdict=throttled(error, why + "it is tried again by itself.", now), tag_left=in_doubt)
    cause = cause_of(error)
    if cause in OF_ALL or error_code(error) == _TAG_POLICY_FORBIDS:
        why += (
            f"{cause or 'a tag policy'} forbids it: allow the tag to the account's write role there. One of the instances that run the same "
            "software is tried again each day."
        )
        return Refusal(verdict=hold(Reason.UNTAGGABLE, why, now), is_of_all=True)
    return Refusal(verdict=hold(Reason.UNTAGGABLE, why + "free one of its 50 tags, or allow the tag.", now))
