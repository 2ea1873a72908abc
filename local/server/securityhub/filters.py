"""The filters of GetFindings and GetFindingsV2, as far as the service and its tests ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.server.securityhub.hubs import HubError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.server.securityhub.hubs import Finding

MOST_VALUES: Final = 20
# Where a filter's attribute is found in a finding; a list on the way means any of its elements.
ATTRIBUTES: Final = {
    "AwsAccountId": "AwsAccountId",
    "ComplianceSecurityControlId": "Compliance.SecurityControlId",
    "ComplianceStatus": "Compliance.Status",
    "GeneratorId": "GeneratorId",
    "Id": "Id",
    "ProductArn": "ProductArn",
    "RecordState": "RecordState",
    "Region": "Region",
    "ResourceId": "Resources.Id",
    "ResourceType": "Resources.Type",
    "Title": "Title",
    "WorkflowStatus": "Workflow.Status",
}


def refuse_invalid(filters: Mapping[str, list[dict[str, str]]]) -> None:
    """Refuse filters that Security Hub would refuse, or that are not known here.

    Raises:
        HubError: an attribute that is not known here, or more than 20 values for one.
    """
    for attribute, wanted in filters.items():
        if attribute not in ATTRIBUTES:
            raise HubError("InvalidInputException", f"The local AWS does not filter by {attribute}.")
        if len(wanted) > MOST_VALUES:
            raise HubError(
                "InvalidInputException", f"Invalid parameter: {attribute} has more than {MOST_VALUES} values."
            )


def matches(finding: Finding, filters: Mapping[str, list[dict[str, str]]]) -> bool:
    """Whether a finding passes every filter: any of the values that ask for something, all of those that ask for its absence."""
    return all(_any(list(_at(finding, ATTRIBUTES[attribute])), wanted) for attribute, wanted in filters.items())


def matches_ocsf(finding: Finding, filters: Mapping[str, Any]) -> bool:
    """Whether a finding of the newer format passes composite filters of strings and numbers."""
    composites = [_composite(finding, each) for each in filters.get("CompositeFilters", [])]
    return not composites or (any if filters.get("CompositeOperator") == "OR" else all)(composites)


def _composite(finding: Finding, composite: Mapping[str, Any]) -> bool:
    strings = [
        _any(list(_at(finding, each["FieldName"])), [each["Filter"]]) for each in composite.get("StringFilters", [])
    ]
    numbers = [each["Filter"]["Eq"] in _at(finding, each["FieldName"]) for each in composite.get("NumberFilters", [])]
    return (any if composite.get("Operator") == "OR" else all)(strings + numbers)


def _any(values: list[Any], wanted: Iterable[Mapping[str, str]]) -> bool:
    asked = [each for each in wanted if "NOT" not in each["Comparison"]]
    barred = [each for each in wanted if "NOT" in each["Comparison"]]
    return (not asked or any(_is(value, each) for each in asked for value in values)) and not any(
        _is(value, each) for each in barred for value in values
    )


def _is(value: Any, wanted: Mapping[str, str]) -> bool:
    comparison = wanted["Comparison"].replace("_NOT_EQUALS", "").replace("NOT_", "")
    if comparison == "PREFIX":
        return str(value).startswith(wanted["Value"])
    if comparison == "CONTAINS":
        return wanted["Value"] in str(value)
    return str(value) == wanted["Value"]


def _at(node: Any, path: str) -> Iterable[Any]:
    if isinstance(node, list):
        for each in node:
            yield from _at(each, path)
        return
    if not path:
        yield node
        return
    step, _, rest = path.partition(".")
    if isinstance(node, dict) and step in node:
        yield from _at(node[step], rest)
