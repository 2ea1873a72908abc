"""How the command line says what the service says: commands as they are typed, and numbers with their nouns."""

from __future__ import annotations

from imdsv2.domain.texts.pasting import inlined, numbered
from imdsv2.domain.texts.words import are, count, were

__all__ = ["are", "count", "numbered", "of", "typed", "were"]


def typed(text: object) -> str:
    """A text of the service with each command as the command line takes it; its payload is in `--output json`."""
    return inlined(str(text))[0] if text else ""


def of(some: int, total: int, noun: str) -> str:
    """E.g. "1 of 1 instance", "3 of 4 instances"."""
    return f"{some} of {count(total, noun)}"
