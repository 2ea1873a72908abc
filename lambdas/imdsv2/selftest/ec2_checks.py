"""Checks of what EC2 does and answers: pure functions from observations to a result."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.selftest.agenda import CALLER, CLOSED, HOP_LIMIT, HOP_LIMIT_WHILE_STOPPED, QUIET
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import OK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Answer, Seen, Sight

SHOWN_WITHIN = timedelta(minutes=10)
"""An old state that is shown for longer would be taken for a person's change."""
_STEP_NOT_DONE = "The step was not carried out: {why}"
_NOT_CLOSED = "The instance was not seen with its endpoint disabled and tokens optional before, and again after that."
_NOT_OPEN = (
    "The instance was not seen with tokens optional before: something else in the account may have required them."
)


def dry_run_code(seen: Seen) -> Result:
    """A permitted dry run is answered with DryRunOperation."""
    return _code(seen, "dry run", ("DryRunOperation",))


def unknown_id_code(seen: Seen) -> Result:
    """An id that never existed is answered with InvalidInstanceID.NotFound."""
    return _code(seen, "unknown id", ("InvalidInstanceID.NotFound",))


def malformed_id_code(seen: Seen) -> Result:
    """Something that is no id is answered with InvalidInstanceID.Malformed."""
    return _code(seen, "malformed id", ("InvalidInstanceID.Malformed",))


def terminated_id_code(seen: Seen) -> Result:
    """A change of a terminated instance is refused with a code that says so."""
    expect = Expectation("The answer is IncorrectInstanceState or InvalidInstanceID.NotFound.")
    if not seen.is_done("terminate"):
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(seen.answer("terminate"))))
    before = _before(seen, "change terminated", CLOSED)
    if before and before[-1].state != "terminated":
        return expect.not_tried(f"The instance was {before[-1].state} at that time.")
    return _code(seen, "change terminated", ("IncorrectInstanceState", "InvalidInstanceID.NotFound"))


def managed_resources_accepted(seen: Seen) -> Result:
    """DescribeInstances takes IncludeManagedResources."""
    return _code(seen, "managed resources", (OK,))


def _code(seen: Seen, name: str, codes: Sequence[str]) -> Result:
    expect = Expectation(f"The answer is {' or '.join(codes)}.")
    answer = seen.answer(name)
    if answer is None or not answer.conclusive:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(answer)))
    return expect.judged(answer.code in codes, _said(answer), **answer.raw)


def tokens_alone_accepted(seen: Seen) -> Result:
    """HttpTokens=required alone is accepted on a running instance, without HttpEndpoint beside it."""
    expect = Expectation("ModifyInstanceMetadataOptions with HttpTokens=required alone is carried out.")
    answer = seen.answer(f"require {CALLER}")
    if answer is None or not answer.conclusive:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(answer)))
    if not _was_open(seen):
        return expect.not_tried(_NOT_OPEN)
    return expect.judged(answer.code == OK, _said(answer), **answer.raw)


def other_options_stay(seen: Seen) -> Result:
    """What is not sent keeps its value: the hop limit and the endpoint of an instance after HttpTokens was changed."""
    expect = Expectation(f"Hop limit {HOP_LIMIT} and endpoint `enabled`, as at launch.")
    after = [sight for sight in _since(seen, f"require {CALLER}", CALLER) if sight.tokens == "required"]
    if not after:
        return expect.not_tried("The instance was not seen with tokens required.")
    if not _was_open(seen):
        return expect.not_tried(_NOT_OPEN)
    changed = [sight for sight in after if (sight.hop_limit, sight.endpoint) != (HOP_LIMIT, "enabled")]
    said = f"Hop limit {after[-1].hop_limit}, endpoint {after[-1].endpoint}."
    return expect.judged(not changed, said, before=_options(seen.sights_of(CALLER)[0]), after=_options(after[-1]))


