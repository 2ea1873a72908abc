"""Rows 13 to 15b of the verdict table: IMDSv1 calls of the instance itself, in the window, at its last start, or before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.texts.commands import how_to_restart, mended
from imdsv2.domain.texts.words import calls, count, day, hour, minute, were
from imdsv2.domain.verdict import DAILY, Reason, Verdict
from imdsv2.domain.verdict_table.container_host import is_container_host

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy

_OVERLAY_HOPS = 3


def from_use(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Rows 13 and 14."""
    use = evidence.use
    if use.calls == 0:
        return None
    used = f"{calls(use.calls)} in {count(use.hours, 'hour')} on {count(use.days, 'day')}"
    ends_at = _ends_at(instance, use.last, policy)
    used += f" ({use.pattern}), the last {hour(use.last)}. {_ends(ends_at)}"
    revisit_at = min(now + DAILY, ends_at or now + DAILY)
    after = f"After that {mended(instance.arn, now)}"
    if instance.options.hop_limit == 1 and is_container_host(instance.tags):
        why = (
            f"{used} It is a container host with hop limit 1, so there are two possible causes. If containers call, raise it to "
            "hop limit 2: tokens then reach them, and such calls end within the hour; but they can then use the instance role, from which "
            "many keep them by the limit of 1. If software of the host itself calls (AWS's IMDS packet analyzer on the host names it), "
            f"update it. {after}"
        )
        return Verdict.hold(Reason.HOP_LIMIT_FALLBACK, why, revisit_at)
    why = f"{used} Find the software that makes them (AWS's IMDS packet analyzer names the process), and update it."
    if instance.options.hop_limit == 1:
        why += (
            " If it runs containers: with the hop limit of 1 tokens do not reach them, and their software falls back to IMDSv1; "
            "raise it to 2, and such calls end within the hour."
        )
    elif instance.options.hop_limit < _OVERLAY_HOPS and is_container_host(instance.tags):
        why += (
            " Or the hop limit is the cause: it is a container host with hop limit 2, and where its containers have a network of their "
            "own (an overlay), tokens need 3 to reach them, and their software falls back to IMDSv1; raise it to 3, and such calls end "
            "within the hour."
        )
    return Verdict.hold(Reason.V1_IN_USE, f"{why} {after}", revisit_at)


def _ends_at(instance: Instance, last: datetime | None, policy: Policy) -> datetime | None:
    """When the last hour with calls will have left the window; None where it does not move on."""
    return last + timedelta(hours=1, days=policy.lookback_days) if last and instance.state == "running" else None


def _ends(ends_at: datetime | None) -> str:
    if ends_at is None:
        return "It is stopped, and so this does not end by itself."
    return f"Without another call this hold ends by itself on {minute(ends_at)}."


def from_refused(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:
    """Row 14b."""
    refused = evidence.refused
    if refused.calls == 0:
        return None
    ends = ""
    if refused.last is not None and instance.state == "running":
        ends = f" Without another one this hold ends by itself on {day(refused.last + timedelta(days=policy.lookback_days + 1))}."
    why = (
        f"{calls(refused.calls)} {were(refused.calls)} refused while tokens were required, the last on {day(refused.last)}: its software asks for "
        f"IMDSv1.{ends} Find the software (AWS's IMDS packet analyzer names the process), update and restart it, then "
        f"{mended(instance.arn, now)}"
    )
    return Verdict.hold(Reason.V1_REFUSED, why, now + DAILY)


def from_start(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:  # noqa: ARG001
    """Row 15."""
    start = evidence.start
    if start is None or start.calls == 0:
        return None
    why = (
        f"{calls(start.calls)} in the two hours from its last start on {minute(start.at)} on, and none since: software that runs at "
        f"boot needs IMDSv1. Update its boot scripts, then {how_to_restart(instance, now)}"
    )
    return Verdict.hold(Reason.V1_AT_BOOT, why, now + DAILY)


def from_recurrence(instance: Instance, evidence: Evidence, policy: Policy, now: datetime) -> Verdict | None:  # noqa: ARG001
    """Row 15b."""
    older = evidence.older
    if older.ends_at is None or now >= older.ends_at:
        return None
    why = (
        f"No IMDSv1 call since {minute(evidence.window_start)}, but use that comes again: {calls(older.calls)} in "
        f"{older.bursts} bursts before that, the last in the week from {day(older.last)}. It is held until the silence has been "
        f"twice as long as the longest before, on {day(older.ends_at)}. If its software was updated and restarted since, "
        f"{mended(instance.arn, now)}"
    )
    return Verdict.hold(Reason.V1_RECURS, why, min(older.ends_at, now + DAILY))
