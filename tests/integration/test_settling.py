"""Words of people about the past: clear, accept and mended, and commands about what the ledger does not know."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.cohort import Cohort
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Source
from imdsv2.errors import InvalidRequest
from imdsv2.people.command_request import CommandKind
from tests.integration.builders import IMAGE, MEMBER, OTHER, REGION, arn_of
from tests.integration.guarding import enforced, guard, live, reject, watch_use
from tests.integration.steering import answer, due, events, judge, named, reason, said, steer, write

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

ELSEWHERE = "us-east-1"
COHORT = f"aws/{MEMBER}/{REGION}/image:{IMAGE}"
ACCEPT = {"reason": "One probe at start.", "owner": "blue", "until": "2026-12-31", "caller": "bob"}
MORE: dict[str, dict[str, str]] = {"accept": ACCEPT, "mended": {"at": "2026-11-20T00:00:00Z"}}
"""What commands take besides their scope."""
HELD = {"status": "held", "decision": "hold", "revisit_at": datetime.fromisoformat("2026-11-21T12:00:00Z")}


def rolled_back(cloud: Cloud, **how: Any) -> InstanceArn:
    """An instance whose software broke an hour after its change, and that allows IMDSv1 again."""
    arn = enforced(cloud, **how)
    for status in ("rolling_back", "rolled_back"):
        write(cloud, arn, status=status)
    now = cloud.clock()
    write(cloud, arn, decision="hold", reason="broke_before", rolled_back_at=now, broken_at=now, watch="done")
    cloud.set_options(arn, http_tokens="optional")
    return arn


def opened(cloud: Cloud) -> InstanceArn:
    """An instance that somebody has opened after its change, as the ledger knows."""
    arn = enforced(cloud)
    cloud.clock.move(minutes=20)
    cloud.set_options(arn, http_tokens="optional")
    assert "changed_back" == reason(cloud, arn)
    return arn


def undone(cloud: Cloud) -> InstanceArn:
    """An instance that a person had put back."""
    arn = rolled_back(cloud)
    marks = {"reason": "undone_by_person", "rolled_back_at": None, "broken_at": None}
    write(cloud, arn, **marks, undone_at=cloud.clock(), undone_by="carol, request request-1")
    return arn


def left_broken(cloud: Cloud) -> InstanceArn:
    """An instance whose software broke, and that stays enforced because the policy only alerts."""
    arn = enforced(cloud)
    write(cloud, arn, broken_at=cloud.clock(), left_because="alert", left_at=cloud.clock())
    return arn


def probed(cloud: Cloud) -> InstanceArn:
    """An enforced instance at which one call was refused, of which people were told."""
    arn = enforced(cloud)
    write(cloud, arn, probe_at=cloud.clock())
    return arn


# --- Clear ---------------------------------------------------------------------------------------------------------

VOIDED = {"broke_before": rolled_back, "changed_back": opened, "undone_by_person": undone}
STANDING = {"left_broken": left_broken, "probe_or_breakage": probed, "refused_calls": enforced}


@pytest.mark.parametrize("voids", VOIDED)
def test_what_is_cleared_is_judged_at_its_turn(cloud: Cloud, voids: str) -> None:
    """Not in the same second. Until then the reason stays, and the explanation says who cleared it."""
    arn = VOIDED[voids](cloud)
    (result,) = steer(cloud, clear=named(arn), caller="alice", reason="Fixed in 2.3.")
    outcome = f"cleared, next judged at its turn, from {cloud.clock():%Y-%m-%d %H:%M} UTC on"
    assert (True, None, [voids], outcome) == tuple(result[each] for each in ("done", "problem", "voids", "outcome"))
    current = cloud.current(arn)
    assert ("hold", voids, "optional") == (current["decision"], current["reason"], cloud.tokens(arn))
    assert "alice, request request-9: Fixed in 2.3." == current["cleared_by"]
    expected = f"Cleared by alice, request request-9: Fixed in 2.3.; {outcome.partition(', ')[2]}. "
    assert f"{expected}No longer held against it: {voids}." == current["explanation"]
    assert arn in due(cloud)
    assert "unused" == reason(cloud, arn, Source.REVISIT)
    assert "required" == cloud.tokens(arn)


@pytest.mark.parametrize("voids", STANDING)
def test_clearing_what_is_enforced_settles_its_refused_calls_and_ends_nothing(cloud: Cloud, voids: str) -> None:
    """It stays enforced and watched; what is refused from then on counts."""
    arn = STANDING[voids](cloud)
    cloud.clock.move(minutes=10)
    (result,) = steer(cloud, clear=named(arn))
    assert (True, [voids]) == (result["done"], result["voids"])
    assert "cleared; it stays enforced, and refused calls count from now on" == result["outcome"]
    assert "already_required" == reason(cloud, arn, Source.REVISIT)
    current = cloud.current(arn)
    assert ("enforced", "unused", "open") == (current["status"], current["reason"], current["watch"])
    assert "dora, request request-9" in current["explanation"]
    assert not {"left_because", "left_at"} & set(current)
    cloud.clock.move(minutes=30)
    cloud.set_options(arn, http_tokens="optional")
    assert "changed_back" == reason(cloud, arn)


def test_what_somebody_opens_right_after_a_clearance_is_not_fought(cloud: Cloud) -> None:
    """Before the cleared instance was looked at again: the clearance was about the time before."""
    arn = enforced(cloud)
    cloud.clock.move(hours=1)
    steer(cloud, clear=named(arn))
    cloud.set_options(arn, http_tokens="optional")
    assert "changed_back" == reason(cloud, arn, Source.REVISIT)


def test_what_somebody_has_opened_is_cleared_before_the_ledger_knows(cloud: Cloud) -> None:
    """EC2 is asked: the answer says what the clearance voids."""
    arn = enforced(cloud)
    cloud.clock.move(hours=1)
    cloud.set_options(arn, http_tokens="optional")
    assert ["changed_back"] == steer(cloud, clear=named(arn), dry_run=True)[0]["voids"]
    steer(cloud, clear=named(arn))
    assert "unused" == reason(cloud, arn, Source.REVISIT)


def test_refused_calls_are_cleared_by_name(cloud: Cloud) -> None:
    """They count from the clearance on."""
    arn = cloud.one()
    write(cloud, arn, **HELD, reason="v1_refused")
    assert ["v1_refused"] == steer(cloud, clear=named(arn))[0]["voids"]
    assert "unused" == reason(cloud, arn, Source.REVISIT)


def test_what_has_nothing_against_it_is_not_cleared(cloud: Cloud) -> None:
    """In use, exempt, or required by somebody else; nothing is written."""
    arns = [cloud.one(use=1.0), cloud.one(tags={"imdsv2:exempt-until": "2026-12-01"}), cloud.one(tokens="required")]
    for arn in arns:
        judge(cloud, arn)
    before = cloud.items()
    results = steer(cloud, clear=named(*arns))
    assert [False] * 3 == [each["done"] for each in results]
    assert all(str(each["problem"]).startswith("There is nothing to clear") for each in results)
    assert [(None, None)] * 3 == [(each["voids"], each["outcome"]) for each in results]
    assert before == cloud.items()


def test_what_is_about_to_be_put_back_is_cleared_afterwards(cloud: Cloud) -> None:
    """What the rollback will record would come after the clearance."""
    arn, behind = enforced(cloud), enforced(cloud)
    answer(cloud, lambda: False, undo=named(arn))
    write(cloud, behind, status="rolling_back", source="guard", lease_until=cloud.clock())
    assert [(False, "It is about to be put back; ask again once that is done.")] * 2 == said(
        steer(cloud, clear=named(arn, behind))
    )


def test_all_that_has_something_against_it_is_cleared(cloud: Cloud) -> None:
    """In an account, one of its Regions, or a cohort; what is merely enforced is none of it."""
    arns = {"here": rolled_back(cloud), "there": rolled_back(cloud, region=ELSEWHERE), "probed": probed(cloud)}
    other, _ = rolled_back(cloud, account=OTHER), enforced(cloud)
    judge(cloud, cloud.one(use=1.0))
    for scope, expected in (
        ({"account": MEMBER}, {"here", "there", "probed"}),
        ({"account": MEMBER, "region": ELSEWHERE}, {"there"}),
        ({"cohort": COHORT}, {"here", "probed"}),
    ):
        results = steer(cloud, clear=scope, dry_run=True)
        assert {str(arns[name]) for name in expected} == {each["target"] for each in results}
    assert [(True, None)] * 3 == said(steer(cloud, clear={"account": MEMBER}))
    assert "cleared_at" not in cloud.current(other)
    assert [] == steer(cloud, clear={"account": MEMBER})


def test_a_cohort_goes_on_once_what_broke_in_it_is_cleared(cloud: Cloud) -> None:
    """The explanation of those that wait has the command."""
    cloud.policy(mode="enforce", canary={"share": 1.0, "hours": 24})
    broken, other = rolled_back(cloud), cloud.one()
    at = cloud.clock()
    cloud.cohorts().change(
        COHORT, lambda known: Cohort(key=known.key, version=known.version, broken_by=broken, broken_at=at)
    )
    assert "canary_wait" == reason(cloud, other)
    assert f'"clear": {{"targets": ["{broken}"]}}' in cloud.current(other)["explanation"]
    steer(cloud, clear=named(broken))
    assert "unused" == reason(cloud, other)


# --- Accept --------------------------------------------------------------------------------------------------------


def test_what_somebody_accepts_is_enforced_once_and_watched(cloud: Cloud) -> None:
    """In spite of what the evidence says. The ledger says on whose word; the word is spent."""
    arn = cloud.one(use=1.0)
    assert "v1_in_use" == reason(cloud, arn)
    assert [(True, None)] == said(steer(cloud, accept=named(arn), **ACCEPT))
    kept = cloud.current(arn)["acceptance"]
    assert ("blue", "One probe at start.", "2026-12-31", "bob", "request-9") == tuple(
        kept[name] for name in ("owner", "reason", "until", "by", "request_id")
    )
    assert arn in due(cloud)
    assert "unused" == reason(cloud, arn, Source.REVISIT)
    current = cloud.current(arn)
    assert ("enforced", "open") == (current["status"], current["watch"])
    assert "blue accepts the change until 2026-12-31 in spite of v1_in_use" in current["explanation"]
    (event,) = events(cloud, arn, "enforcing")
    assert "bob, request request-9, accepted by blue: One probe at start." == event["approved_by"]
    assert "acceptance" not in current
    cloud.clock.move(minutes=30)
    cloud.set_options(arn, http_tokens="optional")
    judge(cloud, arn)
    steer(cloud, clear=named(arn))
    assert "v1_in_use" == reason(cloud, arn, Source.REVISIT)


def test_an_acceptance_and_an_approval_are_both_told(cloud: Cloud) -> None:
    """Where both were needed."""
    cloud.policy(mode="enforce", approval="required")
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    steer(cloud, accept=named(arn), **ACCEPT)
    assert "approval_required" == reason(cloud, arn, Source.REVISIT)
    steer(cloud, approve=named(arn), caller="ann")
    assert "unused" == reason(cloud, arn, Source.REVISIT)
    expected = "ann, request request-9; bob, request request-9, accepted by blue: One probe at start."
    assert expected == cloud.current(arn)["approved_by"]


def test_an_acceptance_ends_with_its_last_day(cloud: Cloud) -> None:
    """Whatever held the instance meanwhile: then the evidence does."""
    cloud.policy(mode="off")
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    steer(cloud, accept=named(arn), **ACCEPT | {"until": "2026-11-20"})
    cloud.policy(mode="enforce")
    live(cloud, arn, hours=12)
    watch_use(cloud, arn, days=1)
    assert "v1_in_use" == reason(cloud, arn, Source.REVISIT)


def test_only_what_the_evidence_says_can_be_accepted(cloud: Cloud) -> None:
    """The problem names the row that binds, and those that can be accepted."""
    arns = [rolled_back(cloud), cloud.one(observed=False), enforced(cloud), arn_of("9")]
    judge(cloud, arns[1])
    results = steer(cloud, accept=named(*arns), **ACCEPT)
    assert [False] * 4 == [each["done"] for each in results]
    for row, result in zip(("hold (broke_before)", "hold (no_evidence)", "enforce (unused)"), results, strict=False):
        assert row in result["problem"]
        assert "v1_in_use" in result["problem"]
    assert "not judged yet" in results[3]["problem"]
    assert not [each for each in cloud.items() if "acceptance" in each]


@pytest.mark.parametrize(("until", "fine"), [("2026-11-19", False), ("2027-12-25", True), ("2027-12-26", False)])
def test_nobody_accepts_for_ever(cloud: Cloud, until: str, fine: bool) -> None:
    """At most 400 days ahead, and not in the past; in a dry run too."""
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    if fine:
        assert [(False, None)] == said(steer(cloud, accept=named(arn), **ACCEPT | {"until": until}, dry_run=True))
        return
    with pytest.raises(InvalidRequest) as refused:
        steer(cloud, accept=named(arn), **ACCEPT | {"until": until}, dry_run=True)
    assert "until" == refused.value.field


def test_an_acceptance_may_be_given_anew_while_a_gate_holds_its_instance(cloud: Cloud) -> None:
    """To prolong it: the reason is the gate's by then."""
    cloud.policy(mode="enforce", approval="required")
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    steer(cloud, accept=named(arn), **ACCEPT)
    assert "approval_required" == reason(cloud, arn, Source.REVISIT)
    assert [(True, None)] == said(steer(cloud, accept=named(arn), **ACCEPT | {"until": "2027-03-31"}))
    assert "2027-03-31" == cloud.current(arn)["acceptance"]["until"]


