"""The steps of a self-test, each on its own: what it sends, what it keeps, and what happens if AWS fails it."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.errors import InvalidRequest
from imdsv2.selftest.agenda import INSTANCES
from imdsv2.selftest.beliefs import BELIEFS
from imdsv2.selftest.home import Home
from imdsv2.selftest.run import SelfTest
from imdsv2.selftest.seen import from_document, to_document
from tests.unit.selftest_seen import AGENDA, BEGAN_AT, clean, with_points
from tests.unit.test_selftest_edges import NAMES, Client, refusing

if TYPE_CHECKING:
    from datetime import datetime

EXECUTION = "b6f1c2d3"
FOLDER = f"selftest/{EXECUTION}"
KEYS = {"AccessKeyId": "k", "SecretAccessKey": "s", "SessionToken": "t"}


class Bucket(Client):
    """S3 in memory."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        super().__init__(put_object=self._put, get_object=self._get)

    def _put(self, **sent: Any) -> dict[str, Any]:
        self.files[sent["Key"]] = sent["Body"].decode()
        return {}

    def _get(self, **sent: Any) -> dict[str, Any]:
        if sent["Key"] not in self.files:
            refusing("NoSuchKey")()
        return {"Body": io.BytesIO(self.files[sent["Key"]].encode())}


class Session:
    """A session whose clients are these, by service."""

    def __init__(self, **clients: Client) -> None:
        self._clients = clients

    def create_client(self, service: str, **_settings: Any) -> Client:
        return self._clients[service]


def selftest(
    bucket: Bucket, now: datetime = BEGAN_AT, home: dict[str, Client] | None = None, **clients: Client
) -> SelfTest:
    return SelfTest(
        session=Session(**clients),  # type: ignore[arg-type]
        sts=Client(assume_role=lambda **_sent: {"Credentials": KEYS}),  # type: ignore[arg-type]
        home=Home({"s3": bucket, **(home or {})}, NAMES),
        now=lambda: now,
        sleep=lambda _seconds: None,
        logger=logging.getLogger("selftest"),  # type: ignore[arg-type]
    )


def event(**changes: Any) -> dict[str, Any]:
    given = {"account": "222222222222", "region": "eu-west-1", "confirm": True, **changes.pop("input", {})}
    return {"execution": EXECUTION, "began_at": BEGAN_AT.isoformat(), "input": given, **changes}


def launching(refuse_after: int = 5) -> Client:
    """EC2 that launches so many instances."""
    launched: list[str] = []

    def run(**_sent: Any) -> dict[str, Any]:
        if len(launched) == refuse_after:
            refusing("VcpuLimitExceeded")()
        launched.append(f"i-{len(launched):017x}")
        return {"Instances": [{"InstanceId": launched[-1]}]}

    return Client(run_instances=run)


def ended_by(ec2: Client) -> list[list[str]]:
    """What was to be terminated, call by call."""
    return [sent["InstanceIds"] for name, sent in ec2.sent if name == "terminate_instances"]


IMAGES = Client(get_parameter=lambda **_sent: {"Parameter": {"Value": "ami-0123456789abcdef0"}})


def kept(bucket: Bucket) -> Any:
    return json.loads(bucket.files[f"{FOLDER}/seen.json"])


def test_the_plan_makes_no_call() -> None:
    """It only tells, and passes on whether to go on."""
    planned = selftest(Bucket()).plan(event())
    assert (True, len(BELIEFS)) == (planned["confirm"], planned["plan"]["beliefs"])


def test_an_impossible_input_ends_it_before_anything_is_launched() -> None:
    """With the field's name."""
    with pytest.raises(InvalidRequest, match="subnet"):
        selftest(Bucket()).plan(event(input={"subnet": "default"}))


