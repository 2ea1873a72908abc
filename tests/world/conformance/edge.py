"""Checks of what the service meets besides: Systems Manager and the topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.world.conformance.clouds import Cloud


def a_parameter(cloud: Cloud) -> Any:
    """Its value."""
    cloud.put_parameter("/policy", '{"mode": "enforce"}')
    return cloud.ssm.get_parameter(Name="/policy")["Parameter"]["Value"]


def the_history_of_a_parameter(cloud: Cloud) -> Any:
    """Each writing with its version."""
    cloud.put_parameter("/policy", '{"mode": "enforce"}')
    writings = cloud.ssm.get_parameter_history(Name="/policy")["Parameters"]
    return [(each["Version"], each["Value"]) for each in writings]


def change_calendars(cloud: Cloud) -> Any:
    """Several are open together if all of them are."""
    cloud.put_calendar("open", is_open=True)
    cloud.put_calendar("closed", is_open=False)
    together = (["open"], ["closed"], ["open", "closed"])
    return [cloud.ssm.get_calendar_state(CalendarNames=names)["State"] for names in together]


def a_notice(cloud: Cloud) -> Any:
    """The topic takes a message of the service's shape."""
    said = {"DataType": "String", "StringValue": "notice_given"}
    message = {"Subject": "IMDSv2", "Message": "text", "MessageAttributes": {"reason": said}}
    cloud.sns.publish(TopicArn=cloud.create_topic(), **message)
    return "taken"
