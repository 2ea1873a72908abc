"""Everything that the code takes for granted about AWS and that can be wrong: one list, from which docs/beliefs.md is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.selftest.ec2_beliefs import EC2_BELIEFS
from imdsv2.selftest.metric_beliefs import METRIC_BELIEFS
from imdsv2.selftest.service_beliefs import SERVICE_BELIEFS
from imdsv2.selftest.untried_beliefs import UNTRIED_BELIEFS

if TYPE_CHECKING:
    from imdsv2.selftest.belief import Belief

BELIEFS: tuple[Belief, ...] = (*METRIC_BELIEFS, *EC2_BELIEFS, *SERVICE_BELIEFS, *UNTRIED_BELIEFS)
"""In the order of results and pages."""
