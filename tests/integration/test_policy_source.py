"""The source of the policy, and what applies while it is unavailable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.policy import Mode, Policy
from imdsv2.ledger.policy import PolicySource
from tests.integration.builders import HUB, NOW, PARAMETER, TABLE

if TYPE_CHECKING:
    from imdsv2.domain.in_force import PolicyInForce
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

MINUTE = timedelta(minutes=1)


def source(cloud: Cloud) -> PolicySource:
    """The policy source of another function instance."""
    return PolicySource(cloud.client("ssm"), cloud.last_good_policy(), PARAMETER)


def current(cloud: Cloud) -> PolicyInForce:
    """The policy in force for a function that starts now."""
    return source(cloud).current(cloud.clock())


def keep(cloud: Cloud) -> None:
    """Store the policy, as a function does that acts."""
    source(cloud).keep(cloud.clock())


@pytest.fixture
def unreadable(cloud: Cloud) -> list[bool]:
    """Makes SSM refuse until the list is emptied."""
    refuses = [True]
    cloud.wire.refuse("GetParameter", "AccessDeniedException", when=lambda _: bool(refuses))
    return refuses


def test_the_parameter_is_the_policy(cloud: Cloud) -> None:
    """Absent fields take their defaults."""
    cloud.raw_policy('{"mode": "enforce", "lookback_days": 10}')
    in_force = current(cloud)
    assert (Policy(mode=Mode.ENFORCE, lookback_days=10), None) == (in_force.policy, in_force.problem)


def test_threads_that_need_it_at_once_read_it_once(cloud: Cloud) -> None:
    """A sweep has a hundred of them, and Systems Manager answers 40 calls a second."""
    policies, now = source(cloud), cloud.clock()
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: policies.read(now), range(50)))
    assert 1 == len(cloud.wire.made("GetParameter"))
    assert [read[0]] * 50 == read


@pytest.mark.parametrize(("seconds", "waits"), [(4, False), (5, True)])
def test_while_one_thread_reads_it_anew_others_go_on_as_long_as_theirs_is_fresh(
    cloud: Cloud, seconds: int, *, waits: bool
) -> None:
    """After five seconds they wait for the one that reads."""
    policies = source(cloud)
    first = policies.read(cloud.clock())
    cloud.policy(mode="off")
    now = cloud.clock() + timedelta(seconds=seconds)
    asked, may_answer = Event(), Event()

    def slow(_: Call) -> None:
        asked.set()
        assert may_answer.wait(30)

    cloud.wire.on("GetParameter", slow)
    with ThreadPoolExecutor(2) as pool:
        reads = pool.submit(policies.read, now)
        assert asked.wait(30)
        other = pool.submit(policies.read, now)
        if waits:
            assert not wait([other], 0.2).done
        else:
            assert first is other.result(30)
        may_answer.set()
        assert Mode.OFF is reads.result(30).in_force.policy.mode
        assert (reads.result() if waits else first) is other.result(30)
    assert 2 == len(cloud.wire.made("GetParameter"))


def test_a_change_is_live_within_a_minute(cloud: Cloud) -> None:
    """The parameter is not read for every instance."""
    policies = source(cloud)
    assert Mode.ENFORCE is policies.current(cloud.clock()).policy.mode
    cloud.policy(mode="off")
    cloud.clock.move(seconds=1)
    policies.current(cloud.clock())
    assert 1 == len(cloud.wire.made("GetParameter"))
    cloud.clock.move(seconds=58)
    assert Mode.OFF is policies.current(cloud.clock()).policy.mode


@pytest.mark.parametrize("text", ['{"mode": "of"}', "{", "[]", '{"canary": {"share": 0}}', '{"lookback_days": 0}'])
def test_a_refused_policy_is_at_once_a_problem(text: str, cloud: Cloud) -> None:
    """Verdicts follow the last valid one, and nothing is enforced: there is no grace period for a typo."""
    keep(cloud)
    cloud.raw_policy(text)
    cloud.clock.move(seconds=60)
    in_force = current(cloud)
    assert Mode.ENFORCE is in_force.policy.mode
    assert "refused" in str(in_force.problem)
    assert PARAMETER in str(in_force.problem)


def test_a_corrected_policy_is_in_force_again(cloud: Cloud) -> None:
    """In the same function, within a minute."""
    policies = source(cloud)
    cloud.raw_policy("{")
    assert policies.current(cloud.clock()).problem is not None
    cloud.policy(mode="observe")
    cloud.clock.move(seconds=59)
    in_force = policies.current(cloud.clock())
    assert (Mode.OBSERVE, None) == (in_force.policy.mode, in_force.problem)


def test_a_policy_that_cannot_be_read_for_a_moment_is_no_problem(cloud: Cloud) -> None:
    """The last valid one is used for less than five minutes."""
    cloud.policy(mode="enforce", lookback_days=20)
    keep(cloud)
    cloud.wire.refuse("GetParameter", "ThrottlingException")
    cloud.clock.move(seconds=299)
    in_force = current(cloud)
    assert (20, None) == (in_force.policy.lookback_days, in_force.problem)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ParameterNotFound", "InternalServerError"])
def test_a_policy_that_cannot_be_read_for_five_minutes_is_a_problem(code: str, cloud: Cloud) -> None:
    """Its rules still hold instances, but nothing is enforced by them."""
    cloud.policy(mode="enforce", lookback_days=20)
    keep(cloud)
    cloud.wire.refuse("GetParameter", code)
    cloud.clock.move(seconds=300)
    in_force = current(cloud)
    assert 20 == in_force.policy.lookback_days
    assert code in str(in_force.problem)


def test_the_five_minutes_begin_anew_with_every_good_reading(cloud: Cloud, unreadable: list[bool]) -> None:
    """Whichever function reads it."""
    unreadable.clear()
    keep(cloud)
    cloud.clock.move(minutes=4)
    keep(cloud)
    unreadable.append(True)
    cloud.clock.move(minutes=4)
    assert current(cloud).problem is None
    cloud.clock.move(minutes=2)
    assert current(cloud).problem is not None
    unreadable.clear()
    cloud.clock.move(minutes=1)
    assert current(cloud).problem is None


def test_without_any_good_policy_nothing_is_enforced(cloud: Cloud, unreadable: list[bool]) -> None:
    """On a first start with an unreadable policy: defaults, which observe, and a problem."""
    in_force = current(cloud)
    assert Policy() == in_force.policy
    assert in_force.problem is not None


def test_a_kept_policy_that_this_version_refuses_is_no_policy(cloud: Cloud, unreadable: list[bool]) -> None:
    """Another version stored it; its rules cannot be guessed."""
    cloud.last_good_policy().keep('{"mode": "enforce", "field_of_tomorrow": 1}', NOW, 1, NOW)
    in_force = current(cloud)
    assert Policy() == in_force.policy
    assert in_force.problem is not None


def test_what_is_kept_is_the_whole_policy(cloud: Cloud) -> None:
    """A later version's defaults do not change its meaning."""
    cloud.raw_policy('{"mode": "enforce"}')
    keep(cloud)
    kept = cloud.last_good_policy().read()
    assert kept is not None
    assert Policy.from_json(kept[0]) == Policy(mode=Mode.ENFORCE)
    assert '"lookback_days": 35' in kept[0]


