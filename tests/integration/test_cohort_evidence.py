"""Instances are judged with their cohort: what any of it uses holds all, and what all of it shows speaks for the young."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto.ec2.models import ec2_backends

from imdsv2.domain.evidence.pool import Member, Trace
from imdsv2.ledger.pool import MOST_MEMBERS, KeptPool, Pools
from tests.integration.builders import MEMBER, NOW, REGION, TABLE, arn_of, asked
from tests.integration.steering import steer
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Collection

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.verdict import Verdict
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

GROUP, TEMPLATE, VERSION = "aws:autoscaling:groupName", "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"
FROM_TEMPLATE = {TEMPLATE: "lt-0e5f", VERSION: "3"}
IN_GROUP = FROM_TEMPLATE | {GROUP: "jobs"}
USE, REFUSED = "MetadataNoToken", "MetadataNoTokenRejected"
HOUR = timedelta(hours=1)


def young(
    cloud: Cloud, *, hours: float = 90, count: int = 1, tags: dict[str, str] = FROM_TEMPLATE
) -> list[InstanceArn]:
    """Instances launched that long ago, whose start was observed."""
    arns = cloud.launch(days=hours / 24, count=count, tags=tags)  # type: ignore[arg-type]
    for arn in arns:
        see_start(cloud, arn, cloud.clock() - timedelta(hours=hours))
    return arns


def see_start(cloud: Cloud, arn: InstanceArn, launched: Any) -> None:
    """The two hours from a start on, by five minutes, without a call."""
    for number in range(24):
        when = launched + number * timedelta(minutes=5)
        if when <= cloud.clock():
            cloud.metrics.put_at(arn.instance_id, USE, when, 0)


def use(cloud: Cloud, arn: InstanceArn, *, hours_ago: float, calls: int = 7) -> None:
    """It used IMDSv1 that long ago."""
    cloud.metrics.put_at(arn.instance_id, USE, cloud.clock() - timedelta(hours=hours_ago), calls)


def run(cloud: Cloud, *arns: InstanceArn) -> dict[InstanceArn, Verdict]:
    """What becomes of instances."""
    outcomes = cloud.line().run([asked(arn) for arn in arns], "request")
    assert {} == outcomes.failed
    return {arn: outcomes.judged[arn].verdict for arn in arns}


def reason(cloud: Cloud, arn: InstanceArn) -> str:
    """The reason of one."""
    return str(run(cloud, arn)[arn].reason)


def asked_about(cloud: Cloud, arns: Collection[InstanceArn]) -> int:
    """How many series of these CloudWatch was asked for."""
    ids = {arn.instance_id for arn in arns}
    return sum(
        query["MetricStat"]["Metric"]["Dimensions"][0]["Value"] in ids
        for call in cloud.wire.made("GetMetricData")
        for query in call.params["MetricDataQueries"]
    )


def end(cloud: Cloud, arn: InstanceArn) -> None:
    """It was terminated, and EC2 has forgotten it."""
    for each in ec2_backends[arn.account][arn.region].reservations.values():
        each.instances = [one for one in each.instances if one.id != arn.instance_id]


def scaled(cloud: Cloud, *activities: tuple[str, InstanceArn, float]) -> None:
    """What the group did: a word, an instance, and how many hours ago."""
    words = {"launched": "Launching a new EC2 instance: ", "ended": "Terminating EC2 instance: "}
    made = [
        {
            "ActivityId": f"{number}",
            "AutoScalingGroupName": "jobs",
            "Cause": "At its time.",
            "StatusCode": "Successful",
            "Description": words[word] + arn.instance_id,
            "StartTime": cloud.clock() - timedelta(hours=hours),
            "EndTime": cloud.clock() - timedelta(hours=hours) + timedelta(minutes=2),
        }
        for number, (word, arn, hours) in enumerate(sorted(activities, key=lambda each: each[2]))
    ]
    cloud.wire.fake("DescribeScalingActivities", lambda _: {"Activities": made})


def no_listing(call: Call) -> None:
    """EC2 refuses to list what has a tag."""
    if any(each["Name"].startswith("tag:") for each in call.params.get("Filters", [])):
        raise refusal("UnauthorizedOperation", "no", "DescribeInstances")


# --- Use anywhere in it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
def test_the_one_that_is_quiet_among_many_that_are_not(cloud: Cloud, together: bool) -> None:
    """Whether or not they are asked about as well."""
    loud, quiet = cloud.launch(count=5, tags=IN_GROUP), cloud.one(tags=IN_GROUP)
    for arn in loud:
        use(cloud, arn, hours_ago=100)
    verdicts = run(cloud, *(loud if together else ()), quiet)
    assert "cohort_uses_v1" == verdicts[quiet].reason
    assert "made 7 IMDSv1 calls" in verdicts[quiet].explanation
    assert {"v1_in_use"} >= {str(verdicts[arn].reason) for arn in loud if together}


def test_a_stopped_or_enforced_member_counts_as_well(cloud: Cloud) -> None:
    """Its calls were refused, as it requires tokens."""
    strict, quiet = cloud.one(tokens="required", tags=FROM_TEMPLATE), cloud.one(tags=FROM_TEMPLATE)
    cloud.metrics.put_at(strict.instance_id, REFUSED, NOW - 50 * HOUR, 3)
    verdict = run(cloud, quiet)[quiet]
    assert "cohort_uses_v1" == verdict.reason
    assert f"{strict.instance_id}, which runs the same software" in verdict.explanation


def test_another_version_does_not_hold_it(cloud: Cloud) -> None:
    """Its own evidence is enough."""
    use(cloud, cloud.one(tags=FROM_TEMPLATE | {VERSION: "2"}), hours_ago=100)
    assert "unused" == reason(cloud, cloud.one(tags=FROM_TEMPLATE))


def test_use_before_the_window_does_not_hold_it(cloud: Cloud) -> None:
    """Nor use on the day in which it begins, before it does."""
    old, quiet = cloud.one(tags=FROM_TEMPLATE), cloud.one(tags=FROM_TEMPLATE)
    use(cloud, old, hours_ago=35 * 24 + 5)
    assert "unused" == reason(cloud, quiet)


def test_mending_the_sibling_lets_the_others_go(cloud: Cloud) -> None:
    """Its calls were made before it was mended."""
    loud, quiet = cloud.one(tags=FROM_TEMPLATE), cloud.one(tags=FROM_TEMPLATE)
    use(cloud, loud, hours_ago=30)
    assert {"v1_in_use", "cohort_uses_v1"} == {str(each.reason) for each in run(cloud, loud, quiet).values()}
    at = (NOW - 5 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    steer(cloud, mended={"targets": [str(loud)]}, at=at, caller="alice", reason="2.0", dry_run=False)
    cloud.quiet(quiet, 0.5)
    assert "unused" == reason(cloud, quiet)


# --- What has ended ------------------------------------------------------------------------------------------------


def test_what_the_group_has_ended_is_looked_at(cloud: Cloud) -> None:
    """It was never judged; AWS tells of it for six weeks, and CloudWatch keeps its metrics."""
    quiet, gone = young(cloud, tags=IN_GROUP)[0], arn_of("dead1")
    scaled(cloud, ("launched", gone, 60), ("ended", gone, 20))
    use(cloud, gone, hours_ago=21)
    verdict = run(cloud, quiet)[quiet]
    assert "cohort_uses_v1" == verdict.reason
    assert f"{gone.instance_id}, which runs the same software" in verdict.explanation
    assert "and has ended, made 7 IMDSv1 calls" in verdict.explanation


def test_what_was_launched_before_this_version_is_none_of_it(cloud: Cloud) -> None:
    """Unless the ledger says so, what began earlier was of an earlier version."""
    quiet, gone = cloud.launch(days=20, tags=IN_GROUP)[0], arn_of("dead1")
    see_start(cloud, quiet, NOW - timedelta(days=20))
    scaled(cloud, ("launched", gone, 600), ("ended", gone, 300))
    use(cloud, gone, hours_ago=310)
    assert "unused" == reason(cloud, quiet)


def test_what_an_earlier_version_is_known_to_use_keeps_the_new_one_from_being_judged_young(cloud: Cloud) -> None:
    """Its members are gone since; the ledger judged them."""
    old = cloud.launch(count=2, days=50, tags=IN_GROUP | {VERSION: "2"})
    for arn in old:
        use(cloud, arn, hours_ago=30)
    run(cloud, *old)
    members = young(cloud, count=4, tags=IN_GROUP)
    for arn in old:
        end(cloud, arn)
    scaled(cloud, *(("ended", arn, 1) for arn in old))
    verdict = run(cloud, members[0])[members[0]]
    assert "too_young" == verdict.reason
    assert "of another version (or one that nobody knows), made 7 IMDSv1 calls" in verdict.explanation
    cloud.clock.move(minutes=5)
    source = str(cloud.current(members[0])["cohort"]).partition("@")[0]
    steer(cloud, clear={"cohort": source}, caller="alice", reason="They read their name.", dry_run=False)
    cloud.quiet(members[0], 2)
    assert "cohort_unused" == reason(cloud, members[0])


def dead(cloud: Cloud, name: str, *, launched: int, ended: int) -> InstanceArn:
    """It ran from so many hours ago until so many hours ago, and the ledger never heard of it."""
    arn, hour = arn_of(name), int(NOW.timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, USE, range(hour - launched, hour - ended))
    see_start(cloud, arn, NOW - timedelta(hours=launched))
    return arn


@pytest.mark.parametrize("metric", [USE, REFUSED])
@pytest.mark.parametrize(("launched", "ended"), [(200, 100), (61, 1), (800, 61)])
def test_what_ended_before_the_version_is_known_keeps_the_young_from_being_judged(
    cloud: Cloud, launched: int, ended: int, metric: str
) -> None:
    """It ran this version or an earlier one: nobody knows which, and neither may have made calls."""
    members = young(cloud, hours=60, count=4, tags=IN_GROUP)
    loud = dead(cloud, "dead1", launched=launched, ended=ended)
    for hours in range(ended + 5, ended + 25):
        cloud.metrics.put_at(loud.instance_id, metric, NOW - timedelta(hours=hours), 3)
    scaled(cloud, ("launched", loud, launched), ("ended", loud, ended))
    verdict = run(cloud, members[0])[members[0]]
    assert "too_young" == verdict.reason
    assert f"{loud.instance_id}, from the same source" in verdict.explanation
    cloud.quiet(members[1], 0.5)
    assert "too_young" == reason(cloud, members[1])
    assert "unused" == reason(cloud, cloud.one(tags=IN_GROUP))


def test_what_ended_under_another_name_of_the_cohort_keeps_the_young_from_being_judged(cloud: Cloud) -> None:
    """The policy named cohorts by a tag when it was judged: of its version the ledger says nothing."""
    cloud.policy(cohort_tag="app")
    loud = cloud.one(days=20, tags=IN_GROUP | {"app": "mill"})
    for hours in range(30, 50):
        use(cloud, loud, hours_ago=hours)
    run(cloud, loud)
    end(cloud, loud)
    cloud.policy(cohort_tag=None)
    members = young(cloud, hours=60, count=4, tags=IN_GROUP)
    scaled(cloud, ("ended", loud, 2))
    verdict = run(cloud, members[0])[members[0]]
    assert "too_young" == verdict.reason
    assert loud.instance_id in verdict.explanation


def test_the_hours_of_what_ended_before_the_version_is_known_prove_nothing(cloud: Cloud) -> None:
    """They may have been another version's."""
    members = young(cloud, hours=30, count=4, tags=IN_GROUP)
    gone = [dead(cloud, f"dead{number}", launched=300, ended=100) for number in (1, 2, 3)]
    scaled(cloud, *(("launched", arn, 300) for arn in gone), *(("ended", arn, 100) for arn in gone))
    verdict = run(cloud, members[0])[members[0]]
    assert "too_young" == verdict.reason
    assert "4 instances were observed for 120 hours" in verdict.explanation