def change_is_shown(seen: Seen) -> Result:
    """DescribeInstances shows a change within ten minutes, and the old state never after that: looks may take turns until then."""
    expect = Expectation("The new value is shown within ten minutes; the old one never after that.")
    answer = seen.answer(f"require {CALLER}")
    if answer is None or answer.code != OK:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(answer)))
    if not _was_open(seen):
        return expect.not_tried(_NOT_OPEN)
    after = _since(seen, f"require {CALLER}", CALLER)
    old = [sight for sight in after if sight.tokens != "required"]
    new = [sight for sight in after if sight.tokens == "required"]
    late = [sight for sight in old if sight.at - answer.at > seen.agenda_time(SHOWN_WITHIN)]
    if not new and not late:
        return expect.not_tried("The instance was not looked at again for long enough.", looks=len(after))
    back = [sight for sight in old if new and sight.at > new[0].at]
    took = f"Shown after {(new[0].at - answer.at).total_seconds():.1f} s" if new else "The new value was never shown"
    said = f"{took}; the old value came back {len(back)} times, and was shown {len(late)} times after ten minutes."
    return expect.judged(not late, said, old_shown=[sight.at.isoformat() for sight in old])


def closed_endpoint_stays_closed(seen: Seen) -> Result:
    """HttpTokens sent alone never opens an endpoint that is disabled."""
    expect = Expectation("The endpoint is `disabled` after the call, whether or not EC2 carried it out.")
    answer, after = seen.answer("require closed"), _since(seen, "require closed", CLOSED)
    if answer is None or not answer.conclusive:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(answer)))
    if not _was_closed(seen) or not after:
        return expect.not_tried(_NOT_CLOSED)
    opened = [sight for sight in after if sight.endpoint != "disabled"]
    return expect.judged(not opened, f"{_said(answer)} Then: {after[-1].endpoint}.")


def closed_endpoint_code(seen: Seen) -> Result:
    """HttpTokens sent alone to an instance with a disabled endpoint: EC2 refuses it, with words about HttpEndpoint, or takes it."""
    expect = Expectation("InvalidParameterValue with HttpEndpoint in its message, or carried out.")
    answer = seen.answer("require closed")
    if answer is None or not answer.conclusive:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(answer)))
    if not _was_closed(seen):
        return expect.not_tried(_NOT_CLOSED)
    refused = answer.code == "InvalidParameterValue" and "httpendpoint" in answer.message.lower()
    return expect.judged(refused or answer.code == OK, _said(answer), **answer.raw)


def _was_closed(seen: Seen) -> bool:
    """Whether the endpoint was seen disabled, with tokens optional, before these were required on that instance."""
    before = _before(seen, "require closed", CLOSED)
    return bool(before) and (before[-1].endpoint, before[-1].tokens) == ("disabled", "optional")


def _was_open(seen: Seen) -> bool:
    """Whether tokens were seen optional before the self-test required them: else the call changed nothing."""
    before = _before(seen, f"require {CALLER}", CALLER)
    return bool(before) and before[-1].tokens == "optional"


def reboot_keeps_launch_time(seen: Seen) -> Result:
    """A reboot does not move LaunchTime."""
    expect = Expectation("LaunchTime is the same before and after the reboot.")
    if not seen.is_done("reboot"):
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(seen.answer("reboot"))))
    ends = [answer.at for answer in (seen.answer("stop"), seen.answer("start")) if answer is not None]
    after = [sight for sight in _since(seen, "reboot", QUIET) if all(sight.at < end for end in ends)]
    before = _before(seen, "reboot", QUIET)
    if not after or not before:
        return expect.not_tried("The instance was not seen both before and after its reboot.")
    same = {sight.launched_at for sight in (*before, *after)} == {before[0].launched_at}
    times = {"before": before[-1].launched_at.isoformat(), "after": after[-1].launched_at.isoformat()}
    return expect.judged(same, f"{times['before']}, then {times['after']}.", **times)


def start_moves_launch_time(seen: Seen) -> Result:
    """A stop and a start move LaunchTime to the time of the start."""
    expect = Expectation("LaunchTime is later after the start.")
    pair = _around_restart(seen)
    if pair is None:
        return expect.not_tried(_not_restarted(seen))
    before, after = pair
    times = {"before": before.launched_at.isoformat(), "after": after.launched_at.isoformat()}
    return expect.judged(after.launched_at > before.launched_at, f"{times['before']}, then {times['after']}.", **times)


def attach_time_stays(seen: Seen) -> Result:
    """The primary network interface was attached at the first launch, and a stop and a start do not change that time."""
    expect = Expectation(
        "The attach time lies within five minutes of the first LaunchTime, and is the same after the start."
    )
    pair = _around_restart(seen)
    if pair is None:
        return expect.not_tried(_not_restarted(seen))
    before, after = pair
    raw = {"launched": before.launched_at, "before": before.attached_at, "after": after.attached_at}
    holds = (
        before.attached_at is not None
        and before.attached_at == after.attached_at
        and abs(before.attached_at - before.launched_at) <= timedelta(minutes=5)
    )
    return expect.judged(
        holds, f"{before.attached_at}, then {after.attached_at}; launched {before.launched_at}.", **raw
    )