# --- Mended --------------------------------------------------------------------------------------------------------


def test_the_evidence_of_what_was_mended_begins_there(cloud: Cloud) -> None:
    """Use before that time no longer counts; everything else is asked as always."""
    arn = cloud.one(use=1.0)
    assert "v1_in_use" == reason(cloud, arn)
    (result,) = steer(cloud, mended=named(arn), at="2026-11-20T12:00:00Z", caller="alice", reason="SDK updated.")
    assert (True, "2026-11-20T12:00:00Z", None) == (result["done"], result["mended_at"], result["mended_before"])
    current = cloud.current(arn)
    assert "alice, request request-9: SDK updated." == current["mended_by"]
    assert arn in due(cloud)
    live(cloud, arn, hours=200)
    hour = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - 199, hour))
    assert "v1_in_use" != reason(cloud, arn, Source.REVISIT)


def test_what_was_mended_before_is_said_and_replaced(cloud: Cloud) -> None:
    """Also by an earlier time; with its zone."""
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    steer(cloud, mended=named(arn), at="2026-11-20T12:00:00Z")
    (result,) = steer(cloud, mended=named(arn), at="2026-11-19T02:00:00+02:00")
    assert ("2026-11-19T00:00:00Z", "2026-11-20T12:00:00Z") == (result["mended_at"], result["mended_before"])
    assert str(cloud.current(arn)["mended_at"]).startswith("2026-11-19T00:00:00")


