"""What is answered about watching an instance, as JSON-compatible dicts: how far it is, what it found, or what to do instead."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imdsv2.culprit.plain import plain
from imdsv2.domain.texts.commands import CALLER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.aws.run_command import Ran
    from imdsv2.culprit.trace_log import Trace
    from imdsv2.domain.instance import InstanceArn

_ERRORS_SHOWN = 600
_UNREACHED = frozenset({"deliverytimedout", "undeliverable"})
"""Details of a status, without spaces and in lower case."""
NEEDS_LINUX = "The analyzer needs Linux. On Windows, Resource Monitor shows which process talks to 169.254.169.254."
_AGENT_IS_AWAY = (
    "Systems Manager does not reach the agent on this instance: it is not running, is not registered, or has no way to Systems "
    "Manager's endpoints. Mend that, or watch the instance by hand:"
)
_REFUSALS: Mapping[str, str] = {
    "InvalidInstanceId": _AGENT_IS_AWAY,
    "UnsupportedPlatformType": NEEDS_LINUX,
    "InvalidDocument": "The document is not there: deploy the template of the rules in this account and Region again.",
}
"""By the code with which Systems Manager refuses a command: what to do."""


def by_hand(seconds: int) -> list[str]:
    """The commands with which somebody watches an instance in a shell there."""
    return [
        "git clone https://github.com/aws/aws-imds-packet-analyzer",
        "cd aws-imds-packet-analyzer/src  # BCC for Python 3 has to be installed, see its README",
        f"sudo timeout -s INT {seconds} python3 imds_snoop.py",
        "sudo grep -ai 'imdsv1' /var/log/imds/imds-trace.log",
    ]


def refused(says: str, seconds: int) -> dict[str, Any]:
    """Nothing is done. Where the analyzer cannot run at all, its commands are of no use."""
    return {"state": "refused", "says": says, "by_hand": None if says == NEEDS_LINUX else by_hand(seconds)}


def not_sent(code: str, problem: str, seconds: int) -> dict[str, Any]:
    """Systems Manager did not take the command."""
    todo = _REFUSALS.get(code, "Deploy both member templates of this version there.")
    shown = None if todo == NEEDS_LINUX else by_hand(seconds)
    return {"state": "failed", "says": f"Systems Manager refuses it ({problem}). {todo}", "by_hand": shown}


def begins_already() -> dict[str, Any]:
    """Somebody else asks for the same at this moment, or Systems Manager has not said whether it took what somebody asked for."""
    says = (
        "A watch of this instance was asked for just now, by somebody else or before this, and nobody knows yet whether it runs: no second one is "
        "begun. Ask again in a minute; where Systems Manager has not answered the first, once its time is over."
    )
    return {"state": "refused", "says": says, "by_hand": None}


def busy(problem: str) -> dict[str, Any]:
    """Systems Manager has no time for the command."""
    return {"state": "failed", "says": f"Systems Manager has no time for it ({problem}): ask again.", "by_hand": None}


def in_doubt(problem: str, seconds: int) -> dict[str, Any]:
    """Systems Manager did not answer: it may have taken the command."""
    says = (
        f"Systems Manager did not say whether it took the command ({problem}), so the instance may be watched now. Look for it in the "
        f"history of Run Command there, and collect it by its id; else ask again in {seconds // 60 + 2} minutes, so that no two watch at once."
    )
    return {"state": "unread", "says": says, "by_hand": None}


def not_written(problem: str) -> dict[str, Any]:
    """The ledger has to know of a watch before it begins."""
    says = f"The ledger cannot be written ({problem}): nothing was run. Ask again."
    return {"state": "failed", "says": says, "by_hand": None}


def runs_on(arn: InstanceArn, command_id: str, since: str = "It goes on.") -> dict[str, Any]:
    """It is not over, and how to collect what it finds."""
    says = f"{since} Collect what it finds with {_collecting(arn, command_id)}."
    return {"state": "running", "command_id": command_id, "says": says}


def with_problem(found: Mapping[str, Any], arn: InstanceArn, problem: str) -> dict[str, Any]:
    """What was found, and that the ledger does not have it."""
    again = f"The ledger does not have it ({problem}): collect it again with {_collecting(arn, found['command_id'])}."
    return {**found, "says": f"{found['says']} {again}"}


def _collecting(arn: InstanceArn, command_id: str) -> str:
    """The question that collects what a command found."""
    return json.dumps({"culprit": {"targets": [str(arn)], "collect": command_id}, "dry_run": False, "caller": CALLER})


def not_known(command_id: str) -> dict[str, Any]:
    """No such command, or one that was sent a moment ago."""
    says = (
        f"Systems Manager knows no command {command_id} on this instance. Compare the id with that of the answer which named it; what "
        "was sent a moment ago is known within seconds, and what ended more than 30 days ago is forgotten."
    )
    return {"state": "unread", "command_id": command_id, "says": says}


def failed(ran: Ran, command_id: str, seconds: int, fetched: Ran | None) -> dict[str, Any]:
    """It ended without a result. ``fetched``: what came of the step that fetches the artefact, None if that is not known."""
    status = plain(ran.status, 40)
    if status.replace(" ", "").lower() in _UNREACHED:
        says = f"The command ended as {status}. {_AGENT_IS_AWAY}"
    else:
        says = f"The command ended as {status}: {_why(ran, fetched)}. See its limits in docs/culprit.md, or watch the instance by hand:"
    return {"state": "failed", "command_id": command_id, "says": says, "by_hand": by_hand(seconds)}


def _why(ran: Ran, fetched: Ran | None) -> str:
    if fetched is not None and fetched.status == "Failed":
        return (
            f"the artefact of the setting `capture` could not be fetched ({_words(fetched)}); see that the object is there, and that "
            "the instance's role may get it"
        )
    return _words(ran)


def _words(ran: Ran) -> str:
    return plain(ran.errors or ran.output, _ERRORS_SHOWN) or "without a word"


def captured(trace: Trace, command_id: str) -> dict[str, Any]:
    """What it found."""
    named = "; ".join(each.says for each in trace.processes[:3])
    says = (
        f"These called IMDSv1 meanwhile: {named}."
        if named
        else "Nothing called IMDSv1 meanwhile; watch it when it calls."
    )
    return {
        "state": "captured",
        "command_id": command_id,
        "processes": processes(trace),
        "by_v2": trace.by_v2,
        "untold": trace.untold,
        "cut": trace.cut,
        "says": says,
    }


def processes(trace: Trace) -> list[dict[str, Any]]:
    """The processes, as the ledger keeps them."""
    return [{**asdict(each), "parents": list(each.parents)} for each in trace.processes]
