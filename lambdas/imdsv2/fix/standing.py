"""What stands of a change of a source, by what EC2 and Auto Scaling show: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.source_fix import is_ours, names_of

if TYPE_CHECKING:
    from imdsv2.aws.source_change import Now, Version
    from imdsv2.domain.source_fix import SourceFix, Step


def between(now: Now, fix: SourceFix) -> str | None:
    """What somebody has changed since the source was judged; None if nothing is in the way."""
    for step in fix.steps:
        template = now.templates.get(step.template)
        if template is None:
            return f"Launch template {step.name} is gone."
        numbers = [each.made for each in fix.steps if each.template == step.template and each.made is not None]
        if template.latest > max([step.latest, *numbers]):
            return (
                f"Somebody made version {template.latest} of launch template {step.name} meanwhile: nothing of it was overwritten. "
                "The source is judged again by the next sweep."
            )
        moved = [each.made for each in fix.steps if each.template == step.template and each.moves_default]
        if template.default not in {step.default, *moved}:
            return f"Somebody made version {template.default} the default of launch template {step.name} meanwhile."
    if fix.group and now.group is None:
        return f"The Auto Scaling group {fix.group} is gone."
    if fix.group and names_of(now.pointers) not in (names_of(fix.pointers), names_of(fix.after())):
        return f"Somebody pointed the Auto Scaling group {fix.group} elsewhere meanwhile."
    return None


def is_shown(now: Now, fix: SourceFix) -> bool:
    """Whether EC2 shows every version that was made: of an older one it may tell for some seconds."""
    made = fix.made
    return all(template.latest >= max(made.get(name, [0])) for name, template in now.templates.items())


def ours(known: dict[int, Version], fix: SourceFix, step: Step) -> int | None:
    """The version that this attempt made from a step's base, None if there is none."""
    return next((number for number, each in known.items() if is_ours(each.description, fix.attempt, step)), None)


def expected(fix: SourceFix, step: Step) -> int:
    """The number that a version has if nobody else makes one."""
    of_template = [each.base for each in fix.steps if each.template == step.template]
    return step.latest + 1 + of_template.index(step.base)


def is_done(now: Now, fix: SourceFix) -> bool:
    """Whether everything points to what was made."""
    defaults = all(
        now.templates[each.template].default == each.made
        for each in fix.steps
        if each.moves_default and each.template in now.templates
    )
    return defaults and (not fix.points or names_of(now.pointers) == names_of(fix.after()))
