"""A message to people, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """``attributes``: by which subscribers may filter."""

    subject: str
    text: str
    attributes: Mapping[str, str]
