"""The edges of a self-test: answers become observations, looks are merged, and the policy is changed with care."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from imdsv2.domain.instance import InstanceArn
from imdsv2.selftest.agenda import CALLER
from imdsv2.selftest.deeds import Deeds, records_at_once
from imdsv2.selftest.home import Home, Names
from imdsv2.selftest.looks import merged_points
from imdsv2.selftest.metrics import ACCEPTED
from tests.unit.selftest_seen import at, clean, point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMES = Names(
    bucket="results",
    table="ledger",
    parameter="/policy",
    manual="manual",
    check="check",
    role="selftest",
    stack_sets=("Roles",),
    call_as="SELF",
)
INSTANCE = "AWS::EC2::Instance"


class Client:
    """Answers each operation by a function, and remembers what was sent."""

    def __init__(self, **operations: Callable[..., Any]) -> None:
        self._operations = operations
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**sent: Any) -> Any:
            self.sent.append((name, sent))
            return self._operations[name](**sent)

        return call


class Account:
    """An account whose only client is this one, or that cannot be entered."""

    def __init__(self, client: Client | Exception) -> None:
        self._client = client

    def client(self, _service: str, _policy: object = None) -> Client:
        if isinstance(self._client, Exception):
            raise self._client
        return self._client

    def arn(self, instance_id: str) -> InstanceArn:
        return InstanceArn.of(region="eu-west-1", account="222222222222", instance_id=instance_id)


def refusing(code: str, status: int = 400) -> Callable[..., Any]:
    def refuse(**_sent: Any) -> Any:
        raise ClientError(
            {"Error": {"Code": code, "Message": "No."}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
            "Operation",
        )

    return refuse


def deeds(client: Client | Exception, home: Home | None = None) -> Deeds:
    return Deeds(
        account=Account(client),  # type: ignore[arg-type]
        home=home or Home({}, NAMES),
        seen=clean(),
        now=lambda: at(30),
        sleep=lambda _seconds: None,
    )


@pytest.mark.parametrize(
    ("refuse", "code", "conclusive"),
    [
        (refusing("IncorrectInstanceState"), "IncorrectInstanceState", True),
        (refusing("OperationNotPermitted"), "OperationNotPermitted", False),
        (refusing("UnsupportedOperation"), "UnsupportedOperation", True),
        (refusing("RequestLimitExceeded"), "RequestLimitExceeded", False),
        (refusing("UnauthorizedOperation", 403), "UnauthorizedOperation", False),
        (refusing("InternalError", 500), "InternalError", False),
    ],
)
def test_an_error_is_an_answer_and_it_is_known_whether_it_says_anything(
    refuse: Callable[..., Any], code: str, conclusive: bool
) -> None:
    """Throttling, missing permissions, policies of the organisation and AWS's own faults say nothing of what was tried."""
    doing = deeds(Client(modify_instance_metadata_options=refuse))
    doing.do("change_terminated")
    [answer] = doing.answers
    assert ("change terminated", code, conclusive, "No.") == (
        answer.name,
        answer.code,
        answer.conclusive,
        answer.message,
    )


def test_no_answer_says_nothing() -> None:
    """The call may or may not have been carried out."""

    def hang(**_sent: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="https://ec2")

    doing = deeds(Client(modify_instance_metadata_options=hang))
    doing.do("change_terminated")
    assert (1, False) == (len(doing.answers), doing.answers[0].conclusive)


@pytest.mark.parametrize("deed", [each for each in clean().done if each not in {"roles", "enforce"}])
def test_an_account_that_cannot_be_entered_ends_no_self_test(deed: str) -> None:
    """The role may not be deployed yet: the deed notes it, and the agenda goes on."""
    doing = deeds(ClientError({"Error": {"Code": "AccessDenied", "Message": "No role."}}, "AssumeRole"))
    doing.do(deed)
    assert [(deed, "AccessDenied")] == [(answer.name, answer.code) for answer in doing.answers]


@pytest.mark.parametrize("deed", [each for each in clean().done if each not in {"roles", "enforce"}])
@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "RequestLimitExceeded", "Message": "Slow down."}}, "Any"),
        ReadTimeoutError(endpoint_url="https://aws"),
        ResponseParserError("an answer of a gateway"),
    ],
    ids=["throttled", "no answer", "unreadable"],
)
def test_whatever_a_call_comes_to_the_agenda_goes_on(deed: str, error: Exception) -> None:
    """Each deed notes it, and confirms or contradicts nothing by it."""

    class Failing(Client):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def fail(**_sent: Any) -> Any:
                raise error

            return fail

    home = Home(dict.fromkeys(("ssm", "securityhub", "cloudformation"), Failing()), NAMES)
    doing = deeds(Failing(), home)
    doing.do(deed)
    assert doing.answers
    assert not any(answer.conclusive for answer in doing.answers)


