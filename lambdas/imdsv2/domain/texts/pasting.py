"""Commands in texts as lines that work when pasted into a shell: the command line's form, and the manual function's."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from imdsv2.domain.texts.commands import commands_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPTIONS = ("account", "region", "cohort", "since", "source")
_FIELDS = ("owner", "reason", "until", "at")


def lines_to_paste(text: str, function: str) -> list[str]:
    """For each command in a text, in its order and once: ``imdsv2 ...``, then the call of the function that does the same."""
    found = dict.fromkeys(text[begin:end] for begin, end in _payloads(text))
    return [line for payload in found for line in _both(payload, function)]


def inlined(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text with each command in the command line's form, and where each of them begins and ends."""
    said, spans, after = "", [], 0
    for begin, end in _payloads(text):
        said += text[after:begin]
        line = in_cli(text[begin:end])
        spans.append((len(said), len(said) + len(line)))
        said, after = said + line, end
    return said + text[after:], spans


def numbered(text: str) -> tuple[str, list[str]]:
    """A text with a number in brackets in place of each command, and the commands in the command line's form."""
    said, lines, after = "", list[str](), 0
    for begin, end in _payloads(text):
        line = in_cli(text[begin:end])
        if line not in lines:
            lines.append(line)
        said, after = f"{said}{text[after:begin]}[{lines.index(line) + 1}]", end
    return said + text[after:], lines


def in_cli(payload: str) -> str:
    """A command in the command line's form."""
    return _in_cli(json.loads(payload))


def _payloads(text: str) -> list[tuple[int, int]]:
    """Where the commands of a text are: other braces, such as those of what EC2 has said, are none."""
    return [(begin, end) for begin, end in commands_in(text) if _is_command(json.loads(text[begin:end]))]


def _is_command(document: Mapping[str, Any]) -> bool:
    return "caller" in document and isinstance(next(iter(document.values())), dict)


def _both(payload: str, function: str) -> Iterator[str]:
    yield in_cli(payload)
    yield (
        f"aws lambda invoke --function-name {function} --cli-read-timeout 0 --cli-binary-format raw-in-base64-out "
        f"--payload '{payload}' /dev/stdout"
    )


def _in_cli(command: Mapping[str, Any]) -> str:
    name = next(iter(command))
    scope: Mapping[str, Any] = command[name]
    words = ["imdsv2", name.replace("_", "-"), *map(str, scope.get("targets", ()))]
    for option, value in [(each, scope.get(each)) for each in _OPTIONS] + [
        (each, command.get(each)) for each in _FIELDS
    ]:
        if value is not None:
            words += [f"--{option}" if option != "region" else "--in-region", str(value)]
    return shlex.join(words)
