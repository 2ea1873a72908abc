"""For each belief of the self-test an AWS that is otherwise in this one way.

Most of it is in the answers, which the local AWS rewrites on their way. The rest happens to an instance of the account, or never comes:
``tests/e2e/rehearsal.py`` sees to that. Instances are named by their part in the self-test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from imdsv2.selftest.agenda import CALLER, CLOSED, HOP_LIMIT, HOP_LIMIT_WHILE_STOPPED, LINE, QUIET, WITNESS
from imdsv2.selftest.metrics import ACCEPTED, CPU, REJECTED
from local.cloud.run import SECURITY

Fault: TypeAlias = dict[str, Any]
Instance: TypeAlias = Mapping[str, Any]

DESCRIBE, MODIFY = "DescribeInstances", "ModifyInstanceMetadataOptions"
PERMITTED, REFUSED = "DryRunOperation", "UnauthorizedOperation"
LONG_AGO, FAR_AHEAD = "2026-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"
NOBODY = "i-0fffffffffffffff0"
LATE = timedelta(minutes=7, seconds=30)
"""A stamp so far back that its five minutes ended longer ago than a rehearsal's datapoint may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What happens to an instance once, so many minutes of the agenda after it was first seen like this."""

    role: str
    when: Callable[[Instance], bool]
    do: Callable[[Any, str], None]
    after_minutes: float = 0


_WITHIN = "(?:(?!<instanceId>).)*?"
"""Some of what EC2 shows of one instance."""


def _id(role: str) -> str:
    """The expression for an instance's id in a fault."""
    return f"{{instance imdsv2-selftest {role}}}"


def _change(role: str, sent: str, *, dry_run: bool = False, without: str = "") -> Fault:
    """Selects changes of an instance's options by what they send. ``without``: and do not send."""
    wanted = [f"InstanceId={_id(role)}", sent, *(["DryRun=true"] if dry_run else [])]
    unwanted = [*([] if dry_run else ["DryRun=true"]), *([without] if without else [])]
    request = "".join([*(f"(?=.*{each})" for each in wanted), *(f"(?!.*{each})" for each in unwanted)])
    return {"service": "ec2", "action": MODIFY, "request": f"^{request}"}


def _coded(fault: Fault, code: str, instead: str) -> Fault:
    return {**fault, "rewrite": [f"<Code>{code}</Code>", f"<Code>{instead}</Code>"]}


def _refused(fault: Fault, code: str, message: str) -> Fault:
    return {**fault, "error": code, "message": message}


def _shown(role: str, element: str, shown: str, instead: str, **more: Any) -> Fault:
    """What EC2 shows of an instance."""
    found = f"(<instanceId>{_id(role)}</instanceId>{_WITHIN}{element}>){shown}<"
    return {"service": "ec2", "action": DESCRIBE, "rewrite": [found, rf"\g<1>{instead}<"], **more}


def _unlisted(role: str) -> Fault:
    return {"service": "cloudwatch", "action": "ListMetrics", "rewrite": [_id(role), NOBODY]}


_REQUIRE, _OPTIONAL = "HttpTokens=required", "HttpTokens=optional"
_DESCRIBED_BY_ID = {"service": "ec2", "action": DESCRIBE}
_MEASURED = {"service": "cloudwatch", "action": "GetMetricData"}

