"""Commands that change something: the dry answer first, then a yes, then exactly what was shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2_cli import confirm as confirming
from tests.cli.conftest import CALLER, run

if TYPE_CHECKING:
    from tests.cli.conftest import Aws

WEB = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0a1b2c3d4e5f60718"
DB = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0aaaaaaaaaaaaaaa1"


def results(*targets: str, problems: dict[str, str] | None = None) -> Any:
    """What the manual function answers to a command about some instances."""

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        word = next(name for name, value in payload.items() if isinstance(value, dict))
        wanted = payload[word].get("targets", targets)
        found = [
            {
                "target": each,
                "status": "held",
                "reason": "approval_required",
                "would_be": None,
                "done": not payload["dry_run"] and each not in (problems or {}),
                "problem": (problems or {}).get(each),
            }
            for each in wanted
        ]
        return {"command": word, "dry_run": payload["dry_run"], "count": len(found), "results": found}

    return answer


COMMANDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "approve": ([WEB], {"approve": {"targets": [WEB]}}),
    "refuse": (["--account", "222222222222"], {"refuse": {"targets": [WEB]}}),
    "hold": (
        [WEB, "--owner", "blue", "--reason", "Migration.", "--until", "2999-12-31"],
        {"hold": {"targets": [WEB]}, "owner": "blue", "reason": "Migration.", "until": "2999-12-31"},
    ),
    "release": ([WEB, "--reason", "Done."], {"release": {"targets": [WEB]}, "reason": "Done."}),
    "accept": (
        [WEB, "--owner", "blue", "--reason", "One probe.", "--until", "2999-12-31"],
        {"accept": {"targets": [WEB]}, "owner": "blue", "reason": "One probe.", "until": "2999-12-31"},
    ),
    "undo": (
        ["--account", "222222222222", "--in-region", "eu-west-1", "--since", "2027-05-01"],
        {"undo": {"account": "222222222222", "region": "eu-west-1", "since": "2027-05-01T00:00:00Z"}},
    ),
    "clear": (["--cohort", "aws/1/eu-west-1/asg:web"], {"clear": {"cohort": "aws/1/eu-west-1/asg:web"}}),
    "mended": (
        [WEB, "--at", "2027-05-01T06:00:00+02:00"],
        {"mended": {"targets": [WEB]}, "at": "2027-05-01T04:00:00Z"},
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_dry_first_and_then_real_with_the_caller_s_arn(aws: Aws, command: str) -> None:
    """Nobody writes a payload, or their own name."""
    args, payload = COMMANDS[command]
    aws.on_invoke("manual", results(WEB))
    done = run(command, *args, "--yes", "-o", "json")
    assert 0 == done.exit_code, done.output
    dry, real = aws.payloads()
    assert dry["dry_run"] is True
    assert {**payload, "dry_run": False, "caller": CALLER} == real
    assert [True] == [each["done"] for each in json.loads(done.stdout)["results"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dry_run_asks_once_and_changes_nothing(aws: Aws, command: str) -> None:
    """And needs no yes."""
    aws.on_invoke("manual", results(WEB))
    done = run(command, *COMMANDS[command][0], "--dry-run")
    assert (0, [True]) == (done.exit_code, [each["dry_run"] for each in aws.payloads()])
    assert "Nothing was changed." in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_yes_nothing_is_changed_where_nobody_can_be_asked(aws: Aws, command: str) -> None:
    """What would be done is shown all the same."""
    aws.on_invoke("manual", results(WEB))
    done = run(command, *COMMANDS[command][0])
    assert (2, [True]) == (done.exit_code, [each["dry_run"] for each in aws.payloads()])
    assert "i-0a1b2c3d4e5f60718" in done.stderr
    assert "--yes" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_where_every_instance_has_a_problem_there_is_nothing_to_do(aws: Aws, command: str) -> None:
    """Exit code 3, and the problems are the answer."""
    aws.on_invoke("manual", results(WEB, problems={WEB: "Nobody holds it."}))
    done = run(command, *COMMANDS[command][0], "--yes")
    assert (3, 1) == (done.exit_code, len(aws.payloads()))
    assert "Nobody holds it." in done.stdout


def test_approval_is_for_what_was_shown_and_no_more(aws: Aws) -> None:
    """What begins to wait while somebody reads the preview is not approved unseen."""
    aws.on_invoke(
        "manual",
        results(WEB, DB, problems={DB: "carol refused it on 2027-01-01; name it under targets to approve it."}),
    )
    assert 0 == run("approve", "--account", "222222222222", "--yes").exit_code
    assert {"targets": [WEB]} == aws.payloads()[1]["approve"]


def test_more_than_five_hundred_go_in_several_calls(aws: Aws) -> None:
    """As many as the function takes at once."""
    arns = [f"arn:aws:ec2:eu-west-1:222222222222:instance/i-{number:017x}" for number in range(501)]
    aws.on_invoke("manual", results())
    assert 0 == run("release", "-", "--yes", stdin="\n".join(arns)).exit_code
    assert [500, 1, 500, 1] == [len(each["release"]["targets"]) for each in aws.payloads()]


def test_names_from_a_file_of_another_system_are_read(aws: Aws) -> None:
    """With the mark that Windows puts before them, and its ends of lines."""
    aws.on_invoke("manual", results())
    assert 0 == run("release", "-", "--yes", stdin=f"\ufeff{WEB}\r\n\r\n{DB}\r\n").exit_code
    assert [WEB, DB] == aws.payloads()[0]["release"]["targets"]


def test_what_the_service_refuses_is_a_wrong_command_line(aws: Aws) -> None:
    """Its words name the likely one, and there is no trace."""
    message = "approve.account: the ledger knows no account 222222222223; did you mean 222222222222?"
    aws.on_invoke("manual", {"error": {"code": "InvalidRequest", "message": message}})
    done = run("approve", "--account", "222222222223", "--yes")
    assert (2, f"imdsv2: the service refused the request: {message}\n") == (done.exit_code, done.stderr)


def test_what_is_overtaken_is_a_failure(aws: Aws) -> None:
    """It was ready when it was shown."""
    answers = iter((results(WEB), results(WEB, problems={WEB: "Somebody else was quicker; ask again."})))
    aws.on_invoke("manual", lambda payload: next(answers)(payload))
    done = run("release", WEB, "--yes")
    assert (1, True) == (done.exit_code, "Somebody else was quicker" in done.stdout)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["undo"], "nothing was named"),
        (["undo", "--in-region", "eu-west-1"], "--in-region needs --account"),
        (["undo", WEB, "--since", "yesterday"], "--since takes a moment"),
        (["approve", WEB, "--cohort", "x"], "both instances and a cohort"),
        (["hold", WEB, "--owner", "a", "--reason", "b", "--until", "2020-01-01"], "still to come"),
        (["hold", WEB, "--owner", "a", "--reason", "b", "--until", "tomorrow"], "--until takes a day"),
        (["hold", WEB], "Missing option '--owner'"),
        (["release", "arn:aws:s3:::bucket"], "is no instance"),
        (["approve", "--account", "22"], "is no account id"),
        (["approve", "--account", "222222222222", "--in-region", "eu-wst-1"], "Did you mean eu-west-1?"),
        (["aprove"], "Did you mean approve?"),
        (["close-breaker"], "Missing option '--account'"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(aws: Aws, args: list[str], says: str) -> None:
    """And nothing is asked of the service."""
    done = run(*args)
    assert (2, 1, []) == (done.exit_code, done.stderr.count("\n"), aws.payloads())
    assert says in done.stderr


BREAKER = {"account": "222222222222", "opened_at": "2027-05-01T06:00:00Z", "done": False, "problem": None}


def breaker(**changes: Any) -> Any:
    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        done = {**BREAKER, "done": not payload["dry_run"] and not changes, **changes}
        return {"command": "close_breaker", "dry_run": payload["dry_run"], "count": 1, "results": [done]}

    return answer


def test_a_breaker_is_closed_once_somebody_says_so(aws: Aws) -> None:
    """When it was opened is shown first."""
    aws.on_invoke("manual", breaker())
    done = run("close-breaker", "--account", "222222222222", "--reason", "AMI fixed.", "--yes")
    assert (0, True) == (done.exit_code, "2027-05-01T06:00:00Z" in done.stderr)
    expected = {
        "close_breaker": {"account": "222222222222"},
        "reason": "AMI fixed.",
        "dry_run": False,
        "caller": CALLER,
    }
    assert expected == aws.payloads()[1]


@pytest.mark.parametrize("since", ["2027-05-01T06:20:00Z", None])
def test_a_breaker_that_opens_anew_while_somebody_reads_stays_open(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, since: str | None
) -> None:
    """Or that another has closed meanwhile: what broke since was not shown."""
    looks = iter([{}, {"opened_at": since}])
    aws.on_invoke("manual", lambda payload: breaker(**next(looks))(payload))
    monkeypatch.setattr(confirming, "is_terminal", lambda _: True)
    done = run("close-breaker", "--account", "222222222222", stdin="yes\n")
    assert (3, [True, True]) == (done.exit_code, [each["dry_run"] for each in aws.payloads()]), done.output
    assert "has opened anew, since it was shown" in done.stderr


def test_a_breaker_that_is_closed_is_nothing_to_do(aws: Aws) -> None:
    """Exit code 3."""
    aws.on_invoke("manual", breaker(opened_at=None, problem="Its breaker is not open."))
    assert 3 == run("close-breaker", "--account", "222222222222", "--yes").exit_code


def test_answers_say_what_will_be_of_each_instance(aws: Aws) -> None:
    """Until when, for whom, on what evidence, and whose hold is replaced: before anything is done, and after it."""
    replaced = {"by": "ann", "owner": "green", "reason": "Audit.", "until": "2999-01-01"}
    told_of = {
        "outcome": "held through 2999-12-31 (UTC), for blue",
        "evidence": {"tokenless_calls": 41, "coverage": 0.98},
        "replaces": replaced,
    }

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = results()(payload)
        told["results"] = [{**each, **told_of} for each in told["results"]]
        return told

    aws.on_invoke("manual", answer)
    done = run("hold", *COMMANDS["hold"][0], "--yes")
    assert 0 == done.exit_code, done.output
    for said in (done.stderr, done.stdout):
        assert "held through 2999-12-31 (UTC), for blue" in said
        assert "by=ann, owner=green, reason=Audit., until=2999-01-01" in said
        assert " 41 " in said
    [dry, real] = [
        json.loads(run("hold", *COMMANDS["hold"][0], each, "-o", "json").stdout) for each in ("--dry-run", "-y")
    ]
    assert replaced == dry["results"][0]["replaces"] == real["results"][0]["replaces"]


@pytest.mark.parametrize("word", ["refuse", "undo"])
def test_a_reason_may_be_given_to_refuse_and_to_undo(aws: Aws, word: str) -> None:
    """The ledger keeps it beside the name."""
    aws.on_invoke("manual", results(WEB))
    assert 0 == run(word, WEB, "--reason", "Not before the audit.", "--yes").exit_code
    assert ["Not before the audit."] * 2 == [each["reason"] for each in aws.payloads()]


SOURCE = "aws/222222222222/eu-west-1/auto_scaling_group:web"


def undone(*sources: str, instances: int = 0) -> Any:
    """What the manual function answers to an undo that covers sources."""

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        done = {"would_be": "gone_back", "done": not payload["dry_run"], "problem": None}
        found: list[dict[str, Any]] = [{"source": each, "status": "fixed", **done} for each in sources]
        found += [{"target": WEB, "status": "enforced", "reason": "unused", **done}] * instances
        return {"command": "undo", "dry_run": payload["dry_run"], "count": len(found), "results": found}

    return answer


def test_a_source_is_put_back_by_its_key(aws: Aws) -> None:
    """As the message about it says; it is named in the table."""
    aws.on_invoke("manual", undone(SOURCE))
    done = run("undo", "--source", SOURCE, "--reason", "Too early.", "--yes")
    assert 0 == done.exit_code, done.output
    assert {"source": SOURCE} == aws.payloads()[1]["undo"]
    assert SOURCE in done.stdout
    assert "Roll back: 1 of 1 source." in done.stdout


def test_an_undo_of_an_account_names_sources_beside_instances(aws: Aws) -> None:
    """Each by what it is."""
    aws.on_invoke("manual", undone(SOURCE, instances=1))
    said = run("undo", "--account", "222222222222", "--yes").stdout
    assert "Roll back: 2 of 2 instances and sources." in said
    assert SOURCE in said


@pytest.mark.parametrize("beside", [[WEB], ["--account", "222222222222"], ["--since", "2h"], ["--cohort", "group:web"]])
def test_a_source_is_a_scope_of_its_own(aws: Aws, beside: list[str]) -> None:
    """Nothing is ignored in silence."""
    done = run("undo", "--source", SOURCE, *beside, "--yes")
    assert (2, []) == (done.exit_code, aws.payloads())
    assert "leave out what is named beside it" in done.stderr


def test_what_an_answer_has_no_room_for_is_told(aws: Aws) -> None:
    """And where it can be read."""
    some = results(WEB)
    aws.on_invoke("manual", lambda payload: {**some(payload), "count": 7000})
    done = run("undo", "--account", "222222222222", "--yes")
    assert "Roll back: 7000 of 7000 instances." in done.stdout
    assert "no room for 6999 more; imdsv2 audit --since 1h" in done.stderr


@pytest.mark.parametrize("region", [(), ("--in-region", "eu-west-1")])
def test_what_breaks_while_somebody_reads_is_not_cleared_unseen(aws: Aws, region: tuple[str, ...]) -> None:
    """It would be changed again, without anybody having looked at it."""
    broken = [WEB]
    aws.on_invoke("manual", lambda payload: results(*broken)(payload))
    answers = aws.functions["imdsv2-remediation-manual"]

    def breaks_meanwhile(payload: dict[str, Any]) -> Any:
        answer = answers(payload)
        broken.append(DB)
        return answer

    aws.on_invoke("manual", breaks_meanwhile)
    assert 0 == run("clear", "--account", "222222222222", *region, "--yes").exit_code
    dry, real = aws.payloads()
    assert ("222222222222", {"targets": [WEB]}) == (dry["clear"]["account"], real["clear"])


@pytest.mark.parametrize(("refused", "code", "sent"), [([DB], 0, [WEB]), ([WEB, DB], 3, None)])
def test_a_refusal_that_is_given_while_somebody_reads_stands(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, refused: list[str], code: int, sent: list[str] | None
) -> None:
    """What is approved is sent by its name, which is the way to approve over a refusal; here nobody has named it."""
    problems: dict[str, str] = {}
    answers = results(WEB, DB, problems=problems)

    def refuses_meanwhile(payload: dict[str, Any]) -> Any:
        answer = answers(payload)
        problems.update(dict.fromkeys(refused, "carol refused it; name it under targets to approve it."))
        return answer

    aws.on_invoke("manual", refuses_meanwhile)
    monkeypatch.setattr(confirming, "is_terminal", lambda _: True)
    done = run("approve", "--account", "222222222222", stdin="yes\n")
    assert code == done.exit_code, done.output
    real = [each["approve"] for each in aws.payloads() if not each["dry_run"]]
    assert ([] if sent is None else [{"targets": sent}]) == real
    assert f"since it was shown: {refused[-1]}" in done.stderr


@pytest.mark.parametrize("scope", [["--cohort", "aws/1/eu-west-1/asg:web"], ["--account", "222222222222"], [WEB]])
def test_nothing_is_cleared_that_came_after_what_was_shown(aws: Aws, scope: list[str]) -> None:
    """The service says as of when it has looked."""
    looks = iter(["2027-05-01T06:00:00.000001Z", "2027-05-01T06:11:00.000002Z"])
    aws.on_invoke("manual", lambda payload: {**results(WEB)(payload), "as_of": next(looks)})
    assert 0 == run("clear", *scope, "--yes").exit_code
    dry, real = aws.payloads()
    assert ("at" in dry, "2027-05-01T06:00:00.000001Z") == (False, real["at"])


def test_a_service_of_an_earlier_version_is_not_told_as_of_when(aws: Aws) -> None:
    """It would refuse the field."""
    aws.on_invoke("manual", results(WEB))
    assert 0 == run("clear", WEB, "--yes").exit_code
    assert "at" not in aws.payloads()[1]
