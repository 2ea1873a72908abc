"""Rollbacks whose outcome does not show at once, and failures that stay where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.builders import MEMBER, OTHER, REFUSED_WITHOUT_ENDPOINT
from tests.integration.guarding import enforced, guard, live, reject

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

CHANGE = "ModifyInstanceMetadataOptions"
LIST = "ListMetrics"


def broken(cloud: Cloud, **how: str) -> InstanceArn:
    """An instance whose software needs IMDSv1, an hour after its enforcement."""
    arn = enforced(cloud, **how)
    live(cloud, arn, hours=1)
    reject(cloud, arn)
    return arn


def opens(call: Call) -> bool:
    """Whether a call makes tokens optional."""
    return bool(call.params.get("HttpTokens") == "optional")


def test_an_old_answer_of_ec2_is_no_failed_rollback(cloud: Cloud) -> None:
    """EC2 took the call and shows it minutes later: nobody is told of a failure, and it is asked once."""
    arn = broken(cloud)
    cloud.wire.on(CHANGE, lambda call: {"InstanceId": call.params["InstanceId"]} if opens(call) else None)
    guard(cloud)
    assert ("rolling_back", True) == ((current := cloud.current(arn))["status"], "returned_at" in current)
    cloud.set_options(arn, http_tokens="optional")
    assert 1 == guard(cloud).rolled_back
    current = cloud.current(arn)
    assert ("rolled_back", "done") == (current["status"], current["watch"])
    assert "returned_at" not in current
    assert 1 == sum(opens(call) for call in cloud.wire.made(CHANGE))
    assert not [each for each in cloud.published() if "Something broke" in each["Subject"]]


def test_a_way_back_that_needs_the_endpoint_named_is_found_by_the_next_pass(cloud: Cloud) -> None:
    """Then a look shows whether the endpoint was enabled when EC2 first demanded it."""
    arn = broken(cloud)
    cloud.wire.refuse(
        CHANGE,
        "InvalidParameterValue",
        REFUSED_WITHOUT_ENDPOINT,
        when=lambda call: opens(call) and "HttpEndpoint" not in call.params,
    )
    assert 0 == guard(cloud).rolled_back
    assert ("rolling_back", True) == ((current := cloud.current(arn))["status"], "endpoint_wanted_at" in current)
    assert not [each for each in cloud.changes() if "HttpEndpoint" in each]
    assert 1 == guard(cloud).rolled_back
    assert {"InstanceId": arn.instance_id, "HttpTokens": "optional", "HttpEndpoint": "enabled"} == cloud.changes()[-1]
    assert ("optional", False) == (cloud.tokens(arn), "endpoint_wanted_at" in cloud.current(arn))


def test_an_endpoint_that_still_shows_as_enabled_is_not_opened_on_the_way_back(cloud: Cloud) -> None:
    """Somebody has disabled it, and EC2 shows what was before for a minute."""
    arn = broken(cloud)
    cloud.wire.refuse(CHANGE, "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT, when=opens)
    guard(cloud)
    cloud.set_options(arn, http_endpoint="disabled")
    guard(cloud)
    assert not [each for each in cloud.changes() if "HttpEndpoint" in each]
    current = cloud.current(arn)
    assert ("enforced", False) == (current["status"], "endpoint_wanted_at" in current)
    assert "Somebody has changed HttpEndpoint since" in current["explanation"]


def test_an_endpoint_that_was_closed_meanwhile_stays_closed(cloud: Cloud) -> None:
    """It is left as it is, and people are told why."""
    arn = broken(cloud)

    def close(call: Call) -> None:
        if opens(call):
            cloud.set_options(arn, http_endpoint="disabled")

    cloud.wire.on(CHANGE, close)
    cloud.wire.refuse(CHANGE, "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT, when=opens)
    assert 0 == guard(cloud).rolled_back
    assert "HttpEndpoint" not in cloud.changes()[-1]
    assert "EC2 demands that the endpoint is enabled" in cloud.current(arn)["explanation"]


def test_one_that_is_throttled_for_more_than_a_pass_counts_as_left_broken(cloud: Cloud) -> None:
    """The alarm must not wait for EC2."""
    broken(cloud)
    cloud.wire.refuse(CHANGE, "RequestLimitExceeded", when=opens)
    assert [0, 1, 1] == [guard(cloud).left_broken for _ in range(3)]


def test_words_of_ec2_that_differ_each_time_are_told_once(cloud: Cloud) -> None:
    """A session's name in the message is no new reason."""
    arn = broken(cloud)
    for number in range(4):
        cloud.wire.refuse(CHANGE, "UnauthorizedOperation", f"User session-{number} is not authorized", times=1)
        guard(cloud, after=61)
    (message,) = [each for each in cloud.published() if each["Subject"].startswith("Something broke")]
    assert "session-0" in message["Message"]
    assert "session-3" in cloud.current(arn)["explanation"]


