"""In front of every AWS call: counts calls, injects faults, and serves the control interface `/_local/`.

- `GET /_local/calls`: `[{"account", "region", "service", "action", "calls"}]` since the last reset; `DELETE` resets;
- `PUT /_local/faults`: a list of faults, which replaces the previous list. Each selects calls (`account`, `region`, `service`,
  `action`, and `request`, an expression that the body contains; absent: all) and has `latency_ms`, or `error` (a code), `message`,
  `status` and `share` (0..1, default 1), or `rewrite` (an expression, and what takes the place of what it finds in the answer's body), or
  several of these. It begins when the action `since` has been called in the account. `only_after` lets that many matching calls pass
  first; `times` ends the fault after that many. Expressions are Python's regular ones on bytes as Latin-1; in them, `{instance NAME}`
  stands for the ids of the instances with that name in the call's account and Region.

Other modules add their paths by `route`.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms
from local.server.cloudwatch import wire as cloudwatch_wire
from local.server.ec2 import wire as ec2_wire
from local.server.ec2.records import tags_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from local.server.platform import Headers, Params, Response

Call: TypeAlias = tuple[str, str, str, str]
Route: TypeAlias = "Callable[[str, bytes], Response]"

PREFIX: Final = "/_local/"
NAMED_INSTANCES: Final = re.compile(r"\{instance ([^}]+)\}")

# As it is before IAM's view of it is corrected: here a call has the name of its API.
_action_of: Callable[..., str | None] = ms.iam_actions.extract_iam_action

_calls: Counter[Call] = Counter()
_routes: dict[str, Route] = {}
_random = random.Random(2)  # noqa: S311 - a share of throttled calls, the same in every run


@dataclass(kw_only=True)
class Fault:
    """A requested fault, and how many calls it has matched."""

    account: str | None = None
    region: str | None = None
    service: str | None = None
    action: str | None = None
    request: str | None = None
    since: str | None = None
    latency_ms: float = 0.0
    error: str | None = None
    message: str = "Asked for by the test."
    status: int = 400
    rewrite: Sequence[str] | None = None
    share: float = 1.0
    only_after: int = 0
    times: int | None = None
    met: int = field(default=0, init=False)
    begun: bool = field(default=False, init=False)

    def meets(self, call: Call, body: str) -> bool:
        """Whether the fault applies to this call; counts the call if it matches."""
        account, _, _, action = call
        if self.since is not None and not self.begun:
            self.begun = action == self.since and self.account in {None, account}
            return False
        wanted = (self.account, self.region, self.service, self.action)
        if any(want not in {None, is_} for want, is_ in zip(wanted, call, strict=True)):
            return False
        if self.request is not None and not _expression(self.request).search(body):
            return False
        self.met += 1
        first = self.only_after
        return self.met > first and (self.times is None or self.met <= first + self.times)


_faults: list[Fault] = []


def install() -> None:
    """Handle requests before ministack dispatches them."""
    dispatch: Callable[..., Awaitable[Response]] = ms.app._dispatch_service_request

    async def watched(
        method: str, path: str, headers: Headers, body: bytes, query: Params, request_id: str
    ) -> Response:
        if path.startswith(PREFIX):
            return _local(method, path.removeprefix(PREFIX), body)
        service = str(ms.router.detect_service(method, path, headers, query))
        action = _action_of(service, method, path, headers, body, query) or _smithy(path)
        namespace, _, name = str(action or f"{service}:{method} {path}").partition(":")
        call = (ms.account_id(), ms.region(), namespace, name)
        _calls[call] += 1
        text = body.decode("latin-1") if _faults else ""
        met = [fault for fault in _faults if fault.meets(call, text)]
        refusal = await _suffer(call, headers, met)
        return refusal or _rewritten(await dispatch(method, path, headers, body, query, request_id), met)

    ms.app._dispatch_service_request = watched
    _routes["calls"] = _calls_route
    _routes["faults"] = _faults_route


def route(name: str, handler: Route) -> None:
    """Serve `/_local/<name>`: the handler receives the method and the body."""
    _routes[name] = handler


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(data).encode()


def _local(method: str, name: str, body: bytes) -> Response:
    handler = _routes.get(name)
    return handler(method, body) if handler else json_response({"error": f"no /_local/{name}"}, 404)


def _smithy(path: str) -> str | None:
    operation = cloudwatch_wire.OPERATION_IN_PATH.search(path)
    return f"cloudwatch:{operation[1]}" if operation else None


def _expression(text: str) -> re.Pattern[str]:
    return re.compile(NAMED_INSTANCES.sub(lambda name: _ids_of(name[1]), text), re.DOTALL)


def _ids_of(name: str) -> str:
    """An expression for the ids of the instances with a name; one that finds nothing if there is none."""
    return f"(?:{'|'.join(each for each in ms.EC2_INSTANCES if tags_of(each).get('Name') == name) or '(?!)'})"


async def _suffer(call: Call, headers: Headers, met: Iterable[Fault]) -> Response | None:
    if latency := sum(fault.latency_ms for fault in met):
        await asyncio.sleep(latency / 1000)
    for fault in met:
        if fault.error and _random.random() < fault.share:
            return _error(call[2], fault, headers)
    return None


def _rewritten(answer: Response, met: Iterable[Fault]) -> Response:
    status, headers, body = answer
    for fault in met:
        if fault.rewrite:
            expression, replacement = fault.rewrite
            body = _expression(expression).sub(replacement, body.decode("latin-1")).encode("latin-1")
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    return status, headers, body


def _error(service: str, fault: Fault, headers: Headers) -> Response:
    code, message = str(fault.error), fault.message
    if service == "ec2":
        return ec2_wire.Ec2Error(code, message, fault.status).response()
    if "cbor" in headers.get("smithy-protocol", ""):
        request = cloudwatch_wire.Request(protocol="cbor", action="", data={})
        return cloudwatch_wire.refusal(request, cloudwatch_wire.MetricError(code, message, fault.status))
    if service in {"sts", "sns"} or "x-www-form-urlencoded" in headers.get("content-type", ""):
        request = cloudwatch_wire.Request(protocol="query", action="", data={})
        return cloudwatch_wire.refusal(request, cloudwatch_wire.MetricError(code, message, fault.status))
    return json_response(
        {"__type": code, "message": message, "Message": message}, fault.status, {"x-amzn-errortype": code}
    )


def _calls_route(method: str, _body: bytes) -> Response:
    names = ("account", "region", "service", "action", "calls")
    answer = json_response([dict(zip(names, (*call, count), strict=True)) for call, count in sorted(_calls.items())])
    if method == "DELETE":
        _calls.clear()
    return answer


def _faults_route(method: str, body: bytes) -> Response:
    if method == "PUT":
        known = {each.name for each in fields(Fault) if each.init}
        asked = json.loads(body)
        unknown = {name for fault in asked for name in fault} - known
        if unknown:
            return json_response(
                {"error": f"a fault has no field {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"}, 400
            )
        _faults[:] = [Fault(**fault) for fault in asked]
    return json_response({"faults": len(_faults)})