def test_five_small_instances_are_launched_that_end_themselves() -> None:
    """Without an instance profile, with the tag, and once only however often the step is repeated."""
    bucket, ec2 = Bucket(), launching()
    step = selftest(bucket, ec2=ec2, ssm=IMAGES)
    step.launch(event(input={"subnet": "subnet-0123456789abcdef0", "tags": {"owner": "blue"}}))
    requests = [sent for name, sent in ec2.sent if name == "run_instances"]
    assert list(INSTANCES) == list(kept(bucket)["instances"])
    assert {("t4g.nano", 1, 1, "terminate", "subnet-0123456789abcdef0")} == {
        (
            each["InstanceType"],
            each["MinCount"],
            each["MaxCount"],
            each["InstanceInitiatedShutdownBehavior"],
            each["SubnetId"],
        )
        for each in requests
    }
    assert all("IamInstanceProfile" not in each and "shutdown -h" in each["UserData"] for each in requests)
    assert {"optional"} == {each["MetadataOptions"]["HttpTokens"] for each in requests}
    tags = [{tag["Key"]: tag["Value"] for tag in each["TagSpecifications"][0]["Tags"]} for each in requests]
    assert all((EXECUTION, "blue") == (each["imdsv2:selftest"], each["owner"]) for each in tags)
    tokens = [each["ClientToken"] for each in requests]
    again = launching()
    selftest(Bucket(), BEGAN_AT + timedelta(minutes=3), ec2=again, ssm=IMAGES).launch(event())
    assert 5 == len(set(tokens))
    assert tokens == [sent["ClientToken"] for _, sent in again.sent]


def test_a_refused_launch_fails_the_step_and_leaves_something_to_judge() -> None:
    """So that the state machine cleans up, and the result says that nothing was tried."""
    bucket = Bucket()
    with pytest.raises(ClientError, match="VcpuLimitExceeded"):
        selftest(bucket, ec2=launching(2), ssm=IMAGES).launch(event())
    assert {} == kept(bucket)["instances"]


def test_a_look_that_fails_loses_nothing() -> None:
    """The next one sees what it missed."""
    bucket = Bucket()
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps(to_document(clean()))
    ec2, blind = Client(get_console_output=lambda **_sent: {}), Client(get_metric_data=refusing("RequestLimitExceeded"))
    went_on = selftest(bucket, AGENDA.time_of(10), ec2=ec2, cloudwatch=blind).look(event())
    assert (False, 60) == (went_on["over"], went_on["wait_seconds"])
    failed = from_document(kept(bucket))
    assert clean() == replace(failed, answers=failed.answers[:-1])
    assert ("look", "RequestLimitExceeded", False) == (
        failed.answers[-1].name,
        failed.answers[-1].code,
        failed.answers[-1].conclusive,
    )


def test_what_has_no_line_is_ended_by_its_tag_alone() -> None:
    """Whatever was kept of it: a launch may have failed in the middle."""
    bucket, found = Bucket(), [{"Instances": [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]}]
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps({**to_document(clean()), "done": [], "instances": {}})
    ec2 = Client(describe_instances=lambda **_sent: {"Reservations": found}, terminate_instances=lambda **_sent: {})
    passed_on = selftest(bucket, ec2=ec2).clean_up(event(error={"Error": "E", "Cause": "C"}))
    looks = [sent["Filters"] for name, sent in ec2.sent if name == "describe_instances"]
    assert all({"Name": "tag:imdsv2:selftest", "Values": [EXECUTION]} in each for each in looks)
    assert [["i-1"], ["i-2"]] == ended_by(ec2)[:2]
    assert {"Error": "E", "Cause": "C"} == passed_on["error"]


def test_what_a_launch_without_an_answer_launched_is_ended_when_it_is_shown() -> None:
    """EC2 lists it some seconds later; nothing else knows of it."""
    bucket = Bucket()
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps({**to_document(clean()), "done": [], "instances": {}})
    shown: list[list[dict[str, Any]]] = [[], [], [{"Instances": [{"InstanceId": "i-9"}]}], []]
    ec2 = Client(
        describe_instances=lambda **_sent: {"Reservations": shown.pop(0)}, terminate_instances=lambda **_sent: {}
    )
    selftest(bucket, ec2=ec2).clean_up(event(error={"Error": "ReadTimeoutError", "Cause": "C"}))
    assert [["i-9"]] == ended_by(ec2)


