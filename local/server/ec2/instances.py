"""EC2 instances: launch, describe in pages, stop, start, terminate.

ministack's record of an instance is kept. Added are the times of the last start, first launch and stop, the metadata options,
filters, and pages. Not in AWS: tags at launch give an instance a past:

- `local:launched-at`: the last start (`LaunchTime`), ISO 8601;
- `local:first-launched-at`: the first launch (the attach time of the primary network interface); by default the last start;
- `local:stopped-at`: the instance has been `stopped` since then;
- `local:state`: the instance is in this state (`pending`, `stopping`, `shutting-down`, `terminated`).
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from local.server import platform as ms
from local.server.ec2 import metadata as ec2_metadata
from local.server.ec2.records import complete, everything, found, tags_of
from local.server.ec2.templates import source_tags, with_template
from local.server.ec2.wire import Ec2Error, answer, filters, item, many, one, refuse_dry_run, tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.server.platform import Ec2Action, Params, Record, Response

PAGE: Final = 1000
MIN_PAGE: Final = 5
STATE_CODES: Final = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
IDS_IN_XML: Final = re.compile(rb"<instanceId>(i-[0-9a-f]+)</instanceId>")

_launch_in_ministack: Ec2Action = ms.EC2_ACTIONS["RunInstances"]


def install() -> None:
    """Replace ministack's actions."""
    ms.EC2_ACTIONS["RunInstances"] = run_instances
    ms.EC2_ACTIONS["DescribeInstances"] = describe_instances
    for action, change in (("StartInstances", _start), ("StopInstances", _stop), ("TerminateInstances", _terminate)):
        ms.EC2_ACTIONS[action] = _state_change(action, change)


def run_instances(params: Params) -> Response:
    """Launch `MaxCount` instances with their metadata options and the past that their tags give."""
    params = with_template(params)
    refuse_dry_run(params)
    options, past = ec2_metadata.options_at_launch(params), _past(_tags_at_launch(params))
    launched = _launch_in_ministack({**params, "MinCount": params.get("MaxCount", ["1"])})
    if launched[0] != 200:
        return launched
    instances = [ms.EC2_INSTANCES[found.decode()] for found in IDS_IN_XML.findall(launched[2])]
    for index, instance in enumerate(instances):
        instance["AmiLaunchIndex"] = index
        instance |= {"MetadataOptions": dict(options), **past}
        complete(instance)
        if marks := source_tags(params):
            ms.EC2_TAGS[instance["InstanceId"]] = [*ms.EC2_TAGS.get(instance["InstanceId"], []), *marks]
    reservation = item([("reservationId", f"r-{instances[0]['InstanceId'][2:]}"), ("ownerId", ms.account_id())])
    xml = "".join(instance_xml(instance) for instance in instances)
    return answer("RunInstances", f"{reservation}<groupSet/><instancesSet>{xml}</instancesSet>")


def describe_instances(params: Params) -> Response:
    """Instances by id or by filter, at most 1,000 a page."""
    refuse_dry_run(params)
    ids = many(params, "InstanceId")
    size = _page_size(params, ids)
    wanted = filters(params)
    unknown = next((name for name in wanted if name not in FILTERS and not name.startswith("tag:")), None)
    if unknown:
        raise Ec2Error("InvalidParameterValue", f"The filter '{unknown}' is invalid")
    instances = _from_page(one(params, "NextToken"), found(ids) if ids else everything())
    matching = [instance for instance in instances if _matches(instance, wanted)]
    page = matching[:size]
    token = _token(page[-1]["InstanceId"]) if size < len(matching) else None
    reservations = "".join(_reservation_xml(instance) for instance in page)
    return answer(
        "DescribeInstances",
        f"<reservationSet>{reservations}</reservationSet>" + item([("nextToken", token)] if token else []),
    )


