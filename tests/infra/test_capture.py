"""The setting `capture`: a document and a role that can run it, and nothing else; without it, neither."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.people.culprit.request import FETCH, WATCH
from infra.errors import SettingRefused
from tests.infra.templates import MEMBER_ACCOUNT, REGION, SECURITY_ACCOUNT, Template, synthesise
from tests.infra.test_cfn_lint import CFN_LINT, IGNORED
from tests.infra.test_permissions import (
    EVERYTHING_FOR_ANYBODY,
    INSTANCE,
    STRANGER,
    by_function,
    entering,
    function_role,
    in_account,
    judged,
    names_of,
    role_arn,
    with_policy,
)
from tests.infra.test_settings import settings

if TYPE_CHECKING:
    from pathlib import Path

ROLE = "imdsv2-remediation-capture"
DOCUMENT = f"arn:aws:ssm:{REGION}:{MEMBER_ACCOUNT}:document/imdsv2-remediation-capture"
SETTING = {"bucket": "acme-tools", "key": "imds/analyzer.tar.gz", "region": "eu-west-1", "sha256": "0a" * 32}


@pytest.fixture(scope="module")
def capture_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `python app.py` with the setting."""
    outdir = tmp_path_factory.mktemp("cdk") / "capture"
    run = synthesise(outdir, capture=SETTING, member_accounts=[MEMBER_ACCOUNT])
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.fixture(scope="module")
def service(capture_assembly: Path) -> Template:
    """The service, in the security account."""
    return Template.of(capture_assembly / "Imdsv2Remediation.template.json", account=SECURITY_ACCOUNT)


@pytest.fixture(scope="module")
def roles(capture_assembly: Path) -> Template:
    """The roles of a member."""
    path = capture_assembly / "Imdsv2RemediationMember.template.json"
    return Template.of(path, account=MEMBER_ACCOUNT, SecurityAccountId=SECURITY_ACCOUNT)


@pytest.fixture(scope="module")
def forwarding(capture_assembly: Path) -> Template:
    """What each Region of a member gets."""
    path = capture_assembly / "Imdsv2RemediationForwarding.template.json"
    return Template.of(path, account=MEMBER_ACCOUNT, SecurityAccountId=SECURITY_ACCOUNT, HomeRegion=REGION)


def test_without_the_setting_there_is_nothing_of_it(template: Template, member_template: Template) -> None:
    """Neither role nor document, and the function does not know of any."""
    assert "remediation-capture" not in json.dumps([template.document, member_template.document])
    assert ROLE not in {each.get("RoleName") for each in member_template.resources("AWS::IAM::Role").values()}
    [manual] = [
        each for each in template.resources("AWS::Lambda::Function").values() if each["FunctionName"].endswith("manual")
    ]
    assert "CAPTURE_DOCUMENT" not in manual["Environment"]["Variables"]


def test_the_role_runs_the_document_on_instances_and_nothing_else(roles: Template) -> None:
    """Nor that document elsewhere."""
    send = "ssm:SendCommand"
    allowed = {
        "the document": in_account(roles, ROLE, send, DOCUMENT),
        "on an instance": in_account(roles, ROLE, send, INSTANCE),
        "what it printed": in_account(roles, ROLE, "ssm:GetCommandInvocation", "*"),
    }
    document = DOCUMENT.replace("imdsv2-remediation-capture", "AWS-RunShellScript")
    denied = {
        "a document of AWS": in_account(roles, ROLE, send, document),
        "another document": in_account(roles, ROLE, send, f"{DOCUMENT}-2"),
        "a document of another account": in_account(roles, ROLE, send, DOCUMENT.replace(MEMBER_ACCOUNT, STRANGER)),
        "another account's instance": in_account(roles, ROLE, send, INSTANCE.replace(MEMBER_ACCOUNT, STRANGER)),
        "another version of it": in_account(roles, ROLE, "ssm:UpdateDocument", DOCUMENT),
        "a session": in_account(roles, ROLE, "ssm:StartSession", INSTANCE),
        "tokens": in_account(roles, ROLE, "ec2:ModifyInstanceMetadataOptions", INSTANCE),
        "an object": in_account(roles, ROLE, "s3:GetObject", "arn:aws:s3:::acme-tools/imds/analyzer.tar.gz"),
    }
    assert list(allowed) == names_of(judged({**allowed, **denied}), allowed=True)


