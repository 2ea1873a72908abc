"""The organisation of the local accounts, and StackSets that are really deployed to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.deploy import DeployError, deploy_stack
from local.cloud.run import ADMINISTRATION, HOME, MEMBERS, MEMBERS_UNIT, ORGANIZATION, REGIONS, SECURITY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud.run import LocalCloud

SET = "set-of-queues"
QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Name"}}}
TEMPLATE = {"Parameters": {"Name": {"Type": "String"}}, "Resources": {"Queue": QUEUE}}
ROLE = {"Fn::If": ["Here", "nobody", ADMINISTRATION]}
NOTHING = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iam:DeleteUser", "Resource": "*"}}
GUEST = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "guest", "Roles": [ROLE], "PolicyDocument": NOTHING}}
FAILS_IN_ONE = {
    **TEMPLATE,
    "Conditions": {"Here": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, MEMBERS[0]]}},
    "Resources": {"Guest": GUEST, "Queue": {**QUEUE, "DependsOn": "Guest"}},
}
"""One account lacks the role that the policy is for."""


def stack_set(template: Any = TEMPLATE, targets: Any = None, **properties: Any) -> str:
    """A template with a StackSet in it that makes a queue in every place."""
    group = {
        "DeploymentTargets": targets or {"OrganizationalUnitIds": [MEMBERS_UNIT]},
        "Regions": [*REGIONS],
    }
    resource = {
        "Type": "AWS::CloudFormation::StackSet",
        "Properties": {
            "StackSetName": SET,
            "PermissionModel": "SERVICE_MANAGED",
            "CallAs": "SELF",
            "StackInstancesGroup": [group],
            "TemplateBody": json.dumps(template),
            "Parameters": [{"ParameterKey": "Name", "ParameterValue": "rolled-out"}],
            **properties,
        },
    }
    return json.dumps({"Resources": {"Set": resource}})


def queues(cloud: LocalCloud) -> list[tuple[str, str]]:
    """The accounts and Regions that have the queue."""
    return [
        (account, region)
        for account in (SECURITY, *MEMBERS)
        for region in REGIONS
        if cloud.session(account=account, region=region)
        .client("sqs")
        .list_queues(QueueNamePrefix="rolled-out")
        .get("QueueUrls")
    ]


@pytest.fixture
def clean(cloud: LocalCloud) -> Iterator[LocalCloud]:
    """The server, and no stack with the set afterwards."""
    yield cloud
    cloudformation = cloud.session().client("cloudformation")
    cloudformation.delete_stack(StackName=SET)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=SET, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def test_the_accounts_are_an_organisation(cloud: LocalCloud) -> None:
    """That the security account manages, with the members in a unit."""
    organizations = cloud.session().client("organizations")
    assert ORGANIZATION == organizations.describe_organization()["Organization"]["Id"]
    assert {SECURITY, *MEMBERS} == {each["Id"] for each in organizations.list_accounts()["Accounts"]}
    found = organizations.list_accounts_for_parent(ParentId=MEMBERS_UNIT)["Accounts"]
    assert [*MEMBERS] == [each["Id"] for each in found]


def test_accounts_are_listed_in_pages(cloud: LocalCloud, account: str) -> None:
    """Of at most twenty; a closed account is listed too, by its state. Here in an organisation of its own."""
    organizations = cloud.session(account=account).client("organizations")
    created = [
        organizations.create_account(AccountName=f"further {number}", Email=f"{number}@example.com")
        for number in range(20)
    ]
    closed = created[0]["CreateAccountStatus"]["AccountId"]
    organizations.close_account(AccountId=closed)
    first = organizations.list_accounts()
    second = organizations.list_accounts(NextToken=first["NextToken"])
    assert [20, 1] == [len(page["Accounts"]) for page in (first, second)]
    assert "NextToken" not in second
    states = {each["Id"]: each["State"] for page in (first, second) for each in page["Accounts"]}
    assert [closed] == [account for account, state in states.items() if state != "ACTIVE"]
    assert [7] == [len(organizations.list_accounts(MaxResults=7)["Accounts"])]


def test_policies_know_the_organisation_of_a_caller(cloud: LocalCloud, account: str) -> None:
    """A role that trusts the organisation's accounts alone does not let another in."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{each}:root" for each in (MEMBERS[0], account)]},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}},
    }
    iam = cloud.session(account=MEMBERS[1]).client("iam")
    role = iam.create_role(
        RoleName="family", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
    )["Role"]["Arn"]
    cloud.session(account=MEMBERS[0]).client("sts").assume_role(RoleArn=role, RoleSessionName="inside")
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.session(account=account).client("sts").assume_role(RoleArn=role, RoleSessionName="outside")


