"""Errors found before anything is deployed."""

from __future__ import annotations


class SettingRefused(Exception):
    """A setting is missing, unknown or invalid. The message names the setting and the values it accepts."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cdk.json, context: {name} {problem}")
        self.name = name
