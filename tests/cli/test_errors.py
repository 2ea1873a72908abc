"""How the command line fails: one line that says what, why and what to do; and the exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore import exceptions as known
from botocore.exceptions import ClientError

from imdsv2_cli.base import App
from imdsv2_cli.commands import COMMANDS
from tests.cli.conftest import run

if TYPE_CHECKING:
    from tests.cli.conftest import Aws


ROOT = Path(__file__).resolve().parents[2]


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


def ill(code: str, status: int) -> ClientError:
    """What AWS says where the fault is its own."""
    error = refusal(code)
    error.response["ResponseMetadata"] = cast("Any", {"HTTPStatusCode": status})
    return error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (refusal("AccessDenied", "User: bob is not authorized"), 1, "not authorized; have this allowed for your role"),
        (refusal("ExpiredToken", "The security token has expired"), 1, "sign in"),
        (refusal("Throttling", "Rate exceeded"), 1, "Rate exceeded (Throttling); wait a minute, and ask again."),
        (refusal("TooManyRequestsException"), 1, "TooManyRequestsException; wait a minute, and ask again."),
        (refusal("ResourceNotFoundException", "Function not found."), 1, "imdsv2 doctor says which"),
        (refusal("ParameterNotFound"), 1, "imdsv2 doctor says which"),
        (known.InvalidRegionError(region_name="eu west"), 2, "there is no such Region"),
        (known.NoCredentialsError(), 1, "there are no credentials; sign in"),
        (known.TokenRetrievalError(provider="sso", error_msg="expired"), 1, "sign in"),
        (known.NoRegionError(), 2, "--region or AWS_REGION"),
        (known.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), 1, "check the network"),
        (known.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), 1, "the work may still go on"),
        (known.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"), 1, "the work may still go on; look with"),
        (refusal("InvalidSignatureException", "Signature not yet current"), 1, "set the clock of this computer"),
        (refusal("InvalidAccessKeyId"), 1, "sign in"),
        (refusal("ResourceConflictException", "The function is Pending."), 1, "wait a minute, and ask again"),
        (
            ill("InternalFailure", 500),
            1,
            "AWS failed in DescribeStacks: InternalFailure; wait a minute; look with imdsv2 status",
        ),
        (ValueError("Invalid endpoint: localhost"), 2, "correct AWS_ENDPOINT_URL"),
    ],
)
def test_an_error_of_aws_is_one_line_with_advice(aws: Aws, error: Exception, code: int, says: str) -> None:
    """No trace, whatever it is."""
    aws.answers["cloudformation", "describe_stacks"] = error
    done = run("policy", "show")
    assert (code, 1) == (done.exit_code, done.stderr.count("\n"))
    assert says in done.stderr


def test_a_function_that_fails_names_its_log(aws: Aws) -> None:
    """And what it raised."""
    payload = io.BytesIO(b'{"errorMessage": "Task timed out after 900.00 seconds", "errorType": "Sandbox.Timedout"}')
    aws.answers["lambda", "invoke"] = {"FunctionError": "Unhandled", "Payload": payload}
    done = run("assess", "--account", "222222222222")
    assert 1 == done.exit_code
    assert "Task timed out after 900.00 seconds; its log is /aws/lambda/imdsv2-remediation-manual" in done.stderr


def test_a_stack_that_is_not_there_is_told_with_those_that_are(aws: Aws) -> None:
    """By their outputs, whatever their names."""
    stacks = aws.answers["cloudformation", "describe_stacks"]["Stacks"]
    missing = refusal("ValidationError", "Stack with id Imdsv2 does not exist")
    aws.answers["cloudformation", "describe_stacks"] = lambda StackName=None: (  # noqa: N803 - AWS's name
        missing if StackName else {"Stacks": [{**stacks[0], "StackName": "Pilot"}, {"StackName": "Other"}]}
    )
    done = run("--stack", "Imdsv2", "policy", "show")
    assert (2, True) == (done.exit_code, "name one of these with --stack: Pilot." in done.stderr)


def test_an_unknown_profile_is_refused_with_the_likely_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the caller's own configuration."""
    config = tmp_path / "config"
    config.write_text("[profile security]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    done = run("--profile", "securty", "policy", "show")
    assert (2, "imdsv2: there is no profile securty; did you mean security?\n") == (done.exit_code, done.stderr)


def test_a_bug_keeps_its_trace(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence would hide it."""
    aws.answers["cloudformation", "describe_stacks"] = KeyError("bug")
    assert isinstance(run("policy", "show").exception, KeyError)


def test_the_region_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's command line reads AWS_REGION, too."""
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert "eu-north-1" == App().home
    assert "eu-west-3" == App(region="eu-west-3").home


LAZY = {"boto3", "botocore", "rich", "imdsv2.domain", "imdsv2_cli.aws", "imdsv2_cli.commands.policy"}


def test_help_loads_no_command_and_no_sdk() -> None:
    """It answers at once, because nothing is imported that it does not show."""
    code = (
        "import sys\nfrom imdsv2_cli.main import main\ntry:\n main()\nfinally:\n print(*sys.modules, file=sys.stderr)"
    )
    path = os.pathsep.join(str(ROOT / each) for each in ("cli", "lambdas"))
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    assert all(name in done.stdout for name in COMMANDS)
    assert set() == LAZY & {*done.stderr.split()}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_for_this_program(shell: str) -> None:
    """By click's own protocol."""
    done = run("completion", shell)
    assert (0, True) == (done.exit_code, "_IMDSV2_COMPLETE" in done.stdout)


def test_an_unknown_shell_is_refused() -> None:
    """With those that are known."""
    assert (2, True) == ((done := run("completion", "csh")).exit_code, "'bash', 'zsh', 'fish'" in done.stderr)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ("CREATE_IN_PROGRESS", 1, "it is in CREATE_IN_PROGRESS; wait until that has ended, and ask again"),
        ("REVIEW_IN_PROGRESS", 1, "wait until that has ended"),
        ("DELETE_IN_PROGRESS", 1, "wait until that has ended"),
        ("ROLLBACK_COMPLETE", 1, "describe-stack-events --stack-name Imdsv2Remediation"),
        ("CREATE_FAILED", 1, "find out why, then deploy it again"),
        ("UPDATE_COMPLETE", 2, "is another one: it has no output ManualFunctionName"),
    ],
)
def test_a_stack_that_is_half_there_or_another_is_told_as_such(aws: Aws, status: str, code: int, says: str) -> None:
    """It is no matter of versions."""
    stack = {"StackName": "Imdsv2Remediation", "StackStatus": status}
    aws.answers["cloudformation", "describe_stacks"] = {"Stacks": [stack]}
    done = run("undo", "--since", "2h", "--yes")
    assert (code, 1, []) == (done.exit_code, done.stderr.count("\n"), aws.payloads())
    assert says in done.stderr


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_a_stack_that_is_being_updated_still_serves(aws: Aws, status: str) -> None:
    """In an incident, an undo does not wait for a deployment."""
    [stack] = aws.answers["cloudformation", "describe_stacks"]["Stacks"]
    aws.answers["cloudformation", "describe_stacks"] = {"Stacks": [{**stack, "StackStatus": status}]}
    aws.on_invoke("manual", {"command": "undo", "dry_run": True, "count": 0, "results": []})
    assert 3 == run("undo", "--since", "2h", "--yes").exit_code