@pytest.mark.parametrize(
    ("late", "fine"),
    [
        (timedelta(minutes=1), False),
        (timedelta(), True),
        (-timedelta(days=454, hours=23), True),
        (-timedelta(days=455, minutes=1), False),
    ],
)
def test_a_time_of_which_nothing_is_known_is_refused(cloud: Cloud, late: timedelta, fine: bool) -> None:
    """In the future, or before everything that CloudWatch remembers; in a dry run too."""
    arn = cloud.one(use=1.0)
    judge(cloud, arn)
    event: dict[str, Any] = {"mended": named(arn), "at": (cloud.clock() + late).isoformat(), "dry_run": True}
    if fine:
        assert [(False, None)] == said(steer(cloud, **event))
        return
    with pytest.raises(InvalidRequest) as refused:
        steer(cloud, **event)
    assert "at" == refused.value.field


def test_a_cohort_is_mended_at_once(cloud: Cloud) -> None:
    """All of it that the ledger has, whatever holds it."""
    back = rolled_back(cloud)
    arns = [cloud.one(use=1.0), back]
    judge(cloud, arns[0])
    judge(cloud, cloud.one(account=OTHER))
    results = steer(cloud, mended={"cohort": COHORT}, at="2026-11-20T11:00:00Z")
    assert {str(arn) for arn in arns} == {each["target"] for each in results}
    assert all("mended_at" in cloud.current(arn) for arn in arns)