@pytest.mark.parametrize("status", ["ABORTED", "FAILED", "TIMED_OUT"])
def test_the_instances_of_a_stopped_execution_are_ended(status: str) -> None:
    """By what Step Functions tells of it, which has its input as a text."""
    found = [{"Instances": [{"InstanceId": "i-3"}]}]
    ec2 = Client(describe_instances=lambda **_sent: {"Reservations": found}, terminate_instances=lambda **_sent: {})
    told = {"name": EXECUTION, "status": status, "input": json.dumps(event()["input"])}
    assert {"ended": ["i-3"]} == selftest(Bucket(), ec2=ec2).end_left(told)
    looks = [sent["Filters"] for name, sent in ec2.sent if name == "describe_instances"]
    assert all({"Name": "tag:imdsv2:selftest", "Values": [EXECUTION]} in filters for filters in looks)


@pytest.mark.parametrize(
    "given", ['{"account": "7"}', "no JSON", '{"account": "222222222222", "region": "eu-west-1"}', None]
)
def test_an_execution_that_launched_nothing_has_nothing_to_end(given: str | None) -> None:
    """Its input was refused, or only asked for the plan: AWS is not asked."""
    assert {"ended": []} == selftest(Bucket()).end_left({"name": EXECUTION, "status": "FAILED", "input": given})


def test_instances_that_cannot_be_ended_fail_the_step() -> None:
    """The state machine repeats it; after that they end themselves, and the result is written all the same."""
    bucket, found = Bucket(), [{"Instances": [{"InstanceId": "i-1"}]}]
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps(to_document(clean()))
    ec2 = Client(
        describe_instances=lambda **_sent: {"Reservations": found}, terminate_instances=refusing("InternalError", 500)
    )
    with pytest.raises(ClientError, match="InternalError"):
        selftest(bucket, ec2=ec2).clean_up(event())


@pytest.mark.parametrize(("asked", "wrong", "sets"), [(True, True, True), (False, True, False), (True, False, False)])
def test_the_policy_is_touched_only_if_asked_and_only_if_safety_is_concerned(
    asked: bool, wrong: bool, sets: bool
) -> None:
    """And the result says what was done."""
    bucket = Bucket()
    seen = with_points(clean(), lambda each: None if wrong and each.metric == "MetadataNoTokenRejected" else each)
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps(to_document(seen))
    ssm = Client(
        get_parameter=lambda **_sent: {"Parameter": {"Value": '{"mode": "enforce"}'}}, put_parameter=lambda **_sent: {}
    )
    told = selftest(bucket, home={"ssm": ssm}).judge(event(input={"set_observe_if_contradicted": asked}))
    assert sets == ("put_parameter" in [name for name, _ in ssm.sent]) == (told["policy"] is not None)
    assert wrong == bool(told["contradicted_for_safety"])


@pytest.mark.parametrize(
    ("error", "problem"),
    [({}, None), ({"error": {"Error": "States.Timeout", "Cause": "Too slow."}}, "States.Timeout: Too slow.")],
)
def test_a_result_is_written_whether_or_not_the_agenda_was_finished(error: dict[str, Any], problem: str | None) -> None:
    """Document and table, with what interrupted it."""
    bucket = Bucket()
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps(to_document(clean()))
    told = selftest(bucket).judge(event(**error))
    document = json.loads(bucket.files[told["key"]])
    assert problem == told["problem"] == document["problem"]
    assert len(BELIEFS) == len(document["beliefs"])
    assert bucket.files[told["table"]].startswith("belief,outcome,")
