"""The command `culprit`: when it calls, what calls alike, what CloudTrail and the inventory name, and what was not looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.role_deliveries import PAGES
from imdsv2.domain.cohort import lineage_of
from imdsv2.errors import InvalidRequest
from imdsv2.people.culprit.request import CulpritQuestion
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_culprits
from tests.integration.builders import MEMBER, REGION, asked

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

OLD_AGENT = "Boto3/1.9.57 Python/2.7.16 Linux/4.14 Botocore/1.12.57"
GROUP = {"aws:autoscaling:groupName": "web"}


@dataclass
class Systems:
    """CloudTrail and Systems Manager of the accounts. ``events``: by user name, the newest first; ``software``: by instance id."""

    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    software: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    page: int = 50

    def lookup(self, call: Call) -> dict[str, Any]:
        """Answer LookupEvents, page by page."""
        [attribute] = call.params["LookupAttributes"]
        found = self.events.get(attribute["AttributeValue"], []) if attribute["AttributeKey"] == "Username" else []
        begin = int(call.params.get("NextToken", 0))
        end = begin + self.page
        return {"Events": found[begin:end], **({"NextToken": str(end)} if end < len(found) else {})}

    def inventory(self, call: Call) -> dict[str, Any]:
        """Answer ListInventoryEntries."""
        instance_id, kind = call.params["InstanceId"], call.params["TypeName"]
        if instance_id not in self.software:
            return {"InstanceId": instance_id, "TypeName": kind, "Entries": []}
        itself = {
            "PlatformType": "Linux",
            "PlatformName": "Amazon Linux",
            "PlatformVersion": "2",
            "AgentVersion": "3.3.40.0",
        }
        entries = [itself] if kind == "AWS:InstanceInformation" else self.software[instance_id]
        return {"InstanceId": instance_id, "TypeName": kind, "Entries": entries}


@pytest.fixture
def systems(cloud: Cloud) -> Systems:
    """Nothing has been recorded or listed yet."""
    made = Systems()
    cloud.wire.fake("LookupEvents", made.lookup)
    cloud.wire.fake("ListInventoryEntries", made.inventory)
    return made


def event(cloud: Cloud, arn: InstanceArn, agent: str, delivered: str | None = "1.0", **told: Any) -> dict[str, Any]:
    """A call with credentials of an instance's role, an hour ago."""
    context = {} if delivered is None else {"ec2RoleDelivery": delivered}
    identity = {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{MEMBER}:assumed-role/web/{arn.instance_id}",
        "sessionContext": {"attributes": {"mfaAuthenticated": "false"}, **context},
    }
    record = {
        "userIdentity": identity,
        "userAgent": agent,
        "eventSource": "s3.amazonaws.com",
        "eventName": "ListBuckets",
    }
    return {
        "EventName": "ListBuckets",
        "Username": arn.instance_id,
        "EventTime": cloud.clock() - timedelta(hours=1),
        "CloudTrailEvent": json.dumps({**record, **told}),
    }


