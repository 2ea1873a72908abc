"""What the check function says of Config in an account and Region."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.sessions import MemberClients
from imdsv2.errors import InvalidRequest
from imdsv2.people.recorders import PLACES_A_CALL, answer_recorders, records_instances
from tests.integration.builders import MEMBER, OTHER, ROLES

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

INSTANCE = "AWS::EC2::Instance"
HERE = {"account": MEMBER, "region": "eu-west-1"}


def ask(cloud: Cloud, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of an answer, which must survive JSON."""
    clients = MemberClients(
        cloud.session, metrics_session(cloud.session), cloud.client("sts"), ROLES, lambda: "request-1", cloud.clock.tick
    )
    answer: dict[str, Any] = json.loads(json.dumps(answer_recorders(clients, event)))
    results: list[dict[str, Any]] = answer["results"]
    return results


@pytest.mark.parametrize(
    ("group", "recorded"),
    [
        ({}, True),
        ({"allSupported": True}, True),
        ({"allSupported": False, "resourceTypes": ["AWS::S3::Bucket", INSTANCE]}, True),
        ({"allSupported": False, "resourceTypes": ["AWS::S3::Bucket"]}, False),
        ({"resourceTypes": ["AWS::S3::Bucket"]}, False),
        (
            {
                "allSupported": False,
                "recordingStrategy": {"useOnly": "EXCLUSION_BY_RESOURCE_TYPES"},
                "exclusionByResourceTypes": {"resourceTypes": ["AWS::S3::Bucket"]},
            },
            True,
        ),
        (
            {
                "allSupported": False,
                "recordingStrategy": {"useOnly": "EXCLUSION_BY_RESOURCE_TYPES"},
                "exclusionByResourceTypes": {"resourceTypes": [INSTANCE]},
            },
            False,
        ),
    ],
)
def test_what_a_recording_group_covers(group: dict[str, Any], recorded: bool) -> None:
    """All resources, some, or all but some."""
    assert recorded == records_instances(group)


def test_each_place_is_asked_through_its_read_role(cloud: Cloud) -> None:
    """Where that is refused, the answer says why, and the others have theirs."""
    cloud.wire.refuse(
        "DescribeConfigurationRecorders",
        "AccessDeniedException",
        "not authorized",
        when=lambda call: call.account == OTHER,
    )

    def recorders(_call: Call) -> dict[str, Any]:
        return {"ConfigurationRecorders": [{"name": "own", "roleARN": "arn:aws:iam::2:role/r"}, {"name": "second"}]}

    def states(_call: Call) -> dict[str, Any]:
        known = [{"name": "own", "recording": True}, {"name": "second", "recording": False}]
        return {"ConfigurationRecordersStatus": known}

    cloud.wire.on("DescribeConfigurationRecorders", recorders)
    cloud.wire.on("DescribeConfigurationRecorderStatus", states)
    mine, theirs = ask(cloud, {"places": [HERE, {"account": OTHER, "region": "us-east-1"}]})
    assert (MEMBER, "eu-west-1", None) == (mine["account"], mine["region"], mine["problem"])
    assert [("own", True, True, "arn:aws:iam::2:role/r"), ("second", False, True, None)] == [
        (each["name"], each["recording"], each["instances"], each["role"]) for each in mine["recorders"]
    ]
    assert ([], True) == (theirs["recorders"], "AccessDeniedException" in theirs["problem"])


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"places": []}, "places"),
        ({"places": "222222222222"}, "places"),
        ({"places": [HERE] * (PLACES_A_CALL + 1)}, "places"),
        ({"places": [{"account": MEMBER}]}, "places[0]"),
        ({"places": [HERE, {"account": "22", "region": "eu-west-1"}]}, "places[1].account"),
        ({"places": [{**HERE, "region": "eu-wst-1"}]}, "places[0].region"),
        ({"places": [HERE], "dry_run": True}, "dry_run"),
    ],
)
def test_a_wrong_question_names_its_field(cloud: Cloud, event: dict[str, Any], field: str) -> None:
    """Before anything is asked."""
    with pytest.raises(InvalidRequest) as refused:
        ask(cloud, event)
    assert str(refused.value).startswith(field)
    assert not cloud.wire.made("DescribeConfigurationRecorders")
