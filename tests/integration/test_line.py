"""The whole line in process: from a request to the instance, the ledger, the finding and the topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.events import finding
from tests.integration.builders import asked

if TYPE_CHECKING:
    from tests.integration.builders import Cloud


def test_a_finding_ends_in_an_instance_that_requires_tokens(cloud: Cloud) -> None:
    """The main job, once through."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    outcomes = cloud.line().run([asked(arn, finding=failed)], "request-1")
    assert {} == outcomes.failed
    assert "enforced" == outcomes.judged[arn].status
    assert "required" == cloud.tokens(arn)
    assert [{"InstanceId": arn.instance_id, "HttpTokens": "required"}] == cloud.changes()
    assert ["enforcing", "enforced"] == cloud.history(arn)
    assert "NOTIFIED" == cloud.hub.workflow_of(failed)
    print([(c.operation, c.account) for c in cloud.wire.calls], cloud.current(arn), cloud.hub.findings)
