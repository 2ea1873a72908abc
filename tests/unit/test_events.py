"""Ways in: the requests in each form of event, the events that are dropped silently, and the field that makes an event
poison."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.request import Request, Source
from imdsv2.errors import InvalidRequest, TargetRefused
from imdsv2.intake.event_names import EventNames
from imdsv2.intake.events import Parsed, parse
from imdsv2.people.request import parse_order
from tests.fixtures.events import (
    CONFIG_RULES,
    INSTANCE_ID,
    MEMBER,
    REGION,
    REGION_OF_PARTITION,
    STANDARDS,
    config_change,
    custom_action,
    finding,
    finding_v2,
    imported,
    imported_v2,
    instance_arn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.events import Json

LONGEST_MESSAGE = 400
OTHER_ID = "i-00000000"
HUGE = "x" * 10_000
EVENT_NAMES = EventNames(custom_action_id="RequireIMDSv2")


def read(event: object) -> Parsed:
    """The requests in a message with this event; every complaint can be sent on, and read."""
    parsed = parse(json.dumps(event), EVENT_NAMES)
    for complaint in parsed.poison:
        assert len(str(complaint)) <= LONGEST_MESSAGE
        str(complaint).encode()
    return parsed


def asked(event: object) -> list[str]:
    """The instances named by a valid event."""
    parsed = read(event)
    assert [] == parsed.poison
    return [str(request.arn) for request in parsed.requests]


def complaints(event: object) -> list[str]:
    """The fields for which an invalid event is refused."""
    return [complaint.field for complaint in read(event).poison]


EVENTS = {
    "imported": imported(finding()),
    "custom action": custom_action(finding()),
    "v2": imported_v2(finding_v2()),
    "config": config_change(),
}


# --- Every shape ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", REGION_OF_PARTITION)
@pytest.mark.parametrize("standard", STANDARDS)
def test_findings_of_every_standard_and_partition_name_their_instance(standard: str, partition: str) -> None:
    """By the ARN of the resource; the envelope is the administrator account's and is ignored."""
    arn = instance_arn(partition=partition, region=REGION_OF_PARTITION[partition])
    for event in (imported(finding(arn, standard=standard)), custom_action(finding(arn, standard=standard))):
        assert [arn] == asked(event)


def test_an_imported_finding_is_kept_as_security_hub_knows_it() -> None:
    """Updating the finding needs id, product and Region; the time identifies an echo."""
    asff = finding(UpdatedAt="2026-11-20T07:00:00.5+01:00")
    (request,) = read(imported(asff)).requests
    assert Source.SECURITYHUB is request.source
    assert request.finding is not None
    assert (asff["Id"], asff["ProductArn"], REGION) == (
        request.finding.id,
        request.finding.product_arn,
        request.finding.region,
    )
    assert datetime(2026, 11, 20, 6, 0, 0, 500_000, UTC) == request.finding.updated_at
    assert not request.finding.is_v2
    assert not request.asked_by_person
    assert not request.suppressed


def test_a_finding_of_a_linked_region_is_written_back_there() -> None:
    """In the Region of the product's ARN, not that of the envelope."""
    asff = finding(instance_arn(region="us-east-1"))
    (request,) = read(imported(asff, region="eu-west-1")).requests
    assert ("us-east-1", "us-east-1") == (request.arn.region, request.finding and request.finding.region)


@pytest.mark.parametrize("fields", [{}, {"account": "999999999999", "region": "us-west-2"}, {"account": None}])
def test_the_envelope_is_neither_used_nor_compared(fields: Json) -> None:
    """Missing, wrong or mistyped: only the finding determines the instance's account and Region."""
    for event in EVENTS.values():
        bare = {key: value for key, value in event.items() if key not in {"account", "region", "id", "time", "version"}}
        assert [instance_arn()] == asked(bare | fields)


def test_one_finding_may_name_several_instances() -> None:
    """Resources of other kinds are ignored."""
    asff = finding(instance_arn(), instance_arn(OTHER_ID))
    asff["Resources"].insert(1, {"Type": "AwsEc2Vpc", "Id": "anything"})
    assert [instance_arn(), instance_arn(OTHER_ID)] == asked(imported(asff))


