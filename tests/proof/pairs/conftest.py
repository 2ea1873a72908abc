"""Each of the two works serially: what is tried is how they meet."""

from __future__ import annotations

import pytest

from tests.proof.crashes.serial import one_after_the_other


@pytest.fixture(autouse=True)
def _serial(monkeypatch: pytest.MonkeyPatch) -> None:
    one_after_the_other(monkeypatch)
