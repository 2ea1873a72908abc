"""JSON documents that people write: read without repeated keys, and shown in messages about what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

from imdsv2.errors import PolicyRefused


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
