"""The change itself, call by call: what is sent, what is never sent, and how each refusal of EC2 is handled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws import metadata_options as action
from imdsv2.aws import tagging
from imdsv2.domain.instance import Instance, MetadataOptions, Missing, Unreachable
from imdsv2.domain.verdict import Reason
from tests.integration.builders import NOW, REFUSED_WITHOUT_ENDPOINT, arn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from imdsv2.aws.change_refusal import Refusal
    from imdsv2.domain.instance import InstanceArn, Target
    from tests.integration.builders import Stub

ARN = arn_of("a")
ROLLED_BACK = {"imdsv2:rolled-back-at": "2026-11-01T00:00:00Z"}
ALONE = {"InstanceId": ARN.instance_id, "HttpTokens": "required"}
WITH_ENDPOINT = ALONE | {"HttpEndpoint": "enabled"}
WANTED_AT = NOW - timedelta(minutes=2)
TAG = {"Key": "imdsv2:enforced-at", "Value": "2026-11-20T12:00:00Z"}


def instance(arn: InstanceArn = ARN, *, endpoint: str = "enabled", **fields: Any) -> Instance:
    """A running instance with tokens optional."""
    shown = Instance(
        arn=arn,
        state="running",
        launched_at=NOW - timedelta(days=100),
        first_launched_at=NOW - timedelta(days=100),
        stopped_at=None,
        options=MetadataOptions(http_tokens="optional", http_endpoint=endpoint, hop_limit=1),
    )
    return replace(shown, **fields)


def never() -> Target:
    """Assert that the instance is not described again."""
    raise AssertionError("looked again without need")


def require(
    stub: Stub,
    code: str,
    message: str = "no",
    *,
    look: Callable[[], Target] = never,
    wanted_at: datetime | None = None,
    **fields: Any,
) -> Refusal:
    """The result of the change after a refusal."""
    ec2 = stub.client("ec2")
    stub.refuse(ec2, "modify_instance_metadata_options", code, message, expected=ALONE)
    refusal = action.require_tokens(ec2, look, instance(**fields), NOW, wanted_at)
    assert refusal is not None
    return refusal


def test_only_http_tokens_is_sent(stub: Stub) -> None:
    """All other options of the instance stay as they are."""
    ec2 = stub.client("ec2")
    stub.answer(ec2, "modify_instance_metadata_options", {"InstanceId": ARN.instance_id}, ALONE)
    assert action.require_tokens(ec2, never, instance(), NOW, None) is None


@pytest.mark.parametrize("wanted", [None, timedelta(seconds=119)], ids=["never before", "just before"])
def test_the_endpoint_is_not_sent_at_the_first_refusal(wanted: timedelta | None, stub: Stub) -> None:
    """The look may show what was before somebody disabled it."""
    refusal = require(
        stub,
        "InvalidParameterValue",
        REFUSED_WITHOUT_ENDPOINT,
        look=instance,
        wanted_at=NOW - wanted if wanted else None,
    )
    assert (Reason.NOT_READY, True, None) == (refusal.verdict.reason, refusal.wants_endpoint, refusal.error)
    assert timedelta(minutes=15) == refusal.verdict.revisit_at - NOW if refusal.verdict.revisit_at else None


def test_the_endpoint_is_sent_after_a_second_refusal_and_a_look_since_that_says_enabled(stub: Stub) -> None:
    """It was enabled when EC2 first demanded it."""
    ec2 = stub.client("ec2")
    stub.refuse(
        ec2, "modify_instance_metadata_options", "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT, expected=ALONE
    )
    stub.answer(ec2, "modify_instance_metadata_options", {"InstanceId": ARN.instance_id}, WITH_ENDPOINT)
    assert action.require_tokens(ec2, instance, instance(), NOW, WANTED_AT) is None


@pytest.mark.parametrize(
    "fresh",
    [
        instance(endpoint="disabled"),
        instance(endpoint="unknown"),
        Missing(arn=ARN),
        Unreachable(arn=ARN, problem="throttled"),
    ],
    ids=["disabled", "unknown", "missing", "unreachable"],
)
def test_an_endpoint_that_is_not_known_to_be_enabled_is_never_opened(fresh: Target, stub: Stub) -> None:
    """Someone may have disabled it between the description and the change."""
    ec2 = stub.client("ec2")
    stub.refuse(ec2, "modify_instance_metadata_options", "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT)
    refusal = action.require_tokens(ec2, lambda: fresh, instance(), NOW, WANTED_AT)
    assert refusal is not None
    assert (Reason.NOT_READY, None, False) == (refusal.verdict.reason, refusal.error, refusal.wants_endpoint)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidParameterValue", "Invalid value for HttpTokens"),
        ("InvalidParameterCombination", REFUSED_WITHOUT_ENDPOINT),
        ("UnauthorizedOperation", REFUSED_WITHOUT_ENDPOINT),
    ],
)
def test_no_other_refusal_makes_us_send_the_endpoint(code: str, message: str, stub: Stub) -> None:
    """Both code and message must match."""
    refusal = require(stub, code, message)
    assert refusal.error is not None
    assert code == refusal.error["code"]


def test_what_ec2_says_to_the_second_call_is_final(stub: Stub) -> None:
    """It is mapped like any other refusal."""
    ec2 = stub.client("ec2")
    stub.refuse(ec2, "modify_instance_metadata_options", "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT)
    stub.refuse(ec2, "modify_instance_metadata_options", "UnauthorizedOperation", expected=WITH_ENDPOINT)
    refusal = action.require_tokens(ec2, instance, instance(), NOW, WANTED_AT)
    assert refusal is not None
    assert {"code": "UnauthorizedOperation", "message": "no"} == refusal.error


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("RequestLimitExceeded", "Request limit exceeded.", Reason.NOT_READY),
        ("Client.RequestLimitExceeded", "Request limit exceeded.", Reason.NOT_READY),
        ("ThrottlingException", "Rate exceeded", Reason.NOT_READY),
        ("IncorrectInstanceState", "The instance is not in a state", Reason.NOT_READY),
        (
            "OperationNotPermitted",
            "This action is denied due to an organizational policy in effect",
            Reason.MANAGED_ELSEWHERE,
        ),
        ("DeclarativePolicyViolation", "Denied by a Declarative Policies rule", Reason.MANAGED_ELSEWHERE),
        ("OperationNotPermitted", "This instance is a managed instance", Reason.MANAGED_ELSEWHERE),
    ],
)
def test_a_refusal_that_is_no_failure_holds(code: str, message: str, reason: Reason, stub: Stub) -> None:
    """Throttling and busy instances end in a hold that is re-evaluated soon; managed options are changed by their
    manager."""
    refusal = require(stub, code, message)
    assert ("hold", reason, None) == (refusal.verdict.decision, refusal.verdict.reason, refusal.error)
    soon = timedelta(minutes=15) if reason is Reason.NOT_READY else timedelta(hours=24)
    assert NOW + soon == refusal.verdict.revisit_at


def test_an_instance_that_another_service_manages_is_managed_elsewhere_whatever_the_words(stub: Stub) -> None:
    """EC2 shows who manages it, whatever the message of the refusal."""
    refusal = require(stub, "UnauthorizedOperation", "no", managed_by="eks.amazonaws.com")
    assert Reason.MANAGED_ELSEWHERE is refusal.verdict.reason
    assert "eks.amazonaws.com" in refusal.verdict.explanation


def test_an_instance_that_has_gone_meanwhile_is_gone(stub: Stub) -> None:
    """There is nothing to do, now or later."""
    refusal = require(stub, "InvalidInstanceID.NotFound", "The instance ID does not exist")
    assert ("skip", Reason.GONE, None) == (
        refusal.verdict.decision,
        refusal.verdict.reason,
        refusal.verdict.revisit_at,
    )


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameterValue", "SomethingNew"])
def test_any_other_refusal_is_a_failure_with_ec2s_code(code: str, stub: Stub) -> None:
    """A person has to see it, and it is retried the next day."""
    refusal = require(stub, code, "not so")
    assert {"code": code, "message": "not so"} == refusal.error
    assert ("enforce", NOW + timedelta(hours=24)) == (refusal.verdict.decision, refusal.verdict.revisit_at)
    assert "not so" in refusal.verdict.explanation


def tagged(arns: Sequence[InstanceArn]) -> dict[str, Any]:
    """The tagging call for instances."""
    return {"Resources": [arn.instance_id for arn in arns], "Tags": [TAG]}


def test_a_thousand_instances_are_tagged_by_one_call(stub: Stub) -> None:
    """With the service's tag, and the time of the run."""
    ec2, arns = stub.client("ec2"), [arn_of(f"{number:x}") for number in range(1001)]
    stub.answer(ec2, "create_tags", {}, tagged(arns[:1000]))
    stub.answer(ec2, "create_tags", {}, tagged(arns[1000:]))
    assert {} == tagging.tag(ec2, [instance(arn) for arn in arns], NOW, {})


