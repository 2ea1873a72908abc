"""Instances that somebody puts back by hand, or that go: whether that was breakage is asked before they are let go."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from tests.fixtures.events import finding
from tests.integration.builders import asked
from tests.integration.guarding import enforced, guard, live, probe, reject, restart, set_state, watch_use
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.domain.cohort import Cohort
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

CANARY = {"share": 0.1, "hours": 24}


def judge(cloud: Cloud, *arns: InstanceArn, **how: Any) -> list[str]:
    """The reasons of verdicts now."""
    source = Source.MANUAL if how else Source.REVISIT
    judged = cloud.line().run([asked(arn, source, **how) for arn in arns], "request-3").judged
    return [judged[arn].verdict.reason for arn in arns]


def fleet(cloud: Cloud, count: int = 8) -> tuple[InstanceArn, list[InstanceArn]]:
    """Instances of one cohort, of which the canary was enforced just now; the others."""
    cloud.policy(mode="enforce", canary=CANARY)
    arns = cloud.launch(count=count)
    judge(cloud, *arns)
    (canary,) = [arn for arn in arns if cloud.tokens(arn) == "required"]
    return canary, [arn for arn in arns if arn != canary]


def cohort_of(cloud: Cloud, arn: InstanceArn) -> Cohort:
    """What the ledger knows of an instance's cohort."""
    key = cloud.current(arn)["cohort"]
    return cloud.cohorts().read([key])[key]


def open_by_hand(cloud: Cloud, arn: InstanceArn, *, minutes: float = 11) -> None:
    """Somebody sets tokens to optional, so many minutes from now."""
    cloud.clock.move(minutes=minutes)
    cloud.set_options(arn, http_tokens="optional")


def told(cloud: Cloud, words: str) -> list[dict[str, Any]]:
    """The messages under a headline."""
    return [each for each in cloud.published() if each["Subject"].startswith(words)]


def clear(cloud: Cloud, arn: InstanceArn) -> None:
    """A person says that it is settled."""
    ledger = cloud.ledger()
    assert set() == ledger.write([change(ledger.read([arn])[arn], cleared_at=cloud.clock.tick())], cloud.clock()).lost


# --- Put back by hand ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_first", [False, True])
@pytest.mark.parametrize("calls", [1, 640])
def test_a_canary_that_somebody_put_back_after_calls_were_refused_broke(
    cloud: Cloud, calls: int, *, line_first: bool
) -> None:
    """Within minutes, before the guard could: no other canary is taken, whoever sees it first."""
    canary, others = fleet(cloud)
    probe(cloud, canary, calls, at=cloud.clock() + timedelta(minutes=2))
    open_by_hand(cloud, canary, minutes=8)
    guard(cloud, after=1)
    assert ["canary_wait"] * 7 == judge(cloud, *others)
    cloud.clock.move(minutes=3)
    if line_first:
        assert ["changed_back"] == judge(cloud, canary)
        assert ["canary_wait"] * 7 == judge(cloud, *others)
    guard(cloud, after=2)
    assert (canary, False) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)
    assert 1 == len(cloud.accounts().of(canary).rollbacks)
    current = cloud.current(canary)
    assert ("held", "changed_back", "done") == (current["status"], current["reason"], current["watch"])
    assert "broken_at" in current
    assert current["explanation"].endswith(command("clear", canary))
    watch_use(cloud, others[0], days=20)
    assert ["canary_wait"] * 7 == judge(cloud, *others)
    assert "broke without IMDSv1" in cloud.current(others[0])["explanation"]
    assert 1 == len(cloud.changes())
    (message,) = told(cloud, "Something broke, and somebody switched IMDSv1 on again")
    assert str(canary) in message["Message"]
    if not line_first:
        assert [] == told(cloud, "IMDSv1 stays on: 1 instance")


def test_what_happened_is_not_overwritten_by_whoever_looks(cloud: Cloud) -> None:
    """The refused calls stay in the explanation of every later verdict."""
    canary, _ = fleet(cloud)
    probe(cloud, canary, 3)
    open_by_hand(cloud, canary)
    guard(cloud)
    said = cloud.current(canary)["explanation"]
    assert "3 IMDSv1 calls were rejected" in said
    cloud.clock.move(hours=26)
    assert ["changed_back", "changed_back"] == [*judge(cloud, canary), *judge(cloud, canary, caller="eve")]
    assert (said, None) == ((current := cloud.current(canary))["explanation"], current.get("caller"))


