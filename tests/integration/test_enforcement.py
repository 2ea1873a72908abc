"""The processing of instances in status `enforcing`: gates once more, EC2, read-back, tag."""

from __future__ import annotations

import itertools
import threading
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ReadTimeoutError

from imdsv2.aws.ec2 import describe
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import HOURLY, Decision, Reason, Verdict
from imdsv2.ledger.record import Record
from imdsv2.line.enforce import Enforcement
from imdsv2.line.judgement import Case, Judgement
from imdsv2.line.look_again import LookAgain
from tests.integration.builders import MEMBER, NOW, REFUSED_WITHOUT_ENDPOINT, asked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

OUR_TAG = "imdsv2:enforced-at"


def judged(cloud: Cloud, arn: InstanceArn) -> Judgement:
    """An instance to enforce."""
    target = describe(cloud.as_account(MEMBER, "ec2"), [arn])[arn]
    assert isinstance(target, Instance)
    return Judgement(
        case=Case(arn=arn, requests=(asked(arn),)),
        record=Record(arn=arn, version=1, status="enforcing", owner="request"),
        verdict=Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation="unused", revisit_at=NOW),
        status=Status.ENFORCING,
        target=target,
    )


def held(judgement: Judgement) -> Judgement:
    """The verdict of a closed gate."""
    verdict = Verdict(decision=Decision.HOLD, reason=Reason.SWITCHED_OFF, explanation="off", revisit_at=NOW + HOURLY)
    return replace(judgement, verdict=verdict, status=Status.HELD)


def enforce(
    cloud: Cloud,
    *arns: InstanceArn,
    ask_gates: Callable[[Sequence[Judgement]], Mapping[InstanceArn, Judgement]] = lambda _: {},
    ask_policy: Callable[[Judgement], Judgement | None] = lambda _: None,
) -> dict[InstanceArn, Judgement]:
    """Run the enforcement; both roles are the same here."""
    judgements = [judged(cloud, arn) for arn in arns]
    ec2 = cloud.function().clients.ec2(arns[0], "write")
    enforcement = Enforcement(
        read=ec2,
        write=ec2,
        turn=nullcontext,
        has_time=lambda: True,
        again=partial(
            LookAgain,
            request_id="request",
            read_ledger=lambda asked: {each.arn: each.record for each in judgements if each.arn in set(asked)},
            ask_gates=ask_gates,
            policy=Policy,
            now=cloud.clock,
        ),
        ask_policy=ask_policy,
        record=lambda each: each,
        now=cloud.clock,
        logger=Logger(service="test"),
    )
    return {each.arn: each for each in enforcement.run(judgements)}


def test_an_instance_is_tagged_changed_and_read_back(cloud: Cloud) -> None:
    """In this order; the judgement has the options that EC2 shows afterwards."""
    arn = cloud.one(hop_limit=2)
    done = enforce(cloud, arn)[arn]
    assert Status.ENFORCED is done.status
    assert done.after is not None
    assert ("required", 2) == (done.after.http_tokens, done.after.hop_limit)
    assert {OUR_TAG: "2026-11-20T12:00:00Z"} == cloud.tags(arn)
    assert ["CreateTags", "DescribeInstances", "ModifyInstanceMetadataOptions", "DescribeInstances"] == [
        call.operation for call in cloud.wire.calls if call.service == "ec2"
    ]


def test_an_instance_that_was_rolled_back_before_bears_one_tag_of_ours(cloud: Cloud) -> None:
    """The current one."""
    arn = cloud.one(tags={"imdsv2:rolled-back-at": "2026-11-01T00:00:00Z", "Name": "web"})
    assert Status.ENFORCED is enforce(cloud, arn)[arn].status
    assert {OUR_TAG: "2026-11-20T12:00:00Z", "Name": "web"} == cloud.tags(arn)


def test_gates_are_asked_again_after_the_tag_and_before_ec2(cloud: Cloud) -> None:
    """A gate that has closed meanwhile leaves the instance unchanged, without the service's tag."""
    arn, other = cloud.launch(count=2)
    done = enforce(cloud, arn, other, ask_gates=lambda each: {arn: held(each[0])})
    assert (Status.HELD, Status.ENFORCED) == (done[arn].status, done[other].status)
    assert ("optional", {}) == (cloud.tokens(arn), cloud.tags(arn))
    assert "required" == cloud.tokens(other)


