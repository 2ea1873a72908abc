"""An HTTP proxy in front of the local AWS: passes requests on, and mistreats those that its faults name.

    with Proxy(upstream_port) as proxy:
        proxy.faults([Fault(operation="ec2:CreateTags", kind=Kind.RESET_AFTER)])

It speaks HTTP/1.1 with kept connections, a thread each. ``watch`` is called before and after each request that is passed on.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from tests.proof.wire.faults import Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from email.message import Message
    from types import TracebackType

PIECES: Final = 10
TRICKLE_SECONDS: Final = 3.0
NEVER_SECONDS: Final = 120.0
"""Longer than any client here waits."""
PAGE: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1><hr>gateway</body></html>"
)
_ABORTED: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing sends RST in place of FIN."""
_IN_PATH: Final = re.compile(r"/operation/(\w+)$")
_HOP: Final = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to AWS: what it asks, as ``service:Operation``, the access key that signed it, and its fields if it is a query."""

    operation: str
    region: str
    access_key: str
    fields: Mapping[str, str]

    @classmethod
    def read(cls, path: str, headers: Message, body: bytes) -> Request:
        """What AWS reads from a request."""
        _, _, signed = headers.get("Authorization", "").partition("Credential=")
        key, _, region, service = ([*signed.partition(",")[0].split("/"), "", "", "", ""])[:4]
        is_query = "x-www-form-urlencoded" in str(headers.get("Content-Type", ""))
        fields = {name: values[0] for name, values in parse_qs(body.decode()).items()} if is_query else {}
        by_path = _IN_PATH.search(path)
        target = headers.get("X-Amz-Target", "").rpartition(".")[2]
        name = target or fields.get("Action") or (by_path[1] if by_path else path)
        named = {"monitoring": "cloudwatch"}.get(service, service)
        return cls(operation=f"{named}:{name}", region=region, access_key=key, fields=fields)


class Proxy:
    """The proxy, on a port of its own.

    Args:
        upstream: the local AWS's port on 127.0.0.1.
        port: what to listen on; 0 for any.
    """

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.upstream = upstream
        self.before: Callable[[Request], object] = lambda _: None
        self.after: Callable[[Request, Any, int, bytes], None] = lambda *_: None
        """What a request was, what ``before`` returned, AWS's status and body."""
        self._lock = threading.Lock()
        self._faults: Sequence[Fault] = ()
        self._counted: Counter[str] = Counter()
        self.met: list[Fault] = []
        """The faults that calls have met since they were set."""
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.proxy = self

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL has to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def faults(self, faults: Sequence[Fault] = ()) -> None:
        """Replace the faults, and count calls anew."""
        with self._lock:
            self._faults, self.met = faults, []
            self._counted.clear()

    def fault_of(self, operation: str) -> Kind | None:
        """What the next call of an operation meets."""
        with self._lock:
            self._counted[operation] += 1
            number = self._counted[operation]
            for each in self._faults:
                if each.operation == operation and each.meets(number):
                    self.met.append(each)
                    return each.kind
        return None

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond the proxy's own end."""
        self._ended.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    hangs_up = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hangs_up:
            self.close_connection = True
            return
        request = Request.read(self.path, self.headers, body)
        kind = self.server.proxy.fault_of(request.operation)
        if kind is Kind.RESET_BEFORE:
            self._reset()
        elif kind is Kind.GATEWAY_BEFORE:
            self._answer(502, {"Content-Type": "text/html"}, PAGE)
        else:
            self._meet(kind, *self._passed_on(request, body))

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: the tests say what was wrong."""

    def _passed_on(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        proxy = self.server.proxy
        seen = proxy.before(request)
        upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream, timeout=NEVER_SECONDS)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            content = answer.read()
        finally:
            upstream.close()
        proxy.after(request, seen, answer.status, content)
        return answer.status, headers, content

    def _meet(self, kind: Kind | None, status: int, headers: dict[str, str], content: bytes) -> None:
        half = len(content) // 2
        match kind:
            case Kind.RESET_AFTER:
                self._reset()
            case Kind.CUT:
                self._answer(status, headers, content, [content[:half]])
                self.close_connection = True
            case Kind.NEVER:
                self._silent()
            case Kind.STALLED:
                self._answer(status, headers, content, [content[:half]])
                self._silent()
            case Kind.TRICKLE:
                size = len(content) // PIECES + 1
                pieces = [content[start : start + size] for start in range(0, len(content), size)]
                self._answer(status, headers, content, pieces, TRICKLE_SECONDS / PIECES)
            case Kind.GATEWAY_AFTER:
                self._answer(502, {"Content-Type": "text/html"}, PAGE)
            case Kind.ENCODING:
                self._answer(status, {**headers, "Content-Encoding": "gzip"}, content)
            case _:
                self.hangs_up = kind is Kind.HUNG_UP
                self._answer(status, headers, content)

    def _answer(
        self,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        pieces: Sequence[bytes] | None = None,
        between: float = 0.0,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for piece in [content] if pieces is None else pieces:
            if between:
                time.sleep(between)
            self.wfile.write(piece)
            self.wfile.flush()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTED)
        self._close()

    def _silent(self) -> None:
        """Say nothing until the client has gone."""
        self.connection.settimeout(NEVER_SECONDS)
        with suppress(OSError):
            self.connection.recv(1)
        self._close()

    def _close(self) -> None:
        self.close_connection = True
        self.connection.close()
