"""`imdsv2 images`: AMIs are listed with what uses them, and changed only by whoever says that it cannot be undone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2_cli import confirm as confirming
from tests.cli.conftest import CALLER, run

if TYPE_CHECKING:
    from tests.cli.conftest import Aws

PLACE = {"account": "222222222222", "region": "eu-west-1"}
THERE = ("--account", "222222222222", "--in-region", "eu-west-1")
SHOP, HELD, FAR = "ami-0aaaaaaaaaaaaaaa1", "ami-0bbbbbbbbbbbbbbb2", "ami-0ccccccccccccccc3"
SURE = ("--yes", "--confirm", "cannot be undone")
WARNING = "ImdsSupport v2.0 cannot be undone on an AMI."


def image(name: str, verdict: str, region: str = "eu-west-1") -> dict[str, Any]:
    """An open AMI as the service lists it beside the sources."""
    used = [{"kind": "auto_scaling_group", "name": name, "verdict": verdict}]
    return {"account": "222222222222", "region": region, "name": name, "used_by": used, "remedies": []}


def source(name: str, verdict: str, region: str = "eu-west-1") -> dict[str, Any]:
    """The part of a source that the list needs."""
    return {"account": "222222222222", "region": region, "kind": "auto_scaling_group", "name": name, "verdict": verdict}


def result(image_id: str, *, dry: bool, fails: bool, permitted: bool) -> dict[str, Any]:
    """What becomes of one AMI: the held one is left as it is."""
    problem = "It is used by auto_scaling_group db, which is held." if image_id == HELD else None
    problem = problem or (None if dry or not fails else "EC2 refuses it.")
    return {
        "image": image_id,
        "name": "golden",
        "imds_support": None if dry or problem else "v2.0",
        "used_by": [source("db", "hold")],
        "would_be": None if problem else "v2.0",
        "permitted": permitted if dry and not problem else None,
        "done": not dry and not problem,
        "problem": problem,
    }


@pytest.fixture
def images(aws: Aws) -> Aws:
    """Three AMIs in two Regions of an account, one of them held."""
    return answering(aws)


def answering(aws: Aws, *, fails: bool = False, permitted: bool = True) -> Aws:
    """A manual function that knows them. ``fails``: EC2 refuses the real call; ``permitted``: what EC2 says of the dry one."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        if "find" in asked:
            arns = [f"arn:aws:ec2:{each}:222222222222:instance/i-0{1:016x}" for each in ("eu-west-1", "us-east-1")]
            return {"count": 2, "results": [{"target": each, "name": None} for each in arns], "problems": []}
        if "sources" in asked:
            if asked["sources"]["region"] == "us-east-1":
                listed = [{**image("far", "fix_source", "us-east-1"), "image": FAR}]
                return {"results": [source("far", "fix_source", "us-east-1")], "images": listed, "problems": []}
            found = [source("shop", "fix_source"), source("db", "hold")]
            return {
                "results": found,
                "images": [{**image("shop", "fix_source"), "image": SHOP}, {**image("db", "hold"), "image": HELD}],
                "problems": ["EKS cannot be asked."],
            }
        dry = asked["dry_run"]
        results = [result(each, dry=dry, fails=fails, permitted=permitted) for each in asked["images"]["image_ids"]]
        return {"command": "images", "dry_run": dry, "count": len(results), "warning": WARNING, "results": results}

    aws.on_invoke("manual", answer)
    return aws


def test_the_list_has_who_uses_an_ami_and_whether_that_is_held(images: Aws) -> None:
    """Everywhere the ledger knows instances; what could not be looked at is told beside it."""
    done = run("images")
    assert 0 == done.exit_code, done.output
    assert all(each in done.stdout for each in (SHOP, HELD, FAR, "auto_scaling_group db (hold)", "3 AMIs. To have one"))
    assert "EKS cannot be asked." in done.stderr
    assert [SHOP, HELD] == [each["image"] for each in json.loads(run("images", *THERE, "-o", "json").stdout)["images"]]
    assert f"222222222222,eu-west-1,{SHOP},shop,auto_scaling_group shop (fix_source)" in (
        run("images", *THERE, "-o", "csv").stdout.splitlines()
    )
    assert not any("images" in each for each in images.payloads())


def test_an_empty_list_is_an_answer(aws: Aws) -> None:
    """Where nothing is known, and where every AMI requires tokens."""
    aws.on_invoke("manual", {"count": 0, "results": [], "images": [], "problems": []})
    for args in ((), THERE):
        done = run("images", *args)
        assert (0, True) == (done.exit_code, "No AMI was found there" in done.stdout)


def test_what_may_be_set_is_set_once_the_words_are_said(images: Aws) -> None:
    """The held one is shown with its reason, and left out of the real call; the ledger gets name and reason."""
    done = run("images", "--require", SHOP, HELD, *THERE, "--reason", "Change 31.", *SURE)
    assert 0 == done.exit_code, done.output
    shown, real = images.payloads()
    assert {"images": {**PLACE, "image_ids": [SHOP, HELD]}, "dry_run": True} == shown
    order = {**PLACE, "image_ids": [SHOP], "confirm": "cannot be undone"}
    assert {"images": order, "dry_run": False, "caller": CALLER, "reason": "Change 31."} == real
    assert "1 of 2 AMIs would require tokens for good. ImdsSupport v2.0 cannot be undone on an AMI." in done.stderr
    assert "which is held." in done.stderr
    assert "1 of 1 AMI now requires tokens." in done.stdout