def test_a_canary_that_somebody_put_back_without_a_refused_call_holds_its_cohort_until_a_person_says_why(
    cloud: Cloud,
) -> None:
    """It is no breakage, and no reason to try the next."""
    canary, others = fleet(cloud, count=3)
    open_by_hand(cloud, canary)
    guard(cloud)
    current = cloud.current(canary)
    assert ("held", "changed_back") == (current["status"], current["reason"])
    assert "broken_at" not in current
    assert () == cloud.accounts().of(canary).rollbacks
    (message,) = told(cloud, "Somebody switched IMDSv1 on again")
    assert command("clear", canary) in message["Message"]
    assert ["canary_wait"] * 2 == judge(cloud, *others)
    assert cloud.current(others[0])["explanation"].endswith(command("clear", canary))
    assert 1 == len(cloud.changes())
    clear(cloud, canary)
    judge(cloud, canary, *others)
    assert 2 == len(cloud.changes())


def test_one_that_follows_is_asked_as_well(cloud: Cloud) -> None:
    """Not only canaries are put back by hand."""
    canary, others = fleet(cloud, count=3)
    live(cloud, canary, hours=25)
    guard(cloud)
    for arn in others:
        watch_use(cloud, arn, days=20)
    judge(cloud, *others)
    probe(cloud, others[0])
    open_by_hand(cloud, others[0])
    guard(cloud)
    assert others[0] == cohort_of(cloud, others[0]).broken_by


def test_a_verified_one_that_is_put_back_is_asked_for_all_calls_since_the_change(cloud: Cloud) -> None:
    """Also for those of which people were only told."""
    arn = enforced(cloud)
    live(cloud, arn, hours=5)
    probe(cloud, arn)
    live(cloud, arn, hours=20)
    guard(cloud)
    guard(cloud)
    assert "verified" == cloud.current(arn)["status"]
    live(cloud, arn, hours=12 * 24)
    open_by_hand(cloud, arn)
    guard(cloud)
    assert "broken_at" in cloud.current(arn)


def test_what_a_person_cleared_meanwhile_is_settled(cloud: Cloud) -> None:
    """Somebody opens it, sees why, and clears it before the guard passes: nothing waits for a second word."""
    arn = enforced(cloud)
    open_by_hand(cloud, arn)
    clear(cloud, arn)
    guard(cloud, after=4)
    assert None is cohort_of(cloud, arn).broken_by
    assert [] == told(cloud, "Somebody switched")
    assert ("enforced", "done") == ((current := cloud.current(arn))["status"], current["watch"])


def test_a_hold_by_somebody_else_stays_the_cohorts_reason(cloud: Cloud) -> None:
    """Another that is put back without a refused call does not take the place of one that broke."""
    cloud.policy(mode="enforce")
    first, second = enforced(cloud), enforced(cloud)
    reject(cloud, first)
    guard(cloud)
    open_by_hand(cloud, second)
    guard(cloud)
    assert (first, False) == ((cohort := cohort_of(cloud, second)).broken_by, cohort.unexplained)


def test_refused_calls_that_cannot_be_read_leave_its_cohort_waiting(cloud: Cloud) -> None:
    """Unknown is not zero."""
    canary, _ = fleet(cloud, count=2)
    probe(cloud, canary)
    open_by_hand(cloud, canary)
    cloud.metrics.status = "Forbidden"
    guard(cloud)
    assert (canary, True) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)
    assert "CloudWatch answered Forbidden" in cloud.current(canary)["explanation"]


def test_one_that_the_guard_left_broken_and_somebody_puts_back_keeps_its_cause(cloud: Cloud) -> None:
    """The policy only tells; the person does what it asks for."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = enforced(cloud)
    reject(cloud, arn)
    guard(cloud)
    broken_at = cloud.current(arn)["broken_at"]
    open_by_hand(cloud, arn)
    guard(cloud)
    assert broken_at == cloud.current(arn)["broken_at"]
    assert 1 == len(cloud.accounts().of(arn).rollbacks)


def test_its_finding_says_what_happened(cloud: Cloud) -> None:
    """One note, the same as the message's headline."""
    arn = enforced(cloud)
    probe(cloud, arn)
    open_by_hand(cloud, arn)
    guard(cloud)
    assert "somebody switched IMDSv1 on again: hold (changed_back)" in str(cloud.hub.note_on(finding(str(arn))))


def test_an_exempt_one_that_is_opened_stays_exempt(cloud: Cloud) -> None:
    """Somebody tagged and opened it: the verdict is the exemption's, and what broke is counted all the same."""
    arn = enforced(cloud)
    probe(cloud, arn)
    open_by_hand(cloud, arn)
    cloud.tag(arn, **{"imdsv2_exempt-until": "2027-01-31"})
    assert ["exempt"] == judge(cloud, arn)
    guard(cloud)
    current = cloud.current(arn)
    assert ("skipped", "exempt", "done") == (current["status"], current["reason"], current["watch"])
    assert arn == cohort_of(cloud, arn).broken_by


