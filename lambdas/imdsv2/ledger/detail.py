"""The events of the audit trail as they go to subscribers: the detail of an event on the bus, and its schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.trail import SCHEMA, Kind
from imdsv2.ledger.values import deserialize, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT: Mapping[str, Any] = {"type": "string"}
_TIME: Mapping[str, Any] = {"type": "string", "format": "date-time"}
_NUMBER: Mapping[str, Any] = {"type": "integer"}
_OBJECT: Mapping[str, Any] = {"type": "object"}

MEANINGS: Mapping[Kind, str] = {
    Kind.STATUS_CHANGED: "The status of an instance changed: judged, enforced, verified, rolled back and so on.",
    Kind.REASON_CHANGED: "The status stays, and the reason or the decision is another.",
    Kind.APPROVED: "A person approved the change of an instance.",
    Kind.REFUSED: "A person refused it.",
    Kind.HOLD_SET: "A person holds an instance; `replaces` names the hold before it.",
    Kind.HOLD_RELEASED: "A person released it.",
    Kind.HOLD_ENDED: "The last day of a hold is over.",
    Kind.CLEARED: "A person said that what was held against an instance or a cohort is settled.",
    Kind.ACCEPTED: "A person accepted what the evidence says.",
    Kind.MENDED: "A person said that the software was updated and run anew.",
    Kind.UNDO_REQUESTED: "A person wants an instance rolled back.",
    Kind.EXEMPTION_SEEN: "The exempt tag was seen for the first time, or with another day.",
    Kind.EXEMPTION_ENDED: "The exemption is over: its day is past, or the tag was removed.",
    Kind.NOTICE_DELIVERED: "An owner was told of a change to come.",
    Kind.BROKE: "The guard found the software of an enforced instance broken.",
    Kind.LEFT: "The guard left an instance as it is, or watches it no longer; `left_because` says why.",
    Kind.BREAKER_OPENED: "So many changes in an account were rolled back that its circuit breaker opened.",
    Kind.BREAKER_CLOSED: "A person closed it.",
    Kind.POLICY_CHANGED: "The policy parameter was written.",
    Kind.POLICY_REFUSED: "What was written to it is no policy, and nothing is enforced until it is corrected.",
    Kind.CAPTURE_BEGUN: "A person has an instance watched for processes that call IMDSv1.",
    Kind.CAPTURE_SENT: "Systems Manager took the command that watches it; `command_id` finds what it prints.",
    Kind.CAPTURED: "The watch is over; `processes` has what it found.",
    Kind.SOURCE_ANNOUNCED: "The owner of a source was told that its next launches will require tokens.",
    Kind.SOURCE_FIXING: "The service begins to change what a source launches; `explanation` is the plan.",
    Kind.SOURCE_FIXED: "The next launches of a source require tokens.",
    Kind.SOURCE_VERIFIED: "What it launched since ran without breakage.",
    Kind.SOURCE_BROKE: "The guard found the software of an instance broken that a changed source launched.",
    Kind.SOURCE_GOING_BACK: "The service begins to put a source back; `explanation` says why.",
    Kind.SOURCE_GONE_BACK: "A source launches as before; `explanation` names what was left alone.",
    Kind.SOURCE_LEFT: "Somebody else changed what was to be changed, and the service left the source alone.",
    Kind.SOURCE_FAILED: "The change of a source could not be made, and nothing of it is in force.",
    Kind.IMAGE_REQUIRING: "A person has an AMI require tokens, and EC2 is about to be asked.",
    Kind.IMAGE_REQUIRED: "The AMI requires tokens, which cannot be undone.",
    Kind.IMAGE_FAILED: "EC2 refused that, or did not answer.",
    Kind.DEFAULTS_LOCKING: "A person has the metadata defaults of an account and Region locked, and EC2 is about to be asked.",
    Kind.DEFAULTS_LOCKED: "They are locked.",
    Kind.DEFAULTS_UNLOCKING: "A person has them put back, and EC2 is about to be asked.",
    Kind.DEFAULTS_UNLOCKED: "What was before is in force again.",
    Kind.DEFAULTS_FAILED: "EC2 refused to lock or unlock them, or did not answer.",
}
"""What each kind of event tells."""

ALWAYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "version": ({"const": SCHEMA}, "The version of this schema; new attributes do not change it."),
    "id": (_TEXT, "Of the event. Delivery is at least once: an id that has been seen is the same event again."),
    "kind": ({"enum": [str(each) for each in Kind]}, "What happened; also the detail type."),
    "at": (_TIME, "When it was written to the ledger, together with the change."),
    "target": (
        _TEXT,
        "What it is about: an instance's ARN; else account, cohort, policy, source, AMI or defaults as the ledger names it.",
    ),
    "service_version": (_TEXT, "The version of the service that wrote it."),
}
"""The attributes that every event has, each with its type and meaning."""

SOMETIMES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "account": (_TEXT, "The account, if it is about one."),
    "region": (_TEXT, "The Region, if it is about something in one."),
    "instance_id": (_TEXT, "The instance, if it is about one."),
    "caller": (_TEXT, "Who asked for it, as claimed; of the policy, who wrote the parameter, as Systems Manager says."),
    "request_id": (_TEXT, "The invocation; finds the true caller in CloudTrail, and the function's log."),
    "session": (_TEXT, "The role session in the instance's account, as in CloudTrail."),
    "source": (_TEXT, "What led to it: `securityhub`, `config`, `manual`, `sweep`, `revisit`, `guard` and so on."),
    "because": (_TEXT, "The reason that the caller gave."),
    "policy_version": (_NUMBER, "The version of the policy parameter that the function had read."),
    "status": (_TEXT, "The status in the ledger, after what happened."),
    "status_before": (_TEXT, "The status before it."),
    "decision": (_TEXT, "`enforce`, `hold` or `skip`."),
    "reason": (_TEXT, "The reason of the verdict, after what happened."),
    "reason_before": (_TEXT, "The reason before it."),
    "explanation": (_TEXT, "One sentence or more for people, with what to do."),
    "error": (_OBJECT, "EC2's code and message, if it refused."),
    "before": (
        _OBJECT,
        "What the service found before its change: metadata options of an instance, an account or an AMI, or a source's launch templates.",
    ),
    "after": (_OBJECT, "The same as the service's change made it, or is about to make it."),
    "approved_by": (_TEXT, "On whose word a change was made, and in which request."),
    "cohort": (_TEXT, "The cohort of the instance."),
    "owner": (_TEXT, "Who answers for a hold or an acceptance, or was given notice."),
    "until": (
        _TEXT,
        "The last day or the last moment of a hold, an approval, an acceptance, an exemption or a notice.",
    ),
    "replaces": (_OBJECT, "The word that this one takes the place of, or ends."),
    "mended_at": (_TIME, "When the software was started or rebooted, by a person's word."),
    "mended_before": (_TIME, "What was said of that before."),
    "broken_at": (_TIME, "When its software was found broken."),
    "broken_by": (_TEXT, "The instance, by its ARN, that a changed source launched and whose software broke."),
    "left_because": (_TEXT, "Why the guard did not put it back, or looks no longer."),
    "opened_at": (_TIME, "When the circuit breaker opened."),
    "rollbacks": (_NUMBER, "The rollbacks that count towards the breaker."),
    "parameter_version": (_NUMBER, "The version of the parameter that was written."),
    "modified_at": (_TIME, "When the parameter was written."),
    "difference": (_OBJECT, "The fields of the policy that differ, each with its value `before` and `after`."),
    "seconds": (_NUMBER, "How long an instance is watched for processes."),
    "command_id": (_TEXT, "The command of Systems Manager that watched it."),
    "processes": (
        {"type": "array", "items": {"type": "object"}},
        "The processes that called IMDSv1 meanwhile: `name`, `command`, `parents`, `calls`. Whoever runs there decides what it says.",
    ),
}
"""The attributes that some events have."""

_NOT_SENT = frozenset({"pk", "sk", "schema", "trail_day"})


def schema() -> dict[str, Any]:
    """The JSON Schema of the detail. Attributes may be added: `additionalProperties` is left open."""
    described = {**ALWAYS, **SOMETIMES}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A decision of a person or of the service",
        "type": "object",
        "required": list(ALWAYS),
        "properties": {name: {**kind, "description": meaning} for name, (kind, meaning) in described.items()},
    }


def is_event(item: Mapping[str, Any]) -> bool:
    """Whether an item, as DynamoDB has it, is an event of the trail. Verdicts on sources have a history under the same sort keys, and
    earlier versions wrote others that are not of the trail; subscribers are not told of these."""
    return "schema" in item and "kind" in item


def detail_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of an event, from its item as DynamoDB has it; see ``is_event``."""
    values = {name: plain(deserialize(value)) for name, value in item.items()}
    pk, key = str(values["pk"]), str(values["sk"]).partition("#")[2]
    detail = {
        "version": values["schema"],
        "id": f"{key}#{pk}",
        "at": key.partition("#")[0],
        **_place(pk),
        **{name: value for name, value in values.items() if name not in _NOT_SENT},
    }
    if "difference" in detail:
        detail["difference"] = json.loads(detail["difference"])
    return detail


def _place(pk: str) -> dict[str, str]:
    """What a partition of the ledger is about."""
    if pk.startswith("arn:"):
        arn = InstanceArn.parse(pk)
        return {"target": pk, "account": arn.account, "region": arn.region, "instance_id": arn.instance_id}
    kind, _, rest = pk.partition("#")
    parts = rest.split("/", 3)
    match kind:
        case "account":
            return {"target": pk, "account": parts[-1]}
        case "cohort" | "source" | "image" | "defaults":
            return {"target": pk, "account": parts[1], "region": parts[2]}
    return {"target": pk}
