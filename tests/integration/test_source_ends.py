"""How attempts to change a source end when something comes between: nothing that was made stays in force unwatched, untold or uncounted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from tests.integration.builders import MEMBER, REGION
from tests.integration.guarding import enforced, guard, live, reject
from tests.integration.steering import steer
from tests.integration.test_source_fix import (
    KEY,
    default,
    defaults,  # noqa: F401 - used by every test
    fix,
    fixed,
    item,
    launched,
    make_as_ec2_does,
    proved,
    shown,
    sweep,
    tokens,
    versions,
    writes,
)
from tests.integration.test_sources import another_version, template

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

LATEST, BY_DEFAULT = "$Latest", "$Default"
LEASE = 17
"""Minutes after which an attempt is taken over."""


def made_without_an_answer(cloud: Cloud, named: str = LATEST) -> str:
    """A group of which EC2 made a version, and nobody heard of it. Its template."""
    made, make, lost = template(cloud), make_as_ec2_does(cloud), [True]
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": named})

    def lose(call: Call) -> None:
        if lost.pop() if lost else False:
            make(call)
            raise EndpointConnectionError(endpoint_url="https://ec2")

    cloud.wire.on("CreateLaunchTemplateVersion", lose)
    (first,) = fix(cloud)
    assert ("fixing", "required") == (first["status"], tokens(cloud, made, LATEST))
    return made


def subjects(cloud: Cloud, about: str) -> int:
    """How many messages people have had of that."""
    return sum(about in each["Subject"] for each in cloud.published())


@pytest.mark.parametrize("policy", [{"mode": "off"}, {"change_calendar": "closed"}])
def test_a_version_whose_answer_was_lost_goes_back_when_a_gate_closes(cloud: Cloud, policy: dict[str, Any]) -> None:
    """Whoever launches from the latest version uses it already, and nobody watches that."""
    made = made_without_an_answer(cloud)
    cloud.policy(**{"mode": "enforce", **policy})
    guard(cloud, after=LEASE)
    assert ("gone_back", "optional") == (item(cloud)["status"], tokens(cloud, made, LATEST))
    assert 1 == subjects(cloud, "allow IMDSv1 again")


@pytest.mark.parametrize("operation", ["ModifyLaunchTemplate", "CreateTags"])
def test_a_version_whose_answer_was_lost_goes_back_when_aws_refuses_the_rest(cloud: Cloud, operation: str) -> None:
    """Not only what is on record was made."""
    made = made_without_an_answer(cloud, BY_DEFAULT)
    cloud.wire.refuse(operation, "UnauthorizedOperation", status=403)
    guard(cloud, after=LEASE)
    assert ("gone_back", "optional", 1) == (item(cloud)["status"], tokens(cloud, made, LATEST), default(cloud, made))


def test_a_version_whose_answer_was_lost_goes_back_at_a_persons_word(cloud: Cloud) -> None:
    """An undo finds it as well."""
    made = made_without_an_answer(cloud)
    cloud.clock.move(minutes=LEASE)
    assert [True] == [each["done"] for each in steer(cloud, undo={"source": KEY})]
    assert "optional" == tokens(cloud, made, LATEST)


def test_an_older_look_is_nobody_s_change(cloud: Cloud) -> None:
    """EC2 shows the template for some seconds as it was before the version was made."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": LATEST})
    lags = [True]

    def lag(call: Call) -> dict[str, Any] | None:
        if not lags[0] or call.params.get("LaunchTemplateIds") != [made] or len(versions(cloud, made)) == 1:
            return None
        named = {"LaunchTemplateId": made, "LaunchTemplateName": "web"}
        return {"LaunchTemplates": [{**named, "DefaultVersionNumber": 1, "LatestVersionNumber": 1}]}

    cloud.wire.on("DescribeLaunchTemplates", lag)
    (ended,) = fix(cloud)
    assert "fixing" == ended["status"], ended["explanation"]
    lags[0] = False
    guard(cloud, after=LEASE)
    assert ("fixed", 2) == (item(cloud)["status"], len(versions(cloud, made)))


