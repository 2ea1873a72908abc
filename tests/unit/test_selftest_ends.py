"""Every instance is ended whatever happens, what the line held is released, and the result says what to do next."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.errors import InvalidRequest
from imdsv2.selftest.account import Account as Realm
from imdsv2.selftest.account import consoles
from imdsv2.selftest.agenda import INSTANCES
from imdsv2.selftest.home import Home
from imdsv2.selftest.looks import look
from imdsv2.selftest.order import parse_order
from imdsv2.selftest.report import judged, next_step, totals
from imdsv2.selftest.seen import CONSOLES, LOOK, OK, Seen, from_document, to_document
from tests.unit.selftest_seen import answered, at, clean, with_points, with_sights
from tests.unit.test_selftest_checks import contradicted
from tests.unit.test_selftest_edges import NAMES, Account, Client, deeds, refusing
from tests.unit.test_selftest_steps import (
    EXECUTION,
    FOLDER,
    IMAGES,
    KEYS,
    Bucket,
    Session,
    ended_by,
    event,
    kept,
    launching,
    selftest,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def ec2_showing(*looks: list[str], terminate: Callable[..., Any] = lambda **_sent: {}) -> Client:
    """EC2 that shows other instances at each look, and none at the last ones."""
    left = [[{"Instances": [{"InstanceId": each}]} for each in ids] for ids in looks]
    return Client(
        describe_instances=lambda **_sent: {"Reservations": left.pop(0) if left else []}, terminate_instances=terminate
    )


def stopped(**given: Any) -> dict[str, Any]:
    """What Step Functions tells of an execution that a person stopped."""
    return {"name": EXECUTION, "status": "ABORTED", "input": json.dumps(event(**given)["input"])}


def keeping(seen: Seen) -> Bucket:
    bucket = Bucket()
    bucket.files[f"{FOLDER}/seen.json"] = json.dumps(to_document(seen))
    return bucket


def invoked(answer: Client) -> list[dict[str, Any]]:
    return [json.loads(sent["Payload"]) for name, sent in answer.sent if name == "invoke"]


def test_what_a_launch_goes_on_to_launch_after_it_was_stopped_is_ended() -> None:
    """Nothing stops the function in the middle of its launches; each look finds some more of them."""
    ec2 = ec2_showing(["i-1"], ["i-2", "i-3"], [], ["i-4"])
    assert {"ended": ["i-1", "i-2", "i-3", "i-4"]} == selftest(Bucket(), ec2=ec2).end_left(stopped())
    assert [["i-1"], ["i-2"], ["i-3"], ["i-4"]] == ended_by(ec2)


def test_one_instance_that_cannot_be_ended_keeps_none_of_the_others() -> None:
    """EC2 ends none of a list of which it refuses one: somebody has protected it."""

    def terminate(**sent: Any) -> dict[str, Any]:
        if sent["InstanceIds"] == ["i-1"]:
            refusing("OperationNotPermitted")()
        return {}

    ec2 = ec2_showing(["i-1", "i-2", "i-3"], terminate=terminate)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        selftest(keeping(clean()), ec2=ec2).clean_up(event())
    assert [["i-1"], ["i-2"], ["i-3"]] == ended_by(ec2)


def test_what_the_line_held_is_released_though_the_execution_was_stopped() -> None:
    """Once: the state machine may have done it before."""
    told = Client(invoke=lambda **_sent: {"Payload": _payload({"results": []})})
    bucket = keeping(clean())
    for _ in range(2):
        selftest(bucket, home={"lambda": told}, ec2=ec2_showing()).end_left(stopped())
    [command] = invoked(told)
    assert (["clear"], False) == ([name for name in command if name == "clear"], command["dry_run"])
    assert "clear" in kept(bucket)["done"]


@pytest.mark.parametrize("seen", [replace(clean(), done=clean().done[:4]), replace(clean(), instances={})])
def test_nothing_is_released_where_the_line_was_not_reached(seen: Seen) -> None:
    """There is nothing to release, and nobody is asked."""
    told = Client(invoke=lambda **_sent: {"Payload": _payload({"results": []})})
    selftest(keeping(seen), home={"lambda": told}, ec2=ec2_showing()).end_left(stopped())
    assert [] == invoked(told)


def test_an_execution_of_which_nothing_was_kept_is_ended_all_the_same() -> None:
    """It was stopped before its first write."""
    assert {"ended": ["i-7"]} == selftest(Bucket(), ec2=ec2_showing(["i-7"])).end_left(stopped())


def _payload(document: object) -> Any:
    class Payload:
        @staticmethod
        def read() -> str:
            return json.dumps(document)

    return Payload()


def test_all_instances_are_launched_with_an_enabled_endpoint() -> None:
    """EC2 takes no other option beside a disabled one; and all have the user data that ends them."""
    ec2 = launching()
    selftest(Bucket(), ec2=ec2, ssm=IMAGES).launch(event())
    options = [sent["MetadataOptions"] for name, sent in ec2.sent if name == "run_instances"]
    assert len(INSTANCES) == len(options)
    assert {"enabled"} == {each["HttpEndpoint"] for each in options}


def test_the_endpoint_is_disabled_by_itself() -> None:
    """Without another option."""
    ec2 = Client(modify_instance_metadata_options=lambda **_sent: {})
    doing = deeds(ec2)
    doing.do("close")
    [(_, sent)] = ec2.sent
    assert {"InstanceId", "HttpEndpoint"} == sent.keys()
    assert ("disabled", OK) == (sent["HttpEndpoint"], doing.answers[0].code)


def test_a_console_that_ec2_does_not_show_hides_no_other() -> None:
    """It may refuse that of an instance that has ended."""

    def shown(**sent: Any) -> dict[str, Any]:
        if sent["InstanceId"] == "i-2":
            refusing("IncorrectInstanceState")()
        return {"Output": "text"}

    assert ({"i-1": "text", "i-2": ""}, None) == consoles(Client(get_console_output=shown), ["i-1", "i-2"])


def looked(**operations: Callable[..., Any]) -> Seen:
    """A look at an account that shows nothing, but for these operations."""
    nothing: dict[str, Callable[..., Any]] = {
        "get_console_output": lambda **_sent: {},
        "describe_instances": lambda **_sent: {"Reservations": []},
        "get_metric_data": lambda **_sent: {"MetricDataResults": []},
        "list_metrics": lambda **_sent: {"Metrics": []},
    }
    home = Home({"dynamodb": Client(query=lambda **_sent: {"Items": []})}, NAMES)
    before = replace(clean(), looked_at=at(20))
    return look(Account(Client(**{**nothing, **operations})), home, before, lambda: at(30))  # type: ignore[arg-type]


def test_consoles_that_cannot_be_read_end_no_look() -> None:
    """What CloudWatch and EC2 show is seen, and why there are no calls is known."""
    seen = looked(get_console_output=refusing("UnauthorizedOperation", 403))
    answer = seen.answer(CONSOLES)
    assert answer is not None
    assert ("UnauthorizedOperation", False, at(30)) == (answer.code, answer.conclusive, seen.looked_at)


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_an_answer_that_is_not_complete_shows_nothing_missing(status: str) -> None:
    """Datapoints that are in it are seen; the look does not count as one that missed others."""
    result = {"Id": "m0", "Timestamps": [at(10)], "Values": [3.0], "StatusCode": status}
    seen = looked(get_metric_data=lambda **_sent: {"MetricDataResults": [result]})
    assert at(20) == seen.looked_at
    assert any(each.at == at(10) and each.seen_at == at(30) and each.missing_at == at(20) for each in seen.points)


def test_a_result_that_goes_on_on_the_next_page_is_complete_in_the_end() -> None:
    """As CloudWatch pages."""
    first = {"Id": "m0", "Timestamps": [at(10)], "Values": [3.0], "StatusCode": "PartialData"}
    last = {"Id": "m0", "Timestamps": [at(15)], "Values": [1.0], "StatusCode": "Complete"}
    answers = [{"MetricDataResults": [first], "NextToken": "t"}, {"MetricDataResults": [last]}]
    assert at(30) == looked(get_metric_data=lambda **_sent: answers.pop(0)).looked_at


def said_next(seen: Seen) -> str:
    return next_step(totals(judged(seen)), seen)


def test_the_result_says_what_to_do_next() -> None:
    """For safety, for nobody's safety, for what ended at once, for what was not launched, for what was not tried."""
    unsafe = with_points(clean(), lambda each: replace(each, total=9 * each.total))
    harmless = answered(clean(), "unknown id", "InvalidInstanceId")
    nothing = Seen(began_at=at(0), minute_seconds=60, instances={})
    ended = replace(
        with_sights(clean(), lambda each: replace(each, state="terminated")),
        answers=(),
        calls=(),
        points=(),
        entries=(),
        listings=(),
    )
    assert '"mode": "observe"' in said_next(unsafe)
    assert contradicted(harmless)
    assert "report result.json" in said_next(harmless)
    assert '"mode"' not in said_next(harmless)
    assert "key of your own" in said_next(ended)
    assert "If the launch fails" in said_next(nothing)
    assert "not tried" in said_next(clean())