def test_one_event_may_hold_several_findings() -> None:
    """Each with its instance and its id."""
    event = imported(finding(instance_arn()), finding(instance_arn(OTHER_ID), standard="cis"))
    parsed = read(event)
    assert [instance_arn(), instance_arn(OTHER_ID)] == [str(request.arn) for request in parsed.requests]
    assert 2 == len({request.finding.id for request in parsed.requests if request.finding})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Compliance": {"Status": "PASSED"}},
        {"Compliance": {"Status": 5}},
        {"RecordState": "ARCHIVED"},
        {"Workflow": {"Status": "RESOLVED"}},
    ],
)
def test_a_custom_action_is_filtered_by_control_and_product_only(fields: Json) -> None:
    """A person chose the finding, so its state does not matter."""
    (request,) = read(custom_action(finding(**fields))).requests
    assert Source.CUSTOM_ACTION is request.source
    assert request.asked_by_person
    assert not request.suppressed


def test_a_custom_action_on_a_suppressed_finding_is_marked_for_refusal() -> None:
    """It is not dropped: the person gets a note."""
    (request,) = read(custom_action(finding(Workflow={"Status": "SUPPRESSED"}))).requests
    assert request.suppressed


@pytest.mark.parametrize("partition", REGION_OF_PARTITION)
def test_a_finding_of_the_newer_security_hub_names_its_instance(partition: str) -> None:
    """OCSF, in every partition."""
    region = REGION_OF_PARTITION[partition]
    ocsf = finding_v2(region=region, partition=partition)
    (request,) = read(imported_v2(ocsf)).requests
    assert Source.SECURITYHUB_V2 is request.source
    assert instance_arn(region=region, partition=partition) == str(request.arn)
    assert request.finding is not None
    assert request.finding.is_v2
    assert ocsf["finding_info"]["uid"] == request.finding.id
    assert datetime(2026, 11, 20, 6, tzinfo=UTC) == request.finding.updated_at


RESOURCE_V2 = {
    "type": "AWS::EC2::Instance",
    "uid": INSTANCE_ID,
    "region": REGION,
    "owner": {"account": {"uid": MEMBER}},
}


@pytest.mark.parametrize(
    "resource",
    [
        RESOURCE_V2,
        RESOURCE_V2 | {"uid_alt": instance_arn()},
        {"type": "AWS::EC2::Instance", "uid": INSTANCE_ID, "uid_alt": instance_arn()},
        {"type": "AWS::EC2::Instance", "uid": instance_arn()},
        RESOURCE_V2 | {"uid": instance_arn(), "uid_alt": INSTANCE_ID},
        {key: value for key, value in RESOURCE_V2.items() if key != "region"},
        {key: value for key, value in RESOURCE_V2.items() if key != "owner"},
        RESOURCE_V2 | {"owner": {}},
        RESOURCE_V2 | {"owner": None, "region": None},
        RESOURCE_V2 | {"owner": {"account": None}},
        RESOURCE_V2 | {"owner": {"account": {}}},
        RESOURCE_V2 | {"owner": {"account": {"uid": None, "name": "web"}}},
        RESOURCE_V2 | {"owner": {"account": {"uid": ""}}},
        RESOURCE_V2 | {"owner": {}, "region": "", "uid_alt": ""},
    ],
)
def test_the_newer_security_hub_may_name_the_instance_in_many_ways(resource: Json) -> None:
    """By its ARN in either place, or by its id with Region and account from the resource, else from the finding."""
    assert [instance_arn()] == asked(imported_v2(finding_v2(resources=[resource])))


def test_the_newer_security_hub_may_date_in_milliseconds() -> None:
    """`modified_time` is used if `modified_time_dt` is absent; if both are present, `modified_time_dt` counts."""
    ocsf = finding_v2(finding_info={"modified_time": 1_795_154_400_123})
    (both,) = read(imported_v2(ocsf)).requests
    del ocsf["finding_info"]["modified_time_dt"]
    (only,) = read(imported_v2(ocsf)).requests
    assert both.finding is not None
    assert only.finding is not None
    assert datetime(2026, 11, 20, 6, tzinfo=UTC) == both.finding.updated_at
    assert datetime(2026, 11, 20, 6, 0, 0, 123_000, UTC) == only.finding.updated_at


