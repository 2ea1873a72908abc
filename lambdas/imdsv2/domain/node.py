"""A node of a JSON document from outside: every question about it that has no answer names the field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.regions import wrong_partition
from imdsv2.errors import MessagePoisoned

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_ID = 512
"""Maximum length of a finding's id (Security Hub API reference), here in bytes of UTF-8, so that hundreds of findings fit
into a ledger item."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a JSON document that knows its path, so that every error names the field."""

    value: object
    path: str

    def __getitem__(self, key: str) -> Node:
        mapping = self.mapping()
        path = f"{self.path}.{key}" if self.path else key
        if key not in mapping:
            raise MessagePoisoned(path, "is missing")
        return Node(mapping[key], path)

    def get(self, key: str) -> Node | None:
        return self[key] if key in self.mapping() else None

    def given(self, key: str) -> Node | None:
        """A field; None where it is absent, null or empty, as optional fields of OCSF may be."""
        node = self.get(key)
        return None if node is None or node.value in (None, "", {}) else node

    def mapping(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.mistyped("an object")
        return self.value

    def items(self) -> Iterator[Node]:
        if not isinstance(self.value, list) or not self.value:
            raise self.mistyped("a list with at least one entry")
        return (Node(value, f"{self.path}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self.mistyped("a text")
        try:
            self.value.encode()
        except UnicodeEncodeError:
            raise self.mistyped("a text of whole Unicode characters") from None
        return self.value

    def identifier(self) -> str:
        if len(self.text().encode()) > _LONGEST_ID:
            raise self.mistyped(f"an id of at most {_LONGEST_ID} bytes")
        return self.text()

    def number(self) -> int:
        if type(self.value) is not int:
            raise self.mistyped("a whole number")
        return self.value

    def time(self) -> datetime:
        try:
            when = datetime.fromisoformat(self.text())
            if when.tzinfo is None:
                raise self.mistyped("an ISO 8601 time with its offset")
            return when.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.mistyped("an ISO 8601 time") from None

    def milliseconds(self) -> datetime:
        try:
            return datetime.fromtimestamp(self.number() / 1000, UTC)
        except (OverflowError, ValueError, OSError):
            raise self.mistyped("a time in milliseconds since 1970") from None

    def instance(self) -> InstanceArn:
        try:
            arn = InstanceArn.parse(self.text())
        except ValueError as error:
            raise MessagePoisoned(self.path, f"{error}, not {shown(self.value)}") from None
        if (problem := wrong_partition(arn.partition, arn.region)) is not None:
            raise MessagePoisoned(self.path, problem)
        return arn

    def mistyped(self, takes: str) -> MessagePoisoned:
        return MessagePoisoned(self.path or "body", f"takes {takes}, not {shown(self.value)}")


def account_of(resource: Node, finding: Node) -> Node:
    """The account of a resource in OCSF: its owner's; the finding's where that says nothing. Raises MessagePoisoned."""
    node: Node | None = resource
    for key in ("owner", "account", "uid"):
        node = node.given(key) if node is not None else None
    return node or finding["cloud"]["account"]["uid"]


def shown(value: object) -> str:
    """The repr of a value, truncated for error messages."""
    try:
        text = repr(value)
    except RecursionError:
        return "a value nested too deep to be shown"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