def test_a_stray_call_before_the_version_is_known_is_outweighed_by_what_ended_with_it(cloud: Cloud) -> None:
    """Many others that ended then made none."""
    members = young(cloud, hours=60, count=4, tags=IN_GROUP)
    gone = [dead(cloud, f"dead{number:x}", launched=400, ended=100) for number in range(1, 20)]
    use(cloud, gone[0], hours_ago=250, calls=1)
    scaled(cloud, *(("launched", arn, 400) for arn in gone), *(("ended", arn, 100) for arn in gone))
    assert "cohort_unused" == reason(cloud, members[0])


def test_what_was_seen_alive_is_remembered(cloud: Cloud) -> None:
    """A launch template tells of no activities; its calls came when nobody looked any more."""
    members = young(cloud, hours=60, count=4)
    assert {"cohort_unused"} == {str(each.reason) for each in run(cloud, members[0]).values()}
    cloud.quiet(members[1], 5)
    use(cloud, members[3], hours_ago=1)
    end(cloud, members[3])
    assert "cohort_uses_v1" == reason(cloud, members[1])


def test_a_person_settles_what_has_ended_for_the_cohort(cloud: Cloud) -> None:
    """No record names it."""
    quiet, gone = young(cloud, tags=IN_GROUP)[0], arn_of("dead1")
    scaled(cloud, ("launched", gone, 60), ("ended", gone, 20))
    use(cloud, gone, hours_ago=21)
    assert "cohort_uses_v1" == reason(cloud, quiet)
    key = str(cloud.current(quiet)["cohort"])
    cloud.clock.move(minutes=5)
    (told,) = steer(cloud, clear={"cohort": key}, caller="alice", reason="A one-off.", dry_run=False)
    assert ["cohort_uses_v1"] == told["voids"]
    assert "too_young" == reason(cloud, quiet)


