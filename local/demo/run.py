"""The demo: deploys the real template to the local AWS, launches a fleet with a past, sends every kind of event, checks every verdict."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config

from local.cloud.findings import CIS, CONSOLIDATED, FOUNDATIONAL, config_change, finding, finding_v2
from local.cloud.run import ROOT, SECURITY, LocalCloud, LocalCloudError
from local.demo import callers
from local.demo.fleet import FINE, POLICY, Before, Launched, Via, launch
from local.demo.report import Line, Report
from local.demo.stories import canaries, machines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.demo.callers import Caller

RESULT: Final = ROOT / "build" / "demo" / "result.json"
VERDICT_SECONDS: Final = 90
GUARD: Final = "imdsv2-remediation-guard"
GENERATORS: Final = {Via.SECURITY_HUB: CONSOLIDATED, Via.FOUNDATIONAL: FOUNDATIONAL, Via.CIS: CIS}
# A change of ours that was undone counts as somebody's doing only after a while, so ours has to lie in the past.
ENFORCED_AGO: Final = timedelta(days=3)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The service's verdict on an instance."""

    decision: str | None
    reason: str | None
    status: str | None
    explanation: str


def main() -> None:
    """Run the demo.

    Raises:
        LocalCloudError: a verdict is missing or not the expected one.
    """
    began = time.monotonic()
    report = Report(sys.stdout)
    with LocalCloud(environment={"SSM_TIME_SCALE": callers.TIME_SCALE}) as cloud:
        report.step(f"the local AWS runs at {cloud.endpoint}; synthesising and deploying the stack")
        cloud.deploy(**callers.SETTINGS)
        report.step("stack deployed; launching the fleet with its past")
        _set_policy(cloud)
        fleet = _launch(cloud)
        before = _tokens(cloud, fleet)
        sent_at = datetime.now(UTC)
        _send(cloud, fleet)
        report.step(
            f"{len(fleet)} instances launched, their findings and compliance changes sent; waiting for verdicts"
        )
        verdicts = await_verdicts(cloud, fleet, sent_at)
        first = _lines(fleet, verdicts, before, _tokens(cloud, fleet), again=False)
        report.table("Events, mode enforce", first)
        between = _tokens(cloud, fleet)
        second = _lines(fleet, _dry_run(cloud, fleet), between, _tokens(cloud, fleet), again=True)
        report.table("The same fleet once more: manual dry run", second)
        report.step("software runs on some of them, and Systems Manager has them watched")
        callers.prepare(cloud)
        planted = callers.watch(cloud, fleet)
        report.callers("What calls IMDSv1 there", planted)
    seconds = time.monotonic() - began
    _write_result(first, second, planted, seconds)
    report.summary(first, second, seconds)
    if not all(line.is_expected for line in (*first, *second)):
        raise LocalCloudError("not every verdict is the expected one; the lines marked with ! tell which")
    if not all(each.is_expected for each in planted):
        raise LocalCloudError("not all software that calls IMDSv1 was named; the lines marked with ! tell which")


def populate(cloud: LocalCloud) -> list[Launched]:
    """Give a deployed stack the demo's policy and fleet, and send what reports it. Returns the fleet."""
    _set_policy(cloud)
    fleet = _launch(cloud)
    _send(cloud, fleet)
    return fleet


def _set_policy(cloud: LocalCloud) -> None:
    ssm = cloud.session().client("ssm")
    ssm.put_parameter(
        Name=cloud.outputs["PolicyParameterName"], Value=json.dumps(POLICY), Type="String", Overwrite=True
    )


def _launch(cloud: LocalCloud) -> list[Launched]:
    """Launch the fleet with what happened before the events: canaries first, then the others with their own history."""
    for canary in launch(cloud, canaries()):
        _enforce(cloud, canary)
    fleet = launch(cloud, machines())
    for each in fleet:
        _live_through(cloud, each)
    _break(cloud, [each for each in fleet if each.machine.happened is Before.BROKE])
    return fleet


def _live_through(cloud: LocalCloud, each: Launched) -> None:
    match each.machine.happened:
        case Before.BROKE:
            _enforce(cloud, each)
        case Before.CHANGED_BACK:
            _enforce(cloud, each)
            _change_back(cloud, each)
        case Before.HELD:
            until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
            hold = {"hold": {"targets": [each.arn]}, "owner": "team blue", "reason": "Release in May.", "until": until}
            _ask(cloud, {**hold, "dry_run": False, "caller": "team blue"})
        case Before.UNDONE:
            _enforce(cloud, each)
            _ask(cloud, {"undo": {"targets": [each.arn]}, "dry_run": False, "caller": "team grey"})