def test_a_date_of_the_newer_security_hub_that_is_null_is_as_good_as_absent() -> None:
    """Fields of OCSF that have no value may be left out or be null."""
    (request,) = read(
        imported_v2(finding_v2(finding_info={"modified_time_dt": None, "modified_time": 1_795_154_460_000}))
    ).requests
    assert request.finding is not None
    assert datetime(2026, 11, 20, 6, 1, tzinfo=UTC) == request.finding.updated_at


@pytest.mark.parametrize("rule", CONFIG_RULES)
@pytest.mark.parametrize("region", REGION_OF_PARTITION.values())
def test_a_compliance_change_of_any_of_the_rules_names_its_instance(rule: str, region: str) -> None:
    """Id, Region and account are separate fields; the Region determines the partition."""
    (request,) = read(config_change(rule=rule, region=region)).requests
    assert (Source.CONFIG, None) == (request.source, request.finding)
    assert (INSTANCE_ID, region, MEMBER) == (request.arn.instance_id, request.arn.region, request.arn.account)
    assert region == REGION_OF_PARTITION[request.arn.partition]


# --- Near misses ---------------------------------------------------------------------------------------------------

GUARDDUTY = finding(ProductArn=f"arn:aws:securityhub:{REGION}::product/aws/guardduty")
del GUARDDUTY["Compliance"]
GUARDDUTY_V2 = finding_v2(metadata={"product": {"uid": f"arn:aws:securityhub:{REGION}::productv2/aws/guardduty"}})
del GUARDDUTY_V2["compliance"]
NOT_OURS_V2: list[Json] = [
    {"compliance": {"control": "EC2.7"}},
    {"compliance": {"status": "Pass"}},
    {"compliance": {"status": "Warning"}},
    {"metadata": {"product": {"uid": f"arn:aws:securityhub:{REGION}::product/aws/securityhub"}}},
    *({"status_id": status_id} for status_id in (0, 3, 4, 5, 6, 99)),
]
FORGED = f"arn:aws:securityhub:{REGION}:{MEMBER}:product/{MEMBER}/default"


