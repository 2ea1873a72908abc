"""Has instances watched for the processes that call IMDSv1, on a person's request: AWS's IMDS Packet Analyzer, by Systems Manager.

Order: what stands in the way -> ledger (`capture_begun`) -> Run Command -> ledger (`captured`, with the processes). A command that takes
longer than this invocation is collected by another question.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_have_been_done, may_pass
from imdsv2.aws.run_command import OUTPUT_SHOWN, ask, start
from imdsv2.culprit.plain import plain
from imdsv2.culprit.trace_log import Trace, read_trace
from imdsv2.domain.commands import CALLER
from imdsv2.domain.instance import Instance
from imdsv2.ledger.trail import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from imdsv2.aws.run_command import Ran
    from imdsv2.aws.sessions import Members
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.captures import Captures
    from imdsv2.people.culprit_answer import Seen
    from imdsv2.people.culprit_request import CulpritQuestion

_LOOK_EVERY = 5.0
"""Seconds between two questions whether a command is over."""
_LATEST = 120
"""Seconds that a command may take beyond its own: to reach the agent, to fetch the artefact, to read the log."""
_ERRORS_SHOWN = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Capturing:
    """Carries it out. ``document``: the installation's document in every account and Region; None where it was not deployed."""

    members: Members
    captures: Captures
    document: str | None
    now: Callable[[], datetime]
    sleep: Callable[[float], None] = field(default=time.sleep)

    def carry_out(self, question: CulpritQuestion, several: Sequence[Seen]) -> dict[InstanceArn, dict[str, Any]]:
        """What became of the watch of each instance. What fails is told with it, and costs no other instance its own."""
        outcomes: dict[InstanceArn, dict[str, Any]] = {}
        running: dict[InstanceArn, str] = {}
        for seen in several:
            arn = seen.record.arn
            if (problem := self._hindered(seen, collects=question.collect is not None)) is not None:
                outcomes[arn] = {"state": "refused", "says": problem, "by_hand": by_hand(question.seconds)}
            elif question.collect is not None:
                running[arn] = question.collect
            elif question.dry_run:
                outcomes[arn] = {"state": "would_capture", "says": self._would(question), "by_hand": None}
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
            return (
                "The analyzer needs Linux. On Windows, Resource Monitor shows which process talks to 169.254.169.254."
            )
        return None

    def _would(self, question: CulpritQuestion) -> str:
        return (
            f"Document {self.document} would run AWS's IMDS Packet Analyzer as root for {question.seconds} seconds. It loads a probe into the "
            "kernel and installs nothing. Nothing is done by a dry run; send the same with dry_run: false and caller."
        )

    def _begin(self, arn: InstanceArn, question: CulpritQuestion) -> tuple[dict[str, Any], str | None]:
        """The ledger has it before Systems Manager is asked."""
        said = {"caller": question.caller, "because": question.reason, "seconds": question.seconds}
        try:
            self.captures.add(arn, Kind.CAPTURE_BEGUN, self.now(), **said)
        except CALL_FAILURES as error:
            problem = f"The ledger cannot be written ({describe_error(error)}): nothing was run. Ask again."
            return {"state": "failed", "says": problem, "by_hand": None}, None
        try:
            ssm = self.members.ssm(arn, "capture")
            command_id = start(
                ssm,
                str(self.document),
                arn.instance_id,
                {"Seconds": str(question.seconds)},
                f"imdsv2-remediation for {question.caller}",
            )
        except CALL_FAILURES as error:
            return _not_begun(error, question.seconds), None
        return {"state": "running", "command_id": command_id}, command_id

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
            if not waiting or not self.members.has_time():
                break
        return outcomes | {arn: _runs_on(arn, command_id) for arn, command_id in waiting.items()}

    def _look(self, arn: InstanceArn, command_id: str, question: CulpritQuestion) -> dict[str, Any] | None:
        try:
            ran = ask(self.members.ssm(arn, "capture"), command_id, arn.instance_id)
        except CALL_FAILURES as error:
            if may_pass(error) and question.collect is None:
                return None  # The next look asks again.
            problem = f"What it found cannot be read ({describe_error(error)}). Ask for it again."
            return {**_runs_on(arn, command_id), "state": "unread", "says": problem}
        if not ran.is_known and question.collect is not None:
            return {"state": "unread", "command_id": command_id, "says": _unknown(command_id)}
        if ran.runs:
            return None
        if ran.document != self.document:
            return {
                "state": "refused",
                "says": f"Command {plain(command_id, 64)} is none of document {self.document}.",
                "by_hand": None,
            }
        if not ran.done:
            return _failed(ran, command_id, question.seconds)
        trace = read_trace(ran.output)
        found = _captured(trace, command_id, cut=trace.cut or len(ran.output) >= OUTPUT_SHOWN)
        return found if question.dry_run else self._kept(arn, command_id, question, found)

    def _kept(
        self, arn: InstanceArn, command_id: str, question: CulpritQuestion, found: dict[str, Any]
    ) -> dict[str, Any]:
        """Write what was found. If the ledger fails, it is answered all the same, with how to have it written."""
        said = {"caller": question.caller, "because": question.reason, "command_id": command_id}
        try:
            self.captures.add(arn, Kind.CAPTURED, self.now(), **said, processes=found["processes"])
        except CALL_FAILURES as error:
            again = f"The ledger does not have it ({describe_error(error)}): collect it again with {_collecting(arn, command_id)}."
            return {**found, "says": f"{found['says']} {again}"}
        return found


