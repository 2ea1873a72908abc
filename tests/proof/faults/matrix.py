"""Runs rows of the matrix: a path whose step meets faults, the days after it without any, and what came of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.proof.faults.injector import Shot
from tests.proof.faults.kinds import DONE, KINDS, kinds_of
from tests.proof.faults.paths import PATHS
from tests.proof.faults.world import World
from tests.proof.invariants import of_accounts, plain, uncounted, violations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.proof.faults.fleet import Saved

MINUTES = (5, 5, 5, 5, 10, 15, 15)
HOURS = (*(1,) * 7, 4, 13, 1, 1, 2, 2, 2, 2, 16, 1, 8)
"""How time goes on after the step: what is due in a quarter of an hour, within a watch, after a day, and after two."""


_ASKED_AGAIN = 3
"""After a quarter of an hour, whoever got an error or a problem as the answer asks again."""


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One row: the fault at the ``nth`` call of an operation on a path, and perhaps another at its next call."""

    path: str
    operation: str
    nth: int
    kind: str
    then: str | None = None

    def __str__(self) -> str:
        then = f", then {self.then}" if self.then else ""
        return f"{self.path} | {self.operation}#{self.nth} | {self.kind}{then}"

    @property
    def shots(self) -> list[Shot]:
        """The faults."""
        shots = [Shot(self.operation, self.nth, self.kind)]
        return [*shots, Shot(self.operation, self.nth + 1, self.then)] if self.then else shots


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a row: its outcome at once, what differs at the end from a run without faults, and what is wrong."""

    outcome: str
    differs: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """A path without faults: its world before the step, the calls of the step, what stood after it and at the end."""

    before: Saved
    arns: tuple[str, ...]
    calls: Mapping[str, int]
    after: str
    failed: int
    left_broken: int
    held: Mapping[str, str]
    end: Mapping[str, Any]
    wrong: tuple[str, ...]


@cache
def clean(path: str) -> Clean:
    """Run a path without faults, once."""
    world, arns = PATHS[path].fleet()
    before = world.save()
    world = World.from_saved(before)
    world.injector.armed = True
    PATHS[path].act(world, arns)
    world.injector.armed = False
    after, failed, left = _everything(world), world.failed, world.left_broken
    held = _held(world, arns)
    _go_on(world)
    return Clean(
        before=before,
        arns=tuple(arns),
        calls=dict(world.injector.counted),
        after=after,
        failed=failed,
        left_broken=left,
        held=held,
        end=_summary(world, arns),
        wrong=tuple(violations(world.end(may_repeat=False))),
    )


def rows(path: str) -> list[Row]:
    """All rows of a path: each call of its step, each kind that the call may meet."""
    return [
        Row(path, operation, nth, kind)
        for operation, count in sorted(clean(path).calls.items())
        for nth in range(count)
        for kind in kinds_of(operation)
    ]


def pairs(row: Row) -> list[Row]:
    """A row, followed by each kind at the next call of the same operation."""
    return [Row(row.path, row.operation, row.nth, row.kind, then) for then in kinds_of(row.operation)]


def run(row: Row) -> Result:
    """Run one row."""
    world = World.from_saved(clean(row.path).before)
    world.injector.armed = True
    aim(world, row)
    PATHS[row.path].act(world, list(clean(row.path).arns))
    return came_of(world, row)


def aim(world: World, row: Row) -> None:
    """Let calls meet the row's faults from now on."""
    world.injector.shots = row.shots
    world.lenient = any(shot.kind in {"unreadable", "wrong"} for shot in row.shots)


def came_of(world: World, row: Row) -> Result:
    """What came of a row whose step is over, at once and after days without faults."""
    known, path = clean(row.path), PATHS[row.path]
    arns = list(known.arns)
    world.injector.armed = False
    assert world.injector.fired, f"{row}: the fault was never met"
    outcome = _outcome(world, arns, known)
    accounts = of_accounts(world.aws.table.items.values())
    caps = uncounted(accounts, world.aws.effects, world.begun)
    if outcome == "same" and not caps and not world.aws.complaints:
        return Result(outcome=outcome, differs=(), wrong=())
    is_to_ask = path.repeats and outcome != "same"
    differs, wrong = _future(world, row, arns, known, again=(lambda: path.act(world, arns)) if is_to_ask else None)
    return Result(outcome=outcome, differs=differs, wrong=(*caps, *wrong))


futures: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
"""What came of a state, by all of it: many faults leave the same one behind, and the days after it are without chance."""