@pytest.mark.parametrize(
    "event",
    [
        *(
            make(finding(**fields))
            for make in (imported, custom_action)
            for fields in (
                {"Compliance": {"SecurityControlId": "EC2.7"}},
                {"Compliance": {"SecurityControlId": "EC2.80"}},
                {"Compliance": {"SecurityControlId": "ec2.8"}},
                {"ProductArn": f"arn:aws:securityhub:{REGION}::product/aws/inspector"},
                {"ProductArn": FORGED},
                {"ProductArn": f"arn:aws:securityhub:{REGION}::product/aws/securityhub-lookalike"},
            )
        ),
        imported(GUARDDUTY),
        custom_action(GUARDDUTY),
        *(imported(finding(Compliance={"Status": status})) for status in ("PASSED", "WARNING", "NOT_AVAILABLE")),
        imported(finding(RecordState="ARCHIVED")),
        *(imported(finding(Workflow={"Status": status})) for status in ("SUPPRESSED", "RESOLVED")),
        custom_action(finding(), action_id="Quarantine"),
        custom_action(finding(), action_id="RequireIMDSv2Later"),
        *(imported_v2(finding_v2(**fields)) for fields in NOT_OURS_V2),
        imported_v2(GUARDDUTY_V2),
        config_change(rule="ec2-imdsv2-chec"),
        config_change(rule="EC2-IMDSV2-CHECK"),
        config_change(rule="required-tags"),
        *(config_change(compliance=word) for word in ("COMPLIANT", "NOT_APPLICABLE", "INSUFFICIENT_DATA")),
        config_change(detail={"resourceType": "AWS::EC2::Volume"}),
        config_change(detail={"messageType": "ConfigurationItemChangeNotification"}),
        {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification", "detail": {"state": "stopped"}},
        {"source": "aws.securityhub", "detail-type": "Security Hub Insight Results"},
        imported(finding(), source="com.example"),
        config_change(**{"detail-type": "Config Configuration Item Change"}),
    ],
)
def test_other_valid_values_are_dropped_in_silence(event: Json) -> None:
    """Neither a request nor poison, whatever else is missing from the event."""
    assert Parsed() == read(event)


# --- Poison --------------------------------------------------------------------------------------------------------

REQUIRED = {
    "imported": [
        "source",
        "detail-type",
        "detail",
        "detail.findings",
        "detail.findings[0]",
        *(
            f"detail.findings[0].{field}"
            for field in (
                "ProductArn",
                "Compliance",
                "Compliance.SecurityControlId",
                "Compliance.Status",
                "RecordState",
                "Workflow",
                "Workflow.Status",
                "Id",
                "UpdatedAt",
                "Resources",
                "Resources[0]",
                "Resources[0].Type",
                "Resources[0].Id",
            )
        ),
    ],
    "custom action": [
        "resources",
        "resources[0]",
        "detail",
        "detail.findings",
        *(
            f"detail.findings[0].{field}"
            for field in (
                "ProductArn",
                "Compliance",
                "Compliance.SecurityControlId",
                "Workflow",
                "Workflow.Status",
                "Id",
                "UpdatedAt",
                "Resources",
                "Resources[0].Type",
                "Resources[0].Id",
            )
        ),
    ],
    "v2": [
        "detail",
        "detail.findings",
        *(
            f"detail.findings[0].{field}"
            for field in (
                "metadata",
                "metadata.product",
                "metadata.product.uid",
                "compliance",
                "compliance.control",
                "compliance.status",
                "status_id",
                "finding_info",
                "finding_info.uid",
                "resources",
                "resources[0].type",
            )
        ),
    ],
    "config": [
        "source",
        "detail-type",
        "detail",
        *(
            f"detail.{field}"
            for field in (
                "messageType",
                "configRuleName",
                "resourceType",
                "newEvaluationResult",
                "newEvaluationResult.complianceType",
                "awsRegion",
                "awsAccountId",
                "resourceId",
            )
        ),
    ],
}
NEEDS = [(kind, path) for kind, paths in REQUIRED.items() for path in paths]


def steps(path: str) -> list[str | int]:
    """`detail.findings[0].Id` as the keys that lead there."""
    return [
        int(step) if step.isdecimal() and len(step) < 3 else step
        for step in path.replace("[", ".").replace("]", "").split(".")
    ]


def changed(event: Json, path: list[str | int], *value: object) -> Json:
    """A copy with another value at the path, or without the path."""
    copy: Any = deepcopy(event)
    place = copy
    for step in path[:-1]:
        place = place[step]
    if value:
        place[path[-1]] = value[0]
    else:
        del place[path[-1]]
    return copy  # type: ignore[no-any-return]


@pytest.mark.parametrize(("kind", "path"), NEEDS)
def test_a_missing_field_is_poison_by_its_name(kind: str, path: str) -> None:
    """The complaint names exactly that field, or the list that is now empty."""
    (field,) = complaints(changed(EVENTS[kind], steps(path)))
    assert (path.rpartition("[")[0] if path.endswith("]") else path) == field


@pytest.mark.parametrize(("kind", "path"), NEEDS)
@pytest.mark.parametrize("value", [None, 5, 5.5, True, [], {}, ""])
def test_a_mistyped_field_is_poison_by_its_name(kind: str, path: str, value: object) -> None:
    """Or by the name of a field within it."""
    if path.endswith("status_id") and type(value) is int:
        return
    (field,) = complaints(changed(EVENTS[kind], steps(path), value))
    assert field == path or field.startswith((f"{path}.", f"{path}["))


@pytest.mark.parametrize(
    "body", ["", " ", "nonsense", "{", '{"source": ', "'x'", "\ufeff{}", "9" * 10_000, "[" * 100_000]
)
def test_malformed_json_is_poison(body: str) -> None:
    """The complaint is about the body as a whole."""
    (complaint,) = parse(body, EVENT_NAMES).poison
    assert "body" == complaint.field


@pytest.mark.parametrize("body", ["null", "[]", '"event"', "5", "true", "[{}]"])
def test_json_that_is_no_object_is_poison(body: str) -> None:
    """An event is an object."""
    (complaint,) = parse(body, EVENT_NAMES).poison
    assert "body" == complaint.field
    assert "object" in complaint.problem


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:ec2:{REGION}:{MEMBER}:instance/i-0123456789ABCDEF0",
        f"arn:aws:ec2:{REGION}:{MEMBER}:instance/i-0123456",
        f"arn:aws:ec2:{REGION}:{MEMBER}:instance/i-0123456789abcdef01",
        f"arn:aws:ec2:{REGION}:{MEMBER}:instance/{INSTANCE_ID}\n",
        f" {instance_arn()}",
        f"arn:aws:ec2:{REGION}::instance/{INSTANCE_ID}",
        f"arn:aws:ec2:{REGION}:22222222222:instance/{INSTANCE_ID}",
        f"arn:aws:ec2:{REGION}:٢٢٢٢٢٢٢٢٢٢٢٢:instance/{INSTANCE_ID}",
        f"arn:aws:ec2::{MEMBER}:instance/{INSTANCE_ID}",
        f"arn:aws:ec2:../../x:{MEMBER}:instance/{INSTANCE_ID}",
        f"arn:aws:ec2:{REGION}:{MEMBER}:volume/{INSTANCE_ID}",
        INSTANCE_ID,
        f"arn:aws:ec2:{REGION}:{MEMBER}:instance/i-{'a' * 10_000}",
        HUGE,
        "\ud800",
    ],
)
def test_what_is_no_instance_arn_is_poison(arn: str) -> None:
    """In each field that may contain an ARN."""
    assert ["detail.findings[0].Resources[0].Id"] == complaints(
        changed(imported(finding()), steps("detail.findings[0].Resources[0].Id"), arn)
    )
    if arn.startswith("arn:"):
        resource = RESOURCE_V2 | {"uid": arn}
        assert ["detail.findings[0].resources[0].uid"] == complaints(imported_v2(finding_v2(resources=[resource])))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resourceId", "i-xyz"),
        ("resourceId", "vol-0123456789abcdef0"),
        ("resourceId", f"i-{'a' * 10_000}"),
        ("awsAccountId", "22222222222"),
        ("awsAccountId", "٢٢٢٢٢٢٢٢٢٢٢٢"),
        ("awsAccountId", "2" * 10_000),
        ("awsRegion", "Ireland, north"),
        ("awsRegion", HUGE),
    ],
)
def test_a_compliance_change_that_names_no_instance_is_poison(field: str, value: str) -> None:
    """The complaint names the part that is wrong."""
    assert [f"detail.{field}"] == complaints(config_change(detail={field: value}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"uid": "i-xyz"}, "resources[0].uid"),
        ({"uid": None}, "resources[0].uid"),
        ({"region": "North"}, "resources[0].region"),
        ({"region": 5}, "resources[0].region"),
        ({"owner": {"account": {"uid": "2"}}}, "resources[0].owner.account.uid"),
        ({"owner": {"account": "me"}}, "resources[0].owner.account"),
        ({"owner": {"account": {"uid": 222222222222}}}, "resources[0].owner.account.uid"),
        ({"owner": "me"}, "resources[0].owner"),
    ],
)
def test_a_resource_of_the_newer_security_hub_that_names_no_instance_is_poison(changes: Json, field: str) -> None:
    """The complaint names the part that is wrong."""
    resource = RESOURCE_V2 | changes
    assert [f"detail.findings[0].{field}"] == complaints(imported_v2(finding_v2(resources=[resource])))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T06:00:00",
        "2026-13-20T06:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        HUGE,
    ],
)
def test_a_time_that_is_none_is_poison(value: str) -> None:
    """Without it, no echo could be recognised; times out of range are invalid, too."""
    assert ["detail.findings[0].UpdatedAt"] == complaints(imported(finding(UpdatedAt=value)))
    assert ["detail.findings[0].finding_info.modified_time_dt"] == complaints(
        imported_v2(finding_v2(finding_info={"modified_time_dt": value}))
    )