# --- What the ledger does not know ---------------------------------------------------------------------------------


def refusal(cloud: Cloud, word: str, scope: dict[str, Any]) -> InvalidRequest:
    """The refusal of a command, dry and real."""
    for dry_run in (True, False):
        with pytest.raises(InvalidRequest) as caught:
            steer(cloud, **{word: scope}, **MORE.get(word, {}), dry_run=dry_run)
    return caught.value


@pytest.mark.parametrize("word", ["undo", "approve", "refuse", "clear", "close_breaker"])
def test_an_account_that_the_ledger_does_not_know_is_refused_with_the_likely_one(cloud: Cloud, word: str) -> None:
    """A typing error must not look like "nothing to do"."""
    enforced(cloud)
    enforced(cloud, account=OTHER)
    refused = refusal(cloud, word, {"account": "222222222221"})
    assert (f"{word}.account", "the ledger knows no account 222222222221; did you mean 222222222222?") == (
        refused.field,
        refused.problem,
    )
    assert "did you mean" not in refusal(cloud, word, {"account": "987654987654"}).problem


@pytest.mark.parametrize("word", ["undo", "approve", "clear"])
def test_a_region_that_the_ledger_does_not_know_is_refused_with_the_likely_one(cloud: Cloud, word: str) -> None:
    """Of the account."""
    enforced(cloud)
    refused = refusal(cloud, word, {"account": MEMBER, "region": "eu-west-2"})
    assert (f"{word}.region", True) == (refused.field, refused.problem.endswith("did you mean eu-west-1?"))


