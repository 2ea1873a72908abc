"""What the deployed templates say, as rows for the reference: roles with their statements, and alarms."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE: dict[str, Any] = json.loads((ROOT / "tests/infra/kept/assembly.Imdsv2Remediation.json").read_text())[
    "Resources"
]
MEMBER: dict[str, Any] = json.loads((ROOT / "tests/infra/kept/assembly.Imdsv2RemediationMember.json").read_text())[
    "Resources"
]
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "REGION",
    "AWS::AccountId": "ACCOUNT",
    "AWS::URLSuffix": "amazonaws.com",
}
_HASH = re.compile(r"[0-9A-F]{8}$")
_COMPARISONS = {"GreaterThanOrEqualToThreshold": "at least", "LessThanThreshold": "below"}
_MISSING = {"notBreaching": "clears", "ignore": "stays as it is", "breaching": "is raised"}


def roles(resources: dict[str, Any], *, beginning: str) -> Iterator[str]:
    """A table for each role whose name begins so, with a row for each statement."""
    for logical, role in resources.items():
        name = text(role["Properties"].get("RoleName", "")) if role["Type"] == "AWS::IAM::Role" else ""
        if not name.startswith(beginning):
            continue
        purpose = role["Properties"]["Description"].partition(": ")[2]
        yield from ("", f"### {name}", "", f"{purpose[0].upper()}{purpose[1:]}.", "")
        yield from ("| | statement | calls | on | only if |", "| --- | --- | --- | --- | --- |")
        yield from (_statement(each) for each in _statements(resources, logical))


def _statements(resources: dict[str, Any], role: str) -> Iterator[dict[str, Any]]:
    for policy in resources.values():
        if policy["Type"] == "AWS::IAM::Policy" and {"Ref": role} in policy["Properties"]["Roles"]:
            yield from policy["Properties"]["PolicyDocument"]["Statement"]


def _statement(said: dict[str, Any]) -> str:
    conditions = "; ".join(
        f"{test} `{key}` {_code(value)}"
        for test, keys in said.get("Condition", {}).items()
        for key, value in keys.items()
    )
    calls, resources = _code(said["Action"]), _code(said["Resource"])
    return f"| {said['Effect'].lower()} | {said.get('Sid', '')} | {calls} | {resources} | {conditions} |"


def _code(value: Any) -> str:
    each = value if isinstance(value, list) else [value]
    return ", ".join(f"`{text(one)}`" for one in each)


def text(value: Any) -> str:
    """A value of a template as a person would write it."""
    match value:
        case {"Ref": str(name)}:
            return _PSEUDO.get(name, _HASH.sub("", name))
        case {"Fn::GetAtt": [name, _]}:
            return _HASH.sub("", name)
        case {"Fn::Join": [between, parts]}:
            return str(between).join(map(text, parts))
    return str(value)


def alarms() -> Iterator[str]:
    """A row for each alarm of the service."""
    yield from ("| alarm | is raised when | without a value it | says |", "| --- | --- | --- | --- |")
    for each in SERVICE.values():
        if each["Type"] != "AWS::CloudWatch::Alarm":
            continue
        said = each["Properties"]
        name = said["AlarmName"].removeprefix("imdsv2-remediation-")
        why = said["AlarmDescription"].partition(" Runbook: ")[0]
        yield f"| `{name}` | {_raised(said)} | {_MISSING[said['TreatMissingData']]} | {why} |"


def _raised(said: dict[str, Any]) -> str:
    stats = [each["MetricStat"] for each in said.get("Metrics", []) if "MetricStat" in each]
    names = sorted({each["Metric"]["MetricName"] for each in stats}) or [said["MetricName"]]
    period = (stats[0]["Period"] if stats else said["Period"]) * said["EvaluationPeriods"]
    figure = "sum" if stats else said["Statistic"].lower()
    limit = f"{_COMPARISONS[said['ComparisonOperator']]} {said['Threshold']}"
    return f"the {figure} of {', '.join(f'`{name}`' for name in names)} is {limit} in {_span(period)}"


def _span(seconds: int) -> str:
    minutes = seconds // 60
    return f"{minutes} minutes" if minutes < 60 else f"{minutes // 60} hours"