def test_who_only_reads_the_policy_writes_nothing(cloud: Cloud) -> None:
    """A dry run leaves the ledger unchanged."""
    current(cloud)
    assert [] == cloud.items()


def test_a_good_policy_is_kept_once_for_each_reading(cloud: Cloud) -> None:
    """Not for every account and Region of a batch."""
    policies = source(cloud)
    for _ in range(3):
        policies.keep(cloud.clock())
    assert 1 == len(cloud.wire.made("PutItem"))
    cloud.clock.move(seconds=60)
    policies.keep(cloud.clock())
    assert 2 == len(cloud.wire.made("PutItem"))


def test_what_stands_in_is_not_kept_again(cloud: Cloud, unreadable: list[bool]) -> None:
    """Otherwise its five minutes would never end."""
    unreadable.clear()
    keep(cloud)
    unreadable.append(True)
    for _ in range(6):
        cloud.clock.move(minutes=1)
        keep(cloud)
    assert current(cloud).problem is not None


def test_a_refused_policy_is_not_kept(cloud: Cloud) -> None:
    """The ledger keeps the last valid one."""
    keep(cloud)
    cloud.raw_policy('{"mode": "of"}')
    keep(cloud)
    assert '"mode": "enforce"' in str(cloud.last_good_policy().read())


