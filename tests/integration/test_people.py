"""Commands from people: approvals, refusals, holds, circuit breaker and undo, from the command to the state of ledger
and EC2."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from imdsv2.domain.instance import Instance, InstanceArn, MetadataOptions
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from imdsv2.errors import InvalidRequest
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.trail import Author
from imdsv2.people import command as command_module
from imdsv2.people import undo as undo_module
from imdsv2.people.command import People
from imdsv2.people.command_request import Command, CommandKind
from imdsv2.people.request import parse
from imdsv2.people.scope import Scopes
from imdsv2.people.undo import Undoing
from tests.fixtures.events import finding
from tests.integration.builders import IMAGE, LEASE, MEMBER, NOW, OTHER, REGION, arn_of, asked, count_broken
from tests.integration.guarding import (
    ENFORCED_TAG,
    ROLLED_BACK_TAG,
    enforced,
    guard,
    live,
    probe,
    reject,
    untag,
    watch_use,
)
from tests.integration.steering import answer, due, events, judge, named, reason, said, steer, write
from tests.world.dynamodb import Table
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imdsv2.domain.instance import Target
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

ELSEWHERE = "us-east-1"
KEY = f"aws/{MEMBER}"
HOUR = timedelta(hours=1)
TODAY = "2026-11-20"
YESTERDAY = "2026-11-19"
BUSY = "Somebody is changing it right now; ask again in a few minutes."
LATER = "It is put back within the next minutes, by the guard."
UNKNOWN = "The ledger does not know it: not judged yet"
BACK = "It is back already: EC2 shows tokens as optional. The service has put it back before."
NOT_OURS = "The service has no enforcement of its own to take back here."
LOOK = "DescribeInstances"
CHANGE = "ModifyInstanceMetadataOptions"
WRITES = ("TransactWriteItems", "PutItem", "UpdateItem", CHANGE, "CreateTags", "DeleteTags", "Publish")


def waiting(cloud: Cloud, **how: Any) -> InstanceArn:
    """An instance that waits for approval."""
    arn = cloud.one(**how)
    assert "approval_required" == reason(cloud, arn)
    return arn


def openings(cloud: Cloud) -> list[str]:
    """The instances for which EC2 was asked to make tokens optional."""
    return [each["InstanceId"] for each in cloud.changes() if each.get("HttpTokens") == "optional"]


def open_breaker(cloud: Cloud, account: str = MEMBER) -> None:
    """Three rollbacks, with no other change that day."""
    count_broken(cloud.accounts(), f"aws/{account}", 3, 3, cloud.clock())


# --- Dry run -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steer_", CommandKind)
def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(cloud: Cloud, steer_: CommandKind) -> None:
    """Neither to the ledger nor to EC2; nobody is notified."""
    mine = enforced(cloud)
    cloud.policy(mode="enforce", approval="required")
    scopes = {
        CommandKind.UNDO: named(mine),
        CommandKind.HOLD: named(cloud.one()),
        CommandKind.RELEASE: named(held := cloud.one()),
        CommandKind.CLOSE_BREAKER: {"account": MEMBER},
        CommandKind.CLEAR: named(mine),
        CommandKind.ACCEPT: named(used := cloud.one(use=1.0)),
        CommandKind.MENDED: named(used),
    }
    steer(cloud, hold=named(held), reason="Migration.", owner="blue", until=TODAY)
    assert "v1_in_use" == reason(cloud, used)
    event: dict[str, Any] = {"caller": "alice", steer_: scopes.get(steer_, named(waiting(cloud)))}
    open_breaker(cloud)
    if steer_ is CommandKind.MENDED:
        event["at"] = "2026-11-20T00:00:00Z"
    if steer_ in {CommandKind.HOLD, CommandKind.ACCEPT}:
        event |= {"reason": "Migration.", "owner": "blue", "until": TODAY}
    before, made = cloud.items(), len(cloud.wire.calls)
    dry = answer(cloud, **event, dry_run=True)
    assert (steer_, True, 1) == (dry["command"], dry["dry_run"], dry["count"])
    assert [(False, None)] == said(dry["results"])
    assert before == cloud.items()
    assert [] == [call for call in cloud.wire.calls[made:] if call.operation in WRITES]
    real = answer(cloud, **event)
    assert (False, [(True, None)]) == (real["dry_run"], said(real["results"]))


def test_results_come_in_the_order_asked_each_instance_once(cloud: Cloud) -> None:
    """Whether or not they are in the ledger."""
    arns = [enforced(cloud, region=ELSEWHERE), arn_of("a", account=OTHER), enforced(cloud), arn_of("c")]
    results = steer(cloud, undo=named(*arns, arns[0]))
    assert [str(arn) for arn in arns] == [result["target"] for result in results]
    assert [True, False, True, False] == [result["done"] for result in results]


def test_an_answer_is_never_longer_than_lambda_can_send(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances left out of the answer are processed all the same, and counted."""
    monkeypatch.setattr(command_module, "RESULTS_SHOWN", 2)
    cloud.policy(mode="enforce", approval="required")
    arns = [waiting(cloud) for _ in range(3)]
    approved = answer(cloud, approve={"account": MEMBER}, caller="alice")
    assert (3, 2) == (approved["count"], len(approved["results"]))
    assert all("approval" in cloud.current(arn) for arn in arns)


# --- Approval ------------------------------------------------------------------------------------------------------


@pytest.fixture
def careful(cloud: Cloud) -> Cloud:
    """A policy that enforces only approved instances."""
    cloud.policy(mode="enforce", approval="required")
    return cloud


def test_what_was_approved_is_enforced_once(careful: Cloud) -> None:
    """At once, by the function that processes due instances; the event says who approved. Then the approval is used
    up."""
    arn = waiting(careful)
    assert set() == due(careful)
    (result,) = steer(careful, approve=named(arn), caller="alice")
    assert {
        "target": str(arn),
        "status": "held",
        "reason": "approval_required",
        "would_be": None,
        "done": True,
        "problem": None,
    }.items() <= result.items()
    assert {arn} == due(careful)
    assert "unused" == reason(careful, arn, Source.REVISIT)
    assert "required" == careful.tokens(arn)
    (event,) = events(careful, arn, "enforcing")
    assert "alice, request request-9" == event["approved_by"]
    assert "approval" not in careful.current(arn)


