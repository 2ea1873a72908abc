"""What instances write to their consoles: GetConsoleOutput. Instances here run no software, so their text is put there.

`PUT /_local/console` with `instance_id` and `text` replaces what the instance has written so far.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.server import gateway
from local.server import platform as ms
from local.server.ec2.records import found
from local.server.ec2.wire import answer, item, one, refuse_dry_run

if TYPE_CHECKING:
    from local.server.platform import Params, Response

_texts: dict[str, str] = {}


def install() -> None:
    """Add the action to ministack's."""
    ms.EC2_ACTIONS["GetConsoleOutput"] = get_console_output
    gateway.route("console", _write)


def get_console_output(params: Params) -> Response:
    """The text of one instance, in base64; without the element if it has written nothing."""
    refuse_dry_run(params)
    [instance] = found([one(params, "InstanceId") or ""])
    fields = [("instanceId", instance["InstanceId"]), ("timestamp", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z")]
    text = _texts.get(instance["InstanceId"])
    written = [("output", base64.b64encode(text.encode()).decode())] if text else []
    return answer("GetConsoleOutput", item([*fields, *written]))


def _write(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    _texts[asked["instance_id"]] = asked["text"]
    return gateway.json_response({"length": len(asked["text"])})
