"""Runs a remedy's commands in a real shell, with `aws` and `kubectl` that only note how they were called, and checks each call of the
AWS CLI against botocore's models."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, StructureShape
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.model import Shape

ANSWER = "7777"
"""What each command prints: the number of the version that it made. It is also a text in base64, as user data are."""
GLOBAL = {"region", "query", "output", "cli-input-json"}
_NOTE = """#!{python} -IS
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
print({answer!r})
"""


def calls_of(text: str, directory: Path) -> list[list[str]]:
    """The commands that a shell makes of a text, as lists of words; fails if the shell complains."""
    log, tools = directory / "log", directory / "tools"
    tools.mkdir(exist_ok=True)
    log.write_text("")
    for name in ("aws", "kubectl"):
        tool = tools / name
        tool.write_text(_NOTE.format(python=sys.executable, log=str(log), name=name, answer=ANSWER))
        tool.chmod(0o755)
    run = subprocess.run(
        ["bash", "-eu", "-c", text],
        cwd=directory,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (run.returncode, run.stderr)
    return [json.loads(line) for line in log.read_text().splitlines()]


def parameters(call: list[str]) -> tuple[str, str, dict[str, Any]]:
    """Service, operation and parameters of a call of the AWS CLI. Fails for an option or a value that the API does not take."""
    name, service, operation, *words = call
    assert "aws" == name
    model = _model(service)
    (found,) = [each for each in model.operation_names if xform_name(each, "-") == operation]
    shape = model.operation_model(found).input_shape
    assert shape is not None
    members = {xform_name(member, "-"): member for member in shape.members}
    given: dict[str, Any] = {}
    # The CLI takes a word that begins with a dash for an option, unless it is joined to the one that it belongs to.
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    assert len(words) % 2 == 0, words
    for option, value in zip(words[::2], words[1::2], strict=True):
        plain = option.removeprefix("--")
        assert option.startswith("--"), words
        assert plain in members or plain in GLOBAL, f"{service} {operation} has no {option}"
        if plain == "cli-input-json":
            given |= json.loads(value)
        elif plain in members:
            given[members[plain]] = _value(shape.members[members[plain]], value)
    problems = ParamValidator().validate(given, shape).generate_report()
    assert "" == problems, problems
    return service, operation, given


@cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service_name=service)


def _value(shape: Shape, text: str) -> Any:
    """A value as the CLI reads it: JSON, its shorthand `name=value,name=value`, or plain."""
    if isinstance(shape, StructureShape | ListShape | MapShape):
        if text[0] in "[{":
            return json.loads(text)
        if isinstance(shape, StructureShape) and list(shape.members) == ["Value"]:
            return {"Value": text}
        if isinstance(shape, ListShape) and shape.member.type_name == "string":
            return [text]
        pairs = dict(pair.split("=", 1) for pair in text.split(","))
        return [pairs] if isinstance(shape, ListShape) else pairs
    if shape.type_name in {"integer", "long"}:
        return int(text)
    return text
