"""Errors found before anything is deployed."""

from __future__ import annotations

INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt"


class PackagesUnfit(Exception):
    """What the functions import is not installed as this version needs it. The message says what is wrong and how to install it."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}. Nothing was deployed. In this checkout: {INSTALL}")


class ContextUnreadable(Exception):
    """The settings cannot be read. The message names the file and the line, and says what to do."""

    def __init__(self, where: str, problem: str, todo: str) -> None:
        super().__init__(f"{where} cannot be read: {problem}. Nothing was deployed. {todo}")


class SettingRefused(Exception):
    """A setting is missing, unknown or invalid. The message names the setting and the values it accepts."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cdk.json, context: {name} {problem}")
        self.name = name
