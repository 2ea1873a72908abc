"""Room under the hourly cap that could not be given back: what was changed is told as changed, and the room is free again by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.request import Source
from imdsv2.ledger import account as accounts_module
from tests.integration.builders import MEMBER, asked
from tests.integration.test_source_fix import (
    defaults,  # noqa: F401 - used by the test of a source
    fix,
    item,
    proved,
)
from tests.integration.test_sources import template

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "pause", lambda _: None)


def is_of_an_account(call: Call) -> bool:
    """Whether a call writes the item of the member account."""
    return str(call.params["Item"].get("sk", {}).get("S", "")).endswith(MEMBER)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ConditionalCheckFailedException"])
def test_what_was_changed_is_no_failure_because_its_room_is_kept(cloud: Cloud, code: str) -> None:
    """The person who asked for it hears that it was done, and its owner is told at once; the cap is a little tighter for an hour."""
    cloud.policy(mode="enforce", max_enforcements_per_hour=1)
    first, second = cloud.one(), cloud.one()
    refuses = [True]
    cloud.wire.refuse(
        "PutItem", code, when=lambda call: refuses[0] and bool(cloud.changes()) and is_of_an_account(call)
    )
    outcomes = cloud.line().run([asked(first, Source.MANUAL)], "request-1")
    assert ({}, "enforced") == (outcomes.failed, str(outcomes.judged[first].status))
    assert cloud.published()[-1]["Subject"].startswith("IMDSv1 switched off")
    refuses[0] = False
    cloud.line().run([asked(second)], "request-2")
    assert "cap_reached" == cloud.current(second)["reason"]
    cloud.quiet(second, 2)
    cloud.line().run([asked(second)], "request-3")
    assert "enforced" == cloud.current(second)["status"]


def test_a_source_that_was_changed_is_told_as_changed(cloud: Cloud) -> None:
    """In the same way."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    cloud.wire.refuse(
        "PutItem",
        "AccessDeniedException",
        when=lambda call: bool(cloud.wire.made("ModifyLaunchTemplate")) and is_of_an_account(call),
    )
    assert ["fixed"] == [each["status"] for each in fix(cloud)]
    assert "fixed" == item(cloud)["status"]
