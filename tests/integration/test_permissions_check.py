"""The check of an account's roles before anything is enforced there."""

from __future__ import annotations

import json
from threading import Barrier, local
from typing import TYPE_CHECKING, Any, cast

import pytest

from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.sessions import MemberClients
from imdsv2.errors import InvalidRequest
from imdsv2.people.permissions_check import check
from imdsv2.version import VERSION, VERSION_TAG
from tests.integration.builders import MEMBER, OTHER, ROLES, arn_of
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import Role
    from imdsv2.domain.instance import Placed
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

ENFORCED, ROLLED_BACK = "imdsv2:enforced-at", "imdsv2:rolled-back-at"
MARK = {"imdsv2_enforced-at": "2026-01-31T07:00:00Z"}
REQUIRE, GO_BACK = {"HttpTokens": "required"}, {"HttpTokens": "optional"}
MAY_SEND = {
    "write": [REQUIRE, {**REQUIRE, "HttpEndpoint": "enabled"}],
    "rollback": [GO_BACK, {**GO_BACK, "HttpEndpoint": "enabled"}],
}
MAY_TAG = {
    ("write", "CreateTags"): {ENFORCED, ROLLED_BACK},
    ("write", "DeleteTags"): {ENFORCED, ROLLED_BACK},
    ("rollback", "CreateTags"): {ROLLED_BACK},
    ("rollback", "DeleteTags"): {ENFORCED},
}


class Here(local):
    """What a thread has done."""

    role: Role | None = None


class Entered(MemberClients):
    """Records the role of the last call, for each thread: instances are tried at once."""

    here = Here()

    def ec2(self, there: Placed, role: Role) -> EC2Client:
        """EC2 through a role."""
        self.here.role = role
        return super().ec2(there, role)


class Ec2:
    """EC2's answer to each call, according to the roles' policies or as a test sets it."""

    def __init__(self, cloud: Cloud, *, knows_endpoint: bool = True, knows_tags: bool = True) -> None:
        self._cloud = cloud
        self._knows_endpoint = knows_endpoint
        self._knows_tags = knows_tags
        self._members = Entered(
            cloud.session,
            metrics_session(cloud.session),
            cloud.client("sts"),
            ROLES,
            lambda: "request-1",
            cloud.clock.tick,
        )
        for operation in ("ModifyInstanceMetadataOptions", "CreateTags", "DeleteTags"):
            cloud.wire.on(operation, self._judge)

    def check(self, event: object) -> dict[str, Any]:
        """The answer to an event, which must survive JSON."""
        answer: dict[str, Any] = json.loads(json.dumps(check(self._members, event)))
        return answer

    def ask(self, *targets: object) -> dict[str, Any]:
        """The answer about some targets."""
        return self.check({"targets": [*targets]})

    def _judge(self, call: Call) -> None:
        assert call.params["DryRun"]
        allowed = self._may_modify(call) if "InstanceId" in call.params else self._may_tag(call)
        code = "DryRunOperation" if allowed else "UnauthorizedOperation"
        raise refusal(code, "in so many words", call.operation)

    def _may_modify(self, call: Call) -> bool:
        assert self._members.here.role is not None
        sent = {name: value for name, value in call.params.items() if name not in {"InstanceId", "DryRun"}}
        instance = self._instance(call.params["InstanceId"])
        closed = self._knows_endpoint and instance["MetadataOptions"]["HttpEndpoint"] == "disabled"
        marked = not self._knows_tags or ENFORCED in {tag["Key"] for tag in instance.get("Tags", [])}
        return (
            sent in MAY_SEND[self._members.here.role]
            and not closed
            and (marked or self._members.here.role != "rollback")
        )

    def _may_tag(self, call: Call) -> bool:
        assert self._members.here.role is not None
        return {tag["Key"] for tag in call.params["Tags"]} <= MAY_TAG[self._members.here.role, call.operation]

    def _instance(self, instance_id: str) -> Any:
        found = self._cloud.as_account(MEMBER, "ec2").describe_instances(InstanceIds=[instance_id])
        return found["Reservations"][0]["Instances"][0]