def stop_time_is_readable(seen: Seen) -> Result:
    """The time of a stop can be read from StateTransitionReason."""
    expect = Expectation("StateTransitionReason holds a time, e.g. `User initiated (2026-01-31 07:00:00 GMT)`.")
    stopped = [sight for sight in seen.sights_of(QUIET) if sight.state == "stopped"]
    if not stopped:
        return expect.not_tried("The instance was not seen stopped.")
    return expect.judged(stopped[-1].stopped_at is not None, f"It is read as {stopped[-1].stopped_at}.")


def stopped_takes_changes(seen: Seen) -> Result:
    """A change of a stopped instance is carried out, and in force after the start."""
    expect = Expectation(f"The call is carried out, and the hop limit is {HOP_LIMIT_WHILE_STOPPED} after the start.")
    answer = seen.answer("change stopped")
    pair = _around_restart(seen)
    if answer is None or not answer.conclusive:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(answer)))
    if pair is None:
        return expect.not_tried(_not_restarted(seen))
    if (state := _before(seen, "change stopped", QUIET)[-1].state) != "stopped":
        return expect.not_tried(f"The instance was {state} at that time.")
    after = pair[1]
    lasts = after.hop_limit == HOP_LIMIT_WHILE_STOPPED
    return expect.judged(
        answer.code == OK and lasts, f"{_said(answer)} Then: hop limit {after.hop_limit}.", **answer.raw
    )


def required_outlasts_restarts(seen: Seen) -> Result:
    """Tokens stay required through a reboot, and through a stop and a start."""
    expect = Expectation("HttpTokens is `required` in every look after the change, through reboot, stop and start.")
    required = seen.answer(f"require {QUIET}")
    if required is None or required.code != OK:
        return expect.not_tried(_STEP_NOT_DONE.format(why=_said(required)))
    if _around_restart(seen) is None or not seen.is_done("reboot"):
        return expect.not_tried(_not_restarted(seen))
    # Until then EC2 may show the state before.
    settled_at = required.at + seen.agenda_time(SHOWN_WITHIN)
    after = [sight for sight in _since(seen, "reboot", QUIET) if sight.at > settled_at]
    if not after or after[-1].state != "running":
        return expect.not_tried("The instance was not seen running after its start.")
    lost = [sight for sight in after if sight.tokens != "required"]
    return expect.judged(not lost, f"{len(lost)} of {len(after)} looks show another value.")


def _around_restart(seen: Seen) -> tuple[Sight, Sight] | None:
    """The quiet instance before its stop, and running after its start; None if it was not seen stopped: EC2 starts a running one too."""
    stopped = [each for each in _since(seen, "stop", QUIET) if each.state == "stopped"]
    if not (seen.is_done("stop") and seen.is_done("start") and stopped):
        return None
    before = _before(seen, "stop", QUIET)
    after = [sight for sight in _since(seen, "start", QUIET) if sight.state == "running"]
    return (before[0], after[-1]) if before and after else None


def _since(seen: Seen, name: str, role: str) -> list[Sight]:
    """The looks at an instance after the last answer with this name."""
    answer = seen.answer(name)
    return [] if answer is None else [sight for sight in seen.sights_of(role) if sight.at > answer.at]


def _before(seen: Seen, name: str, role: str) -> list[Sight]:
    answer = seen.answer(name)
    return [] if answer is None else [sight for sight in seen.sights_of(role) if sight.at < answer.at]


def _not_restarted(seen: Seen) -> str:
    """Why the restart tells nothing."""
    for name in ("reboot", "stop", "start"):
        if not seen.is_done(name):
            return f"{name.capitalize()}: {_said(seen.answer(name))}"
    return "The instance was not seen before its stop, stopped, and running after its start."


def _said(answer: Answer | None) -> str:
    if answer is None:
        return "the agenda did not reach it."
    message = f": {answer.message.rstrip('.')}" if answer.message else ""
    return f"EC2 answered {answer.code}{message}."


def _options(sight: Sight) -> Mapping[str, object]:
    return {"HttpTokens": sight.tokens, "HttpEndpoint": sight.endpoint, "HttpPutResponseHopLimit": sight.hop_limit}