@pytest.mark.parametrize("named", [LATEST, "1"])
def test_what_was_made_does_not_stay_where_somebody_made_a_version_at_the_same_moment(cloud: Cloud, named: str) -> None:
    """Theirs is told; ours, which took its place as the latest, requires tokens of nobody."""
    made, make, first = template(cloud), make_as_ec2_does(cloud), [True]
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": named})

    def somebody(call: Call) -> dict[str, Any]:
        if first.pop() if first else False:
            another_version(cloud, made)
        return make(call)

    cloud.wire.on("CreateLaunchTemplateVersion", somebody)
    (ended,) = fix(cloud)
    assert ("gone_back", named) == (ended["status"], shown(cloud)["LaunchTemplate"]["Version"])
    assert "at the same moment" in ended["explanation"]
    assert "optional" == tokens(cloud, made, LATEST)


def test_what_somebody_changes_between_two_steps_leaves_none_of_them_in_force(cloud: Cloud) -> None:
    """The pointer was moved, and then somebody made a version: the pointer goes back, theirs stays."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    moved: list[int] = []

    def somebody(call: Call) -> None:
        if not moved:
            moved.append(1)
            cloud.as_account(MEMBER, call.service).update_auto_scaling_group(**call.params)
            another_version(cloud, made, HttpEndpoint="enabled")
            raise EndpointConnectionError(endpoint_url="https://autoscaling")

    cloud.wire.on("UpdateAutoScalingGroup", somebody)
    fix(cloud)
    guard(cloud, after=LEASE)
    assert ("gone_back", "1") == (item(cloud)["status"], shown(cloud)["LaunchTemplate"]["Version"])
    assert "Somebody made version 3" in item(cloud)["explanation"]
    assert 3 == len(versions(cloud, made))


def test_a_template_that_is_deleted_meanwhile_ends_the_attempt(cloud: Cloud) -> None:
    """There is nothing to go on with, and nobody waits for it."""
    made = made_without_an_answer(cloud)
    cloud.as_account(MEMBER, "ec2").delete_launch_template(LaunchTemplateId=made)
    guard(cloud, after=LEASE)
    assert item(cloud)["status"] not in {"fixing", "going_back"}


def test_what_is_never_shown_is_given_up(cloud: Cloud) -> None:
    """Somebody deleted the version before anything pointed to it; until that is certain, it counts as failed."""
    made = made_without_an_answer(cloud)
    cloud.clock.move(minutes=LEASE)

    def without_ours(call: Call) -> dict[str, Any] | None:
        if call.params.get("LaunchTemplateIds") != [made]:
            return None
        named = {"LaunchTemplateId": made, "LaunchTemplateName": "web"}
        return {"LaunchTemplates": [{**named, "DefaultVersionNumber": 1, "LatestVersionNumber": 1}]}

    cloud.wire.on("DescribeLaunchTemplates", without_ours)
    assert 0 == guard(cloud).failed
    assert "fixing" == item(cloud)["status"]
    assert 1 == guard(cloud, after=60).failed
    guard(cloud, after=6 * 60)
    assert "gone_back" == item(cloud)["status"]


def broken(cloud: Cloud, named: str = BY_DEFAULT) -> str:
    """A source whose new member broke, before the guard has seen it. Its template."""
    made = fixed(cloud, named)
    cloud.clock.move(minutes=30)
    member = launched(cloud, made)
    cloud.clock.move(minutes=10)
    reject(cloud, member)
    cloud.clock.move(minutes=8)
    return made


def test_what_breaks_and_cannot_be_put_back_is_told_once_and_alarms(cloud: Cloud) -> None:
    """At every pass, until it can."""
    made, refuses = broken(cloud), [True]
    cloud.wire.refuse("ModifyLaunchTemplate", "UnauthorizedOperation", when=lambda _: refuses[0], status=403)
    first = guard(cloud)
    assert (0, "going_back") == (first.rolled_back, item(cloud)["status"])
    assert [1, 1, 1] == [guard(cloud).left_broken for _ in range(3)]
    assert 1 == subjects(cloud, "could not be put back")
    told = [each["Message"] for each in cloud.published() if "could not be put back" in each["Subject"]]
    assert "UnauthorizedOperation to ModifyLaunchTemplate" in told[0]
    refuses[0] = False
    assert 0 == guard(cloud).left_broken
    assert ("gone_back", 1) == (item(cloud)["status"], default(cloud, made))
    assert 1 == subjects(cloud, "allow IMDSv1 again")
    assert 1 == len(cloud.accounts().all()[0].rollbacks)


def test_a_way_back_that_the_organisation_forbids_is_told_as_such(cloud: Cloud) -> None:
    """To deploy the roles again would not help."""
    broken(cloud)
    message = "You are not authorized to perform this operation, with an explicit deny in a service control policy: arn:aws:organizations::1:policy/p"
    cloud.wire.refuse("ModifyLaunchTemplate", "UnauthorizedOperation", message, status=403)
    guard(cloud)
    [told] = [each["Message"] for each in cloud.published() if "could not be put back" in each["Subject"]]
    assert "forbidden by a service control policy" in told
    assert "have that allow it to the service's role there" in told
    assert "deploy the member roles" not in told


def test_a_way_back_without_an_answer_alarms_from_the_second_pass_on(cloud: Cloud) -> None:
    """Nobody is told that AWS refuses what it may have done."""
    broken(cloud)
    cloud.wire.on("ModifyLaunchTemplate", unanswered)
    assert 0 == guard(cloud).left_broken
    assert 1 == guard(cloud).left_broken
    assert 0 == subjects(cloud, "could not be put back")


def unanswered(_: Call) -> None:
    raise EndpointConnectionError(endpoint_url="https://ec2")


def test_an_undo_of_what_goes_back_says_so(cloud: Cloud) -> None:
    """It is neither done nor nothing to do."""
    broken(cloud)
    cloud.wire.on("ModifyLaunchTemplate", unanswered)
    guard(cloud)
    (answer,) = steer(cloud, undo={"source": KEY})
    assert not answer["done"]
    assert "is being put back" in answer["problem"]


def test_a_second_version_that_breaks_holds_the_source_again(cloud: Cloud) -> None:
    """The instance that broke before was cleared; another has broken since, and was replaced."""
    made = broken(cloud)
    guard(cloud)
    cleared = item(cloud)["broken_by"]
    assert [True] == [each["done"] for each in steer(cloud, clear={"targets": [cleared]})]
    (again,) = fix(cloud)
    assert "fixed" == again["status"], again["explanation"]
    number = str(int(item(cloud)["steps"][0]["made"]))
    member = launched(cloud, made, number)
    cloud.clock.move(minutes=10)
    reject(cloud, member)
    guard(cloud, after=8)
    assert ("gone_back", str(member)) == (item(cloud)["status"], item(cloud)["broken_by"])
    held = cloud.cohorts().read([f"aws/{MEMBER}/{REGION}/group:web"])
    assert [member] == [each.broken_by for each in held.values()]
    cloud.instance(member)._state.name = "terminated"
    done = writes(cloud)
    (held_back,) = fix(cloud)
    assert ("held", "broke_before", done) == (held_back["status"], held_back["reason"], writes(cloud))


def test_what_a_person_cleared_stays_cleared_where_people_put_sources_back(cloud: Cloud) -> None:
    """Calls from before that are no news; calls from after it are, and are told again."""
    made = fixed(cloud)
    cloud.policy(mode="enforce", rollback="alert")
    cloud.clock.move(minutes=30)
    member = launched(cloud, made)
    cloud.clock.move(minutes=10)
    reject(cloud, member)
    assert 1 == guard(cloud, after=8).left_broken
    cloud.clock.move(minutes=10)
    assert [True] == [each["done"] for each in steer(cloud, clear={"targets": [str(member)]})]
    assert 0 == guard(cloud).left_broken
    assert not cloud.ledger().read([member])[member].is_broken
    told = len(cloud.published())
    reject(cloud, member)
    assert 1 == guard(cloud, after=8).left_broken
    assert told < len(cloud.published())
    assert cloud.ledger().read([member])[member].is_broken


def test_what_is_left_broken_counts_for_as_long_as_nobody_has_settled_it(cloud: Cloud) -> None:
    """Also when its calls have become too old to be read, and another member is healthy."""
    made = fixed(cloud)
    cloud.policy(mode="enforce", rollback="alert")
    cloud.clock.move(minutes=30)
    member, healthy = launched(cloud, made), launched(cloud, made)
    cloud.clock.move(minutes=10)
    reject(cloud, member)
    guard(cloud, after=8)
    live(cloud, healthy, hours=34)
    cloud.instance(healthy).launch_time = cloud.clock() - timedelta(hours=30)
    cloud.clock.move(hours=3)
    assert 1 == guard(cloud).left_broken
    assert "fixed" == item(cloud)["status"]


def test_what_is_owed_is_done_before_another_attempt(cloud: Cloud) -> None:
    """The message that it went back, and its count towards the breaker."""
    made = fixed(cloud)
    refuses = [True]
    cloud.wire.refuse("Publish", "InternalError", when=lambda _: refuses[0], status=500)
    steer(cloud, undo={"source": KEY})
    (held,) = fix(cloud)
    assert ("gone_back", 1) == (held["status"], default(cloud, made))
    assert "has yet to be told" in held["explanation"]
    refuses[0] = False
    guard(cloud)
    (again,) = fix(cloud)
    assert "fixed" == again["status"], again["explanation"]


def test_a_notice_does_not_take_the_place_of_what_is_owed(cloud: Cloud) -> None:
    """The sweep waits as well."""
    fixed(cloud)
    cloud.wire.refuse("Publish", "InternalError", status=500)
    steer(cloud, undo={"source": KEY})
    kept = item(cloud)
    sweep(cloud, notice_hours=2)
    assert kept == item(cloud)


def test_a_source_is_watched_as_it_is_after_its_message(cloud: Cloud) -> None:
    """What is told late is not read again as it was before: the same pass puts back what broke."""
    refuses = [True]
    cloud.wire.refuse("Publish", "InternalError", when=lambda _: refuses[0], status=500)
    broken(cloud)
    assert "tell" in item(cloud)["owes"]
    refuses[0] = False
    assert 1 == guard(cloud).rolled_back
    assert "gone_back" == item(cloud)["status"]


def test_sources_for_which_there_is_no_time_count_as_failed(cloud: Cloud) -> None:
    """Nobody else would say that they are not watched."""
    fixed(cloud)
    cloud.clock.move(minutes=5)
    assert 1 == cloud.guard().sources.run("request-2", lambda: False).failed


def test_a_notice_is_used_up_by_the_change(cloud: Cloud) -> None:
    """The next change wants its own."""
    made = template(cloud)
    arns = proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    sweep(cloud, notice_hours=2)
    for arn in arns:
        cloud.quiet(arn, 0)
    cloud.clock.move(hours=3)
    assert {"fixed": 1} == sweep(cloud, notice_hours=2)
    assert "notice_ends_at" not in item(cloud)


@pytest.mark.parametrize("named", [LATEST, BY_DEFAULT])
def test_what_was_made_days_ago_and_never_completed_goes_back(cloud: Cloud, named: str) -> None:
    """The guard stood still, and what was found out about the instances is days old."""
    made = made_without_an_answer(cloud, named)
    cloud.clock.move(hours=50)
    guard(cloud)
    guard(cloud)
    assert ("gone_back", "optional", 1) == (item(cloud)["status"], tokens(cloud, made, LATEST), default(cloud, made))
    assert "too old to act on" in item(cloud)["explanation"]
    assert f"imdsv2 sources --fix --account {MEMBER} --in-region {REGION}" in item(cloud)["explanation"]


def test_what_was_begun_days_ago_and_never_made_is_not_made_now(cloud: Cloud) -> None:
    """A person is told how to have it judged anew."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})
    lost = [True]

    def lose(_: Call) -> None:
        if lost:
            lost.clear()
            raise EndpointConnectionError(endpoint_url="https://ec2")

    cloud.wire.on("CreateLaunchTemplateVersion", lose)
    assert ["fixing"] == [each["status"] for each in fix(cloud)]
    cloud.clock.move(hours=7)
    guard(cloud)
    assert ("failed", [1]) == (item(cloud)["status"], versions(cloud, made))
    assert 1 == subjects(cloud, "could not be changed")


