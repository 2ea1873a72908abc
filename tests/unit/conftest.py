"""What the tests of the evidence share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.builders import NOW, instance
from tests.unit.evidence_builders import report
from tests.world.cloudwatch import CloudWatch

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance


@pytest.fixture
def cloudwatch() -> CloudWatch:
    """A CloudWatch without datapoints."""
    return CloudWatch(lambda: NOW)


@pytest.fixture
def steady(cloudwatch: CloudWatch) -> Instance:
    """An instance that has run for 100 days, and never used IMDSv1."""
    target = instance()
    report(cloudwatch, target, target.launched_at, NOW)
    return target
