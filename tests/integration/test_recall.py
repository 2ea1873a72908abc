"""Recall: CloudWatch lists verified instances that break later, and the guard rolls them back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.texts.commands import command
from tests.integration.builders import LEASE, MEMBER, OTHER
from tests.integration.guarding import Died, enforced, guard, live, probe, reject, restart, set_state

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

LIST = "ListMetrics"


def verified(cloud: Cloud, **how: str) -> InstanceArn:
    """A verified instance; the watch of its next start has not begun."""
    arn = enforced(cloud, **how)
    live(cloud, arn, hours=25)
    assert 1 == guard(cloud).verified
    return arn


def started_since(cloud: Cloud) -> InstanceArn:
    """An instance whose watch has ended: it has started since, and was verified again."""
    arn = verified(cloud)
    restart(cloud, arn)
    live(cloud, arn, hours=25)
    guard(cloud)
    assert "done" == cloud.current(arn)["watch"]
    return arn


def status(cloud: Cloud, arn: InstanceArn) -> tuple[str, str]:
    """The status in the ledger and the options in EC2."""
    return cloud.current(arn)["status"], cloud.tokens(arn)


def test_a_monthly_job_that_fails_after_the_watch_is_noticed_within_the_hour(cloud: Cloud) -> None:
    """It is rolled back, its cohort is held, and people are notified."""
    arn = verified(cloud)
    live(cloud, arn, hours=20 * 24)
    reject(cloud, arn)
    told = len(cloud.published())
    done = guard(cloud, after=60)
    assert (1, 0) == (done.rolled_back, done.failed)
    assert ("rolled_back", "optional") == status(cloud, arn)
    assert str(arn) in cloud.published()[told]["Message"]
    assert arn == cloud.cohorts().read([cloud.current(arn)["cohort"]])[cloud.current(arn)["cohort"]].broken_by


def test_what_has_started_since_and_proved_healthy_twice_is_noticed_too(cloud: Cloud) -> None:
    """Its watch had ended for good."""
    arn = started_since(cloud)
    reject(cloud, arn)
    assert 1 == guard(cloud, after=60).rolled_back
    assert ("rolled_back", "optional") == status(cloud, arn)


def test_a_recall_that_was_left_half_done_is_finished_by_the_next_pass(cloud: Cloud) -> None:
    """Its watch had ended, and only the ledger records the unfinished rollback."""
    arn = started_since(cloud)
    reject(cloud, arn)
    dies = [True]

    def die(_: Call) -> None:
        if dies[0]:
            raise Died

    cloud.wire.on("ModifyInstanceMetadataOptions", die)
    with pytest.raises(Died):
        guard(cloud, after=60)
    dies[0] = False
    assert "rolling_back" == cloud.current(arn)["status"]
    cloud.clock.move(seconds=LEASE.total_seconds())
    assert 1 == guard(cloud).rolled_back
    assert ("rolled_back", "optional") == status(cloud, arn)


def test_one_whose_life_could_not_be_proved_is_noticed_too(cloud: Cloud) -> None:
    """People were notified that its health is unproved; now CloudWatch shows breakage."""
    arn = enforced(cloud)
    cloud.clock.move(days=8)
    guard(cloud)
    assert ("enforced", "done") == (cloud.current(arn)["status"], cloud.current(arn)["watch"])
    reject(cloud, arn)
    assert 1 == guard(cloud, after=60).rolled_back


def test_what_was_refused_just_before_its_next_start_counts_in_the_watch_of_that(cloud: Cloud) -> None:
    """It starts before the hour is over, and so before CloudWatch is queried."""
    arn = verified(cloud)
    guard(cloud, after=60)
    reject(cloud, arn)
    cloud.clock.move(minutes=1)
    restart(cloud, arn)
    assert 1 == guard(cloud).rolled_back


def test_it_is_asked_once_an_hour_and_place_however_many_there_are(cloud: Cloud) -> None:
    """This one call per account and Region covers all instances, so that a pass costs little."""
    arns = [enforced(cloud, account=account) for account in (MEMBER, OTHER, MEMBER, OTHER)]
    live(cloud, *arns, hours=25)
    assert 4 == guard(cloud).verified
    made = len(cloud.wire.calls)
    for _ in range(13):
        guard(cloud)
    asked = [call.account for call in cloud.wire.calls[made:] if call.operation == LIST]
    assert [MEMBER, OTHER] == sorted(asked)


@pytest.mark.parametrize("days", [36, 95, 400])
def test_it_goes_on_for_as_long_as_the_enforcement_stands(cloud: Cloud, days: int) -> None:
    """What needs IMDSv1 in the next quarter, or under the next load, fails long after any window."""
    arn = started_since(cloud)
    cloud.clock.move(days=days)
    reject(cloud, arn)
    assert 1 == guard(cloud, after=60).rolled_back
    assert ("rolled_back", "optional") == status(cloud, arn)


def test_a_reboot_long_after_the_watch_is_noticed(cloud: Cloud) -> None:
    """EC2 does not show it; its software calls in several periods of five minutes."""
    arn = verified(cloud)
    live(cloud, arn, hours=37 * 24)
    for minutes in (0, 4, 9):
        probe(cloud, arn, calls=7, at=cloud.clock() + timedelta(minutes=minutes))
    assert 1 == guard(cloud, after=60).rolled_back


def test_what_cloudwatch_shows_hours_late_counts(cloud: Cloud) -> None:
    """Calls of the last hours of the watch arrive after the proof, and their periods lie before it."""
    arn = verified(cloud)
    for hours in (3.5, 3.4):
        probe(cloud, arn, calls=150, at=cloud.clock() - timedelta(hours=hours))
    assert 1 == guard(cloud, after=60).rolled_back
    assert ("rolled_back", "optional") == status(cloud, arn)


def test_a_single_call_weeks_later_is_told_once_and_opens_nothing(cloud: Cloud) -> None:
    """A scanner, somebody's test, or an attacker who waits for a rollback: both readings are told, each with what to do."""
    arn = verified(cloud)
    live(cloud, arn, hours=21 * 24)
    probe(cloud, arn)
    told = len(cloud.published())
    assert (0, 0) == ((done := guard(cloud, after=60)).rolled_back, done.left_broken)
    guard(cloud, after=60)
    guard(cloud, after=60)
    assert ("verified", "required") == status(cloud, arn)
    (message,) = cloud.published()[told:]
    assert message["Subject"].startswith("IMDSv1 calls were rejected: a probe, or something broke: 1 instance")
    for word in ("undo", "clear"):
        assert command(word, arn) in message["Message"]
    current = cloud.current(arn)
    assert ("probe_or_breakage", True) == (current["left_because"], "probe_at" in current)
    assert "broken_at" not in current
    assert not [each for each in cloud.items() if each["pk"].startswith("cohort#") and each["sk"] == "current"]