def test_what_was_completed_before_it_stood_still_is_watched(cloud: Cloud) -> None:
    """Only the record of its end is missing: to go back would change what works."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})
    moves: list[Call] = []
    lost = [True]

    def lose(call: Call) -> None:
        moves.append(call)

    def refuse(_: Call) -> dict[str, Any] | None:
        if moves and lost[0]:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        return None

    cloud.wire.on("ModifyLaunchTemplate", lose)
    cloud.wire.on("TransactWriteItems", refuse)
    assert ["fixing"] == [each["status"] for each in fix(cloud)]
    lost[0] = False
    cloud.clock.move(hours=12)
    guard(cloud)
    assert ("fixed", 2) == (item(cloud)["status"], default(cloud, made))


def of_source(name: str) -> Callable[[Call], bool]:
    """Whether a call writes the item of that group."""

    def is_it(call: Call) -> bool:
        return f"auto_scaling_group:{name}'" in str(call.params)

    return is_it


def test_a_source_that_the_ledger_refuses_keeps_no_other_from_being_changed(cloud: Cloud) -> None:
    """And who asked hears of both."""
    for name in ("first", "second"):
        made = template(cloud, name)
        proved(cloud, name, LaunchTemplate={"LaunchTemplateId": made, "Version": BY_DEFAULT})
    cloud.wire.refuse("TransactWriteItems", "AccessDeniedException", when=of_source("first"))
    ended = {each["status"]: each["explanation"] for each in fix(cloud)}
    assert {"held", "fixed"} == ended.keys()
    assert "AccessDeniedException" in ended["held"]
    assert "ask again" in ended["held"]


def test_a_source_that_cannot_be_put_back_keeps_nothing_else_from_it(cloud: Cloud) -> None:
    """A person wants back all of an account; its instances are what hurts."""
    fixed(cloud)
    arn = enforced(cloud)
    cloud.wire.refuse("TransactWriteItems", "AccessDeniedException", when=of_source("web"))
    results = steer(cloud, undo={"account": MEMBER})
    by_done = {each["done"]: each for each in results}
    assert {True, False} == by_done.keys()
    assert (str(arn), "optional") == (by_done[True]["target"], cloud.tokens(arn))
    assert "AccessDeniedException" in by_done[False]["problem"]
    assert by_done[False]["problem"].endswith("Ask again.")


def test_an_undo_moments_after_the_change_puts_back_what_an_older_look_shows_as_back(cloud: Cloud) -> None:
    """EC2 shows the default as it was before the change; people are told that it is back, so it must be."""
    made = fixed(cloud)
    assert 2 == default(cloud, made)

    def lag(call: Call) -> dict[str, Any] | None:
        if call.params.get("LaunchTemplateIds") != [made]:
            return None
        named = {"LaunchTemplateId": made, "LaunchTemplateName": "web"}
        return {"LaunchTemplates": [{**named, "DefaultVersionNumber": 1, "LatestVersionNumber": 2}]}

    cloud.wire.on("DescribeLaunchTemplates", lag)
    assert [True] == [each["done"] for each in steer(cloud, undo={"source": KEY})]
    assert ("gone_back", 1) == (item(cloud)["status"], default(cloud, made))


def test_a_pointer_moments_after_the_change_goes_back_in_the_same_way(cloud: Cloud) -> None:
    """Auto Scaling shows the number as it was."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    before = shown(cloud)
    assert ["fixed"] == [each["status"] for each in fix(cloud)]
    lags = [True]
    autoscaling = cloud.as_account(MEMBER, "autoscaling")

    def lag(_: Call) -> dict[str, Any] | None:
        return {"AutoScalingGroups": [before]} if lags[0] else None

    cloud.wire.on("DescribeAutoScalingGroups", lag)
    steer(cloud, undo={"source": KEY})
    lags[0] = False
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"]
    assert ("gone_back", "1") == (item(cloud)["status"], group["LaunchTemplate"]["Version"])
