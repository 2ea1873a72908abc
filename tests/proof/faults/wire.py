"""AWS below botocore: requests end here in place of the network, so botocore's own retries, parsers and errors really run.

What is exercised: parameter validation, serialisation (except that the request is read from its validated parameters, not
from its bytes), signing, the retry handler with its back-off, the parsers of all protocols, and the exceptions of the
clients. What is not: TLS, DNS, connection pools, proxies, and chunked or truncated HTTP itself. Answers are written in
AWS's protocols by moto's serialisers, which need nothing else of moto.
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.loaders import create_loader
from moto.core.model import ServiceModel
from moto.core.serialize import get_serializer_class

if TYPE_CHECKING:
    from collections.abc import Callable

    import botocore.session
    from botocore.exceptions import ClientError
    from botocore.model import OperationModel

Answer = dict[str, Any]

_ID = "X-Proof-Call"
_LOADER = create_loader()
"""One for all sessions: EC2's model alone takes a second to load."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of a client's method, and how often it was sent."""

    service: str
    operation: str
    params: dict[str, Any]
    model: OperationModel | None = None
    """How botocore describes it; None for what does not come through botocore."""
    url: str = ""
    access_key: str = ""
    region: str = ""
    attempt: int = 0
    number: int | None = None
    """The how manieth of its operation it is, from 0; None while calls are not counted."""

    @property
    def name(self) -> str:
        """The operation as IAM writes actions: ``service:Operation``."""
        return f"{self.service}:{self.operation}"

    @property
    def protocol(self) -> str:
        """The protocol of its service, in botocore's words."""
        assert self.model is not None
        return str(self.model.service_model.resolved_protocol)


class Network:
    """What stands in place of the network for all sessions made here; ``receive`` answers or raises what botocore's HTTP
    session would raise."""

    def __init__(self, receive: Callable[[Call], AWSResponse]) -> None:
        self.receive = receive
        self._calls: dict[str, Call] = {}

    def join(self, session: botocore.session.Session) -> botocore.session.Session:
        """Let the clients of a session send their requests here."""
        session.register_component("data_loader", _LOADER)
        handlers: dict[str, Any] = {
            "before-parameter-build": self._keep,
            "before-call": self._note,
            "request-created": self._mark,
            "before-send": self._send,
        }
        for event, handler in handlers.items():
            session.register(event, handler)
        return session

    @staticmethod
    def _keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    @staticmethod
    def _note(model: OperationModel, context: dict[str, Any], **_: Any) -> None:
        context["call"] = Call(
            service=model.service_model.service_name, operation=model.name, params=context["asked"], model=model
        )

    def _mark(self, request: Any, **_: Any) -> None:
        call = request.context["call"]
        self._calls = {str(id(call)): call}
        request.headers[_ID] = str(id(call))

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        call = self._calls[request.headers[_ID].decode()]
        signed = request.headers["Authorization"].decode().partition("Credential=")[2].split("/")
        call.access_key, call.region, call.url = signed[0], signed[2], request.url
        call.attempt += 1
        return self.receive(call)


def answered(call: Call, answer: Answer) -> AWSResponse:
    """An answer in the protocol of the call's service."""
    if call.name == "s3:GetObject":
        return response(call, 200, answer["Body"].read())
    return response(call, *_written(call.service, call.operation, call.protocol, pickle.dumps(answer)))


@lru_cache(maxsize=10_000)
def _written(service: str, operation: str, protocol: str, pickled: bytes) -> tuple[int, bytes]:
    """Status and body of an answer. Kept, because rows of one path get the same answers up to the fault."""
    serializer = get_serializer_class(service, protocol)
    written = serializer(_operation(service, operation)).serialize(pickle.loads(pickled))  # noqa: S301 - our own
    body = written["body"]
    return written["status_code"], body if isinstance(body, bytes) else str(body).encode()


@cache
def _operation(service: str, operation: str) -> Any:
    """An operation in moto's own classes, which its serialisers ask for."""
    description = _LOADER.load_service_model(service, "service-2")
    return ServiceModel(description, service).operation_model(operation)


def refused(call: Call, error: ClientError) -> AWSResponse:
    """An error in the protocol of the call's service."""
    said = error.response["Error"]
    code, message = said["Code"], said.get("Message", "no")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    more = {name: value for name, value in error.response.items() if name not in {"Error", "ResponseMetadata"}}
    headers = {}
    match call.protocol:
        case "ec2":
            body = f"<Response><Errors><Error>{_xml(code, message)}</Error></Errors><RequestID>r</RequestID></Response>"
        case "query":
            body = f"<ErrorResponse><Error><Type>Sender</Type>{_xml(code, message)}</Error><RequestId>r</RequestId></ErrorResponse>"
        case "rest-xml":
            body = f"<Error>{_xml(code, message)}</Error>"
        case _:
            headers["x-amzn-errortype"] = code
            body = json.dumps({"__type": code, "message": message, "Message": message, **more})
    return response(call, status, body.encode(), headers)


def _xml(code: str, message: str) -> str:
    text = message.replace("&", "&amp;").replace("<", "&lt;")
    return f"<Code>{code}</Code><Message>{text}</Message>"


def response(call: Call, status: int, body: bytes, headers: dict[str, str] | None = None) -> AWSResponse:
    """What botocore's HTTP session returns."""
    named = HTTPHeaders()
    for name, value in (headers or {}).items():
        named[name] = value
    return AWSResponse(call.url, status, named, _Raw(body))


class _Raw(io.BytesIO):
    """The part of urllib3's response that botocore reads."""

    def stream(self, amount: int = 1024, **_: Any) -> Any:
        """The body in chunks."""
        while chunk := self.read(amount):
            yield chunk