def failed(result: dict[str, Any]) -> list[tuple[str, dict[str, Any], str, str]]:
    """The checks of an instance in which EC2's answer was not the expected one: role, what was sent, both answers."""
    return [
        (each["role"], each["sends"], each["must_be"], each["answer"])
        for each in result["checks"]
        if not each["passed"]
    ]


def test_roles_that_allow_what_they_must_and_no_more_pass(cloud: Cloud) -> None:
    """On an instance of each kind, with dry runs only."""
    opened, closed = cloud.one(), cloud.one(endpoint="disabled")
    answer = Ec2(cloud).ask(str(opened), str(closed))
    assert (True, []) == (answer["passed"], answer["unproved"])
    assert [("enabled", True, 18), ("disabled", True, 18)] == [
        (each["endpoint"], each["passed"], len(each["checks"])) for each in answer["results"]
    ]
    tokens = [
        [each["answer"] for each in result["checks"] if (each["role"], each["sends"]) == ("write", REQUIRE)]
        for result in answer["results"]
    ]
    assert [["DryRunOperation"], ["UnauthorizedOperation"]] == tokens
    assert all(
        call.params.get("DryRun") for call in cloud.wire.calls if call.operation.startswith(("Mod", "Cre", "Del"))
    )


def test_a_role_that_may_open_a_closed_endpoint_fails(cloud: Cloud) -> None:
    """This shows that EC2 does not send the key that the Deny depends on."""
    opened, closed = cloud.one(), cloud.one(endpoint="disabled")
    answer = Ec2(cloud, knows_endpoint=False).ask(str(opened), str(closed))
    assert not answer["passed"]
    assert [True, False] == [each["passed"] for each in answer["results"]]
    assert [
        ("write", REQUIRE, "UnauthorizedOperation", "DryRunOperation"),
        ("write", {**REQUIRE, "HttpEndpoint": "enabled"}, "UnauthorizedOperation", "DryRunOperation"),
    ] == failed(answer["results"][1])


def test_a_role_that_may_put_back_what_is_not_ours_fails(cloud: Cloud) -> None:
    """This shows that EC2 does not evaluate the tag."""
    opened, closed = cloud.one(), cloud.one(endpoint="disabled")
    answer = Ec2(cloud, knows_tags=False).ask(str(opened), str(closed))
    assert [("rollback", each, "UnauthorizedOperation", "DryRunOperation") for each in MAY_SEND["rollback"]] == failed(
        answer["results"][0]
    )
    assert [] == failed(answer["results"][1])


def test_what_bears_our_tag_must_be_let_put_back(cloud: Cloud) -> None:
    """Unless its endpoint was disabled meanwhile: then someone else has changed it."""
    opened, closed = cloud.one(), cloud.one(endpoint="disabled")
    for each in (opened, closed):
        cloud.tag(each, **MARK)
    answer = Ec2(cloud).ask(str(opened), str(closed))
    assert answer["passed"]
    assert [["DryRunOperation"], ["UnauthorizedOperation"]] == [
        [each["answer"] for each in result["checks"] if (each["role"], each["sends"]) == ("rollback", GO_BACK)]
        for result in answer["results"]
    ]


def test_what_was_not_asked_about_is_not_proved(cloud: Cloud) -> None:
    """By account; the answer says which kind of instance is missing."""
    targets = [cloud.one(), cloud.one(account=OTHER, endpoint="disabled")]
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation", when=lambda call: call.account == OTHER)
    answer = Ec2(cloud).ask(*map(str, targets))
    assert not answer["passed"]
    assert [
        f"Account {MEMBER}: name an instance whose metadata endpoint is disabled too.",
        f"Account {OTHER}: name an instance whose metadata endpoint is enabled too.",
        f"Account {OTHER}: name an instance whose metadata endpoint is disabled too.",
    ] == answer["unproved"]


