"""One thing after the other, without waiting: a function that dies at a call dies there again."""

from __future__ import annotations

import pytest

from tests.proof.crashes.serial import one_after_the_other


@pytest.fixture(autouse=True)
def _serial(monkeypatch: pytest.MonkeyPatch) -> None:
    one_after_the_other(monkeypatch)