def test_the_policy_is_asked_right_before_each_call(cloud: Cloud) -> None:
    """Switching off takes effect at once, in the middle of a batch."""
    arns = cloud.launch(count=3)
    done = enforce(cloud, *arns, ask_policy=lambda each: held(each) if each.arn == arns[1] else None)
    assert {arns[1]} == {arn for arn, each in done.items() if each.status is Status.HELD}
    assert ["required", "optional", "required"] == [cloud.tokens(arn) for arn in arns]
    assert {} == cloud.tags(arns[1])


def test_a_final_refusal_fails_with_ec2s_code_and_our_tag_is_removed(cloud: Cloud) -> None:
    """The tag records a change, and there was none."""
    arn, other = cloud.launch(count=2)
    cloud.wire.refuse(
        "ModifyInstanceMetadataOptions",
        "UnauthorizedOperation",
        when=lambda call: call.params["InstanceId"] == arn.instance_id,
    )
    done = enforce(cloud, arn, other)
    assert (Status.FAILED, Status.ENFORCED) == (done[arn].status, done[other].status)
    assert {"code": "UnauthorizedOperation", "message": "no"} == done[arn].error
    assert {} == cloud.tags(arn)
    assert OUR_TAG in cloud.tags(other)


def test_an_instance_that_cannot_be_tagged_is_not_changed(cloud: Cloud) -> None:
    """A later rollback could not tell the service's change from another."""
    arn, other = cloud.launch(count=2)
    cloud.wire.refuse("CreateTags", "TagLimitExceeded", when=lambda call: arn.instance_id in call.params["Resources"])
    done = enforce(cloud, arn, other)
    assert (Reason.UNTAGGABLE, Status.HELD) == (done[arn].verdict.reason, done[arn].status)
    assert ("optional", "required") == (cloud.tokens(arn), cloud.tokens(other))
    assert not cloud.wire.made("DeleteTags")


def test_an_instance_that_has_gone_is_not_untagged(cloud: Cloud) -> None:
    """EC2 would refuse the call for all the others too."""
    arn, other = cloud.launch(count=2)
    cloud.wire.refuse(
        "ModifyInstanceMetadataOptions",
        "InvalidInstanceID.NotFound",
        when=lambda call: call.params["InstanceId"] == arn.instance_id,
    )
    done = enforce(cloud, arn, other)
    assert (Reason.GONE, Status.SKIPPED) == (done[arn].verdict.reason, done[arn].status)
    assert not cloud.wire.made("DeleteTags")


def test_a_tag_that_cannot_be_removed_changes_no_verdict(cloud: Cloud) -> None:
    """It is logged."""
    arn = cloud.one()
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "UnauthorizedOperation")
    cloud.wire.refuse("DeleteTags", "RequestLimitExceeded")
    assert Status.FAILED is enforce(cloud, arn)[arn].status


def test_a_call_whose_end_nobody_saw_is_left_enforcing(cloud: Cloud) -> None:
    """EC2 may have applied it: neither enforced nor failed, until a takeover reads the options. The tag stays."""
    arn, other = cloud.launch(count=2)

    def fail(call: Call) -> None:
        if call.params["InstanceId"] == arn.instance_id:
            raise ReadTimeoutError(endpoint_url="https://ec2")

    cloud.wire.on("ModifyInstanceMetadataOptions", fail)
    done = enforce(cloud, arn, other)
    assert Status.ENFORCED is done[other].status
    assert Status.ENFORCING is done[arn].status
    assert OUR_TAG in cloud.tags(arn)


