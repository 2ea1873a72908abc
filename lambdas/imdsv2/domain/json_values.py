"""JSON documents that people write: read without repeated keys, and shown in messages about what is wrong with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2.errors import PolicyRefused

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = b"\xef\xbb\xbf"
"""With these bytes, which nobody sees, some editors begin a file."""


def read_json(content: bytes, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a file holds that a person has written. ``pairs_hook``: as `json.loads` takes it; what it raises is raised. Raises ValueError,
    which says in which line what is wrong."""
    content = content.removeprefix(_MARK)
    try:
        return json.loads(content.decode(), object_pairs_hook=pairs_hook)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not written in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno} is no JSON: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("its brackets are nested too deep") from error


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Reject duplicate keys; json would silently keep the last."""
    document = dict(pairs)
    if len(document) != len(pairs):
        repeated = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise PolicyRefused(shown_name(repeated), "is given twice; keep one")
    return document


def shown(value: object) -> str:
    """A value as JSON, truncated."""
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "a value nested too deep to be shown"
    return text if len(text) <= 80 else text[:77] + "..."


def shown_name(name: str) -> str:
    """The name, truncated, with lone surrogates replaced: JSON can encode them, but UTF-8 cannot."""
    return name[:64].encode(errors="replace").decode()