def instance_xml(instance: Record) -> str:
    """The XML of an instance: ministack's, with the elements that it lacks."""
    body = ms.ec2_instance_xml(instance).strip().removesuffix("</item>")
    reason = item([("reason", instance.get("StateTransitionReason", ""))])
    operator = tags_of(instance["InstanceId"]).get("local:operator")
    managed = f"<operator>{item([('managed', 'true'), ('principal', operator)])}</operator>" if operator else ""
    return f"{body}{reason}{managed}{_network_interface_xml(instance)}{ec2_metadata.options_xml('metadataOptions', instance)}</item>"


def _network_interface_xml(instance: Record) -> str:
    if instance["State"]["Name"] == "terminated":
        return "<networkInterfaceSet/>"
    suffix = instance["InstanceId"][2:]
    attachment = item(
        [
            ("attachmentId", f"eni-attach-{suffix}"),
            ("attachTime", instance["FirstLaunchTime"]),
            ("deleteOnTermination", "true"),
            ("deviceIndex", "0"),
            ("status", "attached"),
        ]
    )
    fields = item(
        [
            ("networkInterfaceId", f"eni-{suffix}"),
            ("status", "in-use"),
            ("privateIpAddress", instance["PrivateIpAddress"]),
        ]
    )
    return f"<networkInterfaceSet><item>{fields}<attachment>{attachment}</attachment></item></networkInterfaceSet>"


def _reservation_xml(instance: Record) -> str:
    head = item([("reservationId", f"r-{instance['InstanceId'][2:]}"), ("ownerId", ms.account_id())])
    return f"<item>{head}<groupSet/><instancesSet>{instance_xml(instance)}</instancesSet></item>"


def _tags_at_launch(params: Params) -> dict[str, str]:
    found_tags: dict[str, str] = {}
    number = 1
    while kind := one(params, f"TagSpecification.{number}.ResourceType"):
        if kind == "instance":
            found_tags |= {key: value or "" for key, value in tags(params, f"TagSpecification.{number}.Tag").items()}
        number += 1
    return found_tags


def _past(tags_at_launch: Mapping[str, str]) -> Record:
    """The past that the tags give, as fields of an instance.

    Raises:
        Ec2Error: a time is not in ISO 8601, or a state does not exist in EC2.
    """
    past: Record = {}
    try:
        for tag, name in (("local:launched-at", "LaunchTime"), ("local:first-launched-at", "FirstLaunchTime")):
            if tag in tags_at_launch:
                past[name] = _time(tags_at_launch[tag])
        if "local:stopped-at" in tags_at_launch:
            past["State"] = _state("stopped")
            past["StateTransitionReason"] = _stop_reason(datetime.fromisoformat(tags_at_launch["local:stopped-at"]))
        if "local:state" in tags_at_launch:
            past["State"] = _state(tags_at_launch["local:state"])
    except (ValueError, KeyError) as wrong:
        raise Ec2Error("InvalidParameterValue", f"A tag local:* has a value that is not understood: {wrong}") from wrong
    return past


def _state_change(action: str, change: Callable[[Record], None]) -> Ec2Action:
    def act(params: Params) -> Response:
        refuse_dry_run(params)
        changes = ""
        for instance in found(many(params, "InstanceId")):
            before = _state_xml("previousState", instance)
            change(instance)
            changes += f"<item>{item([('instanceId', instance['InstanceId'])])}{before}{_state_xml('currentState', instance)}</item>"
        return answer(action, f"<instancesSet>{changes}</instancesSet>")

    return act


def _start(instance: Record) -> None:
    _refuse_state(instance, "terminated", "shutting-down", "stopping")
    if instance["State"]["Name"] == "stopped":
        instance["LaunchTime"] = _time(datetime.now(UTC).isoformat())
        instance["StateTransitionReason"] = ""
        _set_state(instance, "running")
        ec2_metadata.apply_soon(instance)


def _stop(instance: Record) -> None:
    _refuse_state(instance, "terminated", "shutting-down")
    if instance["State"]["Name"] != "stopped":
        instance["StateTransitionReason"] = _stop_reason(datetime.now(UTC))
        _set_state(instance, "stopped")


