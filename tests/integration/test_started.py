"""Instances that began to run: a new one of a proved cohort is due when its own evidence can be there; everything else costs nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Source
from imdsv2.wiring.intake import build_intake
from tests.fixtures.events import config_change, started
from tests.integration.builders import MEMBER, OTHER, asked
from tests.integration.sourcing import deliver
from tests.integration.test_cohort_evidence import FROM_TEMPLATE, IN_GROUP, end, run, scaled, see_start, use, young

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud


def begins(arn: InstanceArn, **fields: Any) -> dict[str, Any]:
    """EC2 tells that it runs."""
    return started(arn.instance_id, account=arn.account, region=arn.region, **fields)


def proved(cloud: Cloud, tags: dict[str, str] = FROM_TEMPLATE) -> list[InstanceArn]:
    """A cohort that has proved to do without IMDSv1: three members of 90 hours, judged, and enforced."""
    arns = young(cloud, count=3, tags=tags)
    assert {"cohort_unused"} == {str(each.reason) for each in run(cloud, *arns).values()}
    return arns


def launch(cloud: Cloud, *, count: int = 1, tags: dict[str, str] = FROM_TEMPLATE, **how: Any) -> list[InstanceArn]:
    """Instances that are launched now."""
    return cloud.launch(count=count, days=0, tags=tags, observed=False, **how)


def due(cloud: Cloud, arn: InstanceArn) -> Any:
    """In how many hours an instance is due; None if the ledger does not know it."""
    items = [each for each in cloud.items() if each["pk"] == str(arn) and each["sk"] == "current"]
    if not items:
        return None
    (item,) = items

    return (datetime.fromisoformat(item["revisit_at"]) - cloud.clock()) / timedelta(hours=1)


def test_a_new_member_is_due_when_its_start_is_over_and_enforced_then(cloud: Cloud) -> None:
    """Three hours after its launch, not a week later; CloudWatch is not asked before."""
    proved(cloud)
    cloud.clock.move(hours=20)
    asks = len(cloud.wire.made("GetMetricData"))
    (arn,) = launch(cloud)
    assert ([], 0) == deliver(cloud, begins(arn))
    assert asks == len(cloud.wire.made("GetMetricData"))
    assert due(cloud, arn) == pytest.approx(3, abs=0.1)
    launched = cloud.clock()
    cloud.quiet(arn, 3.2)
    see_start(cloud, arn, launched)
    ledger = cloud.ledger()
    claimed = ledger.claim(ledger.indexes.due(cloud.clock(), 10), cloud.clock() + timedelta(minutes=6))
    assert arn in claimed
    cloud.line().run([asked(arn, Source.REVISIT)], "request")
    assert ("enforced", "cohort_unused") == (cloud.current(arn)["status"], cloud.current(arn)["reason"])


def test_a_burst_of_starts_costs_one_look(cloud: Cloud) -> None:
    """However many events, and whether or not one comes twice."""
    proved(cloud)
    arns = launch(cloud, count=30)
    before = len(cloud.wire.calls)
    deliver(cloud, *map(begins, arns), begins(arns[0]))
    made = [call.operation for call in cloud.wire.calls[before:]]
    assert 1 == made.count("DescribeInstances")
    assert 1 == made.count("TransactWriteItems")
    assert 0 == made.count("GetMetricData")
    assert all(due(cloud, arn) is not None for arn in arns)


@pytest.mark.parametrize(
    "how",
    [
        {"tokens": "required"},
        {"endpoint": "disabled"},
        {"tags": {"Name": "pet", "aws:ec2launchtemplate:id": "lt-0aaa"}},
    ],
    ids=["requires tokens", "endpoint disabled", "another cohort"],
)
def test_what_need_not_be_judged_soon_is_dropped(cloud: Cloud, how: dict[str, Any]) -> None:
    """Nothing of it is written."""
    proved(cloud)
    arns = launch(cloud, **how)
    deliver(cloud, *map(begins, arns))
    assert [None] * len(arns) == [due(cloud, arn) for arn in arns]


def test_an_instance_in_no_cohort_is_dropped_for_one_look(cloud: Cloud) -> None:
    """The ledger is not asked about it either, but for the policy."""
    cloud.wire.fake(
        "DescribeImages",
        lambda call: {"Images": [{"ImageId": each, "OwnerId": OTHER} for each in call.params["Filters"][0]["Values"]]},
    )
    (arn,) = launch(cloud, tags={"Name": "pet"})
    before = len(cloud.wire.calls)
    deliver(cloud, begins(arn))
    made = {call.operation for call in cloud.wire.calls[before:]}
    assert made <= {"AssumeRole", "DescribeInstances", "DescribeImages", "GetParameter"}


def test_a_cohort_that_is_not_proved_waits_as_before(cloud: Cloud) -> None:
    """With use in it, or unknown to the ledger."""
    arns = young(cloud, count=3)
    use(cloud, arns[0], hours_ago=50)
    run(cloud, *arns)
    (one,), (other,) = launch(cloud), launch(cloud, tags=IN_GROUP)
    deliver(cloud, begins(one), begins(other))
    assert (None, None) == (due(cloud, one), due(cloud, other))


def test_a_restart_is_no_launch(cloud: Cloud) -> None:
    """An instance of old that starts again keeps its turn."""
    arns = proved(cloud)
    (old,) = cloud.launch(days=40, tags=FROM_TEMPLATE)
    cloud.instance(old).launch_time = cloud.clock()
    deliver(cloud, begins(old))
    assert None is due(cloud, old)
    assert arns


def test_where_cohorts_speak_for_nobody_nothing_is_asked(cloud: Cloud) -> None:
    """By the policy; nor in an account that is out of scope."""
    cloud.policy(mode="enforce", cohort_evidence=False)
    (arn,) = launch(cloud)
    deliver(cloud, begins(arn))
    cloud.policy(mode="enforce", exclude_accounts=[MEMBER])
    cloud.clock.move(minutes=1)
    deliver(cloud, begins(arn))
    assert [] == cloud.wire.made("DescribeInstances")


def test_config_s_event_on_a_young_instance_makes_it_due_at_the_same_time(cloud: Cloud) -> None:
    """Whichever comes first; the other changes nothing of it."""
    proved(cloud)
    one, other = launch(cloud, count=2)
    deliver(cloud, config_change(one.instance_id), begins(one))
    deliver(cloud, begins(other))
    deliver(cloud, config_change(other.instance_id))
    assert due(cloud, one) == pytest.approx(3, abs=0.3)
    assert due(cloud, other) == pytest.approx(3, abs=0.3)
    assert "held" == cloud.current(one)["status"]


def test_a_record_that_would_wait_longer_is_brought_forward(cloud: Cloud) -> None:
    """It was judged when its cohort was not proved yet."""
    (arn,) = launch(cloud)
    run(cloud, arn)
    assert due(cloud, arn) > 3.5
    cloud.clock.move(hours=1.5)
    proved(cloud)
    deliver(cloud, begins(arn))
    assert due(cloud, arn) == pytest.approx(1.5, abs=0.1)


def test_an_account_that_cannot_be_read_is_no_failure(cloud: Cloud) -> None:
    """The sweep and Config find it; a ledger that cannot be written is tried again."""
    (arn,) = launch(cloud)
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", times=9)
    assert ([], 0) == deliver(cloud, begins(arn))


def test_a_ledger_that_does_not_answer_brings_the_message_back(cloud: Cloud) -> None:
    """Nothing is lost."""
    proved(cloud)
    (arn,) = launch(cloud)
    intake = build_intake(cloud.function())
    cloud.wire.refuse("BatchGetItem", "InternalServerError", status=500)
    assert ([0], 0) == deliver(cloud, begins(arn), intake=intake)


def test_an_instance_that_has_ended_by_then_is_dropped(cloud: Cloud) -> None:
    """Spot takes some back within minutes."""
    proved(cloud)
    (arn,) = launch(cloud)
    end(cloud, arn)
    scaled(cloud)
    assert ([], 0) == deliver(cloud, begins(arn))
    assert None is due(cloud, arn)
