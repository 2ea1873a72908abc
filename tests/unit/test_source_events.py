"""Events about what launches instances, and about instances that began to run: what each form names, and what makes it poison."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.request import Source
from imdsv2.intake.event_names import EventNames
from imdsv2.intake.events import Parsed, parse
from tests.fixtures.events import (
    CONFIGURATION,
    MEMBER,
    REGION,
    REGION_OF_PARTITION,
    SOURCE_RULES,
    TEMPLATE_ID,
    configuration_arn,
    custom_action,
    finding,
    imported,
    imported_v2,
    instance_arn,
    source_change,
    source_finding,
    source_finding_v2,
    started,
    template_arn,
)

if TYPE_CHECKING:
    from tests.fixtures.events import Json

EVENT_NAMES = EventNames(custom_action_id="RequireIMDSv2")
PLACE = f"aws/{MEMBER}/{REGION}"
TEMPLATE = f"{PLACE}/template_default:{TEMPLATE_ID}"
LAUNCH_CONFIGURATION = f"{PLACE}/launch_configuration:{CONFIGURATION}"
ARNS = {"EC2.170": template_arn(), "AutoScaling.3": configuration_arn()}
KEYS = {"EC2.170": TEMPLATE, "AutoScaling.3": LAUNCH_CONFIGURATION}


def read(event: Json) -> Parsed:
    """What a message with this event asks for."""
    return parse(json.dumps(event), EVENT_NAMES)


def named(event: Json) -> list[str]:
    """The keys of the sources that a valid event names."""
    parsed = read(event)
    assert ([], [], []) == (parsed.requests, parsed.started, parsed.poison)
    return [request.name.key for request in parsed.sources]


def complaints(event: Json) -> list[str]:
    """The fields for which an event is refused."""
    parsed = read(event)
    assert ([], [], []) == (parsed.requests, parsed.sources, parsed.started)
    return [complaint.field for complaint in parsed.poison]


@pytest.mark.parametrize("control", ARNS)
def test_each_form_of_finding_names_what_launches(control: str) -> None:
    """Imported, selected by a person, and of the newer Security Hub, by ARN or by bare id."""
    arn, bare = ARNS[control], KEYS[control].partition(":")[2]
    assert [KEYS[control]] == named(imported(source_finding(control, arn)))
    assert [KEYS[control]] == named(custom_action(source_finding(control, arn)))
    assert [KEYS[control]] == named(imported_v2(source_finding_v2(control, arn)))
    assert [KEYS[control]] == named(imported_v2(source_finding_v2(control, arn, uid=bare)))


@pytest.mark.parametrize("partition", REGION_OF_PARTITION)
def test_every_partition(partition: str) -> None:
    """The place is that of the resource."""
    region = REGION_OF_PARTITION[partition]
    arn = template_arn(partition=partition, region=region)
    assert [f"{partition}/{MEMBER}/{region}/template_default:{TEMPLATE_ID}"] == named(
        imported(source_finding("EC2.170", arn))
    )


def test_a_finding_is_kept_as_security_hub_knows_it() -> None:
    """Its note is written back by id and product; its time tells an echo; a person's request is none."""
    asff = source_finding("EC2.170", template_arn())
    (request,) = read(imported(asff)).sources
    assert request.finding is not None
    assert (asff["Id"], asff["ProductArn"], Source.SECURITYHUB) == (
        request.finding.id,
        request.finding.product_arn,
        request.source,
    )
    assert request.finding.updated_at is not None
    assert not request.asked_by_person
    (clicked,) = read(custom_action(asff)).sources
    assert clicked.asked_by_person


def test_one_finding_may_name_several() -> None:
    """Resources of other kinds are ignored."""
    asff = source_finding("EC2.170", template_arn(), template_arn("lt-00000000"))
    asff["Resources"].insert(1, {"Type": "AwsEc2Instance", "Id": instance_arn()})
    assert [TEMPLATE, f"{PLACE}/template_default:lt-00000000"] == named(imported(asff))


def test_findings_of_both_kinds_in_one_event() -> None:
    """Each goes its own way."""
    parsed = read(imported(finding(), source_finding("AutoScaling.3", configuration_arn())))
    assert [instance_arn()] == [str(each.arn) for each in parsed.requests]
    assert [LAUNCH_CONFIGURATION] == [each.name.key for each in parsed.sources]


