"""A cohort is named by its key, or as people and the manual call it: by what follows the Region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli import test_fleet
from tests.cli.conftest import run
from tests.cli.test_steering import WEB, results
from tests.world.rows import fill, row

if TYPE_CHECKING:
    from tests.cli.test_fleet import Installation

here = test_fleet.here

PLACE = "aws/222222222222/eu-west-1"
OTHER = "aws/333333333333/eu-west-1"
THIRD, FOURTH = f"{PLACE}/group:web@lt-0123456789abcdef0+3", f"{PLACE}/group:web@lt-0123456789abcdef0+4"
COMMANDS = {
    "approve": (),
    "refuse": (),
    "undo": (),
    "clear": (),
    "mended": ("--at", "2027-05-01"),
}


@pytest.fixture
def asked(here: Installation) -> Installation:
    """A fleet whose group has two versions, and a manual function that answers commands."""
    fill(
        here.bucket,
        [
            row(1, cohort=THIRD),
            row(2, cohort=FOURTH),
            row(3, cohort=f"{PLACE}/tag:a/b@c"),
            row(4, cohort=f"{PLACE}/group:db"),
            row(5, account="333333333333", cohort=f"{OTHER}/group:db"),
            row(6, cohort=""),
        ],
    )
    here.aws.on_invoke("manual", results(WEB))
    return here


@pytest.mark.parametrize("word", COMMANDS)
def test_a_name_without_a_version_means_every_version(asked: Installation, word: str) -> None:
    """The commands of docs/incident.md, decide.md and mend.md work as they are printed there."""
    done = run(word, "--cohort", "group:web", *COMMANDS[word], "--dry-run")
    assert 0 == done.exit_code, done.output
    assert {"cohort": f"{PLACE}/group:web"} == asked.aws.payloads()[0][word]


@pytest.mark.parametrize(
    ("args", "key"),
    [
        (("group:web@lt-0123456789abcdef0+4",), FOURTH),
        ((THIRD,), THIRD),
        (("tag:a/b@c",), f"{PLACE}/tag:a/b@c"),
        (("group:db", "--account", "333333333333"), f"{OTHER}/group:db"),
        (("group:db", "--account", "222222222222", "--in-region", "eu-west-1"), f"{PLACE}/group:db"),
    ],
)
def test_a_key_or_a_version_or_a_place_means_one(asked: Installation, args: tuple[str, ...], key: str) -> None:
    """A key is sent as it is, without a look at the fleet."""
    assert 0 == run("undo", "--cohort", *args, "--dry-run").exit_code
    assert {"cohort": key} == asked.aws.payloads()[0]["undo"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("group:wbe",), "did you mean group:web?"),
        (("group:db",), f"{PLACE}/group:db, {OTHER}/group:db; name one by its key"),
        (("group:db", "--account", "444444444444"), "imdsv2 list shows the cohorts"),
        ((THIRD, "--account", "222222222222"), "the key of a cohort says where it is"),
    ],
)
def test_what_is_no_cohort_or_not_one_is_refused(asked: Installation, args: tuple[str, ...], says: str) -> None:
    """In one line, and nothing is asked."""
    done = run("clear", "--cohort", *args, "--yes")
    assert (2, 1, []) == (done.exit_code, done.stderr.count("\n"), asked.aws.payloads())
    assert says in done.stderr


@pytest.mark.parametrize("named", [("--cohort", "group:web"), ("group:web",), ("--cohort", f"{PLACE}/group:web")])
def test_what_calls_in_a_cohort_is_asked_by_the_same_names(asked: Installation, named: tuple[str, ...]) -> None:
    """Where instances are named, too, as `explain` takes it; a miss there is told with the likely cohort."""
    asked.aws.on_invoke("manual", {"results": [], "problems": []})
    assert 0 == run("culprit", *named).exit_code
    assert [{"culprit": {"cohort": f"{PLACE}/group:web"}}] == asked.aws.payloads()
    missed = run("culprit", "group:wep")
    assert (2, True) == (missed.exit_code, "did you mean group:web?" in missed.stderr), missed.stderr


def test_a_cohort_that_has_a_namesake_is_explained_by_its_place(asked: Installation) -> None:
    """And the refusal without one says so."""
    refused = run("explain", "group:db")
    assert (2, True) == (refused.exit_code, "name one by its key, or --account and --in-region" in refused.stderr)
    for account, key in (("222222222222", f"{PLACE}/group:db"), ("333333333333", f"{OTHER}/group:db")):
        done = run("explain", "group:db", "--account", account, "--in-region", "eu-west-1")
        assert (0, True) == (done.exit_code, f"Key: {key}\n" in done.stdout), done.output