def test_what_cannot_be_asked_fails_in_its_place_and_says_why(cloud: Cloud) -> None:
    """An invalid target, an instance that is gone, a missing role, an answer that is neither yes nor no."""
    silent, roleless = cloud.one(), cloud.one(account=OTHER)
    cloud.wire.refuse(
        "AssumeRole", "AccessDenied", when=lambda call: f"{OTHER}:role/imdsv2-remediation-read" in str(call)
    )
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "RequestLimitExceeded", "later")
    answer = Ec2(cloud).ask("arn:aws:s3:::bucket", str(arn_of("404")), str(roleless), str(silent))
    assert [False] * 4 == [each["passed"] for each in answer["results"]]
    problems = [each["problem"] for each in answer["results"]]
    for words, problem in zip(["EC2 instance", "no such instance", "AccessDenied", "later"], problems, strict=True):
        assert words in problem


@pytest.mark.parametrize(
    ("event", "field"),
    [(None, "event"), ({}, "targets"), ({"targets": ["x"], "dry_run": False}, "dry_run")],
)
def test_a_request_that_is_none_is_refused(event: object, field: str, cloud: Cloud) -> None:
    """With the name of the field: this function accepts only dry runs."""
    with pytest.raises(InvalidRequest) as refused:
        Ec2(cloud).check(event)
    assert field == refused.value.field


# --- Versions ------------------------------------------------------------------------------------------------------


def tagged(cloud: Cloud, versions: dict[str, str]) -> None:
    """The read role's tags in each account; in all others, the role is of a time before versions."""

    def answer(call: Call) -> dict[str, Any]:
        assert {"RoleName": "imdsv2-remediation-read"} == call.params
        own = [{"Key": VERSION_TAG, "Value": versions[call.account]}] if call.account in versions else []
        return {"Tags": [{"Key": "team", "Value": "cloud"}, *own], "IsTruncated": False}

    cloud.wire.on("ListRoleTags", answer)


def test_the_check_says_which_account_has_which_version(cloud: Cloud) -> None:
    """Each account once; of another version it says what to do."""
    first, second, other = cloud.one(), cloud.one(), cloud.one(account=OTHER)
    tagged(cloud, {MEMBER: VERSION, OTHER: "0.6.1"})
    told = Ec2(cloud).ask(str(first), str(second), str(other))["versions"]
    assert (VERSION, {MEMBER: VERSION, OTHER: "0.6.1"}) == (told["service"], told["accounts"])
    [advice] = told["outdated"]
    assert all(each in advice for each in (OTHER, "0.6.1", VERSION, "docs/upgrade.md"))
    assert 2 == len(cloud.wire.made("ListRoleTags"))


def test_roles_of_a_time_before_versions_are_outdated(cloud: Cloud) -> None:
    """They have no tag, or may not read it; the check of their permissions goes on."""
    untagged, silent = cloud.one(), cloud.one(account=OTHER)
    cloud.wire.refuse(
        "ListRoleTags", "AccessDenied", "not authorized", when=lambda call: call.account == OTHER, status=403
    )
    tagged(cloud, {})
    answer = Ec2(cloud).ask(str(untagged), str(silent))
    assert {MEMBER: None, OTHER: None} == answer["versions"]["accounts"]
    assert ["do not tell their version;", "AccessDenied"] == [
        next(each for each in ("AccessDenied", "do not tell their version;") if each in advice)
        for advice in answer["versions"]["outdated"]
    ]
    assert answer["results"][0]["passed"]


def test_the_accounts_of_an_organisation_are_tried_at_once() -> None:
    """One after another, the eighteen dry runs of some hundreds of accounts would take longer than a function may."""
    together = Barrier(8, timeout=60)

    class Closed:
        """Accounts that refuse everybody, once eight have been asked."""

        def ec2(self, _there: Placed, _role: Role) -> EC2Client:
            together.wait()
            raise refusal("AccessDenied", "no", "AssumeRole")

        def iam(self, _there: Placed) -> Any:
            raise refusal("AccessDenied", "no", "AssumeRole")

    accounts = [f"{number:012}" for number in range(1, 9)]
    asked = [str(arn_of("1", account=each)) for each in accounts]
    answer = check(cast("MemberClients", Closed()), {"targets": asked})
    assert asked == [each["target"] for each in answer["results"]], "in the order in which they were named"
    assert all("AccessDenied" in each["problem"] for each in answer["results"])
