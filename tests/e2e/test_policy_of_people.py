"""A deployment leaves the policy that people have written as it is, and says so: on the local AWS, from the template."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.deploy import SERVICE_STACK, Deployment
from local.cloud.run import ROOT, LocalCloud

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMETER = "/imdsv2-remediation/policy"
OF_THE_NIGHT = {"mode": "off", "approval": "required", "exclude_accounts": ["333333333333"]}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A local AWS with the service as it comes."""
    with LocalCloud() as started:
        started.deploy()
        yield started


def live(cloud: LocalCloud) -> Any:
    """The policy in force."""
    return json.loads(cloud.session().client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"])


def update(cloud: LocalCloud, **settings: Any) -> dict[str, str]:
    """Deploy over what is there, with other settings; returns the stack's outputs."""
    cloudformation = cloud.session().client("cloudformation")
    url = Deployment.synthesised(ROOT, settings)._upload_assets(cloud.session(), SERVICE_STACK)
    cloudformation.update_stack(
        StackName=SERVICE_STACK,
        TemplateURL=url,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [stack] = cloudformation.describe_stacks(StackName=SERVICE_STACK)["Stacks"]
        if stack["StackStatus"] == "UPDATE_COMPLETE":
            return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        assert stack["StackStatus"].endswith("IN_PROGRESS"), stack
        time.sleep(0.1)
    raise AssertionError("the update took too long")


def test_a_deployment_never_writes_a_policy_that_exists(cloud: LocalCloud) -> None:
    """Another policy in cdk.json, `enforce` even, undoes no `off` of the night; the difference is an output."""
    assert "created from cdk.json" == cloud.outputs["PolicyNote"]
    assert "observe" == live(cloud)["mode"]
    ssm = cloud.session().client("ssm")
    ssm.put_parameter(Name=PARAMETER, Value=json.dumps(OF_THE_NIGHT), Type="String", Overwrite=True)
    outputs = update(cloud, policy={"mode": "enforce"})
    assert OF_THE_NIGHT == live(cloud)
    note = outputs["PolicyNote"]
    assert [] == [each for each in ("kept as it is", 'mode "off" (cdk.json: "enforce")') if each not in note]


def test_the_policy_outlives_the_stack(cloud: LocalCloud) -> None:
    """The next deployment finds it, and takes it as it is."""
    cloudformation = cloud.session().client("cloudformation")
    before = live(cloud)
    cloudformation.delete_stack(StackName=SERVICE_STACK)
    assert before == live(cloud)
