"""An exemption that is longer than the policy allows: followed for so long, told, and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.steering import reason

if TYPE_CHECKING:
    from tests.integration.builders import Cloud


def test_it_is_told_once_and_ends_after_its_days(cloud: Cloud) -> None:
    """The ledger remembers since when; looking again does not prolong it."""
    cloud.policy(mode="enforce", max_exemption_days=20)
    arn = cloud.one(tags={"imdsv2:exempt-until": "9999-12-31"})
    for _ in range(2):
        assert "exempt" == reason(cloud, arn)
    (told,) = cloud.published()
    assert "An exemption is longer than the policy allows" in told["Subject"]
    assert "it is exempt until 2026-12-10" in told["Message"]
    cloud.quiet(arn, hours=10 * 24)
    assert "exempt" == reason(cloud, arn)
    cloud.quiet(arn, hours=8 * 24)
    assert "exempt" == reason(cloud, arn)
    assert "What keeps IMDSv1 on ends soon" in cloud.published()[1]["Subject"]
    cloud.quiet(arn, hours=3 * 24)
    assert "unused" == reason(cloud, arn)


def test_a_longer_limit_makes_it_follow_further(cloud: Cloud) -> None:
    """Counted from the same day."""
    cloud.policy(mode="enforce", max_exemption_days=5)
    arn = cloud.one(tags={"imdsv2:exempt-until": "2027-12-31"})
    reason(cloud, arn)
    cloud.quiet(arn, hours=6 * 24)
    cloud.policy(mode="enforce", max_exemption_days=10)
    assert "exempt" == reason(cloud, arn)
    assert "2026-11-30" == cloud.current(arn)["ends_on"]
