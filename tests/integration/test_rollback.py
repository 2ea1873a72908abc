"""Rollback: makes tokens optional again, changes nothing else, and acts only on instances that are still as the
service left them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from tests.fixtures.events import finding
from tests.integration.builders import LEASE, MEMBER, OTHER, asked
from tests.integration.guarding import (
    ENFORCED_TAG,
    ROLLED_BACK_TAG,
    enforced,
    guard,
    guard_that_dies,
    live,
    reject,
    set_state,
    untag,
    watch_use,
)
from tests.integration.steering import named, steer

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.guard.place import Pass
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

CHANGE = "ModifyInstanceMetadataOptions"


def broken(cloud: Cloud, **how: Any) -> InstanceArn:
    """An instance whose software had a call rejected in the hour after its enforcement."""
    arn = enforced(cloud, **how)
    live(cloud, arn, hours=1)
    reject(cloud, arn)
    return arn


def from_template(number: int) -> dict[str, str]:
    """The tag of what runs other software than the rest."""
    return {"aws:ec2launchtemplate:id": f"lt-{number:017x}"}


def messages(cloud: Cloud, words: str) -> list[dict[str, Any]]:
    """The messages under a headline."""
    return [each for each in cloud.published() if words in each["Subject"]]


def openings(cloud: Cloud) -> list[dict[str, Any]]:
    """The calls to EC2 that make tokens optional."""
    return [each for each in cloud.changes() if each.get("HttpTokens") == "optional"]


def ended(done: Pass) -> tuple[int, int]:
    """How many were rolled back, and how many stay broken."""
    return done.rolled_back, done.left_broken


def left_because(cloud: Cloud, arn: InstanceArn) -> str:
    """Why a broken instance stays as it is, compared with the notification."""
    current = cloud.current(arn)
    assert ("enforced", "required") == (current["status"], cloud.tokens(arn))
    said = str(current["explanation"]).partition("It was not put back: ")[2]
    # What EC2 said differs from call to call; why it is left must not.
    assert current["left_because"] == re.sub(r"\((\w+): .*?\)(?=[ .])", r"(\1)", said)
    (message,) = messages(cloud, "Something broke")
    assert str(current["explanation"]) in message["Message"]
    assert "Something broke" in str(cloud.hub.note_on(finding(str(arn))))
    return said


# --- Rolled back ---------------------------------------------------------------------------------------------------


def test_what_breaks_is_put_back_by_its_tokens_alone(cloud: Cloud) -> None:
    """One option is changed back; endpoint, hop limit and all others are not sent."""
    arn = broken(cloud, hop_limit=2)
    done = guard(cloud)
    assert (1, 0, 0) == (done.rolled_back, done.left_broken, done.failed)
    assert [{"InstanceId": arn.instance_id, "HttpTokens": "optional"}] == cloud.changes()[1:]
    assert "optional" == cloud.tokens(arn)
    assert ["enforcing", "enforced", "rolling_back", "rolled_back"] == cloud.history(arn)


def test_the_ledger_says_what_broke_and_what_holds_it_now(cloud: Cloud) -> None:
    """The reason, the explanation, and the previous state, which nothing overwrites."""
    arn = broken(cloud)
    before = cloud.current(arn)["before"]
    guard(cloud)
    current = cloud.current(arn)
    expected = {
        "status": "rolled_back",
        "decision": "hold",
        "reason": "broke_before",
        "source": "guard",
        "request_id": "request-2",
        "before": before,
        "watch": "done",
    }
    assert expected == {name: current[name] for name in expected}
    assert {"rolled_back_at", "broken_at", "revisit_at", "enforced_at"} <= set(current)
    assert not {"lease_until", "owner", "status_before", "left_because", "undo"} & set(current)
    assert str(current["explanation"]).startswith(
        "2 IMDSv1 calls were rejected since 2026-11-20 11:55 UTC, in 2 separate periods of five minutes, the last at "
        "2026-11-20 13:05 UTC: its software needs IMDSv1. Tokens are optional again"
    )
    assert str(current["explanation"]).endswith(command("clear", arn))


def test_its_tag_is_replaced_its_finding_annotated_and_people_are_told(cloud: Cloud) -> None:
    """The rollback is visible in EC2, in Security Hub and in the notification."""
    arn = broken(cloud)
    guard(cloud)
    assert {ROLLED_BACK_TAG: "2026-11-20T13:05:00Z"} == cloud.tags(arn)
    assert "hold (broke_before)" in str(cloud.hub.note_on(finding(str(arn))))
    (message,) = messages(cloud, "IMDSv1 switched on again")
    assert str(arn) in message["Message"]
    guard(cloud)
    assert 1 == len(messages(cloud, "IMDSv1 switched on again"))


def test_the_ledger_is_written_ahead_of_ec2(cloud: Cloud) -> None:
    """`rolling_back` with owner and lease is in the ledger before the call to EC2, and the tag is replaced last."""
    arn = broken(cloud)
    seen: dict[str, Any] = {}
    cloud.wire.on(CHANGE, lambda _: seen.update(cloud.current(arn)))
    made = len(cloud.wire.calls)
    guard(cloud)
    assert ("rolling_back", "request-2", "enforced") == (seen["status"], seen["owner"], seen["status_before"])
    assert seen["lease_until"] == seen["revisit_at"]
    writing = {"TransactWriteItems", CHANGE, "DescribeInstances", "DeleteTags", "CreateTags", "Publish"}
    order = [call.operation for call in cloud.wire.calls[made:] if call.operation in writing]
    assert [
        "DescribeInstances",
        "TransactWriteItems",
        CHANGE,
        "DescribeInstances",
        "DeleteTags",
        "CreateTags",
        "TransactWriteItems",
        "Publish",
        "TransactWriteItems",
    ] == order


def test_the_way_back_is_a_role_of_its_own(cloud: Cloud) -> None:
    """The guard never uses the role that can require tokens."""
    broken(cloud)
    made = len(cloud.wire.calls)
    guard(cloud)
    roles = {call.params["RoleArn"].rpartition("-")[2] for call in cloud.wire.calls[made:] if "RoleArn" in call.params}
    assert {"read", "rollback"} == roles


def test_it_is_held_until_a_person_clears_it(cloud: Cloud) -> None:
    """A new evaluation leaves it unchanged; once cleared by hand, it may be enforced again, and loses the rollback
    tag."""
    arn = broken(cloud)
    guard(cloud)
    cloud.clock.move(days=40)
    watch_use(cloud, arn, days=40)
    cloud.line().run([asked(arn, Source.REVISIT)], "request-3")
    assert ("rolled_back", "broke_before") == (cloud.current(arn)["status"], cloud.current(arn)["reason"])
    steer(cloud, clear=named(arn))
    cloud.line().run([asked(arn, Source.REVISIT)], "request-4")
    assert ("enforced", "required") == (cloud.current(arn)["status"], cloud.tokens(arn))
    assert {ENFORCED_TAG} == set(cloud.tags(arn))


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_no_mode_of_the_service_holds_up_a_rollback(cloud: Cloud, mode: str) -> None:
    """The kill switch stops changes, not rollbacks."""
    arn = broken(cloud)
    cloud.policy(mode=mode)
    guard(cloud)
    assert "optional" == cloud.tokens(arn)


def test_a_policy_that_is_refused_holds_up_no_rollback(cloud: Cloud) -> None:
    """The last valid policy applies."""
    arn = broken(cloud)
    cloud.raw_policy("no policy at all")
    guard(cloud)
    assert "optional" == cloud.tokens(arn)


def test_many_are_put_back_in_one_pass(cloud: Cloud) -> None:
    """One message reports all of them."""
    arns = [enforced(cloud) for _ in range(5)]
    for arn in arns:
        reject(cloud, arn)
    assert 5 == guard(cloud).rolled_back
    assert ["optional"] * 5 == [cloud.tokens(arn) for arn in arns]
    (message,) = messages(cloud, "IMDSv1 switched on again")
    assert all(str(arn) in message["Message"] for arn in arns)


# --- Left as it is -------------------------------------------------------------------------------------------------


def test_alert_only_tells(cloud: Cloud) -> None:
    """Once; no pass of the guard changes anything."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = broken(cloud)
    assert (0, 1) == (guard(cloud).rolled_back, guard(cloud).left_broken)
    expected = 'The policy says "rollback": "alert". Put it back by hand, or update its software.'
    assert expected == left_because(cloud, arn)
    assert [] == openings(cloud)


