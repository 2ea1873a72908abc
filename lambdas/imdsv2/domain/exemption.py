"""What an instance's tags say of an exemption: in force, at an end, longer than the policy allows, unreadable, or meant by a tag whose key
is almost the right one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.texts.words import count
from imdsv2.domain.verdict import DAILY, Decision, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.policy import Policy

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class LongExemption:
    """An exemption that was longer than the policy allows: the day that its tag says, and when that was first seen."""

    until: date
    seen_at: datetime


def from_tags(tags: Mapping[str, str], known: LongExemption | None, policy: Policy, now: datetime) -> Verdict | None:
    """The verdict of the exempt tag; None if it exempts nothing. ``known``: what the ledger knows of a long one."""
    tag = policy.exempt_tag
    if tag in tags:
        end = _day(tags[tag])
        if end is None:
            why = f"Its tag {tag} has the value {tags[tag][:_SHOWN]!r}, which is no date; write YYYY-MM-DD, or remove the tag."
            return _unreadable(why, now)
        return _in_force(tag, end, known, policy, now)
    return _almost(tags, tag, now)


def _in_force(tag: str, end: date, known: LongExemption | None, policy: Policy, now: datetime) -> Verdict | None:
    seen_at = known.seen_at if known is not None and known.until == end else now
    longest = seen_at.astimezone(UTC).date() + timedelta(days=policy.max_exemption_days)
    last = min(end, longest)
    if last < now.astimezone(UTC).date():
        return None
    if end <= longest:
        why = f"Its tag {tag} exempts it until {end.isoformat()} (that day included, UTC)."
        return _exempt(why, last)
    why = (
        f"Its tag {tag} says {end.isoformat()}, but the policy allows at most {count(policy.max_exemption_days, 'day')} at a time "
        f"(max_exemption_days): it is exempt until {last.isoformat()} (that day included, UTC). Set a day that is not later, and renew it "
        "when it comes."
    )
    return _exempt(why, last, cut=LongExemption(until=end, seen_at=seen_at))


def _almost(tags: Mapping[str, str], tag: str, now: datetime) -> Verdict | None:
    """Hold for a tag that differs from the exempt tag only in upper and lower case, and in what separates its words: whoever wrote it
    believes that the instance is exempt. One whose day is past would exempt nothing either."""
    for key, value in sorted(tags.items()):
        end = _day(value)
        is_past = end is not None and end < now.astimezone(UTC).date()
        if _letters(key) == _letters(tag) and not is_past:
            why = (
                f"Its tag {key[:_SHOWN]} looks like the exempt tag {tag}, and is not: it exempts nothing. Nothing is changed while it is "
                f"there: name it {tag}, with a day (YYYY-MM-DD) as the value, or remove it."
            )
            return _unreadable(why, now)
    return None


def _letters(key: str) -> str:
    return "".join(each for each in key.casefold() if each.isalnum())


def _exempt(why: str, last: date, cut: LongExemption | None = None) -> Verdict:
    return Verdict(
        decision=Decision.SKIP,
        reason=Reason.EXEMPT,
        explanation=why,
        revisit_at=day_after(last),
        ends_on=last,
        cut_exemption=cut,
    )


def _unreadable(why: str, now: datetime) -> Verdict:
    return Verdict(decision=Decision.HOLD, reason=Reason.EXEMPTION_UNREADABLE, explanation=why, revisit_at=now + DAILY)


def day_after(day: date) -> datetime:
    """When a day is over (UTC)."""
    return datetime.combine(min(day, date.max - timedelta(days=1)) + timedelta(days=1), time(), UTC)


def _day(value: str) -> date | None:
    if _DATE.fullmatch(value) is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