@pytest.mark.parametrize("word", ["undo", "approve", "clear", "mended"])
def test_a_cohort_that_the_ledger_does_not_know_is_refused_with_the_likely_one(cloud: Cloud, word: str) -> None:
    """Of the account that its name has."""
    enforced(cloud)
    refused = refusal(cloud, word, {"cohort": COHORT.replace("ami-12", "ami-21")})
    assert (f"{word}.cohort", True) == (refused.field, refused.problem.endswith(f"did you mean {COHORT}?"))
    elsewhere = refusal(cloud, word, {"cohort": COHORT.replace(MEMBER, "222222222221")})
    assert elsewhere.problem.endswith(f"did you mean {MEMBER}?")


@pytest.mark.parametrize("word", sorted({*CommandKind} - {CommandKind.HOLD, CommandKind.CLOSE_BREAKER}))
def test_an_instance_that_the_ledger_does_not_know_is_left_with_the_likely_one(cloud: Cloud, word: str) -> None:
    """One wrong digit, or the wrong Region; the others go on. Nothing is written."""
    arn = enforced(cloud)
    end = "0" if arn.instance_id[-1] != "0" else "1"
    typo = InstanceArn.parse(f"{str(arn)[:-1]}{end}")
    moved = InstanceArn.parse(str(arn).replace(REGION, ELSEWHERE))
    before = cloud.items()
    event = {word: named(typo, moved, arn_of("dead", account=OTHER))} | MORE.get(word, {})
    for dry_run in (True, False):
        likely = f"The ledger does not know it: not judged yet; did you mean {arn}?"
        assert [(False, likely)] * 2 + [(False, "The ledger does not know it: not judged yet.")] == said(
            steer(cloud, **event, dry_run=dry_run)
        )
    assert before == cloud.items()


