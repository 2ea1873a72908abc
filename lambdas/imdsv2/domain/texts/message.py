"""A notification, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A notification. ``attributes``: message attributes by which subscribers can filter."""

    subject: str
    text: str
    attributes: Mapping[str, str]
