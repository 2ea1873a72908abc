"""What an operator learns about the roles of an account before anything is enforced there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws import Members, metrics_session
from imdsv2.errors import InvalidRequest
from imdsv2.permissions_check import check
from tests.integration.answers import refusal
from tests.integration.builders import MEMBER, OTHER, arn_of

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

TAGS_OF_OURS = {"imdsv2:enforced-at", "imdsv2:rolled-back-at"}


class Ec2:
    """EC2's word on each call, as the policy of the write role would have it, or as a test wants it."""

    def __init__(self, cloud: Cloud, *, knows_endpoint: bool = True) -> None:
        self._cloud = cloud
        self._knows_endpoint = knows_endpoint
        for operation in ("ModifyInstanceMetadataOptions", "CreateTags", "DeleteTags"):
            cloud.wire.on(operation, self._judge)

    def _judge(self, call: Call) -> None:
        assert call.params["DryRun"]
        allowed = self._may_modify(call) if "InstanceId" in call.params else self._may_tag(call)
        code = "DryRunOperation" if allowed else "UnauthorizedOperation"
        raise refusal(code, "in so many words", call.operation)

    def _may_modify(self, call: Call) -> bool:
        sent = {name: value for name, value in call.params.items() if name not in {"InstanceId", "DryRun"}}
        closed = self._knows_endpoint and self._endpoint(call.params["InstanceId"]) == "disabled"
        return (
            sent in ({"HttpTokens": "required"}, {"HttpTokens": "required", "HttpEndpoint": "enabled"}) and not closed
        )

    def _may_tag(self, call: Call) -> bool:
        return {tag["Key"] for tag in call.params["Tags"]} <= TAGS_OF_OURS

    def _endpoint(self, instance_id: str) -> str:
        found = self._cloud.as_account(MEMBER, "ec2").describe_instances(InstanceIds=[instance_id])
        return str(found["Reservations"][0]["Instances"][0]["MetadataOptions"]["HttpEndpoint"])


def ask(cloud: Cloud, *targets: object) -> dict[str, Any]:
    """The answer, which must survive JSON."""
    members = Members(cloud.session, metrics_session(), cloud.client("sts"), lambda: "request-1", cloud.clock.tick)
    answer: dict[str, Any] = json.loads(json.dumps(check(members, {"targets": [*targets]})))
    return answer


def test_roles_that_allow_what_they_must_and_no_more_pass(cloud: Cloud) -> None:
    """On an instance of each kind, by dry runs alone."""
    opened, closed = cloud.one(), cloud.one(endpoint="disabled")
    Ec2(cloud)
    answer = ask(cloud, str(opened), str(closed))
    assert (True, []) == (answer["passed"], answer["unproved"])
    assert [("enabled", True, 9), ("disabled", True, 9)] == [
        (each["endpoint"], each["passed"], len(each["checks"])) for each in answer["results"]
    ]
    tokens = [
        [each["answer"] for each in result["checks"] if each["sends"] == {"HttpTokens": "required"}]
        for result in answer["results"]
    ]
    assert [["DryRunOperation"], ["UnauthorizedOperation"]] == tokens
    assert all(
        call.params.get("DryRun") for call in cloud.wire.calls if call.operation.startswith(("Mod", "Cre", "Del"))
    )


def test_a_role_that_may_open_a_closed_endpoint_fails(cloud: Cloud) -> None:
    """That is how it shows that EC2 does not send the key on which the Deny rests."""
    opened, closed = cloud.one(), cloud.one(endpoint="disabled")
    Ec2(cloud, knows_endpoint=False)
    answer = ask(cloud, str(opened), str(closed))
    assert not answer["passed"]
    assert [True, False] == [each["passed"] for each in answer["results"]]
    assert [
        ({"HttpTokens": "required"}, "UnauthorizedOperation", "DryRunOperation"),
        ({"HttpTokens": "required", "HttpEndpoint": "enabled"}, "UnauthorizedOperation", "DryRunOperation"),
    ] == [
        (each["sends"], each["must_be"], each["answer"])
        for each in answer["results"][1]["checks"]
        if not each["passed"]
    ]


def test_what_was_not_asked_about_is_not_proved(cloud: Cloud) -> None:
    """Account by account; with the instance that is wanting."""
    targets = [cloud.one(), cloud.one(account=OTHER, endpoint="disabled")]
    Ec2(cloud)
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation", when=lambda call: call.account == OTHER)
    answer = ask(cloud, *map(str, targets))
    assert not answer["passed"]
    assert [
        f"Account {MEMBER}: name an instance whose metadata endpoint is disabled too.",
        f"Account {OTHER}: name an instance whose metadata endpoint is enabled too.",
        f"Account {OTHER}: name an instance whose metadata endpoint is disabled too.",
    ] == answer["unproved"]


def test_what_cannot_be_asked_fails_in_its_place_and_says_why(cloud: Cloud) -> None:
    """A target that is none, an instance that is gone, a role that is missing, an answer that is neither yes nor no."""
    silent, roleless = cloud.one(), cloud.one(account=OTHER)
    cloud.wire.refuse(
        "AssumeRole", "AccessDenied", when=lambda call: f"{OTHER}:role/imdsv2-remediation-read" in str(call)
    )
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "RequestLimitExceeded", "later")
    answer = ask(cloud, "arn:aws:s3:::bucket", str(arn_of("404")), str(roleless), str(silent))
    assert [False] * 4 == [each["passed"] for each in answer["results"]]
    problems = [each["problem"] for each in answer["results"]]
    for words, problem in zip(["EC2 instance", "no such instance", "AccessDenied", "later"], problems, strict=True):
        assert words in problem


@pytest.mark.parametrize(
    ("event", "field"),
    [(None, "event"), ({}, "targets"), ({"targets": ["x"], "dry_run": False}, "dry_run")],
)
def test_a_request_that_is_none_is_refused(event: object, field: str, cloud: Cloud) -> None:
    """By the name of the field: there is nothing to be had here but dry runs."""
    members = Members(cloud.session, metrics_session(), cloud.client("sts"), lambda: "request-1", cloud.clock.tick)
    with pytest.raises(InvalidRequest) as refused:
        check(members, event)
    assert field == refused.value.field