def _terminate(instance: Record) -> None:
    instance["StateTransitionReason"] = _stop_reason(datetime.now(UTC))
    _set_state(instance, "terminated")


def _refuse_state(instance: Record, *states: str) -> None:
    if instance["State"]["Name"] in states:
        raise Ec2Error(
            "IncorrectInstanceState",
            f"The instance '{instance['InstanceId']}' is not in a state from which it can be changed.",
        )


def _set_state(instance: Record, name: str) -> None:
    instance["State"] = _state(name)


def _state(name: str) -> Record:
    return {"Code": STATE_CODES[name], "Name": name}


def _state_xml(element: str, instance: Record) -> str:
    state = instance["State"]
    return f"<{element}>{item([('code', str(state['Code'])), ('name', state['Name'])])}</{element}>"


def _stop_reason(moment: datetime) -> str:
    return f"User initiated ({moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} GMT)"


def _time(iso: str) -> str:
    moment = datetime.fromisoformat(iso)
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _page_size(params: Params, ids: list[str]) -> int:
    size = one(params, "MaxResults")
    if len(ids) > PAGE:
        raise Ec2Error(
            "InvalidParameterValue", f"Value ({len(ids)}) for parameter instancesSet is invalid. The maximum is {PAGE}."
        )
    if size is None:
        return PAGE
    if ids:
        raise Ec2Error(
            "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
        )
    if not MIN_PAGE <= int(size) <= PAGE:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.",
        )
    return int(size)


def _token(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode()


def _from_page(token: str | None, instances: list[Record]) -> list[Record]:
    """The instances after the page that returned this token, even if that page's last instance no longer matches the filters."""
    if token is None:
        return instances
    for index, instance in enumerate(instances):
        if _token(instance["InstanceId"]) == token:
            return instances[index + 1 :]
    raise Ec2Error("InvalidParameterValue", "Unable to parse pagination token")


FILTERS: Final[dict[str, Callable[[Record], Iterable[str]]]] = {
    "architecture": lambda instance: [instance["Architecture"]],
    "availability-zone": lambda instance: [instance["Placement"]["AvailabilityZone"]],
    "image-id": lambda instance: [instance["ImageId"]],
    "instance-id": lambda instance: [instance["InstanceId"]],
    "instance-state-code": lambda instance: [str(instance["State"]["Code"])],
    "instance-state-name": lambda instance: [instance["State"]["Name"]],
    "instance-type": lambda instance: [instance["InstanceType"]],
    "launch-time": lambda instance: [instance["LaunchTime"]],
    "metadata-options.http-endpoint": lambda instance: [instance["MetadataOptions"]["HttpEndpoint"]],
    "metadata-options.http-protocol-ipv6": lambda instance: [instance["MetadataOptions"]["HttpProtocolIpv6"]],
    "metadata-options.http-put-response-hop-limit": lambda instance: [
        instance["MetadataOptions"]["HttpPutResponseHopLimit"]
    ],
    "metadata-options.http-tokens": lambda instance: [instance["MetadataOptions"]["HttpTokens"]],
    "metadata-options.instance-metadata-tags": lambda instance: [instance["MetadataOptions"]["InstanceMetadataTags"]],
    "metadata-options.state": lambda instance: [ec2_metadata.state_of(instance)],
    "private-ip-address": lambda instance: [instance["PrivateIpAddress"]],
    "subnet-id": lambda instance: [instance["SubnetId"]],
    "tag-key": lambda instance: tags_of(instance["InstanceId"]),
    "vpc-id": lambda instance: [instance["VpcId"]],
}


def _matches(instance: Record, wanted: Mapping[str, list[str]]) -> bool:
    return all(
        any(fnmatchcase(value, pattern) for value in _values(instance, name) for pattern in wanted[name])
        for name in wanted
    )


def _values(instance: Record, name: str) -> Iterable[str]:
    if name.startswith("tag:"):
        value = tags_of(instance["InstanceId"]).get(name.removeprefix("tag:"))
        return [] if value is None else [value]
    return FILTERS[name](instance)
