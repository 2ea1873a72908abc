"""Recall: CloudWatch lists verified instances that break later, and the guard rolls them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.builders import LEASE, MEMBER, OTHER
from tests.integration.guarding import Died, enforced, guard, live, reject, restart, set_state

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
    for account in (MEMBER, OTHER):
        enforced(cloud, account=account)
        enforced(cloud, account=account)
    guard(cloud)
    made = len(cloud.wire.calls)
    for _ in range(13):
        guard(cloud)
    asked = [call.account for call in cloud.wire.calls[made:] if call.operation == LIST]
    assert [MEMBER, OTHER] == sorted(asked)


def test_it_ends_when_the_window_that_was_looked_back_at_has_passed(cloud: Cloud) -> None:
    """Anything that happens once in a window has happened by then; later breakage has other causes."""
    cloud.policy(mode="enforce", lookback_days=8)
    arn = started_since(cloud)
    live(cloud, arn, hours=8 * 24)
    reject(cloud, arn)
    assert 0 == guard(cloud, after=60).rolled_back
    assert ("verified", "required") == status(cloud, arn)


def test_fewer_refused_calls_than_the_policy_says_end_no_watch(cloud: Cloud) -> None:
    """Listed by CloudWatch, counted, left: the watch of its next start is still to come."""
    cloud.policy(mode="enforce", rejected_threshold=5)
    arn = verified(cloud)
    reject(cloud, arn, calls=4)
    version = cloud.current(arn)["version"]
    assert 0 == guard(cloud, after=60).rolled_back
    assert ("verified", "open", version) == tuple(cloud.current(arn)[name] for name in ("status", "watch", "version"))


def test_refused_calls_count_together_no_longer_than_a_watch_lasts(cloud: Cloud) -> None:
    """A stray call now and then never adds up to breakage; the same number within a day does."""
    cloud.policy(mode="enforce", rejected_threshold=2)
    arn = verified(cloud)
    for _ in range(3):
        reject(cloud, arn)
        assert 0 == guard(cloud, after=60).rolled_back
        live(cloud, arn, hours=30)
    reject(cloud, arn)
    live(cloud, arn, hours=2)
    reject(cloud, arn)
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


def test_what_somebody_has_changed_back_since_is_left_alone(cloud: Cloud) -> None:
    """Its rejected calls are from before."""
    arn = started_since(cloud)
    reject(cloud, arn)
    cloud.set_options(arn, http_tokens="optional")
    version = cloud.current(arn)["version"]
    assert (0, 0) == ((done := guard(cloud, after=60)).rolled_back, done.left_broken)
    assert version == cloud.current(arn)["version"]


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