@pytest.mark.parametrize("value", [None, "1795154400123", 1.5, True, 10**30, -(10**30), 10**300])
def test_a_time_in_milliseconds_that_is_none_is_poison(value: object) -> None:
    """Wrong types and times out of range."""
    ocsf = finding_v2(finding_info={"modified_time": value})
    del ocsf["finding_info"]["modified_time_dt"]
    assert ["detail.findings[0].finding_info.modified_time"] == complaints(imported_v2(ocsf))


def test_a_finding_without_any_time_is_poison() -> None:
    """The newer Security Hub has two fields for it; one is required."""
    ocsf = finding_v2()
    del ocsf["finding_info"]["modified_time_dt"]
    assert ["detail.findings[0].finding_info.modified_time"] == complaints(imported_v2(ocsf))


@pytest.mark.parametrize("finding_id", [HUGE, "\ud800", "ü" * 257])
def test_an_id_that_security_hub_could_not_have_given_is_poison(finding_id: str) -> None:
    """Ids have at most 512 bytes; 200 longer ones would permanently exceed the size of a ledger item."""
    assert ["detail.findings[0].Id"] == complaints(imported(finding(Id=finding_id)))
    assert ["detail.findings[0].Id"] == complaints(custom_action(finding(Id=finding_id)))
    assert ["detail.findings[0].finding_info.uid"] == complaints(
        imported_v2(finding_v2(finding_info={"uid": finding_id}))
    )