def test_the_evidence_is_looked_at_anew(careful: Cloud) -> None:
    """An approved instance that has used IMDSv1 since is not changed."""
    arn = waiting(careful)
    steer(careful, approve=named(arn), caller="alice")
    careful.metrics.put_at(arn.instance_id, "MetadataNoToken", careful.clock() - timedelta(minutes=5), 1)
    assert "v1_in_use" == reason(careful, arn)


def test_all_that_waits_in_an_account_is_approved(careful: Cloud) -> None:
    """In all its Regions, or in one of them; instances that wait for another reason, or elsewhere, are not."""
    arns = [waiting(careful), waiting(careful, region=ELSEWHERE), waiting(careful, account=OTHER)]
    used = careful.one(use=1.0)
    judge(careful, used)
    in_region = steer(careful, approve={"account": MEMBER, "region": ELSEWHERE}, caller="alice", dry_run=True)
    assert [str(arns[1])] == [result["target"] for result in in_region]
    in_account = steer(careful, approve={"account": MEMBER}, caller="alice")
    assert {str(arn) for arn in arns[:2]} == {result["target"] for result in in_account}
    assert ["unused", "unused", "approval_required"] == [reason(careful, arn) for arn in arns]
    assert "v1_in_use" == reason(careful, used)


def test_all_that_waits_in_a_cohort_is_approved(careful: Cloud) -> None:
    """By the cohort's name in the ledger."""
    arns = [waiting(careful), waiting(careful)]
    write(careful, arns[1], cohort=f"{KEY}/{REGION}/group:web")
    results = steer(careful, approve={"cohort": f"{KEY}/{REGION}/image:{IMAGE}"}, caller="alice")
    assert [(str(arns[0]), True)] == [(result["target"], result["done"]) for result in results]


def test_where_nothing_waits_nothing_is_approved(careful: Cloud) -> None:
    """In an account, Region and cohort that the ledger knows."""
    judge(careful, careful.one(use=1.0))
    cohort = f"{KEY}/{REGION}/image:{IMAGE}"
    for scope in ({"account": MEMBER}, {"account": MEMBER, "region": REGION}, {"cohort": cohort}):
        none = answer(careful, approve=scope, caller="alice")
        assert (0, []) == (none["count"], none["results"])


@pytest.mark.parametrize(
    ("until", "hours", "expected"),
    [
        (None, 167, "unused"),
        (None, 168, "approval_required"),
        (TODAY, 11.9, "unused"),
        (TODAY, 12, "approval_required"),
    ],
)
def test_an_approval_expires(careful: Cloud, until: str | None, hours: float, expected: str) -> None:
    """After seven days, or at the end of the given day."""
    arn = waiting(careful)
    steer(careful, approve=named(arn), caller="alice", **({"until": until} if until else {}))
    live(careful, arn, hours=hours)
    careful.metrics.put(arn.instance_id, "MetadataNoToken", range(*_hours_back(careful, 200)))
    assert expected == reason(careful, arn)


