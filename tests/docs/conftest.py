"""The manual, built once for all tests that look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import DOCS
from tests.docs.sphinx import Built, build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """As `make manual` builds it."""
    into: Path = tmp_path_factory.mktemp("manual")
    return build(DOCS, into)