def test_an_id_of_full_length_is_taken() -> None:
    """512 characters are Security Hub's own limit."""
    assert [instance_arn()] == asked(imported(finding(Id="x" * 512)))


def test_a_finding_that_names_no_instance_is_poison() -> None:
    """It passes the filters, but cannot be answered."""
    asff = finding(Resources=[{"Type": "AwsEc2Vpc", "Id": "vpc-1"}])
    assert ["detail.findings[0].Resources"] == complaints(imported(asff))
    ocsf = finding_v2(resources=[{"type": "AWS::S3::Bucket", "uid": "x"}])
    assert ["detail.findings[0].resources"] == complaints(imported_v2(ocsf))


@pytest.mark.parametrize("bad", [None, "finding", {}, finding(UpdatedAt=5), finding(RecordState=None)])
def test_a_bad_finding_does_not_stop_the_others(bad: object) -> None:
    """The other findings in the event are processed; the message is still poison."""
    event = imported(finding())
    event["detail"]["findings"] = [finding(), bad, finding(instance_arn(OTHER_ID))]
    parsed = read(event)
    assert [instance_arn(), instance_arn(OTHER_ID)] == [str(request.arn) for request in parsed.requests]
    (complaint,) = parsed.poison
    assert complaint.field.startswith("detail.findings[1]")


@pytest.mark.parametrize("bad", [None, "x", {}, {"Type": "AwsEc2Instance"}, {"Type": "AwsEc2Instance", "Id": HUGE}])
def test_a_bad_resource_does_not_stop_the_others(bad: object) -> None:
    """The other instances of the finding are processed."""
    asff = finding(instance_arn(), instance_arn(OTHER_ID))
    asff["Resources"].insert(1, bad)
    parsed = read(imported(asff))
    assert [instance_arn(), instance_arn(OTHER_ID)] == [str(request.arn) for request in parsed.requests]
    (complaint,) = parsed.poison
    assert complaint.field.startswith("detail.findings[0].Resources[1]")


def test_a_complaint_shows_what_was_sent() -> None:
    """The field, its accepted values, and enough of the value to recognise it."""
    (complaint,) = read(config_change(detail={"awsAccountId": "12345"})).poison
    assert "detail.awsAccountId: takes an account id of 12 digits, not '12345'" == str(complaint)


# --- Property tests ------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> Iterator[list[str | int]]:
    """Every path in a document."""
    if path:
        yield list(path)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


PLACES = [(kind, path) for kind, event in EVENTS.items() for path in paths_of(event)]


@given(st.sampled_from(PLACES), st.lists(json_values, max_size=1))
def test_any_change_to_an_event_is_borne(place: tuple[str, list[str | int]], value: list[Any]) -> None:
    """Deleting or replacing a field gives the same request, no request, or poison that names a field on the path; no
    crash."""
    kind, path = place
    parsed = read(changed(EVENTS[kind], path, *value))
    assert {str(request.arn) for request in parsed.requests} <= {instance_arn()}
    for complaint in parsed.poison:
        shared = zip(steps(complaint.field), path, strict=False)
        # The newer Security Hub has several fields for one fact: the complaint may name another one of them.
        assert all(ours == theirs for ours, theirs in shared) or "v2" == kind


@given(json_values)
def test_any_json_is_borne(value: object) -> None:
    """No crash, and no request from a foreign event."""
    assert [] == read(value).requests


