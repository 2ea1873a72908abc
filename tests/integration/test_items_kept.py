"""The ledger's items after complete lives equal the committed copy, attribute by attribute: other versions read them
too.

`make kept` updates the copy; review the difference before you commit it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.people.command_request import Command
from imdsv2.people.request import parse
from imdsv2.version import VERSION
from imdsv2.wiring.people import build_people
from tests.fixtures.events import finding
from tests.integration.builders import HUB, OTHER, TABLE, arn_of, asked
from tests.integration.guarding import enforced, guard, live, reject, untag

if TYPE_CHECKING:
    import pytest

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

KEPT = Path(__file__).parent / "kept" / "items.json"
RENEW = "KEEP" in os.environ
GENTLE = {"aws:ec2launchtemplate:id": "lt-0a1b2c"}
"""What launched those that are in no cohort with one that broke."""
VARYING = re.compile(
    r"(?<=\d\d:\d\d:\d\d)\.\d{6}(?=Z|#)"  # How often the clock was read.
    r"|(?<=#)[0-9a-f]{12}$"  # The random end of an event's key.
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # The random id of a finding.
    r"|^[0-9a-f]{32}$"  # The hash of it.
    rf"|^{re.escape(VERSION)}$"
)


def ask(cloud: Cloud, **event: Any) -> None:
    """Execute a command."""
    command = parse({"dry_run": False, **event})
    assert isinstance(command, Command)
    build_people(cloud.function()).carry_out(command, "request-9", lambda: True)


def judge(cloud: Cloud, *arns: InstanceArn, **how: Any) -> None:
    """Process findings of instances."""
    requests = []
    for arn in arns:
        failed = finding(str(arn))
        cloud.hub.holds(failed)
        requests.append(asked(arn, finding=failed, **how))
    assert {} == cloud.line().run(requests, "request-1").failed


def live_whole_lives(cloud: Cloud) -> dict[str, InstanceArn]:
    """One instance for each possible course of events. Returns them by name."""
    lives = {"healthy": enforced(cloud), "broken": enforced(cloud), "stuck": enforced(cloud), "undone": enforced(cloud)}
    kinds: dict[str, dict[str, Any]] = {
        "used": {"use": 3.0},
        "exempt": {"tags": {"imdsv2:exempt-until": "2026-11-22"}},
        "young": {"days": 2, "tags": {"aws:ec2launchtemplate:id": "lt-0a1b2d"}},
        "required": {"tokens": "required"},
        "unseen": {"observed": False, "tags": {"aws:ec2launchtemplate:id": "lt-0a1b2e"}},
        "elsewhere": {"account": OTHER, "region": "us-east-1"},
        "held": {},
    }
    lives |= {name: cloud.one(**how) for name, how in kinds.items()}
    lives["gone"] = arn_of("404")
    held = {"owner": "team blue", "reason": "Release.", "until": "2026-11-30", "caller": "ann"}
    ask(cloud, hold={"targets": [str(lives["held"])]}, **held)
    judge(
        cloud, *(lives[name] for name in ("used", "exempt", "young", "required", "unseen", "elsewhere", "held", "gone"))
    )
    reject(cloud, lives["broken"], calls=4)
    reject(cloud, lives["stuck"])
    untag(cloud, lives["stuck"], "imdsv2:enforced-at")
    guard(cloud)
    ask(cloud, undo={"targets": [str(lives["undone"])]}, caller="ben")
    for _ in range(5):
        live(cloud, lives["healthy"], hours=6)
        guard(cloud)
    return lives | _go_gently(cloud)


def _go_gently(cloud: Cloud) -> dict[str, InstanceArn]:
    """The lives of instances for which gates are closed at first."""
    cloud.policy(mode="enforce", approval="required")
    lives = {name: cloud.one(tags=GENTLE) for name in ("approved", "refused", "waiting")}
    judge(cloud, *lives.values())
    ask(cloud, approve={"targets": [str(lives["approved"])]}, caller="ann", until="2026-12-24")
    ask(cloud, refuse={"targets": [str(lives["refused"])]}, caller="ben")
    judge(cloud, *lives.values(), source="manual", caller="ann")
    cloud.policy(mode="enforce", notice_hours=48)
    lives["noticed"] = cloud.one(tags=GENTLE | {"owner": "team red"})
    cloud.policy(mode="enforce", canary={"share": 0.5, "hours": 24}, notice_hours=48)
    judge(cloud, lives["noticed"])
    cloud.policy(mode="enforce", canary={"share": 0.5, "hours": 24})
    herd = cloud.launch(count=4, tags={"aws:autoscaling:groupName": "herd"})
    judge(cloud, herd[0], herd[1])
    cloud.policy(mode="observe")
    lives |= {f"herd {number}": arn for number, arn in enumerate(herd)} | {"observed": cloud.one(tags=GENTLE)}
    judge(cloud, lives["observed"])
    cloud.policy(mode="off")
    lives["off"] = cloud.one(tags=GENTLE)
    judge(cloud, lives["off"])
    return lives


def test_items_are_the_kept_ones(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attribute of every item, in DynamoDB's own types."""
    monkeypatch.setattr("random.random", lambda: 0.5)
    ids = (f"i-{number:017x}" for number in itertools.count(0xABC))  # They decide on shards and on canaries.
    monkeypatch.setattr("moto.ec2.models.instances.random_instance_id", lambda: next(ids))
    lives = live_whole_lives(cloud)
    items = cloud.as_account(HUB, "dynamodb").scan(TableName=TABLE)["Items"]
    text = json.dumps(items)
    for name, arn in lives.items():
        text = text.replace(arn.instance_id, f"<{name}>")
    known = [_without_varying(item) for item in json.loads(text) if item["pk"]["S"] != "policy"]
    shown = (
        json.dumps(sorted(known, key=lambda item: json.dumps([item["pk"], item["sk"]])), indent=1, sort_keys=True)
        + "\n"
    )
    if RENEW:
        KEPT.write_text(shown)
    assert KEPT.read_text() == shown


def _without_varying(value: Any) -> Any:
    match value:
        case {"members": {"S": str()}}:  # Compressed, which comes out another way with another release of zlib.
            return _without_varying(value | {"members": {"S": []}})
        case dict():
            return {VARYING.sub("", key): _without_varying(each) for key, each in value.items()}
        case list():
            return [_without_varying(each) for each in value]
        case str():
            return VARYING.sub("", value)
    return value