def test_one_that_cannot_be_tagged_does_not_hold_up_the_others(stub: Stub) -> None:
    """EC2 refuses the whole call; then the instances are tagged one by one, to find out which one fails."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2"), arn_of("3")]
    stub.refuse(ec2, "create_tags", "TagLimitExceeded", "50 tags", expected=tagged(arns))
    stub.answer(ec2, "create_tags", {}, tagged(arns[:1]))
    stub.refuse(ec2, "create_tags", "TagLimitExceeded", "50 tags", expected=tagged(arns[1:2]))
    stub.answer(ec2, "create_tags", {}, tagged(arns[2:]))
    refused = tagging.tag(ec2, [instance(arn) for arn in arns], NOW, {})
    assert {arns[1]: (Reason.UNTAGGABLE, None)} == {
        arn: (each.verdict.reason, each.error) for arn, each in refused.items()
    }
    assert "TagLimitExceeded" in refused[arns[1]].verdict.explanation


def test_throttled_tagging_comes_back_soon_and_is_not_tried_one_by_one(stub: Stub) -> None:
    """Throttling says nothing about the instances, and more calls would be throttled more."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    stub.refuse(ec2, "create_tags", "RequestLimitExceeded", expected=tagged(arns))
    refused = tagging.tag(ec2, [instance(arn) for arn in arns], NOW, {})
    assert dict.fromkeys(arns, (Reason.NOT_READY, NOW + timedelta(minutes=15))) == {
        arn: (each.verdict.reason, each.verdict.revisit_at) for arn, each in refused.items()
    }


