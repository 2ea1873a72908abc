"""Run Command and inventory of Systems Manager, which ministack lacks: documents run as real processes of this machine.

An instance is managed if it was launched with the tag `local:ssm`, whose value is its platform (`Linux`, `Windows`); its inventory has its
agent only. A command runs the steps of its document one after the other in a folder of its own: `aws:downloadContent` takes an object of
an S3 bucket of the instance's account, `aws:runShellScript` runs in a shell. While it runs, the environment variable `LOCAL_IMDS_CALLS`
names the file to which requests without a token are written (`imds/callers.py`). Values of the parameter `Seconds` are multiplied by
`SSM_TIME_SCALE`, so that tests need not wait.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms
from local.server.ec2.records import tags_of
from local.server.imds import callers
from local.server.ssm import SystemsManagerError, answer_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


Json: TypeAlias = dict[str, Any]
Created: TypeAlias = tuple[str, Json]

MANAGED_TAG: Final = "local:ssm"
AGENT_VERSION: Final = "3.3.40.0"
OBJECT: Final = re.compile(r"https://(?P<bucket>[a-z0-9-]+)\.s3\.[^/]+/(?P<key>.+)")
SHOWN: Final = 24_000
PLACEHOLDER: Final = re.compile(r"\{\{ *(\w+) *\}\}")


@dataclass(kw_only=True)
class Invocation:
    """A command on an instance: how far it is, and what it printed."""

    document: str
    place: callers.Place
    status: str = "InProgress"
    output: str = ""
    errors: str = ""


# By account, Region and name.
_documents: dict[tuple[str, str, str], Json] = {}
# By the command's id.
_invocations: dict[str, Invocation] = {}


def install() -> None:
    """Handle requests before the others' Systems Manager does, and register the resource type of documents."""
    ms.STACK_TYPES["AWS::SSM::Document"] = {"create": _create, "update": _update, "delete": _delete}
    answer_first(ACTIONS)


def _create(_logical_id: str, properties: Json, _stack: str) -> Created:
    _documents[ms.account_id(), ms.region(), properties["Name"]] = properties["Content"]
    return properties["Name"], {}


def _update(_physical_id: str, _old: Json, new: Json, stack: str, logical_id: str = "") -> Created:
    return _create(logical_id, new, stack)


def _delete(physical_id: str, _properties: Json) -> None:
    _documents.pop((ms.account_id(), ms.region(), physical_id), None)


def list_inventory_entries(request: Json) -> Json:
    """The agent of an instance that is managed; no applications."""
    instance_id, kind = request["InstanceId"], request["TypeName"]
    platform = tags_of(instance_id).get(MANAGED_TAG)
    about = {"PlatformType": platform, "PlatformName": "Local", "PlatformVersion": "1", "AgentVersion": AGENT_VERSION}
    entries = [about] if platform and kind == "AWS:InstanceInformation" else []
    return {"TypeName": kind, "InstanceId": instance_id, "Entries": entries}


def send_command(request: Json) -> Json:
    """Start a document on one instance."""
    [instance_id] = request["InstanceIds"]
    here = (ms.account_id(), ms.region())
    document = _documents.get((*here, request["DocumentName"]))
    if document is None:
        raise SystemsManagerError("InvalidDocument", f"Document with name {request['DocumentName']} does not exist.")
    instance = ms.EC2_INSTANCES.get(instance_id)
    if instance is None or instance["State"]["Name"] != "running" or not tags_of(instance_id).get(MANAGED_TAG):
        raise SystemsManagerError(
            "InvalidInstanceId", f"Instances [[{instance_id}]] not in a valid state for account {here[0]}"
        )
    parameters = {name: values[0] for name, values in request.get("Parameters", {}).items()}
    for name, described in document.get("parameters", {}).items():
        value = parameters.setdefault(name, described.get("default", ""))
        if value not in described.get("allowedValues", [value]):
            raise SystemsManagerError(
                "InvalidParameters", f"{name} takes one of {', '.join(described['allowedValues'])}"
            )
    command_id = str(uuid.uuid4())
    invocation = Invocation(document=request["DocumentName"], place=(*here, instance_id))
    _invocations[command_id] = invocation
    threading.Thread(target=_run, args=(invocation, document, parameters), daemon=True).start()
    return {"Command": {"CommandId": command_id, "DocumentName": request["DocumentName"], "Status": "Pending"}}


def get_command_invocation(request: Json) -> Json:
    """How far a command is on an instance, and the beginning of what it printed."""
    command_id, instance_id = request["CommandId"], request["InstanceId"]
    found = _invocations.get(command_id)
    if found is None or found.place != (ms.account_id(), ms.region(), instance_id):
        raise SystemsManagerError("InvocationDoesNotExist", "")
    return {
        "CommandId": command_id,
        "InstanceId": instance_id,
        "DocumentName": found.document,
        "Status": found.status,
        "StatusDetails": found.status,
        "StandardOutputContent": found.output[:SHOWN],
        "StandardErrorContent": found.errors[:SHOWN],
    }


def _run(invocation: Invocation, document: Json, parameters: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calls = Path(folder, "calls")
        calls.touch()
        work = Path(folder, "downloads")
        work.mkdir()
        with callers.watching(invocation.place, calls):
            try:
                for step in document["mainSteps"]:
                    STEPS[step["action"]](step["inputs"], parameters, work, invocation)
                invocation.status = "Success"
            except (OSError, subprocess.SubprocessError) as error:
                invocation.errors = invocation.errors or str(error)
                invocation.status = "Failed"


def _download(inputs: Json, _parameters: Mapping[str, str], work: Path, invocation: Invocation) -> None:
    found = OBJECT.fullmatch(json.loads(inputs["sourceInfo"])["path"])
    if found is None:
        raise FileNotFoundError(f"{inputs['sourceInfo']} names no object of a bucket")
    with ms.acting_in(*invocation.place[:2]):
        data = ms.s3._get_object_data(found["bucket"], found["key"])  # noqa: SLF001 - ministack offers no other way in
    if data is None:
        raise FileNotFoundError(
            f"there is no object {found['key']} in bucket {found['bucket']} of the instance's account"
        )
    Path(work, found["key"].rpartition("/")[2]).write_bytes(data)


def _shell(inputs: Json, parameters: Mapping[str, str], work: Path, invocation: Invocation) -> None:
    script = PLACEHOLDER.sub(lambda name: _value(name[1], parameters), "\n".join(inputs["runCommand"]))
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(work), "LOCAL_IMDS_CALLS": str(work.parent / "calls")}
    ended = subprocess.run(  # noqa: S603 - what the document says, as Systems Manager would
        ["/bin/sh", "-c", script],
        cwd=work,
        env=environment,
        capture_output=True,
        timeout=float(inputs["timeoutSeconds"]),
        check=False,
    )
    invocation.output = ended.stdout.decode(errors="replace")
    invocation.errors = ended.stderr.decode(errors="replace")
    ended.check_returncode()


def _value(name: str, parameters: Mapping[str, str]) -> str:
    if name == "Seconds":
        return f"{float(parameters[name]) * float(os.environ.get('SSM_TIME_SCALE', '1')):g}"
    return parameters[name]


STEPS: Final[dict[str, Callable[[Json, Mapping[str, str], Path, Invocation], None]]] = {
    "aws:downloadContent": _download,
    "aws:runShellScript": _shell,
}
ACTIONS: Final[dict[str, Callable[[Json], Json]]] = {
    "GetCommandInvocation": get_command_invocation,
    "ListInventoryEntries": list_inventory_entries,
    "SendCommand": send_command,
}
