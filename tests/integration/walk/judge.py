"""The judge of the walk: what has to be true at the moment at which an instance's metadata options are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import ENFORCED_TAG
from tests.integration.walk.policy import EXEMPT_TAG, LOOKBACK, OBSERVED_HOURS
from tests.world.cloudwatch import HOUR, hour_of
from tests.world.life import PERIOD, TOKENLESS, period_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.walk.machine import Machine
    from tests.integration.walk.world import World


_WEEKS_APART = timedelta(weeks=2)
"""Calls that lie farther apart do so in any calendar."""


class Judge:
    """Knows the whole world, and complains of every change that should not be made."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._enforcements: list[tuple[str, datetime]] = []
        """Account and time of each."""

    def judge_enforcement(self, machine: Machine, role: str, sent: Mapping[str, Any]) -> None:
        """Everything that has to be true at the moment at which tokens are required."""
        world, now, account = self._world, self._world.clock(), machine.arn.account
        item, shown = world.current(machine.arn), world.as_shown(machine)
        never = {
            "though it had done so": machine.ours == machine.options["HttpTokens"] == "required",
            "by another role": role != "write",
            "with another option": dict(sent) != {"HttpTokens": "required"},
            "not written ahead": item.get("status") != "enforcing",
            "outside a lease": not _is_leased(item, now),
            "without what was there before": _plain(item.get("before")) != shown.options,
            "without its tag": ENFORCED_TAG not in machine.tags,
            "what was closed": shown.options["HttpEndpoint"] != "enabled",
            "while a finding is suppressed": bool(item.get("findings")) and world.is_suppressed(machine.arn),
            "although a cohort of its broke": world.policy["canary"] is not None and self._broken_beside(machine),
            **self._policy_against(account, now),
            **self._people_against(machine, item, now),
            **self._evidence_against(machine),
        }
        self._complain(machine, "enforced", never)
        world.approved.pop(machine.arn, None)
        world.told.pop(machine.arn, None)
        world.changed.add(machine.arn)
        self._enforcements.append((account, now))

    def _policy_against(self, account: str, now: datetime) -> dict[str, bool]:
        """What the policy says against any change in an account."""
        world = self._world
        sum_of_hour = sum(each == account and now - when < HOUR for each, when in self._enforcements)
        return {
            "while off": world.policy["mode"] == "off",
            "while observing": world.policy["mode"] == "observe" and not world.run.by_person,
            "without a readable policy": world.policy_text is not None,
            "while the calendar is closed": world.policy.get("change_calendar") is not None and not world.calendar_open,
            "while the breaker is open": world.breaker_opened_at(account) is not None,
            "above the cap": sum_of_hour >= world.policy.get("max_enforcements_per_hour", 50),
        }

    def _people_against(self, machine: Machine, item: Mapping[str, Any], now: datetime) -> dict[str, bool]:
        """What people have said against the change, and what they have not been asked or told."""
        world = self._world
        cleared = machine.arn in world.run.clears
        unapproved = now >= world.approved.get(machine.arn, now)
        return {
            "what is exempt": world.as_shown(machine).tags.get(EXEMPT_TAG, "") >= f"{now:%Y-%m-%d}",
            "what a person holds": _in_force(item.get("hold"), now),
            "what broke before": machine.held and not cleared,
            "a second time": machine.standing and not cleared,
            "without approval": world.policy.get("approval") == "required" and unapproved,
            "untold": self._untold(machine.arn),
        }

    def _evidence_against(self, machine: Machine) -> dict[str, bool]:
        """What a perfect witness knows against the change. What was before people say that its software was mended does not
        count, and nothing else ends what counts; of what a person may accept, nothing counts while one does."""
        metrics, name = self._world.cloudwatch(machine.arn.account), machine.instance_id
        refused = [when for when in machine.rejected_at if when >= self._counted_from(machine)]
        never = {
            "although calls were refused lately": bool(refused),
            "on evidence that is not complete": metrics.statuses.get((TOKENLESS, name)) is not None,
        }
        accepted_until, today = machine.accepted_until, self._world.clock().date()
        machine.accepted_until = None  # One attempt uses it up.
        if accepted_until is not None and today <= accepted_until:
            return never
        return never | self._acceptable_against(machine)

    def _acceptable_against(self, machine: Machine) -> dict[str, bool]:
        """What a person may accept."""
        end, start = self._end_of(machine), self._start_of(machine)
        began = max(machine.launched_at, machine.mended_at or machine.launched_at)
        seen = self._world.cloudwatch(machine.arn.account).points.get((TOKENLESS, machine.instance_id), {})
        hours = {hour_of(when) for when in seen}
        observed = sum(start <= hour and hour + HOUR <= end for hour in hours)
        start_ends = min(began + 2 * HOUR, end)
        return {
            "although IMDSv1 is used": any(when >= start for when in machine.used_at),
            "although IMDSv1 is used at its start": any(began <= when < began + HOUR for when in machine.used_at),
            "although use of IMDSv1 comes again": self._world.clock() < _comes_again(_before(machine, start)),
            "on too few hours": observed < OBSERVED_HOURS,
            "before its start was over": machine.stopped_at is None and start_ends < began + 2 * HOUR,
            "without a start that was observed": not _is_observed(seen, began, start_ends),
        }

    def _end_of(self, machine: Machine) -> datetime:
        return machine.stopped_at or self._world.clock()

    def _start_of(self, machine: Machine) -> datetime:
        """Where its evidence begins."""
        first = max(self._end_of(machine) - LOOKBACK, machine.first_launched_at)
        return max(first, machine.mended_at or first)

    def _counted_from(self, machine: Machine) -> datetime:
        """From when on refused calls count: people may have cleared what came before."""
        start, cleared_at = self._start_of(machine), self._world.current(machine.arn).get("cleared_at")
        return max(start, datetime.fromisoformat(cleared_at)) if cleared_at else start

    def _untold(self, arn: InstanceArn) -> bool:
        hours, told = self._world.policy.get("notice_hours", 0), self._world.told
        return hours > 0 and (arn not in told or self._world.clock() - told[arn] < timedelta(hours=hours))

    def _broken_beside(self, machine: Machine) -> bool:
        """Whether what runs the same software in the same account broke."""
        cohort = [each for each in self._world.machines.values() if each.image == machine.image]
        return any(
            each.held and "broken_at" in self._world.current(each.arn)
            for each in cohort
            if each.arn.account == machine.arn.account and each.arn not in self._world.run.clears
        )

    def judge_return(self, machine: Machine, role: str, sent: Mapping[str, Any]) -> None:
        """Everything that has to be true at the moment at which tokens are made optional again."""
        item, now = self._world.current(machine.arn), self._world.clock()
        undone, shown = item.get("undo") is not None, self._world.as_shown(machine)
        if not undone:
            self._world.returned[machine.arn].add(str(item["enforced_at"]))
        never = {
            "though it had done so": machine.ours == machine.options["HttpTokens"] == "optional",
            "by another role": role != "rollback",
            "with another option": dict(sent) != {"HttpTokens": "optional"},
            "not written ahead": item.get("status") != "rolling_back",
            "outside a lease": not _is_leased(item, now),
            "without what was there before": "optional" != (_plain(item.get("before")) or {}).get("HttpTokens"),
            "though it was not ours": machine.left is None or not item.get("confirmed"),
            "though somebody has changed it since": machine.left is not None and shown.options != machine.left,
            "though it was only a probe": not undone and not self._is_breakage(machine, item),
        }
        self._complain(machine, "opened", never)

    def _is_breakage(self, machine: Machine, item: Mapping[str, Any]) -> bool:
        """Whether calls were refused in separate periods of five minutes, after a start, or at once among siblings."""
        since = datetime.fromisoformat(item["enforced_at"]) - timedelta(minutes=10)
        refused = [when for when in machine.rejected_at if when >= since]
        siblings = [
            each
            for each in self._world.machines.values()
            if (each.arn.account, each.image) == (machine.arn.account, machine.image) and each is not machine
        ]
        among = any(abs(when - other) <= HOUR for when in refused for each in siblings for other in each.rejected_at)
        restarted_at = datetime.fromisoformat(item.get("restarted_at", item["enforced_at"]))
        starts = [machine.launched_at, restarted_at, *machine.mended]
        # A datapoint begins up to a period before the call that it counts: before the start, or within the hour that follows it.
        at_start = any(-2 * PERIOD <= when - start < HOUR + PERIOD for when in refused for start in starts)
        return among or at_start or len({period_of(when) for when in refused}) >= 2

    def _complain(self, machine: Machine, change: str, never: Mapping[str, bool]) -> None:
        for what, is_so in never.items():
            if is_so:
                self._world.complain(f"{machine.instance_id} was {change} {what}")


