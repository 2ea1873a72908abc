"""Both versions of Security Hub at once: they give the same finding the same id, and a person works in either."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger

from imdsv2.aws.findings import Findings as Reader
from imdsv2.aws.pacing import Pacing
from imdsv2.aws.retries import pace
from imdsv2.domain.instance import Place
from imdsv2.domain.request import Finding, Request, Source
from imdsv2.ledger.finding_key import key_of
from imdsv2.wiring.function import wire
from tests.fixtures.events import finding, finding_v2
from tests.integration.builders import HUB, MEMBER, NOW, REGION, ROLES, TABLE, arn_of, asked, known_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud, Stub

FIFTEEN_MINUTES = timedelta(minutes=15 * 1.1 + 1)
V2_FILTER = {
    "CompositeFilters": [
        {
            "StringFilters": [{"FieldName": "finding_info.uid", "Filter": {"Value": "x", "Comparison": "EQUALS"}}],
            "Operator": "OR",
        }
    ]
}
NOTE = {"Text": "why", "UpdatedBy": "us"}
REQUIRED = {
    "SchemaVersion": "2018-10-08",
    "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
    "GeneratorId": "security-control/EC2.8",
    "AwsAccountId": MEMBER,
    "CreatedAt": "2026-10-01T06:00:00.000Z",
    "UpdatedAt": "2026-11-20T06:00:00.000Z",
    "Title": "t",
    "Description": "d",
    "Resources": [],
}
ORDERS = list(permutations(["cspm", "v2"]))


def _asked(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"Filters": {"Id": [{"Value": each.id, "Comparison": "EQUALS"} for each in findings]}, "MaxResults": 100}


def both(cloud: Cloud, arn: InstanceArn) -> dict[str, Any]:
    """The finding of an instance as both hubs have it, by hub."""
    newer = finding_v2(arn.instance_id, account=arn.account, region=arn.region)
    older = finding(str(arn), finding_id=newer["finding_info"]["uid"])
    cloud.hub.holds(older, newer)
    return {"cspm": older, "v2": newer}


def named(arn: InstanceArn, document: dict[str, Any]) -> Request:
    """The request that comes of a finding's event."""
    if "Id" in document:
        return asked(arn, finding=document)
    identity = Finding(
        id=document["finding_info"]["uid"],
        product_arn=document["metadata"]["product"]["uid"],
        region=arn.region,
        updated_at=NOW,
    )
    return Request(arn=arn, source=Source.SECURITYHUB_V2, finding=identity)


def suppress(cloud: Cloud, document: dict[str, Any]) -> None:
    """A person suppresses the finding in the hub of this document, and in no other."""
    if "Id" in document:
        cloud.hub.findings[document["Id"]]["workflow"] = "SUPPRESSED"
    else:
        cloud.hub.findings[document["finding_info"]["uid"]]["status_id"] = 3


def run(cloud: Cloud, *requests: Request) -> str:
    """One run of requests for one instance; the reason that it comes to."""
    outcomes = cloud.line().run(requests, "request-1")
    assert {} == outcomes.failed
    return str(outcomes.judged[requests[0].arn].verdict.reason)


def notes(cloud: Cloud, documents: dict[str, Any]) -> list[bool]:
    """Whether both hubs have our note."""
    return [cloud.hub.note_on(documents["cspm"]) is not None, cloud.hub.comment_on(documents["v2"]) is not None]


# --- In the ledger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_both_are_kept_and_annotated_one_after_the_other(cloud: Cloud, order: Sequence[str]) -> None:
    """Neither replaces the other, and neither is taken for the other's echo."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    documents = both(cloud, arn)
    for hub in order:
        assert "unused" == run(cloud, named(arn, documents[hub]))
    kept = cloud.ledger().read([arn])[arn].findings.values()
    assert [False, True] == sorted(each.is_v2 for each in kept)
    assert [True, True] == notes(cloud, documents)


@pytest.mark.parametrize("order", ORDERS)
def test_both_are_kept_and_annotated_in_one_batch(cloud: Cloud, order: Sequence[str]) -> None:
    """Events of both hubs come within milliseconds."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    documents = both(cloud, arn)
    assert "unused" == run(cloud, *(named(arn, documents[hub]) for hub in order))
    assert 2 == len(cloud.ledger().read([arn])[arn].findings)
    assert [True, True] == notes(cloud, documents)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("where", ["cspm", "v2"])