def test_the_line_is_told_to_accept_the_instance_s_youth_and_nothing_else() -> None:
    """By the manual function, under a name of its own; the third answer is the result."""
    payloads: list[dict[str, Any]] = []

    def invoke(FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803 - Lambda's names
        assert FunctionName == NAMES.manual
        payloads.append(json.loads(Payload))
        results = [{"status": "enforced", "explanation": "Done."}]
        return {"Payload": io.BytesIO(json.dumps({"results": results}).encode())}

    doing = deeds(Client(), Home({"lambda": Client(invoke=invoke)}, NAMES))
    doing.do("enforce")
    assert ["targets", "accept", "targets"] == [next(iter(each)) for each in payloads]
    assert all(each["caller"] and each["dry_run"] is False for each in payloads)
    assert ("ok", "enforced") == (doing.answers[0].code, doing.answers[0].raw["status"])


@pytest.mark.parametrize(
    ("recorder", "records"),
    [
        ({}, True),
        ({"recordingGroup": {"allSupported": True}}, True),
        ({"recordingGroup": {"resourceTypes": [INSTANCE, "AWS::S3::Bucket"]}}, True),
        ({"recordingGroup": {"resourceTypes": ["AWS::S3::Bucket"]}}, False),
        ({"recordingGroup": {"exclusionByResourceTypes": {"resourceTypes": [INSTANCE]}}}, False),
        ({"recordingMode": {"recordingFrequency": "DAILY"}}, False),
        (
            {
                "recordingMode": {
                    "recordingFrequency": "DAILY",
                    "recordingModeOverrides": [{"resourceTypes": [INSTANCE], "recordingFrequency": "CONTINUOUS"}],
                }
            },
            True,
        ),
        (
            {
                "recordingMode": {
                    "recordingFrequency": "CONTINUOUS",
                    "recordingModeOverrides": [{"resourceTypes": [INSTANCE], "recordingFrequency": "DAILY"}],
                }
            },
            False,
        ),
    ],
)
def test_a_recorder_that_records_instances_daily_or_not_sends_no_event_in_time(
    recorder: Mapping[str, Any], records: bool
) -> None:
    """Its silence contradicts nothing."""
    assert records == records_at_once(recorder)


def test_a_datapoint_keeps_the_time_of_its_first_sight() -> None:
    """Until its value changes: then it had not wholly arrived before."""
    first = point(ACCEPTED, CALLER, 5, 2)
    again = point(ACCEPTED, CALLER, 5, 2, after=timedelta(minutes=9))
    grown = point(ACCEPTED, CALLER, 5, 3, after=timedelta(minutes=9))
    other = point(ACCEPTED, CALLER, 10, 1)
    missed = at(14)
    assert (first, replace(other, missing_at=missed)) == merged_points([first], [again, other], missed)
    assert (replace(grown, missing_at=missed),) == merged_points([first], [grown], missed)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"mode": "enforce", "watch_hours": 12}, {"mode": "observe", "watch_hours": 12}),
        ({"mode": "observe"}, None),
        ({"mode": "off"}, None),
        ({}, None),
    ],
)
def test_only_a_policy_that_enforces_is_set_to_observe(given: dict[str, Any], written: dict[str, Any] | None) -> None:
    """What is off stays off, and no other field changes."""
    ssm = Client(
        get_parameter=lambda **_sent: {"Parameter": {"Value": json.dumps(given)}}, put_parameter=lambda **_sent: {}
    )
    said = Home({"ssm": ssm}, NAMES).set_observe()
    puts = [json.loads(sent["Value"]) for name, sent in ssm.sent if name == "put_parameter"]
    assert ([] if written is None else [written]) == puts
    assert said.endswith(".")


@pytest.mark.parametrize("value", ["no JSON", '{"mode": "on"}'])
def test_a_policy_that_cannot_be_read_is_left_to_people(value: str) -> None:
    """The result says what to do."""
    ssm = Client(get_parameter=lambda **_sent: {"Parameter": {"Value": value}})
    assert "by hand" in Home({"ssm": ssm}, NAMES).set_observe()