def test_alert_that_becomes_auto_takes_effect_at_once(cloud: Cloud) -> None:
    """A policy change during an incident must not wait for an hour."""
    cloud.policy(mode="enforce", rollback="alert")
    arn = broken(cloud)
    guard(cloud)
    cloud.policy(mode="enforce", rollback="auto")
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(arn)
    assert "left_because" not in cloud.current(arn)


def test_what_may_have_been_somebody_else_is_left_alone(cloud: Cloud) -> None:
    """An interrupted enforcement that is found with another hop limit too: the service changes nothing but the tokens."""
    arn = cloud.one()
    cloud.hub.holds(finding(str(arn)))
    cloud.wire.on(CHANGE, _unanswered_once())
    cloud.line().run([asked(arn, Source.SECURITYHUB, finding=finding(str(arn)))], "request-0")
    cloud.set_options(arn, http_tokens="required", http_put_response_hop_limit="2")
    cloud.clock.move(minutes=10)
    cloud.line().run([asked(arn, Source.REVISIT)], "request-1")
    assert ("enforced", False) == (cloud.current(arn)["status"], cloud.current(arn)["confirmed"])
    reject(cloud, arn)
    guard(cloud)
    assert left_because(cloud, arn).startswith("It is not certain that the service made the change")
    assert [] == openings(cloud)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"http_put_response_hop_limit": 3}, "HttpPutResponseHopLimit"),
        ({"http_endpoint": "disabled"}, "HttpEndpoint"),
        ({"http_put_response_hop_limit": 3, "http_endpoint": "disabled"}, "HttpEndpoint, HttpPutResponseHopLimit"),
    ],
)
def test_what_somebody_has_changed_since_is_left_alone(cloud: Cloud, changed: dict[str, Any], name: str) -> None:
    """It is no longer as the service left it, whatever has changed."""
    arn = broken(cloud)
    cloud.set_options(arn, **changed)
    guard(cloud)
    expected = (
        f"Somebody has changed {name} since, so the options are no longer what the service left; it does not touch what others have "
        "changed. Put it back by hand if that is wanted."
    )
    assert expected == left_because(cloud, arn)
    assert [] == openings(cloud)


