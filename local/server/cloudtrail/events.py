"""How a call becomes an event, in the form that AWS documents and that recordings in public have: who called, with what, and what came of it.

Parameters of EC2 have CloudTrail's names (`instancesSet.items[].imageId`); a launch that says nothing of the metadata options has none in
its request, and those that were put in force in its answer.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms
from local.server.ec2 import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.server.platform import Params, Record

Json: TypeAlias = dict[str, Any]

IDS: Final = re.compile(r"<instanceId>(i-[0-9a-f]+)</instanceId>")
CODE: Final = re.compile(r"<Code>([^<]*)</Code>")
MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")
MOST_SHOWN: Final = 100
"""Instances in the answer of a launch: CloudTrail cuts long events."""
OPTIONS: Final = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "HttpProtocolIpv6", "InstanceMetadataTags")


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of the history. ``record``: as it was written, in JSON; ``resources``: kind and name of each thing that it concerns."""

    id: str
    at: float
    name: str
    source: str
    username: str
    key: str
    record: str
    resources: tuple[tuple[str, str], ...] = ()

    @property
    def read_only(self) -> str:
        """As LookupEvents has it."""
        return str(_reads(self.name)).lower()

    def shown(self) -> Json:
        """The entry of the answer."""
        return {
            "EventId": self.id,
            "EventName": self.name,
            "ReadOnly": self.read_only,
            "AccessKeyId": self.key,
            "EventTime": self.at,
            "EventSource": self.source,
            "Username": self.username,
            "Resources": [{"ResourceType": kind, "ResourceName": name} for kind, name in self.resources],
            "CloudTrailEvent": self.record,
        }


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls. ``agent``, ``address``: as the request names them, or the name of the service."""

    username: str
    identity: Json
    key: str = ""
    agent: str = ""
    address: str = "127.0.0.1"


def caller_of(key: str, agent: str) -> Caller:
    """Who signs with an access key in the current account: a session of a role, else the account itself."""
    account = ms.account_id()
    session = ms.sts._sessions.get(key)  # noqa: SLF001 - ministack offers no other way in
    if session is None or ":assumed-role/" not in session.get("Arn", ""):
        root = {"type": "Root", "principalId": account, "arn": f"arn:aws:iam::{account}:root", "accountId": account}
        return Caller(username="root", identity={**root, "accessKeyId": key}, key=key, agent=agent)
    arn = str(session["Arn"])
    _, role, name = arn.split("/", 2)
    delivered = (session.get("Delivery") or {}).get("ec2:roledelivery")
    issuer = {
        "type": "Role",
        "principalId": f"AROA{role.upper()}",
        "arn": f"arn:aws:iam::{account}:role/{role}",
        "accountId": account,
        "userName": role,
    }
    issued = session.get("IssuedAt", time.time())
    context: Json = {
        "sessionIssuer": issuer,
        "attributes": {"creationDate": _text(issued), "mfaAuthenticated": "false"},
        **({"ec2RoleDelivery": delivered} if delivered else {}),
    }
    identity = {
        "type": "AssumedRole",
        "principalId": f"{issuer['principalId']}:{name}",
        "arn": arn,
        "accountId": account,
        "accessKeyId": key,
        "sessionContext": context,
    }
    return Caller(username=name, identity=identity, key=key, agent=agent)


def service(name: str, role: str, session: str) -> Caller:
    """An AWS service that acts as its service-linked role."""
    account = ms.account_id()
    identity = {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        "accountId": account,
        "invokedBy": name,
    }
    return Caller(username=session, identity=identity, agent=name, address=name)


def of_ec2(caller: Caller, action: str, params: Params, status: int, body: bytes) -> Event:
    """A call of EC2 that concerns instances."""
    text = body.decode()
    ids = IDS.findall(text) if status == 200 and action == "RunInstances" else wire.many(params, "InstanceId")
    launched = [ms.EC2_INSTANCES[each] for each in ids if each in ms.EC2_INSTANCES and action == "RunInstances"]
    outcome: Json = {"responseElements": None}
    if status != 200:
        code, message = CODE.search(text), MESSAGE.search(text)
        outcome |= {
            "errorCode": f"Client.{code[1] if code else 'InternalError'}",
            "errorMessage": message[1] if message else "",
        }
    else:
        outcome = {"responseElements": _launched(launched) if launched else {"_return": True}}
    first = min((_launched_at(each) for each in launched), default=time.time())
    return event(
        caller,
        "ec2",
        action,
        at=min(first, time.time()),
        request=REQUESTS.get(action, _instances)(params),
        resources=tuple(("AWS::EC2::Instance", each) for each in ids),
        **outcome,
    )


def event(
    caller: Caller,
    service_name: str,
    action: str,
    *,
    at: float | None = None,
    request: Json | None = None,
    resources: tuple[tuple[str, str], ...] = (),
    **outcome: Any,
) -> Event:
    """A call of any service, with as much of it as is known."""
    when = time.time() if at is None else at
    source, event_id = f"{service_name}.amazonaws.com", str(uuid.uuid4())
    record: Json = {
        "eventVersion": "1.11",
        "userIdentity": caller.identity,
        "eventTime": _text(when),
        "eventSource": source,
        "eventName": action,
        "awsRegion": ms.region(),
        "sourceIPAddress": caller.address,
        "userAgent": caller.agent,
        "requestParameters": request,
        "responseElements": None,
        **outcome,
        "requestID": str(uuid.uuid4()),
        "eventID": event_id,
        "readOnly": _reads(action),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ms.account_id(),
        "eventCategory": "Management",
    }
    return Event(
        id=event_id,
        at=when,
        name=action,
        source=source,
        username=caller.username,
        key=caller.key,
        record=json.dumps(record),
        resources=resources,
    )


def _reads(action: str) -> bool:
    return action.startswith(("Describe", "Get", "List", "Lookup"))


def _instances(params: Params) -> Json:
    return {"instancesSet": {"items": [{"instanceId": each} for each in wire.many(params, "InstanceId")]}}


def _launch(params: Params) -> Json:
    """Only what was sent: what a launch template or a default says is not in it."""
    numbers = {"minCount": int(_one(params, "MinCount", "1")), "maxCount": int(_one(params, "MaxCount", "1"))}
    image = wire.one(params, "ImageId")
    request: Json = {
        "instancesSet": {"items": [{**({"imageId": image} if image else {}), **numbers}]},
        "monitoring": {"enabled": False},
        "disableApiTermination": False,
    }
    if kind := wire.one(params, "InstanceType"):
        request["instanceType"] = kind
    for name, prefix, fields in (
        ("metadataOptions", "MetadataOptions.", OPTIONS),
        ("launchTemplate", "LaunchTemplate.", ("LaunchTemplateId", "LaunchTemplateName", "Version")),
    ):
        sent = {each: value for each in fields if (value := wire.one(params, prefix + each)) is not None}
        if sent:
            request[name] = _camel(sent)
    return request


def _launched(instances: list[Record]) -> Json:
    items = [
        {
            "instanceId": each["InstanceId"],
            "imageId": each["ImageId"],
            "instanceState": {"code": 0, "name": "pending"},
            "instanceType": each["InstanceType"],
            "launchTime": int(_launched_at(each) * 1000),
            "metadataOptions": _camel({"State": "pending", **each["MetadataOptions"]}),
        }
        for each in instances[:MOST_SHOWN]
    ]
    return {"ownerId": ms.account_id(), "groupSet": {}, "instancesSet": {"items": items}}


def _launched_at(instance: Record) -> float:
    """The first launch: a tag may have put it into the past."""
    return datetime.fromisoformat(instance.get("FirstLaunchTime") or instance["LaunchTime"]).timestamp()


def _camel(options: Mapping[str, Any]) -> Json:
    """With CloudTrail's names and types."""
    return {
        name[:1].lower() + name[1:]: int(value) if name == "HttpPutResponseHopLimit" else value
        for name, value in options.items()
    }


def _one(params: Params, name: str, otherwise: str) -> str:
    return wire.one(params, name) or otherwise


def _text(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%SZ}"


REQUESTS: Final[dict[str, Callable[[Params], Json]]] = {"RunInstances": _launch}
