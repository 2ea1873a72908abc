"""The synthesised rules pass relevant events and drop all others, as evaluated by a third-party event engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from moto.events.models import EventPattern

from imdsv2.intake.event_names import EventNames
from imdsv2.intake.events import parse
from infra.event_patterns import LONGEST_PATTERN, config_pattern
from tests.fixtures.events import (
    CONFIG_RULES,
    REGION_OF_PARTITION,
    SOURCE_RULES,
    STANDARDS,
    config_change,
    configuration_arn,
    custom_action,
    finding,
    finding_v2,
    imported,
    imported_v2,
    instance_arn,
    source_change,
    source_finding,
    source_finding_v2,
    started,
    template_arn,
)
from tests.infra.event_engine import Json, matches

if TYPE_CHECKING:
    from tests.infra.templates import Template

OTHER_PRODUCT = "arn:aws:securityhub:eu-west-1::product/aws/guardduty"
FORGED_PRODUCT = "arn:aws:securityhub:eu-west-1:222222222222:product/222222222222/aws/securityhub"
DEFAULT_PRODUCT = "arn:aws:securityhub:eu-west-1:222222222222:product/222222222222/default"


@dataclass(frozen=True, kw_only=True)
class Case:
    """An event, and the one rule that matches it, if any."""

    name: str
    event: Json
    rule: str | None


def _elsewhere(partition: str) -> str:
    return instance_arn(partition=partition, region=REGION_OF_PARTITION[partition])


def _ours() -> list[Case]:
    """Every form, standard, partition and rule name in which a failed check can arrive."""
    return [
        *(
            Case(name=f"imported {standard} {status}", event=imported(event), rule="securityhub")
            for standard in STANDARDS
            for status in ("NEW", "NOTIFIED")
            for event in [finding(standard=standard, Workflow={"Status": status})]
        ),
        *(
            Case(name=f"imported {partition}", event=imported(finding(_elsewhere(partition))), rule="securityhub")
            for partition in REGION_OF_PARTITION
        ),
        Case(
            name="imported, several instances",
            event=imported(finding(instance_arn(), instance_arn("i-0fedcba9876543210"))),
            rule="securityhub",
        ),
        Case(
            name="imported, another product name",
            event=imported(finding(ProductName="Security Hub CSPM", CompanyName="Amazon")),
            rule="securityhub",
        ),
        Case(name="imported, without details", event=imported(finding(Types=[], Severity={})), rule="securityhub"),
        Case(name="imported, ours beside another", event=imported(_other_control(), finding()), rule="securityhub"),
        *(
            Case(
                name=f"custom action {partition}",
                event=custom_action(finding(_elsewhere(partition)), partition=partition),
                rule="custom-action",
            )
            for partition in REGION_OF_PARTITION
        ),
        *(
            Case(name=f"custom action on {name}", event=custom_action(finding(**fields)), rule="custom-action")
            for name, fields in NOT_ACTIONABLE.items()
        ),
        *(
            Case(
                name=f"v2 {partition}",
                event=imported_v2(finding_v2(partition=partition, region=REGION_OF_PARTITION[partition])),
                rule="securityhub-v2",
            )
            for partition in REGION_OF_PARTITION
        ),
        Case(name="v2 in progress", event=imported_v2(finding_v2(status_id=2)), rule="securityhub-v2"),
        *(Case(name=f"config {rule}", event=config_change(rule=rule), rule="config") for rule in CONFIG_RULES),
        *_about_sources(),
        Case(name="started", event=started(), rule="started"),
    ]


def _about_sources() -> list[Case]:
    """Controls and rules about what launches instances, in each form."""
    arns = {"EC2.170": template_arn(), "AutoScaling.3": configuration_arn()}
    return [
        *(
            Case(name=f"imported {control}", event=imported(source_finding(control, arn)), rule="securityhub")
            for control, arn in arns.items()
        ),
        *(
            Case(
                name=f"custom action {control}", event=custom_action(source_finding(control, arn)), rule="custom-action"
            )
            for control, arn in arns.items()
        ),
        *(
            Case(name=f"v2 {control}", event=imported_v2(source_finding_v2(control, arn)), rule="securityhub-v2")
            for control, arn in arns.items()
        ),
        *(
            Case(name=f"config {name}", event=source_change(name, "any"), rule="config")
            for rule in SOURCE_RULES
            for name in (
                rule,
                f"securityhub-{rule}-0a1b2c3d",
                f"OrgConfigRule-{rule}-4e5f6a7b",
                f"{rule}-conformance-pack-8c9d0e1f2",
                f"acme-{rule}",
            )
        ),
    ]


NOT_ACTIONABLE: dict[str, Json] = {
    "passed": {"Compliance": {"Status": "PASSED"}},
    "warning": {"Compliance": {"Status": "WARNING"}},
    "not available": {"Compliance": {"Status": "NOT_AVAILABLE"}},
    "archived": {"RecordState": "ARCHIVED"},
    "suppressed": {"Workflow": {"Status": "SUPPRESSED"}},
    "resolved": {"Workflow": {"Status": "RESOLVED"}},
}
"""States of an EC2.8 finding that only a person may act on."""

NOT_OURS: dict[str, Json] = {
    "other control": {"Compliance": {"SecurityControlId": "EC2.7"}},
    "longer control": {"Compliance": {"SecurityControlId": "EC2.81"}},
    "longer control of templates": {"Compliance": {"SecurityControlId": "EC2.1701"}},
    "another control of groups": {"Compliance": {"SecurityControlId": "AutoScaling.30"}},
    "other product": {"ProductArn": OTHER_PRODUCT},
    "forged product": {"ProductArn": FORGED_PRODUCT},
    "own import": {"ProductArn": DEFAULT_PRODUCT},
}
"""Findings that are not Security Hub's own about EC2.8, regardless of the sender."""

