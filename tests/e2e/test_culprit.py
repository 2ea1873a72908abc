"""The command `culprit` on the local AWS: real processes call without a token, and are named by their command lines."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from local.cloud.run import HOME
from local.demo import analyzer
from tests.e2e import planting
from tests.e2e.guarded_fleet import credentials
from tests.e2e.world import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.demo.fleet import Launched
    from tests.e2e.world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The stack with the setting `capture`."""
    with planting.deployed() as world:
        yield world


def test_every_planted_caller_is_named(world: World, tmp_path: Path) -> None:
    """By its command line; what uses tokens is not. Whoever asks later sees it in the ledger."""
    done = planting.plant(world, tmp_path)
    captures = {name: each["capture"] for name, each in done.found.items()}
    assert {"captured"} == {each["state"] for each in captures.values()}, captures
    assert list(planting.CALLERS) == done.named, captures
    assert ["curl"] == [each["name"] for each in done.processes("backup.sh")]
    assert [] == done.processes("modern.py")
    kept = world.ask({"culprit": {"targets": [done.fleet["collector.py"].arn]}})["results"][0]["captured"]
    assert ("ada", done.processes("collector.py")) == (kept["caller"], kept["processes"])
    assert done.found["collector.py"]["when"]["calls"] > 5


def test_an_instance_without_systems_manager_gets_the_commands(world: World) -> None:
    """And nothing is run."""
    [one] = world.launch(calls=planting.CALLED)
    result = planting.watched(world, one)[one.instance_id]
    assert "refused" == result["capture"]["state"]
    assert "imds_snoop.py" in " ".join(result["capture"]["by_hand"])


def test_an_sdk_is_named_without_anything_on_the_instance(world: World) -> None:
    """By CloudTrail: it calls AWS with credentials that it fetched without a token. What fetched them with one is not named."""
    session: Any = world.cloud.session(account=planting.HERE)
    iam = session.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="app", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_instance_profile(InstanceProfileName="app")
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    [one] = world.launch(calls=planting.CALLED)
    session.client("ec2").associate_iam_instance_profile(InstanceId=one.instance_id, IamInstanceProfile={"Name": "app"})
    endpoint = world.cloud.imds(one.instance_id, account=planting.HERE, region=HOME)
    for with_token, agent in ((False, "Boto3/1.9.57 Botocore/1.12.57"), (True, "Boto3/1.34.1 Botocore/1.34.1")):
        fetched = credentials(endpoint, with_token=with_token)
        sqs = session.client(
            "sqs",
            region_name=HOME,
            aws_access_key_id=fetched["AccessKeyId"],
            aws_secret_access_key=fetched["SecretAccessKey"],
            aws_session_token=fetched["Token"],
            config=Config(user_agent=agent),
        )
        sqs.list_queues()
    [result] = world.ask({"culprit": {"targets": [one.arn]}})["results"]
    assert {"by_v1": 1, "by_v2": 1, "unsaid": 0} == result["delivered"]
    [caller] = result["callers"]
    assert ("Boto3", "1.9.57", "sqs:ListQueues") == (caller["name"], caller["version"], caller["example"])
    assert "Update Boto3 to 1.12.6 or later" in result["explanation"]


def test_while_it_is_watched_no_second_command_is_sent(world: World) -> None:
    """Whoever asks meanwhile gets the first one's id."""
    [one] = world.launch(tags=planting.MANAGED, calls=planting.CALLED)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(planting.watched, world, one)
        eventually(lambda: "capture_sent" in kinds(world, one) or None, "a command that was sent")
        second = planting.watched(world, one)[one.instance_id]["capture"]
        done = first.result()[one.instance_id]["capture"]
    assert ("captured", "running", done["command_id"]) == (done["state"], second["state"], second["command_id"])
    assert ["capture_begun", "capture_sent", "captured"] == kinds(world, one)


def kinds(world: World, one: Launched) -> list[str]:
    """What the ledger says of watching an instance, in order."""
    found = world.home.client("dynamodb").query(
        TableName=world.cloud.outputs["LedgerTableName"],
        KeyConditionExpression="pk = :pk AND begins_with(sk, :decision)",
        ExpressionAttributeValues={":pk": {"S": one.arn}, ":decision": {"S": "decision#"}},
    )
    several = [item["kind"]["S"] for item in found["Items"]]
    return [each for each in several if each.startswith("capture")]


def test_an_artefact_that_is_not_there_is_told(world: World) -> None:
    """As such: the step that should run it only finds that there is none."""
    s3 = world.cloud.session(account=planting.HERE).client("s3")
    s3.delete_object(Bucket=analyzer.BUCKET, Key=analyzer.KEY)
    try:
        [one] = world.launch(tags=planting.MANAGED, calls=planting.CALLED)
        capture = planting.watched(world, one)[one.instance_id]["capture"]
    finally:
        planting.upload(world, analyzer.packed())
    assert "failed" == capture["state"]
    assert "could not be fetched" in capture["says"]
    assert analyzer.KEY in capture["says"]


def test_another_artefact_is_not_run(world: World) -> None:
    """Its digest is another."""
    planting.upload(world, b"something else")
    try:
        [one] = world.launch(tags=planting.MANAGED, calls=planting.CALLED)
        result = planting.watched(world, one)[one.instance_id]
    finally:
        planting.upload(world, analyzer.packed())
    assert "failed" == result["capture"]["state"]
    assert "SHA-256 is another" in result["capture"]["says"]
