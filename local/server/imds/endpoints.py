"""The instance metadata service: an HTTP endpoint for each instance, for real clients.

`PUT /_local/imds` with `account`, `region`, `instance_id` and `hops` attaches an endpoint and returns it: a port of 127.0.0.1 in place
of 169.254.169.254. It applies the instance's current metadata options and answers as AWS documents:

- 401 without a token if tokens are required, and for a token that is wrong, expired or from another instance;
- 400 for a token request without a lifetime of 1 to 21,600 seconds;
- 403 for a token request through a proxy or under a version's path, and for every request while the endpoint is disabled.

A client whose distance `hops` is at least the hop limit gets no answer to a PUT: its connection stays open until it gives up. An
instance that is not running closes the connection without an answer.

CloudWatch metrics: `MetadataNoToken` counts answered requests without a token, `MetadataNoTokenRejected` those that were refused
because tokens are required. While an instance with an endpoint is running, each minute also gets a zero in `MetadataNoToken` and a
value in `CPUUtilization`; a task checks every second whether a new minute has begun. `MetadataNoTokenRejected` has no zeros: without
refused requests there is no data point. Not in AWS: `PUT /_local/stamps` with `account`, `metric` and `seconds` moves the times of what
is counted in that metric from then on.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from local.server import gateway
from local.server import platform as ms
from local.server.cloudwatch import requests as cloudwatch
from local.server.ec2 import metadata as ec2_metadata
from local.server.ec2.records import complete
from local.server.imds import callers, credentials
from local.server.imds import contents as imds_contents

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Mapping

    from local.server.platform import Headers, Record, Response

Place: TypeAlias = tuple[str, str, str]

LONGEST_LIFE: Final = 21_600
LIFE: Final = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN: Final = "x-aws-ec2-metadata-token"  # noqa: S105 - the name of a header
VERSIONED: Final = re.compile(r"/(?:latest|1\.0|\d{4}-\d{2}-\d{2})(?P<path>/.*|$)")
IDLE_CPU: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, without its body."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Service:
    """The metadata service of one instance, shared by its endpoints for different numbers of hops."""

    account: str
    region: str
    instance_id: str
    tokens: dict[str, float] = field(default_factory=dict)
    minute: int = 0

    def running_instance(self) -> Record | None:
        """The instance if it is running, after publishing the metrics of the current minute; else None."""
        with ms.acting_in(self.account, self.region):
            instance = ms.EC2_INSTANCES.get(self.instance_id)
            if instance is None or instance["State"]["Name"] != "running":
                return None
            minute = int(time.time()) // 60
            if self.minute != minute:
                self.minute = minute
                self._publish("MetadataNoToken", 0.0)
                self._publish("CPUUtilization", IDLE_CPU)
            return complete(instance)

    def answer(self, request: Request, instance: Record) -> Response:
        """The service's answer, after counting the request in CloudWatch."""
        options = ec2_metadata.in_force(instance)
        if options["HttpEndpoint"] == "disabled":
            return _refusal(HTTPStatus.FORBIDDEN)
        if request.method == "PUT":
            return self._token(request)
        if request.method != "GET" or request.path == "/latest/api/token":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        with ms.acting_in(self.account, self.region):
            if not request.headers.get(TOKEN):
                return self._without_token(request, instance, options)
            if self.tokens.get(request.headers[TOKEN], 0.0) < time.time():
                return _refusal(HTTPStatus.UNAUTHORIZED)
            return _contents(request.path, instance, credentials.WITH_TOKEN)

    def _token(self, request: Request) -> Response:
        if "x-forwarded-for" in request.headers or request.path != "/latest/api/token":
            return _refusal(HTTPStatus.FORBIDDEN)
        life = request.headers.get(LIFE, "")
        if not (life.isdecimal() and 1 <= int(life) <= LONGEST_LIFE):
            return _refusal(HTTPStatus.BAD_REQUEST)
        token = secrets.token_urlsafe(40)
        self.tokens[token] = time.time() + int(life)
        return 200, {LIFE: life}, token.encode()

    def _without_token(self, request: Request, instance: Record, options: Mapping[str, str]) -> Response:
        if options["HttpTokens"] == "required":
            self._publish("MetadataNoTokenRejected", 1.0)
            return _refusal(HTTPStatus.UNAUTHORIZED)
        answer = _contents(request.path, instance, credentials.WITHOUT_TOKEN)
        if answer[0] == HTTPStatus.OK:
            self._publish("MetadataNoToken", 1.0)
        return answer

    def _publish(self, metric: str, value: float) -> None:
        dimensions = [{"Name": "InstanceId", "Value": self.instance_id}]
        datum = {"MetricName": metric, "Dimensions": dimensions, "Value": value}
        at = time.time() + _moved_by.get((self.account, metric), 0.0)
        cloudwatch.put_metric_data({"MetricData": [{**datum, "Timestamp": at}]})


