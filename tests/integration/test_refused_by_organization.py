"""Refusals in AWS's own words: what they come from, how they are told, and what an organisation forbids to all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_message
from imdsv2.aws.refusals import Cause, cause_of, wants_endpoint
from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.request import Source
from tests.integration.builders import MEMBER, asked
from tests.integration.guarding import enforced, guard, reject
from tests.integration.steering import due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

CHANGE = "ModifyInstanceMetadataOptions"
POLICY = "arn:aws:organizations::999999999999:policy/o-q7w8e9r0t1/service_control_policy/p-4fz9k2xm"


def denial(why: str, *, session: str = "imdsv2-remediation-guard-operator", padding: int = 120) -> str:
    """IAM's sentence: who is denied what on which resource, why, and what only an administrator can decode."""
    return (
        f"You are not authorized to perform this operation. User: arn:aws:sts::{MEMBER}:assumed-role/imdsv2-remediation-rollback/"
        f"{session}-{'x' * padding} is not authorized to perform: ec2:{CHANGE} on resource: "
        f"arn:aws:ec2:eu-central-1:{MEMBER}:instance/i-0f{'7' * 15} {why}. Encoded authorization failure message: "
        f"{'declarative-policy-operator-httpTokensEnforced' * 12}"
    )


BY_SCP = denial(f"with an explicit deny in a service control policy: {POLICY}")


def refused(code: str, message: str) -> ClientError:
    """The error of a change."""
    return ClientError({"Error": {"Code": code, "Message": message}}, CHANGE)


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        ("UnauthorizedOperation", BY_SCP, Cause.SERVICE_CONTROL_POLICY),
        ("AccessDenied", BY_SCP, Cause.SERVICE_CONTROL_POLICY),
        (
            "UnauthorizedOperation",
            denial("with an explicit deny in a service control policy"),
            Cause.SERVICE_CONTROL_POLICY,
        ),
        (
            "UnauthorizedOperation",
            denial(f"because no service control policy allows the ec2:{CHANGE} action"),
            Cause.SERVICE_CONTROL_POLICY,
        ),
        ("AccessDenied", denial("with an explicit deny in a resource control policy"), Cause.RESOURCE_CONTROL_POLICY),
        ("UnauthorizedOperation", denial("with an explicit deny in an identity-based policy"), Cause.PERMISSIONS),
        (
            "UnauthorizedOperation",
            denial("because no permissions boundary allows the action"),
            Cause.PERMISSIONS_BOUNDARY,
        ),
        ("AccessDenied", denial("with an explicit deny in a permissions boundary"), Cause.PERMISSIONS_BOUNDARY),
        ("UnauthorizedOperation", denial("because no session policy allows the action"), Cause.PERMISSIONS),
        ("UnauthorizedOperation", "You are not authorized to perform this operation.", Cause.PERMISSIONS),
        (
            "UnsupportedOperation",
            "You can't set httpTokens to 'optional' because httpTokensEnforced is enabled for this account.",
            Cause.TOKENS_ENFORCED,
        ),
        (
            "OperationNotPermitted",
            "This action is denied due to an organizational policy in effect",
            Cause.DECLARATIVE_POLICY,
        ),
        ("OperationNotPermitted", "Ask platform@example.com, ticket type IMDS.", Cause.DECLARATIVE_POLICY),
        ("IncorrectInstanceState", "The instance is in the 'shutting-down' state.", None),
        ("UnsupportedOperation", "The operator of this instance is managed by nobody.", None),
    ],
)
def test_a_refusal_is_understood_from_its_whole_text(code: str, message: str, cause: Cause | None) -> None:
    """Names of sessions and encoded messages are no words of AWS; what decides may come after hundreds of characters."""
    assert cause is cause_of(refused(code, message))


@pytest.mark.parametrize("padding", [0, 60, 400, 2000])
def test_a_denial_is_told_short_and_whole(padding: int) -> None:
    """Who and on what are known; the policy is not, and is what a person has to change."""
    message = denial(f"with an explicit deny in a service control policy: {POLICY}", padding=padding)
    told = error_message(refused("UnauthorizedOperation", message))
    assert told == (
        f"not authorized to perform ec2:{CHANGE} with an explicit deny in a service control policy: {POLICY}."
    )