def test_probes_days_apart_are_no_pattern(cloud: Cloud) -> None:
    """Each is told; at the same time on a third day, they are one."""
    arn = verified(cloud)
    told = len(cloud.published())
    for hours in (30, 41, 26):
        live(cloud, arn, hours=hours)
        probe(cloud, arn)
        assert 0 == guard(cloud, after=60).rolled_back
    assert told + 3 == len(cloud.published())
    probe(cloud, arn, at=cloud.clock() + timedelta(minutes=30))
    live(cloud, arn, hours=0.5)
    assert 1 == guard(cloud, after=60).rolled_back


def test_at_the_same_time_on_three_days_something_calls_by_a_timetable(cloud: Cloud) -> None:
    """Once a day is too seldom for the other rules."""
    arn = verified(cloud)
    rolled_back = []
    for minutes in (0, 10, -10):
        probe(cloud, arn, at=cloud.clock() + timedelta(minutes=minutes))
        rolled_back.append(guard(cloud, after=60).rolled_back)
        live(cloud, arn, hours=23)
    assert [0, 0, 1] == rolled_back


def test_the_hour_at_which_it_called_imdsv1_before_needs_no_second_call(cloud: Cloud) -> None:
    """A weekly job, too old for the window: CloudWatch remembers when it ran, and is asked once."""
    arn = enforced(cloud, days=400)
    weekly = [datetime(2026, 8, 3, 2, 20, tzinfo=UTC) + timedelta(weeks=week) for week in range(4)]
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", [int(each.timestamp() // 3600) for each in weekly], 3)
    live(cloud, arn, hours=25)
    assert 1 == guard(cloud).verified
    cloud.clock.time = datetime(2027, 1, 12, 2, 40, tzinfo=UTC)  # A Tuesday, at the same hour.
    probe(cloud, arn)
    assert 0 == guard(cloud, after=60).rolled_back
    cloud.clock.time = datetime(2027, 1, 18, 2, 40, tzinfo=UTC)  # A Monday.
    probe(cloud, arn)
    assert 1 == guard(cloud, after=60).rolled_back
    assert "at the hour of the week at which it called IMDSv1 before" in cloud.current(arn)["explanation"]


