"""The parts of `imdsv2 explain`: gates, timeline, what happens next, and calls by the hour of the week as a small chart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.gates import NOTICE_HOLDS_FOR
from imdsv2_cli.fleet.when import ago, short
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from imdsv2.domain.history import Answer
    from imdsv2.ledger.record import Record
    from imdsv2_cli.fleet.file import Row

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_BARS = "▁▂▃▄▅▆▇█"
_STANDS = frozenset({"enforced", "verified"})
_SWEEP = "02:30 UTC"


def week_of(calls_by_hour: str) -> list[int]:
    """Calls in each of the 168 hours of the week, from Monday 00:00 UTC."""
    week = [0] * 168
    for each in calls_by_hour.split():
        hour, _, calls = each.partition(":")
        week[int(hour)] = int(calls)
    return week


def chart(calls_by_hour: str) -> list[str]:
    """The week as seven lines of 24 columns; a dot is an hour without calls."""
    week = week_of(calls_by_hour)
    most = max(week)
    if not most:
        return []
    lines = ["     00    06    12    18   UTC"]
    for day, name in enumerate(DAYS):
        hours = week[24 * day : 24 * day + 24]
        bars = "".join("·" if not calls else _BARS[(calls * len(_BARS) - 1) // most] for calls in hours)
        lines.append(f"{name}  {bars}  {sum(hours) or ''}".rstrip())
    return lines


def gates_of(
    row: Row,
    policy: Mapping[str, Any],
    account: Mapping[str, Any],
    cohort: Mapping[str, Any],
    record: Record | None,
    at: datetime,
) -> Iterator[dict[str, str]]:
    """Each gate with its state: open, closed, or asked when it is the turn of the instance.

    Args:
        row: the instance.
        policy: the policy in force, every field with its value.
        account: the item of its account; empty if there is none.
        cohort: the item of its cohort; empty if there is none.
        record: what the ledger knows of the instance; None if nothing.
        at: the time.
    """
    mode = policy["mode"]
    yield _gate("mode", mode == "enforce", f"the policy says {mode}")
    if account.get("breaker_opened_at"):
        yield _gate(
            "circuit breaker",
            False,
            f"it opened at {short(account['breaker_opened_at'])} UTC: nothing is changed in the account",
        )
    else:
        yield _gate("circuit breaker", True, "it has not opened: changes are allowed in the account")
    if policy["approval"] == "required":
        yield _approval(record.approval if record else None, at)
    else:
        yield _gate("approval", True, "not needed")
    hours = policy["notice_hours"]
    if hours:
        yield _notice(row["notice_ends_at"], hours, at)
    else:
        yield _gate("notice", True, "none is given")
    yield from _canaries(policy, cohort)
    calendar = policy["change_calendar"]
    yield {"gate": "change calendar", "state": "at its turn" if calendar else "open", "detail": calendar or "none"}
    yield {
        "gate": "cap",
        "state": "at its turn",
        "detail": f"{count(policy['max_enforcements_per_hour'], 'change')} an hour in the account and Region",
    }


def _approval(answer: Answer | None, at: datetime) -> dict[str, str]:
    if answer is None:
        return _gate("approval", False, "nobody has answered yet")
    by = f"{answer.word} by {answer.by or 'somebody'}"
    if answer.is_refusal:
        return _gate("approval", False, f"{by} on {answer.at.astimezone(UTC):%Y-%m-%d}")
    until = f"{answer.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if answer.expires_at else "an unknown time"
    if answer.expires_at is None or answer.expires_at <= at:
        return _gate("approval", False, f"{by}, which expired at {until}")
    return _gate("approval", True, f"{by} until {until}")


def _notice(ends_at: str, hours: int, at: datetime) -> dict[str, str]:
    if not ends_at:
        return _gate("notice", False, f"{count(hours, 'hour')}, once it may be changed")
    ended = at - datetime.fromisoformat(ends_at)
    if ended < timedelta():
        return _gate("notice", False, f"ends {short(ends_at)} UTC")
    if ended >= NOTICE_HOLDS_FOR:
        return _gate("notice", False, f"{count(hours, 'hour')} anew: the last ended at {short(ends_at)} UTC")
    return _gate("notice", True, f"it ended at {short(ends_at)} UTC")


def _canaries(policy: Mapping[str, Any], cohort: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if not policy["canary"]:
        yield _gate("canaries", True, "none are wanted")
    elif cohort.get("broken_by"):
        yield _gate(
            "canaries", False, f"{cohort['broken_by']} broke or was undone: imdsv2 clear it, once that is settled"
        )
    elif cohort.get("opened_at"):
        yield _gate("canaries", True, f"they stayed clean; open since {short(cohort['opened_at'])}")
    elif cohort.get("canaries"):
        yield _gate("canaries", False, f"{len(cohort['canaries'])} of {cohort['wanted']} gone first")
    else:
        yield {"gate": "canaries", "state": "at its turn", "detail": "none of its cohort has gone first yet"}


def _gate(name: str, is_open: bool, detail: str) -> dict[str, str]:
    return {"gate": name, "state": "open" if is_open else "closed", "detail": detail}


def timeline_of(events: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What happened, newest last: when, what, the verdict then, who, and why as they said."""
    return [
        {
            "at": str(each["sk"]).split("#")[1],
            "what": str(each.get("kind") or "status_changed").replace("_", " "),
            "status": str(each.get("status") or ""),
            "reason": str(each.get("reason") or ""),
            "who": str(each.get("caller") or each.get("source") or ""),
            "because": str(each.get("because") or ""),
        }
        for each in events
    ]


def next_of(row: Row, at: datetime) -> str:
    """What happens next with an instance, and when."""
    if row["status"] in _STANDS and row["watch"] == "open":
        return "The guard watches it for rejected IMDSv1 calls, every five minutes, and ends the watch by itself."
    if row["status"] in _STANDS:
        return "Nothing: it is verified. Every hour the guard asks CloudWatch whether it rejects calls."
    if row["status"] in {"enforcing", "rolling_back"}:
        return "A function works on it right now; imdsv2 explain tells the outcome in a few minutes."
    if row["next_at"] and row["next_at"] <= at.isoformat():
        return f"It is due since {short(row['next_at'])} UTC, and is judged again within minutes."
    if row["next_at"]:
        return f"It is judged again at {short(row['next_at'])} UTC ({ago(row['next_at'], at)}), or when somebody acts."
    if row["http_tokens"] == "required":
        return "Nothing: tokens are required."
    return f"The next sweep judges it (each night at {_SWEEP}), or you: imdsv2 assess {row['instance_id']}"