V2_NEAR_MISSES: dict[str, Json] = {
    "other control": {"compliance": {"control": "EC2.7"}},
    "passed": {"compliance": {"status": "Pass"}},
    "warning": {"compliance": {"status": "Warning"}},
    "other product": {"metadata": {"product": {"uid": "arn:aws:securityhub:eu-west-1::productv2/aws/inspector"}}},
    "forged product": {"metadata": {"product": {"uid": FORGED_PRODUCT.replace("product/", "productv2/")}}},
    "older product": {"metadata": {"product": {"uid": "arn:aws:securityhub:eu-west-1::product/aws/securityhub"}}},
    "suppressed": {"status_id": 3},
    "resolved": {"status_id": 4},
}

CONFIG_NEAR_MISSES: dict[str, Json] = {
    "compliant": {"newEvaluationResult": {"complianceType": "COMPLIANT"}},
    "not applicable": {"newEvaluationResult": {"complianceType": "NOT_APPLICABLE"}},
    "other rule": {"configRuleName": "securityhub-ec2-ebs-encryption-by-default-2751525f"},
    "other resource": {"resourceType": "AWS::IAM::Role"},
    "other message": {"messageType": "ConfigRulesEvaluationStarted"},
}


def _other_control() -> Json:
    return finding(Compliance={"SecurityControlId": "EC2.7"})


def _near_misses() -> list[Case]:
    """Events that differ from a relevant event in exactly one respect."""
    shapes = {
        "imported": imported(),
        "custom action": custom_action(),
        "v2": imported_v2(),
        "config": config_change(),
        "started": started(),
    }
    events = {
        **{f"imported, {name}": imported(finding(**fields)) for name, fields in {**NOT_ACTIONABLE, **NOT_OURS}.items()},
        **{f"custom action, {name}": custom_action(finding(**fields)) for name, fields in NOT_OURS.items()},
        "custom action, another one": custom_action(action_id="RequireIMDSv2Soon"),
        "custom action, resource of another kind": custom_action(
            resources=["arn:aws:securityhub:eu-west-1::RequireIMDSv2"]
        ),
        **{f"v2, {name}": imported_v2(finding_v2(**fields)) for name, fields in V2_NEAR_MISSES.items()},
        **{f"config, {name}": config_change(detail=fields) for name, fields in CONFIG_NEAR_MISSES.items()},
        **{f"started, {state}": started(state=state) for state in ("pending", "stopping", "stopped", "terminated")},
        "imported, each half in another finding": imported(finding(Compliance={"Status": "PASSED"}), _other_control()),
        "imported, ours but for the product, beside Security Hub's": imported(
            finding(ProductArn=OTHER_PRODUCT), _other_control()
        ),
        "v2, each half in another finding": imported_v2(
            finding_v2(status_id=3), finding_v2(compliance={"control": "EC2.7"})
        ),
        **{f"{name}, from an application": {**event, "source": "acme"} for name, event in shapes.items()},
        **{f"{name}, of another type": {**event, "detail-type": "Another"} for name, event in shapes.items()},
    }
    return [Case(name=name, event=event, rule=None) for name, event in events.items()]


