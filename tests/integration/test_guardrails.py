"""What guardrails would block today, over moto: the ledger's word and a look at the accounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.people.guardrail_request import GuardrailQuestion
from imdsv2.people.request import parse
from tests.integration.builders import MEMBER, REGION, asked

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

NO_DEFAULTS = {"AccountLevel": {"HttpTokens": "no-preference", "HttpPutResponseHopLimit": -1}}
OTHER = "333333333333"


@pytest.fixture(autouse=True)
def defaults(cloud: Cloud) -> None:
    """moto does not know the call."""
    cloud.wire.fake("GetInstanceMetadataDefaults", lambda _: NO_DEFAULTS)


def with_role(cloud: Cloud, *arns: InstanceArn) -> None:
    """Somebody gives instances a role."""
    iam, ec2 = cloud.as_account(MEMBER, "iam"), cloud.as_account(MEMBER, "ec2")
    iam.create_instance_profile(InstanceProfileName="app")
    for each in arns:
        ec2.associate_iam_instance_profile(InstanceId=each.instance_id, IamInstanceProfile={"Name": "app"})


def ask(cloud: Cloud, **scope: Any) -> dict[str, Any]:
    """The answer of a new function instance, as it is sent."""
    question = parse({"guardrails": scope})
    assert isinstance(question, GuardrailQuestion)
    answer: dict[str, Any] = json.loads(json.dumps(cloud.function().guardrails().answer(question)))
    return answer


def test_instances_and_sources_are_named_by_guardrail(cloud: Cloud) -> None:
    """One instance that calls IMDSv1, one that does not, both launched by hand."""
    user, clean = cloud.launch(count=2)
    cloud.metrics.put(user.instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 30], 7.0)
    cloud.line().run([asked(user), asked(clean)], "request-1")
    with_role(cloud, user, clean)
    answer = ask(cloud, account=MEMBER, region=REGION)
    named = [(each["guardrail"], each["kind"], each["target"], each["blocked"]) for each in answer["results"]]
    assert ("launches", "by_hand", None, True) in named
    assert ("delivery", "by_hand", str(user), True) in named
    assert not any(each["target"] == str(clean) and each["blocked"] for each in answer["results"])
    assert (2, 1) == (answer["count"], answer["places"])
    assert "delivery: 1 instance's calls" in answer["summary"]


def test_without_a_region_the_ledger_says_where_to_look(cloud: Cloud) -> None:
    """All Regions of an account, or all accounts that it knows."""
    here, there = cloud.launch(), cloud.launch(account=OTHER)
    cloud.line().run([asked(each) for each in (*here, *there)], "request-1")
    assert {MEMBER} == {each["account"] for each in ask(cloud, account=MEMBER)["results"]}
    assert {MEMBER, OTHER} == {each["account"] for each in ask(cloud)["results"]}


def test_an_account_that_the_ledger_does_not_know_is_refused(cloud: Cloud) -> None:
    """An answer of nothing would look like a green light."""
    with pytest.raises(InvalidRequest, match="444444444444"):
        ask(cloud, account="444444444444")


def test_an_account_that_cannot_be_read_is_told(cloud: Cloud) -> None:
    """What it hides is not counted, and the summary says so."""
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation")
    answer = ask(cloud, account=MEMBER, region=REGION)
    assert [] == answer["results"]
    assert "deploy the member roles" in answer["problems"][0]
    assert "not counted" in answer["summary"]


def test_it_writes_nothing(cloud: Cloud) -> None:
    """Whatever `dry_run` says."""
    cloud.launch()
    before = len(cloud.wire.calls)
    ask(cloud, account=MEMBER, region=REGION)
    made = [each.operation for each in cloud.wire.calls[before:]]
    assert made
    assert [] == [
        each for each in made if not each.startswith(("Describe", "Get", "BatchGet", "AssumeRole", "Query", "List"))
    ]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], "guardrails"),
        ({"region": "eu-west-1"}, "guardrails.region"),
        ({"account": "7"}, "guardrails.account"),
        ({"account": MEMBER, "region": "Ireland"}, "guardrails.region"),
        ({"cohort": "x"}, "cohort"),
        ({"max_hop_limit": 0}, "guardrails.max_hop_limit"),
        ({"max_hop_limit": True}, "guardrails.max_hop_limit"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(given: Any, field: str) -> None:
    """With the name of the field."""
    with pytest.raises(InvalidRequest, match=field):
        parse({"guardrails": given})
