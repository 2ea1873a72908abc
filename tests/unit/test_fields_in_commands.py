"""The fields of a command stand beside its selection as well as beside the command: whoever reads either form in a script is understood."""

from __future__ import annotations

from typing import Any

import pytest

from imdsv2.domain.instance import InstanceArn
from imdsv2.errors import InvalidRequest
from imdsv2.people.command_request import Command, CommandKind, Scope
from imdsv2.people.request import parse
from tests.fixtures.events import MEMBER, REGION, instance_arn

TARGETS: dict[str, Any] = {"targets": [instance_arn()]}
ACCOUNT: dict[str, Any] = {"account": MEMBER, "region": REGION}
ACCOUNTED_FOR = {"owner": "green", "reason": "Audit until June.", "until": "2027-06-30"}

COMMANDS: list[tuple[CommandKind, dict[str, Any], dict[str, Any]]] = [
    (CommandKind.HOLD, TARGETS, ACCOUNTED_FOR),
    (CommandKind.ACCEPT, TARGETS, ACCOUNTED_FOR),
    (CommandKind.APPROVE, ACCOUNT, {"until": "2027-06-30", "reason": "Change 12."}),
    (CommandKind.MENDED, TARGETS, {"at": "2026-11-19T05:30:00Z", "reason": "Agent 3.1."}),
    (CommandKind.UNDO, ACCOUNT | {"since": "2026-11-19T00:00:00Z"}, {"reason": "Billing is down."}),
    *(
        (steer, TARGETS, {"reason": "Looked at."})
        for steer in (CommandKind.REFUSE, CommandKind.RELEASE, CommandKind.CLEAR)
    ),
    (CommandKind.CLOSE_BREAKER, {"account": MEMBER}, {"reason": "Looked at."}),
]
"""Each command with a selection, and all fields that it takes."""


def command(steer: CommandKind, selection: dict[str, Any], fields: dict[str, Any]) -> Any:
    """The command as it is read."""
    read = parse({str(steer): selection, **fields, "dry_run": False, "caller": "dora"})
    assert isinstance(read, Command)
    return read


@pytest.mark.parametrize(("steer", "selection", "fields"), COMMANDS)
def test_a_field_in_the_command_is_the_same_as_one_beside_it(
    steer: CommandKind, selection: dict[str, Any], fields: dict[str, Any]
) -> None:
    """All of them, and each alone."""
    beside = command(steer, selection, fields)
    assert beside == command(steer, selection | fields, {})
    for name in fields:
        others = {other: value for other, value in fields.items() if other != name}
        assert beside == command(steer, selection | {name: fields[name]}, others)


def test_a_hold_with_its_fields_selects_what_it_names() -> None:
    """The fields are no part of the selection."""
    read = command(CommandKind.HOLD, TARGETS | ACCOUNTED_FOR, {})
    assert Scope(targets=(InstanceArn.parse(instance_arn()),)) == read.scope
    assert ("green", "Audit until June.") == (read.owner, read.reason)


@pytest.mark.parametrize(("steer", "selection", "fields"), COMMANDS)
def test_a_field_in_both_places_is_refused_because_nobody_can_tell_which_is_meant(
    steer: CommandKind, selection: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Also where both say the same."""
    for name in fields:
        with pytest.raises(InvalidRequest) as refused:
            command(steer, selection | {name: fields[name]}, fields)
        assert f"{steer}.{name}" == refused.value.field


@pytest.mark.parametrize(("steer", "selection", "fields"), COMMANDS)
def test_fields_alone_select_nothing(steer: CommandKind, selection: dict[str, Any], fields: dict[str, Any]) -> None:
    """A hold of nobody would hold nobody."""
    del selection
    with pytest.raises(InvalidRequest) as refused:
        command(steer, fields, {})
    assert steer == refused.value.field


@pytest.mark.parametrize(
    ("steer", "name", "value"),
    [
        (CommandKind.CLEAR, "until", "2027-06-30"),
        (CommandKind.APPROVE, "owner", "green"),
        (CommandKind.HOLD, "at", "2026-11-19T05:30:00Z"),
        *((steer, name, value) for steer in CommandKind for name, value in (("dry_run", False), ("caller", "dora"))),
    ],
)
def test_what_a_command_does_not_take_inside_is_refused_by_its_name(
    steer: CommandKind, name: str, value: object
) -> None:
    """The message lists what it takes there; whether it is real, and who asks, is said outside."""
    selection, fields = next(each[1:] for each in COMMANDS if each[0] is steer)
    with pytest.raises(InvalidRequest) as refused:
        parse({str(steer): selection | {name: value}, **fields})
    assert f"{steer}.'{name}'" == refused.value.field
    assert all(known in refused.value.problem for known in fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [("until", "30.06.2027"), ("until", 5), ("owner", ""), ("reason", None), ("reason", "two\nlines")],
)
def test_a_field_inside_of_a_wrong_kind_is_refused_as_outside(name: str, value: object) -> None:
    """By its name."""
    with pytest.raises(InvalidRequest) as refused:
        command(CommandKind.HOLD, TARGETS | ACCOUNTED_FOR | {name: value}, {})
    assert name == refused.value.field


def test_a_question_that_is_mistyped_is_told_with_the_likely_one() -> None:
    """The culprit's, too."""
    with pytest.raises(InvalidRequest, match=r"did you mean culprit\?"):
        parse({"culprits": TARGETS})


def test_targets_that_are_mistyped_are_told_as_well() -> None:
    """Their field is what judges instances; it is no command."""
    with pytest.raises(InvalidRequest, match=r"'Target': is no command; did you mean targets\? Known are accept, "):
        parse({"Target": [instance_arn()], "dry_run": True})
    with pytest.raises(InvalidRequest, match=r"'xyz': is no command\. Known are accept, "):
        parse({"xyz": {}})
