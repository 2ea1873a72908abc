"""Reboots of which CloudTrail tells, for instances of which only the last start was not seen."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.reboots import PAGES, last_reboots
from imdsv2.domain.request import Request, Source
from tests.integration.builders import NOW
from tests.integration.steering import judge, named, reason, steer
from tests.world.trail import Trail, reboot_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AGO = 70 * DAY
"""When it was rebooted: CloudTrail remembers that, and CloudWatch the hours."""


def only_rebooted(cloud: Cloud, **how: Any) -> InstanceArn:
    """An instance that was started before everything that CloudWatch remembers, and has run since."""
    arn = cloud.one(days=100, **how)
    instance = cloud.instance(arn)
    instance.launch_time = cloud.clock() - 470 * DAY
    for interface in instance.nics.values():
        interface.attach_time = instance.launch_time
    return arn


def rebooted(cloud: Cloud, *arns: InstanceArn, ago: timedelta = AGO, **told: Any) -> None:
    """CloudTrail tells of one request that rebooted instances."""
    event = reboot_event(cloud.clock() - ago, *(each.instance_id for each in arns), **told)
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [event]})


def questions(cloud: Cloud) -> int:
    """How often CloudTrail was asked."""
    return len(cloud.wire.made("LookupEvents"))


def use(cloud: Cloud, arn: InstanceArn, ago: timedelta) -> None:
    """Calls without a token."""
    cloud.metrics.put_at(arn.instance_id, "MetadataNoToken", (cloud.clock() - ago).replace(minute=0), 3)


def test_a_quiet_reboot_on_record_is_an_observed_start(cloud: Cloud) -> None:
    """The instance is changed, its explanation says by what, and the ledger keeps it."""
    arn = only_rebooted(cloud)
    rebooted(cloud, arn)
    verdict = judge(cloud, arn).verdict
    assert ("enforce", "unused") == (verdict.decision, verdict.reason)
    assert f"none at its last reboot through EC2 on {cloud.clock() - AGO:%Y-%m-%d}" in verdict.explanation
    assert "required" == cloud.tokens(arn)
    known = cloud.ledger().read([arn])[arn]
    assert known.rebooted_at is not None
    assert known.rebooted_at == known.proved_start
    [asked] = cloud.wire.made("LookupEvents")
    assert {"AttributeKey": "EventName", "AttributeValue": "RebootInstances"} == asked.params["LookupAttributes"][0]
    assert 90 * DAY == asked.params["EndTime"] - asked.params["StartTime"]


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (AGO, "v1_at_boot"),
        (AGO - HOUR, "v1_at_boot"),
        (AGO - 4 * HOUR, "unused"),
        (30 * DAY, "v1_in_use"),
        (80 * DAY, "unused"),
    ],
)
def test_what_was_called_at_the_reboot_or_in_the_window_holds(cloud: Cloud, ago: timedelta, expected: str) -> None:
    """The window stays as long as it was: nobody has said that software was updated."""
    arn = only_rebooted(cloud)
    rebooted(cloud, arn)
    use(cloud, arn, ago)
    assert expected == reason(cloud, arn)
    assert (expected == "unused") is (cloud.tokens(arn) == "required")


def test_a_reboot_in_hours_without_datapoints_was_not_seen(cloud: Cloud) -> None:
    """No datapoint is never zero."""
    arn = only_rebooted(cloud)
    rebooted(cloud, arn)
    cloud.metrics.forget(arn.instance_id)
    newest = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(newest - 60 * 24, newest))
    assert "boot_not_observable" == reason(cloud, arn)
    assert "no datapoint for the two hours" in str(cloud.current(arn)["explanation"])


def test_it_is_asked_for_once_a_day_at_most(cloud: Cloud) -> None:
    """However often the instance is judged; and a reboot that comes later is found on a later day."""
    arn = only_rebooted(cloud)
    for _ in range(3):
        assert "boot_not_observable" == reason(cloud, arn)
        cloud.quiet(arn, 3)
    assert 1 == questions(cloud)
    cloud.quiet(arn, 24)
    rebooted(cloud, arn)
    assert "unused" == reason(cloud, arn)
    assert 2 == questions(cloud)


def test_several_instances_of_a_place_are_one_question(cloud: Cloud) -> None:
    """Each gets its own answer."""
    one, other = only_rebooted(cloud), only_rebooted(cloud)
    rebooted(cloud, one)
    reasons = steer_dry(cloud, one, other)
    assert {one: "unused", other: "boot_not_observable"} == reasons
    assert 1 == questions(cloud)


def steer_dry(cloud: Cloud, *arns: InstanceArn) -> dict[InstanceArn, str]:
    """The verdicts of a run that changes nothing."""
    requests = [Request(arn=arn, source=Source.MANUAL) for arn in arns]
    outcomes = cloud.line().run(requests, "request-1", dry_run=True)
    return {arn: str(each.verdict.reason) for arn, each in outcomes.judged.items()}


def test_a_dry_run_asks_and_keeps_nothing(cloud: Cloud) -> None:
    """Its verdict is that of a real run."""
    arn = only_rebooted(cloud)
    rebooted(cloud, arn)
    assert {arn: "unused"} == steer_dry(cloud, arn)
    assert "optional" == cloud.tokens(arn)
    assert cloud.ledger().read([arn])[arn].reboot_sought_at is None


@pytest.mark.parametrize(
    "told",
    [
        {"errorCode": "Client.DryRunOperation"},
        {"errorCode": "Client.UnauthorizedOperation"},
        {"eventName": "StartInstances"},
        {"requestParameters": None},
        {"requestParameters": {"instancesSet": {"items": [{"instanceId": "i-00000000000000001"}, "x"]}}},
        {"requestParameters": {"instancesSet": []}},
    ],
)
def test_a_request_that_rebooted_nothing_or_another_is_no_reboot(cloud: Cloud, told: dict[str, Any]) -> None:
    """EC2 refused it, or only tried it; or the event is not what it is taken for."""
    arn = only_rebooted(cloud)
    rebooted(cloud, arn, **told)
    assert "boot_not_observable" == reason(cloud, arn)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InternalError"])
def test_what_cannot_be_asked_leaves_the_hold(cloud: Cloud, code: str) -> None:
    """The others go on, and it is asked again on the next day."""
    arn, quiet = only_rebooted(cloud), cloud.one()
    cloud.wire.refuse("LookupEvents", code, times=9)
    outcomes = steer_dry(cloud, arn, quiet)
    assert {arn: "boot_not_observable", quiet: "unused"} == outcomes


@pytest.mark.parametrize(("code", "times"), [("ThrottlingException", 2), ("AccessDeniedException", 1)])
def test_what_may_be_answered_later_is_asked_at_the_next_look(cloud: Cloud, code: str, times: int) -> None:
    """A throttled question is none; what the role may not ask is asked once a day."""
    arn = only_rebooted(cloud)
    cloud.wire.refuse("LookupEvents", code, times=9)
    judge(cloud, arn)
    once = questions(cloud)
    cloud.clock.move(minutes=20)
    judge(cloud, arn)
    assert times * once == questions(cloud)
    assert (times == 1) is (cloud.ledger().read([arn])[arn].reboot_sought_at is not None)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"eventName": 7}'])
def test_an_event_that_cannot_be_read_is_none(cloud: Cloud, text: str) -> None:
    """It says nothing, and fails nothing."""
    arn = only_rebooted(cloud)
    event = {"EventName": "RebootInstances", "EventTime": cloud.clock() - AGO, "CloudTrailEvent": text}
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [event]})
    assert "boot_not_observable" == reason(cloud, arn)


def in_use(cloud: Cloud) -> InstanceArn:
    arn = only_rebooted(cloud)
    use(cloud, arn, 3 * DAY)
    return arn


def just_started(cloud: Cloud) -> InstanceArn:
    arn = cloud.one(days=100)
    cloud.instance(arn).launch_time = cloud.clock() - HOUR
    return arn


def observed(cloud: Cloud) -> InstanceArn:
    return cloud.one(days=100)


@pytest.mark.parametrize("one", [in_use, just_started, observed, lambda cloud: cloud.one(days=3, observed=False)])
def test_nobody_asks_where_more_is_missing_or_nothing(cloud: Cloud, one: Callable[[Cloud], InstanceArn]) -> None:
    """Only an instance of which nothing but an observed start is missing costs a question."""
    judge(cloud, one(cloud))
    assert 0 == questions(cloud)


def test_nobody_asks_about_candidates_that_nobody_named(cloud: Cloud) -> None:
    """Whoever is looked at as a possible canary leaves no trace in the ledger, and would be asked about each time."""
    cloud.policy(mode="enforce", canary={"share": 1, "hours": 24})
    other, arn = only_rebooted(cloud), cloud.one()
    rebooted(cloud, other)
    judge(cloud, arn)
    assert 0 == questions(cloud)
    assert "optional" == cloud.tokens(other)


def test_nobody_asks_where_the_policy_does_without_the_start(cloud: Cloud) -> None:
    """Row 18 does not apply then."""
    cloud.policy(mode="enforce", boot_evidence="ignore")
    assert "unused" == reason(cloud, only_rebooted(cloud))
    assert 0 == questions(cloud)


def test_the_newest_of_what_is_known_is_the_last_start(cloud: Cloud) -> None:
    """A reboot on record before a person's word is not: the word begins the evidence anew."""
    arn = only_rebooted(cloud)
    assert "boot_not_observable" == reason(cloud, arn)
    at = (cloud.clock() - 63 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [True] == [each["done"] for each in steer(cloud, mended=named(arn), at=at)]
    rebooted(cloud, arn)
    assert "unused" == reason(cloud, arn)
    assert 1 == questions(cloud)


def test_pages_end() -> None:
    """Of a place that reboots all the time, the newest requests are looked through, and no further than all are found."""
    busy = [(NOW - timedelta(minutes=each), f"i-{each % 7}") for each in range(1, 50 * PAGES + 20)]
    trail = Trail([*busy, (NOW - 30 * DAY, "i-old"), (NOW + DAY, "i-3"), (NOW - 91 * DAY, "i-older")])
    assert {} == last_reboots(trail, {"i-old", "i-older", "i-none"}, NOW)
    expected = {"i-3": NOW - timedelta(minutes=3), "i-1": NOW - timedelta(minutes=1)}
    assert expected == last_reboots(trail, {"i-3", "i-1"}, NOW)
    assert {"i-old": NOW - 30 * DAY} == last_reboots(Trail(trail.reboots[-3:]), {"i-old", "i-older"}, NOW)