def test_an_older_reading_does_not_undo_a_newer_one(cloud: Cloud, unreadable: list[bool]) -> None:
    """One function has read `enforce`; a person switches off, which another reads and keeps; then the first keeps its reading.
    SSM fails: it stays switched off."""
    unreadable.clear()
    first, second = source(cloud), source(cloud)
    first.current(cloud.clock())
    cloud.policy(mode="off")
    second.keep(cloud.clock())
    first.keep(cloud.clock())
    unreadable.append(True)
    cloud.clock.move(minutes=1)
    assert Mode.OFF is current(cloud).policy.mode
    assert Mode.OFF is first.current(cloud.clock()).policy.mode


def test_an_older_reading_is_not_newer_for_being_read_later(cloud: Cloud) -> None:
    """A function whose clock is ahead, or that was answered late, keeps version 1 after version 2."""
    kept = cloud.last_good_policy()
    kept.keep("two", NOW, 2, NOW)
    kept.keep("one", NOW + MINUTE, 1, NOW - MINUTE)
    assert ("two", NOW) == kept.read()


def test_an_earlier_reading_of_the_same_version_does_not_shorten_its_five_minutes(cloud: Cloud) -> None:
    """Two functions keep the same version in the other order than they have read it."""
    kept = cloud.last_good_policy()
    kept.keep("one", NOW + MINUTE, 1, NOW)
    kept.keep("one", NOW, 1, NOW)
    assert ("one", NOW + MINUTE) == kept.read()


def test_a_parameter_that_was_created_anew_is_newer(cloud: Cloud, unreadable: list[bool]) -> None:
    """It begins at version 1 again."""
    unreadable.clear()
    for days in (10, 20):
        cloud.policy(mode="enforce", lookback_days=days)
    keep(cloud)
    ssm: Any = cloud.as_account(HUB, "ssm")
    ssm.delete_parameter(Name=PARAMETER)
    cloud.policy(mode="off")
    assert 1 == ssm.get_parameter(Name=PARAMETER)["Parameter"]["Version"]
    keep(cloud)
    unreadable.append(True)
    cloud.clock.move(minutes=1)
    assert Mode.OFF is current(cloud).policy.mode


def test_versions_of_the_same_moment_are_told_apart(cloud: Cloud) -> None:
    """Ten of them: as numbers, not as text."""
    kept = cloud.last_good_policy()
    kept.keep("ten", NOW, 10, NOW)
    kept.keep("nine", NOW + MINUTE, 9, NOW)
    assert ("ten", NOW) == kept.read()


def test_a_policy_that_an_earlier_version_of_the_service_kept_is_replaced(cloud: Cloud) -> None:
    """It did not note which version of the parameter it was."""
    kept = {"pk": {"S": "policy"}, "sk": {"S": "current"}, "document": {"S": "{}"}, "read_at": {"S": NOW.isoformat()}}
    cloud.as_account(HUB, "dynamodb").put_item(TableName=TABLE, Item=kept)
    assert ("{}", NOW) == cloud.last_good_policy().read()
    keep(cloud)
    assert '"mode": "enforce"' in str(cloud.last_good_policy().read())
