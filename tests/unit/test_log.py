"""What stands in every line of a function's log."""

from __future__ import annotations

import io
import json

import invocation
from imdsv2.version import VERSION


def test_a_line_says_which_version_wrote_it() -> None:
    """Beside the message: whoever reads a log of last week knows what ran then."""
    stream = io.StringIO()
    before = invocation.logger.registered_handler.setStream(stream)  # type: ignore[attr-defined]
    try:
        invocation.logger.warning("not written")
    finally:
        invocation.logger.registered_handler.setStream(before)  # type: ignore[attr-defined]
    line = json.loads(stream.getvalue())
    assert ("not written", VERSION) == (line["message"], line["version"])