@pytest.mark.parametrize("args", [[], ["policy"]])
def test_a_group_alone_shows_what_there_is(args: list[str]) -> None:
    """On many lines, as its help does; it is no error that has to be put into one."""
    done = run(*args)
    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith("Usage: imdsv2")
    assert len(done.stderr.splitlines()) > 10


def test_a_terminal_without_unicode_shows_question_marks() -> None:
    """Whatever a name holds, nothing breaks off in the middle."""
    code = (
        "import sys; from imdsv2_cli import main; from imdsv2_cli.output import Column, Table, show; from imdsv2_cli.base import App;"
        "main.root.main = lambda **_: show(App(asked_output=sys.argv[1]), {'n': 'web-\\u2603'}, Table((Column('n'),), [{'n': 'web-\\u2603'}]));"
        "main.main()"
    )
    path = os.pathsep.join(str(ROOT / each) for each in ("cli", "lambdas"))
    said = {}
    for form in ("table", "csv", "json"):
        done = subprocess.run(
            [sys.executable, "-c", code, form],
            env={"PYTHONPATH": path, "PYTHONIOENCODING": "latin-1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        said[form] = done.stdout
    assert "web-?" in said["table"]
    assert "web-?" in said["csv"]
    assert {"n": "web-\u2603"} == json.loads(said["json"])


@pytest.mark.parametrize(
    ("where", "code", "says"),
    [("1>/dev/full", 1, "the answer was not written: No space left on device"), ("1>&-", 0, "")],
)
def test_output_that_cannot_be_written_is_told_in_one_line(where: str, code: int, says: str) -> None:
    """A full disk loses the answer, and says so; who closes the stream wants none."""
    program = (
        "import sys; from imdsv2_cli import main; from imdsv2_cli.output import Column, Table, show;"
        "from imdsv2_cli.base import App; from imdsv2_cli.commands.policy import show_;"
        "show_.callback = lambda: show(App(asked_output='json'), {'n': 1}, Table((Column('n'),), []));"
        "main.main()"
    )
    path = os.pathsep.join(str(ROOT / each) for each in ("cli", "lambdas"))
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" policy show {where}', sys.executable, program],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (code, says) == (done.returncode, done.stderr.partition("imdsv2: ")[2].partition(";")[0]), done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_region_is_told_to_whoever_may_see_one_stack_only(aws: Aws) -> None:
    """There, AWS refuses the question itself; and the list of other stacks, which is only for the advice."""
    aws.answers["cloudformation", "describe_stacks"] = refusal("AccessDenied", "not authorized on stack/Imdsv2")
    done = run("policy", "show")
    assert (1, 1) == (done.exit_code, done.stderr.count("\n"))
    assert "not authorized on stack/Imdsv2; have this allowed for your role, or use another profile" in done.stderr
    assert "if eu-west-1 is not that of the stack, name that with --region" in done.stderr
    missing = refusal("ValidationError", "Stack with id Imdsv2Remediation does not exist")
    aws.answers["cloudformation", "describe_stacks"] = lambda StackName=None: (  # noqa: N803 - AWS's name
        missing if StackName else refusal("AccessDenied", "not authorized on *")
    )
    done = run("policy", "show")
    assert (2, True) == (done.exit_code, "is not in account 111111111111, eu-west-1" in done.stderr)
    assert "use credentials of the security account and its home Region" in done.stderr