def test_where_activities_cannot_be_read_the_cohort_speaks_for_nobody(cloud: Cloud) -> None:
    """Roles of an earlier release may not read them. What has evidence of its own goes on."""
    cloud.wire.refuse("DescribeScalingActivities", "AccessDenied")
    members = young(cloud, count=4, tags=IN_GROUP)
    verdict = run(cloud, members[0])[members[0]]
    assert "too_young" == verdict.reason
    assert "which members its group has ended could not be read" in verdict.explanation
    assert "unused" == reason(cloud, cloud.one(tags=IN_GROUP))


# --- The young -----------------------------------------------------------------------------------------------------


def test_a_member_that_lives_for_exactly_a_week_is_judged_by_its_cohort(cloud: Cloud) -> None:
    """It has 167 whole hours, and a start that was seen."""
    launched = NOW - timedelta(hours=168) + timedelta(minutes=20)
    one, *others = young(cloud, hours=168 - 1 / 3, tags=IN_GROUP) + young(cloud, hours=80, count=2, tags=IN_GROUP)
    verdict = run(cloud, one)[one]
    assert launched < NOW
    assert "cohort_unused" == verdict.reason
    assert "3 instances (3 there, 0 gone)" in verdict.explanation
    assert "required" == cloud.tokens(one)
    assert {"optional"} == {cloud.tokens(arn) for arn in others}