def test_why_a_look_failed_is_told_where_nothing_was_seen() -> None:
    """Nobody has to look for a fault in the instance."""
    blind = replace(clean(), calls=(), points=(), looked_at=None)
    failed = replace(blind, answers=(*blind.answers, replace(blind.answers[0], name=LOOK, code="AccessDenied")))
    rows = {row["belief"]: row["seen"] for row in judged(failed)}
    assert "AccessDenied" in rows["rejected-counts"]
    assert failed == from_document(to_document(failed))


def test_a_long_policy_fits_into_its_parameter_again() -> None:
    """Compact where it would be longer than Systems Manager takes with one line for each field and account."""
    given = {"mode": "enforce", "include_accounts": [f"{number:012d}" for number in range(230)]}
    text = json.dumps(given, separators=(",", ":"))
    ssm = Client(get_parameter=lambda **_sent: {"Parameter": {"Value": text}}, put_parameter=lambda **_sent: {})
    assert 'set to "observe"' in Home({"ssm": ssm}, NAMES).set_observe()
    [written] = [sent["Value"] for name, sent in ssm.sent if name == "put_parameter"]
    assert len(written) <= 4096
    assert {**given, "mode": "observe"} == json.loads(written)


@pytest.mark.parametrize("tags", [{"": "x"}, {"a" * 129: "x"}, {"owner": "x" * 257}, {"AWS:created-by": "x"}])
def test_tags_that_ec2_would_refuse_are_refused_with_the_plan(tags: dict[str, str]) -> None:
    """Before anything is launched."""
    with pytest.raises(InvalidRequest, match="tags"):
        selftest(Bucket()).plan(event(input={"tags": tags}))


@pytest.mark.parametrize("execution", ["7", "é", "x" * 80])
def test_an_execution_may_have_any_name(execution: str) -> None:
    """STS takes sessions of 2 to 64 characters."""
    sts = Client(assume_role=lambda **_sent: {"Credentials": KEYS})
    order = parse_order({"account": "222222222222", "region": "eu-west-1"})
    Realm(Session(ec2=Client()), sts, order, "selftest", execution).client("ec2")  # type: ignore[arg-type]
    [(_, sent)] = sts.sent
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", sent["RoleSessionName"], re.ASCII)