def test_only_the_manual_function_enters_it(service: Template, roles: Template) -> None:
    """On both sides."""
    functions = ("remediate", "manual", "revisit", "sweep", "guard")
    asks = {
        each: with_policy(
            by_function(service, each, "sts:AssumeRole", role_arn(ROLE, MEMBER_ACCOUNT)), EVERYTHING_FOR_ANYBODY
        )
        for each in functions
    }
    enters = {f"{each} is let in": entering(roles, ROLE, principal_role=function_role(each)) for each in functions}
    assert ["manual", "manual is let in"] == names_of(judged({**asks, **enters}), allowed=True)


def test_the_function_knows_the_document(service: Template) -> None:
    """By the name that it has everywhere."""
    [manual] = [
        each for each in service.resources("AWS::Lambda::Function").values() if each["FunctionName"].endswith("manual")
    ]
    assert "imdsv2-remediation-capture" == manual["Environment"]["Variables"]["CAPTURE_DOCUMENT"]


def test_the_document_fixes_what_runs_and_for_how_long(forwarding: Template) -> None:
    """The artefact by its digest, the time as one of a few values; nobody who sends it can say otherwise."""
    [document] = forwarding.resources("AWS::SSM::Document").values()
    content = document["Content"]
    assert ("imdsv2-remediation-capture", ["Seconds"]) == (document["Name"], list(content["parameters"]))
    assert ["60", "300", "900", "3600"] == content["parameters"]["Seconds"]["allowedValues"]
    fetch, watch = content["mainSteps"]
    source = {"path": "https://acme-tools.s3.eu-west-1.amazonaws.com/imds/analyzer.tar.gz"}
    assert source == json.loads(fetch["inputs"]["sourceInfo"])
    script = "\n".join(watch["inputs"]["runCommand"])
    assert f"{SETTING['sha256']}  analyzer.tar.gz" in script
    assert script.index("sha256sum -c") < script.index("tar -xzf") < script.index("imds_snoop.py")
    assert "3690" == watch["inputs"]["timeoutSeconds"]


def test_its_steps_are_those_that_are_asked_for(forwarding: Template) -> None:
    """Of a document with several, Systems Manager answers only for one that is named."""
    [document] = forwarding.resources("AWS::SSM::Document").values()
    assert [FETCH, WATCH] == [each["name"] for each in document["Content"]["mainSteps"]]


def test_without_the_artefact_the_script_says_so(forwarding: Template, tmp_path: Path) -> None:
    """The step runs although the one that fetches has failed."""
    [document] = forwarding.resources("AWS::SSM::Document").values()
    script = "\n".join(document["Content"]["mainSteps"][1]["inputs"]["runCommand"]).replace("{{ Seconds }}", "60")
    ended = subprocess.run(["/bin/sh"], input=script, text=True, check=False, capture_output=True, cwd=tmp_path)
    assert (2, "") == (ended.returncode, ended.stdout)
    assert "was not fetched" in ended.stderr


def test_the_script_is_one_for_any_shell(forwarding: Template) -> None:
    """As far as a shell can tell without running it."""
    [document] = forwarding.resources("AWS::SSM::Document").values()
    script = "\n".join(document["Content"]["mainSteps"][1]["inputs"]["runCommand"]).replace("{{ Seconds }}", "60")
    subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("stack", ["Imdsv2Remediation", "Imdsv2RemediationMember", "Imdsv2RemediationForwarding"])
def test_the_templates_are_clean(stack: str, capture_assembly: Path) -> None:
    """For cfn-lint."""
    command = [
        str(CFN_LINT),
        "--template",
        str(capture_assembly / f"{stack}.template.json"),
        "--ignore-checks",
        *IGNORED,
    ]
    run = subprocess.run([*command, "--regions", REGION], capture_output=True, text=True, check=False)
    assert (0, "", "") == (run.returncode, run.stdout, run.stderr)


@pytest.mark.parametrize(
    "given",
    [
        "acme-tools",
        [],
        {"bucket": "acme-tools"},
        {**SETTING, "more": 1},
        {**SETTING, "bucket": "Acme"},
        {**SETTING, "bucket": "a.b.c"},
        {**SETTING, "key": "x.zip"},
        {**SETTING, "key": "a'; rm -rf /; '.tar.gz"},
        {**SETTING, "key": "../x.tar.gz/../y.tar.gz "},
        {**SETTING, "region": "europe"},
        {**SETTING, "sha256": "0A" * 32},
        {**SETTING, "sha256": ""},
    ],
)
def test_a_setting_that_is_none_is_refused(given: Any) -> None:
    """With what it takes: its parts stand in a script that runs as root."""
    with pytest.raises(SettingRefused, match="capture"):
        settings(capture=given)


def test_nothing_is_set_as_it_comes() -> None:
    """An opt-in."""
    assert settings().capture is None
