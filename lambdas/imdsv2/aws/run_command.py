"""Has Systems Manager run the installation's own document on an instance, and asks what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from imdsv2.aws.errors import error_code

if TYPE_CHECKING:
    from collections.abc import Mapping

_DELIVERY_SECONDS = 60
"""How long Systems Manager tries to reach the agent."""
_RUNS = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
_NOT_KNOWN = frozenset({"InvocationDoesNotExist", "InvalidPluginName", "InvalidCommandId"})
"""For a moment after a command was sent, neither its invocation nor the steps of it are known."""
OUTPUT_SHOWN = 24_000
"""So many characters of the output GetCommandInvocation answers (its API reference)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a step of a command on an instance. ``runs``: it is not over; ``known``: Systems Manager knows it; ``status``: as
    Systems Manager calls it, in detail."""

    runs: bool
    known: bool = True
    done: bool = False
    status: str = "Pending"
    output: str = ""
    errors: str = ""
    document: str = ""


def start(ssm: Any, document: str, instance_id: str, parameters: Mapping[str, str], comment: str) -> str:
    """Send the command, and return its id. Raises ClientError or BotoCoreError. It is sent once: Systems Manager takes no token by which
    it would know a repetition."""
    sent = ssm.send_command(
        DocumentName=document,
        InstanceIds=[instance_id],
        Parameters={name: [value] for name, value in parameters.items()},
        TimeoutSeconds=_DELIVERY_SECONDS,
        Comment=comment[:100],
    )
    command_id = sent.get("Command", {}).get("CommandId")
    if not command_id:
        raise ResponseParserError("The answer to SendCommand names no command.")
    return str(command_id)


def ask(ssm: Any, command_id: str, instance_id: str, step: str) -> Ran:
    """How far a step of the document is: of a document with several steps, Systems Manager answers for none that is not named. Raises
    ClientError or BotoCoreError."""
    try:
        seen = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id, PluginName=step)
    except ClientError as error:
        if error_code(error) in _NOT_KNOWN:
            return Ran(runs=True, known=False)
        raise
    status = str(seen.get("Status", "Pending"))
    return Ran(
        runs=status in _RUNS,
        done=status == "Success",
        status=str(seen.get("StatusDetails") or status),
        output=str(seen.get("StandardOutputContent", "")),
        errors=str(seen.get("StandardErrorContent", "")),
        document=str(seen.get("DocumentName", "")),
    )
