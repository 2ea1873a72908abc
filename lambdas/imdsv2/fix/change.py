"""The change of a source and its way back, under a lease in the ledger: look, act, look, write. Each part is done only if it is not done
yet, so that whoever comes after a crash or a lost answer goes on where it stopped. An attempt that ends before it is complete takes back
what it made: whoever launches from the latest version uses it already, and nobody would watch that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws import source_change as action
from imdsv2.aws.errors import (
    CALL_FAILURES,
    KEYS_REFUSED,
    describe_error,
    error_code,
    may_have_been_done,
    may_pass,
)
from imdsv2.aws.metadata_options import LOOKS_LAG
from imdsv2.aws.refusals import OF_ALL, cause_of, to_have_it_allowed
from imdsv2.domain.source_fix import FORBIDDEN_BY, TELL, FixStatus, description, names_of, token
from imdsv2.fix.returning import put_back
from imdsv2.fix.standing import between, expected, is_done, is_shown, ours
from imdsv2.source.fixing import differences, required

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aws_lambda_powertools import Logger
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.aws.source_change import Now
    from imdsv2.domain.source_fix import SourceFix, Step
    from imdsv2.ledger.sources import SourceFixes

    Shut = Callable[[], str | None]
    """Asks the gates again immediately before a change: why one is closed, None if all are open."""


_LONGEST = timedelta(hours=6)
"""What is not complete by then is taken back: a version that somebody deleted is never shown."""


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

    clients: MemberClients
    fixes: SourceFixes
    now: Callable[[], datetime]
    logger: Logger

    def forward(self, fix: SourceFix, shut: Shut, *, is_taken_over: bool = False) -> SourceFix:
        """Make the change. Returns the item as it is then; one that is still `fixing` is in doubt, and taken over later.
        ``is_taken_over``: an earlier invocation began, and may have made what is not on record."""
        try:
            return self._forward(self._hands(fix), fix, shut)
        except CALL_FAILURES as error:
            if not _is_refusal(error):
                return self._in_doubt(fix, error)
            refusal = error
        try:
            return self._refused(fix, refusal, is_taken_over=is_taken_over)
        except CALL_FAILURES as unknown:
            return self._in_doubt(fix, unknown)

    def back(self, fix: SourceFix) -> SourceFix:
        """Put back what is still as the service left it. One that is still `going_back` is tried again by the guard."""
        try:
            known = self._with_all_made(fix)
            if known is None:
                return fix
            fix = known
            lags = fix.fixed_at is not None and self.now() - fix.fixed_at < LOOKS_LAG
            done, left = put_back(self._hands(fix), fix, self._save_step, lags=lags)
        except CALL_FAILURES as error:
            return self._hindered(fix, error) if _is_refusal(error) else self._in_doubt(fix, error)
        why = fix.explanation
        if left:
            why = f"{why} Left alone, because somebody changed it since: {'; '.join(left)}."
        kept = ", ".join(f"{each.made} of {each.name}" for each in done.steps if each.made is not None)
        if kept:
            why = f"{why} Version {kept} stays, and may be deleted when nothing names it."
        return self._end(replace(done, owes=done.owes | {TELL}, hindered_by=""), FixStatus.GONE_BACK, why)

    def _hands(self, fix: SourceFix) -> Hands:
        place = fix.place
        return Hands(
            read=self.clients.ec2_of_sources(place, "read"),
            looking=self.clients.autoscaling(place, "read"),
            write=self.clients.ec2_of_sources(place, "source"),
            pointing=self.clients.autoscaling(place, "source"),
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
                return self._give_up(fix, FixStatus.LEFT, why)
            if not is_shown(now, fix):
                return self._unshown(fix)
            if not is_done(now, fix) and (why := shut()):
                return self._stopped(fix, why)
            move(hands, now, fix)
        now = hands.look(fix)
        if not is_done(now, fix):
            return self._unshown(fix)
        said = "; ".join(_told(each) for each in fix.steps)
        fixed = replace(fix, fixed_at=self.now(), notice_ends_at=None, owes=fix.owes | {TELL})
        return self._end(fixed, FixStatus.FIXED, f"Its next launches require tokens: {said}.")

    def _make(self, hands: Hands, fix: SourceFix, number: int, step: Step, shut: Shut) -> tuple[SourceFix, bool]:
        """Make one version, unless it is there. The item, and whether that is the end."""
        known = action.versions_from(hands.read, step)
        base = known.get(step.base)
        if base is None:
            return self._give_up(
                fix, FixStatus.LEFT, f"Version {step.base} of launch template {step.name} is gone."
            ), True
        made = step.made or ours(known, fix, step)
        if made is None:
            if (ended := self._before_making(hands, fix, shut)) is not None:
                return ended, True
            words = description(fix.attempt, step)
            made = action.make_version(hands.write, step, required(base.options), words, token(fix.attempt, step))
        if step.made is None:
            saved = self._save_step(fix, number, replace(step, made=made))
            if saved is None:
                return fix, True
            fix = saved
        shown = known.get(made) or action.versions_from(hands.read, step).get(made)
        if shown is None:
            return self._unshown(fix), True
        if made != expected(fix, step):
            why = f"Somebody made a version of launch template {step.name} at the same moment, and version {made} took its place as the latest."
            return self._give_up(
                fix, FixStatus.LEFT, f"{why} Make theirs again, and let the source be judged anew."
            ), True
        wrong = differences(base.data, shown.data)
        if wrong:
            why = f"Version {made} of launch template {step.name} differs from version {step.base} in {', '.join(wrong)} too."
            why = f"{why} Nothing was pointed to it; look who changes new versions there."
            return self._give_up(fix, FixStatus.FAILED, why), True
        return fix, False

    def _before_making(self, hands: Hands, fix: SourceFix, shut: Shut) -> SourceFix | None:
        """The item as it is then, if something has come between; None if a version may be made."""
        now = hands.look(fix)
        if why := between(now, fix):
            return self._give_up(fix, FixStatus.LEFT, why)
        if not is_shown(now, fix):
            return self._unshown(fix)
        why = shut()
        return self._stopped(fix, why) if why else None

    def _save_step(self, fix: SourceFix, number: int, step: Step) -> SourceFix | None:
        return self.fixes.save(fix.with_step(number, step))

    def _end(self, fix: SourceFix, status: FixStatus, explanation: str) -> SourceFix:
        """Write the end. What another has written meanwhile stays."""
        owes = fix.owes | {TELL} if status in {FixStatus.LEFT, FixStatus.FAILED} else fix.owes
        ended = replace(fix, owes=owes).moved(status, self.now(), explanation)
        return self.fixes.save(ended) or fix

    def _stopped(self, fix: SourceFix, why: str) -> SourceFix:
        """A gate has closed on the way: what is in force goes back."""
        known = self._with_all_made(fix)
        if known is None:
            return fix
        if known.made:
            return self._end(known, FixStatus.GOING_BACK, f"A gate closed before the change was complete. {why}")
        return self._end(known, FixStatus.FAILED, f"A gate closed before anything was changed. {why}")

    def _unshown(self, fix: SourceFix) -> SourceFix:
        """EC2 may show what was for some seconds: whoever comes next looks again, but not for ever."""
        if fix.at is None or self.now() - fix.at < _LONGEST:
            return fix
        why = "EC2 never showed what the service had made: somebody may have deleted or changed it meanwhile."
        return self._give_up(
            fix, FixStatus.LEFT, f"{why} Look at its launch templates, and let the source be judged anew."
        )

    def _give_up(self, fix: SourceFix, status: FixStatus, why: str) -> SourceFix:
        """End an attempt that is not complete. Raises what calls raise."""
        known = self._with_all_made(fix)
        if known is None:
            return fix
        return self._end(known, FixStatus.GOING_BACK if known.made else status, why)

    def _with_all_made(self, fix: SourceFix) -> SourceFix | None:
        """The item with every version that this attempt made, those included whose answers were lost. None if somebody else has
        written it meanwhile. Raises what calls raise."""
        for number, step in enumerate(fix.steps):
            if step.made is not None:
                continue
            known = action.versions_from(self.clients.ec2_of_sources(fix.place, "read"), step)
            made = ours(known, fix, step)
            if made is None:
                continue
            saved = self._save_step(fix, number, replace(step, made=made))
            if saved is None:
                return None
            fix = saved
        return fix

    def _refused(self, fix: SourceFix, error: Exception, *, is_taken_over: bool) -> SourceFix:
        is_denied = error_code(error) in KEYS_REFUSED
        to_do = to_have_it_allowed(error) if is_denied else "see to what it says"
        why = f"AWS refused the change ({describe_error(error)}): {to_do}, or apply a remedy."
        known = self.fixes.read(fix.key)
        if known.status is not FixStatus.FIXING or known.attempt != fix.attempt:
            return known
        if is_taken_over:
            return self._give_up(known, FixStatus.FAILED, why)
        # Every version that this invocation made is on record, or its answer would have left it in doubt.
        return self._end(known, FixStatus.GOING_BACK if known.made else FixStatus.FAILED, why)

    def _hindered(self, fix: SourceFix, error: Exception) -> SourceFix:
        """AWS refuses the way back, which is tried again at every pass: people are told once of each kind of refusal."""
        self.logger.warning("source not put back", extra={"source": fix.key, "problem": describe_error(error)})
        kind = f"{error_code(error)} to {error.operation_name}" if isinstance(error, ClientError) else error_code(error)
        if (cause := cause_of(error)) in OF_ALL:
            kind += f"{FORBIDDEN_BY}{cause}"
        try:
            known = self.fixes.read(fix.key)
            is_same = known.status is FixStatus.GOING_BACK and known.attempt == fix.attempt
            if not is_same:
                return known
            owes = known.owes if known.hindered_by == kind else known.owes | {TELL}
            return self.fixes.save(replace(known, hindered_by=kind, owes=owes, lease_until=None)) or known
        except CALL_FAILURES as unwritten:
            return self._in_doubt(fix, unwritten)

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


def _point(hands: Hands, now: Now, fix: SourceFix) -> None:
    if fix.points and now.group is not None and names_of(now.pointers) == names_of(fix.pointers):
        action.point(hands.pointing, now.group, fix.after())


def _move_defaults(hands: Hands, now: Now, fix: SourceFix) -> None:
    for step in fix.steps:
        if step.moves_default and step.made is not None and now.templates[step.template].default == step.default:
            action.set_default(hands.write, step.template, step.made)


def _told(step: Step) -> str:
    default = ", and is its default" if step.moves_default else ""
    return (
        f"version {step.made} of launch template {step.name} is version {step.base} with HttpTokens=required{default}"
    )
