"""Checks of the whole line, from the verdict to the rollback: pure functions from observations to a result."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.selftest.agenda import LINE
from imdsv2.selftest.ec2_checks import SHOWN_WITHIN
from imdsv2.selftest.metrics import REJECTED
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import OK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Entry, Seen

REFUSED_PERIODS = 2
"""Separate five minutes in which the agenda has the instance of the line make calls that are refused, long enough before its end."""
_GUARD_ANSWERS_IN, _SLOW_GUARD_ANSWERS_IN = timedelta(minutes=10), timedelta(minutes=30)
"""From the datapoint that suffices to the rollback (docs/how-it-works.md); the second where the policy says `"watch": "slow"`."""


def line_enforces(seen: Seen) -> Result:
    """The service itself, told by hand to enforce one of the instances, requires tokens there and records it."""
    expect = Expectation("The ledger says `enforced`, and EC2 shows HttpTokens `required`.")
    answer = seen.answer("enforce")
    if answer is None:
        return expect.not_tried(
            'The line was not tried: start with "line": true, and leave it the time that the plan says.'
        )
    if any(sight.tokens == "required" for sight in seen.sights_of(LINE) if sight.at < answer.at):
        return expect.not_tried("Somebody else had required tokens on the instance before.")
    entries = seen.entries_of(LINE)
    enforced = [entry for entry in entries if entry.status == "enforced"]
    back_at = next((entry.at for entry in entries if entry.status == "rolled_back"), None)
    after = [each for each in seen.sights_of(LINE) if answer.at < each.at and (back_at is None or each.at < back_at)]
    required = [sight for sight in after if sight.tokens == "required"]
    if not after:
        return expect.not_tried("The instance was not looked at between that and its rollback.")
    if not answer.conclusive and not enforced:
        return expect.not_tried(f"The function `manual` gave no answer ({answer.code}: {answer.message.rstrip('.')}).")
    if not enforced and not required:
        # Held by policy, gate or evidence: that proves the gate, and neither proves nor disproves the line.
        why = str(answer.raw.get("explanation") or answer.message or "it told no result.")
        held = answer.code == OK and answer.raw.get("status") not in {"failed", "enforcing"}
        return (
            expect.not_tried(f"The service decided otherwise: {why}")
            if held
            else expect.judged(False, why, **answer.raw)
        )
    said = f"{len(enforced)} entries of the ledger say `enforced`, {len(required)} looks show `required`."
    return expect.judged(bool(enforced and required), said, **entries_told(entries))


def line_rolls_back(seen: Seen) -> Result:
    """After refused IMDSv1 calls, the guard makes tokens optional again by itself, and records it."""
    expect = Expectation("The ledger says `rolled_back`, and EC2 shows HttpTokens `optional` again.")
    entries = seen.entries_of(LINE)
    enforced = [entry for entry in entries if entry.status == "enforced"]
    refused = seen.calls_of(LINE, "v1", 401)
    if not enforced:
        return expect.not_tried("The service enforced nothing, so there is nothing to roll back.")
    if not refused:
        return expect.not_tried("The instance reported no refused call, so nothing broke.")
    rolled_back = [entry for entry in entries if entry.status == "rolled_back"]
    if not rolled_back and (why := _need_not_roll_back(seen, len(refused))) is not None:
        return expect.not_tried(why)
    since = rolled_back[0].at if rolled_back else enforced[0].at
    after = [sight for sight in seen.sights_of(LINE) if sight.at > since]
    if not after:
        return expect.not_tried("The instance was not looked at after that.")
    opened = after[-1].tokens == "optional"
    if rolled_back and not opened and after[-1].at - since <= seen.agenda_time(SHOWN_WITHIN):
        return expect.not_tried("It was rolled back so late that EC2 may not show it yet.")
    said = f"The ledger ends with `{entries[-1].status}`; EC2 shows `{after[-1].tokens}`."
    if rolled_back:
        said += f" The rollback came {(rolled_back[0].at - refused[0].at).total_seconds() / 60:.1f} min after the first refused call."
    return expect.judged(bool(rolled_back) and opened, said, **entries_told(entries))


def _need_not_roll_back(seen: Seen, refused: int) -> str | None:
    """Why the guard may leave the instance as it is, by the policy or for want of time; None if it must have rolled it back."""
    answer = seen.answer("policy")
    if answer is None or answer.code != OK:
        why = f"{answer.code}: {answer.message}" if answer else "the agenda did not reach it"
        return f"The policy could not be read, which may say that the guard only tells ({why})."
    policy = answer.raw
    if policy.get("rollback", "auto") != "auto":
        return f'The policy says "rollback": "{policy["rollback"]}", so the guard only tells.'
    if policy.get("rejected_threshold", 0) > refused or policy.get("rejected_periods", 0) > REFUSED_PERIODS:
        return "The policy wants more refused calls (rejected_threshold, rejected_periods) than the self-test makes."
    known_at = _broken_at(seen, policy)
    if known_at is None:
        return "CloudWatch showed too few of the refused calls until the end: the checks of MetadataNoTokenRejected say more."
    patience = _SLOW_GUARD_ANSWERS_IN if policy.get("watch") == "slow" else _GUARD_ANSWERS_IN
    if seen.looked_at is None or seen.looked_at - known_at <= seen.agenda_time(patience):
        return "CloudWatch showed the refused calls so late that the guard had no time left for an answer."
    return None


def _broken_at(seen: Seen, policy: Mapping[str, Any]) -> datetime | None:
    """When CloudWatch had shown as many refused calls as the policy wants; None if it did not."""
    points = sorted(
        (each for each in seen.points_of(LINE, REJECTED) if each.total), key=lambda each: (each.seen_at, each.at)
    )
    for number, point in enumerate(points, 1):
        calls = sum(each.total for each in points[:number])
        if number >= policy.get("rejected_periods", REFUSED_PERIODS) and calls >= policy.get("rejected_threshold", 1):
            return point.seen_at
    return None


def entries_told(entries: Iterable[Entry]) -> dict[str, Any]:
    """The entries of the ledger behind a result."""
    return {"entries": [f"{each.at.isoformat()} {each.status} {each.reason} from {each.source}" for each in entries]}
