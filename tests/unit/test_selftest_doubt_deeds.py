"""What a deed came to decides what its checks may say: a deed that was refused, or not wholly done, proves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.selftest.agenda import CALLER, CLOSED, LINE, QUIET
from imdsv2.selftest.metrics import ACCEPTED, REJECTED
from imdsv2.selftest.seen import OK
from tests.unit.selftest_seen import (
    CLOSED_AT,
    ENFORCED_AT,
    REQUIRED_AT,
    ROLLED_BACK_AT,
    THROTTLED,
    answered,
    at,
    clean,
    point,
    with_points,
    with_sights,
    without_answer,
)
from tests.unit.test_selftest_checks import contradicted, outcomes
from tests.unit.test_selftest_doubt import CONFIRMED, CONTRADICTED, NOT_TRIED, why

if TYPE_CHECKING:
    from imdsv2.selftest.seen import Seen


@pytest.mark.parametrize("name", sorted({answer.name for answer in clean().answers}))
def test_a_call_that_gave_no_answer_confirms_nothing_about_itself(name: str) -> None:
    """Whatever looks show beside it."""
    confirmed_by = {
        "require closed": ("closed-endpoint-stays-closed", "closed-endpoint-code"),
        f"require {CALLER}": ("tokens-alone-accepted", "change-is-shown"),
        f"require {QUIET}": ("required-outlasts-restarts", "rejected-silent-when-clean", "clean-is-not-listed"),
        "stop": ("start-moves-launch-time", "attach-time-stays", "stopped-takes-changes"),
        "start": ("start-moves-launch-time", "attach-time-stays", "stopped-takes-changes"),
        "reboot": ("reboot-keeps-launch-time", "required-outlasts-restarts"),
        "terminate": ("terminated-id-code",),
        "dry run": ("dry-run-code", "key-tokens-sent", "key-options-sent", "key-endpoint-now"),
        "dry run closed": ("key-endpoint-now",),
    }
    found = outcomes(answered(clean(), name, THROTTLED, "Request limit exceeded."))
    assert {NOT_TRIED} >= {found[belief] for belief in confirmed_by.get(name, ())}


def test_a_running_instance_that_is_started_proves_nothing_of_starts() -> None:
    """The organisation refuses to have instances stopped; EC2 accepts the start of a running one, and does nothing."""
    refused = answered(clean(), "stop", "UnauthorizedOperation", "explicit deny in a service control policy")
    seen = with_sights(
        refused, lambda each: replace(each, state="running", launched_at=at(0)) if each.role == QUIET else each
    )
    assert [] == contradicted(seen)
    assert (NOT_TRIED, NOT_TRIED) == (
        outcomes(seen)["start-moves-launch-time"],
        outcomes(seen)["attach-time-stays"],
    )


def test_an_instance_that_never_stopped_proves_nothing_of_starts() -> None:
    """EC2 took the stop, and the instance ran on for as long as the self-test waits."""
    seen = with_sights(
        clean(), lambda each: replace(each, state="running", launched_at=at(0)) if each.role == QUIET else each
    )
    found = outcomes(seen)
    assert {NOT_TRIED} == {
        found[each] for each in ("start-moves-launch-time", "attach-time-stays", "stopped-takes-changes")
    }
    assert [] == contradicted(seen)


def test_tokens_that_could_not_be_required_are_not_lost_at_a_restart() -> None:
    """They never were."""
    refused = answered(clean(), f"require {QUIET}", "InvalidParameterValue", "The HttpEndpoint is not set.")
    seen = with_sights(refused, lambda each: replace(each, tokens="optional") if each.role == QUIET else each)
    assert NOT_TRIED == outcomes(seen)["required-outlasts-restarts"]


def test_an_instance_that_could_not_be_ended_proves_no_code() -> None:
    """EC2 carries the change out."""
    for name, code in (("terminate", "OperationNotPermitted"), ("terminate", OK)):
        running = with_sights(clean(), lambda each: replace(each, state="running") if each.role == CLOSED else each)
        seen = answered(answered(running, name, code), "change terminated", OK)
        assert NOT_TRIED == outcomes(seen)["terminated-id-code"]


def test_looks_that_take_turns_within_ten_minutes_are_as_believed() -> None:
    """EC2 is eventually consistent, and the service settles nothing within that time."""
    turns = with_sights(
        clean(),
        lambda each: (
            replace(each, tokens="optional")
            if each.role == CALLER
            and REQUIRED_AT < (each.at - at(0)).total_seconds() / 60 < REQUIRED_AT + 9
            and int((each.at - at(0)).total_seconds() // 60) % 2
            else each
        ),
    )
    assert CONFIRMED == outcomes(turns)["change-is-shown"]


def test_a_change_at_which_nobody_looked_again_is_not_missing() -> None:
    """Every look after it failed."""
    seen = replace(clean(), sights=tuple(each for each in clean().sights if each.at < at(REQUIRED_AT)))
    assert NOT_TRIED == outcomes(seen)["change-is-shown"]


def test_an_endpoint_that_could_not_be_disabled_proves_nothing() -> None:
    """The organisation refuses it: calls, keys and metrics tell of an enabled one."""
    refused = answered(clean(), "close", "UnauthorizedOperation")
    seen = with_sights(refused, lambda each: replace(each, endpoint="enabled"))
    seen = answered(seen, "endpoint now: without", "DryRunOperation")
    found = outcomes(seen)
    beliefs = ("closed-endpoint-stays-closed", "closed-endpoint-code", "closed-counts-nothing", "key-endpoint-now")
    assert {NOT_TRIED} == {found[belief] for belief in beliefs}


def test_calls_before_the_endpoint_was_disabled_count() -> None:
    """They are no calls of a disabled one."""
    seen = with_points(clean(), lambda each: each, point(ACCEPTED, CLOSED, CLOSED_AT - 5, 3))
    assert CONFIRMED == outcomes(seen)["closed-counts-nothing"]


@pytest.mark.parametrize("key", ["tokens sent", "options sent", "endpoint now"])
def test_a_key_is_not_contradicted_where_the_role_itself_is_refused(key: str) -> None:
    """The tag of a new instance is not known to IAM yet, or the role is an older one."""
    unlimited = "dry run closed" if key == "endpoint now" else "dry run"
    seen = answered(clean(), unlimited, "UnauthorizedOperation", "because no identity-based policy allows it")
    for half in ("with", "without"):
        seen = answered(seen, f"{key}: {half}", "UnauthorizedOperation", "because no identity-based policy allows it")
    belief = f"key-{key.replace(' ', '-')}"
    assert NOT_TRIED == outcomes(seen)[belief]
    assert "Deploy the member roles" in why(seen, belief)


@pytest.mark.parametrize(
    "answer",
    [
        {"results": []},
        {"results": [{"problem": None, "checks": []}]},
        {"unproved": ["Account 222222222222: name an instance whose metadata endpoint is disabled too."]},
        {"results": [{"problem": "EC2 cannot be read.", "checks": []}]},
    ],
)
def test_roles_of_which_not_all_was_tried_are_not_confirmed(answer: dict[str, Any]) -> None:
    """E.g. no endpoint could be disabled."""
    assert NOT_TRIED == outcomes(answered(clean(), "roles", OK, **answer))["roles-are-as-meant"]


def test_the_function_that_gave_no_answer_proves_nothing_of_the_line() -> None:
    """Too many invocations at once, in an account of ten."""
    never = with_sights(clean(), lambda each: replace(each, tokens="optional") if each.role == LINE else each)
    never = replace(never, entries=tuple(each for each in never.entries if each.role != LINE))
    seen = answered(never, "enforce", THROTTLED, "Rate exceeded.", status=None)
    assert (NOT_TRIED, NOT_TRIED) == (outcomes(seen)["line-enforces"], outcomes(seen)["line-rolls-back"])


def _not_rolled_back(seen: Seen) -> Seen:
    return replace(seen, entries=tuple(each for each in seen.entries if each.status != "rolled_back"))


def test_a_guard_that_had_no_time_left_is_not_contradicted() -> None:
    """CloudWatch was slow: the second period with refused calls came eight minutes before the end."""
    end = clean().looked_at
    assert end is not None
    slow = with_points(
        clean(),
        lambda each: (
            replace(each, seen_at=end - timedelta(minutes=8))
            if (each.metric, each.role) == (REJECTED, LINE) and each.at > at(ENFORCED_AT + 6)
            else each
        ),
    )
    assert NOT_TRIED == outcomes(_not_rolled_back(slow))["line-rolls-back"]
    in_time = with_points(slow, lambda each: replace(each, seen_at=min(each.seen_at, end - timedelta(minutes=11))))
    assert CONTRADICTED == outcomes(_not_rolled_back(in_time))["line-rolls-back"]


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        ({}, CONTRADICTED),
        ({"watch": "slow"}, NOT_TRIED),
        ({"rollback": "alert"}, NOT_TRIED),
        ({"rejected_periods": 3}, NOT_TRIED),
        ({"rejected_threshold": 6}, NOT_TRIED),
    ],
)
def test_the_guard_has_to_roll_back_only_what_the_policy_says(policy: dict[str, Any], outcome: str) -> None:
    """A slow watch has half an hour; 25 minutes are left here."""
    end = clean().looked_at
    assert end is not None
    seen = with_points(
        _not_rolled_back(clean()),
        lambda each: (
            replace(each, seen_at=end - timedelta(minutes=25)) if (each.metric, each.role) == (REJECTED, LINE) else each
        ),
    )
    assert outcome == outcomes(answered(seen, "policy", OK, **policy))["line-rolls-back"]


@pytest.mark.parametrize(("minutes", "outcome"), [(4, NOT_TRIED), (12, CONTRADICTED)])
def test_a_rollback_that_ec2_may_not_show_yet_is_not_missing(minutes: int, outcome: str) -> None:
    """The ledger says so, and the last look at EC2 came shortly after it."""
    back = at(ROLLED_BACK_AT)
    seen = with_sights(clean(), lambda each: replace(each, tokens="required") if each.role == LINE else each)
    seen = replace(seen, sights=tuple(each for each in seen.sights if each.at < back + timedelta(minutes=minutes)))
    assert outcome == outcomes(seen)["line-rolls-back"]


def test_a_policy_that_could_not_be_read_leaves_the_rollback_open() -> None:
    """It may say that the guard only tells. A rollback that was made proves itself."""
    refused = answered(clean(), "policy", "PolicyRefused", "mode takes off, observe or enforce")
    assert CONFIRMED == outcomes(refused)["line-rolls-back"]
    assert NOT_TRIED == outcomes(_not_rolled_back(refused))["line-rolls-back"]
    assert NOT_TRIED == outcomes(_not_rolled_back(without_answer(clean(), "policy")))["line-rolls-back"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"recording": False}, "does not record"),
        ({"rules": ["ec2-imdsv2-check", "team-securityhub-ec2-imdsv2-check"]}, "EC2.8 is off"),
        ({"rules": []}, "EC2.8 is off"),
    ],
)
def test_a_hub_that_does_not_evaluate_the_control_contradicts_nothing(config: dict[str, Any], reason: str) -> None:
    """It is on, but Config records nothing, or the control is switched off."""
    none = replace(clean(), entries=tuple(replace(each, hubs=()) for each in clean().entries))
    seen = answered(none, "config", OK, **config)
    for belief in ("security-hub-finding-arrives", "security-hub-v2-finding-arrives"):
        assert NOT_TRIED == outcomes(seen)[belief]
        assert reason in why(seen, belief)
    refused = answered(none, "config", "AccessDeniedException")
    assert NOT_TRIED == outcomes(refused)["security-hub-finding-arrives"]


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        (["Require IMDSv2"], NOT_TRIED),
        (["EC2_IMDSV2_CHECK", "baseline-Ec2Imdsv2Check-1AB2CD3E"], NOT_TRIED),
        (["Require IMDSv2", "acme-ec2-imdsv2-check"], CONTRADICTED),
    ],
)
def test_a_rule_of_config_that_the_service_may_not_know_contradicts_nothing(rules: list[str], outcome: str) -> None:
    """People name rules as they like; the service takes the events of those that a setting names."""
    none = replace(clean(), entries=tuple(each for each in clean().entries if each.source != "config"))
    seen = answered(none, "config", OK, rules=rules)
    assert outcome == outcomes(seen)["config-event-arrives"]
    if outcome == NOT_TRIED:
        assert f"({', '.join(rules)})" in why(seen, "config-event-arrives")
        assert "config_rule_names" in why(seen, "config-event-arrives")


@pytest.mark.parametrize(
    ("instances", "outcome"),
    [
        ([{"status": "OUTDATED", "detail": "RUNNING"}], NOT_TRIED),
        ([{"status": "OUTDATED", "detail": "PENDING"}, {"status": "INOPERABLE", "detail": "INOPERABLE"}], CONTRADICTED),
        ([{"status": "OUTDATED", "detail": "SUCCEEDED"}], CONTRADICTED),
        ([{"status": "OUTDATED", "detail": "SKIPPED_SUSPENDED_ACCOUNT"}], CONFIRMED),
        ([{"status": "CURRENT", "detail": None}], CONFIRMED),
    ],
)
def test_stack_sets_that_are_being_deployed_contradict_nothing(
    instances: list[dict[str, object]], outcome: str
) -> None:
    """What has failed, or was left behind, does."""
    assert outcome == outcomes(answered(clean(), "stack sets", OK, instances=instances))["stack-sets-are-current"]


def test_a_metric_that_has_datapoints_already_does_not_tell_how_none_is_answered() -> None:
    """Somebody required tokens at once, and software of the image was refused."""
    results = [{"status": "Complete", "values": [1.0]}]
    assert NOT_TRIED == outcomes(answered(clean(), "empty metric", OK, results=results))["empty-is-complete"]