def by_hand(seconds: int) -> list[str]:
    """The commands with which somebody watches an instance in a shell there."""
    return [
        "git clone https://github.com/aws/aws-imds-packet-analyzer",
        "cd aws-imds-packet-analyzer/src  # BCC for Python 3 has to be installed, see its README",
        f"sudo timeout -s INT {seconds} python3 imds_snoop.py",
        "sudo grep -ai 'imdsv1' /var/log/imds/imds-trace.log",
    ]


def _collecting(arn: InstanceArn, command_id: str) -> str:
    """The question that collects what a command found."""
    return json.dumps({"culprit": {"targets": [str(arn)], "collect": command_id}, "dry_run": False, "caller": CALLER})


def _runs_on(arn: InstanceArn, command_id: str) -> dict[str, Any]:
    return {
        "state": "running",
        "command_id": command_id,
        "says": f"It goes on. Collect what it finds with {_collecting(arn, command_id)}.",
    }


def _unknown(command_id: str) -> str:
    return (
        f"Systems Manager knows no command {plain(command_id, 64)} on this instance: see whether both are right. One that was sent a moment "
        "ago is known soon; one of more than 30 days ago is forgotten, and the ledger has what was collected of it."
    )


def _not_begun(error: Exception, seconds: int) -> dict[str, Any]:
    """What is said where Systems Manager did not take the command; without an answer it may have taken it."""
    problem = describe_error(error)
    if isinstance(error, ClientError) and not may_have_been_done(error):
        if may_pass(error):
            return {
                "state": "failed",
                "says": f"Systems Manager has no time for it ({problem}): ask again.",
                "by_hand": None,
            }
        says = f"Systems Manager refuses it ({problem}): deploy both member templates of this version there."
        return {"state": "failed", "says": says, "by_hand": by_hand(seconds)}
    says = (
        f"Systems Manager did not say whether it took the command ({problem}), so the instance may be watched now. Look for it in the "
        f"history of Run Command there, and collect it by its id; else ask again in {seconds // 60 + 2} minutes, so that no two watch at once."
    )
    return {"state": "unread", "says": says, "by_hand": None}


def _failed(ran: Ran, command_id: str, seconds: int) -> dict[str, Any]:
    why = plain(ran.errors or ran.output, _ERRORS_SHOWN) or "without a word"
    says = f"The command ended as {plain(ran.status, 40)}: {why}. See its limits in docs/culprit.md, or watch the instance by hand:"
    return {"state": "failed", "command_id": command_id, "says": says, "by_hand": by_hand(seconds)}


def _captured(trace: Trace, command_id: str, *, cut: bool) -> dict[str, Any]:
    named = "; ".join(each.says for each in trace.processes[:3])
    says = (
        f"These called IMDSv1 meanwhile: {named}."
        if named
        else "Nothing called IMDSv1 meanwhile; watch it when it calls."
    )
    return {
        "state": "captured",
        "command_id": command_id,
        "processes": _processes(trace),
        "by_v2": trace.by_v2,
        "untold": trace.untold,
        "cut": cut,
        "says": says,
    }


def _processes(trace: Trace) -> list[dict[str, Any]]:
    return [{**asdict(each), "parents": list(each.parents)} for each in trace.processes]
