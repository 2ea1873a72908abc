"""Walks through the life cycle with given steps: what random walks reach seldom, and that they reach what they are to judge."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_lifecycle_machine import Lives, in_order
from tests.world.cloudwatch import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["in_order"]

UPDATE = {"told": "boot", "boots_with_imdsv1": False, "by_cohort": False, "tried_out": False, "life": 14 * HOUR}


@pytest.fixture
def walk() -> Iterator[Lives]:
    """A walk that has begun, of which nothing was wrong in the end; the first instance has called IMDSv1."""
    lives = Lives()
    lives.launch(fields={}, unclear=None, using={0}, found=True)
    yield lives
    lives.nothing_is_wrong()
    lives.every_item_explains_itself()
    lives.every_move_is_allowed()
    lives.teardown()


def outcome(walk: Lives) -> tuple[str, str]:
    """What became of the first instance: status and reason."""
    item = walk.world.current(walk.arns[0])
    return item["status"], item["reason"]


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({}, ("enforced", "unused")),
        ({"by_cohort": True}, ("enforced", "unused")),
        ({"told": None}, ("held", "v1_in_use")),
        ({"told": HOUR}, ("held", "v1_in_use")),
        ({"life": 5 * HOUR}, ("held", "too_young")),
        ({"boots_with_imdsv1": True}, ("held", "v1_in_use")),
        ({"boots_with_imdsv1": True, "life": 60 * HOUR}, ("held", "v1_at_boot")),
        ({"boots_with_imdsv1": True, "tried_out": True}, ("held", "v1_refused")),
        ({"tried_out": True}, ("enforced", "unused")),
    ],
)
def test_an_update_ends_what_was_before_it_and_nothing_else(
    walk: Lives, update: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Only where a person tells of it, and from the time on that is told."""
    walk.software_is_updated(0, **UPDATE | update)
    assert expected == outcome(walk)


def test_use_that_comes_again_holds_until_its_software_was_mended(walk: Lives) -> None:
    """Calls three weeks apart; the window shows none of them."""
    walk.world.advance(21 * 24 * HOUR)
    walk.world.call(walk.arns[0])
    walk.world.advance(5 * 24 * HOUR)
    walk.findings_arrive([0], timedelta())
    assert ("held", "v1_recurs") == outcome(walk)
    walk.reboots(0, boots_with_imdsv1=False)
    walk.person_says_mended(0, "boot", by_cohort=False, dry_run=False)
    walk.world.advance(14 * HOUR)
    walk.findings_arrive([0], timedelta())
    assert ("enforced", "unused") == outcome(walk)


def test_what_broke_is_not_changed_again_because_it_was_mended(walk: Lives) -> None:
    """A person has to clear it; a reboot that nobody tells of breaks in two periods, as anything else does."""
    walk.software_is_updated(0, **UPDATE)
    walk.reboots(0, boots_with_imdsv1=True)
    walk.world.advance(timedelta(minutes=6))
    walk.world.call(walk.arns[0])
    walk.guard_passes()
    assert ("rolled_back", "broke_before") == outcome(walk)
    walk.software_is_updated(0, **UPDATE)
    assert ("rolled_back", "broke_before") == outcome(walk)


def test_one_refused_call_at_a_reboot_that_a_person_told_of_is_breakage(walk: Lives) -> None:
    """Of the reboot itself EC2 shows nothing; without a word, one call is a probe."""
    walk.software_is_updated(0, **UPDATE)
    walk.reboots(0, boots_with_imdsv1=True)
    walk.guard_passes()
    assert ("enforced", "unused") == outcome(walk)
    walk.person_says_mended(0, "boot", by_cohort=False, dry_run=False)
    walk.guard_passes()
    assert ("rolled_back", "broke_before") == outcome(walk)


def test_what_is_in_doubt_is_looked_at_again_within_a_quarter_of_an_hour(walk: Lives) -> None:
    """EC2 has required tokens, its answer was lost, and the takeover cannot see the instance: until one does, nobody watches it."""
    walk.world.advance(60 * HOUR)
    walk.meets(("modified", "unanswered"))
    walk.findings_arrive([0], timedelta())
    walk.something_turns(0, "account")
    walk.world.advance(timedelta(minutes=20))
    walk.revisit()
    assert "enforcing" == walk.world.current(walk.arns[0])["status"]
    walk.something_turns(0, "account")
    walk.world.advance(timedelta(minutes=16))
    walk.revisit()
    assert ("enforced", "unused") == outcome(walk)
