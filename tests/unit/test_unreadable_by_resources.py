"""An answer of AWS that cannot be read holds no stack up: CloudFormation's way back from it is a call of the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import custom_action
import first_policy
from imdsv2.aws.parsing import new_session
from tests.integration.test_unreadable_answers import answers
from tests.unit.test_custom_action import CloudFormation, cloudformation, only_answer
from tests.unit.test_custom_action import handle as handle_action
from tests.unit.test_custom_action import request as request_of
from tests.unit.test_first_policy import handle as handle_policy

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["cloudformation"]

TORN = (
    b'{"Parameter": {"LastModifiedDate": "yesterday"}}',
    b'{"ActionTarg',
    b"\xff\xfe",
    b"<html>502 Bad Gateway</html>",
)


class Torn:
    """A session to whose clients AWS answers this, whatever they ask."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._session: Session = new_session()

    def create_client(self, service: str, **settings: Any) -> Any:
        return answers(self._session.create_client(service, **settings), self._body)


@pytest.fixture(params=TORN)
def torn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is torn."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for function in (custom_action, first_policy):
        monkeypatch.setattr(function, "new_session", lambda: Torn(request.param))


@pytest.mark.usefixtures("torn")
@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_an_answer_of_security_hub_that_cannot_be_read_holds_no_stack_up(
    kind: str, cloudformation: CloudFormation
) -> None:
    """The daily look makes the action."""
    handle_action(request_of(kind, cloudformation))
    assert "SUCCESS" == only_answer(cloudformation)["Status"]


@pytest.mark.usefixtures("torn")
def test_an_answer_of_systems_manager_that_cannot_be_read_leaves_no_update_stuck(
    cloudformation: CloudFormation,
) -> None:
    """The doctor tells whether there is a policy."""
    assert "SUCCESS" == handle_policy("Update", cloudformation)["Status"]
