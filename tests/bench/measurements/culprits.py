"""culprit.named: how many of the callers that the demo plants on its fleet are named by their command lines, where there is Systems Manager."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout, suppress

from local.cloud.run import LocalCloudError
from local.demo import run as demo
from tests.bench.measurement import Measurement, against


def named() -> Measurement:
    """Of a demo that is run for this; the baseline is how many there are. What the demo expects otherwise is no matter here."""
    demo.RESULT.unlink(missing_ok=True)
    with redirect_stdout(sys.stderr), suppress(LocalCloudError):
        demo.main()
    planted = [each for each in json.loads(demo.RESULT.read_text())["callers"] if each["managed"]]
    return against("culprit.named", sum(each["named"] for each in planted), "callers", len(planted), "planted callers")