def test_suppressed_in_either_hub_holds(cloud: Cloud, order: Sequence[str], where: str) -> None:
    """Whichever hub spoke last, before the policy began to enforce."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    documents = both(cloud, arn)
    for hub in order:
        run(cloud, named(arn, documents[hub]))
    suppress(cloud, documents[where])
    cloud.policy(mode="enforce")
    assert "suppressed" == run(cloud, asked(arn, Source.REVISIT))
    assert "optional" == cloud.tokens(arn)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("where", ["cspm", "v2"])
def test_suppressed_in_either_hub_holds_in_one_batch(cloud: Cloud, order: Sequence[str], where: str) -> None:
    """Before anything is in the ledger."""
    arn = cloud.one()
    documents = both(cloud, arn)
    suppress(cloud, documents[where])
    assert "suppressed" == run(cloud, *(named(arn, documents[hub]) for hub in order))
    assert "optional" == cloud.tokens(arn)


@pytest.mark.parametrize(("heard", "suppressed"), ORDERS)
def test_a_suppression_of_either_hub_holds_though_only_the_other_one_was_heard(
    cloud: Cloud, heard: str, suppressed: str
) -> None:
    """An earlier version had one replace the other; and of what was suppressed before the service came, no event tells."""
    arn = cloud.one()
    documents = both(cloud, arn)
    suppress(cloud, documents[suppressed])
    assert "suppressed" == run(cloud, named(arn, documents[heard]))
    assert "optional" == cloud.tokens(arn)


@pytest.mark.parametrize(("heard", "other"), [("cspm", "GetFindingsV2"), ("v2", "GetFindings")])
def test_a_hub_that_has_not_told_and_cannot_be_asked_now_holds(cloud: Cloud, heard: str, other: str) -> None:
    """It may have it suppressed."""
    arn = cloud.one()
    documents = both(cloud, arn)
    cloud.wire.refuse(other, "ThrottlingException", status=429)
    assert "not_ready" == run(cloud, named(arn, documents[heard]))


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnknownOperationException", "ValidationException"])
def test_where_there_is_no_newer_hub_nothing_is_held_for_it(cloud: Cloud, code: str) -> None:
    """AWS does not say with which error it is missing, e.g. in other partitions."""
    arn = cloud.one()
    documents = both(cloud, arn)
    cloud.wire.refuse("GetFindingsV2", code, status=400)
    assert "unused" == run(cloud, named(arn, documents["cspm"]))


@pytest.mark.parametrize(("heard", "off"), [("cspm", "GetFindingsV2"), ("v2", "GetFindings")])
def test_a_hub_that_is_off_is_not_asked_each_time(cloud: Cloud, heard: str, off: str) -> None:
    """Most organisations have one."""
    cloud.policy(mode="observe")
    cloud.wire.refuse(off, "InvalidAccessException", status=401)
    line = cloud.line()
    for number in range(3):
        arn = cloud.one()
        assert {} == line.run([named(arn, both(cloud, arn)[heard])], f"request-{number}").failed
    assert 1 == len(cloud.wire.made(off))


@pytest.mark.parametrize("kept", ["cspm", "v2"])
def test_what_an_earlier_version_kept_under_the_id_alone_stays_beside_the_other(cloud: Cloud, kept: str) -> None:
    """It is read, annotated where it is, and goes on counting."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    documents = both(cloud, arn)
    (other,) = {"cspm", "v2"} - {kept}
    run(cloud, named(arn, documents[kept]))
    as_earlier = key_of(known_finding(documents["cspm"]["Id"].rpartition("/")[2]))
    table = cloud.as_account(HUB, "dynamodb")
    key = {"pk": {"S": str(arn)}, "sk": {"S": "current"}}
    item = table.get_item(TableName=TABLE, Key=key)["Item"]
    item["findings"] = {"M": {as_earlier: next(iter(item["findings"]["M"].values()))}}
    table.put_item(TableName=TABLE, Item=item)

    record = cloud.ledger().read([arn])[arn]
    identity = named(arn, documents[kept]).finding
    assert identity is not None
    assert record.is_echo(identity)
    run(cloud, named(arn, documents[other]))
    findings = cloud.ledger().read([arn])[arn].findings
    assert (2, kept == "v2") == (len(findings), findings[as_earlier].is_v2)
    assert [True, True] == notes(cloud, documents)
    suppress(cloud, documents[kept])
    cloud.policy(mode="enforce")
    assert "suppressed" == run(cloud, asked(arn, Source.REVISIT))


def test_a_key_is_found_again_and_never_shared() -> None:
    """Whatever is kept already, each hub's finding has one key of its own."""
    older = known_finding("7")
    newer = Finding(id=older.id, product_arn="arn:aws:securityhub:eu-west-1::productv2/aws/securityhub", region=REGION)
    for kept in ({}, {key_of(older): older}, {key_of(older): newer}, {key_of(newer): newer}):
        keys = {each: key_of(each, kept) for each in (older, newer)}
        assert 2 == len(set(keys.values()))
        after = {**kept, **{key: each for each, key in keys.items()}}
        assert keys == {each: key_of(each, after) for each in (older, newer)}


# --- What is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["TooManyRequestsException", "ThrottlingException", "InternalException", "ExpiredTokenException"]
)
@pytest.mark.parametrize("hub", ["cspm", "v2"])
def test_a_hub_that_cannot_be_asked_now_is_no_suppression(cloud: Cloud, hub: str, code: str) -> None:
    """It is asked again within a quarter of an hour."""
    arn = cloud.one()
    documents = both(cloud, arn)
    operation = {"cspm": "GetFindings", "v2": "GetFindingsV2"}[hub]
    cloud.wire.refuse(operation, code, status={"InternalException": 500, "ExpiredTokenException": 403}.get(code, 429))
    assert "not_ready" == run(cloud, named(arn, documents[hub]))
    assert "optional" == cloud.tokens(arn)
    revisit_at = cloud.ledger().read([arn])[arn].revisit_at
    assert revisit_at is not None
    assert revisit_at - cloud.clock() <= FIFTEEN_MINUTES


