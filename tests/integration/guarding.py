"""Shared parts of the guard's tests: an enforced instance, its later events, and a pass of the guard."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.request import Source
from tests.fixtures.events import finding
from tests.integration.builders import asked

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.guard.place import Pass
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

ENFORCED_TAG = "imdsv2:enforced-at"
ROLLED_BACK_TAG = "imdsv2:rolled-back-at"
HOUR = timedelta(hours=1)


class Died(BaseException):
    """Lambda ends the process: no code in it can catch that."""


def enforce(cloud: Cloud, arn: InstanceArn) -> InstanceArn:
    """Process a finding of an instance, which enforces it."""
    failed = finding(str(arn))
    cloud.hub.holds(failed)
    outcomes = cloud.line().run([asked(arn, Source.SECURITYHUB, finding=failed)], "request-1")
    assert {} == outcomes.failed
    assert "enforced" == cloud.current(arn)["status"]
    return arn


def enforced(cloud: Cloud, **how: Any) -> InstanceArn:
    """An instance that was just enforced."""
    return enforce(cloud, cloud.one(**how))


def reject(cloud: Cloud, arn: InstanceArn, calls: int = 1) -> None:
    """Its software calls IMDSv1 now and again five minutes later, and is rejected both times: a pattern."""
    for minutes in (0, 5):
        probe(cloud, arn, calls, at=cloud.clock() + timedelta(minutes=minutes))


def probe(cloud: Cloud, arn: InstanceArn, calls: int = 1, *, at: datetime | None = None) -> None:
    """Somebody calls IMDSv1 within five minutes, now or at that time, and is rejected."""
    cloud.metrics.put_at(arn.instance_id, "MetadataNoTokenRejected", at or cloud.clock(), calls)


def live(cloud: Cloud, *arns: InstanceArn, hours: float) -> None:
    """Time passes while instances run."""
    first, end = cloud.clock(), cloud.clock() + timedelta(hours=hours)
    for arn in arns:
        cloud.metrics.put(arn.instance_id, "CPUUtilization", _hours(first, end), 2.5)
    cloud.clock.move(hours=hours)


def restart(cloud: Cloud, arn: InstanceArn) -> None:
    """The instance is stopped and started again, now."""
    cloud.instance(arn).launch_time = cloud.clock()


def set_state(cloud: Cloud, arn: InstanceArn, state: str) -> None:
    """Set another state in EC2."""
    cloud.instance(arn)._state.name = state


def untag(cloud: Cloud, arn: InstanceArn, key: str) -> None:
    """Someone removes a tag."""
    cloud.as_account(arn.account, "ec2", arn.region).delete_tags(Resources=[arn.instance_id], Tags=[{"Key": key}])


def watch_use(cloud: Cloud, arn: InstanceArn, *, days: int) -> None:
    """The metric has a datapoint for every hour of the last days, without a call."""
    hour = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - days * 24, hour))


def guard(cloud: Cloud, *, after: float = 5) -> Pass:
    """The next pass of the guard, some minutes later, in a new function instance."""
    cloud.clock.move(minutes=after)
    return cloud.guard().run("request-2", lambda: True)


def guard_that_dies(cloud: Cloud, operation: str, *, nth: int = 0) -> None:
    """A pass of the guard that is killed just before one of its calls."""
    seen: list[Call] = []
    dies = [True]

    def die(call: Call) -> None:
        seen.append(call)
        if dies[0] and len(seen) == nth + 1:
            raise Died

    cloud.wire.on(operation, die)
    cloud.clock.move(minutes=5)
    try:
        cloud.guard().run("request-dead", lambda: True)
    except Died:
        dies[0] = False
        return
    raise AssertionError(f"the guard made no {operation} that it could die at")


def _hours(first: datetime, end: datetime) -> range:
    return range(int(first.timestamp() // 3600), int(end.timestamp() // 3600) + 1)