@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    """No crash, and no request."""
    assert [] == parse(text, EVENT_NAMES).requests


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("imported", "source"),
        ("imported", "detail"),
        ("imported", "detail.findings[0].ProductArn"),
        ("imported", "detail.findings[0].Resources[0].Id"),
        ("imported", "detail.findings[0].UpdatedAt"),
        ("v2", "detail.findings[0].status_id"),
        ("v2", "detail.findings[0].finding_info"),
        ("config", "detail.awsAccountId"),
    ],
)
def test_nesting_of_any_depth_is_borne(kind: str, path: str) -> None:
    """A document that can just be parsed is still too deep to be serialised; it is poison like any other."""
    hole = json.dumps(changed(EVENTS[kind], steps(path), "HOLE"))
    for depth in (*range(900, 1000, 4), 50_000):
        for text in ("[" * depth + "]" * depth, '{"x":' * depth + "1" + "}" * depth):
            assert 1 == len(parse(hole.replace('"HOLE"', text), EVENT_NAMES).poison)


# --- Manual invoke -------------------------------------------------------------------------------------------------

TRIPLE = {"account": MEMBER, "region": REGION, "instance_id": INSTANCE_ID}


NO_TARGETS: list[object] = [None, [], {}, "x", instance_arn(), 5, TRIPLE]
NO_FLAGS: list[object] = [None, 0, 1, "true", [], {}]
NO_CALLERS: list[object] = [5, True, [], {}, "", "x" * 257, "\ud800", "line\nbreak"]


def test_an_order_is_a_dry_run_unless_it_says_otherwise() -> None:
    """ARN or triple, in the order of the request."""
    order = parse_order({"targets": [TRIPLE, instance_arn(OTHER_ID)]})
    assert order.dry_run
    assert (instance_arn(), instance_arn(OTHER_ID)) == order.names
    for target in order.targets:
        assert isinstance(target, Request)
        assert (Source.MANUAL, None, True) == (target.source, target.caller, target.asked_by_person)


def test_an_order_may_act_and_claim_a_caller() -> None:
    """Every option applies to each target."""
    order = parse_order({"targets": [TRIPLE], "dry_run": False, "caller": "alice"})
    (target,) = order.targets
    assert not order.dry_run
    assert isinstance(target, Request)
    assert "alice" == target.caller


@pytest.mark.parametrize("partition", REGION_OF_PARTITION)
def test_a_triple_lies_in_the_partition_of_its_region(partition: str) -> None:
    """The caller does not need to name the partition."""
    region = REGION_OF_PARTITION[partition]
    order = parse_order({"targets": [TRIPLE | {"region": region}]})
    assert (instance_arn(region=region, partition=partition),) == order.names


def test_a_target_named_twice_is_answered_twice() -> None:
    """Results come in the order of the request."""
    assert (instance_arn(), instance_arn()) == parse_order({"targets": [TRIPLE, instance_arn()]}).names


@pytest.mark.parametrize(
    ("event", "field"),
    [
        *((event, "event") for event in (None, [], "x", 5, True, [TRIPLE])),
        ({}, "targets"),
        *(({"targets": targets}, "targets") for targets in NO_TARGETS),
        ({"targets": [instance_arn()] * 501}, "targets"),
        *(({"targets": [TRIPLE], "dry_run": value}, "dry_run") for value in NO_FLAGS),
        *(({"targets": [TRIPLE], "dry_run": False, "clear": value}, "clear") for value in NO_FLAGS),
        ({"targets": [TRIPLE], "clear": True}, "clear"),
        ({"targets": [TRIPLE], "dry_run": True, "clear": True}, "clear"),
        *(({"targets": [TRIPLE], "caller": value}, "caller") for value in NO_CALLERS),
        ({"targets": [TRIPLE], "dryrun": False}, "dryrun"),
        ({"targets": [TRIPLE], "": False}, "''"),
        ({"target": [TRIPLE]}, "target"),
        ({"targets": [TRIPLE], HUGE: False}, "xxx"),
        ({"targets": [TRIPLE], "\ud800": False}, "ud800"),
    ],
)
def test_an_order_that_cannot_be_understood_is_refused_by_the_name_of_a_field(event: object, field: str) -> None:
    """The message names the field and its accepted values, and can be serialised."""
    with pytest.raises(InvalidRequest) as caught:
        parse_order(event)
    assert "InvalidRequest" == caught.value.code
    assert field in caught.value.field
    message = str(caught.value)
    assert message.startswith(caught.value.field)
    assert len(message) <= LONGEST_MESSAGE
    message.encode()


