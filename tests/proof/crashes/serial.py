"""The service without threads, waits and chance."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

from imdsv2.aws import metadata_options
from imdsv2.wiring import guard, people  # noqa: F401 - what they load is replaced, too
from tests.world.serial import SerialPool

if TYPE_CHECKING:
    import pytest

_SEED = 1


def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every thread pool and every pause of the service, and begin its random numbers anew."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != "imdsv2":
            continue
        if hasattr(module, "ThreadPoolExecutor"):
            monkeypatch.setattr(module, "ThreadPoolExecutor", SerialPool)
        if hasattr(module, "pause"):
            monkeypatch.setattr(module, "pause", lambda _: None)
    monkeypatch.setattr(metadata_options, "_READ_BACK_AFTER", (0, 0))
    random.seed(_SEED)