ANSWERS: Mapping[str, Fault] = {
    "rejected-is-listed": _unlisted(CALLER),
    "rejected-silent-when-clean": _unlisted(QUIET),
    "empty-is-complete": {**_MEASURED, "request": '"none"', "rewrite": ['"Complete"', '"PartialData"']},
    "hours-sum-up": {
        **_MEASURED,
        "request": '"p3600"',
        "rewrite": [r'("p3600".*?"Values": \[)[^]]*', r"\g<1>9.0"],
    },
    "dry-run-code": {**_coded(_change(QUIET, _REQUIRE, dry_run=True), PERMITTED, "DryRunSucceeded"), "times": 1},
    "unknown-id-code": _coded({**_DESCRIBED_BY_ID, "request": "i-0f{16}"}, r"InvalidInstanceID\.NotFound", "NoSuchId"),
    "malformed-id-code": _coded(
        {**_DESCRIBED_BY_ID, "request": "i-selftest"}, r"InvalidInstanceID\.Malformed", "InvalidParameterValue"
    ),
    "terminated-id-code": _coded(_change(CLOSED, _REQUIRE), "IncorrectInstanceState", "InvalidState"),
    "managed-resources-accepted": _refused(
        {**_DESCRIBED_BY_ID, "request": r"^(?=.*InstanceId\.5=).*IncludeManagedResources"},
        "UnknownParameter",
        "The parameter IncludeManagedResources is not recognized",
    ),
    "tokens-alone-accepted": _refused(_change(CALLER, _REQUIRE), "InvalidParameterValue", "More has to be set."),
    "closed-endpoint-code": {
        **_refused(_change(CLOSED, _REQUIRE), "InvalidParameterValue", "Something is not set."),
        "times": 1,
    },
    "other-options-stay": _shown(
        CALLER, "<httpTokens>required</httpTokens><httpPutResponseHopLimit", str(HOP_LIMIT), "1"
    ),
    # From then on, the instance is open again in EC2's view.
    "closed-endpoint-stays-closed": _shown(CLOSED, "<httpEndpoint", "disabled", "enabled", since="RebootInstances"),
    "reboot-keeps-launch-time": _shown(QUIET, "<launchTime", "[^<]*", FAR_AHEAD, since="RebootInstances"),
    # The first launch's time, which is that of its interface.
    "start-moves-launch-time": _shown(
        QUIET, "<launchTime", f"[^<]*(?={_WITHIN}<networkInterfaceSet>{_WITHIN}<attachTime>([^<]*))", r"\g<2>"
    ),
    "attach-time-stays": _shown(
        QUIET, f"<networkInterfaceSet>{_WITHIN}<attachTime", "[^<]*", LONG_AGO, since="StartInstances"
    ),
    "stop-time-is-readable": _shown(QUIET, "<reason", r"User initiated \([^<]*", "User initiated"),
    "stopped-takes-changes": _shown(
        QUIET, "<httpPutResponseHopLimit", str(HOP_LIMIT_WHILE_STOPPED), str(HOP_LIMIT), since="StartInstances"
    ),
    "required-outlasts-restarts": _shown(QUIET, "<httpTokens", "required", "optional", since="StartInstances"),
    "key-tokens-sent": {**_coded(_change(QUIET, _OPTIONAL, dry_run=True), REFUSED, PERMITTED), "times": 1},
    # The third dry run that sends only this; and the second one of the instance whose endpoint is disabled.
    "key-options-sent": {
        **_coded(_change(QUIET, _REQUIRE, dry_run=True, without="HopLimit"), REFUSED, PERMITTED),
        "only_after": 2,
        "times": 1,
    },
    "key-endpoint-now": {
        **_coded(_change(CLOSED, _REQUIRE, dry_run=True), REFUSED, PERMITTED),
        "only_after": 1,
        "times": 1,
    },
    "reboots-on-record": {"service": "cloudtrail", "action": "LookupEvents", "rewrite": [_id(QUIET), NOBODY]},
    "line-enforces": _refused(_change(LINE, _REQUIRE), "UnsupportedOperation", "Not today."),
    "line-rolls-back": _refused(_change(LINE, _OPTIONAL), "UnsupportedOperation", "Not today."),
}
"""What AWS answers instead, in the account of the self-test."""

ANSWERS_AT_HOME: Mapping[str, Fault] = {
    "security-hub-v2-answers": _refused(
        {"service": "securityhub", "action": "GetFindingsV2", "request": "imdsv2-selftest"},
        "ValidationException",
        "There is no such field.",
    ),
    "stack-sets-are-current": {
        "service": "cloudformation",
        "action": "ListStackInstances",
        "rewrite": ["<Status>CURRENT<", "<Status>OUTDATED<"],
    },
}
"""In the service's own account: every self-test that runs meanwhile sees it."""

STAMPS: Mapping[str, tuple[str, float]] = {
    "stamped-with-start": (ACCEPTED, -300),
    "rejected-in-its-period": (REJECTED, -300),
}
"""By how many seconds the stamps of a metric are off."""


