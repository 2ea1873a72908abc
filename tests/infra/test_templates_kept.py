"""The templates match the committed copies, so that every change of what is deployed is visible and intended.

`make kept` updates the copies; review the difference before you commit it. A changed logical id replaces its resource
and destroys what is in it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from imdsv2.version import VERSION

KEPT = Path(__file__).parent / "kept"
VARYING = re.compile(rf"\b[0-9a-f]{{64}}\b|(?<=\"){re.escape(VERSION)}(?=\\*\")")
"""The hash of the code, and the version."""
RENEW = "KEEP" in os.environ


@pytest.mark.parametrize(
    ("made_by", "stack"),
    [
        ("assembly", "Imdsv2Remediation"),
        ("assembly", "Imdsv2RemediationMember"),
        ("assembly", "Imdsv2RemediationForwarding"),
        ("organization_assembly", "Imdsv2Remediation"),
    ],
)
def test_the_template_is_the_kept_one(made_by: str, stack: str, request: pytest.FixtureRequest) -> None:
    """Byte for byte, except for the hash of the code and the version."""
    synthesised: Path = request.getfixturevalue(made_by) / f"{stack}.template.json"
    template = json.dumps(json.loads(VARYING.sub(_masked, synthesised.read_text())), indent=1) + "\n"
    kept = KEPT / f"{made_by}.{stack}.json"
    if RENEW:
        kept.write_text(template)
    assert kept.read_text() == template


def _masked(found: re.Match[str]) -> str:
    return "<version>" if found[0] == VERSION else "<hash>"
