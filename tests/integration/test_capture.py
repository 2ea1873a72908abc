"""Watching instances on request: by Run Command, recorded before and after, and told where it cannot be done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from imdsv2.people.culprit.request import CulpritQuestion
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_culprits
from tests.integration.builders import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

DOCUMENT = "imdsv2-remediation-capture"
COMMAND = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
SEEN = (
    "     12 [WARNING] imdsv1(!) (pid:0:collector argv:/opt/collector --once) called by -> (pid:0:systemd argv:/sbin/init)\n"
    "      3 [INFO] imdsv2 (pid:0:agent argv:/usr/bin/agent)\n"
)


@dataclass
class Systems:
    """Systems Manager. ``answers``: what is said of the step that watches, one after the other, the last again and again; ``fetched``: of
    the step before."""

    answers: list[dict[str, Any]] = field(
        default_factory=lambda: [{"Status": "Success", "StandardOutputContent": SEEN}]
    )
    fetched: dict[str, Any] = field(default_factory=lambda: {"Status": "Success"})
    platform: str | None = "Linux"
    sent: list[dict[str, Any]] = field(default_factory=list)

    def inventory(self, call: Call) -> dict[str, Any]:
        """Answer ListInventoryEntries."""
        itself = {
            "PlatformType": self.platform,
            "PlatformName": "x",
            "PlatformVersion": "1",
            "AgentVersion": "3.3.40.0",
        }
        shown = self.platform is not None and call.params["TypeName"] == "AWS:InstanceInformation"
        return {"Entries": [itself] if shown else []}

    def send(self, call: Call) -> dict[str, Any]:
        """Answer SendCommand."""
        self.sent.append(dict(call.params))
        return {"Command": {"CommandId": COMMAND, "Status": "Pending"}}

    def invocation(self, call: Call) -> dict[str, Any]:
        """Answer GetCommandInvocation."""
        step = call.params["PluginName"]
        assert step in {"fetch", "watch"}
        if step == "fetch":
            return {"DocumentName": DOCUMENT, **self.fetched}
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {
            "CommandId": call.params["CommandId"],
            "InstanceId": call.params["InstanceId"],
            "DocumentName": DOCUMENT,
            **answer,
        }


@pytest.fixture
def systems(cloud: Cloud) -> Systems:
    """An account whose Systems Manager knows every instance."""
    made = Systems()
    cloud.wire.fake("ListInventoryEntries", made.inventory)
    cloud.wire.fake("SendCommand", made.send)
    cloud.wire.fake("GetCommandInvocation", made.invocation)
    cloud.wire.fake("LookupEvents", lambda _: {"Events": []})
    return made


@pytest.fixture
def arn(cloud: Cloud) -> InstanceArn:
    """An instance that is held because it calls."""
    made = cloud.one(use=1.0)
    cloud.line().run([asked(made)], "request-1")
    return made


def ask(
    cloud: Cloud, arn: InstanceArn, *, real: bool = True, document: str | None = DOCUMENT, **given: Any
) -> dict[str, Any]:
    """What is answered about one instance, by a function that does not wait."""
    scope = {"targets": [str(arn)], **given}
    question = parse({"culprit": scope, "dry_run": not real, **({"caller": "ada", "reason": "case 7"} if real else {})})
    assert isinstance(question, CulpritQuestion)
    culprits = build_culprits(cloud.function())
    capturing = replace(culprits.capturing, document=document, sleep=lambda _: None)
    answer = json.loads(json.dumps(replace(culprits, capturing=capturing).answer(question)))
    [result] = answer["results"]
    found: dict[str, Any] = result
    return found


def events(cloud: Cloud, arn: InstanceArn) -> list[dict[str, Any]]:
    """What the ledger says of watching it, in order."""
    items = [each for each in cloud.items() if each["pk"] == str(arn) and str(each.get("kind")).startswith("capture")]
    return sorted(items, key=lambda each: str(each["sk"]))


def test_a_dry_run_says_what_would_be_run(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """And runs nothing."""
    found = ask(cloud, arn, real=False, capture=True)["capture"]
    assert "would_capture" == found["state"]
    assert "as root for 300 seconds" in found["says"]
    assert ([], []) == (systems.sent, events(cloud, arn))


def test_it_is_not_watched_unless_somebody_asks(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """Not even by a real question."""
    assert ask(cloud, arn)["capture"] is None
    assert [] == systems.sent


def test_what_it_finds_is_answered_and_kept(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """The event that it begins is written before, with who asked; that which it found names the process."""
    systems.answers.insert(0, {"Status": "InProgress"})
    systems.answers.insert(0, {"Status": "Pending"})
    result = ask(cloud, arn, capture=True, seconds=60)
    [sent] = systems.sent
    assert (DOCUMENT, [arn.instance_id], {"Seconds": ["60"]}) == tuple(
        sent[each] for each in ("DocumentName", "InstanceIds", "Parameters")
    )
    process = {"name": "collector", "command": "/opt/collector --once", "parents": ["/sbin/init"], "calls": 12}
    assert ("captured", [process], 3) == tuple(result["capture"][each] for each in ("state", "processes", "by_v2"))
    assert result["explanation"].startswith(
        "These called IMDSv1 meanwhile: /opt/collector --once, started by /sbin/init."
    )
    begun, sent_event, captured = events(cloud, arn)
    assert ("capture_begun", "ada", "case 7", 60) == tuple(
        begun[each] for each in ("kind", "caller", "because", "seconds")
    )
    assert ("capture_sent", COMMAND) == (sent_event["kind"], sent_event["command_id"])
    assert ("captured", COMMAND, "collector") == (
        captured["kind"],
        captured["command_id"],
        captured["processes"][0]["name"],
    )
    assert all(str(each["sk"]).startswith("decision#") for each in (begun, captured))
    kept = ask(cloud, arn, real=False)["captured"]
    assert ([process], "ada") == (kept["processes"], kept["caller"])


def test_what_takes_longer_is_collected_by_a_second_question(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """The first answer has the question, ready to be sent."""
    systems.answers = [{"Status": "InProgress"}]
    found = ask(cloud, arn, capture=True, seconds=3600)["capture"]
    assert ("running", COMMAND) == (found["state"], found["command_id"])
    later = json.loads(found["says"].partition("with ")[2].removesuffix("."))
    question = parse(later)
    assert isinstance(question, CulpritQuestion)
    assert (COMMAND, False) == (question.collect, question.dry_run)
    assert "running" == ask(cloud, arn, collect=COMMAND)["capture"]["state"]
    systems.answers = [{"Status": "Success", "StandardOutputContent": SEEN}]
    assert "captured" == ask(cloud, arn, collect=COMMAND)["capture"]["state"]
    assert ["capture_begun", "capture_sent", "captured"] == [each["kind"] for each in events(cloud, arn)]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"Status": "Failed", "StandardErrorContent": "Python 3 has no module bcc \x1b[2J here"}, "no module bcc here"),
        ({"Status": "TimedOut"}, "TimedOut: without a word"),
        ({"Status": "TimedOut", "StatusDetails": "Delivery Timed Out"}, "does not reach the agent"),
        ({"Status": "Failed", "StatusDetails": "Undeliverable"}, "does not reach the agent"),
        ({"Status": "Cancelled", "StandardOutputContent": "x" * 90_000}, "Cancelled"),
    ],
)
def test_a_command_that_fails_says_why(
    answer: dict[str, Any], says: str, cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """With the commands to run by hand."""
    systems.answers = [answer]
    found = ask(cloud, arn, capture=True)["capture"]
    assert "failed" == found["state"]
    assert says in found["says"]
    assert len(found["says"]) < 1_000
    assert any("imds_snoop.py" in each for each in found["by_hand"])
    assert ["capture_begun", "capture_sent"] == [each["kind"] for each in events(cloud, arn)]


def test_an_artefact_that_is_not_there_is_told(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """By the words of the step that should have fetched it, not by those of the step that missed it."""
    systems.fetched = {"Status": "Failed", "StandardErrorContent": "NoSuchKey: The specified key does not exist."}
    systems.answers = [{"Status": "Failed", "StandardErrorContent": "was not fetched"}]
    found = ask(cloud, arn, capture=True)["capture"]
    assert "failed" == found["state"]
    assert "could not be fetched (NoSuchKey" in found["says"]
    cloud.wire.refuse("GetCommandInvocation", "ThrottlingException")
    assert "unread" == ask(cloud, arn, collect=COMMAND)["capture"]["state"]


@pytest.mark.parametrize(
    ("platform", "document", "says"),
    [
        (None, DOCUMENT, "does not know the instance"),
        ("Windows", DOCUMENT, "needs Linux"),
        ("Linux", None, "setting `capture`"),
    ],
)
def test_where_it_cannot_be_done_the_commands_are_printed(
    platform: str | None, document: str | None, says: str, cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """Nothing is sent, nothing is written."""
    systems.platform = platform
    found = ask(cloud, arn, capture=True, document=document)["capture"]
    assert "refused" == found["state"]
    assert says in found["says"]
    assert (platform != "Windows") == any("imds_snoop.py" in each for each in found["by_hand"] or ())
    assert ([], []) == (systems.sent, events(cloud, arn))


def test_a_stopped_instance_is_not_watched(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """Nothing runs there; what an earlier watch found is still to be had."""
    cloud.as_account(arn.account, "ec2", arn.region).stop_instances(InstanceIds=[arn.instance_id])
    assert "does not run" in ask(cloud, arn, capture=True)["capture"]["says"]
    assert [] == systems.sent
    assert "captured" == ask(cloud, arn, collect=COMMAND)["capture"]["state"]


@pytest.mark.parametrize(
    ("code", "todo"),
    [
        ("InvalidDocument", "deploy the template of the rules"),
        ("InvalidInstanceId", "does not reach the agent"),
        ("UnsupportedPlatformType", "needs Linux"),
        ("AccessDeniedException", "Deploy both member templates"),
    ],
)
def test_a_refusal_of_systems_manager_is_told(
    code: str, todo: str, cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """With what to do about it; the rest is answered, and another try is not kept back."""
    cloud.wire.refuse("SendCommand", code)
    result = ask(cloud, arn, capture=True)
    assert ("failed", "steady") == (result["capture"]["state"], result["when"]["pattern"])
    assert code in result["capture"]["says"]
    assert todo in result["capture"]["says"]
    assert ["capture_begun"] == [each["kind"] for each in events(cloud, arn)]
    ask(cloud, arn, capture=True)
    assert 2 == len(cloud.wire.made("SendCommand"))


def test_while_one_watch_runs_no_second_is_begun(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """Whoever asks gets the command of the first, to collect; once it is over, by itself or by its time, another may begin."""
    systems.answers = [{"Status": "InProgress"}]
    ask(cloud, arn, capture=True, seconds=3600)
    second = ask(cloud, arn, capture=True, seconds=60)["capture"]
    assert ("running", COMMAND, 1) == (second["state"], second["command_id"], len(systems.sent))
    assert "ada has it watched since" in second["says"]
    assert COMMAND in second["says"]
    systems.answers = [{"Status": "Failed"}]
    assert "failed" == ask(cloud, arn, capture=True, seconds=60)["capture"]["state"]
    assert 2 == len(systems.sent)


def test_what_cannot_be_told_of_a_watch_holds_no_longer_than_it(
    cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """Systems Manager does not answer: the first is taken to run, until its time is over."""
    systems.answers = [{"Status": "InProgress"}]
    ask(cloud, arn, capture=True, seconds=300)
    cloud.wire.refuse("GetCommandInvocation", "AccessDeniedException")
    assert "running" == ask(cloud, arn, capture=True, seconds=60)["capture"]["state"]
    assert 1 == len(systems.sent)
    cloud.clock.move(minutes=8)
    ask(cloud, arn, capture=True, seconds=60)
    assert 2 == len(systems.sent)


@pytest.mark.parametrize("code", ["InvocationDoesNotExist", "InvalidPluginName", "InvalidCommandId"])
def test_a_command_that_is_not_known_is_told(code: str, cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """It will not be known later either: nobody is sent to collect it again and again."""
    cloud.wire.refuse("GetCommandInvocation", code)
    found = ask(cloud, arn, collect=COMMAND)["capture"]
    assert "unread" == found["state"]
    assert "knows no command" in found["says"]
    assert [] == events(cloud, arn)


def test_a_command_that_is_not_known_yet_is_waited_for(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """A moment after it was sent."""
    cloud.wire.refuse("GetCommandInvocation", "InvocationDoesNotExist", times=2)
    assert "captured" == ask(cloud, arn, capture=True)["capture"]["state"]


def test_output_that_was_cut_says_so(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """The document prints so much and no more; its last line is then half a line, and names nobody."""
    half = "      1 [WARNING] imdsv1(!) (pid:0:agent argv:/usr/bin/ag"
    whole = SEEN + "      2 [INFO] imdsv2 (pid:0:agent argv:/usr/bin/agent)\n" * 300
    printed = whole + "x" * (20_000 - len(whole) - len(half) - 1) + "\n" + half
    for text, cut in ((printed, True), (whole, False)):
        systems.answers = [{"Status": "Success", "StandardOutputContent": text}]
        found = ask(cloud, arn, capture=True)["capture"]
        assert (cut, ["collector"]) == (found["cut"], [each["name"] for each in found["processes"]])


def test_output_that_is_empty_names_nobody(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """And says when to watch."""
    systems.answers = [{"Status": "Success", "StandardOutputContent": ""}]
    found = ask(cloud, arn, capture=True)["capture"]
    assert ([], False) == (found["processes"], found["cut"])
    assert "watch it when it calls" in found["says"]


def lose(cloud: Cloud, systems: Systems, operation: str = "SendCommand") -> None:
    """Systems Manager does what is asked, and nobody hears of it."""

    def unheard(call: Call) -> None:
        systems.send(call)
        raise EndpointConnectionError(endpoint_url="https://ssm")

    cloud.wire.on(operation, unheard)


def test_a_command_without_an_answer_may_run_and_is_not_sent_again(
    cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """What to look for is said, and how long to wait."""
    lose(cloud, systems)
    found = ask(cloud, arn, capture=True, seconds=900)["capture"]
    assert ("unread", 1) == (found["state"], len(systems.sent))
    assert "may be watched now" in found["says"]
    assert "in 17 minutes" in found["says"]


def test_a_command_that_is_throttled_is_not_sent_again_either(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """A person asks again; nothing has to be deployed for it."""
    cloud.wire.refuse("SendCommand", "ThrottlingException")
    found = ask(cloud, arn, capture=True)["capture"]
    assert ("failed", 1) == (found["state"], len(cloud.wire.made("SendCommand")))
    assert "ask again" in found["says"]
    assert "deploy" not in found["says"]


@pytest.mark.parametrize("answer", ["ThrottlingException", "InternalServerError"])
def test_a_look_that_fails_for_a_moment_is_followed_by_another(
    answer: str, cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """The command goes on meanwhile."""
    cloud.wire.refuse("GetCommandInvocation", answer, times=2, status=500 if "Server" in answer else 400)
    assert "captured" == ask(cloud, arn, capture=True)["capture"]["state"]
    assert ["capture_begun", "capture_sent", "captured"] == [each["kind"] for each in events(cloud, arn)]


def test_a_command_that_nobody_knows_does_not_go_on(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """Its id is wrong, or it is forgotten: nobody has to ask for ever."""
    cloud.wire.refuse("GetCommandInvocation", "InvocationDoesNotExist")
    found = ask(cloud, arn, collect=COMMAND)["capture"]
    assert "unread" == found["state"]
    assert "knows no command" in found["says"]


def of_kind(kind: str, arn: InstanceArn | None = None) -> Callable[[Call], bool]:
    """Whether a transaction writes such an event, perhaps of one instance only."""

    def is_one(call: Call) -> bool:
        items = [each.get("Put", {}).get("Item", {}) for each in call.params["TransactItems"]]
        named = [each for each in items if each.get("kind") == {"S": kind}]
        return any(arn is None or each["pk"] == {"S": str(arn)} for each in named)

    return is_one


def ask_about(cloud: Cloud, *arns: InstanceArn) -> dict[str, dict[str, Any]]:
    """What became of the watch of several instances, by their ARN."""
    scope = {"targets": [str(each) for each in arns], "capture": True}
    question = parse({"culprit": scope, "dry_run": False, "caller": "ada"})
    assert isinstance(question, CulpritQuestion)
    culprits = build_culprits(cloud.function())
    capturing = replace(culprits.capturing, document=DOCUMENT, sleep=lambda _: None)
    results = replace(culprits, capturing=capturing).answer(question)["results"]
    return {each["target"]: each["capture"] for each in results}


def test_where_the_ledger_fails_one_is_not_watched_and_the_others_are(
    cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """What cannot be written is not run; what was begun before is collected all the same."""
    other = cloud.one(use=1.0)
    cloud.wire.refuse("TransactWriteItems", "InternalServerError", when=of_kind("capture_begun", other), status=500)
    found = ask_about(cloud, arn, other)
    assert ("captured", "failed") == (found[str(arn)]["state"], found[str(other)]["state"])
    assert "nothing was run" in found[str(other)]["says"]
    assert [[arn.instance_id]] == [each["InstanceIds"] for each in systems.sent]


def test_what_was_found_is_answered_though_the_ledger_fails(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """With the question that has it written."""
    cloud.wire.refuse("TransactWriteItems", "InternalServerError", when=of_kind("captured"), status=500)
    found = ask(cloud, arn, capture=True)["capture"]
    assert ("captured", "collector") == (found["state"], found["processes"][0]["name"])
    assert f'"collect": "{COMMAND}"' in found["says"]


def test_without_the_inventory_it_is_tried(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """Only Systems Manager knows whether it can."""
    cloud.wire.refuse("ListInventoryEntries", "AccessDeniedException")
    assert "captured" == ask(cloud, arn, capture=True)["capture"]["state"]


def test_another_command_is_not_read(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """The role could read what any command printed; the answer does not show it."""
    systems.answers = [{"Status": "Success", "StandardOutputContent": "a secret", "DocumentName": "AWS-RunShellScript"}]
    result = ask(cloud, arn, collect=COMMAND)
    assert "refused" == result["capture"]["state"]
    assert "a secret" not in json.dumps(result)
    assert [] == events(cloud, arn)


def test_hostile_output_is_kept_plain(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """In the answer and in the ledger; huge output is cut."""
    bad = "[WARNING] IMDSv1(!) (pid:1:\x1b[2Jx argv:=cmd()\u202e\x07 --password=hunter2)\n" + "\x00" * 20_000
    systems.answers = [{"Status": "Success", "StandardOutputContent": bad}]
    result = ask(cloud, arn, capture=True)
    text = json.dumps(result["capture"], ensure_ascii=False)
    assert text.isprintable()
    assert "hunter2" not in text
    assert "hunter2" not in str(events(cloud, arn))


@pytest.mark.parametrize(
    ("given", "real", "field"),
    [
        ({"capture": "yes"}, True, "culprit.capture"),
        ({"capture": True, "seconds": 61}, True, "culprit.seconds"),
        ({"capture": True, "seconds": True}, True, "culprit.seconds"),
        ({"seconds": 60}, True, "culprit.seconds"),
        ({"collect": "; rm -rf /"}, True, "culprit.collect"),
        ({"collect": COMMAND, "capture": True}, True, "culprit.collect"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], real: bool, field: str, cloud: Cloud, arn: InstanceArn) -> None:
    """Before anything is asked."""
    with pytest.raises(Exception, match=field):
        ask(cloud, arn, real=real, **given)


def test_a_real_capture_needs_somebody_who_answers_for_it(arn: InstanceArn) -> None:
    """As every command that does something."""
    with pytest.raises(Exception, match="caller"):
        parse({"culprit": {"targets": [str(arn)], "capture": True}, "dry_run": False})


# --- Two who ask for the same at once ------------------------------------------------------------------------------


def test_of_two_that_begin_at_once_one_is_sent(cloud: Cloud, systems: Systems, arn: InstanceArn) -> None:
    """The other asks while Systems Manager has not answered the first."""
    others: list[dict[str, Any]] = []

    def another(_: Call) -> None:
        if not others:
            others.append({})
            others.append(ask(cloud, arn, capture=True, seconds=60)["capture"])

    cloud.wire.on("SendCommand", another)
    assert "captured" == ask(cloud, arn, capture=True, seconds=60)["capture"]["state"]
    assert ("refused", 1) == (others[1]["state"], len(systems.sent))
    assert "Ask again in a minute" in others[1]["says"]
    assert ["capture_begun", "capture_sent", "captured"] == [each["kind"] for each in events(cloud, arn)]


def test_one_that_looked_before_the_other_was_sent_is_not_sent_either(
    cloud: Cloud, systems: Systems, arn: InstanceArn
) -> None:
    """It saw none in flight, and comes to write when the first has been sent and noted."""
    systems.answers = [{"Status": "InProgress"}]
    left = [True]

    def another(_: Call) -> None:
        if left:
            left.clear()
            ask(cloud, arn, capture=True, seconds=3600)

    cloud.wire.on("TransactWriteItems", another)
    found = ask(cloud, arn, capture=True, seconds=60)["capture"]
    assert ("running", COMMAND, 1) == (found["state"], found["command_id"], len(systems.sent))
    assert "a second watch is not begun" in found["says"]


@pytest.mark.parametrize(("seconds", "minutes"), [(60, 3), (900, 17)])
def test_while_nobody_knows_whether_one_runs_no_other_is_begun(
    cloud: Cloud, systems: Systems, arn: InstanceArn, seconds: int, minutes: int
) -> None:
    """Systems Manager did not answer, and may have taken the command."""
    cloud.wire.on("SendCommand", lambda call: _lost(call) if not systems.sent else None)
    assert "unread" == ask(cloud, arn, capture=True, seconds=seconds)["capture"]["state"]
    systems.sent.append({})
    cloud.clock.move(minutes=minutes - 1)
    assert "refused" == ask(cloud, arn, capture=True, seconds=60)["capture"]["state"]
    cloud.clock.move(minutes=1, seconds=1)
    assert "captured" == ask(cloud, arn, capture=True, seconds=60)["capture"]["state"]
    assert 2 == len(systems.sent)


def _lost(call: Call) -> None:
    raise EndpointConnectionError(endpoint_url=call.operation)


def test_watches_of_different_instances_do_not_wait_for_each_other(cloud: Cloud, systems: Systems) -> None:
    """In the same second."""
    arns = [cloud.one(use=1.0) for _ in range(3)]
    cloud.line().run([asked(each) for each in arns], "request-1")
    assert {"captured"} == {ask(cloud, each, capture=True)["capture"]["state"] for each in arns}
    assert 3 == len(systems.sent)
