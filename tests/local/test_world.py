"""The world in memory, held against the local AWS: the same questions, the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.local.model_check import check_answers
from tests.world.conformance.clouds import REGION, InMemory, Served
from tests.world.conformance.deviations import LOCAL, STRICTER
from tests.world.conformance.suite import CHECKS, SERVICES, answer

if TYPE_CHECKING:
    from local.cloud.run import LocalCloud

CHECKED = {"ec2", "securityhub", "ssm"}
"""Services whose answers the local AWS writes by itself."""


class Local(Served):
    """An account of the local AWS, and what only that can do."""

    def __init__(self, cloud: LocalCloud, account: str) -> None:
        session = cloud.session(account=account)
        clients = {name: session.client(name) for name in SERVICES}  # type: ignore[call-overload]
        super().__init__(
            account, **{name: check_answers(each) if name in CHECKED else each for name, each in clients.items()}
        )
        self._cloud = cloud

    def answer_incompletely(self, instance_id: str, status: str) -> None:
        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "local:metrics", "Value": status}])

    def hold(self, finding: dict[str, Any]) -> None:
        if "finding_info" in finding:
            self._cloud.ask("PUT", "findings-v2", {"account": self.account, "region": REGION, "findings": [finding]})
        else:
            super().hold(finding)


@pytest.fixture
def local(cloud: LocalCloud, account: str) -> Local:
    """An empty account."""
    return Local(cloud, account)


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - LOCAL.keys() - STRICTER.keys()))
def test_the_world_answers_as_the_local_aws_does(name: str, local: Local) -> None:
    """Whatever the service reads of it."""
    assert answer(name, local) == answer(name, InMemory())


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_the_local_aws_still_answers_otherwise(name: str, local: Local) -> None:
    """Else its line in the table of deviations is to be removed."""
    ours = answer(name, InMemory())
    assert LOCAL[name].documented == ours
    try:
        theirs = answer(name, local)
    except AssertionError:
        return
    assert theirs != ours
