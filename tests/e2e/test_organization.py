"""The stack deployed for an organisation: it deploys the member templates itself, and members trust only its
account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.deploy import FORWARDING_STACK, Deployment
from local.cloud.run import HOME, MEMBERS, MEMBERS_UNIT, ORGANIZATION, REGIONS, ROOT, SECURITY, LocalCloud
from tests.e2e.world import World, eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.demo.fleet import Launched

SETTINGS: dict[str, Any] = {
    "organization_id": ORGANIZATION,
    "organizational_units": [MEMBERS_UNIT],
    "member_regions": [*REGIONS],
    "call_as": "SELF",
}
STRANGER = "999999999999"


@pytest.fixture(scope="module")
def deployed_for_organization() -> Iterator[World]:
    """The stack as `cdk deploy` sends it with an organisation's settings; nothing is deployed to members by hand."""
    with LocalCloud() as cloud:
        cloud.deploy(**SETTINGS)
        world = World(cloud)
        world.switch_batching_window_off()
        world.set_policy({"mode": "enforce"})
        yield world


@pytest.fixture
def world(deployed_for_organization: World) -> World:
    """The deployed stack in `enforce` mode."""
    return deployed_for_organization


def config_says(world: World, one: Launched, *, account: str | None = None) -> None:
    """Config reports an instance as non-compliant, in the instance's account and Region (or from the account that
    claims to own it)."""
    session = world.cloud.session(account=account or one.machine.account, region=one.machine.region)
    event = events.config_change(one.instance_id, account=one.machine.account, region=one.machine.region)
    entry: Any = {
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": json.dumps(event["detail"]),
    }
    assert 0 == session.client("events").put_events(Entries=[entry])["FailedEntryCount"]


@pytest.mark.parametrize("account", MEMBERS)
def test_members_have_roles_once_and_rules_in_every_region(account: str, world: World) -> None:
    """From the stack's own StackSets."""
    iam = world.cloud.session(account=account).client("iam")
    names = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    assert {"imdsv2-remediation-read", "imdsv2-remediation-write"} <= names
    trust: Any = iam.get_role(RoleName="imdsv2-remediation-write")["Role"]["AssumeRolePolicyDocument"]
    assert {"aws:PrincipalOrgID": ORGANIZATION} == trust["Statement"][0]["Condition"]["StringEquals"]
    for region in REGIONS:
        rules = world.cloud.session(account=account, region=region).client("events").list_rules()["Rules"]
        expected = ["imdsv2-remediation-forward", "imdsv2-remediation-forward-started"]
        assert [(name, "ENABLED") for name in expected] == sorted((rule["Name"], rule["State"]) for rule in rules)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("account", MEMBERS)
def test_what_config_says_in_a_member_account_has_its_effect(account: str, region: str, world: World) -> None:
    """From the member's default bus to the security account's bus, to the queue, and back into the member through its
    role."""
    one = world.launch_one(account=account, region=region)
    config_says(world, one)
    item = world.decided(one)
    assert ("enforced", "unused", "config") == (item["status"], item["reason"], item["source"])
    assert "required" == world.options(one)["HttpTokens"]


def test_the_security_account_s_own_instances_take_the_same_way(world: World) -> None:
    """Through the rules and the roles of the stack itself."""
    one = world.launch_one(account=SECURITY)
    config_says(world, one)
    assert [("enforced", "unused")] == world.verdicts([one])


def test_an_account_outside_the_organisation_is_not_heard(world: World) -> None:
    """It may deploy the rule, which is not secret; its events are rejected, even those about a member's instance."""
    outside = world.cloud.session(account=STRANGER)
    deployment = Deployment.synthesised(ROOT, SETTINGS)
    deployment.deploy_forwarding(outside, security_account=SECURITY, home_region=HOME)
    one = world.launch_one()
    config_says(world, one, account=STRANGER)
    sqs = outside.client("sqs")
    [queue] = sqs.list_queues()["QueueUrls"]
    left = eventually(
        lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), f"an undelivered event of {FORWARDING_STACK}"
    )
    assert one.instance_id == json.loads(left[0]["Body"])["detail"]["resourceId"]
    assert {} == world.current(one)


