"""Builds one DynamoDB update expression, with placeholders for every name and value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.ledger.values import serialize

if TYPE_CHECKING:
    from collections.abc import Mapping


class Update:
    """Collects what to set, what to remove and the conditions."""

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, name: str) -> str:
        return self._names.setdefault(name, f"#n{len(self._names)}")

    def value(self, value: object) -> str:
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = serialize(value)
        return placeholder

    def set(self, name: str, value: object) -> None:
        """Set an attribute; None removes it."""
        if value is None:
            self.remove_path(self.name(name))
        else:
            self.set_path(self.name(name), value)

    def set_all(self, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self.set(name, value)

    def set_path(self, path: str, value: object) -> None:
        self._sets.append(f"{path} = {self.value(value)}")

    def remove_path(self, path: str) -> None:
        self._removes.append(path)

    def require(self, condition: str) -> None:
        self._conditions.append(condition)

    def require_equal(self, name: str, value: object) -> None:
        """``name``: an attribute whose name DynamoDB has not reserved."""
        self.require(f"{name} = {self.value(value)}")

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``UpdateItem``, or of an ``Update`` in a transaction."""
        clauses = []
        if self._sets:
            clauses.append("SET " + ", ".join(self._sets))
        if self._removes:
            clauses.append("REMOVE " + ", ".join(self._removes))
        arguments = {
            "UpdateExpression": " ".join(clauses),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": {placeholder: name for name, placeholder in self._names.items()},
            "ExpressionAttributeValues": self._values,
        }
        return {name: value for name, value in arguments.items() if value}
