"""Whether AWS Config records EC2 instances in an account and Region: without that, neither its events nor Security Hub's EC2.8 come from there.

IAM: ``config:DescribeConfigurationRecorders`` and ``config:DescribeConfigurationRecorderStatus`` for the read role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Place

PLACES = "places"
PLACES_A_CALL = 100
INSTANCE = "AWS::EC2::Instance"


def answer_recorders(clients: MemberClients, event: Mapping[str, Any]) -> dict[str, Any]:
    """What Config records in each account and Region under ``places``.

    Each result has ``account``, ``region``, ``recorders`` (``name``, ``recording``: whether it is started, ``instances``: whether it is told
    to record EC2 instances, ``role``) and ``problem``: why it could not be asked. Raises InvalidRequest, which names the field.
    """
    return {"results": [_examined(clients, place) for place in _places(event)]}


def records_instances(group: Mapping[str, Any]) -> bool:
    """Whether EC2 instances belong to the recording group of a recorder; one without a group records everything."""
    if group.get("recordingStrategy", {}).get("useOnly") == "EXCLUSION_BY_RESOURCE_TYPES":
        return INSTANCE not in group.get("exclusionByResourceTypes", {}).get("resourceTypes", [])
    return bool(group.get("allSupported", not group)) or INSTANCE in group.get("resourceTypes", [])


def recorders_of(config: Any) -> list[dict[str, Any]]:
    """The recorders that a client of Config sees, as they are in the answer. Raises ClientError."""
    known: Sequence[Mapping[str, Any]] = config.describe_configuration_recorders()["ConfigurationRecorders"]
    states = config.describe_configuration_recorder_status()["ConfigurationRecordersStatus"]
    started = {each["name"] for each in states if each.get("recording")}
    return [
        {
            "name": each["name"],
            "recording": each["name"] in started,
            "instances": records_instances(each.get("recordingGroup", {})),
            "role": each.get("roleARN"),
        }
        for each in known
    ]


def _examined(clients: MemberClients, place: Place) -> dict[str, Any]:
    recorders, problem = [], None
    try:
        recorders = recorders_of(clients.other("config", place))
    except CALL_FAILURES as error:
        problem = describe_error(error)
    return {"account": place.account, "region": place.region, "recorders": recorders, "problem": problem}


def _places(event: Mapping[str, Any]) -> tuple[Place, ...]:
    if unknown := sorted(str(name) for name in event.keys() - {PLACES}):
        raise InvalidRequest(unknown[0][:100], f"is no field beside {PLACES}")
    places = fields.places(event, PLACES, PLACES_A_CALL)
    if not places:
        raise InvalidRequest(PLACES, f"takes a list of 1 to {PLACES_A_CALL} objects of account and region")
    return places