def held(cloud: Cloud, hour: int | None = 3, **how: Any) -> InstanceArn:
    """An instance whose software calls at an hour of each day (none: in every hour), judged and so held."""
    arn = cloud.one(use=1.0 if hour is None else 0.0, **how)
    if hour is not None:
        now = int(cloud.clock().timestamp() // 3600)
        hours = [each for each in range(now - 30 * 24, now) if each % 24 == hour]
        cloud.metrics.put(arn.instance_id, "MetadataNoToken", hours, 4.0)
    cloud.line().run([asked(arn)], "request-1")
    return arn


def ask(cloud: Cloud, **scope: Any) -> dict[str, Any]:
    """The answer of a new function instance, as it is sent."""
    question = parse({"culprit": scope})
    assert isinstance(question, CulpritQuestion)
    answer: dict[str, Any] = json.loads(json.dumps(build_culprits(cloud.function()).answer(question)))
    return answer


def about(cloud: Cloud, arn: InstanceArn) -> dict[str, Any]:
    """What is answered about one instance."""
    [result] = ask(cloud, targets=[str(arn)])["results"]
    found: dict[str, Any] = result
    return found


def test_it_names_when_it_calls_and_the_sdk(cloud: Cloud, systems: Systems) -> None:
    """With what to do, and where that is said."""
    arn = held(cloud)
    systems.events[arn.instance_id] = [event(cloud, arn, OLD_AGENT)] * 3 + [event(cloud, arn, "new/2", "2.0")]
    found = about(cloud, arn)
    assert ("daily at 03:00", 120, "cloudwatch") == tuple(found["when"][each] for each in ("pattern", "calls", "from"))
    [caller] = found["callers"]
    assert ("Boto3", "1.9.57", "1.12.6", 3) == tuple(
        caller[each] for each in ("name", "version", "first_good", "calls")
    )
    assert {"by_v1": 3, "by_v2": 1, "unsaid": 0} == found["delivered"]
    assert "Update Boto3 to 1.12.6 or later" in found["explanation"]
    assert "timetable" in found["explanation"]


def test_it_names_what_is_too_old_in_the_inventory(cloud: Cloud, systems: Systems) -> None:
    """With the platform."""
    arn = held(cloud, hour=None)
    systems.software[arn.instance_id] = [
        {"Name": "datadog-agent", "Version": "1:7.40.1-1"},
        {"Name": "openssl", "Version": "1.0.2k"},
    ]
    found = about(cloud, arn)
    assert ("steady", "Amazon Linux 2") == (found["when"]["pattern"], found["platform"])
    assert [("the Datadog Agent", "7.64.0")] == [(each["name"], each["first_good"]) for each in found["suspects"]]
    assert "always runs" in found["explanation"]


def test_others_of_the_cohort_that_call_alike_are_counted(cloud: Cloud, systems: Systems) -> None:
    """One that calls at another hour is none of them, and one of another group is not looked at."""
    one = held(cloud, tags=GROUP)
    held(cloud, tags=GROUP)
    held(cloud, hour=7, tags=GROUP)
    held(cloud, tags={"aws:autoscaling:groupName": "other"})
    assert about(cloud, one)["when"]["shared"].startswith("Of 2 others of its cohort 1 called in the same way")


def test_a_cohort_is_asked_about_by_its_key(cloud: Cloud, systems: Systems) -> None:
    """Its members with most calls first; one of which the ledger knows nothing is refused with the likely one."""
    few = held(cloud, tags=GROUP)
    many = held(cloud, hour=None, tags=GROUP)
    cohort = cloud.current(few)["cohort"]
    answer = ask(cloud, cohort=cohort)
    assert [str(many), str(few)] == [each["target"] for each in answer["results"]]
    # Without its version, it means all versions.
    assert answer["results"] == ask(cloud, cohort=lineage_of(cohort))["results"] != []
    assert lineage_of(cohort) != cohort
    with pytest.raises(InvalidRequest, match=f"did you mean {cohort}"):
        ask(cloud, cohort=cohort.replace("web", "wed"))


def test_a_large_cohort_is_looked_at_in_part_and_that_is_said(cloud: Cloud, systems: Systems) -> None:
    """Each member costs calls to CloudTrail."""
    arns = cloud.launch(count=12, tags=GROUP, use=1.0)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    answer = ask(cloud, cohort=cloud.current(arns[0])["cohort"])
    assert 10 == answer["count"]
    assert "2 more" in answer["problems"][0]


@pytest.mark.parametrize("operation", ["LookupEvents", "ListInventoryEntries", "GetMetricData"])
def test_what_cannot_be_read_is_said_and_the_rest_is_answered(operation: str, cloud: Cloud, systems: Systems) -> None:
    """The inventory is optional, CloudTrail may be closed, and CloudWatch may fail."""
    arn = held(cloud)
    systems.events[arn.instance_id] = [event(cloud, arn, OLD_AGENT)]
    systems.software[arn.instance_id] = [{"Name": "awslogs", "Version": "1.1"}]
    cloud.wire.refuse(operation, "AccessDeniedException")
    found = about(cloud, arn)
    assert 1 == sum("AccessDenied" in each for each in found["not_looked_at"])
    named = [*found["callers"], *found["suspects"]]
    assert (2 if operation == "GetMetricData" else 1) == len(named)
    assert "daily at 03:00" == found["when"]["pattern"]
    assert ("ledger" if operation == "GetMetricData" else "cloudwatch") == found["when"]["from"]


def test_an_instance_without_systems_manager_is_said(cloud: Cloud, systems: Systems) -> None:
    """CloudTrail needs nothing on the instance."""
    arn = held(cloud)
    systems.events[arn.instance_id] = [event(cloud, arn, OLD_AGENT)]
    found = about(cloud, arn)
    assert (1, []) == (len(found["callers"]), found["suspects"])
    assert any("does not know this instance" in each for each in found["not_looked_at"])


def test_only_so_many_events_are_read_and_that_is_said(cloud: Cloud, systems: Systems) -> None:
    """Two requests a second are allowed; the newest come first."""
    arn = held(cloud)
    systems.page, systems.events[arn.instance_id] = 2, [event(cloud, arn, OLD_AGENT)] * 40
    found = about(cloud, arn)
    assert PAGES == len(cloud.wire.made("LookupEvents"))
    assert 2 * PAGES == found["delivered"]["by_v1"]
    assert any("only the newest were looked at" in each for each in found["not_looked_at"])


@pytest.mark.parametrize(
    "told",
    [
        {"userIdentity": {"type": "AssumedRole", "arn": f"arn:aws:sts::{MEMBER}:assumed-role/x/somebody"}},
        {"userIdentity": []},
        {"userIdentity": {"arn": 7, "sessionContext": "1.0"}},
        {"userAgent": None, "userIdentity": None},
    ],
)
def test_records_of_another_shape_name_nobody(told: dict[str, Any], cloud: Cloud, systems: Systems) -> None:
    """What does not say how its credentials were delivered is counted apart."""
    arn = held(cloud)
    strange = {**event(cloud, arn, OLD_AGENT), "CloudTrailEvent": "{"}
    systems.events[arn.instance_id] = [event(cloud, arn, OLD_AGENT, **told), strange, event(cloud, arn, "x/1", None)]
    found = about(cloud, arn)
    assert ([], 3) == (found["callers"], found["delivered"]["unsaid"])


def test_hostile_texts_are_shown_plain(cloud: Cloud, systems: Systems) -> None:
    """User agents, names of calls, tags and packages come from outside."""
    bad = "\x1b[2J=HYPERLINK(1)\u202e\x07\n" + "x" * 5000
    arn = held(cloud, tags={"Name": "web\u202e\u200b1"})
    systems.events[arn.instance_id] = [event(cloud, arn, bad, eventName=bad)]
    systems.software[arn.instance_id] = [{"Name": "awslogs", "Version": bad}]
    text = json.dumps(ask(cloud, targets=[str(arn)]), ensure_ascii=False)
    assert text.isprintable()
    assert len(text) < 10_000


def test_an_excluded_account_is_not_asked(cloud: Cloud, systems: Systems) -> None:
    """The policy says so."""
    arn = held(cloud)
    cloud.policy(exclude_accounts=[MEMBER])
    before = len(cloud.wire.calls)
    found = about(cloud, arn)
    assert "exclude_accounts" in found["not_looked_at"][0]
    assert [] == [call for call in cloud.wire.calls[before:] if call.service in {"cloudtrail", "cloudwatch", "ec2"}]


def test_a_cohort_of_an_excluded_account_is_not_looked_at(cloud: Cloud, systems: Systems) -> None:
    """Nor is it refused: what the ledger knows is answered."""
    arn = held(cloud, tags=GROUP)
    cloud.policy(exclude_accounts=[MEMBER])
    before = len(cloud.wire.calls)
    [found] = ask(cloud, cohort=cloud.current(arn)["cohort"])["results"]
    assert str(arn) == found["target"]
    assert "exclude_accounts" in found["not_looked_at"][0]
    assert [] == [call for call in cloud.wire.calls[before:] if call.service in {"cloudtrail", "cloudwatch", "ec2"}]


def test_the_ledger_is_walked_through_once_for_several_of_an_account(cloud: Cloud, systems: Systems) -> None:
    """However many are asked about: an account may have a hundred thousand records."""
    arns = cloud.launch(count=6, tags=GROUP, use=1.0)
    cloud.line().run([asked(arn) for arn in arns], "request-1")

    def reads(*several: InstanceArn) -> int:
        before = len(cloud.wire.made("BatchGetItem"))
        answer = ask(cloud, targets=[str(each) for each in several])
        assert all(each["when"]["shared"].startswith("Of 5 others") for each in answer["results"])
        return len(cloud.wire.made("BatchGetItem")) - before

    assert reads(arns[0]) == reads(*arns)


def test_an_instance_that_is_gone_is_asked_about_all_the_same(cloud: Cloud, systems: Systems) -> None:
    """CloudTrail and CloudWatch remember it."""
    arn = held(cloud)
    systems.events[arn.instance_id] = [event(cloud, arn, OLD_AGENT)]
    cloud.as_account(MEMBER, "ec2", REGION).terminate_instances(InstanceIds=[arn.instance_id])
    found = about(cloud, arn)
    assert ("daily at 03:00", "Boto3") == (found["when"]["pattern"], found["callers"][0]["name"])


def test_an_instance_that_ec2_does_not_show_is_told_as_such(cloud: Cloud, systems: Systems) -> None:
    """A mistyped id would look like an instance that nothing calls; of one that has ended, what is remembered is answered."""
    arn = held(cloud)
    assert not any("no such instance" in each for each in about(cloud, arn)["not_looked_at"])
    mistyped = replace(arn, instance_id=f"{arn.instance_id[:-4]}dead")
    systems.events[mistyped.instance_id] = [event(cloud, mistyped, OLD_AGENT)]
    found = about(cloud, mistyped)
    assert "EC2 shows no such instance there" in found["not_looked_at"][0]
    assert 1 == len(found["callers"])
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation")
    assert "UnauthorizedOperation" in about(cloud, arn)["not_looked_at"][0]
