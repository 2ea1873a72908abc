"""The change of a source and its way back, under a lease in the ledger: look, act, look, write. Each part is done only if it is not done
yet, so that whoever comes after a crash or a lost answer goes on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws import source_change as action
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_have_been_done, may_pass
from imdsv2.domain.source_fix import TELL, FixStatus, description, is_ours, names_of, token
from imdsv2.fix.returning import put_back
from imdsv2.source.fixing import differences, required

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import Members
    from imdsv2.aws.source_change import Now, Version
    from imdsv2.domain.source_fix import SourceFix, Step
    from imdsv2.ledger.sources import SourceFixes

    Shut = Callable[[], str | None]
    """Asks the gates again immediately before a change: why one is closed, None if all are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Clients for one account and Region. ``read`` and ``looking``: EC2 and Auto Scaling by the read role; ``write`` and
    ``pointing``: by the source role."""

    read: EC2Client
    looking: Any
    write: EC2Client
    pointing: Any

    def look(self, fix: SourceFix) -> Now:
        """What is there now."""
        return action.look(self.read, self.looking, fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """Carries out what the ledger says is under way, `fixing` or `going_back`. ``now``: the clock."""

    members: Members
    fixes: SourceFixes
    now: Callable[[], datetime]
    logger: Logger

    def forward(self, fix: SourceFix, shut: Shut) -> SourceFix:
        """Make the change. Returns the item as it is then; one that is still `fixing` is in doubt, and taken over later."""
        try:
            return self._forward(self._hands(fix), fix, shut)
        except CALL_FAILURES as error:
            if _is_refusal(error):
                return self._refused(fix, error)
            return self._in_doubt(fix, error)

    def back(self, fix: SourceFix) -> SourceFix:
        """Put back what is still as the service left it. One that is still `going_back` is tried again by the guard."""
        try:
            done, left = put_back(self._hands(fix), fix, self._save_step)
        except CALL_FAILURES as error:
            return self._in_doubt(fix, error)
        why = fix.explanation
        if left:
            why = f"{why} Left alone, because somebody changed it since: {'; '.join(left)}."
        kept = ", ".join(f"{each.made} of {each.name}" for each in done.steps if each.made is not None)
        if kept:
            why = f"{why} Version {kept} stays, and may be deleted when nothing names it."
        return self._end(replace(done, owes=done.owes | {TELL}), FixStatus.GONE_BACK, why)

    def _hands(self, fix: SourceFix) -> Hands:
        place = fix.place
        return Hands(
            read=self.members.ec2_of_sources(place, "read"),
            looking=self.members.autoscaling(place, "read"),
            write=self.members.ec2_of_sources(place, "source"),
            pointing=self.members.autoscaling(place, "source"),
        )

    def _forward(self, hands: Hands, fix: SourceFix, shut: Shut) -> SourceFix:
        if any(each.made is None for each in fix.steps):
            if why := shut():
                return self._stopped(fix, why)
            action.tag(hands.write, [each.template for each in fix.steps], self.now())
        for number, step in enumerate(fix.steps):
            fix, ended = self._make(hands, fix, number, step, shut)
            if ended:
                return fix
        for move in (_point, _move_defaults):
            now = hands.look(fix)
            if why := between(now, fix):
                return self._end(fix, FixStatus.LEFT, why)
            if not _is_done(now, fix) and (why := shut()):
                return self._stopped(fix, why)
            move(hands, now, fix)
        now = hands.look(fix)
        if not _is_done(now, fix):
            # EC2 may show what was for some seconds: whoever comes next looks again.
            return fix
        said = "; ".join(_told(each) for each in fix.steps)
        fixed = replace(fix, fixed_at=self.now(), owes=fix.owes | {TELL})
        return self._end(fixed, FixStatus.FIXED, f"Its next launches require tokens: {said}.")

    def _make(self, hands: Hands, fix: SourceFix, number: int, step: Step, shut: Shut) -> tuple[SourceFix, bool]:
        """Make one version, unless it is there. The item, and whether that is the end."""
        known = action.versions_from(hands.read, step)
        base = known.get(step.base)
        if base is None:
            return self._end(fix, FixStatus.LEFT, f"Version {step.base} of launch template {step.name} is gone."), True
        made = step.made or _ours(known, fix, step)
        if made is None:
            if why := between(hands.look(fix), fix):
                return self._end(fix, FixStatus.LEFT, why), True
            if why := shut():
                return self._stopped(fix, why), True
            words = description(fix.attempt, step)
            made = action.make_version(hands.write, step, required(base.options), words, token(fix.attempt, step))
        if step.made is None:
            saved = self._save_step(fix, number, replace(step, made=made))
            if saved is None:
                return fix, True
            fix = saved
        shown = known.get(made) or action.versions_from(hands.read, step).get(made)
        if shown is None:
            return fix, True
        if made != _expected(fix, step):
            why = f"Somebody made a version of launch template {step.name} at the same moment, and version {made} took its place as the latest."
            return self._end(fix, FixStatus.LEFT, f"{why} Make theirs again, and let the source be judged anew."), True
        wrong = differences(base.data, shown.data)
        if wrong:
            why = f"Version {made} of launch template {step.name} differs from version {step.base} in {', '.join(wrong)} too."
            return self._end(
                fix, FixStatus.FAILED, f"{why} Nothing was pointed to it; look who changes new versions there."
            ), True
        return fix, False

    def _save_step(self, fix: SourceFix, number: int, step: Step) -> SourceFix | None:
        return self.fixes.save(fix.with_step(number, step))

    def _end(self, fix: SourceFix, status: FixStatus, explanation: str) -> SourceFix:
        """Write the end. What another has written meanwhile stays."""
        owes = fix.owes | {TELL} if status in {FixStatus.LEFT, FixStatus.FAILED} else fix.owes
        ended = replace(fix, owes=owes).moved(status, self.now(), explanation)
        return self.fixes.save(ended) or fix

    def _stopped(self, fix: SourceFix, why: str) -> SourceFix:
        """A gate has closed on the way: what was made takes no harm, what is in force goes back."""
        if fix.made:
            return self._end(fix, FixStatus.GOING_BACK, f"A gate closed before the change was complete. {why}")
        return self._end(fix, FixStatus.FAILED, f"A gate closed before anything was changed. {why}")

    def _refused(self, fix: SourceFix, error: Exception) -> SourceFix:
        why = f"AWS refused the change ({describe_error(error)}): deploy the member roles of this version there, or apply a remedy."
        known = self.fixes.read(fix.key)
        if known.status is not FixStatus.FIXING or known.attempt != fix.attempt:
            return known
        return self._end(known, FixStatus.GOING_BACK if known.made else FixStatus.FAILED, why)

    def _in_doubt(self, fix: SourceFix, error: Exception) -> SourceFix:
        self.logger.warning("source left in doubt", extra={"source": fix.key, "problem": describe_error(error)})
        return fix


_CHANGES = frozenset(
    {"AssumeRole", "CreateLaunchTemplateVersion", "CreateTags", "ModifyLaunchTemplate", "UpdateAutoScalingGroup"}
)


def _is_refusal(error: Exception) -> bool:
    """Whether AWS has said that it will not make the change. What the ledger or a look answers says nothing of it."""
    is_of_change = isinstance(error, ClientError) and error.operation_name in _CHANGES
    return is_of_change and not may_pass(error) and not may_have_been_done(error)


def between(now: Now, fix: SourceFix) -> str | None:
    """What somebody has changed since the source was judged; None if nothing is in the way."""
    for step in fix.steps:
        template = now.templates.get(step.template)
        if template is None:
            return f"Launch template {step.name} is gone."
        ours = [each.made for each in fix.steps if each.template == step.template and each.made is not None]
        latest = max([step.latest, *ours])
        if template.latest != latest:
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


def _ours(known: dict[int, Version], fix: SourceFix, step: Step) -> int | None:
    return next((number for number, each in known.items() if is_ours(each.description, fix.attempt, step)), None)


def _expected(fix: SourceFix, step: Step) -> int:
    """The number that a version has if nobody else makes one."""
    of_template = [each.base for each in fix.steps if each.template == step.template]
    return step.latest + 1 + of_template.index(step.base)


def _point(hands: Hands, now: Now, fix: SourceFix) -> None:
    if fix.points and now.group is not None and names_of(now.pointers) == names_of(fix.pointers):
        action.point(hands.pointing, now.group, fix.after())


def _move_defaults(hands: Hands, now: Now, fix: SourceFix) -> None:
    for step in fix.steps:
        if step.moves_default and step.made is not None and now.templates[step.template].default == step.default:
            action.set_default(hands.write, step.template, step.made)


def _is_done(now: Now, fix: SourceFix) -> bool:
    """Whether everything points to what was made."""
    defaults = all(
        now.templates[each.template].default == each.made
        for each in fix.steps
        if each.moves_default and each.template in now.templates
    )
    return defaults and (not fix.points or names_of(now.pointers) == names_of(fix.after()))


def _told(step: Step) -> str:
    default = ", and is its default" if step.moves_default else ""
    return (
        f"version {step.made} of launch template {step.name} is version {step.base} with HttpTokens=required{default}"
    )