def _enforce(cloud: LocalCloud, each: Launched) -> None:
    [result] = _invoke(cloud, [each], dry_run=False)
    if result["status"] != "enforced":
        raise LocalCloudError(f"{each.machine.name} was not enforced by hand: {result}")


def _change_back(cloud: LocalCloud, each: Launched) -> None:
    """Open what was closed some time ago, as a person in a hurry would."""
    _age(cloud, each)
    ec2 = cloud.session(account=each.machine.account, region=each.machine.region).client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=each.instance_id, HttpTokens="optional")


def _age(cloud: LocalCloud, each: Launched) -> None:
    """Move its enforcement into the past."""
    cloud.session().client("dynamodb").update_item(
        TableName=cloud.outputs["LedgerTableName"],
        Key={"pk": {"S": each.arn}, "sk": {"S": "current"}},
        UpdateExpression="SET enforced_at = :then, enforcing_at = :then",
        ExpressionAttributeValues={":then": {"S": f"{datetime.now(UTC) - ENFORCED_AGO:%Y-%m-%dT%H:%M:%S.%fZ}"}},
    )


def _break(cloud: LocalCloud, broken: Iterable[Launched]) -> None:
    """Let software call IMDSv1 and be refused again and again; the guard's next pass puts its instance back."""
    for each in broken:
        _age(cloud, each)
        earlier = [(int(time.time()) - minutes * 60, [1.0]) for minutes in (20, 10)]
        cloud.history(
            "MetadataNoTokenRejected",
            {each.instance_id: earlier},
            account=each.machine.account,
            region=each.machine.region,
            period=FINE,
        )
        endpoint = cloud.imds(each.instance_id, account=each.machine.account, region=each.machine.region)
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{endpoint}/latest/meta-data/").close()  # noqa: S310 - loopback
    done = json.load(_patient(cloud).invoke(FunctionName=GUARD, Payload=b"{}")["Payload"])
    if done.get("rolled_back", 0) < 1:
        raise LocalCloudError(f"the guard put nothing back: {done}")


def _send(cloud: LocalCloud, fleet: Iterable[Launched]) -> None:
    """Send each instance's finding or event from the account and to the bus that AWS would use."""
    for each in fleet:
        machine = each.machine
        match machine.via:
            case Via.SECURITY_HUB | Via.FOUNDATIONAL | Via.CIS:
                found = finding(each.arn, generator=GENERATORS[machine.via])
                _import(cloud, each, found)
                if machine.suppressed:
                    _suppress(cloud, found)
            case Via.V2:
                place = {"account": machine.account, "region": machine.region}
                cloud.ask("PUT", "findings-v2", {**place, "findings": [finding_v2(each.arn)]})
            case Via.CONFIG:
                _put_config_event(cloud, each, "default")
            case Via.CONFIG_FORWARDED:
                _put_config_event(cloud, each, cloud.outputs["CentralEventBusName"])


def _import(cloud: LocalCloud, each: Launched, found: dict[str, Any]) -> None:
    hub = cloud.session(account=each.machine.account, region=each.machine.region).client("securityhub")
    hub.batch_import_findings(Findings=[found])  # type: ignore[list-item]


def _suppress(cloud: LocalCloud, found: Mapping[str, Any]) -> None:
    """Suppress a finding while its event is still in the batching window."""
    hub = cloud.session().client("securityhub")
    hub.batch_update_findings(
        FindingIdentifiers=[{"Id": found["Id"], "ProductArn": found["ProductArn"]}], Workflow={"Status": "SUPPRESSED"}
    )


def _put_config_event(cloud: LocalCloud, each: Launched, bus: str) -> None:
    detail = json.dumps(config_change(each.arn))
    kind = "Config Rules Compliance Change"
    events = cloud.session().client("events")
    events.put_events(Entries=[{"Source": "aws.config", "DetailType": kind, "Detail": detail, "EventBusName": bus}])


