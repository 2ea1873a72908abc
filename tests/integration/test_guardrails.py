"""What guardrails would block today, over moto: the ledger's word and a look at the accounts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.people.graduation.guardrail_request import GuardrailQuestion
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_guardrails
from tests.integration.builders import MEMBER, REGION, asked
from tests.integration.steering import named, steer

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
    answer: dict[str, Any] = json.loads(json.dumps(build_guardrails(cloud.function()).answer(question)))
    return answer


def test_instances_and_sources_are_named_by_guardrail(cloud: Cloud) -> None:
    """One instance that calls IMDSv1, one that does not, both launched by hand."""
    user, clean = cloud.launch(count=2)
    cloud.metrics.put(user.instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 30], 7.0)
    cloud.line().run([asked(user), asked(clean)], "request-1")
    with_role(cloud, user, clean)
    answer = ask(cloud, account=MEMBER, region=REGION)
    told = [(each["guardrail"], each["kind"], each["target"], each["blocked"]) for each in answer["results"]]
    assert ("launches", "by_hand", None, True) in told
    assert ("delivery", "by_hand", str(user), True) in told
    assert not any(each["target"] == str(clean) and each["blocked"] for each in answer["results"])
    assert (2, 1) == (answer["count"], answer["places"])
    assert "delivery: 1 instance's calls" in answer["summary"]


def delivery(answer: dict[str, Any]) -> dict[str, tuple[bool | None, str]]:
    """What is said of instances' calls: whether they are blocked, and why, by ARN."""
    return {
        each["target"]: (each["blocked"], each["explanation"])
        for each in answer["results"]
        if each["guardrail"] == "delivery"
    }


def calls(cloud: Cloud, arn: InstanceArn, *hours_ago: int, metric: str = "MetadataNoToken", count: float = 7.0) -> None:
    """It called so often in each of these hours."""
    now = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, metric, [now - each for each in hours_ago], count)


EXEMPT = {"imdsv2:exempt-until": "2099-12-31"}


@pytest.mark.parametrize("metric", ["MetadataNoToken", "MetadataNoTokenRejected"])
@pytest.mark.parametrize("tags", [EXEMPT, {"imdsv2:exempt-until": "someday"}, {}])
def test_an_instance_that_nobody_judges_is_named_for_its_calls(tags: dict[str, str], metric: str, cloud: Cloud) -> None:
    """An exempt one, one whose exemption cannot be read, one that the ledger has never seen: CloudWatch is asked."""
    user, quiet = cloud.one(tags=tags), cloud.one(tags=tags)
    calls(cloud, user, 30, 50, metric=metric)
    if tags:
        cloud.line().run([asked(user), asked(quiet)], "request-1")
    with_role(cloud, user, quiet)
    found = delivery(ask(cloud, account=MEMBER, region=REGION))
    blocked, why = found[str(user)]
    assert blocked is True
    assert "14 IMDSv1 calls" in why
    assert ("that were refused" in why) == (metric == "MetadataNoTokenRejected")
    blocked, why = found[str(quiet)]
    assert blocked is None
    assert "it made no call" in why
    assert ("end its exemption" in why) == (tags == EXEMPT)


def test_what_a_person_has_said_is_mended_does_not_count(cloud: Cloud) -> None:
    """Its calls since do."""
    arn = cloud.one()
    calls(cloud, arn, 50)
    cloud.line().run([asked(arn)], "request-1")
    [result] = steer(cloud, mended=named(arn), at=(cloud.clock() - timedelta(hours=20)).isoformat())
    assert result["done"], result
    cloud.line().run([asked(arn)], "request-2")
    with_role(cloud, arn)
    assert delivery(ask(cloud, account=MEMBER, region=REGION)).get(str(arn), (None, ""))[0] is not True
    calls(cloud, arn, 5)
    assert delivery(ask(cloud, account=MEMBER, region=REGION))[str(arn)][0] is True


def test_what_the_evidence_of_its_cohort_remembers_is_named(cloud: Cloud) -> None:
    """Though CloudWatch does not answer any more."""
    group = {"aws:autoscaling:groupName": "till"}
    user, other = cloud.one(tags=group), cloud.one(tags=group)
    calls(cloud, user, 30)
    cloud.line().run([asked(user), asked(other)], "request-1")
    ec2 = cloud.as_account(MEMBER, "ec2")
    ec2.create_tags(Resources=[user.instance_id], Tags=[{"Key": "imdsv2:exempt-until", "Value": "2099-12-31"}])
    cloud.line().run([asked(user)], "request-2")
    with_role(cloud, user, other)
    cloud.wire.refuse("GetMetricData", "AccessDenied")
    blocked, why = delivery(ask(cloud, account=MEMBER, region=REGION))[str(user)]
    assert blocked is True
    assert "exempt; 7 IMDSv1 calls" in why


@pytest.mark.parametrize("code", ["AccessDenied", "InternalServiceFault"])
def test_where_cloudwatch_does_not_answer_it_is_unknown_and_said(code: str, cloud: Cloud) -> None:
    """The rest is answered."""
    arn = cloud.one(tags=EXEMPT)
    cloud.line().run([asked(arn)], "request-1")
    with_role(cloud, arn)
    cloud.wire.refuse("GetMetricData", code)
    answer = ask(cloud, account=MEMBER, region=REGION)
    blocked, why = delivery(answer)[str(arn)]
    assert (None, True) == (blocked, "CloudWatch did not answer in full" in why)
    assert any(each["guardrail"] == "launches" for each in answer["results"])


def test_what_is_judged_is_not_asked_about_again(cloud: Cloud) -> None:
    """The ledger's word is enough, whatever it is."""
    cloud.policy(mode="observe")
    user, clean = (cloud.one(tags={"aws:autoscaling:groupName": name}) for name in ("till", "shelf"))
    calls(cloud, user, 30)
    cloud.line().run([asked(user), asked(clean)], "request-1")
    with_role(cloud, user, clean)
    before = len(cloud.wire.made("GetMetricData"))
    found = delivery(ask(cloud, account=MEMBER, region=REGION))
    assert {str(user): True} == {arn: blocked for arn, (blocked, _) in found.items()}
    assert before == len(cloud.wire.made("GetMetricData"))


def test_credentials_that_were_delivered_before_tokens_are_waited_for(cloud: Cloud) -> None:
    """A person required tokens where software still calls IMDSv1: what it fetched works for hours, and the guardrail would end it."""
    user, quiet = cloud.one(), cloud.one()
    calls(cloud, user, 3)
    ec2 = cloud.as_account(MEMBER, "ec2")
    for each in (user, quiet):
        ec2.modify_instance_metadata_options(InstanceId=each.instance_id, HttpTokens="required")
    cloud.line().run([asked(user), asked(quiet)], "request-1")
    with_role(cloud, user, quiet)
    found = delivery(ask(cloud, account=MEMBER, region=REGION))
    assert [str(user)] == list(found)
    assert (None, True) == (found[str(user)][0], "Wait until" in found[str(user)][1])
    cloud.clock.move(hours=30)
    assert {} == delivery(ask(cloud, account=MEMBER, region=REGION))


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
