"""Sources and AMIs on the deployed stack, changed from a terminal and from a script: nobody writes a payload."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.run import HOME, MEMBERS
from tests.e2e.terminal import Terminal
from tests.e2e.test_source_fix import Group

if TYPE_CHECKING:
    from tests.e2e.world import World

THERE = ("--account", MEMBERS[0], "--in-region", HOME)


@pytest.fixture
def terminal(world: World) -> Terminal:
    return Terminal(world.cloud)


def test_a_source_is_changed_from_a_terminal_and_put_back(world: World, terminal: Terminal) -> None:
    """Nothing is, before its instance has been proved and somebody has said yes."""
    group = Group(world, "$Default")
    one = world.launch_one(tags=group.tags)
    unproved = terminal.pipe("sources", one.arn, "--fix", "--yes")
    assert (3, True) == (unproved.code, "not: 1 hold" in unproved.out), unproved
    world.ask({"targets": [one.arn], "dry_run": False, "caller": "ada"})
    piped = terminal.pipe("sources", one.arn, "--fix")
    assert (2, "", True) == (piped.code, piped.out, "say --yes to do it" in piped.err), piped
    declined = terminal.screen("sources", one.arn, "--fix", types="no")
    assert (3, True) == (declined.code, "nothing was changed" in declined.out), declined.out
    assert 1 == group.versions()
    done = terminal.screen("sources", one.arn, "--fix")
    assert (0, True) == (done.code, "1 of 1 source was changed." in done.out), done.out
    assert ["required"] * 2 == group.launch(2)
    undone = terminal.pipe("undo", "--source", group.key, "--yes")
    assert (0, True) == (undone.code, "Roll back: 1 of 1 source." in undone.out), undone
    assert ["optional"] * 2 == group.launch(4)
    group.end()


def test_a_script_changes_the_sources_of_an_account(world: World, terminal: Terminal) -> None:
    """What is left after that holds back, or requires tokens; asked again, there is nothing to do."""
    group = Group(world, "1")
    one = world.launch_one(tags=group.tags)
    world.ask({"targets": [one.arn], "dry_run": False, "caller": "ada"})
    shown = terminal.pipe("sources", "--fix", *THERE, "--dry-run", "-o", "json").document
    (mine,) = [each for each in shown["results"] if each["source"] == group.key]
    assert ("would_fix", 1) == (mine["fix"]["status"], group.versions())
    done = terminal.pipe("sources", "--fix", *THERE, "--yes", "-o", "json")
    ended = {each["source"]: each["fix"]["status"] for each in done.document["results"]}
    assert (0, "fixed") == (done.code, ended[group.key]), done
    assert {each["source"] for each in shown["results"] if each["fix"]["status"] == "would_fix"} == ended.keys()
    assert 3 == terminal.pipe("sources", one.arn, "--fix", "--yes").code


def test_amis_are_listed_and_set_for_good(world: World, terminal: Terminal) -> None:
    """By the words that say so, in the terminal and in a script; one of them by itself, without its place."""
    ec2 = world.cloud.session(account=MEMBERS[0], region=HOME).client("ec2")
    own = [ec2.register_image(Name=f"golden-{uuid.uuid4().hex}")["ImageId"] for _ in range(2)]
    runs = [world.launch_one(name=f"runs-{each}", image=each) for each in own]
    unproved = terminal.screen("images", "--require", own[0], *THERE)
    assert (3, True) == (unproved.code, "(hold)" in unproved.out), unproved.out
    world.ask({"targets": [each.arn for each in runs], "dry_run": False, "caller": "ada"})
    listed = {each["image"]: each for each in terminal.pipe("images", *THERE, "-o", "json").document["images"]}
    assert [["fix_source"]] * 2 == [[each["verdict"] for each in listed[ami]["used_by"]] for ami in own]
    asks = b'Type "cannot be undone" to go on'
    refused = terminal.screen("images", "--require", own[0], *THERE, asks=asks, types="yes")
    assert (3, True) == (refused.code, "nothing was changed" in refused.out), refused.out
    assert [None, None] == [_support(ec2, each) for each in own]
    typed = terminal.screen("images", "--require", own[0], asks=asks, types="cannot be undone")
    assert (0, True) == (typed.code, "1 of 1 AMI now requires tokens." in typed.out), typed.out
    assert ["v2.0", None] == [_support(ec2, each) for each in own]
    assert 2 == terminal.pipe("images", "--require", own[1], *THERE, "--yes").code
    done = terminal.pipe("images", "--require", *own, *THERE, "--yes", "--confirm", "cannot be undone")
    assert (0, True) == (done.code, "1 of 1 AMI now requires tokens." in done.out), done
    assert ["v2.0", "v2.0"] == [_support(ec2, each) for each in own]
    assert not {*own} & {each["image"] for each in terminal.pipe("images", *THERE, "-o", "json").document["images"]}


def _support(ec2: Any, image_id: str) -> str | None:
    [image] = ec2.describe_images(ImageIds=[image_id])["Images"]
    found: str | None = image.get("ImdsSupport")
    return found


def test_an_ami_of_somebody_else_stays_as_it_is(world: World, terminal: Terminal) -> None:
    """Whatever is said, in a pipe and in a terminal."""
    foreign = ("images", "--require", "ami-0123456789abcdef0", *THERE)
    sure = terminal.pipe(*foreign, "--yes", "--confirm", "cannot be undone", "-o", "json")
    (result,) = sure.document["results"]
    assert (3, False) == (sure.code, result["done"]), sure
    shown = terminal.screen(*foreign)
    assert (3, True) == (shown.code, "Nothing was changed." in shown.out), shown.out
    unsure = terminal.pipe(*foreign, "--yes")
    assert (2, True) == (unsure.code, 'say --confirm "cannot be undone"' in unsure.err), unsure