def check(world: World, *targets: object) -> Any:
    """Check the permissions of the write role."""
    answer = world.home.client("lambda").invoke(
        FunctionName="imdsv2-remediation-check", Payload=json.dumps({"targets": targets})
    )
    text = answer["Payload"].read().decode()
    assert "FunctionError" not in answer, text
    return json.loads(text)


def test_an_operator_sees_proved_that_the_roles_allow_what_they_must_and_no_more(world: World) -> None:
    """By EC2's own answers, on an instance of each kind; nothing is changed."""
    opened, closed = world.launch_one(), world.launch_one(options={"HttpEndpoint": "disabled"})
    answer = check(world, opened.arn, closed.arn)
    assert (True, []) == (answer["passed"], answer["unproved"]), answer
    assert [("enabled", True), ("disabled", True)] == [(each["endpoint"], each["passed"]) for each in answer["results"]]
    assert ["optional", "optional"] == [world.options(one)["HttpTokens"] for one in (opened, closed)]
    assert "imdsv2:enforced-at" not in world.tags(opened)


def test_a_role_that_somebody_has_widened_does_not_pass(world: World) -> None:
    """The operator learns which call EC2 would now allow, and where the role's Deny still blocks it."""
    iam = world.cloud.session(account=MEMBERS[1]).client("iam")
    opened, closed = (
        world.launch_one(account=MEMBERS[1], options={"HttpEndpoint": each}) for each in ("enabled", "disabled")
    )
    allow = {"Effect": "Allow", "Action": "ec2:ModifyInstanceMetadataOptions", "Resource": "*"}
    role = "imdsv2-remediation-write"
    iam.put_role_policy(
        RoleName=role, PolicyName="wider", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    )
    answer = check(world, opened.arn, closed.arn)
    iam.delete_role_policy(RoleName=role, PolicyName="wider")
    assert not answer["passed"]
    failed = [[each["sends"] for each in result["checks"] if not each["passed"]] for result in answer["results"]]
    assert [[{"HttpTokens": "optional"}], []] == failed


def test_a_check_of_nothing_is_refused(world: World) -> None:
    """With the name of the field, as for a manual invocation."""
    answer = check(world)
    assert "InvalidRequest" == answer["error"]["code"]
    assert "targets" in answer["error"]["message"]


def test_an_organisation_of_a_thousand_accounts_is_swept(world: World) -> None:
    """All active accounts are listed, page by page; most have no role, which is reported for each and fails nothing."""
    organizations, states = world.home.client("organizations"), world.home.client("stepfunctions")
    created = [
        organizations.create_account(AccountName=f"further {number}", Email=f"{number}@example.com")
        for number in range(1000 - len(MEMBERS) - 1)
    ]
    further = [each["CreateAccountStatus"]["AccountId"] for each in created]
    for closed in further[::100]:
        organizations.close_account(AccountId=closed)
    world.cloud.calls(reset=True)
    machine = world.cloud.outputs["SweepStateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine, input=json.dumps({"regions": [HOME]}))["executionArn"]
    ended = world.ended(execution)
    assert "SUCCEEDED" == ended["status"], ended
    output = json.loads(ended["output"])
    body = world.home.client("s3").get_object(Bucket=output["bucket"], Key=output["key"])["Body"].read()
    result = json.loads(body)
    assert 1000 / 20 == world.calls("ListAccounts")
    assert {SECURITY, *MEMBERS} == {each["account"] for each in result["places"]}
    assert (3, 987) == (output["places"], output["unreachable"])
    assert set(further) - set(further[::100]) == result["unreachable"].keys()
    assert all("AssumeRole" in reason for reason in result["unreachable"].values())
