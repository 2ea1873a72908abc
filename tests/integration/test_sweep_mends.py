"""A real sweep mends what the ledger believes: what people changed or ended since it was judged last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.instance import Place
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally
from tests.integration.builders import MEMBER, REGION
from tests.integration.guarding import enforced
from tests.integration.steering import judge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

PLACE = Place("aws", REGION, MEMBER)


def sweep(cloud: Cloud, *, dry_run: bool = False) -> Tally:
    """One place of a sweep, with what the ledger waits for there."""
    service = cloud.function()
    known = [arn.instance_id for arn in service.line.ledger.indexes.waiting() if arn.region == REGION]
    return go_through(
        service.line,
        service.clients,
        Tally(place=PLACE),
        "sweep",
        dry_run=dry_run,
        has_time=lambda: True,
        known=known,
    )


def held(cloud: Cloud, count: int) -> list[InstanceArn]:
    """Instances that the ledger holds, and looks at again within a day."""
    cloud.policy(mode="off")
    arns = [cloud.one() for _ in range(count)]
    for arn in arns:
        judge(cloud, arn)
    assert {("held", "switched_off")} == believed(cloud, arns)
    return arns


def believed(cloud: Cloud, arns: Iterable[InstanceArn]) -> set[tuple[str | None, str | None]]:
    """What the ledger says of instances."""
    return {(each.status, each.reason) for each in cloud.ledger().read(arns).values()}


def require_by_hand(cloud: Cloud, arns: Iterable[InstanceArn]) -> None:
    """A person requires tokens."""
    for arn in arns:
        cloud.as_account(MEMBER, "ec2").modify_instance_metadata_options(
            InstanceId=arn.instance_id, HttpTokens="required"
        )


def end(cloud: Cloud, arns: Iterable[InstanceArn]) -> None:
    """A person terminates instances."""
    cloud.as_account(MEMBER, "ec2").terminate_instances(InstanceIds=[arn.instance_id for arn in arns])


def test_what_was_required_by_hand_or_terminated_is_no_longer_held(cloud: Cloud) -> None:
    """The others stay as they are; all of them are in the numbers."""
    left, required, ended = (held(cloud, 3) for _ in range(3))
    require_by_hand(cloud, required)
    end(cloud, ended)
    tally = sweep(cloud)
    assert {("held", "switched_off")} == believed(cloud, left)
    assert {("skipped", "already_required")} == believed(cloud, required)
    assert {("skipped", "gone")} == believed(cloud, ended)
    assert (6, 3, 3, 0, 3) == (
        tally.instances,
        tally.imdsv1_allowed,
        tally.already_required,
        tally.endpoint_disabled,
        tally.not_there,
    )
    assert {"switched_off": 3, "already_required": 3, "gone": 3} == tally.by_verdict


def test_the_next_sweep_has_nothing_more_to_mend(cloud: Cloud) -> None:
    """What is settled is counted, and not evaluated every night."""
    arns = held(cloud, 4)
    require_by_hand(cloud, arns[:2])
    end(cloud, arns[2:])
    sweep(cloud)
    versions = {arn: each.version for arn, each in cloud.ledger().read(arns).items()}
    tally = sweep(cloud)
    assert versions == {arn: each.version for arn, each in cloud.ledger().read(arns).items()}
    assert {"already_required": 2} == tally.by_verdict


def test_a_dry_sweep_leaves_the_ledger_as_it_is(cloud: Cloud) -> None:
    """It says what is there, and mends nothing."""
    arns = held(cloud, 2)
    require_by_hand(cloud, arns)
    before = cloud.items()
    assert {"already_required": 2} == sweep(cloud, dry_run=True).by_verdict
    assert before == cloud.items()


@pytest.mark.parametrize("happens", [require_by_hand, end])
def test_what_the_service_enforced_is_left_to_the_guard(cloud: Cloud, happens: object) -> None:
    """It reads what was refused before it lets an instance go."""
    arn = enforced(cloud)
    assert callable(happens)
    happens(cloud, [arn])
    before = cloud.ledger().read([arn])[arn]
    sweep(cloud)
    assert before == cloud.ledger().read([arn])[arn]
