"""Quotes names and values for the languages of remedies: whatever a person named a thing, the text stays what it was meant to be."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

_PLAIN_YAML = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*", re.ASCII)
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_NOT_IDENTIFIER = re.compile(r"[^A-Za-z0-9_]+", re.ASCII)


def shell(text: str) -> str:
    """One word of a POSIX shell."""
    return shlex.quote(text)


def shell_json(value: Any) -> str:
    """A JSON document as one word of a POSIX shell."""
    return shlex.quote(compact(value))


def compact(value: Any) -> str:
    """JSON without spaces. Dates, which AWS's answers may hold, become text."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def yaml(text: str) -> str:
    """A YAML scalar that is read as this text."""
    if _PLAIN_YAML.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return "".join(map(_in_yaml, json.dumps(text, ensure_ascii=False)))


def _in_yaml(character: str) -> str:
    """YAML refuses some characters, or takes them for the end of a line, unless they are escaped."""
    return character if character.isprintable() and character != "\ufeff" else f"\\U{ord(character):08x}"


def hcl(text: str) -> str:
    """A string of Terraform's or Packer's language; what looks like a template in it stays text."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def typescript(text: str) -> str:
    """A string of TypeScript, and of Python."""
    return json.dumps(text, ensure_ascii=False)


def identifier(text: str) -> str:
    """A name that Terraform and Packer take for a resource, as like the text as they allow."""
    plain = _NOT_IDENTIFIER.sub("_", text).strip("_") or "this"
    return plain if plain[0].isalpha() else f"_{plain}"


def remark(text: str) -> str:
    """A text for a comment: on one line."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
