"""Instances: their times, pages, filters and tags."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.local.launching import IMAGE, Refused, describe, launch, pages_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

STARTED = datetime(2026, 3, 1, 7, 30, tzinfo=UTC)
FIRST = datetime(2025, 11, 20, 6, tzinfo=UTC)


def _at(moment: datetime) -> str:
    return moment.isoformat()


def test_a_tag_sets_the_last_start_and_with_it_the_first_launch(ec2: EC2Client) -> None:
    """Without a word on the first launch, the last start was it."""
    instance = describe(ec2, launch(ec2, tags={"local:launched-at": _at(STARTED)})[0])
    assert (STARTED, STARTED) == (instance["LaunchTime"], instance["NetworkInterfaces"][0]["Attachment"]["AttachTime"])


def test_a_first_launch_of_its_own_shows_in_the_network_interface(ec2: EC2Client) -> None:
    """The attach time of the primary interface stays at the first launch."""
    [instance_id] = launch(ec2, tags={"local:launched-at": _at(STARTED), "local:first-launched-at": _at(FIRST)})
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.start_instances(InstanceIds=[instance_id])
    instance = describe(ec2, instance_id)
    assert FIRST == instance["NetworkInterfaces"][0]["Attachment"]["AttachTime"]
    assert (datetime.now(UTC) - instance["LaunchTime"]).total_seconds() < 60


def test_a_stop_is_told_in_words(ec2: EC2Client) -> None:
    """`StateTransitionReason` holds the time of the stop, and is empty again after a start."""
    [instance_id] = launch(ec2)
    ec2.stop_instances(InstanceIds=[instance_id])
    stopped = describe(ec2, instance_id)
    said = datetime.strptime(stopped["StateTransitionReason"], "User initiated (%Y-%m-%d %H:%M:%S GMT)").replace(
        tzinfo=UTC
    )
    assert "stopped" == stopped["State"]["Name"]
    assert abs((datetime.now(UTC) - said).total_seconds()) < 60
    ec2.start_instances(InstanceIds=[instance_id])
    assert "" == describe(ec2, instance_id)["StateTransitionReason"]


def test_an_instance_can_have_been_stopped_in_the_past(ec2: EC2Client) -> None:
    """A tag says since when."""
    instance = describe(ec2, launch(ec2, tags={"local:stopped-at": "2026-01-31T07:00:00Z"})[0])
    assert ("stopped", "User initiated (2026-01-31 07:00:00 GMT)") == (
        instance["State"]["Name"],
        instance["StateTransitionReason"],
    )


@pytest.mark.parametrize("tags", [{"local:launched-at": "yesterday"}, {"local:state": "asleep"}])
def test_a_past_that_is_not_understood_launches_nothing(ec2: EC2Client, tags: dict[str, str]) -> None:
    """The tag is refused before there is an instance."""
    with Refused() as refusal:
        launch(ec2, tags=tags)
    assert "InvalidParameterValue" == refusal.code
    assert [] == next(iter(pages_of(ec2)))


def test_instances_of_a_fleet_are_whole(ec2: EC2Client) -> None:
    """What ministack launches by itself has metadata options too."""
    ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t3.micro"}
    )
    ec2.create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": "1"}}],
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
    )
    [[instance]] = pages_of(ec2)
    assert "optional" == describe(ec2, instance)["MetadataOptions"]["HttpTokens"]


def test_pages_hold_what_was_asked_for_and_each_instance_once(ec2: EC2Client) -> None:
    """Twelve instances in pages of five."""
    launched = launch(ec2, count=12)
    pages = list(pages_of(ec2, PaginationConfig={"PageSize": 5}))
    assert [5, 5, 2] == [len(page) for page in pages]
    assert sorted(launched) == sorted(instance for page in pages for instance in page)


def test_the_next_page_goes_on_although_what_was_listed_matches_no_longer(ec2: EC2Client) -> None:
    """Whoever changes what he lists by a filter still sees each instance once."""
    launched = launch(ec2, count=12)
    seen: list[str] = []
    optional = [{"Name": "metadata-options.http-tokens", "Values": ["optional"]}]
    for page in pages_of(ec2, Filters=optional, PaginationConfig={"PageSize": 5}):
        seen += page
        for instance in page:
            ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    assert sorted(launched) == sorted(seen)


def test_a_page_holds_at_most_a_thousand(ec2: EC2Client) -> None:
    """Also where nobody asked for pages."""
    launch(ec2, count=1001)
    assert [1000, 1] == [len(page) for page in pages_of(ec2)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"MaxResults": 4}, "InvalidParameterValue"),
        ({"MaxResults": 5, "InstanceIds": ["i-0123456789abcdef0"]}, "InvalidParameterCombination"),
        ({"NextToken": "nonsense"}, "InvalidParameterValue"),
        ({"Filters": [{"Name": "metadata-options.http-token", "Values": ["optional"]}]}, "InvalidParameterValue"),
    ],
    ids=["page too small", "ids and pages", "unknown token", "unknown filter"],
)
def test_what_ec2_refuses_to_describe(ec2: EC2Client, arguments: dict[str, Any], code: str) -> None:
    """A filter that does not exist must not look like one that matches all."""
    with Refused() as refusal:
        ec2.describe_instances(**arguments)
    assert code == refusal.code


def test_filters_of_metadata_options_and_tags(ec2: EC2Client) -> None:
    """All filters must hold, each by any of its values, with wildcards."""
    [open_web, closed, required] = [
        launch(ec2, tags={"Name": "web-1"})[0],
        launch(ec2, tags={"Name": "vault"}, HttpEndpoint="disabled")[0],
        launch(ec2, tags={"Name": "web-2"}, HttpTokens="required")[0],
    ]

    def matching(**filters: list[str]) -> list[str]:
        names = {name.replace("__", ":").replace("_", "-"): values for name, values in filters.items()}
        asked: Any = [
            {"Name": name.replace("metadata-", "metadata-options."), "Values": values} for name, values in names.items()
        ]
        return next(iter(pages_of(ec2, Filters=asked)))

    assert [open_web, closed] == matching(metadata_http_tokens=["optional"])
    assert [closed] == matching(metadata_http_endpoint=["disabled"])
    assert [open_web, required] == matching(tag__Name=["web-*"])
    assert [required] == matching(tag__Name=["web-*"], metadata_http_tokens=["required"])


def test_tags_go_on_in_batches_and_all_or_none(ec2: EC2Client) -> None:
    """One resource that is full keeps the others from the tag too; tags of AWS do not count."""
    [full] = launch(ec2, tags={f"key-{number}": "x" for number in range(50)})
    [spare] = launch(ec2, tags={**{f"key-{number}": "x" for number in range(49)}, "aws:autoscaling:groupName": "web"})
    with Refused() as refusal:
        ec2.create_tags(Resources=[spare, full], Tags=[{"Key": "new", "Value": "x"}])
    assert "TagLimitExceeded" == refusal.code
    assert "new" not in {tag["Key"] for tag in describe(ec2, spare)["Tags"]}
    ec2.create_tags(Resources=[spare], Tags=[{"Key": "new", "Value": "x"}])
    assert 51 == len(describe(ec2, spare)["Tags"])


def test_a_tag_is_removed_by_key_or_only_with_its_value(ec2: EC2Client) -> None:
    """A value that does not match removes nothing."""
    [instance] = launch(ec2, tags={"a": "1", "b": "2"})
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": "a", "Value": "other"}])
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": "b"}])
    assert [{"Key": "a", "Value": "1"}] == describe(ec2, instance)["Tags"]


def test_accounts_and_regions_are_apart(ec2: EC2Client) -> None:
    """Amazon's images are everywhere, instances where they were launched."""
    assert ec2.describe_images(Owners=["amazon"])["Images"]
    assert [] == list(next(iter(pages_of(ec2))))
