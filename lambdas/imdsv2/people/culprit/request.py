"""Parses the question which software calls IMDSv1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.node import shown
from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn

CULPRIT = "culprit"
"""The name of the question, which is also its field in the event."""
INSTANCES_A_CALL = 10
"""Each costs several calls to CloudTrail, of which two a second are allowed."""

SECONDS = (60, 300, 900, 3600)
"""How long an instance may be watched."""
FETCH, WATCH = "fetch", "watch"
"""The steps of the document that does it, by which Systems Manager answers."""
LONGEST_PRINTED = 20_000
"""Bytes of the log that the document prints at most, the most frequent lines first."""

_TAKES = frozenset({"targets", "cohort", "capture", "seconds", "collect"})
_COMMAND = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_EXAMPLE = '{"targets": ["arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0"]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class CulpritQuestion:
    """A validated question: about instances, or the members of a cohort. ``capture``: they are to be watched for so many ``seconds``;
    ``collect``: the id of a command that watches one. ``caller`` is None in dry runs only, and where nothing is done."""

    targets: tuple[InstanceArn, ...] = ()
    cohort: str | None = None
    capture: bool = False
    seconds: int = SECONDS[1]
    collect: str | None = None
    dry_run: bool = True
    caller: str | None = None
    reason: str | None = None


def parse_culprit(event: Mapping[str, Any]) -> CulpritQuestion:
    """Parse the question. Raises InvalidRequest, which names the field."""
    fields.refuse_unknown(event, {CULPRIT, "dry_run", "caller", "reason"})
    given = event[CULPRIT]
    if not isinstance(given, dict) or not given:
        raise InvalidRequest(CULPRIT, f"takes an object with targets or cohort, e.g. {_EXAMPLE}")
    path = f"{CULPRIT}."
    fields.refuse_unknown_in(given, _TAKES, path)
    if ("targets" in given) == ("cohort" in given):
        raise InvalidRequest(CULPRIT, "takes one of targets and cohort")
    targets = fields.instances(given, path) if "targets" in given else ()
    if len(targets) > INSTANCES_A_CALL:
        raise InvalidRequest(
            f"{path}targets", f"takes at most {INSTANCES_A_CALL} instances; ask about the others after that"
        )
    capture, collect = _watch(given, path, targets)
    dry_run = fields.flag(event, "dry_run", default=True)
    if not dry_run and (capture or collect):
        fields.require_caller(event.get("caller"))
    return CulpritQuestion(
        targets=targets,
        cohort=fields.matching(given, "cohort", path, fields.COHORT, "a cohort as the ledger names it"),
        capture=capture,
        seconds=given.get("seconds", SECONDS[1]),
        collect=collect,
        dry_run=dry_run,
        caller=fields.text(event, "caller"),
        reason=fields.text(event, "reason"),
    )


def _watch(given: Mapping[str, Any], path: str, targets: tuple[InstanceArn, ...]) -> tuple[bool, str | None]:
    """Whether instances are to be watched, and the command that has to be collected."""
    capture = given.get("capture", False)
    if not isinstance(capture, bool):
        raise InvalidRequest(f"{path}capture", f"takes true or false, not {shown(capture)}")
    collect = fields.matching(given, "collect", path, _COMMAND, "the command_id of an earlier answer")
    if collect is not None and (capture or len(targets) != 1):
        raise InvalidRequest(
            f"{path}collect", "takes one target beside it, and no capture: the command was sent to one instance"
        )
    if "seconds" in given and not (capture and type(given["seconds"]) is int and given["seconds"] in SECONDS):
        takes = ", ".join(map(str, SECONDS))
        raise InvalidRequest(f"{path}seconds", f"takes one of {takes}, beside capture, not {shown(given['seconds'])}")
    return capture, collect