def _future(
    world: World, row: Row, arns: Sequence[str], known: Clean, again: Callable[[], object] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What differs at the end from a run without faults, and what is wrong."""
    may_repeat = _repeats(row)
    state = "|".join((row.path, str(may_repeat), str(again is not None), _everything(world, minutes=True)))
    if state not in futures:
        _go_on(world, again)
        wrong = tuple(each for each in violations(world.end(may_repeat=may_repeat)) if each not in known.wrong)
        futures[state] = _differences(known.end, _summary(world, arns)), wrong
    return futures[state]


def _go_on(world: World, again: Callable[[], object] | None = None) -> None:
    """Days without faults: messages come again, what is due is judged, the guard looks; who asked may ask ``again``."""
    world.calm()
    for number, minutes in enumerate((*MINUTES, *(60 * hours for hours in HOURS))):
        world.advance(minutes)
        if number == _ASKED_AGAIN and again is not None:
            again()
        world.remediate()
        world.revisit()
        world.guard()


def _repeats(row: Row) -> bool:
    kinds = [KINDS[shot.kind] for shot in row.shots]
    met = {fault for kind in kinds for fault in (*kind.script, kind.rest)}
    return row.operation.startswith("dynamodb:") or (row.operation == "sns:Publish" and bool(met & DONE))


def _outcome(world: World, arns: Sequence[str], known: Clean) -> str:
    """What the step itself came to, against the same step without faults."""
    if world.left_broken > known.left_broken:
        return "alarm"
    if world.failed > known.failed:
        return "failed"
    held = {arn: why for arn, why in _held(world, arns).items() if known.held.get(arn) != why}
    if held:
        return f"held {'/'.join(sorted(set(held.values())))}"
    return "same" if _everything(world) == known.after else "owed"


def _held(world: World, arns: Sequence[str]) -> dict[str, str]:
    items = {arn: plain(world.aws.item(arn)) for arn in arns}
    return {
        arn: str(item["reason"]) for arn, item in items.items() if item.get("status") in {"held", "skipped", "failed"}
    }


_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_VOLATILE = {"request_id", "session", "explanation", "evidence", "version", "written_by", "members", "attempt"}


def _everything(world: World, *, minutes: bool = False) -> str:
    """The whole state, without what differs from run to run; times as hours (or minutes) from the beginning."""

    def since(text: str) -> str:
        seconds = (datetime.fromisoformat(text) - world.begun).total_seconds()
        return f"+{seconds / 60:.0f}min" if minutes else f"+{seconds / 3600:.0f}h"

    def neutral(value: Any) -> Any:
        match value:
            case dict():
                return {neutral(key): neutral(each) for key, each in sorted(value.items()) if key not in _VOLATILE}
            case list() | tuple() | set() | frozenset():
                return [neutral(each) for each in value]
            case str():
                return _TIME.sub(lambda found: since(found[0]), value)
        return value if isinstance(value, int | float | bool | None) else str(value)

    items = [plain(each) for each in world.aws.table.items.values()]
    for each in items:
        if str(each["sk"]).startswith(("event#", "decision#")):
            each["sk"] = "event"
    instances = [
        (each.instance_id, each.options, sorted(each.tags), each.state)
        for ec2 in world.aws.ec2.values()
        for each in ec2.instances.values()
    ]
    findings = {key: sorted(each) for key, each in world.aws.findings.findings.items()}
    told = [each["Subject"] for _, each in world.aws.published]
    state = [sorted(json.dumps(neutral(each)) for each in items), neutral(instances), findings, told]
    effects = [(each.arn, each.enforces) for each in world.aws.effects]
    launching = world.aws.templates.tokens() if world.aws.templates is not None else None
    rest = [
        launching,
        effects,
        len(world.aws.complaints),
        len(world.queue),
        sorted(world.aws.files),
        len(world.aws.buried),
    ]
    return json.dumps([*state, *rest], default=str)


def _summary(world: World, arns: Sequence[str]) -> dict[str, Any]:
    """What has to be the same at the end whatever failed."""
    end: dict[str, Any] = {}
    for arn in arns:
        account, name = arn.split(":")[4], arn.rpartition("/")[2]
        item, instance = plain(world.aws.item(arn)), world.aws.ec2[account].instances.get(name)
        short = f"{account[0]}/{name[-2:]}"
        words = ("status", "decision", "reason", "confirmed", "watch", "left_because")
        end |= {f"{short} {word}": str(item.get(word)) for word in words}
        end[f"{short} broken"] = "broken_at" in item
        end[f"{short} tokens"] = instance.options["HttpTokens"] if instance else None
        end[f"{short} tags"] = sorted(instance.tags) if instance else None
    end["watched"] = sorted(
        {pk[-2:] for (pk, _), each in world.aws.table.items.items() if each.get("kind") == {"S": "captured"}}
    )
    for account in sorted(world.aws.ec2):
        known = plain(world.aws.item("accounts", f"aws/{account}"))
        end[f"{account[0]} rollbacks"] = len(known.get("rollbacks", []))
        end[f"{account[0]} breaker"] = known.get("breaker_opened_at") is not None
    if world.aws.templates is not None:
        end["next launches"] = world.aws.templates.tokens()
    end["buried"] = bool(world.aws.buried)
    return end


def _differences(wanted: Mapping[str, Any], end: Mapping[str, Any]) -> tuple[str, ...]:
    """In which words two ends differ. What people were told is left to the invariants: they may have heard more."""
    return tuple(f"{name}: {value} -> {end[name]}" for name, value in wanted.items() if value != end[name])
