"""When it is worth asking whether an instance was rebooted, and what a reboot that is on record says: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.verdict import DAILY, HOURLY, Reason

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.verdict import Verdict


def may_be_sought(verdict: Verdict, evidence: Evidence, history: History, now: datetime) -> bool:
    """Whether nothing but an observed start is missing, its last one will never be seen, and nobody has asked within a day."""
    start = evidence.start
    if verdict.reason is not Reason.BOOT_NOT_OBSERVABLE or start is None:
        return False
    if history.reboot_sought_at is not None and now - history.reboot_sought_at < DAILY:
        return False
    is_over = start.observable_at is not None and now >= start.observable_at + HOURLY
    return start.forgotten or start.resumable or is_over


def is_later(rebooted_at: datetime, instance: Instance, history: History) -> bool:
    """Whether a reboot is the last of what is known to have run the boot software."""
    known = (instance.launched_at, history.mended_at, history.rebooted_at)
    return all(each is None or rebooted_at > each for each in known)
