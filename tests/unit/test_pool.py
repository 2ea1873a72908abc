"""The evidence of a cohort: how it is put together, and the rows that it decides, 14c and 18b."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.evidence.pool import Member, Pool, Trace, member_of, pool_of, to_keep
from imdsv2.domain.history import Acceptance, History
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import ACCOUNT, NOW, REGION, arn, evidence, gap, instance, recurring, refused, start, use

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.verdict import Verdict

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SINCE = NOW - 35 * DAY
KEY = f"aws/{ACCOUNT}/{REGION}/group:shop@lt-0c1d+4+ami-09"
POLICY = Policy()
HALF_A_DAY = NOW - 11 * HOUR
YOUNG = instance(launched_at=HALF_A_DAY)


def young_evidence(**fields: Any) -> Evidence:
    """Eleven hours old, and quiet all the time, from its start on."""
    seen = start(at=HALF_A_DAY, observable_at=HALF_A_DAY + 2 * HOUR)
    defaults = {"window_start": HALF_A_DAY, "observed_hours": 10, "start": seen, "clean_starts": 1}
    return evidence(**(defaults | fields))


def member(number: int, **fields: Any) -> Member:
    """A living member, that was seen for three days and started without a call."""
    defaults: dict[str, Any] = {"launched_at": NOW - 3 * DAY, "looked_at": NOW, "hours": 71, "started": True}
    return Member(arn=arn(number), **(defaults | fields))


def trace(number: int = 2, calls: int = 6, last: datetime = NOW - 9 * DAY, **fields: Any) -> Trace:
    """Calls of a member, nine days ago."""
    return Trace(arn=arn(number), calls=calls, last=last, **fields)


def pool(*members: Member, **fields: Any) -> Pool:
    """The evidence of these, and of the young instance itself."""
    itself = Member(arn=arn(1), launched_at=HALF_A_DAY, looked_at=NOW, hours=10, started=True)
    return pool_of(KEY, [itself, *members], since=SINCE, now=NOW, **fields)


def proved(**fields: Any) -> Pool:
    """Three others, 213 hours and as many starts."""
    return pool(member(2), member(3), member(4, ended_at=NOW - 2 * DAY), **fields)


def judge(
    seen: Evidence | None = None,
    herd: Pool | None = None,
    *,
    target: Instance = YOUNG,
    policy: Policy = POLICY,
    history: History = History(),  # noqa: B008 - frozen
) -> Verdict:
    """The verdict on the young instance, or another."""
    return decide(target, seen or young_evidence(), history, policy, NOW, herd)


# --- 18b -----------------------------------------------------------------------------------------------------------


def test_a_young_instance_is_judged_by_its_cohort() -> None:
    """Which names what it is put together from."""
    verdict = judge(herd=proved())
    assert (Decision.ENFORCE, Reason.COHORT_UNUSED) == (verdict.decision, verdict.reason)
    for words in (
        "Auto Scaling group shop (lt-0c1d, 4, ami-09)",
        "4 instances (3 there, 1 gone)",
        "223 hours",
        "4 starts",
    ):
        assert words in verdict.explanation
    assert Reason.TOO_YOUNG is judge().reason


@pytest.mark.parametrize(
    "missing",
    [
        pool(member(2, hours=157), member(3, hours=0), member(4, hours=0)),
        pool(member(2, hours=400), member(3, hours=400, started=False)),
        pool(),
        proved(doubt="nobody knows who belongs to it"),
        proved(before=trace(9)),
    ],
    ids=["hours", "starts", "nobody else", "doubt", "an earlier version"],
)
def test_a_cohort_that_lacks_anything_speaks_for_nobody(missing: Pool) -> None:
    """The instance is still too young, and is judged again daily at the latest."""
    verdict = judge(herd=missing)
    assert Reason.TOO_YOUNG is verdict.reason
    assert verdict.revisit_at is not None
    assert NOW < verdict.revisit_at <= NOW + DAY


@pytest.mark.parametrize(
    "own",
    [
        young_evidence(observed_hours=0, coverage=0.0),
        young_evidence(fresh=False),
        young_evidence(start=start(at=HALF_A_DAY, observed=False, missing=3), clean_starts=0, observed_hours=9),
        young_evidence(start=None),
        young_evidence(window_known=False),
    ],
    ids=["no whole hour", "not fresh", "start not over", "no start", "no window"],
)
def test_the_instance_itself_has_to_have_been_seen(own: Evidence) -> None:
    """At its start, for a whole hour, and of late."""
    target = replace(YOUNG, hibernates=True)
    assert Decision.HOLD is judge(own, proved(), target=target).decision


def test_for_what_is_young_by_its_life_coverage_is_the_cohorts() -> None:
    """Two of three hours: a datapoint is late. Of an old instance nobody has seen the rest."""
    assert Reason.COHORT_UNUSED is judge(young_evidence(observed_hours=7, coverage=0.66), proved()).reason
    old = evidence(observed_hours=500, coverage=0.66, clean_starts=1)
    assert Reason.NO_EVIDENCE is judge(old, proved(), target=instance()).reason
    assert Reason.NO_EVIDENCE is judge(evidence(gap=gap(82)), proved(), target=instance()).reason


def test_a_policy_may_switch_it_off_and_use_holds_all_the_same() -> None:
    """`cohort_evidence` is about speaking for members, not against them."""
    policy = Policy(cohort_evidence=False)
    assert Reason.TOO_YOUNG is judge(herd=proved(), policy=policy).reason
    loud = pool(member(2, used=trace()))
    assert Reason.COHORT_USES_V1 is judge(herd=loud, policy=policy).reason


def test_it_waits_for_its_own_start_and_no_longer() -> None:
    """Launched 50 minutes ago: its two hours are over in 70, and shown an hour later."""
    launched = NOW - timedelta(minutes=50)
    own = young_evidence(
        window_start=launched,
        observed_hours=0,
        coverage=0.0,
        clean_starts=0,
        start=start(at=launched, observed=False, observable_at=launched + 2 * HOUR, missing=10),
    )
    verdict = judge(own, proved(), target=instance(launched_at=launched))
    assert (Reason.NO_EVIDENCE, launched + 3 * HOUR) == (verdict.reason, verdict.revisit_at)


@pytest.mark.parametrize("hours", [25, 82, 150])
def test_a_young_instance_with_a_hole_in_its_metric_is_not_spoken_for(hours: int) -> None:
    """It lived for six days, and for so many hours in a row nobody looked."""
    launched = NOW - 6 * DAY
    own = young_evidence(
        window_start=launched,
        observed_hours=143 - hours,
        coverage=(143 - hours) / 143,
        start=start(at=launched, observable_at=launched + 2 * HOUR),
        gap=gap(hours),
    )
    target = instance(launched_at=launched)
    assert Decision.HOLD is judge(own, proved(), target=target).decision
    assert Reason.COHORT_UNUSED is judge(replace(own, gap=gap(24)), proved(), target=target).reason


def test_what_has_lived_for_long_is_not_young_because_it_was_mended() -> None:
    """Its evidence begins there, and its cohort, which never called, was no example for it before."""
    assert Reason.COHORT_UNUSED is judge(herd=proved()).reason
    for lived in (10 * DAY, 400 * DAY):
        old = replace(YOUNG, first_launched_at=NOW - lived)
        assert Reason.TOO_YOUNG is judge(herd=proved(), target=old).reason
    unknown = replace(YOUNG, first_launched_at=None)
    assert Reason.TOO_YOUNG is judge(herd=proved(), target=unknown).reason


# --- A start that nobody saw ---------------------------------------------------------------------------------------


UNSEEN = evidence(start=start(observed=False, forgotten=True), clean_starts=0)


def unseen_member() -> Member:
    """The long-lived instance itself."""
    return Member(arn=arn(1), launched_at=NOW - 500 * DAY, looked_at=NOW, hours=839)


def test_anothers_start_stands_for_one_that_nobody_saw() -> None:
    """From the same version of the launch template."""
    herd = pool_of(KEY, [unseen_member(), member(2, hours=4)], since=SINCE, now=NOW)
    verdict = judge(UNSEEN, herd, target=instance())
    assert Reason.COHORT_UNUSED is verdict.reason
    assert (
        "its own start was not seen, but 1 other from the same version of the launch template was"
        in verdict.explanation
    )


@pytest.mark.parametrize(
    ("kind", "stands"),
    [
        ("group:shop@lt-0c1d+4+ami-09", True),
        ("fleet:fleet-1@lt-0c1d+4", True),
        ("group:shop@lt-0c1d+ami-09", False),
        ("group:shop@ami-09", False),
        ("nodepool:blue@ami-09", False),
        ("template:lt-0c1d@4+ami-09", False),
        ("image:ami-09", False),
        ("tag:shop", False),
    ],
)
def test_it_stands_only_where_the_user_data_are_the_same(kind: str, stands: bool) -> None:
    """Known by the version of the launch template, where the source cannot override it."""
    key = f"aws/{ACCOUNT}/{REGION}/{kind}"
    herd = pool_of(key, [unseen_member(), member(2), member(3), member(4)], since=SINCE, now=NOW)
    assert stands is (judge(UNSEEN, herd, target=instance()).decision is Decision.ENFORCE)


def test_it_does_not_stand_for_a_resume_nor_where_no_other_was_seen() -> None:
    """What can hibernate may have run no boot software at all."""
    herd = pool_of(KEY, [unseen_member(), member(2)], since=SINCE, now=NOW)
    assert Reason.BOOT_NOT_OBSERVABLE is judge(UNSEEN, herd, target=instance(hibernates=True)).reason
    nobody = pool_of(KEY, [unseen_member(), member(2, started=False)], since=SINCE, now=NOW)
    assert Reason.BOOT_NOT_OBSERVABLE is judge(UNSEEN, nobody, target=instance()).reason


# --- Starts that stand for hours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "others", "reason"),
    [
        (3, 0, Reason.UNUSED),
        (2, 0, Reason.TOO_YOUNG),
        (2, 1, Reason.COHORT_UNUSED),
        (1, 2, Reason.COHORT_UNUSED),
        (1, 1, Reason.TOO_YOUNG),
    ],
)
def test_starts_stand_for_hours_that_are_never_collected(own: int, others: int, reason: Reason) -> None:
    """A batch machine, two hours a week."""
    seen = evidence(observed_hours=10, clean_starts=own, start=start(at=NOW - 3 * HOUR))
    others_ = [member(2 + number, hours=2) for number in range(others)]
    herd = pool_of(KEY, [Member(arn=arn(1), looked_at=NOW, hours=10, started=True), *others_], since=SINCE, now=NOW)
    assert reason is judge(seen, herd, target=instance()).reason


def test_they_do_not_stand_for_the_days_that_a_young_instance_has_not_lived() -> None:
    """Three restarts in an afternoon."""
    assert Reason.TOO_YOUNG is judge(young_evidence(clean_starts=5)).reason


def test_the_text_says_what_stands_for_the_hours() -> None:
    """Nobody else would know why ten hours are enough."""
    verdict = judge(evidence(observed_hours=10, clean_starts=4), target=instance())
    assert "4 starts that were seen to make no call stand for the 168 hours" in verdict.explanation


# --- 14c -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [evidence(), young_evidence(), UNSEEN, evidence(older=recurring())])
@pytest.mark.parametrize(
    ("found", "words"),
    [
        (trace(), "made 6 IMDSv1 calls, the last on 2026-11-11 between 14:30 and 15:30 UTC"),
        (trace(gone=True), "and has ended, made 6 IMDSv1 calls"),
        (trace(refused=True), "was refused 6 IMDSv1 calls while tokens were required, the last on 2026-11-11"),
    ],
)
def test_use_anywhere_in_the_cohort_holds_every_member(seen: Evidence, found: Trace, words: str) -> None:
    """It names who, when and how much, and what to do."""
    field = "refused" if found.refused else "used"
    verdict = judge(seen, pool(member(2, **{field: found})), target=instance())
    assert (Decision.HOLD, Reason.COHORT_USES_V1) == (verdict.decision, verdict.reason)
    assert arn(2).instance_id in verdict.explanation
    assert words in verdict.explanation
    command = (
        '{"clear": {"cohort"' if found.gone else '{"clear": {"targets"' if found.refused else '{"mended": {"targets"'
    )
    assert command in verdict.explanation


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (evidence(use=use()), Reason.V1_IN_USE),
        (evidence(refused=refused()), Reason.V1_REFUSED),
        (evidence(start=start(calls=2)), Reason.COHORT_USES_V1),
    ],
)
def test_what_an_instance_itself_did_in_the_window_comes_first(seen: Evidence, reason: Reason) -> None:
    """Each row at its place."""
    assert reason is judge(seen, pool(member(2, used=trace())), target=instance()).reason


def test_it_ends_when_the_use_has_left_the_window() -> None:
    """The text gives the time; it is judged again then."""
    last = NOW - 35 * DAY + 3 * HOUR
    verdict = judge(herd=pool(member(2, used=trace(last=last))))
    assert "this hold ends by itself on 2026-11-20 18:30 UTC" in verdict.explanation
    assert NOW + 4 * HOUR == verdict.revisit_at
    assert () == pool(member(2, used=trace(last=NOW - 35 * DAY - HOUR))).traces


def test_its_own_calls_are_not_a_siblings() -> None:
    """What the ledger remembers of the instance itself may be settled since."""
    mine = Member(arn=arn(1), looked_at=NOW, used=trace(1))
    assert (
        Reason.UNUSED
        is judge(evidence(), pool_of(KEY, [mine, member(2)], since=SINCE, now=NOW), target=instance()).reason
    )


@pytest.mark.parametrize(
    ("settled", "holds"), [(NOW - 10 * DAY, True), (NOW - 8 * DAY, False), (NOW - 9 * DAY + HOUR, False)]
)
def test_a_person_settles_what_a_member_did(settled: datetime, holds: bool) -> None:
    """Calls after that count again."""
    herd = pool(member(2, used=trace()), settled={arn(2): settled})
    assert holds is (judge(evidence(), herd, target=instance()).reason is Reason.COHORT_USES_V1)


def test_what_was_last_looked_at_before_it_was_settled_is_settled_as_a_whole() -> None:
    """Refused calls are known by the day only."""
    old = member(2, looked_at=NOW - 2 * HOUR, refused=trace(last=NOW.replace(hour=0, minute=0), refused=True))
    assert () == pool(old, settled={arn(2): NOW - HOUR}).traces
    assert 1 == len(pool(old, settled={arn(2): NOW - 3 * HOUR}).traces)


def test_calls_that_a_person_has_settled_hold_nobody_and_prove_nothing() -> None:
    """Who made them adds neither hours nor a start, and is not taken for one that made none."""
    settled = pool(member(2, hours=400, used=trace()), member(3, hours=30), settled={arn(2): NOW - DAY})
    assert ((), 1, 40, 2, 2) == (
        settled.traces,
        settled.settled,
        settled.hours,
        settled.starts,
        settled.quiet_members,
    )
    verdict = judge(herd=settled)
    assert Reason.TOO_YOUNG is verdict.reason


def test_whoever_is_spoken_for_learns_of_calls_that_a_person_has_settled() -> None:
    """To say that nobody made any would be wrong."""
    others = [member(2), member(3), member(4), member(5, used=trace(5))]
    verdict = judge(herd=pool(*others, settled={arn(5): NOW - DAY}))
    assert Reason.COHORT_UNUSED is verdict.reason
    assert "any other" not in verdict.explanation
    assert "1 member made calls that a person has settled, and counts for nothing here." in verdict.explanation


def test_older_calls_hold_nobody_and_prove_nothing() -> None:
    """Of what was stopped since, the newest may lie before the window."""
    old = pool(member(2, hours=400, used=trace(last=SINCE - DAY)))
    assert ((), 0, 10, 1, 1) == (old.traces, old.settled, old.hours, old.starts, old.quiet_members)


def test_a_person_may_accept_it_and_nothing_else_new() -> None:
    """Under watch."""
    word = Acceptance(owner="otto", reason="Another job.", until=NOW.date(), by="otto", request_id="r", at=NOW)
    loud = pool(member(2, used=trace()))
    assert Reason.UNUSED is judge(evidence(), loud, target=instance(), history=History(acceptance=word)).reason
    unread = proved()
    unread = replace(unread, problem="CloudWatch answered Forbidden")
    assert (
        Reason.EVIDENCE_INCOMPLETE
        is judge(evidence(), unread, target=instance(), history=History(acceptance=word)).reason
    )


def test_what_cannot_be_read_of_others_holds_for_a_quarter_of_an_hour() -> None:
    """An unread sibling may use anything."""
    verdict = judge(evidence(), pool(member(2, looked_at=None, problem="CloudWatch answered InternalError")))
    assert (Reason.EVIDENCE_INCOMPLETE, NOW + timedelta(minutes=15)) == (verdict.reason, verdict.revisit_at)


# --- How it is put together ----------------------------------------------------------------------------------------


def test_what_ended_counts_with_no_more_hours_than_it_had_in_the_window() -> None:
    """It was observed for 400 hours, of which the window still holds ten."""
    gone = member(2, hours=400, ended_at=SINCE + 10 * HOUR)
    assert 20 == pool(gone).hours


def test_a_member_shows_what_its_evidence_shows() -> None:
    """Where its endpoint is disabled, its silence is none."""
    known = Member(arn=arn(5))
    seen = member_of(known, evidence(use=use(4), observed_hours=30), NOW, SINCE)
    assert (NOW, 30, True, trace(5, 4, NOW.replace(minute=0))) == (seen.looked_at, seen.hours, seen.started, seen.used)
    mute = member_of(known, evidence(), NOW, SINCE, speaks=False)
    assert (0, False, NOW) == (mute.hours, mute.started, mute.looked_at)
    unread = member_of(known, evidence(problem="no"), NOW, SINCE)
    assert (None, "no") == (unread.looked_at, unread.problem)


def test_of_many_members_those_that_hold_others_are_remembered_first() -> None:
    """And of the rest, those that may yet be found to."""
    ended = NOW - 5 * HOUR
    final, fresh = member(1, ended_at=ended), member(2, ended_at=ended, looked_at=ended + HOUR)
    loud, living, old = member(3, used=trace(3)), member(4), member(5, ended_at=SINCE - HOUR)
    everyone = [final, fresh, loud, living, old]
    assert [loud, fresh, living] == to_keep(everyone, SINCE, 3)
    assert {loud, fresh, living, final} == set(to_keep(everyone, SINCE, 9))


# --- Properties ----------------------------------------------------------------------------------------------------

traces = st.none() | st.builds(
    trace, st.integers(2, 9), st.integers(1, 900), st.integers(0, 45 * 24).map(lambda hours: NOW - hours * HOUR)
)
members = st.builds(
    member,
    st.integers(2, 9),
    hours=st.integers(0, 300),
    started=st.booleans(),
    used=st.none() | traces,
    ended_at=st.none() | st.integers(0, 40 * 24).map(lambda hours: NOW - hours * HOUR),
    problem=st.sampled_from([None, None, None, "CloudWatch answered PartialData"]),
)
herds = st.lists(members, max_size=7, unique_by=lambda each: each.arn)
seen = st.builds(
    young_evidence,
    observed_hours=st.integers(0, 200),
    coverage=st.sampled_from([0.0, 0.6, 1.0]),
    fresh=st.sampled_from([True, True, False]),
    clean_starts=st.integers(0, 4),
    window_start=st.sampled_from([HALF_A_DAY, NOW - 35 * DAY]),
    start=st.sampled_from(
        [start(at=HALF_A_DAY), start(at=HALF_A_DAY), start(at=HALF_A_DAY, observed=False, missing=2), UNSEEN.start]
    ),
)
policies = st.builds(
    Policy,
    min_clean_starts=st.integers(1, 4),
    min_observed_hours=st.sampled_from([24, 168]),
    cohort_evidence=st.sampled_from([True, True, False]),
    boot_evidence=st.sampled_from(BootEvidence),
)


def permits(own: Evidence, herd: list[Member], policy: Policy) -> bool:
    """Whether the young instance would be enforced."""
    return judge(own, pool(*herd), policy=policy).decision is Decision.ENFORCE


@given(seen, herds, members, policies)
def test_a_member_with_use_never_makes_it_more_permissive(
    own: Evidence, herd: list[Member], loud: Member, policy: Policy
) -> None:
    """Whatever else it brings, and whether it lives or has ended."""
    loud = replace(loud, arn=arn(10), used=trace(10, last=NOW - 2 * DAY))
    assert not permits(own, [*herd, loud], policy)


@given(seen, herds, st.integers(1, 300), policies)
def test_fewer_observed_hours_or_starts_never_make_it_more_permissive(
    own: Evidence, herd: list[Member], fewer: int, policy: Policy
) -> None:
    """Of one member, or of all."""
    less = [replace(each, hours=max(0, each.hours - fewer)) for each in herd]
    unseen = [replace(each, started=False) for each in herd]
    for poorer in (less, less[:1] + herd[1:], unseen, unseen[:1] + herd[1:]):
        assert permits(own, herd, policy) or not permits(own, poorer, policy)
    own_less = replace(own, observed_hours=max(0, own.observed_hours - fewer))
    if own.coverage in {0.0, 1.0}:
        assert permits(own, herd, policy) or not permits(own_less, herd, policy)


@given(seen, herds, policies)
def test_whoever_is_enforced_by_a_cohort_has_one_that_is_quiet(
    own: Evidence, herd: list[Member], policy: Policy
) -> None:
    """No call of anybody in the window, and a start that was seen."""
    itself = member_of(Member(arn=arn(1), launched_at=HALF_A_DAY), own, NOW, SINCE)
    verdict = judge(own, pool_of(KEY, [itself, *herd], since=SINCE, now=NOW), policy=policy)
    if verdict.reason is not Reason.COHORT_UNUSED:
        return
    assert policy.cohort_evidence
    assert own.fresh
    assert own.observed_hours >= 1
    assert all(each.used is None or each.used.over_at <= SINCE for each in herd)
    assert all(each.problem is None for each in herd)
    assert any(each.started for each in herd) or (own.start and own.start.observed)