@pytest.mark.parametrize("code", ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"])
def test_an_error_of_ec2s_own_is_no_refusal(code: str, cloud: Cloud) -> None:
    """EC2 may have applied the change before the error: recording a failure would deny the service's own change, and
    remove its tag."""
    arn = cloud.one()

    def stumble(_: Call) -> None:
        cloud.set_options(arn, http_tokens="required")

    cloud.wire.on("ModifyInstanceMetadataOptions", stumble)
    cloud.wire.refuse("ModifyInstanceMetadataOptions", code, "An internal error has occurred", status=500)
    assert Status.FAILED is not enforce(cloud, arn)[arn].status
    assert OUR_TAG in cloud.tags(arn)


def after_the_change(cloud: Cloud, step: Callable[[], None]) -> None:
    """Do something before each call of DescribeInstances that follows a change."""

    def then(_: Call) -> None:
        if cloud.changes():
            step()

    cloud.wire.on("DescribeInstances", then)


def test_ec2s_answer_is_the_confirmation_whether_it_can_be_read_back_or_not(cloud: Cloud) -> None:
    """The guard watches it; to leave it in doubt would leave it unwatched for the length of a lease."""
    arn = cloud.one()
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation", when=lambda _: bool(cloud.changes()))
    done = enforce(cloud, arn)[arn]
    assert (Status.ENFORCED, "required") == (done.status, done.after.http_tokens if done.after else None)
    assert OUR_TAG in cloud.tags(arn)


def test_a_look_that_still_shows_optional_settles_nothing(cloud: Cloud) -> None:
    """EC2 is eventually consistent: it took the change, and the tag has to be there for the way back."""
    arn = cloud.one()
    after_the_change(cloud, lambda: cloud.set_options(arn, http_tokens="optional"))
    done = enforce(cloud, arn)[arn]
    assert (Status.ENFORCED, None) == (done.status, done.error)
    assert done.after is not None
    assert "required" == done.after.http_tokens
    assert OUR_TAG in cloud.tags(arn)


def test_a_stopped_instance_is_enforced_and_applies_at_its_start(cloud: Cloud) -> None:
    """The service does not wait for it."""
    arn = cloud.one()
    cloud.as_account(MEMBER, "ec2").stop_instances(InstanceIds=[arn.instance_id])
    cloud.wire.on("DescribeInstances", lambda _: cloud.set_options(arn, state="pending"))
    assert Status.ENFORCED is enforce(cloud, arn)[arn].status
    assert 2 == len(cloud.wire.made("DescribeInstances"))


def test_an_endpoint_closed_between_look_and_call_stays_closed(cloud: Cloud) -> None:
    """EC2 refuses the call without the endpoint, and a new description shows that someone disabled it."""
    arn = cloud.one()

    def close(call: Call) -> None:
        cloud.set_options(arn, http_endpoint="disabled")

    cloud.wire.on("ModifyInstanceMetadataOptions", close)
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT)
    done = enforce(cloud, arn)[arn]
    assert (Status.HELD, Reason.NOT_READY) == (done.status, done.verdict.reason)
    assert [{"InstanceId": arn.instance_id, "HttpTokens": "required"}] == cloud.changes()
    assert {} == cloud.tags(arn)


def test_an_endpoint_that_still_shows_as_enabled_is_not_opened(cloud: Cloud) -> None:
    """Somebody has disabled it a moment ago. Whether that is why EC2 refuses is known at the next attempt."""
    arn = cloud.one()
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT)
    done = enforce(cloud, arn)[arn]
    assert (Status.HELD, Reason.NOT_READY, True) == (done.status, done.verdict.reason, done.wants_endpoint)
    assert [{"InstanceId": arn.instance_id, "HttpTokens": "required"}] == cloud.changes()
    assert {} == cloud.tags(arn)


def test_instances_are_changed_several_at_once(cloud: Cloud) -> None:
    """Three hundred in sequence would take longer than a batch may. One of a cohort goes ahead, the others meet."""
    arns = cloud.launch(count=5)
    together, gone_ahead = threading.Barrier(4), itertools.count()

    def meet(_: Call) -> None:
        if next(gone_ahead):
            together.wait(timeout=60)

    cloud.wire.on("ModifyInstanceMetadataOptions", meet)
    done: dict[InstanceArn, Any] = enforce(cloud, *arns)
    assert {Status.ENFORCED} == {each.status for each in done.values()}
