"""Builds the bus of the broadcast function, which needs nothing else of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.aws.bus import Bus
from imdsv2.aws.parsing import new_session
from imdsv2.aws.sessions import CONFIG
from imdsv2.settings import BusSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def wire_bus(environment: Mapping[str, str]) -> Bus:
    """The bus to which decisions are sent. Raises SettingMissing, which names the variable."""
    settings = BusSettings.from_environment(environment)
    events: Any = new_session().create_client("events", config=CONFIG)
    return Bus(events, settings.name, settings.source)