@pytest.mark.parametrize("name", ["web", "a/b c:d", "ünï çødé", "x" * 255])
def test_launch_configurations_may_be_called_anything(name: str) -> None:
    """Config names them by ARN, and their names hold nearly any character."""
    expected = [f"{PLACE}/launch_configuration:{name}"]
    rule = "securityhub-autoscaling-launchconfig-requires-imdsv2-0a1b"
    assert expected == named(source_change(rule, configuration_arn(name)))
    assert expected == named(source_change(rule, name))


@pytest.mark.parametrize("rule", SOURCE_RULES)
def test_config_says_it_of_each_kind(rule: str) -> None:
    """Under the names that organisations and conformance packs give the rule, too."""
    kind = SOURCE_RULES[rule]
    resource, key = (TEMPLATE_ID, TEMPLATE) if kind.endswith("Template") else (CONFIGURATION, LAUNCH_CONFIGURATION)
    for name in (rule, f"securityhub-{rule}-1f2e", f"OrgConfigRule-{rule}-3d4c", f"{rule}-conformance-pack-5b6a"):
        assert [key] == named(source_change(name, resource))


@pytest.mark.parametrize(
    "event",
    [
        imported(source_finding("EC2.170", template_arn(), Compliance={"Status": "PASSED"})),
        imported(source_finding("EC2.170", template_arn(), Workflow={"Status": "SUPPRESSED"})),
        imported(source_finding("EC2.170", template_arn(), RecordState="ARCHIVED")),
        imported(source_finding("EC2.170", template_arn(), Compliance={"SecurityControlId": "EC2.17"})),
        imported_v2(source_finding_v2("AutoScaling.3", configuration_arn(), compliance={"status": "Pass"})),
        source_change("ec2-launch-template-imdsv2-check", TEMPLATE_ID, detail={"resourceType": "AWS::EC2::Volume"}),
        source_change(
            "ec2-launch-template-imdsv2-check",
            TEMPLATE_ID,
            detail={"newEvaluationResult": {"complianceType": "COMPLIANT"}},
        ),
        *(started(state=state) for state in ("pending", "stopping", "stopped", "shutting-down", "terminated")),
    ],
)
def test_other_valid_values_are_dropped_in_silence(event: Json) -> None:
    """As the rules of the buses drop them."""
    assert Parsed() == read(event)


def test_what_names_nothing_of_its_kind_is_poison() -> None:
    """The field is named."""
    resources = "detail.findings[0].Resources"
    wrong = [{"Type": "AwsEc2Instance", "Id": instance_arn()}]
    assert [resources] == complaints(imported(source_finding("EC2.170", template_arn(), Resources=wrong)))
    for bad in ("lt-xyz", instance_arn(), configuration_arn(), "", 7, None):
        one = [{"Type": "AwsEc2LaunchTemplate", "Id": bad}]
        event = imported(source_finding("EC2.170", template_arn(), Resources=one))
        assert [f"{resources}[0].Id"] == complaints(event)
    rule = "ec2-launch-template-imdsv2-check"
    assert ["detail.resourceId"] == complaints(source_change(rule, "web"))
    assert ["detail.resourceId"] == complaints(source_change(rule, TEMPLATE_ID, detail={"awsRegion": "Ireland!"}))
    assert ["detail.awsAccountId"] == complaints(source_change(rule, TEMPLATE_ID, detail={"awsAccountId": None}))


def test_an_instance_that_began_to_run_is_named_by_its_arn() -> None:
    """Neither a request nor a source; the envelope is not used."""
    parsed = read(started() | {"region": "xx", "account": "999999999999"})
    assert [instance_arn()] == [str(each) for each in parsed.started]
    assert ([], [], []) == (parsed.requests, parsed.sources, parsed.poison)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"resources": []}, "resources"),
        ({"resources": ["arn:aws:ec2:eu-west-1:222222222222:volume/vol-1"]}, "resources[0]"),
        ({"detail": {"state": None}}, "detail.state"),
    ],
)
def test_a_start_that_names_no_instance_is_poison(fields: Json, complaint: str) -> None:
    """The field is named."""
    assert [complaint] == complaints(
        started() | {**started(), **fields} if "detail" not in fields else started(**fields)
    )
