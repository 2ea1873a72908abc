"""culprit.named: how many of the callers that were planted on the local AWS are named by their command lines."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.measurement import Measurement, against
from tests.e2e import planting


def named() -> Measurement:
    """All of them; the baseline is how many there are."""
    with tempfile.TemporaryDirectory() as folder, planting.deployed() as world:
        done = planting.plant(world, Path(folder))
    return against("culprit.named", len(done.named), "callers", len(planting.CALLERS), "planted callers")
