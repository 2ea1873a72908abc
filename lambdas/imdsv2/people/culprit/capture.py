"""Has instances watched for the processes that call IMDSv1, on a person's request: AWS's IMDS Packet Analyzer, by Systems Manager.

Order: what stands in the way -> ledger (`capture_begun`) -> Run Command -> ledger (`capture_sent`, with the command) -> ledger
(`captured`, with the processes). A command that takes longer than this invocation is collected by another question; while it runs, no
second one is sent.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code, may_have_been_done, may_pass
from imdsv2.aws.run_command import OUTPUT_SHOWN, ask, start
from imdsv2.culprit.plain import plain
from imdsv2.culprit.trace_log import Trace, read_trace
from imdsv2.domain.instance import Instance
from imdsv2.ledger.trail import Kind
from imdsv2.people.culprit.capture_answer import (
    NEEDS_LINUX,
    begins_already,
    busy,
    captured,
    failed,
    in_doubt,
    not_known,
    not_sent,
    not_written,
    processes,
    refused,
    runs_on,
    with_problem,
)
from imdsv2.people.culprit.request import FETCH, LONGEST_PRINTED, WATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.run_command import Ran
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.captures import Captures
    from imdsv2.people.culprit.answer import Seen
    from imdsv2.people.culprit.request import CulpritQuestion

_LOOK_EVERY = 5.0
"""Seconds between two questions whether a command is over."""
_LATEST = 120
"""Seconds that a command may take beyond its own: to reach the agent, to fetch the artefact, to read the log."""
_LAST_CHARACTER = 4
"""Bytes at most: where the output was cut, its last character may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capturing:
    """Carries it out. ``document``: the installation's document in every account and Region; None where it was not deployed."""

    clients: MemberClients
    captures: Captures
    document: str | None
    now: Callable[[], datetime]
    sleep: Callable[[float], None] = field(default=time.sleep)

    def carry_out(self, question: CulpritQuestion, several: Sequence[Seen]) -> dict[InstanceArn, dict[str, Any]]:
        """What became of the watch of each instance; what fails is told of the instance, and stops no other. Raises ClientError if the
        ledger cannot be read."""
        outcomes: dict[InstanceArn, dict[str, Any]] = {}
        running: dict[InstanceArn, str] = {}
        for seen in several:
            arn = seen.record.arn
            if (problem := self._hindered(seen, collects=question.collect is not None)) is not None:
                outcomes[arn] = refused(problem, question.seconds)
            elif question.collect is not None:
                running[arn] = question.collect
            elif question.dry_run:
                outcomes[arn] = {"state": "would_capture", "says": self._would(question), "by_hand": None}
            elif (going := self._in_flight(arn)) is not None:
                outcomes[arn] = going
            else:
                outcomes[arn], command_id = self._begin(arn, question)
                if command_id is not None:
                    running[arn] = command_id
        return outcomes | self._collected(running, question)

    def _hindered(self, seen: Seen, *, collects: bool) -> str | None:
        """Why it cannot be watched; what was found may be collected after it has stopped."""
        if self.document is None:
            return "The setting `capture` of the stack is not set (docs/culprit.md). Watch the instance by hand:"
        if collects:
            return None
        target = seen.target
        if not isinstance(target, Instance) or target.state != "running":
            return "The instance does not run, so nothing on it can be watched. Start it, or watch another one of its cohort:"
        inventory = seen.inventory
        if inventory is not None and inventory.read and not inventory.managed:
            return "Systems Manager does not know the instance: it has no agent, no role for it, or no way to it. Watch it by hand:"
        if inventory is not None and inventory.managed and not inventory.linux:
            return NEEDS_LINUX
        return None

    def _would(self, question: CulpritQuestion) -> str:
        return (
            f"Document {self.document} would run AWS's IMDS Packet Analyzer as root for {question.seconds} seconds. It loads a probe into the "
            "kernel and installs nothing. Nothing is done by a dry run: ask for the same without it, and with your name."
        )

    def _in_flight(self, arn: InstanceArn) -> dict[str, Any] | None:
        """The answer where it is being watched already; where that cannot be told, it is taken to be, until its time is over."""
        sent = self.captures.sent(arn)
        if sent is None or self.now() > sent.at + timedelta(seconds=sent.seconds + _LATEST):
            return None
        try:
            ran = ask(self.clients.ssm(arn, "capture"), sent.command_id, arn.instance_id, WATCH)
        except CALL_FAILURES:
            ran = None
        if ran is not None and not ran.runs:
            return None
        since = f"{sent.caller or 'Somebody'} has it watched since {sent.at:%Y-%m-%dT%H:%M:%SZ}, and a second watch is not begun."
        return runs_on(arn, sent.command_id, since)

    def _begin(self, arn: InstanceArn, question: CulpritQuestion) -> tuple[dict[str, Any], str | None]:
        """The ledger has it before Systems Manager is asked, and the command's id as soon as there is one."""
        said = {"caller": question.caller, "because": question.reason, "seconds": question.seconds}
        now = self.now()
        # It ends by then, whatever becomes of this function.
        until = now + timedelta(seconds=question.seconds + _LATEST)
        try:
            if not self.captures.begin(arn, now, until, **said):
                return begins_already(), None
        except CALL_FAILURES as error:
            return not_written(describe_error(error)), None
        # Whoever was faster may have sent a command between the look before and this claim.
        if (going := self._in_flight(arn)) is not None:
            outcome, command_id, is_known = going, None, True
        else:
            outcome, command_id, is_known = self._sent(arn, question, said)
        if is_known:
            with suppress(*CALL_FAILURES):
                self.captures.begun(arn)
        return outcome, command_id

    def _sent(
        self, arn: InstanceArn, question: CulpritQuestion, said: Mapping[str, Any]
    ) -> tuple[dict[str, Any], str | None, bool]:
        """Ask Systems Manager. Besides, whether others can know by now if a watch runs."""
        try:
            ssm = self.clients.ssm(arn, "capture")
            command_id = start(
                ssm,
                str(self.document),
                arn.instance_id,
                {"Seconds": str(question.seconds)},
                f"imdsv2-remediation for {question.caller}",
            )
        except CALL_FAILURES as error:
            return _not_begun(error, question.seconds), None, not _is_doubtful(error)
        is_known = True
        try:
            self.captures.add(arn, Kind.CAPTURE_SENT, self.now(), **said, command_id=command_id)
        except CALL_FAILURES:  # What this one finds is collected all the same.
            is_known = False
        return {"state": "running", "command_id": command_id}, command_id, is_known

    def _collected(
        self, running: dict[InstanceArn, str], question: CulpritQuestion
    ) -> dict[InstanceArn, dict[str, Any]]:
        """What the commands found, as long as this invocation has time; those that run on are told with how to collect them."""
        outcomes: dict[InstanceArn, dict[str, Any]] = {}
        waiting = dict(running)
        looks = 1 if question.collect is not None else int((question.seconds + _LATEST) / _LOOK_EVERY)
        for look in range(looks):
            if look:
                self.sleep(_LOOK_EVERY)
            for arn, command_id in list(waiting.items()):
                outcome = self._look(arn, command_id, question)
                if outcome is not None:
                    outcomes[arn] = outcome
                    del waiting[arn]
            if not waiting or not self.clients.has_time():
                break
        return outcomes | {arn: runs_on(arn, command_id) for arn, command_id in waiting.items()}

    def _look(self, arn: InstanceArn, command_id: str, question: CulpritQuestion) -> dict[str, Any] | None:
        try:
            ran = ask(self.clients.ssm(arn, "capture"), command_id, arn.instance_id, WATCH)
        except CALL_FAILURES as error:
            if may_pass(error) and question.collect is None:
                return None  # The next look asks again.
            problem = f"What it found cannot be read ({describe_error(error)}). Ask for it again."
            return {**runs_on(arn, command_id), "state": "unread", "says": problem}
        if not ran.known and question.collect is not None:
            return not_known(command_id)
        if ran.runs:
            return None
        if ran.document != self.document:
            return {
                "state": "refused",
                "says": f"Command {plain(command_id, 64)} is none of document {self.document}.",
                "by_hand": None,
            }
        if not ran.done:
            return failed(ran, command_id, question.seconds, self._fetched(arn, command_id))
        trace = _trace_of(ran)
        unkept = None if question.dry_run else self._unkept(arn, command_id, question, trace)
        found = captured(trace, command_id)
        return found if unkept is None else with_problem(found, arn, unkept)

    def _unkept(self, arn: InstanceArn, command_id: str, question: CulpritQuestion, trace: Trace) -> str | None:
        """Write what was found. If the ledger fails, why: it is answered all the same."""
        said = {"caller": question.caller, "because": question.reason, "command_id": command_id}
        try:
            self.captures.add(arn, Kind.CAPTURED, self.now(), **said, processes=processes(trace))
        except CALL_FAILURES as error:
            return describe_error(error)
        return None

    def _fetched(self, arn: InstanceArn, command_id: str) -> Ran | None:
        """What came of the step before: without the artefact, the step that watches can only say that there is none."""
        try:
            return ask(self.clients.ssm(arn, "capture"), command_id, arn.instance_id, FETCH)
        except CALL_FAILURES:
            return None


def _not_begun(error: Exception, seconds: int) -> dict[str, Any]:
    """What is said where Systems Manager did not take the command; without an answer it may have taken it."""
    if _is_doubtful(error):
        return in_doubt(describe_error(error), seconds)
    if may_pass(error):
        return busy(describe_error(error))
    return not_sent(error_code(error), describe_error(error), seconds)


def _is_doubtful(error: Exception) -> bool:
    return not isinstance(error, ClientError) or may_have_been_done(error)


def _trace_of(ran: Ran) -> Trace:
    """What was printed. Where more was to be printed than may be, the last line is half a line, which would name half a process."""
    size = len(ran.output.encode(errors="replace"))
    if size < LONGEST_PRINTED - _LAST_CHARACTER and len(ran.output) < OUTPUT_SHOWN:
        return read_trace(ran.output)
    whole_lines = ran.output.rpartition("\n")[0]
    return replace(read_trace(whole_lines), cut=True)
