"""The settings as they are written: in cdk.json, and in what the command line of the CDK hands over. What cannot be read is refused by the
name of the file and its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.json_values import read_json
from infra.errors import ContextUnreadable

if TYPE_CHECKING:
    from pathlib import Path

HANDED_OVER = "CDK_CONTEXT_JSON"
"""The environment variable in which the CDK's command line passes its context, `-c` included."""
_CONTEXT = "context"
_CORRECT = (
    "Correct it there, or take the file of this version (git checkout cdk.json) and write your settings into it anew."
)


def settings_in(path: Path) -> dict[str, Any]:
    """The settings under `context` in a file. Raises ContextUnreadable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise ContextUnreadable(
            str(path), why, "Run this in a checkout of the service, as somebody who may read it."
        ) from error
    try:
        document = read_json(content)
    except ValueError as error:
        raise ContextUnreadable(str(path), str(error), _CORRECT) from error
    if not isinstance(document, dict):
        raise ContextUnreadable(str(path), f"it holds {_kind(document)}, not an object in braces", _CORRECT)
    if not isinstance(document.get(_CONTEXT), dict):
        given = f"{_CONTEXT} is {_kind(document[_CONTEXT])}" if _CONTEXT in document else f"there is no {_CONTEXT}"
        raise ContextUnreadable(str(path), f"{given}, where an object with the settings has to be", _CORRECT)
    return dict(document[_CONTEXT])


def handed_over(text: str | None) -> dict[str, Any]:
    """What the command line of the CDK passes; nothing without it. Raises ContextUnreadable."""
    if not text:
        return {}
    todo = "Start it by npx cdk, which sets the variable, or unset it."
    try:
        document = read_json(text.encode(errors="surrogateescape"))
    except ValueError as error:
        raise ContextUnreadable(f"The variable {HANDED_OVER}", str(error), todo) from error
    if not isinstance(document, dict):
        raise ContextUnreadable(f"The variable {HANDED_OVER}", f"it holds {_kind(document)}, not an object", todo)
    return document


def _kind(value: object) -> str:
    """What a value of JSON is called."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case list():
            return "a list"
        case str():
            return "a text"
        case dict():
            return "an object"
        case _:
            return "a number"
