"""Templates come out as they did: what a change of the code does to what is deployed is seen, and meant.

`make kept` writes the files anew; the difference is read before it is committed. A logical id that changes replaces its
resource, with what is in it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

KEPT = Path(__file__).parent / "kept"
HASH_OF_CODE = re.compile(r"\b[0-9a-f]{64}\b")
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
    """Byte for byte, but for the hash of the code."""
    synthesised: Path = request.getfixturevalue(made_by) / f"{stack}.template.json"
    template = json.dumps(json.loads(HASH_OF_CODE.sub("<hash>", synthesised.read_text())), indent=1) + "\n"
    kept = KEPT / f"{made_by}.{stack}.json"
    if RENEW:
        kept.write_text(template)
    assert kept.read_text() == template
