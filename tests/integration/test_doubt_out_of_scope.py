"""An enforcement that was interrupted, and whose account or Region was excluded before anybody came back to it: what EC2 took is
watched all the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Source
from tests.integration.builders import LEASE, MEMBER, REGION
from tests.integration.guarding import ENFORCED_TAG, Died, guard, reject
from tests.integration.test_doubt import MODIFY, dies_after, run

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

OUT_OF_SCOPE = [
    {"exclude_accounts": [MEMBER]},
    {"exclude_regions": [REGION]},
    {"include_accounts": ["444444444444"]},
]


def dies_before(cloud: Cloud, arn: InstanceArn) -> None:
    """The function ends between the tag and EC2."""
    dead: list[Call] = []

    def die(call: Call) -> None:
        if not dead:
            dead.append(call)
            raise Died

    cloud.wire.on(MODIFY, die)
    with pytest.raises(Died):
        run(cloud, arn)
    assert ("enforcing", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))


def taken_over(cloud: Cloud, arn: InstanceArn, **policy: Any) -> dict[str, Any]:
    """The record after the lease has ended, under another policy."""
    cloud.policy(mode="enforce", **policy)
    cloud.clock.move(seconds=LEASE.total_seconds())
    run(cloud, arn, source=Source.REVISIT)
    return cloud.current(arn)


@pytest.mark.parametrize("policy", OUT_OF_SCOPE)
def test_what_ec2_took_is_watched_and_put_back_where_people_excluded_the_account_meanwhile(
    cloud: Cloud, policy: dict[str, Any]
) -> None:
    """They may have excluded it because it broke."""
    arn = cloud.one()
    dies_after(cloud, arn)
    reject(cloud, arn, 7)
    current = taken_over(cloud, arn, **policy)
    assert ("enforced", True, "open") == (current["status"], current["confirmed"], current["watch"])
    guard(cloud, after=10)
    assert ("rolled_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))


@pytest.mark.parametrize("policy", OUT_OF_SCOPE)
def test_what_never_reached_ec2_is_left_alone_and_loses_the_tag(cloud: Cloud, policy: dict[str, Any]) -> None:
    """Nothing more is asked of EC2 there."""
    arn = cloud.one()
    dies_before(cloud, arn)
    current = taken_over(cloud, arn, **policy)
    assert ("skipped", "out_of_scope") == (current["status"], current["reason"])
    assert ENFORCED_TAG not in cloud.tags(arn)
    assert "optional" == cloud.tokens(arn)


def test_what_cannot_be_looked_at_there_stays_in_doubt_and_is_due_soon(cloud: Cloud) -> None:
    """A day is too long for what nobody watches."""
    arn = cloud.one()
    dies_after(cloud, arn)
    refuses = [True]
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", when=lambda _: refuses[0])
    current = taken_over(cloud, arn, exclude_accounts=[MEMBER])
    assert "enforcing" == current["status"]
    assert datetime.fromisoformat(current["revisit_at"]) <= cloud.clock() + timedelta(minutes=26)
    refuses[0] = False
    assert "enforced" == taken_over(cloud, arn, exclude_accounts=[MEMBER])["status"]


def test_what_ended_meanwhile_is_gone(cloud: Cloud) -> None:
    """Options of an instance that has ended are nobody's change."""
    arn = cloud.one()
    dies_after(cloud, arn)
    cloud.instance(arn)._state.name = "terminated"
    current = taken_over(cloud, arn, exclude_accounts=[MEMBER])
    assert ("skipped", "gone") == (current["status"], current["reason"])


def test_a_tag_that_is_still_to_be_removed_there_is_removed(cloud: Cloud) -> None:
    """It would be sought every quarter of an hour for ever."""
    arn = cloud.one()
    cloud.wire.refuse("CreateTags", "InternalError", status=500, times=2)
    cloud.wire.refuse("DeleteTags", "RequestLimitExceeded", times=1)
    cloud.tag(arn, **{ENFORCED_TAG: "2026-11-21T00:00:00Z"})
    run(cloud, arn)
    assert ["untag"] == cloud.current(arn)["owes"]
    current = taken_over(cloud, arn, exclude_accounts=[MEMBER])
    assert ("skipped", "out_of_scope", None) == (current["status"], current["reason"], current.get("owes"))
    assert ENFORCED_TAG not in cloud.tags(arn)
