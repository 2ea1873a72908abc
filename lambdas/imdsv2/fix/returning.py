"""The way back of a source: what is still as the service left it is pointed to where it was; what somebody changed since is left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.aws import source_change as action
from imdsv2.domain.source_fix import description, is_ours, names_of, token
from imdsv2.source.fixing import as_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.source_fix import SourceFix, Step
    from imdsv2.fix.change import Hands

    Save = Callable[[SourceFix, int, Step], SourceFix | None]


def put_back(hands: Hands, fix: SourceFix, save: Save, *, lags: bool) -> tuple[SourceFix, list[str]]:
    """Put back the pointer of the group, the defaults, and what is launched from the latest version. The item as it is then, and
    what was left, in words. ``lags``: whether the change is so young that AWS may show what was before it: what looks as if it were
    back already is put back all the same. Raises what calls raise."""
    left = _group_back(hands, fix, lags=lags)
    for number, step in enumerate(fix.steps):
        if step.made is None:
            continue
        now = hands.look(fix)
        template = now.templates.get(step.template)
        if template is None:
            left.append(f"launch template {step.name} is gone")
            continue
        if step.moves_default and (template.default == step.made or (lags and template.default == step.default)):
            action.set_default(hands.write, step.template, step.default)
        elif step.moves_default and template.default != step.default:
            left.append(f"version {template.default} is the default of launch template {step.name}")
        if _is_last(fix, step):
            fix, problem = _latest_back(hands, fix, number, save)
            left += [problem] if problem else []
    return fix, left


def _group_back(hands: Hands, fix: SourceFix, *, lags: bool) -> list[str]:
    if not fix.points:
        return []
    now = hands.look(fix)
    if now.group is None:
        return [f"the Auto Scaling group {fix.group} is gone"]
    names, before = names_of(now.pointers), names_of(fix.pointers)
    if names == before and not lags:
        return []
    if names not in (before, names_of(fix.after())):
        return [_pointed_elsewhere(fix)]
    action.point(hands.pointing, now.group, fix.pointers)
    return []


def _latest_back(hands: Hands, fix: SourceFix, number: int, save: Save) -> tuple[SourceFix, str | None]:
    """Make a version like the one in use before, for whoever launches from the latest one: nobody knows who does."""
    step = fix.steps[number]
    if step.restored is not None:
        return fix, None
    known = action.versions_from(hands.read, step)
    restored = next(
        (each.number for each in known.values() if is_ours(each.description, fix.attempt, step, back=True)), None
    )
    if restored is None:
        newest = max(known, default=0)
        if newest != step.made:
            return fix, f"version {newest} is the latest of launch template {step.name}"
        if step.base not in known:
            return fix, f"version {step.base} of launch template {step.name} is gone"
        options, words = as_before(known[step.base].options), description(fix.attempt, step, back=True)
        restored = action.make_version(hands.write, step, options, words, token(fix.attempt, step, back=True))
    return save(fix, number, replace(step, restored=restored)) or fix, None


def _is_last(fix: SourceFix, step: Step) -> bool:
    """Whether it is the last version that was made of its template: the one that became the latest."""
    return step.made == max(fix.made[step.template])


def _pointed_elsewhere(fix: SourceFix) -> str:
    return f"the Auto Scaling group {fix.group} points elsewhere"
