"""CloudWatch's three protocols. One answer can hold 100,800 points, so points are encoded in bulk, each distinct one once."""

from __future__ import annotations

import json
import re
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.server.platform import Headers, Response

Json: TypeAlias = dict[str, Any]

# Installed beside ministack only.
cbor2: Any = import_module("cbor2")

NAMESPACE: Final = "http://monitoring.amazonaws.com/doc/2010-08-01/"
OPERATION_IN_PATH: Final = re.compile(r"/operation/(\w+)")
NUMBERS: Final = frozenset({"Value", "Sum", "SampleCount", "Minimum", "Maximum"})
WHOLE_NUMBERS: Final = frozenset({"Period", "MaxDatapoints", "StorageResolution"})
MOMENTS: Final = frozenset({"Timestamp", "StartTime", "EndTime"})


class Timestamp(int):
    """A moment, in epoch seconds."""


class Timestamps(list[int]):
    """Many moments."""


class Values(list[float]):
    """Many numbers."""


@dataclass(eq=False)
class MetricError(Exception):
    """A refusal of CloudWatch's."""

    code: str
    message: str
    status: int = 400


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asked, whatever protocol it spoke: `cbor`, `json` or `query`."""

    protocol: str
    action: str
    data: Json


def parse(path: str, headers: Headers, body: bytes) -> Request:
    """Read a request; moments become epoch seconds."""
    if "cbor" in headers.get("content-type", "") + headers.get("smithy-protocol", ""):
        operation = OPERATION_IN_PATH.search(path)
        data = cbor2.loads(body) if body else {}
        return Request(protocol="cbor", action=operation[1] if operation else "", data=_with_moments(data))
    if target := headers.get("x-amz-target", ""):
        return Request(protocol="json", action=target.rpartition(".")[2], data=_with_moments(json.loads(body or b"{}")))
    data = _nested(parse_qsl(body.decode(), keep_blank_values=True))
    return Request(protocol="query", action=data.pop("Action", ""), data=_with_moments(data))


def answer(request: Request, result: Json) -> Response:
    """Write a result in the protocol of the request."""
    if request.protocol == "cbor":
        return 200, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, _cbor(result)
    if request.protocol == "json":
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(result).encode()
    inner = f"<{request.action}Result>{_xml(result)}</{request.action}Result>" if result else ""
    metadata = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    body = f'<{request.action}Response xmlns="{NAMESPACE}">{inner}{metadata}</{request.action}Response>'
    return 200, {"Content-Type": "text/xml"}, body.encode()


def refusal(request: Request, error: MetricError) -> Response:
    """Write an error in the protocol of the request."""
    # Clients of the newer protocols learn the code of the query protocol from this header.
    headers = {"x-amzn-query-error": f"{error.code};Sender"}
    fault = {"__type": f"com.amazonaws.cloudwatch#{error.code}", "message": error.message}
    if request.protocol == "cbor":
        headers |= {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return error.status, headers, cbor2.dumps(fault)
    if request.protocol == "json":
        return error.status, headers | {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(fault).encode()
    fields = f"<Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    body = f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{fields}</Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>'
    return error.status, {"Content-Type": "text/xml"}, body.encode()


def _with_moments(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _epoch(value) if key in MOMENTS else _with_moments(value) for key, value in data.items()}
    return [_with_moments(each) for each in data] if isinstance(data, list) else data


def _epoch(value: float | str | datetime) -> float:
    if isinstance(value, int | float):
        return value
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _nested(pairs: Iterable[tuple[str, str]]) -> Json:
    """`A.member.1.B=x` as `{"A": [{"B": "x"}]}`, numbers and truth values read."""
    root: Json = {}
    for name, text in pairs:
        node = root
        *way, leaf = name.replace(".member", "").split(".")
        for step in way:
            node = node.setdefault(step, {})
        node[leaf] = text if "Dimensions" in way else _scalar(way[-1] if leaf.isdigit() else leaf, text)
    nested: Json = _lists(root)
    return nested


def _scalar(name: str, text: str) -> Any:
    if name in NUMBERS or name in {"Values", "Counts"}:
        return float(text)
    if name in WHOLE_NUMBERS:
        return int(text)
    return text == "true" if name == "ReturnData" else text


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _lists(value) for key, value in node.items()}


def _cbor(node: Any) -> bytes:
    if isinstance(node, Timestamps):
        encoded_times = {at: b"\xc1\x1a" + struct.pack(">I", at) for at in set(node)}
        return _cbor_head(0x80, len(node)) + b"".join(map(encoded_times.__getitem__, node))
    if isinstance(node, Values):
        encoded_values = {value: b"\xfb" + struct.pack(">d", value) for value in set(node)}
        return _cbor_head(0x80, len(node)) + b"".join(map(encoded_values.__getitem__, node))
    if isinstance(node, Timestamp):
        return b"\xc1\x1a" + struct.pack(">I", node)
    if isinstance(node, dict):
        return _cbor_head(0xA0, len(node)) + b"".join(
            chain.from_iterable((_cbor(key), _cbor(value)) for key, value in node.items())
        )
    if isinstance(node, list):
        return _cbor_head(0x80, len(node)) + b"".join(_cbor(each) for each in node)
    encoded: bytes = cbor2.dumps(node)
    return encoded


def _cbor_head(kind: int, length: int) -> bytes:
    return struct.pack(">BI", kind | 26, length)


def _xml(node: Any) -> str:
    if isinstance(node, Timestamps):
        written = {at: f"<member>{_iso(at)}</member>" for at in set(node)}
        return "".join(map(written.__getitem__, node))
    if isinstance(node, Timestamp):
        return _iso(node)
    if isinstance(node, dict):
        return "".join(f"<{key}>{_xml(value)}</{key}>" for key, value in node.items())
    if isinstance(node, list):
        return "".join(f"<member>{_xml(each)}</member>" for each in node)
    return escape(str(node))


def _iso(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
