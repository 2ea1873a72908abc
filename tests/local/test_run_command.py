"""Run Command and inventory: documents of stacks run as real processes, and every answer and refusal is one that AWS's model knows."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.deploy import deploy_stack
from local.cloud.run import HOME
from tests.local.launching import Refused, launch
from tests.local.model_check import check_answers

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud

PATIENCE_SECONDS = 20
BUCKET, KEY = "tool-chest", "nested/folder/tool.txt"
MANAGED = {"local:ssm": "Linux"}


def shell(name: str, *script: str, **more: Any) -> dict[str, Any]:
    """A step that runs a script."""
    inputs = {"timeoutSeconds": "20", "runCommand": list(script)}
    return {"action": "aws:runShellScript", "name": name, "inputs": inputs, **more}


def fetch(key: str = KEY, **more: Any) -> dict[str, Any]:
    """A step that takes an object out of the account's bucket."""
    info = json.dumps({"path": f"https://{BUCKET}.s3.{HOME}.amazonaws.com/{key}"})
    inputs = {"sourceType": "S3", "sourceInfo": info}
    return {"action": "aws:downloadContent", "name": "take", "inputs": inputs, **more}


class Commands:
    """Systems Manager of one account, with a managed instance."""

    def __init__(self, cloud: LocalCloud, account: str) -> None:
        self.session = cloud.session(account=account)
        self.ssm: Any = check_answers(self.session.client("ssm"))
        ec2: Any = self.session.client("ec2")
        [self.instance] = launch(ec2, tags=MANAGED)
        self.ec2 = ec2

    def document(self, *steps: dict[str, Any], **parameters: Any) -> str:
        """A document in a stack of its own; its name."""
        name = f"doc-{uuid.uuid4().hex[:8]}"
        content = {"schemaVersion": "2.2", "parameters": parameters, "mainSteps": list(steps)}
        properties = {"Name": name, "DocumentType": "Command", "Content": content}
        resource = {"Type": "AWS::SSM::Document", "Properties": properties}
        deploy_stack(self.session, f"stack-{name}", TemplateBody=json.dumps({"Resources": {"Document": resource}}))
        return name

    def send(self, document: str, **parameters: str) -> str:
        """Run it; the command's id."""
        sent = self.ssm.send_command(
            DocumentName=document,
            InstanceIds=[self.instance],
            Parameters={name: [value] for name, value in parameters.items()},
        )
        return str(sent["Command"]["CommandId"])

    def ended(self, command_id: str, step: str) -> Any:
        """What came of a step, once it is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            seen = self.ssm.get_command_invocation(CommandId=command_id, InstanceId=self.instance, PluginName=step)
            if seen["Status"] not in {"Pending", "InProgress"}:
                return seen
            assert ("", "") == (seen["StandardOutputContent"], seen["StandardErrorContent"]), "while it runs"
            time.sleep(0.05)
        raise AssertionError(f"{step} has not ended")

    def knows(self, operation: str, code: str) -> bool:
        """Whether the model has this error of the operation."""
        model = self.ssm.meta.service_model.operation_model(operation)
        return code in {each.name for each in model.error_shapes}


@pytest.fixture
def commands(cloud: LocalCloud, account: str) -> Commands:
    """In an account of its own."""
    return Commands(cloud, account)


def test_a_script_runs_and_its_output_is_answered(commands: Commands) -> None:
    """Where a document has one step, it need not be named."""
    document = commands.document(shell("only", "echo to stdout", "echo to stderr >&2"))
    command_id = commands.send(document)
    seen = commands.ended(command_id, "only")
    assert ("Success", 0, "to stdout\n", "to stderr\n") == tuple(
        seen[each] for each in ("Status", "ResponseCode", "StandardOutputContent", "StandardErrorContent")
    )
    unnamed = commands.ssm.get_command_invocation(CommandId=command_id, InstanceId=commands.instance)
    assert (document, "only") == (unnamed["DocumentName"], unnamed["PluginName"])


def test_of_several_steps_one_has_to_be_named(commands: Commands) -> None:
    """As people found out whose documents download something."""
    command_id = commands.send(commands.document(shell("first", "echo 1"), shell("second", "echo 2")))
    assert "2\n" == commands.ended(command_id, "second")["StandardOutputContent"]
    assert "1\n" == commands.ended(command_id, "first")["StandardOutputContent"]
    for named in ({}, {"PluginName": "third"}):
        with Refused() as refusal:
            commands.ssm.get_command_invocation(CommandId=command_id, InstanceId=commands.instance, **named)
        assert "InvalidPluginName" == refusal.code
    assert commands.knows("GetCommandInvocation", "InvalidPluginName")


@pytest.mark.parametrize(("more", "goes_on"), [({}, True), ({"onFailure": "exit"}, False)])
def test_a_step_that_fails_does_not_keep_the_next_from_running(
    more: dict[str, Any], goes_on: bool, commands: Commands
) -> None:
    """Unless it says so."""
    document = commands.document(shell("broken", "echo broken >&2; exit 7", **more), shell("next", "echo went on"))
    command_id = commands.send(document)
    failed = commands.ended(command_id, "broken")
    assert ("Failed", "broken\n") == (failed["Status"], failed["StandardErrorContent"])
    if goes_on:
        assert "went on\n" == commands.ended(command_id, "next")["StandardOutputContent"]
    else:
        seen = commands.ssm.get_command_invocation(
            CommandId=command_id, InstanceId=commands.instance, PluginName="next"
        )
        assert ("Pending", -1) == (seen["Status"], seen["ResponseCode"])


def test_an_object_is_there_for_the_next_step(commands: Commands) -> None:
    """Under its own name, in the folder in which the script begins; one that is missing is told by its step."""
    s3 = commands.session.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"sharp")
    command_id = commands.send(commands.document(fetch(), shell("read", "cat tool.txt")))
    assert "sharp" == commands.ended(command_id, "read")["StandardOutputContent"]
    command_id = commands.send(commands.document(fetch("nested/other.txt"), shell("read", "cat other.txt")))
    missing = commands.ended(command_id, "take")
    assert ("Failed", True) == (missing["Status"], "nested/other.txt" in missing["StandardErrorContent"])
    assert "Failed" == commands.ended(command_id, "read")["Status"]


def test_parameters_have_defaults_and_allowed_values(commands: Commands) -> None:
    """What is not allowed is not run."""
    colour = {"type": "String", "default": "red", "allowedValues": ["red", "blue"]}
    document = commands.document(shell("paint", "echo {{ Colour }} {{Colour}}"), Colour=colour)
    for given, shown in (({}, "red red\n"), ({"Colour": "blue"}, "blue blue\n")):
        assert shown == commands.ended(commands.send(document, **given), "paint")["StandardOutputContent"]
    with Refused() as refusal:
        commands.send(document, Colour="green; reboot")
    assert "InvalidParameters" == refusal.code
    assert commands.knows("SendCommand", refusal.code)


def test_output_is_answered_in_part(commands: Commands) -> None:
    """24,000 characters of it, and 8,000 of the errors."""
    script = "head -c 30000 /dev/zero | tr '\\0' x; head -c 30000 /dev/zero | tr '\\0' y >&2"
    seen = commands.ended(commands.send(commands.document(shell("loud", script))), "loud")
    assert (24_000, 8_000) == (len(seen["StandardOutputContent"]), len(seen["StandardErrorContent"]))


def test_what_cannot_be_run_is_refused(commands: Commands) -> None:
    """An unknown document, and instances that are not managed, do not run, or do not exist."""
    document = commands.document(shell("only", "true"))
    with Refused() as refusal:
        commands.send("no-such-document")
    assert "InvalidDocument" == refusal.code
    [stranger] = launch(commands.ec2)
    commands.ec2.stop_instances(InstanceIds=[commands.instance])
    for each in (stranger, commands.instance, "i-0123456789abcdef0"):
        with Refused() as refusal:
            commands.ssm.send_command(DocumentName=document, InstanceIds=[each])
        assert "InvalidInstanceId" == refusal.code
    assert all(commands.knows("SendCommand", each) for each in ("InvalidDocument", "InvalidInstanceId"))


def test_a_command_is_known_where_it_was_sent(commands: Commands, cloud: LocalCloud) -> None:
    """Not of another instance, nor in another account, nor by another id."""
    command_id = commands.send(commands.document(shell("only", "true")))
    commands.ended(command_id, "only")
    [other] = launch(commands.ec2, tags=MANAGED)
    elsewhere: Any = cloud.session(account="699999999999").client("ssm")
    asked = {"CommandId": command_id, "InstanceId": commands.instance}
    for ssm, request in (
        (commands.ssm, {**asked, "InstanceId": other}),
        (commands.ssm, {**asked, "CommandId": str(uuid.uuid4())}),
        (elsewhere, asked),
    ):
        with Refused() as refusal:
            ssm.get_command_invocation(**request, PluginName="only")
        assert "InvocationDoesNotExist" == refusal.code
    assert commands.knows("GetCommandInvocation", "InvocationDoesNotExist")


def test_a_document_changes_and_goes_with_its_stack(commands: Commands) -> None:
    """As CloudFormation says."""
    document = commands.document(shell("only", "echo old"))
    content = {"schemaVersion": "2.2", "mainSteps": [shell("only", "echo new")]}
    resource = {
        "Type": "AWS::SSM::Document",
        "Properties": {"Name": document, "DocumentType": "Command", "Content": content},
    }
    stack = f"stack-{document}"
    deploy_stack(commands.session, stack, TemplateBody=json.dumps({"Resources": {"Document": resource}}))
    assert "new\n" == commands.ended(commands.send(document), "only")["StandardOutputContent"]
    commands.session.client("cloudformation").delete_stack(StackName=stack)
    with Refused() as refusal:
        commands.send(document)
    assert "InvalidDocument" == refusal.code


def test_an_inventory_tells_platform_and_agent(commands: Commands, ec2: EC2Client) -> None:
    """Of what is managed; of others it tells nothing."""
    asked = {"InstanceId": commands.instance, "TypeName": "AWS:InstanceInformation"}
    [about] = commands.ssm.list_inventory_entries(**asked)["Entries"]
    assert ("Linux", True) == (about["PlatformType"], bool(about["AgentVersion"]))
    assert [] == commands.ssm.list_inventory_entries(**{**asked, "TypeName": "AWS:Application"})["Entries"]
    [stranger] = launch(commands.ec2)
    assert [] == commands.ssm.list_inventory_entries(**{**asked, "InstanceId": stranger})["Entries"]


def test_other_actions_are_still_answered(commands: Commands) -> None:
    """By whoever answered them before."""
    commands.ssm.put_parameter(Name="/a", Value="b", Type="String")
    assert "b" == commands.ssm.get_parameter(Name="/a")["Parameter"]["Value"]
