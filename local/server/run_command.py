"""Run Command and inventory of Systems Manager, which ministack lacks: documents run as real processes of this machine.

An instance is managed if it was launched with the tag `local:ssm`, whose value is its platform (`Linux`, `Windows`); its inventory has its
agent only. A command runs the steps of its document one after the other in a folder of its own: `aws:downloadContent` takes an object of
an S3 bucket of the instance's account, `aws:runShellScript` runs in a shell. A step that fails keeps the next from running only where it
says `onFailure: exit`. Of a document with several steps, GetCommandInvocation answers only for one that is named. While it runs, the environment variable `LOCAL_IMDS_CALLS`
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
ERRORS_SHOWN: Final = 8_000
RUNS: Final = {"Pending", "InProgress"}
PLACEHOLDER: Final = re.compile(r"\{\{ *(\w+) *\}\}")


@dataclass(kw_only=True)
class Step:
    """A step of a command: how far it is, what it printed, and with what it ended."""

    status: str = "Pending"
    output: str = ""
    errors: str = ""
    code: int = -1


@dataclass(kw_only=True)
class Invocation:
    """A command on an instance. ``steps``: by name, in their order."""

    document: str
    place: callers.Place
    steps: dict[str, Step]


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
    steps = {each["name"]: Step() for each in document["mainSteps"]}
    invocation = Invocation(document=request["DocumentName"], place=(*here, instance_id), steps=steps)
    _invocations[command_id] = invocation
    threading.Thread(target=_run, args=(invocation, document, parameters), daemon=True).start()
    return {"Command": {"CommandId": command_id, "DocumentName": request["DocumentName"], "Status": "Pending"}}


def get_command_invocation(request: Json) -> Json:
    """How far a step of a command is on an instance, and the beginning of what it printed, once it has ended."""
    command_id, instance_id = request["CommandId"], request["InstanceId"]
    found = _invocations.get(command_id)
    if found is None or found.place != (ms.account_id(), ms.region(), instance_id):
        raise SystemsManagerError("InvocationDoesNotExist", "")
    named = request.get("PluginName") or (next(iter(found.steps)) if len(found.steps) == 1 else "")
    if named not in found.steps:
        raise SystemsManagerError("InvalidPluginName", "")
    step = found.steps[named]
    ended = step.status not in RUNS
    return {
        "CommandId": command_id,
        "InstanceId": instance_id,
        "DocumentName": found.document,
        "PluginName": named,
        "ResponseCode": step.code,
        "Status": step.status,
        "StatusDetails": step.status,
        "StandardOutputContent": step.output[:SHOWN] if ended else "",
        "StandardErrorContent": step.errors[:ERRORS_SHOWN] if ended else "",
    }


def _run(invocation: Invocation, document: Json, parameters: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calls = Path(folder, "calls")
        calls.touch()
        work = Path(folder, "downloads")
        work.mkdir()
        with callers.watching(invocation.place, calls):
            for each in document["mainSteps"]:
                step = invocation.steps[each["name"]]
                step.status = "InProgress"
                try:
                    STEPS[each["action"]](each["inputs"], parameters, work, step, invocation.place)
                    step.code = 0
                except (OSError, subprocess.SubprocessError) as error:
                    step.errors, step.code = step.errors or str(error), 1
                step.status = "Failed" if step.code else "Success"
                if step.code and each.get("onFailure") == "exit":
                    break


def _download(inputs: Json, _parameters: Mapping[str, str], work: Path, _step: Step, place: callers.Place) -> None:
    found = OBJECT.fullmatch(json.loads(inputs["sourceInfo"])["path"])
    if found is None:
        raise FileNotFoundError(f"{inputs['sourceInfo']} names no object of a bucket")
    with ms.acting_in(*place[:2]):
        data = ms.s3._get_object_data(found["bucket"], found["key"])  # noqa: SLF001 - ministack offers no other way in
    if data is None:
        raise FileNotFoundError(
            f"there is no object {found['key']} in bucket {found['bucket']} of the instance's account"
        )
    Path(work, found["key"].rpartition("/")[2]).write_bytes(data)


def _shell(inputs: Json, parameters: Mapping[str, str], work: Path, step: Step, _place: callers.Place) -> None:
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
    step.output = ended.stdout.decode(errors="replace")
    step.errors = ended.stderr.decode(errors="replace")
    ended.check_returncode()


def _value(name: str, parameters: Mapping[str, str]) -> str:
    if name == "Seconds":
        return f"{float(parameters[name]) * float(os.environ.get('SSM_TIME_SCALE', '1')):g}"
    return parameters[name]


STEPS: Final[dict[str, Callable[[Json, Mapping[str, str], Path, Step, callers.Place], None]]] = {
    "aws:downloadContent": _download,
    "aws:runShellScript": _shell,
}
ACTIONS: Final[dict[str, Callable[[Json], Json]]] = {
    "GetCommandInvocation": get_command_invocation,
    "ListInventoryEntries": list_inventory_entries,
    "SendCommand": send_command,
}