def test_without_a_place_an_ami_is_looked_for(images: Aws) -> None:
    """And each is set where it is; one that is named twice, once."""
    assert 0 == run("images", "--require", FAR, SHOP, FAR, *SURE).exit_code
    asked = [each["images"] for each in images.payloads() if "images" in each]
    assert [("us-east-1", [FAR]), ("eu-west-1", [SHOP])] * 2 == [(each["region"], each["image_ids"]) for each in asked]


def test_a_slip_in_an_id_is_refused_with_the_likely_one(images: Aws) -> None:
    """Before anything is asked about it."""
    done = run("images", "--require", f"{SHOP[:-1]}2", *SURE)
    assert (2, True) == (done.exit_code, f"did you mean {SHOP}?" in done.stderr), done.stderr
    assert not any("images" in each for each in images.payloads())


def test_fifty_go_in_a_call(images: Aws) -> None:
    """As the service takes them."""
    many = [f"ami-{each:017x}" for each in range(70)]
    assert "70 of 70 AMIs now require tokens." in run("images", "--require", *many, *THERE, *SURE).stdout
    assert [50, 20] * 2 == [len(each["images"]["image_ids"]) for each in images.payloads()]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((SHOP,), "say --require"),
        (("--yes",), "say --require"),
        (("--dry-run",), "say --require"),
        (("--require",), "no AMI was named"),
        (("--require", "web-1"), "web-1 is no id of an AMI"),
        (("--require", SHOP, "--yes"), 'say --confirm "cannot be undone" beside --yes'),
        (("--require", SHOP, "--yes", "--confirm", "yes"), 'say --confirm "cannot be undone"'),
    ],
)
def test_what_does_not_go_together_is_refused(images: Aws, args: tuple[str, ...], says: str) -> None:
    """In one line, and nothing is asked."""
    done = run("images", *THERE, *args)
    assert (2, [], 1) == (done.exit_code, images.payloads(), done.stderr.count("\n")), done.output
    assert says in done.stderr


def test_in_a_pipe_it_wants_the_words_as_an_option(images: Aws) -> None:
    """It has shown until then what would be done."""
    for more in ((), SURE[1:]):
        done = run("images", "--require", SHOP, *THERE, *more)
        assert (2, "") == (done.exit_code, done.stdout)
        assert 'say --yes --confirm "cannot be undone" to do it' in done.stderr
    assert [True] * 2 == [each["dry_run"] for each in images.payloads()]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("cannot be undone", 0),
        ("  Cannot  be undone ", 0),
        ('"cannot be undone"', 0),
        ("yes", 3),
        ("", 3),
        ("be undone", 3),
    ],
)
def test_on_a_terminal_the_words_are_typed(images: Aws, monkeypatch: pytest.MonkeyPatch, typed: str, code: int) -> None:
    """A yes is not enough."""
    monkeypatch.setattr(confirming, "is_terminal", lambda _: True)
    done = run("images", "--require", SHOP, *THERE, stdin=f"{typed}\n")
    assert code == done.exit_code, done.output
    assert (code == 0) == any(not each["dry_run"] for each in images.payloads())
    assert 'Type "cannot be undone" to go on' in done.stderr


@pytest.mark.parametrize("more", [("--dry-run",), ("--dry-run", *SURE)])
def test_a_dry_run_only_shows(images: Aws, more: tuple[str, ...]) -> None:
    """Whatever stands beside it."""
    done = run("images", "--require", SHOP, HELD, *THERE, *more)
    assert (0, True) == (
        done.exit_code,
        "1 of 2 AMIs would require tokens for good. Nothing was changed." in done.stdout,
    )
    assert [True] == [each["dry_run"] for each in images.payloads()]


@pytest.mark.parametrize(("named", "permitted"), [(HELD, True), (SHOP, False)])
def test_where_nothing_may_be_set_nothing_is_asked(aws: Aws, named: str, permitted: bool) -> None:
    """Because a source is held, or because the role may not, which is told with what to do."""
    answering(aws, permitted=permitted)
    done = run("images", "--require", named, *THERE, *SURE)
    assert (3, 1) == (done.exit_code, len(aws.payloads())), done.output
    assert permitted or "deploy the member roles" in done.stderr


def test_a_refusal_of_ec2_is_a_failure(aws: Aws) -> None:
    """Its words are in the table."""
    answering(aws, fails=True)
    done = run("images", "--require", SHOP, *THERE, *SURE)
    assert (1, True) == (done.exit_code, "EC2 refuses it." in done.stdout)


def test_hostile_names_are_harmless(images: Aws) -> None:
    """On the terminal, and in a spreadsheet: whoever may make an AMI names it."""
    evil = {**image("\x1b[2J\u202ex", "hold"), "image": SHOP, "name": "=1+1"}
    images.on_invoke("manual", {"results": [], "images": [evil], "problems": []})
    assert not {"\x1b", "\u202e"} & {*run("images", *THERE).output}
    assert "'=1+1" in run("images", *THERE, "-o", "csv").stdout