def test_what_was_read_before_the_throttling_counts(stub: Stub) -> None:
    """A suppression that was seen is one; only of the rest nothing is known."""
    client = stub.client("securityhub")
    many = [known_finding(f"{number:03}") for number in range(41)]
    seen = {"Id": many[3].id, "Workflow": {"Status": "SUPPRESSED"}, **REQUIRED}
    stub.answer(client, "get_findings", {"Findings": [seen]}, _asked(many[:20]))
    stub.refuse(client, "get_findings", "TooManyRequestsException")
    looked = Reader(client, Logger(service="test")).look((False, each.id) for each in many)
    assert {(False, many[3].id)} == set(looked.seen)
    assert {(False, each.id) for each in many[20:]} == set(looked.unread)


class Arrivals(dict[str, Any]):
    """Ids for which somebody waits; ``complete`` once so many have come."""

    def __init__(self, expected: int) -> None:
        super().__init__()
        self.complete = Event()
        self._left = expected

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Whoever asks, asks for an id so."""
        self._left -= 1
        if self._left == 0:
            self.complete.set()
        return super().setdefault(key, default)


def test_places_that_ask_at_once_share_their_requests(cloud: Cloud) -> None:
    """Forty places with two findings each: the first request is under way until all have come."""
    reader = Reader(cloud.client("securityhub"), Logger(service="test"))
    reader._waiting[False] = arrivals = Arrivals(80)

    def answer_once_all_have_come(_: Call) -> None:
        assert arrivals.complete.wait(60)

    cloud.wire.on("GetFindings", answer_once_all_have_come)

    def ask(number: int) -> None:
        looked = reader.look([(False, known_finding(f"{number}-{each}").id) for each in range(2)])
        assert {} == looked.unread

    threads = [Thread(target=ask, args=(number,)) for number in range(40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(cloud.wire.made("GetFindings")) in {4, 5}, "twenty at once; the first may have come alone"


def test_an_instance_is_asked_about_once_a_run(cloud: Cloud) -> None:
    """Once at the gate; the note needs a look of its own, so that no suppression of a moment ago is overwritten."""
    cloud.policy(mode="observe")
    arns = [cloud.one() for _ in range(3)]
    documents = [both(cloud, arn)["cspm"] for arn in arns]
    requests = [named(arn, each) for arn, each in zip(arns, documents, strict=True)]
    assert {} == cloud.line().run([*requests, *requests], "request-1").failed
    assert 2 == len(cloud.wire.made("GetFindings"))


@pytest.mark.parametrize(
    ("operation", "rate", "burst"),
    [("get_findings", 3, 6), ("get_findings_v2", 3, 6), ("batch_update_findings", 10, 30)],
)
def test_security_hub_is_asked_within_its_quota(cloud: Cloud, operation: str, rate: int, burst: int) -> None:
    """The share of it that is ours; each of botocore's calls waits for its turn."""
    now, waits = [0.0], []

    def sleep_(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    client = cloud.client("securityhub")
    pace(client, Place("aws", REGION, HUB), Pacing(share=0.5, clock=lambda: now[0], chance=lambda: 0.0), sleep_)
    arguments: dict[str, dict[str, Any]] = {
        "get_findings": {"Filters": {"Id": [{"Value": "x", "Comparison": "EQUALS"}]}, "MaxResults": 1},
        "get_findings_v2": {"Filters": V2_FILTER, "MaxResults": 1},
        "batch_update_findings": {"FindingIdentifiers": [{"Id": "x", "ProductArn": "y"}], "Note": NOTE},
    }
    for _ in range(burst):
        getattr(client, operation)(**arguments[operation])
    assert burst / 2 == sum(each == 0.0 for each in waits)
    assert pytest.approx(1 / (rate / 2)) == waits[-1]


def test_every_function_paces_it_in_its_own_account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota is that of the account in which the functions run, whoever's findings they ask about."""
    asked_for: list[tuple[str, str]] = []

    def reserve(_: Pacing, place: Place, operation: str, *__: Any, **___: Any) -> float:
        asked_for.append((place.account, operation))
        return 0.0

    monkeypatch.setattr(Pacing, "reserve", reserve)
    environment = {
        "AWS_REGION": REGION,
        "LEDGER_TABLE": TABLE,
        "POLICY_PARAMETER": "/imdsv2-remediation/policy",
        "NOTIFICATIONS_TOPIC_ARN": cloud.topic_arn,
        "LEASE_SECONDS": "360",
        "MEMBER_ROLES": ROLES,
        "MANUAL_FUNCTION": "imdsv2-remediation-manual",
    }
    service = wire(environment, Logger(service="test"), lambda: "request-1").service
    service.line.action.gates.hub.suppressed({arn_of("a"): [known_finding("1")]})
    assert [(cloud.topic_arn.split(":")[4], "GetFindings")] == asked_for[:1]