# --- Gone ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_first", [False, True])
def test_a_canary_that_goes_because_it_broke_holds_its_cohort(cloud: Cloud, *, line_first: bool) -> None:
    """A group replaces what no longer answers, faster than the guard passes."""
    canary, others = fleet(cloud)
    reject(cloud, canary, calls=80)
    cloud.clock.move(minutes=6)
    set_state(cloud, canary, "terminated")
    if line_first:
        assert ["gone"] == judge(cloud, canary)
        assert ["canary_wait"] * 7 == judge(cloud, *others)
    guard(cloud, after=2)
    assert (canary, False) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)
    assert ["canary_wait"] * 7 == judge(cloud, *others)
    (message,) = told(cloud, "Something broke, and the instance has gone")
    assert str(canary) in message["Message"]
    assert ["gone"] == judge(cloud, canary)
    assert "revisit_at" not in cloud.current(canary)


def test_a_canary_that_merely_goes_is_replaced(cloud: Cloud) -> None:
    """Groups replace healthy instances all the time. What it was refused in its last minutes is waited for first."""
    canary, others = fleet(cloud)
    set_state(cloud, canary, "terminated")
    guard(cloud)
    assert ["canary_wait"] * 7 == judge(cloud, *others)
    for _ in range(5):
        guard(cloud)
    judge(cloud, *others)
    assert 2 == len(cloud.changes())
    assert [] == told(cloud, "Something broke")


def test_what_cloudwatch_shows_after_a_canary_has_gone_still_counts(cloud: Cloud) -> None:
    """Its group took it away within minutes, before the guard's pass and before its last datapoints."""
    canary, others = fleet(cloud)
    refused_at = cloud.clock() + timedelta(minutes=2)
    cloud.clock.move(minutes=3)
    set_state(cloud, canary, "terminated")
    guard(cloud, after=1)
    probe(cloud, canary, 60, at=refused_at)
    for _ in range(3):
        guard(cloud)
    assert (canary, True) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)
    assert ["canary_wait"] * 7 == judge(cloud, *others)
    assert 1 == len(cloud.changes())


@pytest.mark.parametrize("calls", [1, 40])
@pytest.mark.parametrize("is_missing", [False, True])
def test_a_canary_that_goes_after_calls_were_refused_holds_its_cohort(
    cloud: Cloud, calls: int, *, is_missing: bool
) -> None:
    """Within five minutes they are no pattern; but its group may have replaced it because of them, and the next canary would go too."""
    canary, others = fleet(cloud)
    probe(cloud, canary, calls, at=cloud.clock() + timedelta(minutes=2))
    cloud.clock.move(minutes=6)
    if is_missing:
        gone = f"The instance ID '{canary.instance_id}' does not exist"
        cloud.wire.refuse(
            "DescribeInstances",
            "InvalidInstanceID.NotFound",
            gone,
            when=lambda call: canary.instance_id in call.params["InstanceIds"],
        )
    else:
        set_state(cloud, canary, "terminated")
    for _ in range(3):
        guard(cloud)
    assert (canary, True) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)
    assert "done" == cloud.current(canary)["watch"]
    assert ["canary_wait"] * 7 == judge(cloud, *others)
    assert 1 == len(cloud.changes())
    (message,) = told(cloud, "IMDSv1 calls were rejected, and the instance has gone")
    assert command("clear", canary) in message["Message"]
    assert () == cloud.accounts().of(canary).rollbacks


def test_one_that_goes_while_its_metric_cannot_be_read_is_kept(cloud: Cloud) -> None:
    """Unknown is not zero: it is asked again, for a day."""
    canary, _ = fleet(cloud, count=2)
    cloud.metrics.status = "Forbidden"
    set_state(cloud, canary, "terminated")
    guard(cloud)
    assert "open" == cloud.current(canary)["watch"]
    cloud.clock.move(days=1)
    guard(cloud)
    assert (canary, True) == ((cohort := cohort_of(cloud, canary)).broken_by, cohort.unexplained)


def test_one_that_breaks_at_its_next_start_and_goes_broke(cloud: Cloud) -> None:
    """One call within the hour after a start is enough."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    restart(cloud, arn)
    probe(cloud, arn, at=cloud.clock() + timedelta(minutes=1))
    cloud.clock.move(minutes=2)
    set_state(cloud, arn, "terminated")
    guard(cloud)
    assert "broken_at" in cloud.current(arn)


def test_what_somebody_opened_and_closed_again_fails_no_pass(cloud: Cloud) -> None:
    """The line has seen it open, and the end of the watch comes before the line looks again."""
    arn = enforced(cloud)
    live(cloud, arn, hours=23)
    cloud.set_options(arn, http_tokens="optional")
    assert ["changed_back"] == judge(cloud, arn)
    cloud.set_options(arn, http_tokens="required")
    live(cloud, arn, hours=3)
    done = guard(cloud)
    assert (0, 0) == (done.failed, done.verified)
    assert ("held", "changed_back") == (cloud.current(arn)["status"], cloud.current(arn)["reason"])
    assert ["already_required"] == judge(cloud, arn)
    assert "done" == cloud.current(arn)["watch"]
