"""The instances of the tutorial: one account and Region, five stories, and nothing that reports them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from local.demo.fleet import DAY, Launched, Machine, launch

if TYPE_CHECKING:
    from local.cloud.run import LocalCloud

NIGHT: Final = 2
TEST: Final = {"stage": "test", "owner": "team-web"}
PRODUCTION: Final = {"stage": "production", "owner": "team-data"}


def machines() -> tuple[Machine, ...]:
    """What an account looks like that nobody has tidied up: most of it needs nothing, and a job at night does."""
    fleet = (
        Machine(name="web-1", story="never used", tags=TEST, decision="enforce", reason="unused"),
        Machine(
            name="web-2", story="never used, stopped", stopped=5 * DAY, tags=TEST, decision="enforce", reason="unused"
        ),
        Machine(
            name="nightly-report",
            story="12 calls each night",
            calls=dict.fromkeys(_nights(20), 12),
            tags=TEST,
            decision="hold",
            reason="v1_in_use",
        ),
        Machine(
            name="web-new", story="two days old", started=2 * DAY, tags=PRODUCTION, decision="hold", reason="too_young"
        ),
        Machine(
            name="vault",
            story="tokens required",
            options={"HttpTokens": "required"},
            tags=PRODUCTION,
            decision="skip",
            reason="already_required",
        ),
    )
    return tuple(map(_of_its_own_image, fleet))


def settle(cloud: LocalCloud) -> list[Launched]:
    """Launch them. The policy stays as it is, and the service hears of nothing."""
    return launch(cloud, machines())


def _nights(number: int) -> range:
    """The last so many times that it was two at night (UTC), in hours ago."""
    last = (datetime.now(UTC).hour - NIGHT) % DAY or DAY
    return range(last, number * DAY + 1, DAY)


def _of_its_own_image(machine: Machine) -> Machine:
    """Each runs other software, so that none waits for another."""
    return replace(machine, image=f"ami-{hashlib.sha256(machine.name.encode()).hexdigest()[:17]}")