def test_five_hundred_targets_are_taken() -> None:
    """The maximum."""
    assert 500 == len(parse_order({"targets": [instance_arn()] * 500}).targets)


@pytest.mark.parametrize(
    "target",
    [
        None,
        5,
        "",
        INSTANCE_ID,
        instance_arn() + " ",
        instance_arn().replace("instance", "volume"),
        HUGE,
        "\ud800",
        [],
        [instance_arn()],
        {},
        {"account": MEMBER, "region": REGION},
        TRIPLE | {"partition": "aws"},
        TRIPLE | {"account": 222222222222},
        TRIPLE | {"account": "2"},
        TRIPLE | {"region": ""},
        TRIPLE | {"instance_id": None},
        TRIPLE | {"instance_id": "i-xyz"},
        TRIPLE | {"instance_id": HUGE},
        TRIPLE | {"region": "\ud800"},
    ],
)
def test_a_bad_target_fails_alone_in_its_place(target: object) -> None:
    """The others are processed; the answer repeats the invalid target as far as it can be serialised."""
    order = parse_order({"targets": [instance_arn(), target, instance_arn(OTHER_ID)]})
    first, refused, last = order.targets
    assert isinstance(first, Request)
    assert isinstance(last, Request)
    assert isinstance(refused, TargetRefused)
    assert "InvalidTarget" == refused.code
    for text in (str(refused), order.names[1]):
        assert len(text) <= LONGEST_MESSAGE
        text.encode()


def test_a_target_nested_too_deep_to_be_shown_fails_alone() -> None:
    """At any depth that could be parsed."""
    nested: list[Any] = []
    for _ in range(2000):
        nested = [nested]
        assert isinstance(parse_order({"targets": [nested]}).targets[0], TargetRefused)


@given(st.dictionaries(st.sampled_from(["targets", "dry_run", "clear", "caller"]) | st.text(max_size=3), json_values))
def test_any_order_is_understood_or_refused(event: dict[str, Any]) -> None:
    """It raises nothing else, and returns one result for each target."""
    try:
        order = parse_order(event)
    except InvalidRequest:
        return
    assert len(event["targets"]) == len(order.targets) == len(order.names)
    json.dumps(order.names, ensure_ascii=False).encode()


@given(st.lists(json_values | st.just(instance_arn()) | st.just(TRIPLE), min_size=1, max_size=5))
def test_any_targets_are_each_answered_in_their_place(targets: list[Any]) -> None:
    """Valid targets are accepted whatever the others are."""
    order = parse_order({"targets": targets})
    good = [target in (instance_arn(), TRIPLE) for target in targets]
    assert good == [isinstance(target, Request) for target in order.targets]
    json.dumps(order.names, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("sought", "name"),
    [
        ("EC2_IMDSV2_CHECK", "EC2_IMDSV2_CHECK"),
        ("require-imdsv2", "Require-IMDSv2"),
        ("Baseline-Ec2Imdsv2Check*", "baseline-ec2imdsv2check-1AB2CD3EF4"),
        ("Baseline-Ec2Imdsv2Check*", "Baseline-Ec2Imdsv2Check"),
    ],
)
def test_a_config_rule_that_the_installation_names_is_read(sought: str, name: str) -> None:
    """By its name or by the beginning of it, in upper or lower case; without the setting it is another rule."""
    event = json.dumps(config_change(rule=name))
    named = EventNames(custom_action_id="RequireIMDSv2", config_rules=("somebody-elses", sought))
    assert (1, 0) == (len(parse(event, named).requests), len(parse(event, EVENT_NAMES).requests))


@pytest.mark.parametrize("name", ["require-imdsv2-on-templates", "my-require-imdsv2", "Baseline", "other"])
def test_a_config_rule_of_another_name_is_none_of_ours(name: str) -> None:
    """A name is the whole name, and a prefix begins it."""
    named = EventNames(custom_action_id="RequireIMDSv2", config_rules=("require-imdsv2", "Baseline-Ec2Imdsv2Check*"))
    assert Parsed() == parse(json.dumps(config_change(rule=name)), named)


def test_the_custom_action_is_that_of_the_installation() -> None:
    """A pilot beside production has a custom action of its own."""
    event = json.dumps(custom_action(finding()))
    assert Parsed() == parse(event, EventNames(custom_action_id="RequireIMDSv2a1b2c3"))