def _counted(metric: str, at: Callable[[datetime], datetime]) -> Callable[[Any, str], None]:
    """A datapoint that should not be there. ``at``: its stamp, from the time now."""

    def do(session: Any, instance_id: str) -> None:
        dimensions = [{"Name": "InstanceId", "Value": instance_id}]
        datum = {"MetricName": metric, "Dimensions": dimensions, "Value": 1.0, "Timestamp": at(datetime.now(UTC))}
        session.client("cloudwatch").put_metric_data(Namespace="AWS/EC2", MetricData=[datum])

    return do


def _with_tokens(value: str) -> Callable[[Any, str], None]:
    def do(session: Any, instance_id: str) -> None:
        session.client("ec2").modify_instance_metadata_options(InstanceId=instance_id, HttpTokens=value)

    return do


def _now(now: datetime) -> datetime:
    return now


def _before(by: timedelta) -> Callable[[datetime], datetime]:
    return lambda now: now - by


def _next_minute(now: datetime) -> datetime:
    """CloudWatch's stamps are whole minutes: this one is surely not before what has just happened."""
    return datetime.fromtimestamp(math.floor(now.timestamp() / 60 + 1) * 60, UTC)


def _is_running(instance: Instance) -> bool:
    return bool(instance["State"]["Name"] == "running")


def _is_required(instance: Instance) -> bool:
    return bool(instance["MetadataOptions"]["HttpTokens"] == "required")


def _is_disabled(instance: Instance) -> bool:
    return bool(instance["MetadataOptions"]["HttpEndpoint"] == "disabled")


HAPPENINGS: Mapping[str, tuple[Happening, ...]] = {
    "counts-tokenless-calls": (
        Happening(role=CALLER, when=_is_required, do=_counted(ACCEPTED, _before(timedelta(seconds=10)))),
    ),
    "zero-without-calls": (Happening(role=QUIET, when=_is_running, do=_counted(ACCEPTED, _now)),),
    "datapoints-arrive": (
        Happening(role=WITNESS, when=_is_running, do=_counted(CPU, _before(LATE)), after_minutes=10),
    ),
    "accepted-ends-with-required": (Happening(role=QUIET, when=_is_required, do=_counted(ACCEPTED, _next_minute)),),
    "rejected-counts": (Happening(role=CALLER, when=_is_required, do=_counted(REJECTED, _now)),),
    "rejections-arrive": (
        Happening(role=LINE, when=_is_running, do=_counted(REJECTED, _before(LATE)), after_minutes=10),
    ),
    "rejected-silent-when-clean": (Happening(role=QUIET, when=_is_required, do=_counted(REJECTED, _now)),),
    # Within the three hours that ListMetrics looks at, and before the time whose datapoints are read.
    "clean-is-not-listed": (
        Happening(role=QUIET, when=_is_required, do=_counted(REJECTED, _before(timedelta(hours=2)))),
    ),
    "closed-counts-nothing": (Happening(role=CLOSED, when=_is_disabled, do=_counted(ACCEPTED, _next_minute)),),
    "change-is-shown": (
        Happening(role=CALLER, when=_is_required, do=_with_tokens("optional"), after_minutes=12),
        Happening(role=CALLER, when=_is_required, do=_with_tokens("required"), after_minutes=15),
    ),
}
"""What happens in the account instead."""

NEED_FULL_MINUTE = frozenset({"accepted-ends-with-required", "closed-counts-nothing"})
"""Those whose datapoint can be read only if the clock's minute changes meanwhile."""

SILENCES = frozenset(
    {
        "cpu-while-running",
        "reboots-are-made",
        "config-event-arrives",
        "security-hub-finding-arrives",
        "security-hub-v2-finding-arrives",
    }
)
"""What does not come, or comes later."""

ROLES = frozenset({"roles-are-as-meant"})
"""Somebody has given a role more than it needs."""

WAYS = frozenset({*ANSWERS, *ANSWERS_AT_HOME, *STAMPS, *HAPPENINGS, *SILENCES, *ROLES})
"""The beliefs for which there is an AWS that is otherwise."""


def answers(account: str, beliefs: frozenset[str]) -> list[Fault]:
    """The faults that make AWS answer otherwise in an account, and at home."""
    here = [{**ANSWERS[belief], "account": account} for belief in sorted(beliefs & ANSWERS.keys())]
    return here + [
        {**ANSWERS_AT_HOME[belief], "account": SECURITY} for belief in sorted(beliefs & ANSWERS_AT_HOME.keys())
    ]
