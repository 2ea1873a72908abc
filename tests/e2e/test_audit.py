"""The audit trail on the deployed stack: people's words reach subscribers, and one command answers an auditor."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from local.cloud.run import HOME
from tests.e2e.world import eventually

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World

BUS = "imdsv2-remediation"


def subscribe(world: World) -> str:
    """A queue of somebody who wants to know of holds. Returns its address."""
    sqs, bridge = world.home.client("sqs"), world.home.client("events")
    url = sqs.create_queue(QueueName="tickets")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": [BUS], "detail-type": ["hold_set", "hold_released"]}
    bridge.put_rule(Name="tickets", EventBusName=BUS, EventPattern=json.dumps(pattern))
    bridge.put_targets(Rule="tickets", EventBusName=BUS, Targets=[{"Id": "tickets", "Arn": arn}])
    return str(url)


def received(world: World, url: str, number: int) -> list[dict[str, Any]] | None:
    """What has come, once that is so many."""
    answer = world.home.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    events = [json.loads(each["Body"]) for each in answer.get("Messages", [])]
    return sorted(events, key=lambda each: str(each["detail"]["at"])) if len(events) >= number else None


def audit(world: World, *arguments: str) -> list[dict[str, str]]:
    """The rows of `imdsv2 audit`, as CSV."""
    keys = world.home.get_credentials()
    assert keys is not None
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token or "",
        "AWS_ENDPOINT_URL": world.cloud.endpoint,
        "AWS_DEFAULT_REGION": HOME,
        "PYTHONPATH": "cli:lambdas",
    }
    run = subprocess.run(
        [sys.executable, "-m", "imdsv2_cli", "audit", "--format", "csv", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == run.returncode, run.stderr
    return list(csv.DictReader(io.StringIO(run.stdout)))


def hold(world: World, one: Launched, caller: str) -> dict[str, Any]:
    asked = {"hold": {"targets": [one.arn]}, "owner": "blue", "reason": "Release.", "until": "2099-12-31"}
    [result] = world.ask({**asked, "caller": caller, "dry_run": False})["results"]
    return dict(result)


def test_every_word_is_told_to_subscribers_and_to_the_auditor(world: World) -> None:
    """Held by one, held again by another, released by a third; then somebody looks. Each is an event with its name."""
    url, one = subscribe(world), world.launch_one()
    assert "replaces" not in hold(world, one, "ann")
    assert "ann" == hold(world, one, "ben")["replaces"]["by"]
    world.ask({"targets": [one.arn], "dry_run": False, "caller": "dora"})
    world.ask({"release": {"targets": [one.arn]}, "caller": "cleo", "dry_run": False})
    told = eventually(lambda: received(world, url, 3), "three events")
    assert [("hold_set", "ann"), ("hold_set", "ben"), ("hold_released", "cleo")] == [
        (each["detail-type"], each["detail"]["caller"]) for each in told
    ]
    assert {(BUS, one.instance_id)} == {(each["source"], each["detail"]["instance_id"]) for each in told}
    rows = audit(world, "--since", "1h", "--instance", one.instance_id)
    assert ["allows_imdsv1", "hold_set", "hold_set", "status_changed", "hold_released"] == [
        each["kind"] for each in rows
    ]
    assert ["ann", "ben", "dora", "cleo"] == [each["who"] for each in rows[1:]]
    assert all(each["request_id"] and each["service_version"] for each in rows[1:])
