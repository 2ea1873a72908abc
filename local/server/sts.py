"""Sessions of roles that end: sooner than they would, or at once. `/_local/sessions` steers it.

- `PUT`: `{"seconds": 605}`; sessions that are opened from now on, for no time of their own, end after so many; null: after an hour;
- `DELETE`: all that are open end.

Keys that have ended are refused as AWS refuses them, each service by its own code. ministack would soon not know them any more.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from local.server import gateway
from local.server import platform as ms

if TYPE_CHECKING:
    from local.server.platform import Params, Response

_life: dict[str, int | None] = {"seconds": None}


def install() -> None:
    """Have sessions end as they are told to, and be remembered."""
    read = ms.sts._p

    def parameter(params: Params, name: str, *default: Any) -> Any:
        value = read(params, name, *default)
        return (value or _life["seconds"]) if name == "DurationSeconds" else value

    ms.sts._p = parameter
    ms.sts._evict_expired_sessions = lambda: None
    gateway.route("sessions", _route)


def _route(method: str, body: bytes) -> Response:
    if method == "PUT":
        _life["seconds"] = json.loads(body)["seconds"]
    if method == "DELETE":
        # Those of functions for their own roles have no end.
        for session in (each for each in ms.sts._sessions.values() if "Expiration" in each):
            session["Expiration"] = min(session["Expiration"], time.time())
    return gateway.json_response({"sessions": len(ms.sts._sessions), **_life})