def _hours_back(cloud: Cloud, hours: int) -> tuple[int, int]:
    now = int(cloud.clock().timestamp() // 3600)
    return now - hours, now


@pytest.mark.parametrize("word", ["approve", "hold"])
def test_a_day_that_is_past_is_refused(careful: Cloud, word: str) -> None:
    """In a dry run too. Today is accepted: it lasts until midnight."""
    event: dict[str, Any] = {word: named(waiting(careful)), "caller": "alice"}
    event |= {"reason": "Migration.", "owner": "blue"} if word == "hold" else {}
    with pytest.raises(InvalidRequest) as refused:
        steer(careful, **event, until=YESTERDAY, dry_run=True)
    assert "until" == refused.value.field
    assert [(True, None)] == said(steer(careful, **event, until=TODAY))


def test_what_somebody_refused_waits_until_somebody_approves_it_by_name(careful: Cloud) -> None:
    """A person who approves a whole account may not know of the refusal; the answer reports it."""
    arn, other = waiting(careful), waiting(careful)
    assert [(True, None)] == said(steer(careful, refuse=named(arn), caller="bob"))
    assert "approval_required" == reason(careful, arn)
    assert "bob refused the change" in careful.current(arn)["explanation"]
    broad = {result["target"]: result for result in steer(careful, approve={"account": MEMBER}, caller="alice")}
    assert [True, False] == [broad[str(each)]["done"] for each in (other, arn)]
    assert f"bob refused it on {TODAY}; name it under targets to approve it." == broad[str(arn)]["problem"]
    assert "approval_required" == reason(careful, arn)
    assert [(True, None)] == said(steer(careful, approve=named(arn), caller="alice"))
    assert "unused" == reason(careful, arn)


@pytest.mark.parametrize(
    ("gate", "scope"), [("calendar_closed", "targets"), ("breaker_open", "account"), ("no_evidence", "account")]
)
def test_an_approval_can_be_taken_back_until_it_is_spent(careful: Cloud, gate: str, scope: str) -> None:
    """Whatever holds the instance meanwhile: when that ends, the refusal holds it."""
    arn = waiting(careful)
    steer(careful, approve=named(arn), caller="alice")
    if gate == "calendar_closed":
        careful.policy(mode="enforce", approval="required", change_calendar="freeze")
        careful.wire.fake("GetCalendarState", lambda _: {"State": "CLOSED"})
    elif gate == "breaker_open":
        open_breaker(careful)
    else:
        careful.metrics.forget(arn.instance_id)
    assert gate == reason(careful, arn)
    refused = steer(careful, refuse=named(arn) if scope == "targets" else {"account": MEMBER}, caller="bob")
    assert [(True, None)] == said(refused)
    careful.policy(mode="enforce", approval="required")
    careful.accounts().close_breaker(KEY, "alice", Author(caller="alice"), NOW)
    careful.metrics.put(arn.instance_id, "MetadataNoToken", range(*_hours_back(careful, 2400)))
    assert "approval_required" == reason(careful, arn)


def test_what_does_not_wait_is_neither_approved_nor_refused(careful: Cloud) -> None:
    """Instances in use, done, or never judged: an approval would be used unexpectedly later."""
    used = careful.one(use=1.0, tags={"aws:autoscaling:groupName": "others"})
    done, new = waiting(careful), careful.one()
    judge(careful, used)
    steer(careful, approve=named(done), caller="alice")
    assert "unused" == reason(careful, done)
    for word in ("approve", "refuse"):
        results = steer(careful, **{word: named(used, done, new)}, caller="alice")
        no = "It does not wait for approval."
        assert [(False, no), (False, no), (False, f"{UNKNOWN}.")] == said(results)
    assert not [each for each in careful.items() if "approval" in each]
    assert str(new) not in {each["pk"] for each in careful.items()}


def test_what_another_gate_holds_is_approved_ahead(careful: Cloud) -> None:
    """It does not have to wait a second time."""
    arn = careful.one()
    careful.policy(mode="off", approval="required")
    assert "switched_off" == reason(careful, arn)
    assert [(True, None)] == said(steer(careful, approve=named(arn), caller="alice"))
    careful.policy(mode="enforce", approval="required")
    assert "unused" == reason(careful, arn)


# --- Holds ---------------------------------------------------------------------------------------------------------

HOLD = {"reason": "Migration until May.", "owner": "blue", "until": "2026-12-31", "caller": "bob"}


@pytest.mark.parametrize("is_known", [True, False])
def test_an_instance_is_held_whether_the_ledger_knows_it_or_not(cloud: Cloud, is_known: bool) -> None:
    """At once, with owner, reason and last day, the caller and the request."""
    arn = cloud.one()
    if is_known:
        cloud.policy(mode="observe")
        judge(cloud, arn)
        cloud.policy(mode="enforce")
    assert [(True, None)] == said(steer(cloud, hold=named(arn), **HOLD))
    assert {arn} == due(cloud)
    written = cloud.current(arn)["hold"]
    assert {
        "owner": "blue",
        "reason": "Migration until May.",
        "until": "2026-12-31",
        "by": "bob",
        "request_id": "request-9",
    } == {name: value for name, value in written.items() if name != "at"}
    assert "held_by_person" == reason(cloud, arn, Source.MANUAL)
    explanation = cloud.current(arn)["explanation"]
    assert all(word in explanation for word in ("blue", "Migration until May.", "2026-12-31"))
    assert "optional" == cloud.tokens(arn)


def test_what_neither_ec2_nor_the_ledger_knows_cannot_be_held(cloud: Cloud) -> None:
    """A typing error must not look like a hold; the likely instance is named."""
    known = cloud.one()
    judge(cloud, known)
    mistyped = dataclasses.replace(known, instance_id=known.instance_id[:-1] + "fe"[known.instance_id.endswith("f")])
    for dry_run in (True, False):
        ((done, problem),) = said(steer(cloud, hold=named(mistyped), **HOLD, dry_run=dry_run))
        assert not done
        assert problem is not None
        assert problem.startswith(f"EC2 knows no such instance in account {MEMBER}, {REGION}.")
    assert not cloud.ledger().read([mistyped])[mistyped].version


def test_what_the_ledger_alone_knows_can_be_held(cloud: Cloud) -> None:
    """EC2 may not show it at the moment."""
    arn = arn_of("c0ffee")
    write(cloud, arn, status="held", decision="hold", reason="unreachable")
    assert [(True, None)] == said(steer(cloud, hold=named(arn), **HOLD))


def test_a_hold_where_ec2_cannot_be_asked_says_so(cloud: Cloud) -> None:
    """One instance of a readable account is held all the same."""
    there, here = arn_of("d00d", account=OTHER), cloud.one()
    cloud.wire.refuse("AssumeRole", "AccessDenied", when=lambda call: OTHER in call.params["RoleArn"])
    (_, problem), (done, _) = said(steer(cloud, hold=named(there, here), **HOLD))
    assert problem is not None
    assert problem.startswith("Whether it exists cannot be asked: EC2 in account 333333333333")
    assert done


def test_a_hold_ends_with_its_last_day(cloud: Cloud) -> None:
    """The last day is included."""
    arn = cloud.one()
    steer(cloud, hold=named(arn), **HOLD | {"until": TODAY})
    live(cloud, arn, hours=11.9)
    assert "held_by_person" == reason(cloud, arn)
    live(cloud, arn, hours=0.1)
    watch_use(cloud, arn, days=1)
    assert "unused" == reason(cloud, arn)


def test_a_hold_takes_the_place_of_the_one_before(cloud: Cloud) -> None:
    """This is how a hold is prolonged, or handed over."""
    arn = cloud.one()
    steer(cloud, hold=named(arn), **HOLD)
    steer(cloud, hold=named(arn), **HOLD | {"owner": "green", "until": "2027-01-31"})
    assert ("green", "2027-01-31") == tuple(cloud.current(arn)["hold"][name] for name in ("owner", "until"))


def test_what_is_released_goes_on(cloud: Cloud) -> None:
    """At once; the ledger says who released it."""
    arn = cloud.one()
    steer(cloud, hold=named(arn), **HOLD)
    judge(cloud, arn)
    assert [(True, None)] == said(steer(cloud, release=named(arn), caller="carol"))
    assert {arn} == due(cloud)
    assert "carol, request request-9" == cloud.current(arn)["released_by"]
    assert "unused" == reason(cloud, arn, Source.REVISIT)
    steer(cloud, hold=named(arn), **HOLD)
    assert "released_by" not in cloud.current(arn)


def test_what_nobody_holds_cannot_be_released(cloud: Cloud) -> None:
    """Nothing is written about it."""
    known = enforced(cloud)
    before = cloud.items()
    assert [(False, "Nobody holds it.")] == said(steer(cloud, release=named(known)))
    assert before == cloud.items()


def test_what_broke_is_put_back_though_somebody_holds_it(cloud: Cloud) -> None:
    """A hold applies only to future changes."""
    arn = enforced(cloud)
    steer(cloud, hold=named(arn), **HOLD)
    assert [(True, None)] == said(steer(cloud, undo=named(arn)))


# --- The circuit breaker -------------------------------------------------------------------------------------------


def test_a_person_closes_the_breaker_of_an_account(cloud: Cloud) -> None:
    """Enforcement continues there; other accounts' circuit breakers stay as they are."""
    open_breaker(cloud)
    open_breaker(cloud, OTHER)
    arns = [cloud.one(), cloud.one(account=OTHER)]
    assert ["breaker_open"] * 2 == [reason(cloud, arn) for arn in arns]
    (result,) = steer(cloud, close_breaker={"account": MEMBER}, caller="alice")
    assert {"account": MEMBER, "opened_at": "2026-11-20T12:00:00Z", "done": True, "problem": None} == result
    known = cloud.accounts().of(arns[0])
    assert ("alice, request request-9", ()) == (known.breaker_closed_by, known.rollbacks)
    assert ["unused", "breaker_open"] == [reason(cloud, arn) for arn in arns]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_breaker_that_is_not_open_is_said_to_be_so(cloud: Cloud, dry_run: bool) -> None:
    """For an account with or without earlier enforcements; nothing is written."""
    enforced(cloud)
    judge(cloud, cloud.one(account=OTHER, use=1.0))
    before = cloud.items()
    for account in (MEMBER, OTHER):
        (result,) = steer(cloud, close_breaker={"account": account}, caller="alice", dry_run=dry_run)
        assert {"account": account, "opened_at": None, "done": False, "problem": "Its breaker is not open."} == result
    assert before == cloud.items()


def test_a_breaker_that_two_close_at_once_keeps_the_name_of_the_first(cloud: Cloud) -> None:
    """What broke after the first had closed it counts on, and the second is told."""
    open_breaker(cloud)
    quicker: list[bool] = []

    def be_quicker(_: Call) -> None:
        if not quicker:
            quicker.append(True)
            steer(cloud, close_breaker={"account": MEMBER}, caller="ann")
            count_broken(cloud.accounts(), KEY, 1, 10, cloud.clock())

    cloud.wire.on("TransactWriteItems", be_quicker)
    assert [(False, "Somebody else was quicker, and has closed it.")] == said(
        steer(cloud, close_breaker={"account": MEMBER}, caller="ben")
    )
    known = cloud.accounts().of(arn_of("a"))
    assert ("ann, request request-9", 1) == (known.breaker_closed_by, len(known.rollbacks))


# --- Undo: what is rolled back -------------------------------------------------------------------------------------


def test_an_undo_puts_back_what_is_as_we_left_it(cloud: Cloud) -> None:
    """Only the tokens; the ledger's events have the caller and the request."""
    arn = enforced(cloud, hop_limit=2)
    (result,) = steer(cloud, undo=named(arn), caller="carol")
    assert {
        "target": str(arn),
        "status": "rolled_back",
        "reason": "undone_by_person",
        "would_be": "rolled_back",
        "done": True,
        "problem": None,
    } == result
    assert [{"InstanceId": arn.instance_id, "HttpTokens": "optional"}] == cloud.changes()[1:]
    assert {ROLLED_BACK_TAG} == set(cloud.tags(arn))
    assert ["enforcing", "enforced", "rolling_back", "rolled_back"] == cloud.history(arn)
    for status in ("rolling_back", "rolled_back"):
        (event,) = events(cloud, arn, status)
        assert ("carol", "request-9", "manual") == (event["caller"], event["request_id"], event["source"])
    current = cloud.current(arn)
    assert str(current["explanation"]).startswith("carol asked for it to be put back (request request-9). Tokens are")
    assert {"undone_at", "undone_by"} <= set(current)
    assert not {"undo", "rolled_back_at", "broken_at", "lease_until"} & set(current)
    assert "hold (undone_by_person)" in str(cloud.hub.note_on(finding(str(arn))))


def test_an_undo_that_has_a_reason_says_it(cloud: Cloud) -> None:
    """Whoever reads the verdict later was not there."""
    arn = enforced(cloud)
    steer(cloud, undo=named(arn), caller="carol", reason="The backup fails.")
    expected = "carol asked for it to be put back (request request-9): The backup fails. "
    assert str(cloud.current(arn)["explanation"]).startswith(expected)


def test_a_dry_undo_tells_what_would_become_of_each(cloud: Cloud) -> None:
    """By the same rule as the real one, on the current options in EC2."""
    mine, changed = enforced(cloud), enforced(cloud)
    cloud.set_options(changed, http_endpoint="disabled")
    would, would_not = steer(cloud, undo=named(mine, changed), dry_run=True)
    assert ("enforced", "rolled_back", None) == (would["status"], would["would_be"], would["problem"])
    assert ("enforced", None) == (would_not["status"], would_not["would_be"])
    assert "HttpEndpoint" in str(would_not["problem"])


def test_an_undo_is_no_breakage_but_its_cohort_waits_for_a_word(cloud: Cloud) -> None:
    """It does not affect the circuit breaker; whatever runs the same software waits until a person says what it was."""
    cloud.policy(mode="enforce", canary={"share": 1.0, "hours": 24})
    arn = enforced(cloud)
    steer(cloud, undo=named(arn))
    assert () == cloud.accounts().of(arn).rollbacks
    waits = cloud.one()
    assert "canary_wait" == reason(cloud, waits)
    explanation = cloud.current(waits)["explanation"]
    assert "nobody has said why" in explanation
    assert explanation.endswith(command("clear", arn))
    assert "undone_by_person" == reason(cloud, arn, Source.MANUAL)
    write(cloud, arn, cleared_at=cloud.clock.tick())
    assert "unused" in [reason(cloud, each) for each in (arn, waits)], "somebody goes first again"


def test_an_undo_of_what_was_refused_calls_is_breakage(cloud: Cloud) -> None:
    """One call is enough, because somebody wants it back: cohort and circuit breaker know, and the ledger tells both."""
    cloud.policy(mode="enforce", canary={"share": 0.1, "hours": 24})
    arn = enforced(cloud)
    probe(cloud, arn)
    (result,) = steer(cloud, undo=named(arn), caller="carol")
    assert ("rolled_back", "broke_before", True) == (result["status"], result["reason"], result["done"])
    current = cloud.current(arn)
    assert str(current["explanation"]).startswith(
        "carol asked for it to be put back (request request-9). 1 IMDSv1 call was rejected since 2026-11-20 11:55 UTC"
    )
    assert {"rolled_back_at", "broken_at", "undone_at"} <= set(current)
    assert ("carol", "manual", "carol") == (current["undone_by"], current["source"], current["caller"])
    assert 1 == len(cloud.accounts().of(arn).rollbacks)
    waits = cloud.one()
    assert "canary_wait" == reason(cloud, waits)
    assert "broke without IMDSv1" in cloud.current(waits)["explanation"]


def test_an_undo_overwrites_no_cause_that_the_guard_recorded(cloud: Cloud) -> None:
    """The guard only told; a person puts it back, and it stays broken since the guard saw it."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = enforced(cloud)
    reject(cloud, arn)
    guard(cloud)
    broken_at = cloud.current(arn)["broken_at"]
    cloud.clock.move(hours=2)
    steer(cloud, undo=named(arn), caller="carol")
    current = cloud.current(arn)
    assert ("rolled_back", "broke_before", broken_at) == (current["status"], current["reason"], current["broken_at"])
    assert 1 == len(cloud.accounts().of(arn).rollbacks)


def test_whoever_looks_or_asks_again_changes_nothing_of_what_happened(cloud: Cloud) -> None:
    """Who put it back and why stays in the ledger, whoever comes after."""
    arn = enforced(cloud)
    steer(cloud, undo=named(arn), caller="carol")
    told = ("caller", "explanation", "source", "request_id", "undone_by", "undone_at")
    before = {name: cloud.current(arn)[name] for name in told}
    judge(cloud, arn, Source.MANUAL, caller="dave")
    judge(cloud, arn, Source.REVISIT)
    assert [(False, BACK)] == said(steer(cloud, undo=named(arn), caller="dave"))
    assert before == {name: cloud.current(arn)[name] for name in told}


def test_an_undo_does_not_wait_for_cloudwatch(cloud: Cloud) -> None:
    """Where refused calls cannot be read, it is put back all the same, and its cohort waits."""
    arn = enforced(cloud)
    cloud.metrics.status = "Forbidden"
    assert [(True, None)] == said(steer(cloud, undo=named(arn), caller="carol"))
    current = cloud.current(arn)
    assert "undone_by_person" == current["reason"]
    assert "Whether calls were rejected could not be read (CloudWatch answered Forbidden)." in current["explanation"]
    assert arn == cloud.cohorts().read([current["cohort"]])[current["cohort"]].broken_by


def test_what_is_verified_and_watched_no_longer_is_put_back_too(cloud: Cloud) -> None:
    """However long ago it was enforced."""
    arn = enforced(cloud)
    write(cloud, arn, status="verified", watch="done")
    cloud.clock.move(days=300)
    assert [(True, None)] == said(steer(cloud, undo={"account": MEMBER}))
    assert "optional" == cloud.tokens(arn)


def fleet(cloud: Cloud) -> dict[str, InstanceArn]:
    """An instance here, in another Region, in another account, in another cohort, and one that was changed later."""
    arns = {
        "here": enforced(cloud),
        "region": enforced(cloud, region=ELSEWHERE),
        "account": enforced(cloud, account=OTHER),
        "cohort": enforced(cloud),
    }
    write(cloud, arns["cohort"], cohort=f"{KEY}/{REGION}/group:web")
    cloud.clock.move(hours=2)
    return arns | {"later": enforced(cloud)}


SCOPES: list[tuple[dict[str, Any], set[str]]] = [
    ({"account": MEMBER}, {"here", "region", "cohort", "later"}),
    ({"account": MEMBER, "region": ELSEWHERE}, {"region"}),
    ({"account": OTHER}, {"account"}),
    ({"cohort": f"{KEY}/{REGION}/group:web"}, {"cohort"}),
    ({"cohort": f"{KEY}/{REGION}/image:{IMAGE}"}, {"here", "later"}),
    ({"since": "2026-11-20T12:00:00Z"}, {"here", "region", "account", "cohort", "later"}),
    ({"since": "0026-11-20T13:00:00Z"}, {"here", "region", "account", "cohort", "later"}),
    ({"since": "2026-11-20T13:00:00Z"}, {"later"}),
    ({"since": "2026-11-20T15:00:00+02:00", "account": MEMBER}, {"later"}),
    ({"since": "2026-11-20T13:00:00Z", "account": OTHER}, set()),
    ({"since": "2026-11-20T13:00:00Z", "cohort": f"{KEY}/{REGION}/image:{IMAGE}"}, {"later"}),
]


def test_a_dry_undo_names_its_scope_and_nothing_else(cloud: Cloud) -> None:
    """An account, one of its Regions, a cohort, a time, and valid combinations of these."""
    arns = fleet(cloud)
    for scope, expected in SCOPES:
        results = steer(cloud, undo=scope, dry_run=True)
        assert (scope, {str(arns[name]) for name in expected}) == (scope, {each["target"] for each in results})
        assert {"rolled_back"} >= {each["would_be"] for each in results}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"account": MEMBER}, {"here", "region", "cohort", "later"}),
        ({"cohort": f"{KEY}/{REGION}/group:web"}, {"cohort"}),
        ({"since": "2026-11-20T12:00:00Z"}, {"here", "region", "account", "cohort", "later"}),
    ],
)
def test_an_undo_puts_back_its_scope_and_nothing_else(cloud: Cloud, scope: dict[str, Any], expected: set[str]) -> None:
    """Across Regions and accounts."""
    arns = fleet(cloud)
    assert [(True, None)] * len(expected) == said(steer(cloud, undo=scope))
    assert expected == {name for name, arn in arns.items() if cloud.tokens(arn) == "optional"}


def test_of_instances_by_name_those_before_the_time_are_left(cloud: Cloud) -> None:
    """The time narrows every scope; the answer says which instances it leaves out."""
    arns = fleet(cloud)
    named_ones = named(arns["here"], arns["later"])
    results = steer(cloud, undo={**named_ones, "since": "2026-11-20T13:00:00Z"})
    assert [(False, "It was changed before that, at 2026-11-20T12:00:00Z."), (True, None)] == said(results)
    assert ["required", "optional"] == [cloud.tokens(arns[name]) for name in ("here", "later")]


def test_what_was_put_back_before_is_not_in_the_scope_again(cloud: Cloud) -> None:
    """Nor are instances that the service never changed."""
    arn, used = enforced(cloud), cloud.one(use=1.0)
    judge(cloud, used)
    assert [(True, None)] == said(steer(cloud, undo={"account": MEMBER}))
    assert [] == steer(cloud, undo={"account": MEMBER})
    assert [(False, BACK), (False, NOT_OURS)] == said(steer(cloud, undo=named(arn, used)))


# --- Undo: what is left, and why -----------------------------------------------------------------------------------


def _shut_out(cloud: Cloud, arn: InstanceArn) -> None:
    cloud.wire.refuse("AssumeRole", "AccessDenied", when=lambda call: f"::{arn.account}:" in call.params["RoleArn"])


LEFT: dict[str, tuple[Callable[[Cloud, InstanceArn], object], str]] = {
    "somebody raised its hop limit": (
        lambda cloud, arn: setattr(cloud.instance(arn).metadata_options, "http_put_response_hop_limit", 2),
        "Somebody has changed HttpPutResponseHopLimit since",
    ),
    "somebody closed its endpoint": (
        lambda cloud, arn: cloud.set_options(arn, http_endpoint="disabled"),
        "Somebody has changed HttpEndpoint since",
    ),
    "somebody put it back": (
        lambda cloud, arn: cloud.set_options(arn, http_tokens="optional"),
        "It is back already: EC2 shows tokens as optional. Somebody has made them optional",
    ),
    "its tag is gone": (lambda cloud, arn: untag(cloud, arn, ENFORCED_TAG), f"Its tag {ENFORCED_TAG} is gone"),
    "it was not surely us": (
        lambda cloud, arn: write(cloud, arn, confirmed=False),
        "It is not certain that the service made the change",
    ),
    "it has gone": (
        lambda cloud, arn: cloud.as_account(arn.account, "ec2", arn.region).terminate_instances(
            InstanceIds=[arn.instance_id]
        ),
        "The instance has gone.",
    ),
    "its account lets nobody in": (_shut_out, f"EC2 in account {OTHER}, {REGION} cannot be read (AccessDenied"),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_may_not_or_cannot_be_put_back_is_left_with_the_reason(cloud: Cloud, case: str) -> None:
    """Dry and for real. Nothing is written about it, and the others are not delayed."""
    arn, fine = enforced(cloud, account=OTHER), enforced(cloud)
    change, expected = LEFT[case]
    change(cloud, arn)
    before, options = cloud.current(arn), vars(cloud.instance(arn).metadata_options).copy()
    for dry_run in (True, False):
        left, put_back = steer(cloud, undo=named(arn, fine), dry_run=dry_run)
        assert (False, None) == (left["done"], left["would_be"])
        assert str(left["problem"]).startswith(expected)
        assert (not dry_run, "rolled_back") == (put_back["done"], put_back["would_be"])
    assert before == cloud.current(arn)
    assert options == vars(cloud.instance(arn).metadata_options)


def test_an_undo_of_what_was_put_back_says_that_it_is_back(cloud: Cloud) -> None:
    """By the service itself, by whoever asked before; nobody is sent to EC2."""
    arn = enforced(cloud)
    steer(cloud, undo=named(arn))
    for dry_run in (True, False):
        [left] = steer(cloud, undo=named(arn), dry_run=dry_run)
        assert not left["done"]
        assert str(left["problem"]).startswith(
            "It is back already: EC2 shows tokens as optional. The service has put it back"
        )


def test_a_time_that_is_still_to_come_is_refused(cloud: Cloud) -> None:
    """Nothing can have been changed since: it is a typing error, and no empty answer."""
    soon = (cloud.clock() + timedelta(days=1)).isoformat()
    for dry_run in (True, False):
        with pytest.raises(InvalidRequest, match=r"undo\.since: takes a time that is past"):
            steer(cloud, undo={"account": MEMBER, "since": soon}, dry_run=dry_run)


def test_an_instance_that_ec2_knows_no_longer_is_left(cloud: Cloud) -> None:
    """EC2 stops showing an instance about an hour after its termination."""
    arn = enforced(cloud)
    cloud.wire.refuse(LOOK, "InvalidInstanceID.NotFound", f"The instance ID '{arn.instance_id}' does not exist")
    assert [(False, "The instance has gone.")] == said(steer(cloud, undo=named(arn)))


def test_what_ec2_forbids_is_left_in_its_words(cloud: Cloud) -> None:
    """Its status is restored, the request for an undo is dropped, and people are notified."""
    arn, fine = enforced(cloud), enforced(cloud)
    message = "You can't set httpTokens to 'optional' because httpTokensEnforced is enabled for this account."
    cloud.wire.refuse(
        CHANGE, "UnsupportedOperation", message, when=lambda call: call.params["InstanceId"] == arn.instance_id
    )
    left, put_back = steer(cloud, undo=named(arn, fine), caller="carol")
    assert ("enforced", False) == (left["status"], left["done"])
    assert str(left["problem"]).startswith("The account's setting HttpTokensEnforced forbids going back")
    assert put_back["done"]
    current = cloud.current(arn)
    assert not {"undo", "lease_until", "status_before"} & set(current)
    assert "required" == cloud.tokens(arn)
    assert [arn.instance_id] == [each for each in openings(cloud) if each == arn.instance_id]
    (told,) = [each for each in cloud.published() if "could not be switched on again" in each["Subject"]]
    assert str(arn) in told["Message"]


# --- Undo: nothing stops it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "off"},
        {"mode": "observe"},
        {"mode": "enforce", "rollback": "alert"},
        {"mode": "enforce", "max_enforcements_per_hour": 1},
        {"mode": "enforce", "approval": "required", "notice_hours": 48, "change_calendar": "freeze"},
        {"mode": "enforce", "exclude_accounts": [MEMBER]},
    ],
)
def test_no_rule_for_changes_stops_an_undo(cloud: Cloud, fields: dict[str, Any]) -> None:
    """Nor does it count against the cap."""
    arns = [enforced(cloud) for _ in range(2)]
    open_breaker(cloud)
    before = cloud.accounts().of(arns[0]).enforcements
    cloud.policy(**fields)
    assert [(True, None)] * 2 == said(steer(cloud, undo=named(*arns)))
    assert before == cloud.accounts().of(arns[0]).enforcements


@pytest.mark.parametrize("text", ["{", '{"mode": "of"}'])
def test_a_policy_that_nobody_can_read_stops_no_undo(cloud: Cloud, text: str) -> None:
    """The person who broke the policy may need the undo."""
    arn = enforced(cloud)
    cloud.raw_policy(text)
    assert [(True, None)] == said(steer(cloud, undo=named(arn)))


# --- Undo: concurrency and time limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["enforcing", "rolling_back"])
def test_what_somebody_is_changing_is_left_to_him(careful: Cloud, status: str) -> None:
    """For as long as the lease lasts; the caller is asked to retry."""
    arn = careful.one()
    write(careful, arn, status="enforcing", decision="enforce", reason="unused", lease_until=careful.clock() + LEASE)
    if status == "rolling_back":
        write(careful, arn, status="enforced", enforced_at=careful.clock())
        write(careful, arn, status="rolling_back")
    before = careful.items()
    for word in sorted({*CommandKind} - {CommandKind.CLOSE_BREAKER}):
        event: dict[str, Any] = {"caller": "alice", word: named(arn)} | (HOLD if word in {"hold", "accept"} else {})
        event |= {"at": "2026-11-20T00:00:00Z"} if word == "mended" else {}
        for dry_run in (True, False):
            assert [(False, BUSY)] == said(steer(careful, **event, dry_run=dry_run))
    assert before == careful.items()


def test_a_rollback_that_was_left_behind_is_the_guards_to_finish(cloud: Cloud) -> None:
    """The guard knows the reason; a person's undo would hide the breakage."""
    arn = enforced(cloud)
    write(cloud, arn, status="rolling_back", source="guard", lease_until=cloud.clock())
    (result,) = steer(cloud, undo=named(arn))
    assert "It is being put back already; the guard brings that to its end." == result["problem"]
    assert "undo" not in cloud.current(arn)


def test_whoever_is_overtaken_is_told_to_ask_again(cloud: Cloud) -> None:
    """Another command was written between this one's read and write; both remain."""
    arn = cloud.one()
    steer(cloud, hold=named(arn), **HOLD)
    intruded: list[bool] = []

    def intrude(_: Call) -> None:
        if not intruded:
            intruded.append(True)
            steer(cloud, hold=named(arn), **HOLD | {"owner": "green"})

    cloud.wire.on("TransactWriteItems", intrude)
    assert [(False, "Somebody else was quicker; ask again.")] == said(steer(cloud, release=named(arn)))
    assert "green" == cloud.current(arn)["hold"]["owner"]


def test_what_there_is_no_time_for_the_guard_finishes(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances are processed in groups, with a check of the remaining time between them; the rest is marked in the
    ledger, and not lost."""
    monkeypatch.setattr(undo_module, "_UNDONE_AT_ONCE", 2)
    arns = [enforced(cloud) for _ in range(5)]
    left = iter([True, True, False])
    results = answer(cloud, lambda: next(left), undo=named(*arns), caller="carol")["results"]
    assert [(True, None)] * 4 + [(False, LATER)] == said(results)
    assert ("enforced", "required") == (results[4]["status"], cloud.tokens(arns[4]))
    assert "carol" == cloud.current(arns[4])["undo"]["by"]
    assert 1 == guard(cloud).rolled_back
    current = cloud.current(arns[4])
    assert ("rolled_back", "manual", "carol") == (current["status"], current["source"], current["caller"])
    assert "request request-9" in current["explanation"]
    assert "optional" == cloud.tokens(arns[4])


def test_without_any_time_all_is_marked_and_the_guard_puts_it_back(cloud: Cloud) -> None:
    """Including instances no longer under watch, in every account."""
    arns = [enforced(cloud), enforced(cloud, region=ELSEWHERE), enforced(cloud, account=OTHER)]
    write(cloud, arns[0], status="verified", watch="done")
    results = answer(cloud, lambda: False, undo={"since": "2026-11-20T00:00:00Z"})["results"]
    assert [(False, LATER)] * 3 == said(results)
    assert [] == openings(cloud)
    assert 3 == guard(cloud).rolled_back
    assert ["optional"] * 3 == [cloud.tokens(arn) for arn in arns]


@pytest.mark.parametrize("operation", [LOOK, CHANGE])
def test_what_ec2_has_no_room_for_the_guard_finishes(cloud: Cloud, operation: str) -> None:
    """Throttling is no refusal: it is done a little later."""
    arn = enforced(cloud)
    throttled = [True]
    cloud.wire.refuse(operation, "RequestLimitExceeded", when=lambda _: throttled[0])
    assert [(False, LATER)] == said(steer(cloud, undo=named(arn)))
    throttled.clear()
    throttled.append(False)
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(arn)


def test_a_dry_run_that_ec2_has_no_room_for_says_so(cloud: Cloud) -> None:
    """The result is unknown."""
    arn = enforced(cloud)
    cloud.wire.refuse(LOOK, "RequestLimitExceeded")
    (result,) = steer(cloud, undo=named(arn), dry_run=True)
    assert result["would_be"] is None
    assert "RequestLimitExceeded" in str(result["problem"])


def after_the_mark(cloud: Cloud, step: Callable[[], object]) -> None:
    """Something happens between the mark in the ledger and the group's turn."""
    looks: list[Call] = []

    def between(call: Call) -> None:
        looks.append(call)
        if len(looks) == 2:
            step()

    cloud.wire.on(LOOK, between)


def test_what_somebody_changes_before_its_turn_is_left(cloud: Cloud) -> None:
    """The groups before it may take minutes, so each instance is described again."""
    arn = enforced(cloud)
    after_the_mark(cloud, lambda: cloud.set_options(arn, http_endpoint="disabled"))
    (result,) = steer(cloud, undo=named(arn))
    assert str(result["problem"]).startswith("Somebody has changed HttpEndpoint since")
    assert ("required", []) == (cloud.tokens(arn), openings(cloud))
    assert "undo" not in cloud.current(arn)


def test_what_the_guard_has_begun_before_its_turn_is_left_to_it(cloud: Cloud) -> None:
    """It is between ledger and EC2, under the guard's lease."""
    arn = enforced(cloud)
    lease_until = cloud.clock() + LEASE
    after_the_mark(cloud, lambda: write(cloud, arn, status="rolling_back", lease_until=lease_until, owner="guard"))
    (result,) = steer(cloud, undo=named(arn))
    assert ("rolling_back", False, LATER) == (result["status"], result["done"], result["problem"])
    assert "guard" == cloud.current(arn)["owner"]
    assert [] == openings(cloud)


def test_what_the_guard_has_put_back_before_its_turn_is_done(cloud: Cloud) -> None:
    """Only one of them calls EC2."""
    arn = enforced(cloud)
    after_the_mark(cloud, lambda: guard(cloud))
    assert [(True, None)] == said(steer(cloud, undo=named(arn)))
    assert [arn.instance_id] == openings(cloud)


def test_an_undo_that_somebody_forestalled_is_over(cloud: Cloud) -> None:
    """A person rolled it back by hand before the guard's pass; later changes by a person stand."""
    arn = enforced(cloud)
    answer(cloud, lambda: False, undo=named(arn))
    cloud.set_options(arn, http_tokens="optional")
    cloud.clock.move(minutes=30)
    assert "changed_back" == reason(cloud, arn)
    steer(cloud, clear=named(arn))
    assert "unused" == reason(cloud, arn, Source.REVISIT)
    done = guard(cloud)
    assert (1, 0) == (done.watched, done.rolled_back)
    assert "required" == cloud.tokens(arn)


def test_one_place_that_cannot_be_put_back_stops_no_other(cloud: Cloud) -> None:
    """Its rollback role is missing: it is left with that reason."""
    shut, fine = enforced(cloud, account=OTHER), enforced(cloud)
    cloud.wire.refuse(
        "AssumeRole",
        "AccessDenied",
        when=lambda call: call.params["RoleArn"].endswith(f"::{OTHER}:role/imdsv2-remediation-rollback"),
    )
    left, put_back = steer(cloud, undo=named(shut, fine))
    assert "The account's rollback role cannot be used" in str(left["problem"])
    assert put_back["done"]


# --- Number of calls -----------------------------------------------------------------------------------------------


class CountedTable(Table):
    """The ledger's table, which counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        self.asked["read"] += 1
        return super().batch_get_item(**request)

    def query(self, **request: Any) -> dict[str, Any]:
        self.asked["query"] += 1
        return super().query(**request)

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        self.asked["write"] += 1
        return super().transact_write_items(**request)


AS_LEFT = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}


class Onlooker:
    """Stands in for the descriptions of EC2: every instance is as the service left it."""

    def __init__(self) -> None:
        self.looks: list[int] = []

    def look(self, _: object, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Target]:
        """Describe the instances of an account and Region."""
        self.looks.append(len(arns))
        return {arn: dataclasses.replace(_SEEN, arn=arn) for arn in arns}


_SEEN = Instance(
    arn=arn_of("0"),
    state="running",
    launched_at=NOW - timedelta(days=100),
    first_launched_at=None,
    stopped_at=None,
    options=MetadataOptions(http_tokens="required", http_endpoint="enabled", hop_limit=1),
    tags={ENFORCED_TAG: "2026-11-20T12:00:00Z"},
)


def test_a_scope_of_1500_instances_is_looked_at_and_marked_in_a_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """One description in EC2, a read of the ledger for each hundred, and a write for each hundred that marks them."""
    table, eyes = CountedTable(), Onlooker()
    monkeypatch.setattr(undo_module, "look", eyes.look)
    ledger = Ledger(table.client, "ledger")
    entries = [Record(arn=arn_of(f"{number:x}")) for number in range(1500)]
    known = {"status": "enforcing", "enforced_at": NOW, "confirmed": True, "after": AS_LEFT, "watch": "open"}
    ledger.write([change(each, **known) for each in entries], NOW)
    standing = ledger.read(each.arn for each in entries).values()
    ledger.write([change(each, status="enforced") for each in standing], NOW)
    accounts = Accounts(table.client, "ledger")
    scopes = Scopes(ledger=ledger, accounts=accounts, region=REGION)
    nobody = cast("Any", None)
    undoing = Undoing(clients=nobody, ledger=ledger, scopes=scopes, response=nobody, policies=nobody, now=lambda: NOW)
    pools: Any = None  # Nothing here is about a cohort.
    no_sources: Any = SimpleNamespace(undo=lambda *_: [])
    people = People(
        ledger=ledger,
        accounts=accounts,
        scopes=scopes,
        undoing=undoing,
        source_undoing=no_sources,
        pools=pools,
        now=lambda: NOW,
    )
    for dry_run, expected in [(True, {"query": 2, "read": 15}), (False, {"query": 2, "read": 30, "write": 30})]:
        table.asked.clear()
        command = parse({"undo": {"account": MEMBER}, "dry_run": dry_run, "caller": "dora"})
        assert isinstance(command, Command)
        answered = people.carry_out(command, "request-9", lambda: False)
        assert 1500 == answered["count"] == sum(each["would_be"] == "rolled_back" for each in answered["results"])
        assert expected == table.asked
    assert [1500, 1500] == eyes.looks
    assert all(each.undo for each in ledger.read(each.arn for each in entries).values())


def test_a_group_costs_a_dozen_calls_and_one_a_change(cloud: Cloud) -> None:
    """People get one message for the group."""
    arns = cloud.launch(count=20)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    cloud.wire.calls.clear()
    assert [(True, None)] * 20 == said(steer(cloud, undo={"account": MEMBER}))
    made = Counter(call.operation for call in cloud.wire.calls)
    assert (20, 1) == (made.pop(CHANGE), made["Publish"])
    assert sum(made.values()) <= 24