@pytest.mark.parametrize(
    ("code", "message", "wants"),
    [
        (
            "InvalidParameterValue",
            "The HttpEndpoint is not set to 'enabled' in this request. To specify a value for HttpTokens, set HttpEndpoint to 'enabled'.",
            True,
        ),
        ("InvalidParameterValue", "To set HttpTokens, HttpEndpoint must be ENABLED in the same request.", True),
        ("InvalidParameterValue", "The parameter HttpTokens takes optional or required; enabled is none.", False),
        ("InvalidParameterValue", "Invalid value 'on' for HttpEndpoint.", False),
        ("UnsupportedOperation", "The HttpEndpoint is not set to 'enabled' in this request.", False),
    ],
)
def test_only_ec2s_own_demand_makes_the_endpoint_be_sent(code: str, message: str, wants: bool) -> None:
    """Another refusal that mentions the endpoint is no demand for it."""
    assert wants is wants_endpoint(refused(code, message))


def test_the_way_back_that_a_service_control_policy_denies_is_told_as_such(cloud: Cloud) -> None:
    """Not as roles that are missing: to deploy those again would not help."""
    arn = enforced(cloud)
    cloud.wire.refuse(CHANGE, "UnauthorizedOperation", BY_SCP)
    reject(cloud, arn)
    guard(cloud)
    explanation = cloud.current(arn)["explanation"]
    assert "A service control policy forbids going back" in explanation
    assert POLICY in explanation
    assert "Deploy the member roles" not in explanation


def test_a_tag_that_a_tag_policy_forbids_is_untaggable(cloud: Cloud) -> None:
    """EC2 names the tag policy with a code of its own."""
    arn = cloud.one()
    message = f"The tag policy does not allow the specified value for the following tag key: '{ENFORCED_TAG}'."
    cloud.wire.refuse("CreateTags", "TagPolicyViolation", message)
    outcomes = cloud.line().run([asked(arn, Source.CONFIG)], "request-1")
    verdict = outcomes.judged[arn].verdict
    assert ("hold", "untaggable", "optional") == (verdict.decision, verdict.reason, cloud.tokens(arn))
    assert "allow the tag" in verdict.explanation


# --- What the organisation forbids to all ------------------------------------------------------------------------------


class Days:
    """Hours that pass, with whatever falls due in them."""

    def __init__(self, cloud: Cloud, arns: Sequence[InstanceArn]) -> None:
        self.cloud, self.arns = cloud, arns

    def begin(self) -> None:
        """All are found at once."""
        outcomes = self.cloud.line().run([asked(arn, Source.CONFIG) for arn in self.arns], "request-1")
        assert {} == outcomes.failed

    def live(self, hours: int) -> None:
        """What is due is judged, each hour."""
        for _ in range(hours):
            first = int(self.cloud.clock().timestamp() // 3600)
            self.cloud.clock.move(hours=1)
            now = int(self.cloud.clock().timestamp() // 3600)
            for arn in self.arns:
                self.cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(first, now))
            requests = [asked(arn, Source.REVISIT) for arn in sorted(due(self.cloud))]
            assert {} == self.cloud.line().run(requests, "request-2").failed

    def attempts(self) -> int:
        """How often EC2 was asked."""
        return len(self.cloud.wire.made(CHANGE))

    def said(self) -> list[str]:
        """Subjects of the messages about what is managed elsewhere."""
        return [each["Subject"] for each in self.cloud.published() if "managed_elsewhere" in each["Subject"]]

    def reasons(self) -> set[str]:
        """What the ledger says."""
        return {str(each.reason) for each in self.cloud.ledger().read(self.arns).values()}


@pytest.mark.parametrize("canary", [{"share": 0.1, "hours": 24}, {"share": 0.5, "hours": 6}, None])
@pytest.mark.parametrize("count", [2, 7, 40])
def test_what_is_denied_to_all_is_tried_once_a_day_and_said_once(cloud: Cloud, canary: object, count: int) -> None:
    """With canaries, and without: nobody waits for one that never comes. However many could be asked for at once, one is."""
    cloud.policy(mode="enforce", canary=canary)
    days = Days(cloud, cloud.launch(count=count))
    cloud.wire.refuse(CHANGE, "UnauthorizedOperation", BY_SCP)
    days.begin()
    first = days.attempts()
    assert 1 == first
    days.live(23)
    assert {"managed_elsewhere"} == days.reasons()
    assert first == days.attempts()
    days.live(25)
    assert first + 1 <= days.attempts() <= first + 2
    assert 1 == len(days.said())
    for each in cloud.ledger().read(days.arns).values():
        assert POLICY in str(each.explanation)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UnauthorizedOperation", BY_SCP.replace(CHANGE, "CreateTags")),
        ("TagPolicyViolation", "The tag policy does not allow the specified value for the following tag key."),
    ],
)
@pytest.mark.parametrize("canary", [{"share": 0.5, "hours": 6}, None])
def test_a_tag_that_is_denied_to_all_is_tried_once_a_day(cloud: Cloud, canary: object, code: str, message: str) -> None:
    """Like the change itself: not for each instance anew, and no canary after the other."""
    cloud.policy(mode="enforce", canary=canary)
    days = Days(cloud, cloud.launch(count=7))
    cloud.wire.refuse("CreateTags", code, message)
    days.begin()
    tried = len(cloud.wire.made("CreateTags"))
    # All that may be changed at once in one call, then one alone.
    assert tried == (1 if canary and tried == 1 else 2)
    days.live(23)
    assert ({"untaggable"}, tried, 0) == (days.reasons(), len(cloud.wire.made("CreateTags")), days.attempts())
    days.live(25)
    assert tried + 1 <= len(cloud.wire.made("CreateTags")) <= tried + 2
    for each in cloud.ledger().read(days.arns).values():
        assert "allow the tag to the account's write role" in str(each.explanation)