def test_a_set_is_deployed_to_the_accounts_of_a_unit_and_goes_with_its_stack(cloud: LocalCloud) -> None:
    """In every Region that it names, and never to the management account, though that is under the root."""
    root = cloud.session().client("organizations").list_roots()["Roots"][0]["Id"]
    deploy_stack(cloud.session(), SET, TemplateBody=stack_set(targets={"OrganizationalUnitIds": [root]}))
    assert [(account, region) for account in MEMBERS for region in REGIONS] == queues(cloud)
    cloudformation = cloud.session().client("cloudformation")
    cloudformation.delete_stack(StackName=SET)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=SET, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    assert [] == queues(cloud)


def test_the_stacks_of_a_set_are_listed(clean: LocalCloud) -> None:
    """Each account and Region with its state; a set that does not exist is an error."""
    deploy_stack(clean.session(), SET, TemplateBody=stack_set())
    cloudformation = clean.session().client("cloudformation")
    listed = cloudformation.list_stack_instances(StackSetName=SET, CallAs="SELF")["Summaries"]
    assert {(account, region) for account in MEMBERS for region in REGIONS} == {
        (each["Account"], each["Region"]) for each in listed
    }
    assert {("CURRENT", "SUCCEEDED")} == {
        (each["Status"], each["StackInstanceStatus"]["DetailedStatus"]) for each in listed
    }
    with pytest.raises(ClientError, match="StackSetNotFoundException"):
        cloudformation.list_stack_instances(StackSetName="Nobody")


def test_an_account_may_be_left_out(clean: LocalCloud) -> None:
    """`DIFFERENCE` means all of the unit but these."""
    targets = {"OrganizationalUnitIds": [MEMBERS_UNIT], "AccountFilterType": "DIFFERENCE", "Accounts": [MEMBERS[0]]}
    deploy_stack(clean.session(), SET, TemplateBody=stack_set(targets=targets))
    assert [(MEMBERS[1], region) for region in REGIONS] == queues(clean)


def test_an_account_that_refuses_is_tolerated_as_far_as_the_set_says(clean: LocalCloud) -> None:
    """Half of the places, here."""
    preferences = {"FailureTolerancePercentage": 50}
    template = stack_set(FAILS_IN_ONE, OperationPreferences=preferences, Capabilities=["CAPABILITY_IAM"])
    deploy_stack(clean.session(), SET, TemplateBody=template)
    assert [(MEMBERS[1], region) for region in REGIONS] == queues(clean)


def test_an_account_that_refuses_fails_the_stack_otherwise(clean: LocalCloud) -> None:
    """With its name."""
    with pytest.raises(DeployError, match=f"{MEMBERS[0]}/{HOME}"):
        deploy_stack(clean.session(), SET, TemplateBody=stack_set(FAILS_IN_ONE, Capabilities=["CAPABILITY_IAM"]))


def test_a_management_account_is_nobodys_delegate(clean: LocalCloud) -> None:
    """AWS refuses it too."""
    with pytest.raises(DeployError, match="SELF"):
        deploy_stack(clean.session(), SET, TemplateBody=stack_set(CallAs="DELEGATED_ADMIN"))