def test_looking_for_what_was_meant_costs_a_found_scope_nothing(cloud: Cloud) -> None:
    """Only where nothing was found."""
    arn = rolled_back(cloud)
    cloud.wire.calls.clear()
    steer(cloud, undo=named(arn), dry_run=True)
    assert [] == cloud.wire.made("Query")


def test_the_guard_counts_refused_calls_from_the_clearance_on(cloud: Cloud) -> None:
    """The earlier ones were no breakage, by a person's word."""
    arn = enforced(cloud)
    cloud.clock.move(minutes=30)
    reject(cloud, arn, calls=40)
    cloud.clock.move(minutes=20)
    steer(cloud, clear=named(arn))
    assert 0 == guard(cloud).rolled_back
    assert "required" == cloud.tokens(arn)


# --- As of what somebody has seen ----------------------------------------------------------------------------------


def seen_at(cloud: Cloud, scope: dict[str, Any]) -> str:
    """As of when a preview shows what would be cleared."""
    shown: str = answer(cloud, clear=scope, dry_run=True)["as_of"]
    return shown


@pytest.mark.parametrize("scope", [{"cohort": COHORT}, {"account": MEMBER}])
def test_what_breaks_after_somebody_has_looked_is_not_cleared_with_the_rest(
    cloud: Cloud, scope: dict[str, Any]
) -> None:
    """It is told, and waits for another look."""
    cloud.policy(mode="enforce")
    known, later = enforced(cloud), enforced(cloud)
    live(cloud, known, later, hours=1)
    reject(cloud, known)
    assert 1 == guard(cloud, after=6).rolled_back
    cloud.clock.move(minutes=1)
    at = seen_at(cloud, scope)
    cloud.clock.move(minutes=4)
    reject(cloud, later)
    assert 1 == guard(cloud, after=6).rolled_back
    results = {each["target"]: each for each in steer(cloud, clear=scope, at=at)}
    assert (True, None) == (results[str(known)]["done"], results[str(known)]["problem"])
    assert (False, True) == (results[str(later)]["done"], "since then" in results[str(later)]["problem"])
    assert ("broke_before", None) == (reason(cloud, later), cloud.current(later).get("cleared_at"))
    assert [(True, None)] == said(steer(cloud, clear=named(later), at=seen_at(cloud, named(later))))


def test_what_a_cohort_does_after_somebody_has_looked_is_not_settled(cloud: Cloud) -> None:
    """Not even by a member that nobody has judged yet."""
    caller, waiting = cloud.one(use=2.0), cloud.one()
    for each in (caller, waiting):
        judge(cloud, each)
    at = seen_at(cloud, {"cohort": COHORT})
    cloud.clock.move(hours=2)
    steer(cloud, clear={"cohort": COHORT}, at=at)
    settled = cloud.function().pools.read([COHORT])[COHORT].settled_at
    assert settled == datetime.fromisoformat(at)
    steer(cloud, clear={"cohort": COHORT})
    later = cloud.function().pools.read([COHORT])[COHORT].settled_at
    assert later is not None
    assert later >= settled + timedelta(hours=2)


def test_nobody_has_seen_what_is_still_to_come(cloud: Cloud) -> None:
    """As for `mended`."""
    with pytest.raises(InvalidRequest) as refused:
        steer(cloud, clear=named(rolled_back(cloud)), at="2031-01-01T00:00:00Z")
    assert "at" == refused.value.field
