"""What all rows share: no thread pools and no real waiting, so that a run that fails fails again, and soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proof.faults import still

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", autouse=True)
def _still() -> Iterator[None]:
    """One thread, and time that is only told."""
    with pytest.MonkeyPatch.context() as patch:
        still.hold(patch)
        yield