def _is_observed(seen: Collection[datetime], start: datetime, end: datetime) -> bool:
    """Whether every whole period of five minutes between two times has a datapoint, and there is one. The first counts as whole
    where at least half of it was left."""
    first = period_of(start + PERIOD / 2 - timedelta(microseconds=1))
    needed = [first + PERIOD * number for number in range((end - first) // PERIOD)]
    return bool(needed) and all(when in seen for when in needed)


def _before(machine: Machine, start: datetime) -> list[datetime]:
    """The calls that came before the window, and after its software was mended."""
    return [when for when in machine.used_at if (machine.mended_at or when) <= when < start - HOUR]


def _comes_again(used: list[datetime]) -> datetime:
    """When use that came again after weeks has been silent for twice as long as ever before."""
    longest = max((later - earlier for earlier, later in pairwise(used)), default=timedelta())
    return used[-1] + 2 * longest if longest > _WEEKS_APART else datetime.min.replace(tzinfo=UTC)


def _is_leased(item: Mapping[str, Any], now: datetime) -> bool:
    return bool(item.get("lease_until")) and datetime.fromisoformat(item["lease_until"]) > now


def _plain(document: Any) -> Any:
    """Options as EC2 has them, from the ledger's numbers."""
    return (
        {name: int(each) if name.endswith("Limit") else each for name, each in document.items()} if document else None
    )


def _in_force(hold: Mapping[str, Any] | None, now: datetime) -> bool:
    return hold is not None and str(hold["until"]) >= f"{now.astimezone(UTC):%Y-%m-%d}"