def test_a_permissions_boundary_is_tried_and_told_like_a_policy_of_the_organisation(cloud: Cloud) -> None:
    """It binds the role, and so every instance; what has to change is the boundary, not what requires tokens."""
    cloud.policy(mode="enforce", canary=None)
    days = Days(cloud, cloud.launch(count=4))
    cloud.wire.refuse(
        CHANGE, "UnauthorizedOperation", denial(f"because no permissions boundary allows the ec2:{CHANGE} action")
    )
    days.begin()
    days.live(23)
    assert ({"managed_elsewhere"}, 1, 1) == (days.reasons(), days.attempts(), len(days.said()))
    for each in cloud.ledger().read(days.arns).values():
        assert "forbidden by the role's permissions boundary" in str(each.explanation)
        assert "docs/reference/permissions.md" in str(each.explanation)


def test_once_it_is_allowed_the_others_follow(cloud: Cloud) -> None:
    """The one that is tried succeeds, and the rest is judged within a day."""
    cloud.policy(mode="enforce", canary=None)
    days = Days(cloud, cloud.launch(count=5))
    forbidden = [True]
    cloud.wire.refuse(CHANGE, "OperationNotPermitted", "Not by hand.", when=lambda _: forbidden[0])
    days.begin()
    days.live(2)
    assert {"managed_elsewhere"} == days.reasons()
    forbidden[0] = False
    days.live(26)
    assert {"required"} == {cloud.tokens(arn) for arn in days.arns}


def test_what_runs_on_somebody_elses_ami_is_told_once_too(cloud: Cloud) -> None:
    """It is in no cohort; that one policy forbids it all is known all the same."""
    cloud.policy(mode="enforce", canary=None)
    cloud.wire.on("DescribeImages", _of_amazon)
    days = Days(cloud, cloud.launch(count=6))
    cloud.wire.refuse(CHANGE, "UnauthorizedOperation", BY_SCP)
    days.begin()
    first = days.attempts()
    assert {None} == {each.cohort for each in cloud.ledger().read(days.arns).values()}
    days.live(23)
    assert ({"managed_elsewhere"}, first) == (days.reasons(), days.attempts())
    days.live(25)
    assert first + 1 <= days.attempts() <= first + 2
    assert 1 == len(days.said())


def _of_amazon(call: Any) -> dict[str, Any]:
    asked_about = call.params["Filters"][0]["Values"]
    return {"Images": [{"ImageId": image, "OwnerId": "137112412989"} for image in asked_about]}


def test_another_cohort_is_tried_for_itself(cloud: Cloud) -> None:
    """The policy may make exceptions that nobody here knows."""
    cloud.policy(mode="enforce", canary=None)
    denied, allowed = (cloud.one(tags={"aws:autoscaling:groupName": name}) for name in ("batch", "web"))
    cloud.wire.refuse(
        CHANGE,
        "UnauthorizedOperation",
        BY_SCP,
        when=lambda call: call.params["InstanceId"] == denied.instance_id,
    )
    Days(cloud, [denied, allowed]).begin()
    assert ["optional", "required"] == [cloud.tokens(each) for each in (denied, allowed)]


def test_a_dry_run_says_what_is_forbidden(cloud: Cloud) -> None:
    """It asks the same gates."""
    cloud.policy(mode="enforce", canary=None)
    arns = cloud.launch(count=3)
    cloud.wire.refuse(CHANGE, "UnauthorizedOperation", BY_SCP, when=lambda call: not call.params.get("DryRun"))
    Days(cloud, arns).begin()
    requests = [asked(arn, Source.MANUAL) for arn in arns]
    outcomes = cloud.line().run(requests, "request-3", dry_run=True)
    assert {"managed_elsewhere"} == {each.verdict.reason for each in outcomes.judged.values()}