def await_verdicts(
    cloud: LocalCloud, fleet: list[Launched], since: datetime, seconds: float = VERDICT_SECONDS
) -> dict[str, Verdict]:
    """Wait until the ledger has a verdict on each instance that is newer than the events; by ARN. Raises LocalCloudError."""
    deadline = time.monotonic() + seconds
    while True:
        verdicts = _ledger(cloud, fleet, since)
        missing = [each.machine.name for each in fleet if each.arn not in verdicts]
        if not missing:
            return verdicts
        if time.monotonic() > deadline:
            raise LocalCloudError(
                f"no verdict after {seconds} s of {', '.join(missing)}; the server's log is {cloud.log}"
            )
        time.sleep(0.5)


def _ledger(cloud: LocalCloud, fleet: list[Launched], since: datetime) -> dict[str, Verdict]:
    table = cloud.outputs["LedgerTableName"]
    keys = [{"pk": {"S": each.arn}, "sk": {"S": "current"}} for each in fleet]
    items = cloud.session().client("dynamodb").batch_get_item(RequestItems={table: {"Keys": keys}})["Responses"][table]
    plain = [{name: value["S"] for name, value in item.items() if "S" in value} for item in items]
    return {
        item["pk"]: Verdict(
            decision=item["decision"],
            reason=item["reason"],
            status=item["status"],
            explanation=item.get("explanation", ""),
        )
        for item in plain
        if "decided_at" in item
        and datetime.fromisoformat(item["decided_at"]) >= since
        and item["status"] != "enforcing"
    }


def _dry_run(cloud: LocalCloud, fleet: list[Launched]) -> dict[str, Verdict]:
    names = ("decision", "reason", "status", "explanation")
    return {
        result["target"]: Verdict(**{name: result[name] for name in names})
        for result in _invoke(cloud, fleet, dry_run=True)
    }


def _invoke(cloud: LocalCloud, fleet: list[Launched], *, dry_run: bool) -> list[dict[str, Any]]:
    return _ask(cloud, {"targets": [each.arn for each in fleet], "dry_run": dry_run})


def _ask(cloud: LocalCloud, order: Mapping[str, Any]) -> list[dict[str, Any]]:
    payload = json.dumps(order)
    client = _patient(cloud)
    answer = json.load(client.invoke(FunctionName=cloud.outputs["ManualFunctionName"], Payload=payload)["Payload"])
    if "results" not in answer:
        raise LocalCloudError(f"the manual invoke answered {answer}")
    results: list[dict[str, Any]] = answer["results"]
    return results


def _patient(cloud: LocalCloud) -> Any:
    """A Lambda client that waits 15 minutes and never retries: the functions must not be invoked twice."""
    return cloud.session().client("lambda", config=Config(read_timeout=900, retries={"total_max_attempts": 1}))


def _tokens(cloud: LocalCloud, fleet: Iterable[Launched]) -> dict[str, str]:
    """`HttpTokens` of each instance, as EC2 reports it, by instance id."""
    seen: dict[str, str] = {}
    for account, region in {(each.machine.account, each.machine.region) for each in fleet}:
        pages = (
            cloud.session(account=account, region=region).client("ec2").get_paginator("describe_instances").paginate()
        )
        for page in pages:
            for reservation in page["Reservations"]:
                seen |= {each["InstanceId"]: each["MetadataOptions"]["HttpTokens"] for each in reservation["Instances"]}
    return seen


def _lines(
    fleet: Iterable[Launched],
    verdicts: Mapping[str, Verdict],
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    again: bool,
) -> list[Line]:
    lines = []
    for each in fleet:
        machine, verdict = each.machine, verdicts[each.arn]
        decision, reason = machine.second_verdict if again else (machine.decision, machine.reason)
        changes = machine.is_enforced and not again
        tokens = (before[each.instance_id], after[each.instance_id])
        lines.append(
            Line(
                name=machine.name,
                arn=each.arn,
                story=machine.story,
                via="manual" if again else machine.via,
                decision=verdict.decision,
                reason=verdict.reason,
                status=verdict.status,
                explanation=verdict.explanation,
                before=tokens[0],
                after=tokens[1],
                expected_decision=decision,
                expected_reason=reason,
                expected_after="required" if changes else tokens[0],
            )
        )
    return lines


def _write_result(first: list[Line], second: list[Line], planted: list[Caller], seconds: float) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "ok": all(line.is_expected for line in (*first, *second)) and all(each.is_expected for each in planted),
        "security_account": SECURITY,
        "seconds": round(seconds, 1),
        "events": [line.as_json() for line in first],
        "dry_run": [line.as_json() for line in second],
        "callers": [each.as_json() for each in planted],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
