"""The demo says what it said: each verdict and each explanation of its fleet, word for word.

`make kept` writes the file anew; the difference is read before it is committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from local.demo import run as demo

KEPT = Path(__file__).parent / "kept" / "demo.json"
RENEW = "KEEP" in os.environ
VARYING = re.compile(
    r"20[12]\d-\d\d-\d\d([T ]\d\d:\d\d(:\d\dZ| UTC))?"  # The fleet's past ends now.
    r"|between \d\d:\d\d and \d\d:\d\d UTC|(?<= at )\d\d:\d\d"
    r"|\d+(?= hours observed)|(?<=observed for )\d+"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # The random id of a finding.
    r"|(?<=ami-)[0-9a-f]{17}|\bi-[0-9a-f]{17}\b"
)


def test_the_demo_says_what_it_said() -> None:
    """Both tables, but for what the clock and chance decide."""
    demo.main()
    result = json.loads(demo.RESULT.read_text())
    assert result.pop("seconds") > 0
    shown = json.dumps(_without_varying(result), indent=1) + "\n"
    if RENEW:
        KEPT.write_text(shown)
    assert KEPT.read_text() == shown


def _without_varying(result: dict[str, Any]) -> Any:
    text = json.dumps(result)
    for line in result["events"]:
        text = text.replace(line["arn"].rpartition("/")[2], f"<{line['name']}>")
    return json.loads(VARYING.sub("<varies>", text))
