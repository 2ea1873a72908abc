"""Run Command in the fault matrix: each command takes some seconds, and a person asked for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.world.refusal import refusal

if TYPE_CHECKING:
    from tests.proof.faults.aws import Aws
    from tests.proof.faults.wire import Call

TAKES = timedelta(seconds=12)
SEEN = (
    "      7 [WARNING] imdsv1(!) (pid:0:collector argv:/opt/collector) called by -> (pid:0:systemd argv:/sbin/init)\n"
)


class Commands:
    """What was sent to instances. A command that runs twice for one call, or of which the ledger does not know, is a complaint."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._sent: dict[str, tuple[str, str, datetime]] = {}
        self._calls: set[int] = set()

    def do(self, call: Call, account: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Send a command, or say how far it is."""
        if call.operation == "SendCommand":
            return {"Command": {"CommandId": self._send(call, account, asked), "Status": "Pending"}}
        instance_id = asked["InstanceId"]
        _, place, begun = self._sent.get(asked["CommandId"], ("", "", self._aws.clock()))
        if place != f"{account}/{instance_id}":
            raise refusal("InvocationDoesNotExist", "no such command", call.operation, status=400)
        is_over = self._aws.clock() - begun >= TAKES
        return {
            "CommandId": asked["CommandId"],
            "InstanceId": instance_id,
            "DocumentName": self._sent[asked["CommandId"]][0],
            "Status": "Success" if is_over else "InProgress",
            "StandardOutputContent": SEEN if is_over else "",
        }

    def _send(self, call: Call, account: str, asked: dict[str, Any]) -> str:
        [instance_id] = asked["InstanceIds"]
        if call.number is not None and call.number in self._calls:
            self._aws.complaints.append(f"a command runs twice on {instance_id[-2:]}")
        if call.number is not None:
            self._calls.add(call.number)
        begun = [
            pk
            for (pk, _), item in self._aws.table.items.items()
            if pk.endswith(f":{account}:instance/{instance_id}") and item.get("kind") == {"S": "capture_begun"}
        ]
        if not begun:
            self._aws.complaints.append(f"a command runs on {instance_id[-2:]} that the ledger does not know")
        command_id = f"{len(self._sent):08x}-0000-0000-0000-000000000000"
        self._sent[command_id] = asked["DocumentName"], f"{account}/{instance_id}", self._aws.clock()
        return command_id
