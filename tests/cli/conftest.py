"""The command line in process: clients that answer what a test says, and note what they were asked."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from imdsv2_cli.base import App
from imdsv2_cli.main import root

if TYPE_CHECKING:
    from click.testing import Result

OUTPUTS = {
    "ManualFunctionName": "imdsv2-remediation-manual",
    "PolicyParameterName": "/imdsv2-remediation/policy",
    "LedgerTableName": "Ledger",
    "SweepStateMachineArn": "arn:aws:states:eu-west-1:111111111111:stateMachine:imdsv2-remediation-sweep",
    "NotificationsTopicArn": "arn:aws:sns:eu-west-1:111111111111:topic",
}
CALLER = "arn:aws:sts::111111111111:assumed-role/Operator/alice"


@dataclass
class Aws:
    """Answers by service and operation: a value, an exception, or a function of the request. ``asked`` has every request."""

    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    functions: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> _Client:
        return _Client(self, service)

    def call(self, service: str, operation: str, request: dict[str, Any]) -> Any:
        self.asked.append((service, operation, request))
        answer = self.answers[service, operation]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(**request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_invoke(self, function: str, answer: Any) -> None:
        """What a function of the service answers: a document, or a function of the payload."""
        self.functions[f"imdsv2-remediation-{function}"] = answer

    def payloads(self) -> list[dict[str, Any]]:
        """What the functions were asked."""
        return [json.loads(request["Payload"]) for _, operation, request in self.asked if operation == "invoke"]

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [request for _, name, request in self.asked if name == operation]

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as botocore names them
        answer = self.functions[FunctionName]
        document = answer(json.loads(Payload)) if callable(answer) else answer
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(document).encode())}


class _Client:
    def __init__(self, aws: Aws, service: str) -> None:
        self._aws, self._service = aws, service

    def __getattr__(self, operation: str) -> Any:
        return lambda **request: self._aws.call(self._service, operation, request)

    def get_paginator(self, operation: str) -> Any:
        aws, service = self._aws, self._service

        class Pages:
            def paginate(self, **request: Any) -> list[Any]:
                answer = aws.call(service, operation, request)
                return answer if isinstance(answer, list) else [answer]

        return Pages()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    """A stack that is deployed, called by alice; what else is there, the test says."""
    aws = Aws()
    stack = {"Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items()]}
    aws.answers = {
        ("cloudformation", "describe_stacks"): {"Stacks": [stack]},
        ("sts", "get_caller_identity"): {"Arn": CALLER, "Account": "111111111111"},
        ("lambda", "invoke"): aws.invoke,
    }
    monkeypatch.setattr(App, "client", lambda _, service, region=None: aws.client(service))
    monkeypatch.setattr(App, "patient_lambda", aws.client("lambda"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return aws


def run(*args: str, stdin: str | None = None) -> Result:
    """Run a command line; standard input is no terminal."""
    return CliRunner().invoke(root, list(args), input=stdin)