def test_an_account_that_fails_fails_alone_and_is_tried_by_the_next_pass(cloud: Cloud) -> None:
    """The query of its index is throttled."""
    arns = [broken(cloud, account=MEMBER), broken(cloud, account=OTHER)]
    throttled = [True]
    mine = f"aws/{MEMBER}"
    cloud.wire.refuse(
        "Query",
        "ThrottlingException",
        when=lambda call: throttled[0] and mine in str(call.params.get("ExpressionAttributeValues")),
    )
    done = guard(cloud)
    assert (1, 1) == (done.rolled_back, done.failed)
    assert ["required", "optional"] == [cloud.tokens(arn) for arn in arns]
    throttled[0] = False
    assert 1 == guard(cloud, after=1).rolled_back


def test_a_recall_that_fails_is_repeated_by_the_next_pass(cloud: Cloud) -> None:
    """EC2 is throttled when the recall looks: it is not forgotten until the next hour."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    live(cloud, arn, hours=9 * 24)
    reject(cloud, arn)
    throttled = [True]
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", when=lambda _: throttled[0])
    assert 0 == guard(cloud, after=60).rolled_back
    throttled[0] = False
    assert 1 == guard(cloud).rolled_back


def test_what_a_recall_finds_broken_is_on_record_before_ec2_is_asked(cloud: Cloud) -> None:
    """EC2 throttles the rollback: the next pass does it, whatever the hour."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    live(cloud, arn, hours=9 * 24)
    reject(cloud, arn)
    cloud.wire.refuse(CHANGE, "RequestLimitExceeded", when=opens, times=1)
    guard(cloud, after=60)
    current = cloud.current(arn)
    assert ("verified", "open", True) == (current["status"], current["watch"], "broken_at" in current)
    assert 1 == guard(cloud).rolled_back


def test_a_hub_that_fails_delays_no_rollback(cloud: Cloud) -> None:
    """One is proved healthy while the other breaks; the rollback comes first."""
    healthy = enforced(cloud)
    live(cloud, healthy, hours=25)
    arn = enforced(cloud)
    reject(cloud, arn)
    made = len(cloud.wire.calls)
    guard(cloud)
    order = [call.operation for call in cloud.wire.calls[made:]]
    told = [number for number, each in enumerate(order) if each in {"BatchUpdateFindings", "GetFindings", "Publish"}]
    assert order.index(CHANGE) < min(told)
    assert ("verified", "optional") == (cloud.current(healthy)["status"], cloud.tokens(arn))


def test_a_place_that_cannot_be_seen_for_more_than_a_pass_fails_it(cloud: Cloud) -> None:
    """So that the alarm on the function's errors fires."""
    enforced(cloud)
    cloud.wire.refuse("DescribeInstances", "InternalError", status=500)
    assert [0, 1] == [guard(cloud).failed for _ in range(2)]