CASES = [*_ours(), *_near_misses()]


@pytest.fixture(scope="module")
def patterns(template: Template) -> dict[str, dict[str, Json]]:
    """Bus to rule to pattern; the default bus has no name."""
    by_bus: dict[str, dict[str, Json]] = {}
    for rule in template.resources("AWS::Events::Rule").values():
        name = rule["Name"].removeprefix("imdsv2-remediation-")
        by_bus.setdefault(rule.get("EventBusName", ""), {})[name] = rule["EventPattern"]
    return by_bus


@pytest.fixture(scope="module")
def verdicts(patterns: dict[str, dict[str, Json]]) -> dict[str, dict[str, Any]]:
    """Case to rule to whether ministack's EventBridge matches it, or its error message if it rejects the pattern."""
    asked = [(case, rule, pattern) for case in CASES for rule, pattern in patterns[""].items()]
    answers: dict[str, dict[str, Any]] = {}
    for (case, rule, _), answer in zip(asked, matches([(case.event, each) for case, _, each in asked]), strict=True):
        answers.setdefault(case.name, {})[rule] = answer
    return answers


def test_rules_and_parser_know_the_same_names_of_config_rules() -> None:
    """What a person names in the settings, in upper or lower case, passes both; other names pass neither."""
    sought = (
        "EC2_IMDSV2_CHECK",
        "require-imdsv2",
        "Baseline-Ec2Imdsv2Check*",
        "Metadata (IMDS): tokens",
        "EC2 tokens *",
    )
    ours = (
        "ec2_imdsv2_check",
        "Require-IMDSv2",
        "baseline-ec2imdsv2check-1AB2CD3E",
        "acme-ec2-imdsv2-check",
        "metadata (imds): tokens",
        "ec2 Tokens required",
    )
    others = ("require-imdsv2-on-templates", "my-require-imdsv2", "baseline", "ec2-imdsv2", "required-tags", "Metadata")
    names = [*ours, *others, *CONFIG_RULES.values()]
    answers = matches([(config_change(rule=name), config_pattern(sought)) for name in names])
    expected = {name: name not in others for name in names}
    assert expected == dict(zip(names, answers, strict=True))
    # moto has an engine of its own; it looks into no arrays of objects, which this form of event does not have.
    second: Any = EventPattern.load(json.dumps(config_pattern(sought)))
    assert expected == {name: second.matches_event(config_change(rule=name)) for name in names}
    parser = EventNames(custom_action_id="RequireIMDSv2", config_rules=sought)
    assert [name for name in names if name not in others] == [
        name for name in names if parse(json.dumps(config_change(rule=name)), parser).requests
    ]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_exactly_its_own_rule_lets_an_event_through(case: Case, verdicts: dict[str, dict[str, Any]]) -> None:
    """A relevant event matches exactly one rule, so that it is queued once; near misses match none."""
    assert {rule: rule == case.rule for rule in verdicts[case.name]} == verdicts[case.name]


def test_cases_have_names_of_their_own() -> None:
    """Two cases of the same name would be evaluated as one."""
    assert len(CASES) == len({case.name for case in CASES})


def test_both_buses_have_the_same_rules(patterns: dict[str, dict[str, Json]]) -> None:
    """An event is treated alike on either bus."""
    assert {"", "imdsv2-remediation"} == set(patterns)
    assert patterns[""] == patterns["imdsv2-remediation"]
    assert {"securityhub", "custom-action", "securityhub-v2", "config", "started"} == set(patterns[""])


def test_patterns_fit_the_quota(patterns: dict[str, dict[str, Json]]) -> None:
    """EventBridge accepts each pattern without a raised quota."""
    assert [] == [name for name, each in patterns[""].items() if len(json.dumps(each)) > LONGEST_PATTERN]
