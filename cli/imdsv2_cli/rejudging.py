"""What becomes of a verdict under another policy, as far as the ledger's evidence tells: a pure decision, in the order of the verdict table.

The ledger keeps numbers of the evidence, not the evidence: neither tags nor clean starts, nothing of the cohort, nothing outside the window,
and a coverage that may be lower than it was. Where one of these would decide, the answer says so instead of guessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.policy import Approval, BootEvidence, Mode
from imdsv2.domain.policy_change import RESTS_ON
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide_scope

if TYPE_CHECKING:
    from imdsv2.domain.policy import Policy

_USES = frozenset({Reason.V1_IN_USE, Reason.HOP_LIMIT_FALLBACK})
_OF_SCOPE = frozenset({"include_accounts", "exclude_accounts", "exclude_regions"})
_OF_NO_EVIDENCE = _OF_SCOPE | {"mode"}
_OF_COHORT = frozenset({"cohort_evidence", "cohort_tag", "min_clean_starts"})
_GATES = {
    Reason.CANARY_WAIT: ("canary", None),
    Reason.CALENDAR_CLOSED: ("change_calendar", None),
    Reason.APPROVAL_REQUIRED: ("approval", Approval.NONE),
    Reason.NOTICE_GIVEN: ("notice_hours", 0),
}
"""Gates that hold, with their field and the value that opens them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``reason``: that of the new verdict, None where the ledger does not tell; ``why`` says what decides, or what would have to be known."""

    reason: Reason | None
    why: str


def rejudge(item: Mapping[str, Any], before: Policy, after: Policy, now: datetime) -> Outcome | None:
    """The verdict of an instance under the policy ``after``; None where nothing of it rests on what changes.

    Args:
        item: its current item in the ledger: ``pk``, ``reason`` and ``evidence``.
        before: the policy under which it was judged.
        after: the proposed one.
        now: the time.
    """
    reason, changed = Reason(item["reason"]), _changed(before, after)
    arn = InstanceArn.parse(item["pk"])
    scope = decide_scope(arn, after, now)
    if scope is not None:
        return Outcome(scope.reason, scope.explanation) if changed & _OF_SCOPE else None
    concerning = {name for name in changed if reason in RESTS_ON[name]}
    if not concerning:
        return None
    if reason is Reason.OUT_OF_SCOPE:
        return Outcome(None, "it was out of scope, and nothing was looked at")
    if "exempt_tag" in concerning:
        return Outcome(None, "the ledger does not keep tags")
    if reason in _GATES or reason is Reason.CAP_REACHED:
        return _from_gate(reason, after)
    if reason is Reason.SWITCHED_OFF:
        return _at_its_turn(after)
    if concerning <= _OF_NO_EVIDENCE:
        return _at_its_turn(after, reason)
    return _from_evidence(reason, _numbers(item), concerning, before, after)


def _changed(before: Policy, after: Policy) -> set[str]:
    return {each.name for each in fields(before) if getattr(before, each.name) != getattr(after, each.name)}


def _numbers(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found = item.get("evidence")
    return found if isinstance(found, Mapping) else {}


def _at_its_turn(after: Policy, reason: Reason = Reason.UNUSED) -> Outcome:
    if after.mode is Mode.OFF:
        return Outcome(Reason.SWITCHED_OFF, "the mode is off")
    what = "changed at its turn, if no gate holds it" if after.mode is Mode.ENFORCE else "would be changed"
    return Outcome(reason, what)


def _from_gate(reason: Reason, after: Policy) -> Outcome:
    if reason is Reason.CAP_REACHED:
        return Outcome(None, "the cap is asked at its turn")
    field, opens = _GATES[reason]
    if getattr(after, field) == opens:
        return _at_its_turn(after)
    return Outcome(None, f"the gate {field} is asked at its turn")


def _from_evidence(
    reason: Reason, seen: Mapping[str, Any], concerning: set[str], before: Policy, after: Policy
) -> Outcome:
    """Rows 13 to 19."""
    if not seen:
        return Outcome(None, "the ledger has no evidence of it")
    if "lookback_days" in concerning:
        return _from_window(reason, seen, before, after)
    if reason in _USES or seen["tokenless_calls"]:
        return Outcome(reason, "its calls hold it, whatever the thresholds are")
    if reason in {Reason.V1_REFUSED, Reason.V1_AT_BOOT}:
        return Outcome(reason, "its refused calls or those at its start hold it, whatever the thresholds are")
    if reason in {Reason.COHORT_USES_V1, Reason.V1_RECURS}:
        if concerning & _OF_COHORT:
            return Outcome(None, "its cohort has to be looked at")
        return Outcome(reason, "earlier calls or those of its cohort hold it, whatever the thresholds are")
    return _from_thresholds(reason, seen, before, after)


def _from_window(reason: Reason, seen: Mapping[str, Any], before: Policy, after: Policy) -> Outcome:
    longer = after.lookback_days > before.lookback_days
    last = seen["last_tokenless_call"]
    starts = datetime.fromisoformat(seen["window_end"]) - timedelta(days=after.lookback_days)
    if reason in _USES and last and (longer or datetime.fromisoformat(last) >= starts):
        return Outcome(reason, "its last call is in the new window, too")
    if reason is Reason.V1_REFUSED and longer:
        return Outcome(reason, "its refused calls are in the new window, too")
    return Outcome(None, "CloudWatch has to be asked for the new window")


def _from_thresholds(reason: Reason, seen: Mapping[str, Any], before: Policy, after: Policy) -> Outcome:
    """Rows 16 to 18, from the numbers alone."""
    covered, was_covered = _is_covered(seen, after), _is_covered(seen, before)
    if reason is Reason.NO_EVIDENCE and was_covered:
        return Outcome(reason, "its newest hours have no datapoint, or nobody knows when it ran")
    if not covered:
        if was_covered:
            return Outcome(None, "the ledger keeps only a lower bound of its coverage")
        return _held(
            Reason.NO_EVIDENCE, f"coverage {seen['coverage']:.0%}, longest gap {seen['longest_gap_hours']} h", after
        )
    if seen["observed_hours"] < after.min_observed_hours:
        hours = f"{seen['observed_hours']} of {after.min_observed_hours} hours observed"
        return Outcome(None, f"{hours}; its starts or its cohort may make up for the others")
    if after.boot_evidence is BootEvidence.REQUIRE and not seen["boot_observed"]:
        return _held(Reason.BOOT_NOT_OBSERVABLE, "its last start was not seen", after)
    if reason is Reason.NO_EVIDENCE:
        return Outcome(None, "its use before the window was not looked at")
    return _at_its_turn(after)


def _held(reason: Reason, why: str, after: Policy) -> Outcome:
    """A row of little evidence, for which the cohort may make up."""
    return Outcome(None, f"{why}; its cohort may make up for it") if after.cohort_evidence else Outcome(reason, why)


def _is_covered(seen: Mapping[str, Any], policy: Policy) -> bool:
    return bool(seen["coverage"] >= policy.min_coverage and seen["longest_gap_hours"] <= policy.max_gap_hours)
