"""What can be wrong before anything is deployed."""

from __future__ import annotations


class SettingRefused(Exception):
    """A setting is missing, unknown or impossible; the message names it and says what it takes."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cdk.json, context: {name} {problem}")
        self.name = name
