"""Values as the pipeline passes them, with defaults that lead to `enforce` `unused`; each test changes what it
covers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from imdsv2.domain.cohort import cohort_of
from imdsv2.domain.evidence.values import Evidence, Gap, Recurrence, Refused, Start, Use
from imdsv2.domain.instance import Instance, InstanceArn, MetadataOptions
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Finding, Request, Source
from imdsv2.domain.verdict import Decision, Reason, Verdict
from imdsv2.ledger.record import Record
from imdsv2.line.judgement import Case, Judgement

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
"""The time of every verdict, unless a test says otherwise: half past, so that the first and the last hour are
partial."""

ACCOUNT = "222222222222"
REGION = "eu-west-1"


def at(text: str) -> datetime:
    """A time in UTC, as `2026-11-20 14:30` or `2026-11-20 14:30:05`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def arn(number: int = 1, *, account: str = ACCOUNT, region: str = REGION) -> InstanceArn:
    """The ARN of the instance with that number."""
    return InstanceArn.of(region=region, account=account, instance_id=f"i-{number:017x}")


def options(**fields: Any) -> MetadataOptions:
    """Metadata options that allow IMDSv1."""
    defaults: dict[str, Any] = {"http_tokens": "optional", "http_endpoint": "enabled", "hop_limit": 1}
    return MetadataOptions(**(defaults | fields))


def instance(**fields: Any) -> Instance:
    """A running instance, launched 100 days ago and never restarted."""
    launched_at = fields.get("launched_at", NOW - timedelta(days=100))
    defaults: dict[str, Any] = {
        "arn": arn(),
        "state": "running",
        "launched_at": launched_at,
        "first_launched_at": launched_at,
        "stopped_at": None,
        "options": options(),
    }
    return Instance(**(defaults | fields))


def use(calls: int = 1, **fields: Any) -> Use:
    """Calls in one hour of the window, the one under way."""
    defaults: dict[str, Any] = {"hours": 1, "days": 1, "most": calls, "last": NOW.replace(minute=0), "pattern": "once"}
    return Use(calls=calls, **(defaults | fields))


def refused(calls: int = 1, **fields: Any) -> Refused:
    """Refused calls, the last of them today."""
    defaults: dict[str, Any] = {"days": 1, "most": calls, "last": NOW.replace(hour=0, minute=0)}
    return Refused(calls=calls, **(defaults | fields))


def start(**fields: Any) -> Start:
    """The last start of `instance`, seen whole and without a call."""
    launched_at = NOW - timedelta(days=100)
    defaults: dict[str, Any] = {
        "at": launched_at,
        "observed": True,
        "observable_at": launched_at + timedelta(hours=2),
        "periods": 24,
    }
    return Start(**(defaults | fields))


def unseen_start(**fields: Any) -> Start:
    """The same start without a datapoint."""
    return start(**({"observed": False, "missing": 24} | fields))


def recurring(calls: int = 12, **fields: Any) -> Recurrence:
    """Two bursts of use before the window, of which a third may follow for another month."""
    last, ends_at = NOW - timedelta(days=60), NOW + timedelta(days=30)
    defaults: dict[str, Any] = {"last": last, "bursts": 2, "ends_at": ends_at}
    return Recurrence(calls=calls, **(defaults | fields))


def gap(hours: int = 25) -> Gap:
    """A gap that began five days ago."""
    return Gap(hours=hours, begins=NOW - timedelta(days=5))


def evidence(**fields: Any) -> Evidence:
    """35 days without an IMDSv1 call, including the last start."""
    defaults: dict[str, Any] = {
        "window_start": NOW - timedelta(days=35),
        "window_end": NOW,
        "start": start(),
        "observed_hours": 839,
        "coverage": 1.0,
        "newest": NOW.replace(minute=0),
    }
    return Evidence(**(defaults | fields))


def finding(number: int = 1, **fields: Any) -> Finding:
    """A finding of Security Hub."""
    defaults: dict[str, Any] = {
        "id": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:security-control/EC2.8/finding/{number}",
        "product_arn": f"arn:aws:securityhub:{REGION}::product/aws/securityhub",
        "region": REGION,
        "updated_at": NOW - timedelta(minutes=1),
    }
    return Finding(**(defaults | fields))


def request(**fields: Any) -> Request:
    """A finding's request."""
    defaults: dict[str, Any] = {"arn": arn(), "source": Source.SECURITYHUB, "finding": finding()}
    return Request(**(defaults | fields))


def verdict(**fields: Any) -> Verdict:
    """The verdict `enforce`."""
    defaults: dict[str, Any] = {
        "decision": Decision.ENFORCE,
        "reason": Reason.UNUSED,
        "explanation": "No IMDSv1 call.",
        "revisit_at": NOW + timedelta(hours=1),
    }
    return Verdict(**(defaults | fields))


def judgement(*requests: Request, **fields: Any) -> Judgement:
    """An instance judged for the first time, to be enforced."""
    asked = requests or (request(),)
    defaults: dict[str, Any] = {
        "case": Case(arn=asked[0].arn, requests=asked),
        "record": Record(arn=asked[0].arn),
        "verdict": verdict(),
        "status": Status.WOULD_ENFORCE,
        "target": instance(),
        "evidence": evidence(),
    }
    target = {**defaults, **fields}["target"]
    defaults["cohort"] = cohort_of(target) if isinstance(target, Instance) else None
    return Judgement(**(defaults | fields))