def without_the_mark(arns: Sequence[InstanceArn]) -> dict[str, Any]:
    """The call that removes the tag of an earlier rollback from instances."""
    return {"Resources": [arn.instance_id for arn in arns], "Tags": [{"Key": "imdsv2:rolled-back-at"}]}


def test_what_was_rolled_back_before_loses_that_mark_first(stub: Stub) -> None:
    """An instance may have fifty tags; instances without this tag are not in the call."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    stub.answer(ec2, "delete_tags", {}, without_the_mark(arns[1:]))
    stub.answer(ec2, "create_tags", {}, tagged(arns))
    assert {} == tagging.tag(ec2, [instance(arns[0]), instance(arns[1], tags=ROLLED_BACK)], NOW, {})


def test_one_that_keeps_the_mark_of_a_rollback_does_not_get_our_tag(stub: Stub) -> None:
    """It is not changed, so no tag may say that it was."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    stub.refuse(ec2, "delete_tags", "UnauthorizedOperation", expected=without_the_mark(arns[1:]))
    stub.answer(ec2, "create_tags", {}, tagged(arns[:1]))
    stub.refuse(ec2, "delete_tags", "UnauthorizedOperation", expected=without_the_mark(arns[1:]))
    refused = tagging.tag(ec2, [instance(arns[0]), instance(arns[1], tags=ROLLED_BACK)], NOW, {})
    assert {arns[1]: Reason.UNTAGGABLE} == {arn: each.verdict.reason for arn, each in refused.items()}


def test_only_our_tag_is_removed(stub: Stub) -> None:
    """Whatever its value; a thousand instances per call."""
    ec2, arns = stub.client("ec2"), [arn_of(f"{number:x}") for number in range(1001)]
    for batch in (arns[:1000], arns[1000:]):
        asked = {"Resources": [arn.instance_id for arn in batch], "Tags": [{"Key": "imdsv2:enforced-at"}]}
        stub.answer(ec2, "delete_tags", {}, asked)
    tagging.untag(ec2, arns)
    stub.check_all_used()