def test_fewer_refused_calls_than_the_policy_says_end_no_watch(cloud: Cloud) -> None:
    """Listed by CloudWatch, counted, told: the watch of its next start is still to come."""
    cloud.policy(mode="enforce", rejected_threshold=5)
    arn = verified(cloud)
    reject(cloud, arn, calls=2)
    assert 0 == guard(cloud, after=60).rolled_back
    current = cloud.current(arn)
    assert ("verified", "open", "probe_or_breakage") == tuple(
        current[name] for name in ("status", "watch", "left_because")
    )
    reject(cloud, arn, calls=2)
    assert 1 == guard(cloud, after=60).rolled_back


def test_where_people_alone_may_put_it_back_it_stays_in_sight(cloud: Cloud) -> None:
    """Notified once, and counted at every pass while it is broken, like breakage under watch."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = started_since(cloud)
    reject(cloud, arn)
    assert [1, 1, 1] == [guard(cloud, after=60).left_broken, guard(cloud).left_broken, guard(cloud).left_broken]
    assert ("verified", "required") == status(cloud, arn)
    cloud.policy(mode="enforce")
    assert 1 == guard(cloud).rolled_back


def test_one_left_broken_before_its_next_start_stays_in_sight(cloud: Cloud) -> None:
    """Although the guard was only waiting for its next start."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = verified(cloud)
    reject(cloud, arn)
    assert [1, 1] == [guard(cloud, after=60).left_broken, guard(cloud).left_broken]
    live(cloud, arn, hours=5 * 24)
    assert 1 == guard(cloud).left_broken


def test_what_somebody_has_changed_back_after_it_broke_is_breakage(cloud: Cloud) -> None:
    """Nobody watched it any longer, but its rejected calls tell why: nothing is changed, its cohort is held."""
    arn = started_since(cloud)
    probe(cloud, arn)
    cloud.set_options(arn, http_tokens="optional")
    assert (0, 0) == ((done := guard(cloud, after=60)).rolled_back, done.left_broken)
    current = cloud.current(arn)
    assert ("held", "changed_back") == (current["status"], current["reason"])
    assert arn == cloud.cohorts().read([current["cohort"]])[current["cohort"]].broken_by
    assert 1 == len(cloud.accounts().of(arn).rollbacks)


def test_what_has_gone_is_left_alone(cloud: Cloud) -> None:
    """CloudWatch still lists it for hours."""
    arn = started_since(cloud)
    reject(cloud, arn)
    set_state(cloud, arn, "terminated")
    assert (0, 0) == ((done := guard(cloud, after=60)).rolled_back, done.failed)


def test_instances_that_we_never_changed_are_left_alone(cloud: Cloud) -> None:
    """Someone else requires tokens there, and is responsible for the rejected calls."""
    verified(cloud)
    theirs = cloud.one()
    cloud.set_options(theirs, http_tokens="required")
    reject(cloud, theirs)
    assert 0 == guard(cloud, after=60).rolled_back
    assert str(theirs) not in {item["pk"] for item in cloud.items()}


def test_a_place_that_does_not_let_us_ask_is_watched_all_the_same(cloud: Cloud) -> None:
    """Member roles of an older stack cannot list metrics."""
    arn = enforced(cloud)
    reject(cloud, arn)
    cloud.wire.refuse(LIST, "AccessDenied")
    assert (1, 0) == ((done := guard(cloud, after=60)).rolled_back, done.failed)