# (account, metric) -> seconds.
_moved_by: dict[tuple[str, str], float] = {}
_services: dict[Place, Service] = {}
_endpoints: dict[tuple[Place, int], str] = {}
# The event loop keeps no hold of its tasks.
_tasks: list[asyncio.Task[object]] = []


def install() -> None:
    """Serve the paths that attach endpoints to instances and move the times of metrics."""
    gateway.route("imds", _attach)
    gateway.route("stamps", _move_stamps)
    credentials.install()


def _attach(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    place = (asked["account"], asked["region"], asked["instance_id"])
    with ms.acting_in(*place[:2]):
        if place[2] not in ms.EC2_INSTANCES:
            return gateway.json_response({"error": f"there is no instance {place[2]} in {place[0]}, {place[1]}"}, 404)
    if not _tasks:
        _tasks.append(asyncio.get_running_loop().create_task(_observe()))
    if place not in _services:
        _services[place] = Service(account=place[0], region=place[1], instance_id=place[2])
        _services[place].running_instance()
    if (place, asked["hops"]) not in _endpoints:
        _endpoints[place, asked["hops"]] = _listen(_services[place], asked["hops"])
    return gateway.json_response({"endpoint": _endpoints[place, asked["hops"]]})


def _move_stamps(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    _moved_by[asked["account"], asked["metric"]] = asked["seconds"]
    return gateway.json_response(asked)


async def _observe() -> None:
    while True:
        await asyncio.sleep(1)
        for service in _services.values():
            service.running_instance()


def _listen(service: Service, hops: int) -> str:
    """Open a port and return its URL. A client that connects before the event loop serves the port waits and is not refused."""
    listening = socket.create_server(("127.0.0.1", 0))

    async def converse(reader: StreamReader, writer: StreamWriter) -> None:
        # Clients go away in the middle: that is what a time-out is.
        with suppress(asyncio.IncompleteReadError, ConnectionError), closing(writer):
            await _converse(service, hops, reader, writer)

    _tasks.append(asyncio.get_running_loop().create_task(asyncio.start_server(converse, sock=listening)))
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


async def _converse(service: Service, hops: int, reader: StreamReader, writer: StreamWriter) -> None:
    request = _parse(await reader.readuntil(b"\r\n\r\n"))
    instance = service.running_instance()
    if instance is None:
        return
    if request.method == "PUT" and int(ec2_metadata.in_force(instance)["HttpPutResponseHopLimit"]) <= hops:
        # Its packets expire on the way; the connection stays until the client gives up.
        await reader.read()
        return
    if request.method == "GET" and not request.headers.get(TOKEN):
        ends = writer.get_extra_info("peername")[1], writer.get_extra_info("sockname")[1]
        callers.note((service.account, service.region, service.instance_id), ends, request.path)
    writer.write(_wire(service.answer(request, instance)))
    await writer.drain()


def _parse(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _version = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method=method, path=target.partition("?")[0], headers=headers)


def _wire(answer: Response) -> bytes:
    status, headers, body = answer
    fixed = {"Content-Type": "text/plain", "Content-Length": str(len(body)), "Connection": "close", "Server": "EC2ws"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (fixed | headers).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _contents(path: str, instance: Record, delivery: str) -> Response:
    versioned = VERSIONED.fullmatch(path)
    text = imds_contents.read(instance, versioned["path"], delivery) if versioned else None
    return _refusal(HTTPStatus.NOT_FOUND) if text is None else (200, {}, text.encode())


def _refusal(status: HTTPStatus) -> Response:
    headers: Headers = {}
    return status.value, headers, f"{status.value} - {status.phrase}\n".encode()
