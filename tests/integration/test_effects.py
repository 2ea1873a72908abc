"""What the answer to a command says of each instance: until when, for whom, on what evidence. A dry answer says the same beforehand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.guarding import enforced
from tests.integration.steering import judge, named, reason, steer

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

TURN = "next judged at its turn, from 2026-11-20 12:00 UTC on"
HOLD = {"reason": "Migration.", "owner": "blue", "until": "2026-12-31"}
ACCEPT = {"reason": "One probe.", "owner": "red", "until": "2026-12-24"}


def waiting(cloud: Cloud) -> InstanceArn:
    """An instance that waits for approval, which nobody has called."""
    cloud.policy(mode="enforce", approval="required")
    arn = cloud.one()
    assert "approval_required" == reason(cloud, arn)
    return arn


def both(cloud: Cloud, **event: Any) -> dict[str, Any]:
    """What the dry answer and the real one have said, which is the same but for what is done."""
    (dry,), (real,) = steer(cloud, **event, dry_run=True), steer(cloud, **event)
    assert (False, True) == (dry["done"], real["done"])
    told = ("outcome", "evidence", "replaces")
    assert {name: dry.get(name) for name in told} == {name: real.get(name) for name in told}
    json.dumps(real)  # Lambda's runtime takes no Decimal.
    return real


@pytest.mark.parametrize(
    ("given", "until"), [({}, "2026-11-27 12:00 UTC"), ({"until": "2026-11-22"}, "2026-11-22 23:59 UTC")]
)
def test_an_approval_says_until_when_it_holds_and_on_what_it_rests(
    cloud: Cloud, given: dict[str, Any], until: str
) -> None:
    """Whether the day was named or not."""
    said = both(cloud, approve=named(waiting(cloud)), **given)
    assert f"approved until {until}, for one attempt; {TURN}" == said["outcome"]
    evidence = said["evidence"]
    assert (0, True, True) == (
        evidence["tokenless_calls"],
        evidence["observed_hours"] > 800,
        evidence["coverage"] > 0.9,
    )
    assert {"window_start", "window_end"} <= evidence.keys()
    assert "last_tokenless_call" not in evidence


def test_a_refusal_says_what_ends_it(cloud: Cloud) -> None:
    """It has no last day."""
    said = both(cloud, refuse=named(waiting(cloud)), reason="Not before the audit.")
    assert ("refused until somebody approves it by name", 0) == (said["outcome"], said["evidence"]["tokenless_calls"])


def test_a_hold_says_its_owner_and_its_last_day(cloud: Cloud) -> None:
    """Of what nobody has judged there is no evidence, and that is not nothing."""
    said = both(cloud, hold=named(cloud.one()), **HOLD)
    assert ("held through 2026-12-31 (UTC), for blue", None) == (said["outcome"], said["evidence"])
    assert "replaces" not in said


def test_a_hold_says_the_calls_that_were_seen_and_whose_place_it_takes(cloud: Cloud) -> None:
    """Nobody's is replaced in silence."""
    cloud.policy(mode="observe")
    arn = cloud.one(use=1.0)
    assert "v1_in_use" == reason(cloud, arn)
    steer(cloud, hold=named(arn), **HOLD, caller="bob")
    (said,) = steer(cloud, hold=named(arn), **{**HOLD, "owner": "green", "until": "2027-01-31"}, dry_run=True)
    assert "held through 2027-01-31 (UTC), for green" == said["outcome"]
    assert said["evidence"]["tokenless_calls"] > 0
    assert said["evidence"]["last_tokenless_call"] <= "2026-11-20T12:00:00Z"
    assert {"by": "bob", "owner": "blue", "reason": "Migration.", "until": "2026-12-31"} == said["replaces"]


def test_a_release_says_whose_hold_it_ends(cloud: Cloud) -> None:
    """And what follows."""
    arn = cloud.one()
    steer(cloud, hold=named(arn), **HOLD)
    assert f"no longer held for blue through 2026-12-31; {TURN}" == both(cloud, release=named(arn))["outcome"]


def test_an_acceptance_says_who_answers_for_what(cloud: Cloud) -> None:
    """The calls that are accepted, too."""
    arn = cloud.one(use=1.0)
    assert "v1_in_use" == reason(cloud, arn)
    said = both(cloud, accept=named(arn), **ACCEPT)
    assert f"accepted through 2026-12-24 (UTC) by red, for one attempt; {TURN}" == said["outcome"]
    assert said["evidence"]["tokenless_calls"] > 0


@pytest.mark.parametrize("word", ["approve", "refuse", "release", "accept"])
def test_what_has_a_problem_says_nothing(cloud: Cloud, word: str) -> None:
    """What will not be is not told as if it would."""
    arn = enforced(cloud)
    judge(cloud, arn)
    (said,) = steer(cloud, **{word: named(arn)}, **(ACCEPT if word == "accept" else {}))
    assert said["problem"]
    assert [None] * 3 == [said.get(name) for name in ("outcome", "evidence", "replaces")]