def test_hours_of_what_has_ended_count(cloud: Cloud) -> None:
    """Two that lived for 90 hours each, and one that lives."""
    young_one, first, second = young(cloud, hours=20, tags=IN_GROUP)[0], arn_of("dead1"), arn_of("dead2")
    for gone, launched in ((first, 110), (second, 120)):
        hour = int(NOW.timestamp() // 3600)
        cloud.metrics.put(gone.instance_id, USE, range(hour - launched, hour - launched + 91))
        see_start(cloud, gone, NOW - timedelta(hours=launched))
    sibling = young(cloud, hours=125, tags=IN_GROUP)[0]
    activities = [("launched", first, 110), ("ended", first, 19), ("launched", second, 120), ("ended", second, 29)]
    scaled(cloud, *activities)
    verdict = run(cloud, young_one)[young_one]
    assert "cohort_unused" == verdict.reason
    assert "4 instances (2 there, 2 gone)" in verdict.explanation
    assert "optional" == cloud.tokens(sibling)


def test_too_little_of_the_cohort_is_said(cloud: Cloud) -> None:
    """Two starts of two instances."""
    one, _ = young(cloud, count=2)
    verdict = run(cloud, one)[one]
    assert "too_young" == verdict.reason
    assert (
        "2 instances were observed for 180 hours, and 2 starts seen without a call; 168 and 3 are needed"
        in verdict.explanation
    )
    assert NOW < verdict.revisit_at <= NOW + timedelta(days=1, minutes=10)  # type: ignore[operator]


def test_an_image_of_nobody_knows_whom_speaks_for_nobody(cloud: Cloud) -> None:
    """It has been deregistered; it may have been Amazon's."""
    cloud.wire.on("DescribeImages", lambda _: {"Images": []})
    members = young(cloud, count=4, tags={})
    assert "too_young" == reason(cloud, members[0])


# --- What it costs -------------------------------------------------------------------------------------------------


def test_within_the_hour_nobody_is_asked_again(cloud: Cloud) -> None:
    """The ledger remembers what was found."""
    members = young(cloud, count=4)
    run(cloud, members[0])
    before, calls = asked_about(cloud, members[2:]), len(cloud.wire.made("DescribeInstances"))
    cloud.quiet(members[0], 0.5)
    verdict = run(cloud, members[1])[members[1]]
    assert "cohort_unused" == verdict.reason
    assert before == asked_about(cloud, members[2:])
    listed = cloud.wire.made("DescribeInstances")[calls:]
    assert not [call for call in listed if "Filters" in call.params]


def test_what_was_judged_within_a_day_serves(cloud: Cloud) -> None:
    """CloudWatch is asked about nobody but the one at hand."""
    cloud.policy(mode="observe")
    members = young(cloud, count=4)
    run(cloud, *members[1:])
    hour = int(cloud.clock().timestamp() // 3600)
    for arn in members[1:]:
        cloud.metrics.put(arn.instance_id, USE, range(hour, hour + 2))
    cloud.quiet(members[0], 2)
    before = asked_about(cloud, members[1:])
    assert "cohort_unused" == reason(cloud, members[0])
    assert before == asked_about(cloud, members[1:])


def test_a_batch_of_one_cohort_costs_no_metric_and_one_listing(cloud: Cloud) -> None:
    """All its evidence is at hand."""
    arns = cloud.launch(count=40, tags=FROM_TEMPLATE)
    alone = cloud.launch(count=40, account="333333333333", tags={})
    cloud.wire.on("DescribeImages", lambda call: _of_amazon(call) if call.account == "333333333333" else None)
    run(cloud, *alone)
    metrics, listings = len(cloud.wire.made("GetMetricData")), len(cloud.wire.made("DescribeInstances"))
    run(cloud, *arns)
    assert 2 * metrics == len(cloud.wire.made("GetMetricData"))
    assert 2 * listings + 1 == len(cloud.wire.made("DescribeInstances"))


def test_a_dry_run_leaves_no_trace(cloud: Cloud) -> None:
    """It answers as a real one would."""
    members = young(cloud, count=4)
    outcomes = cloud.line().run([asked(members[0])], "request", dry_run=True)
    assert "cohort_unused" == outcomes.judged[members[0]].verdict.reason
    assert [] == cloud.items()


def test_what_cannot_be_listed_holds_for_a_quarter_of_an_hour(cloud: Cloud) -> None:
    """And is asked for again then."""
    one = cloud.one(tags=FROM_TEMPLATE)
    cloud.wire.on("DescribeInstances", no_listing)
    verdict = run(cloud, one)[one]
    assert "evidence_incomplete" == verdict.reason
    assert (
        "What others in its cohort (launch template lt-0e5f (3, ami-12c6146b)) did could not be read"
        in verdict.explanation
    )


# --- The item ------------------------------------------------------------------------------------------------------


def test_a_pool_is_read_as_it_was_written(cloud: Cloud) -> None:
    """To the second."""
    pools, key = Pools(cloud.client("dynamodb"), TABLE), f"aws/{MEMBER}/{REGION}/group:jobs@lt-0e5f+3"
    arn, other = arn_of("1"), arn_of("2")
    calls = Trace(arn=arn, calls=3, last=NOW - HOUR, gone=True)
    members = (
        Member(arn=arn, launched_at=NOW - 9 * HOUR, ended_at=NOW - HOUR, looked_at=NOW, hours=7, used=calls),
        Member(arn=other, started=True, refused=Trace(arn=other, calls=1, last=NOW, refused=True)),
    )
    pool = KeptPool(
        key=key, read_at=NOW, members=members, before=calls, before_key=f"{key}4", settled_at=NOW, doubt="none"
    )
    assert pools.save(pool)
    assert not pools.save(pool)
    read = pools.read([key, f"{key}5"])
    assert (pool.members, NOW, calls, 1) == (
        read[key].members,
        read[key].read_at,
        read[key].before,
        read[key].version,
    )
    assert KeptPool(key=f"{key}5") == read[f"{key}5"]


def test_as_many_as_are_remembered_fit_into_an_item(cloud: Cloud) -> None:
    """With calls of each, and ids that nothing can shorten."""
    chance = random.Random(12)  # noqa: S311 - no secret
    members = []
    for _ in range(MOST_MEMBERS):
        arn = arn_of(f"{chance.getrandbits(68):017x}")
        when = NOW - timedelta(seconds=chance.randrange(35 * 86_400))
        calls = Trace(arn=arn, calls=chance.randrange(10**6), last=when)
        members.append(
            Member(arn=arn, launched_at=when, ended_at=when, looked_at=when, hours=840, used=calls, refused=calls)
        )
    key = f"aws/{MEMBER}/{REGION}/group:jobs"
    assert Pools(cloud.client("dynamodb"), TABLE).save(KeptPool(key=key, members=tuple(members)))
    (item,) = cloud.items()
    assert len(item["members"]) < 350_000


def _of_amazon(call: Any) -> dict[str, Any]:
    wanted = call.params["Filters"][0]["Values"]
    return {"Images": [{"ImageId": image, "OwnerId": "137112412989", "Public": True} for image in wanted]}
