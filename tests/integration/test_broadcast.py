"""The function that sends the trail: what the ledger's stream brings it beside events must not hold up those behind it."""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.bus import Bus
from imdsv2.domain.graduation import Graduation
from imdsv2.domain.source_fix import FixStatus, SourceFix
from imdsv2.ledger.captures import Captures
from imdsv2.ledger.detail import ALWAYS, SOMETIMES
from imdsv2.ledger.graduation import Graduations
from imdsv2.ledger.images import ImageEvents
from imdsv2.ledger.source_verdicts import SourceRecord, SourceVerdicts
from imdsv2.ledger.sources import SourceFixes
from imdsv2.ledger.trail import Author, Kind, Provenance
from tests.integration.builders import HUB, MEMBER, NOW, REGION, TABLE, arn_of
from tests.integration.test_handlers import LambdaContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.builders import Cloud

ARN = arn_of("b0a")


class Events:
    """EventBridge; it takes nothing of the kinds that it refuses."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.details: list[dict[str, Any]] = []
        self.refused: set[str] = set()

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.sent += [each["DetailType"] for each in Entries]
        self.details += [json.loads(each["Detail"]) for each in Entries]
        return {
            "Entries": [{"ErrorCode": "Throttled"} if each["DetailType"] in self.refused else {} for each in Entries]
        }


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def handler(events: Events, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function as Lambda starts it, with this EventBridge."""
    environment = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "EVENT_BUS": "bus", "EVENT_SOURCE": "ours"}
    for name, value in {**environment, "POWERTOOLS_SERVICE_NAME": "imdsv2-remediation"}.items():
        monkeypatch.setenv(name, value)
    for name in ("invocation", "broadcast"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("broadcast")
    monkeypatch.setattr(module, "bus", Bus(events, "bus", "ours"))
    return module.handler


def streamed(cloud: Cloud) -> list[dict[str, Any]]:
    """What the table's stream hands to the function: the new items that its filter lets through, by their time."""
    items = cloud.as_account(HUB, "dynamodb").scan(TableName=TABLE)["Items"]
    chosen = [each for each in items if each["sk"]["S"].startswith(("event#", "decision#"))]
    return [record(number, each) for number, each in enumerate(sorted(chosen, key=lambda each: str(each["pk"]["S"])))]


def record(number: int, item: Mapping[str, Any]) -> dict[str, Any]:
    """One of the stream's records."""
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": f"{number:021}", "NewImage": item}}


def capture(cloud: Cloud) -> None:
    """An event of the trail."""
    captures = Captures(cloud.client("dynamodb"), TABLE, Provenance(lambda: "request-1", 3))
    captures.add(ARN, Kind.CAPTURE_BEGUN, NOW, caller="ada", seconds=60)


def test_verdicts_on_sources_hold_up_no_event(cloud: Cloud, handler: Any, events: Events) -> None:
    """They lie beside the events of the trail, and the sweep writes them every night."""
    dynamodb = cloud.client("dynamodb")
    before = SourceRecord(key=f"aws/{MEMBER}/{REGION}/auto_scaling_group:web")
    after = SourceRecord(key=before.key, verdict="fix_source", reason="optional", explanation="It allows IMDSv1.")
    assert SourceVerdicts(dynamodb, TABLE).save([(before, after)], NOW)
    capture(cloud)
    records = streamed(cloud)
    assert 2 == len(records)
    assert {"batchItemFailures": []} == handler({"Records": records}, LambdaContext())
    assert ["capture_begun"] == events.sent


def test_what_is_done_to_sources_amis_and_defaults_is_sent(cloud: Cloud, handler: Any, events: Events) -> None:
    """With where it was done; each as often as it was written."""
    dynamodb, trail, ada = cloud.client("dynamodb"), Provenance(lambda: "request-1", 3), Author(caller="ada")
    key = f"aws/{MEMBER}/{REGION}/auto_scaling_group:web"
    fix = SourceFix(key=key, owner="web team", caller="ada").moved(
        FixStatus.FIXED, NOW, "Its next launches require tokens."
    )
    assert SourceFixes(dynamodb, TABLE, trail).save(fix)
    ImageEvents(dynamodb, TABLE, trail).add(ARN, "ami-0b0a", Kind.IMAGE_REQUIRED, NOW, ada)
    Graduations(dynamodb, TABLE, trail).save(Graduation(place=ARN, status="locked", by="ada"), NOW, ada)
    assert {"batchItemFailures": []} == handler({"Records": streamed(cloud)}, LambdaContext())
    assert ["defaults_locked", "image_required", "source_fixed"] == sorted(events.sent)
    assert {(MEMBER, REGION, "ada", "request-1")} == {
        (each["account"], each["region"], each["caller"], each["request_id"]) for each in events.details
    }
    described = {*ALWAYS, *SOMETIMES}
    assert all(each.keys() <= described for each in events.details)


def test_an_event_of_a_version_without_a_trail_holds_up_no_event(cloud: Cloud, handler: Any, events: Events) -> None:
    """An invocation of that version may end after the upgrade."""
    capture(cloud)
    old = {"pk": {"S": str(ARN)}, "sk": {"S": "event#2026-01-01T00:00:00.000000Z#0a"}, "status": {"S": "held"}}
    assert {"batchItemFailures": []} == handler({"Records": [record(0, old), *streamed(cloud)]}, LambdaContext())
    assert ["capture_begun"] == events.sent


def test_what_the_bus_refuses_is_named_whatever_lies_before_it(cloud: Cloud, handler: Any, events: Events) -> None:
    """Lambda delivers again from there; the number is that of the record, not that of the event."""
    capture(cloud)
    [event] = streamed(cloud)
    old = {"pk": {"S": "source#x"}, "sk": {"S": "event#2026-01-01T00:00:00.000000Z#0a"}}
    records = [record(7, old), record(8, old), {**event, "dynamodb": {**event["dynamodb"], "SequenceNumber": "9"}}]
    events.refused.add("capture_begun")
    assert {"batchItemFailures": [{"itemIdentifier": "9"}]} == handler({"Records": records}, LambdaContext())


def test_a_batch_without_events_asks_nobody(handler: Any, events: Events) -> None:
    """Nor does it fail."""
    old = {"pk": {"S": "source#x"}, "sk": {"S": "event#2026-01-01T00:00:00.000000Z#0a"}}
    assert {"batchItemFailures": []} == handler({"Records": [record(0, old)]}, LambdaContext())
    assert [] == events.sent
