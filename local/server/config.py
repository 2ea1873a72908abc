"""AWS Config records everything in every account and Region from the start, as it does in an organisation that sends Config's events.

Recorders themselves are ministack's: one that is put, stopped or left in place of the first is told as it is.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.server.platform import Record, Response

NAME: Final = "default"

_begun: set[tuple[str, str]] = set()


def install() -> None:
    """Make the recorder of an account and Region before anybody asks for it there."""
    for name in (
        "_describe_configuration_recorders",
        "_describe_configuration_recorder_status",
        "_put_configuration_recorder",
        "_start_configuration_recorder",
        "_stop_configuration_recorder",
    ):
        setattr(ms.config, name, _after_the_first(getattr(ms.config, name)))


def _after_the_first(answer: Callable[[Record], Response]) -> Callable[[Record], Response]:
    put, start = ms.config._put_configuration_recorder, ms.config._start_configuration_recorder

    def answer_with_recorder(asked: Record) -> Any:
        place = (ms.account_id(), ms.region())
        if place not in _begun:
            _begun.add(place)
            role = f"arn:aws:iam::{place[0]}:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig"
            group = {"allSupported": True, "includeGlobalResourceTypes": False, "resourceTypes": []}
            put({"ConfigurationRecorder": {"name": NAME, "roleARN": role, "recordingGroup": group}})
            start({"ConfigurationRecorderName": NAME})
        return answer(asked)

    return answer_with_recorder
