"""What takes ministack's DynamoDB most of its time, made faster: copies of items, which are JSON (about six for every write), and
expressions, of which one writer has few (each is read four times for every write)."""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import copy
import marshal
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Final

from local.server import platform as ms

EXPRESSIONS_KEPT: Final = 1000


def install() -> None:
    """Replace the `deepcopy` that ministack's DynamoDB uses, and keep what it made of expressions."""
    ms.dynamodb.copy = SimpleNamespace(deepcopy=copied)
    tokenized = lru_cache(EXPRESSIONS_KEPT)(ms.dynamodb._tokenize)
    ms.dynamodb._tokenize = lambda expression: list(tokenized(expression))
    ms.dynamodb._condition_syntax_error = lru_cache(EXPRESSIONS_KEPT)(ms.dynamodb._condition_syntax_error)


def copied(value: Any) -> Any:
    """A deep copy. Values that are not plain JSON are copied by `copy.deepcopy`."""
    try:
        return marshal.loads(marshal.dumps(value))  # noqa: S302 - what it reads was written a moment ago
    except ValueError:
        return copy.deepcopy(value)
