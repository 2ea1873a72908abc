"""Updates of findings of which Security Hub does not say which it left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_security_hub import SIGNATURE, V2, Hub

if TYPE_CHECKING:
    from tests.integration.builders import Stub


@pytest.mark.parametrize(
    "unprocessed",
    [
        {"MetadataUid": "0a1b", "ErrorCode": "InternalException"},
        {"ErrorMessage": "try again"},
    ],
    ids=["by another name", "by none"],
)
def test_a_note_that_may_have_been_left_out_is_still_owed(stub: Stub, unprocessed: dict[str, Any]) -> None:
    """The next look shows whether the finding has it; to take it as written would leave the finding without a word."""
    hub = Hub(stub)
    hub.shows_v2(status_id=2)
    hub.updates_v2("why", unprocessed=[unprocessed])
    assert set() == hub.annotate(V2)
    hub.shows_v2(status_id=2, comment=f"why ({SIGNATURE})")
    assert {V2} == hub.annotate(V2)