def test_after_a_rollback_our_tag_makes_room_for_its_mark(stub: Stub) -> None:
    """In this order, because the instance may have fifty tags; a thousand instances per call."""
    ec2, arns = stub.client("ec2"), [arn_of(f"{number:x}") for number in range(1001)]
    for batch in (arns[:1000], arns[1000:]):
        ids = [arn.instance_id for arn in batch]
        stub.answer(ec2, "delete_tags", {}, {"Resources": ids, "Tags": [{"Key": "imdsv2:enforced-at"}]})
        mark = {"Key": "imdsv2:rolled-back-at", "Value": "2026-11-20T12:00:00Z"}
        stub.answer(ec2, "create_tags", {}, {"Resources": ids, "Tags": [mark]})
    tagging.mark_rolled_back(ec2, arns, NOW)
    stub.check_all_used()


def applied(arn: InstanceArn, change: str = "applied", **fields: Any) -> Instance:
    """An instance after the change."""
    options = MetadataOptions(http_tokens="required", http_endpoint="enabled", hop_limit=1, state=change)
    return instance(arn, options=options, **fields)


class Looks:
    """EC2's answers, one description after the other."""

    def __init__(self, *looks: dict[InstanceArn, Target]) -> None:
        self.looks, self.slept = list(looks), 0
        self.asked: list[list[InstanceArn]] = []

    def __call__(self, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Target]:
        self.asked.append(list(arns))
        return self.looks.pop(0)

    def sleep(self, _: float) -> None:
        """Return at once."""
        self.slept += 1


def test_it_is_looked_at_until_ec2_says_applied() -> None:
    """Only instances that are still pending are described again."""
    one, two = arn_of("1"), arn_of("2")
    looks = Looks({one: applied(one), two: applied(two, "pending")}, {two: applied(two)})
    assert {one: applied(one), two: applied(two)} == action.read_back(looks, [one, two], looks.sleep)
    assert [[one, two], [two]] == looks.asked


def test_a_stopped_instance_is_not_waited_for() -> None:
    """EC2 applies the change at the next start, which may never happen."""
    looks = Looks({ARN: applied(ARN, "pending", state="stopped")})
    assert [ARN] == list(action.read_back(looks, [ARN], looks.sleep))
    assert 1 == looks.slept


def test_waiting_ends_even_if_ec2_stays_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function has a time limit; the last description counts."""
    monkeypatch.setattr(action, "_READ_BACK_AFTER", (0, 0))
    pending = applied(ARN, "pending")
    looks = Looks({ARN: pending}, {ARN: pending})
    assert {ARN: pending} == action.read_back(looks, [ARN], looks.sleep)


def test_nothing_is_waited_for_where_nothing_was_changed() -> None:
    """A run in which EC2 refused every change ends at once."""
    looks = Looks({})
    assert {} == action.read_back(looks, [], looks.sleep)
    assert 0 == looks.slept


@pytest.mark.parametrize(
    ("code", "permitted", "told"),
    [
        ("DryRunOperation", True, None),
        ("UnauthorizedOperation", False, None),
        ("InvalidInstanceID.NotFound", None, "InvalidInstanceID.NotFound"),
        ("RequestLimitExceeded", None, "RequestLimitExceeded"),
    ],
)
def test_ec2_is_asked_whether_the_planned_call_is_permitted(
    code: str, permitted: bool | None, told: str | None, stub: Stub
) -> None:
    """With the same call, as a dry run; an answer that is neither yes nor no is reported."""
    ec2 = stub.client("ec2")
    stub.refuse(ec2, "modify_instance_metadata_options", code, "words", expected=ALONE | {"DryRun": True})
    answer, problem = action.is_permitted(ec2, ARN)
    assert permitted is answer
    assert (told is None) is (problem is None)
    assert (told or "") in (problem or "")


def test_a_dry_run_that_ec2_carries_out_is_no_permission(stub: Stub) -> None:
    """AWS always answers a dry run with an error; any other answer is unknown."""
    ec2 = stub.client("ec2")
    stub.answer(ec2, "modify_instance_metadata_options", {}, ALONE | {"DryRun": True})
    answer, problem = action.is_permitted(ec2, ARN)
    assert answer is None
    assert problem
