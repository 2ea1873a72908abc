"""Checks of a reboot through EC2, which is on record in CloudTrail alone: pure functions from observations to a result."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.selftest.agenda import QUIET
from imdsv2.selftest.metrics import STEP_NOT_REACHED, in_minutes, no_calls
from imdsv2.selftest.result import Expectation

if TYPE_CHECKING:
    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Seen

TOLD_WITHIN = timedelta(minutes=30)
"""CloudTrail tells of most calls within 5 minutes, and promises nothing."""
_SAME_TIME = timedelta(minutes=1)


def reboots_on_record(seen: Seen) -> Result:
    """CloudTrail tells of the reboot, with the instance and the time of the call."""
    expect = Expectation("An event RebootInstances that names the instance, at the time of the call.")
    reboot, trail = seen.answer("reboot"), seen.answer("trail")
    if reboot is None or trail is None:
        return expect.not_tried(STEP_NOT_REACHED)
    if not seen.is_done("reboot"):
        return expect.not_tried(f"EC2 did not reboot the instance ({reboot.code}).")
    if not seen.is_done("trail"):
        return expect.not_tried(f"CloudTrail gave no answer ({trail.code}: {trail.message.rstrip('.')}).")
    told = trail.raw.get("rebooted_at")
    if told is None:
        waited = trail.at - reboot.at
        said = f"CloudTrail told of none after {in_minutes(waited)}."
        return expect.judged(False, said) if waited >= seen.agenda_time(TOLD_WITHIN) else expect.not_tried(said)
    at = datetime.fromisoformat(told)
    said = f"CloudTrail tells of one at {at:%H:%M:%S}; the call was made at {reboot.at:%H:%M:%S}."
    return expect.judged(abs(at - reboot.at) <= _SAME_TIME, said)


def reboots_are_made(seen: Seen) -> Result:
    """An instance whose reboot EC2 accepted boots again, which runs its boot software."""
    expect = Expectation("The instance reports a boot on its console after the reboot, before it is started anew.")
    reboot, start = seen.answer("reboot"), seen.answer("start")
    if reboot is None or start is None:
        return expect.not_tried(STEP_NOT_REACHED)
    if not seen.is_done("reboot"):
        return expect.not_tried(f"EC2 did not reboot the instance ({reboot.code}).")
    boots = seen.calls_of(QUIET, "boot", 0)
    again = [boot for boot in boots if reboot.at - seen.agenda_time(_SAME_TIME) < boot.at < start.at]
    if not again and not any(boot.at > start.at for boot in boots):
        return expect.not_tried("The instance reported no boot but its first. " + no_calls(seen))
    said = ", ".join(f"{boot.at:%H:%M:%S}" for boot in boots)
    return expect.judged(
        bool(again), f"Boots were reported at {said}; the reboot was asked for at {reboot.at:%H:%M:%S}."
    )
