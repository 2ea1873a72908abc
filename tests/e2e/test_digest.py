"""The daily digest on the deployed stack: after a sweep of everything, each owner hears of the day."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.cloud.run import MEMBERS
from tests.e2e.test_sweep import _start
from tests.e2e.world import eventually
from tests.fixtures import events

if TYPE_CHECKING:
    from tests.e2e.world import World


def _sweep_as_if_whole(world: World) -> dict[str, Any]:
    """A sweep of one account and Region whose last step is told that it was all: that of every Region takes minutes. The answer of that
    step."""
    execution = _start(world, {"dry_run": False, "accounts": [MEMBERS[0]], "regions": ["eu-west-1"]})
    ended = world.ended(execution)
    assert "SUCCEEDED" == ended["status"], ended
    name, output = execution.rpartition(":")[2], json.loads(ended["output"])
    s3, bucket = world.home.client("s3"), output["bucket"]
    s3.put_object(Bucket=bucket, Key=f"{name}/order.json", Body=json.dumps({"whole": True}).encode())
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="results/")["Contents"]
    manifests = [each for each in listed if each["Key"].endswith("manifest.json")]
    last = max(manifests, key=lambda each: each["LastModified"])["Key"]
    step = {"step": "summarise", "execution": name, "dry_run": False, "manifest": last}
    answer: dict[str, Any] = world.invoke(
        "imdsv2-remediation-sweep", {**step, "unreachable": f"{name}/unreachable.json"}
    )
    return answer


def test_an_owner_gets_one_digest_and_nothing_before(world: World) -> None:
    """With what needs a person and the command; a finding by itself is no message."""
    world.messages()
    world.forget_digest()
    one = world.launch_one(calls={3: 7}, tags={"owner": "team-azure", "Name": "azure-1"})
    world.send(events.config_change(one.instance_id))
    assert "v1_in_use" == world.decided(one)["reason"]
    assert not any(one.instance_id in each["Message"] for each in world.messages())
    assert 0 == _sweep_as_if_whole(world)["digests"]["failed"]

    def look() -> dict[str, Any] | None:
        return next((each for each in world.messages() if "team-azure" in each["Subject"]), None)

    told = eventually(look, "the digest")
    assert {"kind": "digest", "owner": "team-azure"} == {
        name: each["Value"] for name, each in told["MessageAttributes"].items()
    }
    assert f"- azure-1 ({one.instance_id}, " in told["Message"]
    assert f"  [1] imdsv2 mended {one.arn} " in told["Message"]
    assert "imdsv2 list --owner team-azure" in told["Message"]