def test_without_its_tag_it_is_left_alone_until_the_tag_is_back(cloud: Cloud) -> None:
    """The role can change only instances with the tag, and cannot write it. Once the tag is back, the next pass
    continues."""
    arn = broken(cloud)
    value = cloud.tags(arn)[ENFORCED_TAG]
    untag(cloud, arn, ENFORCED_TAG)
    guard(cloud)
    assert left_because(cloud, arn) == (
        f"Its tag {ENFORCED_TAG} is gone, without which the service may not set tokens to optional. Put it back by hand, or set the "
        f"tag again to {cloud.current(arn)['enforced_at']}."
    )
    assert [] == openings(cloud)
    cloud.tag(arn, **{"imdsv2_enforced-at": value})
    assert 1 == guard(cloud).rolled_back


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (
            "UnsupportedOperation",
            "You can't set httpTokens to 'optional' because httpTokensEnforced is enabled for this account.",
            (
                "The account's setting HttpTokensEnforced forbids going back (UnsupportedOperation: You can't set httpTokens to "
                "'optional' because httpTokensEnforced is enabled for this account.). Set it to disabled for as long (ModifyInstanceMetadataDefaults) and put the instance back by hand, or update "
                "its software."
            ),
        ),
        (
            "OperationNotPermitted",
            "This action is denied due to an organizational policy in effect",
            (
                "A declarative policy or another service forbids going back (OperationNotPermitted: This action is denied due to an "
                "organizational policy in effect). Change it there, or update the software."
            ),
        ),
        (
            "UnauthorizedOperation",
            "You are not authorized to perform this operation with an explicit deny in a service control policy",
            (
                "A service control policy forbids going back (UnauthorizedOperation: You are not authorized to perform this operation "
                "with an explicit deny in a service control policy). Change it, or update the software."
            ),
        ),
        (
            "UnauthorizedOperation",
            "You are not authorized because no permissions boundary allows the ec2:ModifyInstanceMetadataOptions action",
            (
                "The permissions boundary of the account's rollback role forbids going back (UnauthorizedOperation: You are not authorized "
                "because no permissions boundary allows the ec2:ModifyInstanceMetadataOptions action). Have that policy allow all that the role does "
                "(docs/reference/permissions.md), and put the instance back by hand until then, or update its software."
            ),
        ),
        (
            "UnauthorizedOperation",
            "You are not authorized.",
            (
                "The account's rollback role cannot be used or may not do it (UnauthorizedOperation: You are not authorized.). "
                "Deploy the member roles again."
            ),
        ),
        (
            "IncorrectInstanceState",
            "Not now.",
            "EC2 refused to go back (IncorrectInstanceState: Not now.). Put it back by hand, or update the software.",
        ),
    ],
)
def test_what_ec2_refuses_is_told_once_and_tried_every_hour(
    cloud: Cloud, code: str, message: str, expected: str
) -> None:
    """The explanation names what forbids it and what a person can do; the refusal may be lifted."""
    arn = broken(cloud)
    lifted = [False]
    cloud.wire.refuse(CHANGE, code, message, when=lambda call: _opens(call) and not lifted[0])
    for _ in range(12):
        assert (0, 1) == ended(guard(cloud))
    assert expected == left_because(cloud, arn)
    assert 1 == len(openings(cloud))
    guard(cloud)
    assert 2 == len(openings(cloud))
    assert expected == left_because(cloud, arn)
    lifted[0] = True
    assert 0 == guard(cloud).rolled_back
    assert 1 == guard(cloud, after=60).rolled_back
    assert ("rolled_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_an_account_without_the_role_is_told_to_deploy_it(cloud: Cloud) -> None:
    """Nothing is written ahead of a call that cannot be made."""
    arn = broken(cloud)
    cloud.wire.refuse("AssumeRole", "AccessDenied", "no role", when=lambda call: "rollback" in call.params["RoleArn"])
    guard(cloud)
    assert left_because(cloud, arn) == (
        "The account's rollback role cannot be used or may not do it (AccessDenied: no role). Deploy the member roles again."
    )
    assert ["enforcing", "enforced"] == cloud.history(arn)


def test_one_that_ec2_does_not_let_back_holds_up_no_other(cloud: Cloud) -> None:
    """Each is refused or rolled back on its own."""
    arns = [broken(cloud), broken(cloud)]
    cloud.wire.refuse(
        CHANGE, "UnsupportedOperation", when=lambda call: call.params["InstanceId"] == arns[0].instance_id
    )
    done = guard(cloud)
    assert (1, 1) == (done.rolled_back, done.left_broken)
    assert ["required", "optional"] == [cloud.tokens(arn) for arn in arns]


# --- Delayed -------------------------------------------------------------------------------------------------------


def test_what_ec2_throttles_waits_for_the_next_pass(cloud: Cloud) -> None:
    """Throttling is no refusal: nobody is notified, and there is no wait of an hour."""
    arn = broken(cloud)
    cloud.wire.refuse(CHANGE, "RequestLimitExceeded", when=_opens, times=1)
    assert (0, 0) == ended(guard(cloud))
    assert ("enforced", "required") == (cloud.current(arn)["status"], cloud.tokens(arn))
    assert [] == messages(cloud, "Something broke")
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(arn)


@pytest.mark.parametrize("done_nevertheless", [False, True])
def test_what_ec2_did_not_answer_is_looked_at_again_after_the_lease(cloud: Cloud, *, done_nevertheless: bool) -> None:
    """The outcome is unknown: the item stays `rolling_back` until the options are read."""
    arn = broken(cloud)
    cloud.wire.on(CHANGE, _unanswered_once())
    guard(cloud)
    assert "rolling_back" == cloud.current(arn)["status"]
    if done_nevertheless:
        cloud.set_options(arn, http_tokens="optional")
    guard(cloud)
    assert "rolling_back" == cloud.current(arn)["status"]
    assert 1 == guard(cloud).rolled_back
    assert ("rolled_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))
    assert {ROLLED_BACK_TAG} == set(cloud.tags(arn))


@pytest.mark.parametrize(
    ("operation", "nth", "asked_before"),
    [(CHANGE, 0, 1), ("DeleteTags", 0, 1), ("CreateTags", 0, 1), ("TransactWriteItems", 1, 1)],
)
def test_a_rollback_that_was_left_behind_is_finished(cloud: Cloud, operation: str, nth: int, asked_before: int) -> None:
    """Wherever the guard died: before EC2, before and between the tags, before the final write to the ledger."""
    arn = broken(cloud)
    guard_that_dies(cloud, operation, nth=nth)
    assert "rolling_back" == cloud.current(arn)["status"]
    cloud.clock.move(seconds=LEASE.total_seconds())
    assert 1 == guard(cloud).rolled_back
    current = cloud.current(arn)
    assert ("rolled_back", "broke_before", "optional") == (current["status"], current["reason"], cloud.tokens(arn))
    assert {ROLLED_BACK_TAG} == set(cloud.tags(arn))
    assert ["enforcing", "enforced", "rolling_back", "rolled_back"] == cloud.history(arn)
    assert str(current["explanation"]).startswith("2 IMDSv1 calls were rejected since")
    assert "hold (broke_before)" in str(cloud.hub.note_on(finding(str(arn))))
    assert 1 == len(cloud.accounts().of(arn).rollbacks)


def test_nobody_else_touches_a_rollback_under_way(cloud: Cloud) -> None:
    """Neither the next pass during the lease, nor the pipeline, whose answer says so."""
    arn = broken(cloud)
    guard_that_dies(cloud, CHANGE)
    made = len(cloud.changes())
    assert 0 == guard(cloud).rolled_back
    for source in (Source.REVISIT, Source.MANUAL):
        judged = cloud.line().run([asked(arn, source)], "request-3").judged[arn]
        assert ("hold", "broke_before", "rolling_back") == (
            judged.verdict.decision,
            judged.verdict.reason,
            cloud.current(arn)["status"],
        )
    assert made == len(cloud.changes())


def test_a_rollback_that_has_begun_ends_though_the_policy_now_only_alerts(cloud: Cloud) -> None:
    """Only the guard can finish it, and a partial rollback helps nobody."""
    arn = broken(cloud)
    guard_that_dies(cloud, "DeleteTags")
    cloud.policy(mode="enforce", rollback="alert")
    cloud.clock.move(seconds=LEASE.total_seconds())
    assert 1 == guard(cloud).rolled_back
    assert "rolled_back" == cloud.current(arn)["status"]


def test_a_rollback_left_behind_is_taken_back_where_the_role_has_gone(cloud: Cloud) -> None:
    """EC2 had not applied it: the previous status is restored, and people are notified."""
    arn = broken(cloud)
    guard_that_dies(cloud, CHANGE)
    cloud.wire.refuse("AssumeRole", "AccessDenied", "no role", when=lambda call: "rollback" in call.params["RoleArn"])
    cloud.clock.move(seconds=LEASE.total_seconds())
    guard(cloud)
    assert "Deploy the member roles again." in left_because(cloud, arn)
    assert not {"status_before", "lease_until", "owner"} & set(cloud.current(arn))


def test_a_rollback_left_behind_is_taken_back_where_somebody_has_changed_the_instance(cloud: Cloud) -> None:
    """The rules of the first attempt apply to the second."""
    arn = broken(cloud)
    guard_that_dies(cloud, CHANGE)
    cloud.set_options(arn, http_put_response_hop_limit="3")
    cloud.clock.move(seconds=LEASE.total_seconds())
    assert (0, 1) == ended(guard(cloud))
    assert left_because(cloud, arn).startswith("Somebody has changed HttpPutResponseHopLimit since")
    assert [] == openings(cloud)[1:]


def test_what_ec2_shows_as_required_again_is_left_and_said(cloud: Cloud) -> None:
    """EC2 accepted the call, and someone else required tokens at the same moment: after ten minutes it is no old answer any more."""
    arn = broken(cloud)

    def undone(call: Call) -> dict[str, Any] | None:
        return {"InstanceId": call.params["InstanceId"]} if _opens(call) else None

    cloud.wire.on(CHANGE, undone)
    guard(cloud)
    guard(cloud)
    assert ("rolling_back", 1) == (cloud.current(arn)["status"], len(openings(cloud)))
    guard(cloud, after=6)
    expected = "EC2 took the call, but shows tokens as required again; somebody else may be changing them."
    assert expected == left_because(cloud, arn)


def test_an_instance_that_goes_while_it_is_put_back_is_gone(cloud: Cloud) -> None:
    """There is nothing left to roll back; the next verdict says so."""
    arn = broken(cloud)

    def gone(call: Call) -> dict[str, Any] | None:
        set_state(cloud, arn, "shutting-down")
        return {"InstanceId": call.params["InstanceId"]} if _opens(call) else None

    cloud.wire.on(CHANGE, gone)
    guard(cloud)
    assert "The instance has gone." == cloud.current(arn)["left_because"]
    guard(cloud)
    assert "done" == cloud.current(arn)["watch"]


def test_a_tag_that_cannot_be_replaced_spoils_no_rollback(cloud: Cloud) -> None:
    """Tokens are optional again; the ledger has the time."""
    arn = broken(cloud)
    cloud.wire.refuse("DeleteTags", "UnauthorizedOperation")
    assert 1 == guard(cloud).rolled_back
    assert ("rolled_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_what_cannot_be_seen_after_ec2_took_the_call_is_looked_at_again(cloud: Cloud) -> None:
    """The account becomes unreachable between the call and the read-back: the item stays `rolling_back`."""
    arn = broken(cloud)
    shut = [False]
    cloud.wire.on(CHANGE, lambda _: shut.__setitem__(0, True))
    cloud.wire.refuse("DescribeInstances", "UnauthorizedOperation", when=lambda _: shut[0])
    guard(cloud)
    assert ("rolling_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))
    cloud.clock.move(days=8)
    assert 1 == guard(cloud).left_broken
    assert ("rolling_back", "open") == (cloud.current(arn)["status"], cloud.current(arn)["watch"])
    shut[0] = False
    cloud.wire.on("DescribeInstances", lambda _: None)
    cloud.clock.move(days=8)
    assert 1 == guard(cloud).rolled_back


# --- The circuit breaker of an account -----------------------------------------------------------------------------


def test_rollbacks_are_counted_by_account_and_the_third_opens_the_breaker(cloud: Cloud) -> None:
    """People are notified once; the other account continues."""
    arns = [broken(cloud) for _ in range(3)]
    other = broken(cloud, account=OTHER)
    done = guard(cloud)
    assert (4, 1) == (done.rolled_back, done.breakers_open)
    assert 3 == len(cloud.accounts().of(arns[0]).rollbacks)
    assert cloud.accounts().of(arns[0]).breaker_opened_at is not None
    assert cloud.accounts().of(other).breaker_opened_at is None
    (message,) = messages(cloud, f"IMDSv1 stays on in account {MEMBER}")
    assert "close_breaker" in message["Message"]
    guard(cloud)
    assert 1 == len(messages(cloud, f"IMDSv1 stays on in account {MEMBER}"))


def test_the_breaker_holds_up_no_rollback(cloud: Cloud) -> None:
    """Nothing is enforced there; broken instances are still rolled back."""
    late = enforced(cloud)
    for number in range(3):
        broken(cloud, tags=from_template(number))
    assert 3 == guard(cloud).rolled_back
    reject(cloud, late)
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(late)


def test_two_rollbacks_a_day_apart_from_a_third_open_no_breaker(cloud: Cloud) -> None:
    """Only the rollbacks of one day count."""
    for number in range(2):
        broken(cloud, tags=from_template(number))
    guard(cloud)
    cloud.clock.move(hours=24)
    third = broken(cloud)
    guard(cloud)
    assert cloud.accounts().of(third).breaker_opened_at is None


def _opens(call: Call) -> bool:
    return bool(call.params.get("HttpTokens") == "optional")


def _unanswered_once() -> Any:
    left = [1]

    def step(_: Call) -> None:
        if left[0]:
            left[0] -= 1
            raise ReadTimeoutError(endpoint_url="https://ec2.eu-west-1.amazonaws.com")

    return step


def test_after_a_rollback_the_ledger_has_what_ec2_shows(cloud: Cloud) -> None:
    """Whoever reads the item later sees tokens as optional, whoever had it put back."""
    undone, refused = enforced(cloud), broken(cloud)
    steer(cloud, undo=named(undone), dry_run=False)
    guard(cloud)
    for arn in (undone, refused):
        current = cloud.current(arn)
        assert ("rolled_back", "optional") == (current["status"], current["after"]["HttpTokens"])
        assert "optional" == cloud.tokens(arn)


@pytest.mark.parametrize("operation", ["PutItem", "BatchGetItem"])
def test_a_cohort_that_cannot_be_held_keeps_no_other_broken(cloud: Cloud, operation: str) -> None:
    """Its own instances are put back by the pass that can hold it: the rest of it would be changed meanwhile."""
    arns = [enforced(cloud, tags=from_template(number)) for number in (1, 2)]
    live(cloud, *arns, hours=1)
    for arn in arns:
        reject(cloud, arn)
    refuses = [True]

    def is_of_the_first(call: Call) -> bool:
        keys = call.params.get("Item") or str(call.params.get("RequestItems"))
        return refuses[0] and "cohort#" in str(keys) and from_template(1)["aws:ec2launchtemplate:id"] in str(keys)

    cloud.wire.refuse(operation, "AccessDeniedException", when=is_of_the_first)
    done = guard(cloud)
    assert (1, True) == (done.rolled_back, done.failed > 0)
    assert ["required", "optional"] == [cloud.tokens(arn) for arn in arns]
    refuses[0] = False
    assert 1 == guard(cloud).rolled_back
    assert "optional" == cloud.tokens(arns[0])
