"""What an Auto Scaling group has launched and ended, from its activities."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.aws.scaling import MOST_PAGES, scaling_of
from tests.integration.builders import NOW

if TYPE_CHECKING:
    from tests.integration.builders import Stub

SINCE = NOW - timedelta(days=35)
HOUR = timedelta(hours=1)


def activity(description: str, started: datetime, *, lasted: timedelta | None = HOUR) -> dict[str, Any]:
    """One activity; without ``lasted`` it goes on."""
    told = {
        "ActivityId": "a",
        "AutoScalingGroupName": "jobs",
        "Cause": "At its time.",
        "StatusCode": "Successful",
        "Description": description,
        "StartTime": started,
    }
    return told | ({"EndTime": started + lasted} if lasted is not None else {})


def asked(**more: Any) -> dict[str, Any]:
    """The call for a page."""
    return {"AutoScalingGroupName": "jobs", "MaxRecords": 100, **more}


def test_launches_and_ends_are_told_by_instance(stub: Stub) -> None:
    """What is ended counts as gone from the end of the activity on, or where that is to come, from its beginning."""
    client = stub.client("autoscaling")
    page = [
        activity("Terminating EC2 instance: i-0a1b2c3d - Waiting For ELB connection draining.", NOW, lasted=None),
        activity("Terminating EC2 instance: i-0123456789abcdef0", NOW - 5 * HOUR),
        activity("Launching a new EC2 instance: i-0123456789abcdef0", NOW - 50 * HOUR),
        activity("Launching a new EC2 instance.  Status Reason: there is no capacity.", NOW - 51 * HOUR),
        activity("Detaching EC2 instance: i-0fedcba9876543210", NOW - 60 * HOUR),
    ]
    stub.answer(client, "describe_scaling_activities", {"Activities": page}, asked())
    found = scaling_of(client, "jobs", SINCE)
    assert {"i-0a1b2c3d": NOW, "i-0123456789abcdef0": NOW - 4 * HOUR} == found.ended
    assert {"i-0123456789abcdef0": NOW - 50 * HOUR} == found.launched


def test_what_comes_from_a_warm_pool_is_known_from_its_first_launch_to_its_end(stub: Stub) -> None:
    """Its launch into the pool, its way into service and its end each have words of their own; one ends in the pool."""
    client = stub.client("autoscaling")
    page = [
        activity("Terminating EC2 instance: i-0000000000000c0de", NOW - 3 * HOUR),
        activity("Terminating EC2 instance from warm pool: i-0000000000000cafe", NOW - 9 * HOUR),
        activity("Launching a new EC2 instance from warm pool: i-0000000000000c0de", NOW - 20 * HOUR),
        activity("Launching a new EC2 instance into warm pool: i-0000000000000c0de", NOW - 70 * HOUR),
        activity("Launching a new EC2 instance into warm pool: i-0000000000000cafe", NOW - 71 * HOUR),
    ]
    stub.answer(client, "describe_scaling_activities", {"Activities": page}, asked())
    found = scaling_of(client, "jobs", SINCE)
    assert {"i-0000000000000c0de": NOW - 70 * HOUR, "i-0000000000000cafe": NOW - 71 * HOUR} == found.launched
    assert {"i-0000000000000c0de": NOW - 2 * HOUR, "i-0000000000000cafe": NOW - 8 * HOUR} == found.ended


def test_pages_are_read_back_to_the_time_that_is_wanted(stub: Stub) -> None:
    """An empty page is not the end; the page that reaches further back is."""
    client = stub.client("autoscaling")
    ended = activity("Terminating EC2 instance: i-0000000a", NOW - HOUR)
    old = activity("Terminating EC2 instance: i-0000000b", SINCE - HOUR)
    pages: list[tuple[list[dict[str, Any]], str, dict[str, str]]] = [
        ([ended], "2", {}),
        ([], "3", {"NextToken": "2"}),
        ([old], "4", {"NextToken": "3"}),
    ]
    for activities, token, wanted in pages:
        answer = {"Activities": activities, "NextToken": token}
        stub.answer(client, "describe_scaling_activities", answer, asked(**wanted))
    assert {"i-0000000a", "i-0000000b"} == set(scaling_of(client, "jobs", SINCE).ended)


def test_no_group_takes_more_pages_than_there_is_time_for(stub: Stub) -> None:
    """One that ends thousands a week."""
    client = stub.client("autoscaling")
    for number in range(MOST_PAGES):
        ended = activity(f"Terminating EC2 instance: i-{number:08x}", NOW - HOUR)
        wanted = {"NextToken": str(number)} if number else {}
        answer = {"Activities": [ended], "NextToken": str(number + 1)}
        stub.answer(client, "describe_scaling_activities", answer, asked(**wanted))
    assert MOST_PAGES == len(scaling_of(client, "jobs", SINCE).ended)
