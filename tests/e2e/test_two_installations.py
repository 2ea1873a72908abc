"""A pilot beside production in one account: both are deployed, and each does its own work under its own names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.names import Names
from local.cloud.deploy import Deployment, deploy_stack
from local.cloud.run import HOME, MEMBERS, ROOT, SECURITY, LocalCloud
from tests.e2e.world import World
from tests.fixtures import events

if TYPE_CHECKING:
    from collections.abc import Iterator

PILOT = Names(prefix="imdsv2-pilot")
SETTINGS: dict[str, Any] = {"name_prefix": PILOT.prefix, "config_rule_names": ["Require-IMDSv2*"]}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Production as it comes, and then the pilot, in the same accounts."""
    with LocalCloud() as cloud:
        cloud.deploy()
        deployment = Deployment.synthesised(ROOT, SETTINGS)
        for account in MEMBERS:
            template = (deployment.assembly / f"{PILOT.roles_stack}.template.json").read_text()
            parameters = [{"ParameterKey": "SecurityAccountId", "ParameterValue": SECURITY}]
            deploy_stack(
                cloud.session(account=account), PILOT.roles_stack, TemplateBody=template, Parameters=parameters
            )
        url = deployment._upload_assets(cloud.session(), PILOT.service_stack)
        cloud.outputs = deploy_stack(cloud.session(), PILOT.service_stack, TemplateURL=url)
        yield World(cloud)


def test_the_pilot_has_its_own(world: World) -> None:
    """Its own function, bus, parameter and state machine, as its outputs say."""
    outputs = world.cloud.outputs
    assert (PILOT.function("manual"), PILOT.event_bus, PILOT.policy_parameter) == (
        outputs["ManualFunctionName"],
        outputs["CentralEventBusName"],
        outputs["PolicyParameterName"],
    )
    assert outputs["SweepStateMachineArn"].endswith(":imdsv2-pilot-sweep")


def test_the_pilot_judges_through_its_own_roles_and_names_its_own_function(world: World) -> None:
    """A dry run enters the member by the pilot's read and write roles."""
    one = world.launch_one(account=MEMBERS[0], region=HOME)
    lambda_ = world.cloud.session().client("lambda")
    target = events.instance_arn(one.instance_id, account=MEMBERS[0], region=HOME)
    answer = lambda_.invoke(FunctionName=PILOT.function("manual"), Payload=json.dumps({"targets": [target]}))
    [result] = json.loads(answer["Payload"].read())["results"]
    assert ("enforce", "unused", True) == (result["decision"], result["reason"], result["permitted"])


def test_the_pilot_takes_config_rules_by_the_names_of_its_settings(world: World) -> None:
    """From the default bus to the ledger of the pilot."""
    one = world.launch_one(account=SECURITY, region=HOME)
    event = events.config_change(one.instance_id, account=SECURITY, region=HOME, rule="require-imdsv2-a1b2c3")
    entry: Any = {"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    assert 0 == world.cloud.session().client("events").put_events(Entries=[entry])["FailedEntryCount"]
    item = world.decided(one)
    assert ("would_enforce", "config") == (item["status"], item["source"])
